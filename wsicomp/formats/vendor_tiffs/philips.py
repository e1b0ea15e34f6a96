"""Philips TIFF: each tiled image is a level, padded to whole tiles; OpenSlide cuts the padding off.

Source: OpenSlide's `openslide-vendor-philips-tiff.c`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsicomp.formats.stored_tiles import StoredTiles
from wsicomp.formats.tiff.directories import Directory
from wsicomp.formats.vendor_tiffs.placing import PlacedImage, PlacedImages, tiles_of_tiff
from wsicomp.geometry import Size


def philips_tiles(path: Path, sizes: Sequence[Size]) -> list[StoredTiles | str]:
    """Return the tiles of each level of a Philips TIFF, or in words what they are if they cannot be copied.

    `sizes` are those of the levels in OpenSlide.
    """
    return tiles_of_tiff(path, sizes, _images)


def _images(directories: Sequence[Directory], _: Sequence[Size]) -> list[PlacedImages]:
    return [[PlacedImage(directory)] for directory in directories if directory.tile is not None]
