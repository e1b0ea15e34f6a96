"""Tiles of levels that the source lacks, by box reduction of one that it has."""

from __future__ import annotations

import cv2
import numpy as np

from wsicomp.errors import DamagedTileError
from wsicomp.geometry import Region
from wsicomp.plan import LevelPlan
from wsicomp.slide import Pixels, Slide

_READ_PX = 2048


def read_reduced_tile(slide: Slide, plan: LevelPlan, column: int, row: int) -> Pixels:
    """A whole tile of `plan`, each pixel the mean of a box of its source level; white beyond the edge.

    Raises:
        DamagedTileError: a tile that it is made of decodes only in part; the error holds what there is.

    Memory: reads at most about 2048 x 2048 source pixels at a time, whatever the reduction.
    """
    tile = np.full((*plan.tile.shape, 3), 255, np.uint8)
    region = plan.grid.region(column, row)
    damage: DamagedTileError | None = None
    step = max(1, _READ_PX // plan.reduction)
    source = slide.info.levels[plan.source_level].size
    for y in range(0, region.height, step):
        for x in range(0, region.width, step):
            width, height = min(step, region.width - x), min(step, region.height - y)
            left, top = (region.x + x) * plan.reduction, (region.y + y) * plan.reduction
            part = Region(
                left,
                top,
                min(width * plan.reduction, source.width - left),
                min(height * plan.reduction, source.height - top),
            )
            try:
                pixels = slide.read_region(plan.source_level, part)
            except DamagedTileError as exc:
                pixels, damage = exc.pixels, exc
            tile[y : y + height, x : x + width] = cv2.resize(
                pixels, (width, height), interpolation=cv2.INTER_AREA
            )
    if damage is not None:
        damage.pixels = tile
        raise damage
    return tile
