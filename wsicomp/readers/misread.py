"""Slides that OpenSlide opens and then shows in wrong colours, or not at all, and that we read ourselves."""

from __future__ import annotations

from pathlib import Path

import tifffile

from wsicomp.codecs import jpeg2000, jpeg_stream
from wsicomp.readers.directories import TIFF_MAGIC
from wsicomp.slide import APERIO_JPEG2000_YCBCR, JPEG


def openslide_misreads(path: Path) -> bool:
    """Whether the first tile that a TIFF stores is one of those; a file that cannot be read is none.

    RGB under Aperio's 33003 it converts from YCbCr; at an Adobe segment of a transform that it does not know
    it fails, though what it would say is not what decides.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) not in TIFF_MAGIC:
                return False
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            compression = int(page.compression)
            if compression not in (JPEG, APERIO_JPEG2000_YCBCR):
                return False
            stored = zip(page.dataoffsets, page.databytecounts, strict=True)
            offset, count = next((offset, count) for offset, count in stored if count)
            tiff.filehandle.seek(offset)
            data = tiff.filehandle.read(count)
            if compression == JPEG:
                return jpeg_stream.has_unknown_transform(data)
            return jpeg2000.true_compression(data, compression) != compression
    except (tifffile.TiffFileError, OSError, ValueError, TypeError, LookupError, StopIteration):
        return False
