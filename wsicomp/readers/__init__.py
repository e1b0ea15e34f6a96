"""Readers of slides, and `open_slide`, which chooses the one that fits a file.

A reader hands out encoded tiles and pixels; it must not know tissue, plans or targets.
"""

from __future__ import annotations

import os
from pathlib import Path

from openslide import OpenSlide

from wsicomp.errors import SlideReadError
from wsicomp.readers.openslide import OpenSlideSlide
from wsicomp.readers.tiff import TiffSlide
from wsicomp.slide import Slide

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_VENDORS = (None, "aperio", "generic-tiff")


def open_slide(path: str | os.PathLike[str]) -> Slide:
    """Open a slide: Aperio SVS and tiled TIFF tile by tile, whatever else OpenSlide reads as pixels.

    Raises:
        SlideReadError: there is no such file, it is damaged, or nothing here reads it.
        UnsupportedSlideError: it is an image, but not an 8-bit bright-field slide.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        vendor = OpenSlide.detect_format(path)
    except OSError as exc:
        raise SlideReadError(exc.strerror or str(exc), path) from exc
    if magic in _TIFF_MAGIC and vendor in _TIFF_VENDORS:
        return TiffSlide(path)
    if vendor is None:
        raise SlideReadError(
            "not a whole-slide image: expected a TIFF, or a format that OpenSlide reads", path
        )
    return OpenSlideSlide(path)
