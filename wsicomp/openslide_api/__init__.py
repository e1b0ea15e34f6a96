"""Slides through OpenSlide's own interface: every file that wsicomp writes, and what OpenSlide reads.

Whoever has code for `openslide.OpenSlide` gets the same object here: regions, levels, properties,
associated images, colour profile, thumbnails, and through them `DeepZoomGenerator`.
"""

from __future__ import annotations

import os
from pathlib import Path

from openslide import AbstractSlide, OpenSlide, OpenSlideError

from wsicomp.errors import SlideReadError
from wsicomp.openslide_api.cache import TileCache
from wsicomp.openslide_api.slide import SlideAccessError, WsicompSlide
from wsicomp.readers import open_tiff
from wsicomp.readers.converted import ConvertedSlide
from wsicomp.readers.misread import openslide_misreads
from wsicomp.version import PROGRAM

__all__ = ["SlideAccessError", "TileCache", "WsicompSlide", "open_slide"]

_HEAD_BYTES = 1 << 16


def open_slide(path: str | os.PathLike[str]) -> AbstractSlide:
    """Open a slide: a `WsicompSlide` for our own files, and for TIFFs that OpenSlide cannot read.

    A file of ours shows what its source showed: levels, properties and, where tiles were copied or packed
    without loss, the very pixels. Everything else is an `openslide.OpenSlide`.

    Raises:
        SlideAccessError: nothing here reads the file, it is damaged, or the model that its neural tiles
            need is not on this machine. It is an `OpenSlideError` too.
    """
    path = Path(path)
    try:
        if _may_be_ours(path):
            slide = open_tiff(path)
            if isinstance(slide, ConvertedSlide):
                slide.require_model()
                return WsicompSlide(slide)
            slide.close()
        found = OpenSlide(path)
        if not openslide_misreads(path):
            return found
        found.close()
        return WsicompSlide(open_tiff(path))
    except (SlideReadError, OpenSlideError, OSError) as exc:
        refusal = exc
    if isinstance(refusal, OpenSlideError):
        try:
            return WsicompSlide(open_tiff(path))
        except SlideReadError:
            raise SlideAccessError(f"OpenSlide cannot open it ({refusal})", path) from refusal
    if isinstance(refusal, SlideReadError):
        raise SlideAccessError(refusal.message, path, refusal.place) from refusal
    raise SlideAccessError(refusal.strerror or str(refusal), path) from refusal


def _may_be_ours(path: Path) -> bool:
    """Whether the file's first bytes name our program, as those of all our files do, damaged ones too."""
    with path.open("rb") as file:
        return PROGRAM.encode() in file.read(_HEAD_BYTES)
