"""JPEG streams by hand: walk their headers, and fix their colours and tables.

Colours. TIFF's PhotometricInterpretation alone says whether a tile holds RGB or YCbCr, whatever JFIF and
Adobe markers or component numbers say: OpenSlide, libtiff and Pillow do it so. A library that gets the stream
alone guesses by those, so we give it a stream in which they agree with TIFF.

Tables behind the frame. A reader may put JPEGTables before a tile from its frame header on (large_image
does). In tiles that we write, all tables therefore stand behind the frame header, which JPEG allows, too.

Source: ITU-T T.81 annex B (markers).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache, lru_cache

import imagecodecs
import numpy as np
import simplejpeg

from wsicomp.geometry import Size
from wsicomp.slide import RGB, TileEncoding

_SOI = b"\xff\xd8"
SOS, EOI = 0xDA, 0xD9
_SCAN = b"\xff\xda"
DQT, DHT, APP0, ADOBE_APP = 0xDB, 0xC4, 0xE0, 0xEE
FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, 0xCC}
COLOR_MARKERS = frozenset({APP0, ADOBE_APP})
"""JFIF and Adobe segments, by which libraries guess the colour space."""
_TABLES = frozenset({DQT, DHT, 0xCC, 0xDD})
"""Segments that may stand before or behind the frame header; 0xCC and 0xDD are DAC and DRI."""

_ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
_DISGUISED_RGB = b"\xff\xee\x00\x0eAdobe\x00\x65\x00\x00\x00\x00\x00"
_DISGUISED_YCBCR = b"\xff\xe0\x00\x10JFIF\x00\x01\x02\x00WSWS\x00\x00"
"""Adobe and JFIF segments that look usual; their version and density identify them as ours."""
_DISGUISE = {APP0: 0xEA, 0xEA: APP0, ADOBE_APP: 0xEB, 0xEB: ADOBE_APP}
_RGB_NUMBERS, _YCBCR_NUMBERS = b"RGB", b"\x01\x02\x03"
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
TEXT_MARKERS = frozenset({0xFE, *range(0xE1, 0xF0)} - {ADOBE_APP})
"""Segments that may hold text: COM, and APP1 to APP15 except Adobe's."""

_MOST_SCANS, _USUAL_SCANS, _MOST_SCANNED_PX = 500, 64, 1 << 29
"""libjpeg's own progressive JPEG has 10 scans, its tests go up to 500."""


def segments(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker code, start, end) of each marker segment before the first scan.

    A segment starts at its 0xFF byte. Scans are not walked.

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
        if marker in (SOS, EOI):
            return
        if marker == 0xFF:
            position += 1
            continue
        end = position + 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
        if end > len(stream):
            raise ValueError(f"JPEG segment at byte {position} ends past the stream")
        yield marker, position, end
        position = end


def check_scans(stream: bytes, size: Size) -> None:
    """Refuse a JPEG with more scans than any encoder writes: a decoder processes the whole tile for each.

    Raises:
        ValueError: the stream has too many scans for a tile of this size.
    """
    most = max(_USUAL_SCANS, min(_MOST_SCANS, _MOST_SCANNED_PX // max(1, size.width * size.height)))
    # To count single bytes takes a quarter of the time, and settles it for all usual tiles.
    if stream.count(SOS) <= most:
        return
    found = stream.count(_SCAN)
    if found > most:
        raise ValueError(f"JPEG of {found} scans, expected at most {most}")


def check_size(stream: bytes, size: Size) -> None:
    """Refuse a whole JPEG of another size than its tile's.

    Raises:
        ValueError: the size differs, or the bytes are no JPEG.
    """
    height, width, _, _ = simplejpeg.decode_jpeg_header(stream)
    if (height, width) != size.shape:
        raise ValueError(f"JPEG of {width} x {height} px, expected {size}")


def segment_of(marker: int, body: bytes) -> bytes:
    """Return a segment with its marker and length."""
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def without_segments(stream: bytes, unwanted: Collection[int]) -> bytes:
    """Return the stream without header segments of these markers.

    Raises:
        ValueError: the bytes are not a JPEG header.
    """
    kept, previous = [], 0
    for marker, start, end in segments(stream):
        if marker in unwanted:
            kept.append(stream[previous:start])
            previous = end
    return b"".join([*kept, stream[previous:]])


def decodable_stream(data: bytes, encoding: TileEncoding) -> bytes:
    """Return a tile as a JPEG that every decoder shows in the colours that TIFF states.

    It includes the shared tables, and the standard Huffman tables if there are none.

    Raises:
        ValueError: the bytes are not a JPEG header.
    """
    if not data.startswith(_SOI):
        raise ValueError("JPEG stream does not start with SOI")
    head, has_tables = _decodable_head(encoding)
    has_tables = has_tables or any(marker == DHT for marker, _, _ in segments(data))
    body = 2
    if encoding.photometric != RGB:
        # A JFIF segment, as the head has one, wins over all others; the tile's own could be of no version.
        body += 2 + int.from_bytes(data[4:6], "big") if data[2:4] == b"\xff\xe0" else 0
    elif any(marker in COLOR_MARKERS for marker, _, _ in segments(data)):
        data = without_segments(data, COLOR_MARKERS)
    return head + (b"" if has_tables else standard_huffman_tables()) + data[body:]


@lru_cache(maxsize=64)
def _decodable_head(encoding: TileEncoding) -> tuple[bytes, bool]:
    """Return what stands before a tile's own segments, and whether it has Huffman tables."""
    parts = [_SOI, _ADOBE_RGB if encoding.photometric == RGB else _DISGUISED_YCBCR]
    has_tables = False
    tables = encoding.jpeg_tables
    for marker, start, end in segments(tables) if tables else ():
        if marker not in COLOR_MARKERS:
            parts.append(tables[start:end] if tables else b"")
        has_tables |= marker == DHT
    return b"".join(parts), has_tables


def whole_stream(data: bytes, encoding: TileEncoding) -> bytes:
    """Return a tile as a JPEG for JPEG XL to pack; `tile_of_whole_stream` turns it into the tile again.

    A tile without any Huffman tables means the standard ones, and gets them. Where libjxl would guess other
    colours than TIFF states, JFIF and Adobe segments are disguised as others.

    Raises:
        ValueError: the bytes are not a JPEG header, or their segments cannot be disguised.
    """
    standard = b""
    if not has_huffman_tables(data, encoding) or data.startswith(standard_huffman_tables(), 2):
        standard = standard_huffman_tables()
    if not _misleads(data, encoding):
        return _head(encoding) + standard + data[2:]
    whole = _disguised_head(encoding) + standard + _disguised(data)[2:]
    if sum(marker in COLOR_MARKERS for marker, _, _ in segments(whole)) > 1:
        raise ValueError("JPEG that already has the segments as which JFIF and Adobe segments are disguised")
    return whole


def tile_of_whole_stream(whole: bytes, encoding: TileEncoding) -> bytes:
    """Return the tile from which `whole_stream` made this stream.

    Raises:
        ValueError: `whole_stream` did not make the stream.
    """
    disguised = whole.startswith((_SOI + _DISGUISED_RGB, _SOI + _DISGUISED_YCBCR))
    head = _disguised_head(encoding) if disguised else _head(encoding)
    if not whole.startswith(head):
        raise ValueError("the JPEG lacks the level's shared tables")
    rest = whole[len(head) :]
    # `whole_stream` doubles them if they came first in the tile, so one set is always its own.
    tile = whole[:2] + rest.removeprefix(standard_huffman_tables())
    return _disguised(tile) if disguised else tile


def _head(encoding: TileEncoding) -> bytes:
    tables = encoding.jpeg_tables[2:-2] if encoding.jpeg_tables else b""
    return _SOI + (_ADOBE_RGB if encoding.photometric == RGB else b"") + tables


def _disguised_head(encoding: TileEncoding) -> bytes:
    tables = _disguised(encoding.jpeg_tables)[2:-2] if encoding.jpeg_tables else b""
    return _SOI + (_DISGUISED_RGB if encoding.photometric == RGB else _DISGUISED_YCBCR) + tables


def _disguised(stream: bytes) -> bytes:
    """Return the stream with JFIF and Adobe markers swapped for others and back: twice, it is unchanged."""
    changed = bytearray(stream)
    for marker, start, _ in segments(stream):
        changed[start + 1] = _DISGUISE.get(marker, marker)
    return bytes(changed)


def _misleads(data: bytes, encoding: TileEncoding) -> bool:
    """Return whether libjxl would guess other colours than TIFF states, or the stream looks disguised.

    Source: libjxl 0.11 `SetColorTransformFromJpegData`: any APP0 means YCbCr; else the first Adobe segment of
    the usual length decides, and without one the numbers of the components.
    """
    plain = _head(encoding) + data[2:]
    found = list(segments(plain))
    behind = found[-1][2] if found else 2
    if any(plain.find(bytes((0xFF, marker)), behind) >= 0 for marker in COLOR_MARKERS):
        raise ValueError("JFIF or Adobe segments behind the JPEG header")
    has_jfif = any(marker == APP0 for marker, _, _ in found)
    if encoding.photometric == RGB:
        return has_jfif or plain.startswith(_DISGUISED_RGB, 2)
    if has_jfif:
        return plain.startswith(_DISGUISED_YCBCR, 2)
    for marker, start, end in found:
        if marker == ADOBE_APP and end - start == len(_ADOBE_RGB) and plain.startswith(b"Adobe", start + 4):
            return plain[end - 1] == 0
    return any(
        plain[start + 10 : end : 3] == _RGB_NUMBERS for marker, start, end in found if marker in FRAMES
    )


def has_unknown_transform(data: bytes) -> bool:
    """Return whether the Adobe segment states a colour transform other than 0 or 1, of which libjpeg warns.

    With a JFIF segment the Adobe segment does not count. Readers that take warnings for errors refuse the
    tile.

    Raises:
        ValueError: the bytes are not a JPEG header.
    """
    found = [(marker, data[start:end]) for marker, start, end in segments(data)]
    if any(marker == APP0 and segment[4:9] == b"JFIF\0" for marker, segment in found):
        return False
    adobe = [segment for marker, segment in found if marker == ADOBE_APP and segment[4:9] == b"Adobe"]
    return bool(adobe) and len(adobe[-1]) >= len(_ADOBE_RGB) and adobe[-1][15] > 1


def tables_behind_frame(stream: bytes) -> bytes:
    """Return the stream with the tables before its frame header moved behind it, in their order.

    Raises:
        ValueError: the bytes are not a JPEG header.
    """
    kept: list[bytes] = []
    moved: list[bytes] = []
    at = 0
    for marker, start, end in segments(stream):
        if marker in FRAMES:
            return b"".join([*kept, stream[at:end], *moved, stream[end:]])
        if marker in _TABLES:
            kept.append(stream[at:start])
            moved.append(stream[start:end])
            at = end
    return stream


def with_plain_colors(stream: bytes, photometric: int) -> bytes:
    """Return the stream without JFIF and Adobe segments, its components numbered so that none is needed.

    Raises:
        ValueError: the bytes are not a JPEG header of three components.
    """
    changed = bytearray(without_segments(stream, COLOR_MARKERS))
    numbers: dict[int, int] = {}
    at = 2
    while (found := MARKER.search(changed, at)) and found[0][1] != EOI:
        marker, start = found[0][1], found.start()
        at = start + 2 + int.from_bytes(changed[start + 2 : start + 4], "big")
        if marker in FRAMES:
            before = changed[start + 10 : at : 3]
            numbers = dict(zip(before, component_numbers(photometric), strict=True))
            changed[start + 10 : at : 3] = bytes(numbers[number] for number in before)
        elif marker == SOS:
            place = slice(start + 5, start + 5 + 2 * changed[start + 4], 2)
            changed[place] = bytes(numbers[number] for number in changed[place])
    return bytes(changed)


def component_numbers(photometric: int) -> bytes:
    """Return component numbers by which a library guesses the right colours if there is nothing else."""
    return _RGB_NUMBERS if photometric == RGB else _YCBCR_NUMBERS


def has_huffman_tables(data: bytes, encoding: TileEncoding) -> bool:
    """Return whether the tile or the level's JPEGTables define Huffman tables.

    Raises:
        ValueError: the bytes are not a JPEG header.
    """
    streams = (data, encoding.jpeg_tables) if encoding.jpeg_tables else (data,)
    return any(marker == DHT for stream in streams for marker, _, _ in segments(stream))


@cache
def standard_huffman_tables() -> bytes:
    """Return the four tables of ITU-T T.81 annex K.3 as DHT segments.

    Decoders assume them if a stream has none.
    """
    stream = bytes(imagecodecs.jpeg8_encode(np.zeros((16, 16, 3), np.uint8), optimize=False))
    return only_segments(stream, (DHT,))


def only_segments(stream: bytes, wanted: Collection[int]) -> bytes:
    """Return the header segments of these markers, joined.

    Raises:
        ValueError: the bytes are not a JPEG header.
    """
    return b"".join(stream[start:end] for marker, start, end in segments(stream) if marker in wanted)


def tables_of(marker: int, body: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield (class, slot, start, end) of each table in the body of a DQT or DHT segment; nothing for others.

    The class is 1 for steps of 16 bits, and for AC tables. The end of a damaged table can lie behind the
    body's.
    """
    start = 0
    while start < len(body) and marker in (DQT, DHT):
        kind, number = body[start] >> 4, body[start] & 15
        length = 1 + 64 * (1 + kind) if marker == DQT else 17 + sum(body[start + 1 : start + 17])
        yield kind, number, start, start + length
        start += length
