"""Readers of slides, and `open_slide`, which chooses the one that fits a file.

A reader hands out encoded tiles and pixels; it must not know tissue, plans or targets.
"""

from __future__ import annotations

import os
from pathlib import Path

from openslide import OpenSlide

from wsicomp.errors import SlideReadError
from wsicomp.inputs import check_file, reason
from wsicomp.provenance import Provenance
from wsicomp.readers import xmp
from wsicomp.readers.converted import ConvertedSlide
from wsicomp.readers.directories import TIFF_MAGIC, read_directories
from wsicomp.readers.openslide import OpenSlideSlide
from wsicomp.readers.tiff import TiffSlide
from wsicomp.slide import Slide
from wsicomp.version import PROGRAM

_TIFF_VENDORS = (None, "aperio", "generic-tiff")


def open_tiff(path: Path) -> TiffSlide:
    """Open a tiled TIFF, a `ConvertedSlide` where wsicomp wrote it.

    Raises:
        SlideReadError, UnsupportedSlideError: as `open_slide`.
    """
    check_file(path)
    directories = read_directories(path)
    first = directories[0]
    try:
        text = xmp.unwrap(first.xmp)
        if text is not None:
            return ConvertedSlide(path, directories, Provenance.from_text(text))
        if first.software.startswith(f"{PROGRAM} "):
            message = "wsicomp wrote it, but its provenance is missing; take the file from a copy"
            raise SlideReadError(message, place="XMP packet")
    except SlideReadError as exc:
        raise type(exc)(exc.message, path, exc.place) from exc
    return TiffSlide(path, directories)


def open_slide(path: str | os.PathLike[str]) -> Slide:
    """Open a slide: Aperio SVS and tiled TIFF tile by tile, whatever else OpenSlide reads as pixels.

    Raises:
        SlideReadError: there is no such file, it is damaged, or nothing here reads it.
        UnsupportedSlideError: it is an image, but not an 8-bit bright-field slide.
    """
    path = Path(path)
    check_file(path)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        vendor = OpenSlide.detect_format(path)
    except OSError as exc:
        raise SlideReadError(reason(exc), path) from exc
    if magic in TIFF_MAGIC and vendor in _TIFF_VENDORS:
        return open_tiff(path)
    if vendor is None:
        raise SlideReadError(
            "not a whole-slide image: expected a TIFF, or a format that OpenSlide reads", path
        )
    return OpenSlideSlide(path)
