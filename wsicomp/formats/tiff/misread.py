"""Slides that OpenSlide opens and shows in wrong colours or not at all, and that wsicomp reads itself."""

from __future__ import annotations

import contextlib
from itertools import islice
from pathlib import Path

import tifffile

from wsicomp.codecs import jpeg2000, jpeg_stream
from wsicomp.codecs.jpeg2000_stream import BOXED
from wsicomp.formats.tiff.directories import TIFF_MAGIC, UNPARSED
from wsicomp.slide import APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR, JPEG

_SAMPLES = 16


def openslide_misreads(path: Path) -> bool:
    """Return whether OpenSlide misreads one of a TIFF's first stored tiles; False for an unreadable file.

    OpenSlide converts RGB under Aperio's 33003 from YCbCr. It fails at JPEG 2000 in JP2 boxes, and at an
    Adobe segment with a transform that it does not know. OpenSlide itself is not asked.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) not in TIFF_MAGIC:
                return False
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            compression = int(page.compression)
            if compression not in (JPEG, APERIO_JPEG2000_YCBCR, APERIO_JPEG2000_RGB):
                return False
            ranges = zip(page.dataoffsets, page.databytecounts, strict=True)
            stored = islice((place for place in ranges if place[1]), _SAMPLES)
            return any(_is_misread(_read(tiff, *place), compression) for place in stored)
    except UNPARSED:
        return False


def _read(tiff: tifffile.TiffFile, offset: int, count: int) -> bytes:
    if offset + count > tiff.filehandle.size:
        return b""
    tiff.filehandle.seek(offset)
    return tiff.filehandle.read(count)


def _is_misread(data: bytes, compression: int) -> bool:
    with contextlib.suppress(ValueError):
        if compression == JPEG:
            return jpeg_stream.has_unknown_transform(data)
        return data.startswith(BOXED) or jpeg2000.true_compression(data, compression) != compression
    return False
