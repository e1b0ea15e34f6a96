"""JPEG 2000 codestreams by hand: what their headers say of size and colour, and JP2's boxes around them.

Source: ITU-T T.800 annexes A (codestream) and I (JP2 boxes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from wsicomp.geometry import Size

BOXED = b"\0\0\0\x0cjP  "
"""How a stream in JP2 boxes begins."""

_CODESTREAM = b"\xff\x4f\xff\x51"
_COD, _SOT, _SOD = 0x52, 0x90, 0x93
_BOX = struct.Struct(">I4s")
_SYCC = 18
_LEAST_HEADER_BYTES = 51
"""From SOC to the last byte that SIZ has of three components."""


@dataclass(frozen=True)
class Form:
    """What a codestream's headers say: `factors` are each component's subsampling in both directions."""

    size: Size
    factors: tuple[tuple[int, int], ...]
    mixes_components: bool

    @property
    def is_subsampled(self) -> bool:
        """Whether a component has fewer samples than there are pixels."""
        return any(factor != (1, 1) for factor in self.factors)


def bare_codestream(data: bytes) -> bytes:
    """The codestream, out of JP2 boxes where it is in some.

    Raises:
        ValueError: there is none.
    """
    if data.startswith(_CODESTREAM):
        return data
    at = 0 if data.startswith(BOXED) else len(data)
    while at + _BOX.size <= len(data):
        length, kind = _BOX.unpack_from(data, at)
        if kind == b"jp2c" and data.startswith(_CODESTREAM, at + _BOX.size):
            return data[at + _BOX.size : at + length if length else None]
        if length < _BOX.size:
            break
        at += length
    raise ValueError("not a JPEG 2000 codestream")


def boxes_say_ycbcr(data: bytes) -> bool:
    """Whether the colour box of a stream in JP2 boxes names sYCC.

    Source: ITU-T T.800 annex I.5.3.3: method 1 names a colour space by number, sYCC by 18.
    """
    at = data.find(b"colr", 0, data.find(_CODESTREAM)) + 4
    return at >= 4 and data[at] == 1 and int.from_bytes(data[at + 3 : at + 7], "big") == _SYCC


def read_form(codestream: bytes) -> Form:
    """Read the headers before a decoder takes memory for what they state.

    Raises:
        ValueError: they are damaged, or not those of three components.

    Source: ITU-T T.800 annex A.5.1: SIZ follows SOC, with the extent at byte 8, the offset at byte 16, the
    number of components at byte 40 and three bytes for each of them behind it.
    """
    if len(codestream) < _LEAST_HEADER_BYTES:
        raise ValueError("JPEG 2000 without a header")
    right, bottom, left, top = struct.unpack_from(">4I", codestream, 8)
    count = int.from_bytes(codestream[40:42], "big")
    if count != 3 or right <= left or bottom <= top:
        raise ValueError(f"JPEG 2000 of {right - left} x {bottom - top} px, {count} components; expected 3")
    factors = tuple((codestream[at], codestream[at + 1]) for at in (43, 46, 49))
    mixes = set(_transforms(codestream))
    if len(mixes) > 1:
        raise ValueError("JPEG 2000 of which only some tiles mix their components")
    return Form(Size(right - left, bottom - top), factors, True in mixes)


def _transforms(codestream: bytes) -> Iterator[bool]:
    """Whether a multi-component transform was used: by the main header, and by each tile that says so anew.

    Source: ITU-T T.800 annexes A.4.2 (SOT) and A.6.1 (COD).
    """
    main, of_tile, has_tiles = False, None, False
    at, next_tile = 2, 0
    while at + 4 <= len(codestream) and codestream[at] == 0xFF:
        marker = codestream[at + 1]
        if marker == _SOT:
            has_tiles, of_tile = True, None if codestream[at + 10 : at + 11] == b"\0" else of_tile
            length = int.from_bytes(codestream[at + 6 : at + 10], "big")
            next_tile = at + length if length > 12 else len(codestream)
        if marker == _SOD:
            yield main if of_tile is None else of_tile
            at = max(next_tile, at + 2)  # a length may lead back
            continue
        if marker == _COD and at + 9 <= len(codestream):
            mixes = codestream[at + 8] != 0
            main, of_tile = (main, mixes) if has_tiles else (mixes, None)
        at += 2 + max(2, int.from_bytes(codestream[at + 2 : at + 4], "big"))
    if not has_tiles:
        yield main


def in_rgb_boxes(codestream: bytes, size: Size) -> bytes:
    """A codestream in JP2 boxes that call its samples sRGB.

    Source: ITU-T T.800 annex I.5: signature, file type, image header, and 16 for sRGB.
    """
    header = struct.pack(">IIHBBBB", size.height, size.width, 3, 7, 7, 0, 0)
    color = struct.pack(">BBBI", 1, 0, 0, 16)
    inner = _box(b"ihdr", header) + _box(b"colr", color)
    kind = _box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return _box(b"jP  ", b"\r\n\x87\n") + kind + _box(b"jp2h", inner) + _box(b"jp2c", codestream)


def _box(kind: bytes, body: bytes) -> bytes:
    return _BOX.pack(_BOX.size + len(body), kind) + body
