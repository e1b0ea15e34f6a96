"""Encoded tiles rebuilt from what a decoder needs, with no room for a word besides the picture.

What no decoder reads goes: comments, application data, tables that no scan uses, foreign chunks and boxes,
and what stands behind the end. A tile with nothing of the kind keeps its very bytes. Whoever rebuilds one
decodes it before and after.

Source: ITU-T T.81 annexes B and F (JPEG), T.800 annex A (JPEG 2000), ISO/IEC 18181 (JPEG XL), WebP container,
RFC 8878 (Zstandard).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import imagecodecs
import numpy as np

from wsicomp.codecs import plain
from wsicomp.codecs.jpeg2000_header import check_main_header
from wsicomp.codecs.jpeg_stream import (
    ADOBE_APP,
    APP0,
    DHT,
    DQT,
    FRAMES,
    MARKER,
    TEXT_MARKERS,
    tables_of,
)
from wsicomp.codecs.jpegxl_header import read_picture, shortened
from wsicomp.codecs.jpegxl_stream import codestream
from wsicomp.codecs.registry import tile_format
from wsicomp.codecs.vp8_header import first_partition, with_shorter_first
from wsicomp.slide import (
    APERIO_JPEG2000_RGB,
    APERIO_JPEG2000_YCBCR,
    JPEG,
    JPEGXL,
    JPEGXL_DNG,
    WEBP,
    EncodedTile,
)

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SOS_MARKER, _EOI_MARKER, _COM, _DRI = 0xDA, 0xD9, 0xFE, 0xDD
_PROGRESSIVE = 0xC2
_HUFFMAN = frozenset({0xC0, 0xC1, _PROGRESSIVE})
_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
_ADOBE_BYTES = len(_ADOBE) + 1
_MOST_DENSITY = 1200
_WORDS = re.compile(rb"[ -~]{4,}")
_LEAST_TAIL = 4


def bare(tile: EncodedTile, tables: bytes | None) -> EncodedTile:
    """The tile without what no decoder needs, to stand beside JPEGTables of `tables`.

    Raises:
        ValueError, RuntimeError: it cannot be rebuilt, or what is left still holds more than its picture.
    """
    compression = tile.encoding.compression
    if compression == JPEG:
        data = _bare_jpeg(tile, tables)
        return EncodedTile(data, replace(tile.encoding, jpeg_tables=tables), tile.size)
    if compression in plain.COMPRESSIONS:
        return replace(tile, data=_bare_samples(tile))
    rebuild = {
        APERIO_JPEG2000_RGB: _bare_jpeg2000,
        APERIO_JPEG2000_YCBCR: _bare_jpeg2000,
        JPEGXL: _bare_jpegxl,
        JPEGXL_DNG: _bare_jpegxl,
        WEBP: _bare_webp,
    }
    return replace(tile, data=rebuild[compression](tile))


# JPEG


@dataclass(eq=False)
class _Table:
    """A quantisation or Huffman table: which one it defines, and whether a scan goes by this definition."""

    key: tuple[int, int, int]
    body: bytes
    used: bool = False


@dataclass(eq=False)
class _Part:
    """A segment of a stream; of a scan with what is coded behind it."""

    marker: int
    segment: bytes
    coded: bytes = b""
    tables: tuple[_Table, ...] = ()


def shared_tables(tile: EncodedTile) -> bytes | None:
    """Of the tile's JPEGTables those that it uses; None where it uses none.

    Raises:
        ValueError: the tile is damaged.
    """
    shared = _shared_parts(tile.encoding.jpeg_tables)
    _mark_used(shared, _parts(tile.data))
    kept = b"".join(filter(None, map(_written, shared)))
    return _SOI + kept + _EOI if kept else None


def _shared_parts(tables: bytes | None) -> list[_Part]:
    return [] if tables is None else [part for part in _parts(tables, of_tables=True) if part.tables]


def _parts(stream: bytes, of_tables: bool = False) -> list[_Part]:
    if not stream.startswith(_SOI):
        raise ValueError("JPEG stream does not start with SOI")
    parts: list[_Part] = []
    at = 2
    while at + 2 <= len(stream):
        if stream[at] != 0xFF:
            raise ValueError(f"JPEG marker expected at byte {at}")
        marker = stream[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == _EOI_MARKER:
            return parts
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if end > len(stream) or end < at + 4:
            raise ValueError(f"JPEG segment at byte {at} ends past the stream")
        segment, coded = stream[at:end], b""
        if marker == _SOS_MARKER:
            found = MARKER.search(stream, end)
            if found is None:
                raise ValueError("JPEG without an end")
            coded = stream[end : found.start()].rstrip(b"\xff")
            end = found.start()
        parts.append(_Part(marker, segment, coded, tuple(_tables(marker, segment[4:]))))
        at = end
    if of_tables:
        return parts
    raise ValueError("JPEG without an end")


def _tables(marker: int, body: bytes) -> Iterator[_Table]:
    for kind, number, start, end in tables_of(marker, body):
        if end > len(body) or kind > 1 or number > 3:
            raise ValueError("JPEG with a damaged table")
        yield _Table((marker, 0 if marker == DQT else kind, number), body[start:end])


def _mark_used(shared: list[_Part], parts: list[_Part]) -> None:
    """Note which definitions of tables the scans go by."""
    defined = {table.key: table for part in shared for table in part.tables}
    components: dict[int, int] = {}
    frame = 0
    for part in parts:
        for table in part.tables:
            defined[table.key] = table
        if part.marker in FRAMES:
            frame, components = part.marker, _components(part)
        elif part.marker == _SOS_MARKER:
            for key in _used(frame, part, components):
                if key in defined:
                    _check_table(frame, defined[key])
                    defined[key].used = True


def _components(part: _Part) -> dict[int, int]:
    """Which quantisation table each component has."""
    body = part.segment[4:]
    if part.marker not in _HUFFMAN or len(body) != 15 or body[5] != 3:
        raise ValueError("JPEG of an unusual frame")
    return dict(zip(body[6::3], body[8::3], strict=True))


def _used(frame: int, part: _Part, components: dict[int, int]) -> Iterator[tuple[int, int, int]]:
    body = part.segment[4:]
    count = body[0]
    if not frame or len(body) != 4 + 2 * count:
        raise ValueError("JPEG with a damaged scan")
    first, fine = body[1 + 2 * count], body[3 + 2 * count] >> 4
    for number, places in zip(body[1 : 1 + 2 * count : 2], body[2 : 2 + 2 * count : 2], strict=True):
        if number not in components:
            raise ValueError("JPEG with a scan of no component")
        yield DQT, 0, components[number]
        if frame != _PROGRESSIVE or (not first and not fine):
            yield DHT, 0, places >> 4
        if frame != _PROGRESSIVE or first:
            yield DHT, 1, places & 15


def _check_table(frame: int, table: _Table) -> None:
    """Refuse a Huffman table whose symbols no coefficient can have, for they could be letters."""
    marker, kind, _ = table.key
    symbols = table.body[17:]
    if marker != DHT:
        return
    if kind == 0:
        is_sound = all(symbol <= 11 for symbol in symbols)
    else:
        is_sound = all(
            1 <= symbol & 15 <= 10 or symbol in (0, 0xF0) or frame == _PROGRESSIVE for symbol in symbols
        )
    if not is_sound or len(set(symbols)) < len(symbols):
        raise ValueError("JPEG with symbols that code nothing")


def _written(part: _Part) -> bytes:
    """The segment, of tables those that are used, in it."""
    kept = [table.body for table in part.tables if table.used]
    if len(kept) == len(part.tables):
        return part.segment
    body = b"".join(kept)
    return part.segment[:2] + (len(body) + 2).to_bytes(2, "big") + body if kept else b""


def _bare_jpeg(tile: EncodedTile, tables: bytes | None) -> bytes:
    shared, parts = _shared_parts(tile.encoding.jpeg_tables), _parts(tile.data)
    _mark_used(shared, parts)
    there = {table.key: table.body for part in _shared_parts(tables) for table in part.tables}
    lacking = [
        table for part in shared for table in part.tables if table.used and there.get(table.key) != table.body
    ]
    stream, has_frame = [_SOI], False
    adobe = [part for part in parts if part.marker == ADOBE_APP and part.segment[4:9] == b"Adobe"][-1:]
    for part in parts:
        if part.marker in (DQT, DHT):
            stream.append(_written(part))
        elif part.marker == APP0:
            is_first = len(stream) == 1 and part.segment[4:9] == b"JFIF\0"
            stream.append(_plain_jfif(part.segment) if is_first else b"")
        elif part in adobe:
            stream.append(_plain_adobe(part.segment))
        elif part.marker == _DRI and len(part.segment) == 6:
            stream.append(part.segment)
        elif part.marker in FRAMES:
            stream += [part.segment, *map(_defined, lacking)]
            has_frame = True
        elif part.marker == _SOS_MARKER:
            stream += [part.segment, part.coded]
        elif part.marker not in TEXT_MARKERS | {ADOBE_APP}:
            raise ValueError(f"JPEG with a segment {part.marker:02x}")
    if not has_frame or not any(part.marker == _SOS_MARKER for part in parts):
        raise ValueError("JPEG without a picture")
    return b"".join([*stream, _EOI])


def _defined(table: _Table) -> bytes:
    return bytes([0xFF, table.key[0]]) + (len(table.body) + 2).to_bytes(2, "big") + table.body


def _plain_jfif(segment: bytes) -> bytes:
    """As it is if it states a density like others, and has no picture of its own."""
    if len(segment) == len(_JFIF) and segment[9] == 1 and segment[10] <= 2 and segment[11] <= 2:
        across, down = struct.unpack_from(">HH", segment, 12)
        if max(across, down) <= _MOST_DENSITY and not any(segment[16:]):
            return segment
    return _JFIF


def _plain_adobe(segment: bytes) -> bytes:
    """As it is if its flags are those of others; the last byte names the transform."""
    if len(segment) < _ADOBE_BYTES:
        return b""
    is_usual = segment[9:11] in (b"\0\x64", b"\0\x65") and segment[11] in (0, 0x40, 0x80, 0xC0)
    if is_usual and not any(segment[12:15]) and len(segment) == _ADOBE_BYTES:
        return segment
    return _ADOBE + segment[_ADOBE_BYTES - 1 : _ADOBE_BYTES]


# JPEG 2000

_SOT, _SOD = 0x90, 0x93
_TEXT_AND_LENGTHS = frozenset({0x64, 0x55, 0x57, 0x58, 0x63})
"""COM, and what only speeds up a search for parts: TLM, PLM, PLT; and CRG, which no decoder goes by."""


@dataclass(frozen=True)
class _TilePart:
    """A part of a tile: how its SOT begins and ends, whether it says the part's length, and what is coded."""

    tile: bytes
    places: bytes
    has_length: bool
    coded: bytes

    def written(self) -> bytes:
        length = 12 + 2 + len(self.coded) if self.has_length else 0
        return self.tile + length.to_bytes(4, "big") + self.places + b"\xff\x93" + self.coded


def _bare_jpeg2000(tile: EncodedTile) -> bytes:
    stream = tile.data
    segments, at = _header(stream, 2, _SOT)
    check_main_header([(segment[1], segment[4:]) for segment in segments])
    head, parts = stream[:2] + b"".join(segments), _tile_parts(stream, at)

    def written(number: int, count: int) -> bytes:
        """The stream, one of its parts so many bytes shorter."""
        part = parts[number]
        shorter = replace(part, coded=part.coded[: len(part.coded) - count])
        made = [*parts[:number], shorter, *parts[number + 1 :]]
        return b"".join([head, *(part.written() for part in made), b"\xff\xd9"])

    data = written(0, 0)
    shows = _shows_as(tile, data)
    for number, part in enumerate(parts):
        _refuse_words(shows, partial(written, number), part.coded)
    return data


def _tile_parts(stream: bytes, at: int) -> list[_TilePart]:
    parts: list[_TilePart] = []
    while stream[at : at + 2] != b"\xff\xd9":
        if stream[at : at + 4] != b"\xff\x90\0\x0a" or len(stream) < at + 12:
            raise ValueError("JPEG 2000 without an end")
        length = int.from_bytes(stream[at + 6 : at + 10], "big")
        segments, body = _header(stream, at + 12, _SOD)
        end = at + length if length else stream.find(b"\xff\xd9", body)
        if segments or end < body + 2 or end + 2 > len(stream):
            raise ValueError("JPEG 2000 whose part ends past the stream, or is coded in its own way")
        tile, places = stream[at : at + 6], stream[at + 10 : at + 12]
        parts.append(_TilePart(tile, places, length > 0, stream[body + 2 : end]))
        at = end
    if not parts:
        raise ValueError("JPEG 2000 without a tile")
    return parts


def _header(stream: bytes, at: int, until: int) -> tuple[list[bytes], int]:
    """The segments that code something, and where the marker stands that ends the header."""
    kept: list[bytes] = []
    while at + 4 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker == until:
            return kept, at
        length = int.from_bytes(stream[at + 2 : at + 4], "big")
        segment = stream[at : at + 2 + length]
        if length < 2 or len(segment) < 2 + length:
            break
        if marker not in _TEXT_AND_LENGTHS:
            kept.append(segment)
        at += 2 + length
    raise ValueError("JPEG 2000 with a damaged header")


def _refuse_words(shows: Callable[[bytes], bool], cut: Callable[[int], bytes], coded: bytes) -> None:
    """Refuse what is coded if its end is not needed for the same pixels and holds letters."""

    def same(count: int) -> bool:
        return shows(cut(count))

    if len(coded) <= _LEAST_TAIL or not same(_LEAST_TAIL):
        return
    spare = _most(same, _LEAST_TAIL, len(coded))
    if _WORDS.search(coded[len(coded) - spare :]):
        raise ValueError("bytes behind what is coded")


def _shows_as(tile: EncodedTile, data: bytes) -> Callable[[bytes], bool]:
    """Whether other data shows what this does as the tile's."""
    decode = tile_format(tile.encoding.compression).decode
    pixels = decode(replace(tile, data=data))

    def shows(other: bytes) -> bool:
        try:
            return np.array_equal(decode(replace(tile, data=other)), pixels)
        except (ValueError, RuntimeError):
            return False

    return shows


def _most(holds: Callable[[int], bool], least: int, too_many: int) -> int:
    """The largest number that holds, from one that does to one that does not."""
    while too_many - least > 1:
        middle = (least + too_many) // 2
        least, too_many = (middle, too_many) if holds(middle) else (least, middle)
    return least


# JPEG XL


def _bare_jpegxl(tile: EncodedTile) -> bytes:
    """The codestream alone, of plain headers, and no section longer than its decoder needs it."""
    stream = codestream(tile.data)
    picture = read_picture(stream)
    stream = stream[: picture.end]
    shows = _shows_as(tile, stream)
    for section in range(len(picture.lengths)):
        stream = _without_spare(stream, section, shows)
    return stream


def _without_spare(stream: bytes, section: int, shows: Callable[[bytes], bool]) -> bytes:
    picture = read_picture(stream)

    def same(count: int) -> bool:
        return shows(shortened(stream, picture, section, count))

    length = picture.lengths[section]
    if not length or not same(1):
        return stream
    return shortened(stream, picture, section, _most(same, 1, length + 1))


# WebP


def _bare_webp(tile: EncodedTile) -> bytes:
    """The picture's chunk alone; alpha is no part of a tile."""
    data = tile.data
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError("not a WebP file")
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind in (b"VP8 ", b"VP8L"):
            coded = data[at + 8 : at + 8 + length]
            if len(coded) < length:
                break
            made = _webp(kind, coded)
            shows = _shows_as(tile, made)
            _refuse_words(shows, partial(_shorter_webp, kind, coded), coded)
            if kind == b"VP8 ":
                _refuse_words(shows, partial(_shorter_first, coded), first_partition(coded))
            return made
        at += 8 + length + length % 2
    raise ValueError("WebP without a picture")


def _shorter_webp(kind: bytes, coded: bytes, count: int) -> bytes:
    return _webp(kind, coded[: len(coded) - count])


def _shorter_first(coded: bytes, count: int) -> bytes:
    return _webp(b"VP8 ", with_shorter_first(coded, count))


def _webp(kind: bytes, coded: bytes) -> bytes:
    chunk = struct.pack("<4sI", kind, len(coded)) + coded + bytes(len(coded) % 2)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunk), b"WEBP") + chunk


# Samples


def _bare_samples(tile: EncodedTile) -> bytes:
    """The samples as they are stored; packed anew where more is stored than they."""
    compression, length = tile.encoding.compression, tile.size.width * tile.size.height * 3
    if compression == 1:
        if len(tile.data) < length:
            raise ValueError("samples are missing")
        return tile.data[:length]
    if compression == plain.ZSTANDARD:
        samples = imagecodecs.zstd_decode(tile.data, out=length + 1)
        is_bare = len(samples) == length and _zstandard_end(tile.data) == len(tile.data)
    elif compression == 5:
        is_bare = False  # where its stream ends only its decoder knows
    else:
        is_bare = _deflate_is_bare(tile.data, length)
    return tile.data if is_bare else plain.encode(tile.encoding, plain.decode(tile))


def _deflate_is_bare(data: bytes, length: int) -> bool:
    stream = zlib.decompressobj()
    try:
        samples = stream.decompress(data, length + 1)
    except zlib.error as exc:
        raise ValueError(f"damaged deflate ({exc})") from exc
    if len(samples) < length:
        raise ValueError("samples are missing")
    return len(samples) == length and stream.eof and not stream.unused_data


def _zstandard_end(data: bytes) -> int:
    """Where the first frame ends; -1 of one that names a dictionary, or is none."""
    if data[:4] != b"\x28\xb5\x2f\xfd" or len(data) < 6:
        return -1
    descriptor = data[4]
    is_single, has_sum, dictionary = descriptor >> 5 & 1, descriptor >> 2 & 1, descriptor & 3
    if dictionary or descriptor & 0x18:
        return -1
    at = 5 + (not is_single) + (is_single, 2, 4, 8)[descriptor >> 6]
    while at + 3 <= len(data):
        block = int.from_bytes(data[at : at + 3], "little")
        kind = block >> 1 & 3
        at += 3 + (1 if kind == 1 else block >> 3)
        if block & 1:
            return at + 4 * has_sum
    return -1
