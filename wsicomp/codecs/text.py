"""Text inside of encoded tiles: comments and metadata, which could name a patient.

Source: ITU-T T.81 annex B (JPEG), T.800 annex A (JPEG 2000), ISO/IEC 18181-2 (JPEG XL boxes), WebP container.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from wsicomp.codecs.jpeg_stream import ADOBE_APP, APP0, TEXT_MARKERS, segments
from wsicomp.slide import (
    APERIO_JPEG2000_RGB,
    APERIO_JPEG2000_YCBCR,
    JPEG,
    JPEGXL,
    JPEGXL_DNG,
    WEBP,
    EncodedTile,
)

_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_EOI, _START_OF_TILE, _J2K_COMMENT = 0xD9, 0x90, 0x64
_JFIF_BYTES, _ADOBE_BYTES = 18, 16
_ENCODERS = re.compile(
    rb"(Kakadu|Kdu|Created by|Creator: |OpenJPEG|JasPer|Aware|Matrox|Grok|Pillow)[\x20-\x7e\0]*"
)
_CHUNKS = {
    JPEGXL: (b"Exif", b"xml ", b"brob"),
    JPEGXL_DNG: (b"Exif", b"xml ", b"brob"),
    WEBP: (b"EXIF", b"XMP "),
}


def holds_text(tile: EncodedTile) -> bool:
    """Whether a tile has room for words besides its picture, or is too broken to tell.

    Names of encoders, JFIF and Adobe segments of the standard's length, and zeros after the end do not count.
    """
    compression = tile.encoding.compression
    try:
        if compression == JPEG:
            tables = tile.encoding.jpeg_tables
            return _jpeg_holds_text(tile.data) or (tables is not None and _jpeg_holds_text(tables))
        if compression in (APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR):
            return any(_ENCODERS.fullmatch(text) is None for text in _comments(tile.data))
    except ValueError:
        return True
    return any(name in tile.data for name in _CHUNKS.get(compression, ()))


def _jpeg_holds_text(stream: bytes) -> bool:
    """Headers first, and then whatever markers stand in and behind the scans."""
    end = 2
    for marker, start, end in segments(stream):
        length = end - start
        if marker in TEXT_MARKERS or (marker == APP0 and not _is_plain_jfif(stream[start:end])):
            return True
        if marker == ADOBE_APP and length != _ADOBE_BYTES:
            return True
    for found in _MARKER.finditer(stream, end):
        marker = found[1][0]
        if marker in TEXT_MARKERS or marker == APP0:
            return True
        if marker == _EOI:
            return any(stream[found.end() :])
    return False


def _is_plain_jfif(segment: bytes) -> bool:
    return len(segment) == _JFIF_BYTES and segment[4:9] == b"JFIF\0"


def _comments(stream: bytes) -> Iterator[bytes]:
    """The comments of a JPEG 2000 codestream's main header."""
    position = 2
    while position + 4 <= len(stream):
        if stream[position] != 0xFF:
            raise ValueError(f"JPEG 2000 marker expected at byte {position}")
        marker, length = stream[position + 1], int.from_bytes(stream[position + 2 : position + 4], "big")
        if marker == _START_OF_TILE:
            return
        if marker == _J2K_COMMENT:
            yield stream[position + 6 : position + 2 + length]
        position += 2 + max(2, length)
