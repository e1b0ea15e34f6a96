"""The tiles of a slide that show tissue, and the source's pixels there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wsicomp.codecs.quality import LEAST_SIDE_OF_SCALES_PX, LEAST_SIDE_PX
from wsicomp.errors import SlideReadError
from wsicomp.formats.base import Slide
from wsicomp.geometry import Region, Size, TileIndex
from wsicomp.plan.level_plan import LevelPlan
from wsicomp.slide import Pixels
from wsicomp.tissue.mask import TissueMask

_MOSTLY = 0.5
_FEW = 4


def tissue_tiles(levels: Sequence[LevelPlan], slide: Size, tissue: TissueMask) -> list[TileIndex]:
    """Return the tiles of all levels that are at least half tissue; if fewer than four, those with any.

    Only tiles count that show at least 176 px a side, which MS-SSIM needs, or that are complete and smaller.
    `slide` is level 0's size in pixels.
    """
    shares = [tissue.coverage(level.as_level(slide)) for level in levels]
    found: list[TileIndex] = []
    for least in (_MOSTLY, np.finfo(float).tiny):
        found = [
            TileIndex(level.number, column, row)
            for level, share in zip(levels, shares, strict=True)
            for row, column in np.argwhere(share >= least).tolist()
            if _shows_enough(level.grid.region(column, row).size, level.tile)
        ]
        if len(found) >= _FEW:
            break
    return found


def edge_tiles(levels: Sequence[LevelPlan], slide: Size, tissue: TissueMask) -> list[TileIndex]:
    """Return the tiles of all levels that show tissue and are not among `tissue_tiles`.

    `slide` is level 0's size in pixels.
    """
    mostly = set(tissue_tiles(levels, slide, tissue))
    return [
        index
        for level in levels
        for row, column in np.argwhere(tissue.coverage(level.as_level(slide)) > 0).tolist()
        if (index := TileIndex(level.number, column, row)) not in mostly
        and _shows_enough(level.grid.region(column, row).size, level.tile)
    ]


def _shows_enough(shown: Size, tile: Size) -> bool:
    least = min(LEAST_SIDE_OF_SCALES_PX, *tile.shape)
    return min(shown.shape) >= max(least, LEAST_SIDE_PX)


def source_pixels(slide: Slide, level: LevelPlan, index: TileIndex) -> tuple[Region, Pixels] | None:
    """Return the region of a tile, in its level's pixels, and the source's pixels there.

    The pixels are (rows, columns, 3) uint8 RGB. Return None where the source cannot be read.
    """
    region = level.grid.region(index.column, index.row)
    try:
        return region, slide.read_region(level.source_level, region)
    except SlideReadError:
        return None
