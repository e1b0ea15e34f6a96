"""JPEG streams by hand: walking their headers, and writing a tile of one colour from given tables.

A decoder that reads a TIFF level keeps every table that any of its tiles defines. A blank tile among
abbreviated ones must therefore use the level's shared tables and define none that is shared, or all tiles
after it decode to garbage (libtiff).

Source: ITU-T T.81 annexes B (markers), C (Huffman codes) and F.1 (baseline coding).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import imagecodecs
import numpy as np

from wsicomp.geometry import Size
from wsicomp.slide import RGB, WHITE, TileEncoding

_SOS, _EOI = 0xDA, 0xD9
DQT, DHT, APP0, ADOBE_APP = 0xDB, 0xC4, 0xE0, 0xEE
_ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
TEXT_MARKERS = frozenset({0xFE, *range(0xE1, 0xF0)} - {ADOBE_APP})
"""Segments that may hold text: COM, and APP1 to APP15 but Adobe's."""

_END_OF_BLOCK = 0

_OWN_DC = bytes([1, 0, 0, 0, 11] + [0] * 11) + bytes(range(12))
"""Category 0, no change, in one bit: all blocks but the first hold just that; 1 to 11 in five bits."""

_OWN_AC = bytes([1] + [0] * 15) + bytes([_END_OF_BLOCK])
"""End of block alone, in one bit."""


def segments(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """The marker segments before the first scan, each as (marker code, start, end) in the stream.

    A segment starts at its 0xFF byte. What follows the header, the scans, is not walked.

    Raises:
        ValueError: the bytes are not a JPEG header.
    """
    if stream[:2] != b"\xff\xd8":
        raise ValueError("JPEG stream does not start with SOI")
    position = 2
    while position + 4 <= len(stream):
        if stream[position] != 0xFF:
            raise ValueError(f"JPEG marker expected at byte {position}")
        marker = stream[position + 1]
        if marker in (_SOS, _EOI):
            return
        if marker == 0xFF:
            position += 1
            continue
        end = position + 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
        if end > len(stream):
            raise ValueError(f"JPEG segment at byte {position} ends past the stream")
        yield marker, position, end
        position = end


def without(stream: bytes, unwanted: Collection[int]) -> bytes:
    """The stream without the header segments of these markers.

    Raises:
        ValueError: the bytes are not a JPEG header.
    """
    kept, previous = [], 0
    for marker, start, end in segments(stream):
        if marker in unwanted:
            kept.append(stream[previous:start])
            previous = end
    return b"".join([*kept, stream[previous:]])


def whole_stream(data: bytes, encoding: TileEncoding) -> bytes:
    """A tile as a JPEG that any decoder reads: with the shared tables, and marked where it holds RGB.

    A tile that has no Huffman tables at all means those of the standard, and gets them.

    Raises:
        ValueError: the bytes are not a JPEG header.
    """
    standard = b""
    if not has_huffman_tables(data, encoding) or data.startswith(standard_huffman_tables(), 2):
        standard = standard_huffman_tables()
    return _head(encoding) + standard + data[2:]


def tile_of_whole_stream(whole: bytes, encoding: TileEncoding) -> bytes:
    """The tile of which `whole_stream` made this.

    Raises:
        ValueError: it did not make it.
    """
    head = _head(encoding)
    if not whole.startswith(head):
        raise ValueError("the JPEG lacks the level's tables")
    rest = whole[len(head) :]
    # `whole_stream` doubles them if they came first in the tile, so one set is always its own.
    return whole[:2] + rest.removeprefix(standard_huffman_tables())


def _head(encoding: TileEncoding) -> bytes:
    tables = encoding.jpeg_tables[2:-2] if encoding.jpeg_tables else b""
    return b"\xff\xd8" + (_ADOBE_RGB if encoding.photometric == RGB else b"") + tables


def has_huffman_tables(data: bytes, encoding: TileEncoding) -> bool:
    """Whether the tile or the level's JPEGTables define Huffman tables.

    Raises:
        ValueError: the bytes are not a JPEG header.
    """
    streams = (data, encoding.jpeg_tables) if encoding.jpeg_tables else (data,)
    return any(marker == DHT for stream in streams for marker, _, _ in segments(stream))


@cache
def standard_huffman_tables() -> bytes:
    """The four tables of ITU-T T.81 annex K.3 as DHT segments: what a decoder assumes where none are."""
    stream = bytes(imagecodecs.jpeg8_encode(np.zeros((16, 16, 3), np.uint8), optimize=False))
    return only(stream, (DHT,))


def only(stream: bytes, wanted: Collection[int]) -> bytes:
    """The header segments of these markers, joined.

    Raises:
        ValueError: the bytes are not a JPEG header.
    """
    return b"".join(stream[start:end] for marker, start, end in segments(stream) if marker in wanted)


@dataclass(frozen=True)
class _Tables:
    """What a uniform tile needs: the DC quantisation step, and code of (bits, length) by symbol."""

    step: int
    dc: Mapping[int, tuple[int, int]]
    ac: Mapping[int, tuple[int, int]]


def encode_uniform(encoding: TileEncoding, size: Size, color: tuple[int, int, int]) -> bytes:
    """A baseline tile of one colour that stands beside tiles of this encoding; under a kilobyte.

    What the encoding's JPEGTables define is used and not defined anew. White is white to the bit; other
    colours are met as closely as the quantisation allows, within 2 grey levels at quality 75.

    Raises:
        ValueError: the shared Huffman tables have no code for this colour.
    """
    shared = _read_tables(encoding.jpeg_tables)
    own, tables = _complete(shared)
    wide, high = encoding.subsampling
    adobe = _ADOBE_RGB if encoding.photometric == RGB else b""
    samples = color if encoding.photometric == RGB else _to_ycbcr(color)
    frame = b"".join(bytes([number, wide << 4 | high if number == 1 else 0x11, 0]) for number in (1, 2, 3))
    header = b"\x08" + size.height.to_bytes(2, "big") + size.width.to_bytes(2, "big") + b"\x03" + frame
    scan = b"\x03" + b"".join(bytes([number, 0]) for number in (1, 2, 3)) + b"\x00\x3f\x00"
    units = math.ceil(size.width / (8 * wide)) * math.ceil(size.height / (8 * high))
    try:
        data = _scan_data([_level(sample, tables.step) for sample in samples], wide * high, units, tables)
    except KeyError as exc:
        raise ValueError(f"the level's JPEGTables have no code for category {exc}") from exc
    parts = [b"\xff\xd8", adobe, *own, _segment(0xC0, header), _segment(_SOS, scan), data, b"\xff\xd9"]
    return b"".join(parts)


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def _read_tables(stream: bytes | None) -> dict[str, bytes]:
    """The bodies of the first tables in JPEGTables by what they are: `step`, `dc` and `ac` of slot 0."""
    found: dict[str, bytes] = {}
    for marker, start, end in segments(stream) if stream else ():
        body = stream[start + 4 : end] if stream else b""
        while body and marker == DQT:
            length = 1 + 64 * (1 + (body[0] >> 4))
            if body[0] & 15 == 0:
                found["step"] = body[1 : 2 + (body[0] >> 4)]
            body = body[length:]
        while body and marker == DHT:
            length = 17 + sum(body[1:17])
            if body[0] & 15 == 0:
                found["ac" if body[0] >> 4 else "dc"] = body[1:length]
            body = body[length:]
    return found


def _complete(shared: Mapping[str, bytes]) -> tuple[list[bytes], _Tables]:
    """The segments that define what is not shared, and all tables as they then stand."""
    own, step = [], 1
    if "step" in shared:
        step = int.from_bytes(shared["step"], "big")
        if not step:
            raise ValueError("a quantisation step of 0 in JPEGTables")
    else:
        own.append(_segment(DQT, b"\x00" + b"\x01" * 64))
    if "dc" not in shared:
        own.append(_segment(DHT, b"\x00" + _OWN_DC))
    if "ac" not in shared:
        own.append(_segment(DHT, b"\x10" + _OWN_AC))
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
    """The quantised DC coefficient of a block whose samples are all equal."""
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
