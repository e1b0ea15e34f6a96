"""JPEG 2000 codestreams by hand: size and colours in their headers, and JP2's boxes around them.

Source: ITU-T T.800 annexes A (codestream) and I (JP2 boxes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from wsicomp.geometry import Size

BOXED = b"\0\0\0\x0cjP  "
"""The beginning of a stream in JP2 boxes."""

_CODESTREAM = b"\xff\x4f\xff\x51"
_COD, _COC, _SOT, _SOD = 0x52, 0x53, 0x90, 0x93
_MOST_TILES = 1 << 14
_FEW_BLOCKS, _FEW_PRECINCTS, _FEW_PACKETS = 1 << 16, 1 << 12, 1 << 18
"""Allowed for all three components of a tile, whatever its size.

OpenJPEG takes 1.6 kB for a precinct, and 10 bytes and a tenth of a microsecond for a packet.
"""
_BOX = struct.Struct(">I4s")
_SYCC = 18
_LEAST_HEADER_BYTES, _COMPONENT_BYTES = 42, 3
"""From SOC to the number of components in SIZ, and what SIZ says of each component behind it."""


@dataclass(frozen=True)
class Form:
    """The statements of a codestream's headers."""

    size: Size
    """Width and height in pixels."""
    factors: tuple[tuple[int, int], ...]
    """Each component's subsampling (horizontal, vertical)."""
    mixes_components: bool
    """Whether a colour transform was applied."""

    @property
    def is_subsampled(self) -> bool:
        """True if a component has fewer samples than there are pixels."""
        return any(factor != (1, 1) for factor in self.factors)


def bare_codestream(data: bytes) -> bytes:
    """Return the codestream, taken out of JP2 boxes if it is in any.

    Raises:
        ValueError: the bytes hold no codestream.
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
    """Return whether the colour box of a stream in JP2 boxes names sYCC.

    Source: ITU-T T.800 annex I.5.3.3: method 1 names a colour space by number, sYCC by 18.
    """
    at = data.find(b"colr", 0, data.find(_CODESTREAM)) + 4
    return at >= 4 and data[at] == 1 and int.from_bytes(data[at + 3 : at + 7], "big") == _SYCC


def read_form(codestream: bytes, components: int = 3) -> Form:
    """Return what the headers state, before a decoder allocates memory for it.

    Raises:
        ValueError: the headers are damaged, or not those of this many components.

    Source: ITU-T T.800 annex A.5.1: SIZ follows SOC, with the extent at byte 8, the offset at byte 16, the
    number of components at byte 40 and three bytes for each of them behind it.
    """
    if len(codestream) < _LEAST_HEADER_BYTES + _COMPONENT_BYTES * components:
        raise ValueError("JPEG 2000 without a header")
    right, bottom, left, top = struct.unpack_from(">4I", codestream, 8)
    count = int.from_bytes(codestream[40:42], "big")
    if count != components or right <= left or bottom <= top:
        found = f"{right - left} x {bottom - top} px, {count} components"
        raise ValueError(f"JPEG 2000 of {found}; expected {components}")
    _check_structure(codestream)
    places = range(
        _LEAST_HEADER_BYTES + 1, _LEAST_HEADER_BYTES + _COMPONENT_BYTES * components, _COMPONENT_BYTES
    )
    factors = tuple((codestream[at], codestream[at + 1]) for at in places)
    mixes = set(_transforms(codestream))
    if len(mixes) > 1:
        raise ValueError("JPEG 2000 with a colour transform in some tiles only")
    return Form(Size(right - left, bottom - top), factors, True in mixes)


def _check_structure(codestream: bytes) -> None:
    """Refuse a stream cut into more parts than its pixels justify: a decoder lists all of them.

    Raises:
        ValueError: the stream has too many tiles, code blocks, precincts or packets.

    Source: ITU-T T.800 annexes A.5.1 (SIZ: tiles), A.6.1 (COD: layers, levels, code blocks, precincts), A.6.2
    (COC), B.6 and B.7; OpenJPEG 2.5.4 `tcd.c`, `pi.c`, whose lists hold all of these.
    """
    right, bottom, left, top, width, height, tile_x, tile_y = struct.unpack_from(">8I", codestream, 8)
    if not width or not height or tile_x > left or tile_y > top:
        raise ValueError("JPEG 2000 in tiles of {width} x {height} px")
    tiles = -(-(right - tile_x) // width) * -(-(bottom - tile_y) // height)
    if tiles > _MOST_TILES:
        raise ValueError(f"JPEG 2000 in {tiles} tiles, expected at most {_MOST_TILES}")
    sides = (min(width, right - left), min(height, bottom - top))
    for layers, style in _styles(codestream):
        blocks, precincts = _blocks(style, sides), _precincts(style, sides)
        pixels = sides[0] * sides[1]
        if (
            3 * blocks > max(_FEW_BLOCKS, pixels // 8)
            or 3 * precincts > max(_FEW_PRECINCTS, pixels // 64)
            or 3 * precincts * layers > max(_FEW_PACKETS, pixels)
        ):
            found = f"{blocks} code blocks in {precincts} precincts of {layers} layers"
            raise ValueError(f"JPEG 2000 of {sides[0]} x {sides[1]} px in {found}")


def _styles(codestream: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (layers, coding style) of every COD and COC in the headers.

    A style is: whether precincts are given, levels, exponents of code block sides, and what follows.
    """
    layers = 1
    for marker, segment in _header_segments(codestream):
        if marker == _COD and len(segment) >= 10:
            layers = int.from_bytes(segment[2:4], "big")
            yield layers, bytes([segment[0] & 1]) + segment[5:]
        elif marker == _COC and len(segment) >= 7:
            yield layers, bytes([segment[1] & 1]) + segment[2:]


def _blocks(style: bytes, sides: tuple[int, int]) -> int:
    """Return a bound on the code blocks of a component: at least one for each level."""
    wide, high = (1 << (exponent & 15) + 2 for exponent in style[2:4])
    return -(-sides[0] // wide) * -(-sides[1] // high) + style[1]


def _precincts(style: bytes, sides: tuple[int, int]) -> int:
    """Return the precincts of a component on all its levels."""
    levels = min(style[1], 32)
    total = 0
    for resolution in range(levels + 1):
        width, height = (-(-side >> (levels - resolution)) or 1 for side in sides)
        place = 6 + resolution
        exponents = style[place] if style[0] and place < len(style) else 0xFF
        total += -(-width >> (exponents & 15)) * -(-height >> (exponents >> 4)) or 1
    return total


def _header_segments(codestream: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (marker, body) of the segments in the main header and in all tile-parts' headers.

    The SOD that ends a tile-part's header has no body.
    """
    at, next_tile = 2, 0
    while at + 4 <= len(codestream) and codestream[at] == 0xFF:
        marker = codestream[at + 1]
        if marker == _SOD:
            yield marker, b""
            at = max(next_tile, at + 2)  # a stated length may point backwards
            continue
        if marker == _SOT:
            length = int.from_bytes(codestream[at + 6 : at + 10], "big")
            next_tile = at + length if length > 12 else len(codestream)
        length = max(2, int.from_bytes(codestream[at + 2 : at + 4], "big"))
        yield marker, codestream[at + 4 : at + 2 + length]
        at += 2 + length


def _transforms(codestream: bytes) -> Iterator[bool]:
    """Yield whether a multi-component transform was used.

    For the main header and each tile that overrides it.

    Source: ITU-T T.800 annexes A.4.2 (SOT) and A.6.1 (COD).
    """
    main, of_tile, has_tiles = False, None, False
    for marker, segment in _header_segments(codestream):
        if marker == _SOT:
            has_tiles, of_tile = True, None if segment[6:7] == b"\0" else of_tile
        elif marker == _SOD:
            yield main if of_tile is None else of_tile
        elif marker == _COD and len(segment) >= 5:
            mixes = segment[4] != 0
            main, of_tile = (main, mixes) if has_tiles else (mixes, None)
    if not has_tiles:
        yield main


def in_rgb_boxes(codestream: bytes, size: Size) -> bytes:
    """Return a codestream in JP2 boxes that declare its samples as sRGB.

    Source: ITU-T T.800 annex I.5: signature, file type, image header, and 16 for sRGB.
    """
    header = struct.pack(">IIHBBBB", size.height, size.width, 3, 7, 7, 0, 0)
    color = struct.pack(">BBBI", 1, 0, 0, 16)
    inner = _box(b"ihdr", header) + _box(b"colr", color)
    kind = _box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return _box(b"jP  ", b"\r\n\x87\n") + kind + _box(b"jp2h", inner) + _box(b"jp2c", codestream)


def _box(kind: bytes, body: bytes) -> bytes:
    return _BOX.pack(_BOX.size + len(body), kind) + body
