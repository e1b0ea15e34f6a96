"""A JPEG tile of one colour that can stand beside others in a TIFF level.

A decoder of a TIFF level keeps every table that any tile defines. A blank tile among abbreviated ones must
therefore use the level's shared tables and redefine none of them, or all tiles after it decode to garbage
(libtiff).

Source: ITU-T T.81 annexes B (markers), C (Huffman codes) and F.1 (baseline coding).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from wsicomp.codecs.jpeg_stream import DHT, DQT, component_numbers, segment_of, segments, tables_of
from wsicomp.geometry import Size
from wsicomp.slide import RGB, WHITE, TileEncoding

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SOF0, _SOS = 0xC0, 0xDA

_END_OF_BLOCK = 0

_OWN_DC = bytes([1, 0, 0, 0, 11] + [0] * 11) + bytes(range(12))
"""Category 0, no change, in one bit, since all blocks but the first have only that; 1 to 11 in five bits."""

_OWN_AC = bytes([1] + [0] * 15) + bytes([_END_OF_BLOCK])
"""The end of a block only, in one bit."""


@dataclass(frozen=True)
class _Tables:
    """The tables that a uniform tile needs."""

    step: int
    """The DC quantisation step."""
    dc: Mapping[int, tuple[int, int]]
    """(bits, length) of each DC symbol."""
    ac: Mapping[int, tuple[int, int]]
    """(bits, length) of each AC symbol."""


def encode_uniform(encoding: TileEncoding, size: Size, color: tuple[int, int, int]) -> bytes:
    """Return a baseline tile of one colour that can stand beside tiles of this encoding; under a kilobyte.

    It uses the encoding's JPEGTables and redefines none of them. White is exact. Other colours are as close
    as the quantisation allows: within 2 grey levels at quality 75.

    Raises:
        ValueError: the shared Huffman tables have no code for this colour, or a quantisation step is 0.
    """
    shared = _read_tables(encoding.jpeg_tables)
    own, tables = _complete(shared)
    wide, high = encoding.subsampling
    samples = color if encoding.photometric == RGB else _to_ycbcr(color)
    numbers = component_numbers(encoding.photometric)
    factors = (wide << 4 | high, 0x11, 0x11)
    frame = b"".join(bytes([number, factor, 0]) for number, factor in zip(numbers, factors, strict=True))
    header = b"\x08" + size.height.to_bytes(2, "big") + size.width.to_bytes(2, "big") + b"\x03" + frame
    scan = b"\x03" + b"".join(bytes([number, 0]) for number in numbers) + b"\x00\x3f\x00"
    units = math.ceil(size.width / (8 * wide)) * math.ceil(size.height / (8 * high))
    try:
        data = _scan_data([_level(sample, tables.step) for sample in samples], wide * high, units, tables)
    except KeyError as exc:
        raise ValueError(f"the level's JPEGTables have no code for category {exc}") from exc
    parts = [_SOI, segment_of(_SOF0, header), *own, segment_of(_SOS, scan), data, _EOI]
    return b"".join(parts)


def _read_tables(stream: bytes | None) -> dict[str, bytes]:
    """Return the first tables in JPEGTables by kind: `step`, `dc` and `ac` of slot 0."""
    found: dict[str, bytes] = {}
    for marker, start, end in segments(stream) if stream else ():
        body = stream[start + 4 : end] if stream else b""
        for kind, number, at, behind in tables_of(marker, body):
            if number == 0 and marker == DQT:
                found["step"] = body[at + 1 : at + 2 + kind]
            elif number == 0:
                found["ac" if kind else "dc"] = body[at + 1 : behind]
    return found


def _complete(shared: Mapping[str, bytes]) -> tuple[list[bytes], _Tables]:
    """Return segments that define the tables that are not shared, and all tables."""
    own, step = [], 1
    if "step" in shared:
        step = int.from_bytes(shared["step"], "big")
        if not step:
            raise ValueError("a quantisation step of 0 in JPEGTables")
    else:
        own.append(segment_of(DQT, b"\x00" + b"\x01" * 64))
    if "dc" not in shared:
        own.append(segment_of(DHT, b"\x00" + _OWN_DC))
    if "ac" not in shared:
        own.append(segment_of(DHT, b"\x10" + _OWN_AC))
    return own, _Tables(step, _codes(shared.get("dc", _OWN_DC)), _codes(shared.get("ac", _OWN_AC)))


def _codes(table: bytes) -> dict[int, tuple[int, int]]:
    codes, code, position = {}, 0, 16
    for length, count in enumerate(table[:16], 1):
        for symbol in table[position : position + count]:
            codes[symbol] = (code, length)
            code += 1
        position += count
        code <<= 1
    return codes


def _level(sample: float, step: int) -> int:
    """Return the quantised DC coefficient of a block with equal samples."""
    exact = (sample - 128) * 8 / step
    # Above the brightest value a decoder clips, so that white stays white.
    return math.ceil(exact) if sample >= WHITE[0] else round(exact)


def _scan_data(levels: list[int], luma_blocks: int, units: int, tables: _Tables) -> bytes:
    same = _joined(tables.dc[0], tables.ac[_END_OF_BLOCK])
    first = [same] * (luma_blocks + 2)
    for position, level in ((0, levels[0]), (luma_blocks, levels[1]), (luma_blocks + 1, levels[2])):
        category = abs(level).bit_length()
        bits = level if level > 0 else level + (1 << category) - 1
        first[position] = _joined(tables.dc[category], (bits, category), tables.ac[_END_OF_BLOCK])
    text = "".join(f"{bits:0{length}b}" for bits, length in first)
    text += f"{same[0]:0{same[1]}b}" * ((units - 1) * (luma_blocks + 2))
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")


def _joined(*codes: tuple[int, int]) -> tuple[int, int]:
    bits, total = 0, 0
    for code, length in codes:
        bits, total = bits << length | code, total + length
    return bits, total


def _to_ycbcr(color: tuple[int, int, int]) -> tuple[float, float, float]:
    """Source: JFIF 1.02."""
    red, green, blue = color
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return luma, 128 + (blue - luma) * 0.564, 128 + (red - luma) * 0.713
