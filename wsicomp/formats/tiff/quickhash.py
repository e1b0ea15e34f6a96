"""OpenSlide's quickhash-1 of a TIFF, by which programs tell whether two files are the same slide.

Source: openslide 4.0.1 `openslide-decode-tifflike.c`, `openslide-hash.c`.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path

import numpy as np
import tifffile
from openslide import PROPERTY_NAME_QUICKHASH1, OpenSlideError

from wsicomp.errors import SlideReadError
from wsicomp.formats.base import Slide
from wsicomp.formats.tiff.directories import UNPARSED, TiffFile
from wsicomp.formats.tiff.tag_values import text_of

_MOST_BYTES = 5 << 20
"""The largest smallest level, in stored bytes, that OpenSlide hashes."""

_TEXTS = {
    "tiff.ImageDescription": 270,
    "tiff.Make": 271,
    "tiff.Model": 272,
    "tiff.Software": 305,
    "tiff.DateTime": 306,
    "tiff.Artist": 315,
    "tiff.HostComputer": 316,
    "tiff.Copyright": 33432,
    "tiff.DocumentName": 269,
}


def quickhash(slide: Slide) -> str | None:
    """Return the hash that OpenSlide gives to the file, or would give if it opened it; None if it gives none.

    Raises:
        SlideReadError: a tag or a tile of the file cannot be read.
    """
    path = slide.info.path
    try:
        return slide.shown().slide.properties.get(PROPERTY_NAME_QUICKHASH1)
    except (SlideReadError, OpenSlideError):
        return _computed(slide, path)


def _computed(slide: Slide, path: Path) -> str | None:
    """Return the SHA-256 over the stored tiles of the smallest level and the texts of the first directory."""
    ranges = slide.tile_ranges(len(slide.info.levels) - 1)
    if int(np.sum(ranges[:, 1])) > _MOST_BYTES:
        return None
    digest = hashlib.sha256()
    with closing(TiffFile(path)) as file:
        for offset, count in ranges.tolist():
            digest.update(file.read(offset, count, "smallest level"))
    try:
        with tifffile.TiffFile(path) as tiff:
            texts = {name: text_of(tiff.pages.first, code) for name, code in _TEXTS.items()}
    except UNPARSED as exc:
        raise SlideReadError(f"damaged TIFF ({exc})", path) from exc
    for name, text in texts.items():
        # A text ends at its first NUL, as in C.
        digest.update(name.encode() + b"\0" + text.partition(b"\0")[0] + b"\0")
    return digest.hexdigest()
