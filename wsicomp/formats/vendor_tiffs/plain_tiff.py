"""Vendors' TIFFs of plain pyramids: each level is the one tiled image of its size.

Source: OpenSlide's `openslide-vendor-huron.c`, `openslide-vendor-argos.c`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsicomp.formats.stored_tiles import StoredTiles
from wsicomp.formats.tiff.directories import Directory
from wsicomp.formats.vendor_tiffs.placing import NotPlainError, PlacedImage, PlacedImages, tiles_of_tiff
from wsicomp.geometry import Size


def plain_tiff_tiles(path: Path, sizes: Sequence[Size]) -> list[StoredTiles | str]:
    """Return the tiles of each level of a TIFF, or in words what they are if they cannot be copied.

    `sizes` are those of the levels in OpenSlide.
    """
    return tiles_of_tiff(path, sizes, _images)


def _images(directories: Sequence[Directory], sizes: Sequence[Size]) -> list[PlacedImages]:
    levels: list[PlacedImages] = []
    for size in sizes:
        found = [one for one in directories if one.tile is not None and one.size == size]
        if len(found) != 1:
            raise NotPlainError("tiles of several focal planes")
        levels.append([PlacedImage(found[0])])
    return levels
