"""Tiles of levels that the source lacks, made by box reduction of a level that it has."""

from __future__ import annotations

import cv2
import numpy as np

from wsicomp.errors import DamagedTileError, TileReadError
from wsicomp.formats.base import Slide
from wsicomp.geometry import Region, parts_of_tiles
from wsicomp.plan.level_plan import LevelPlan
from wsicomp.slide import WHITE, Pixels

_READ_PX = 2048


def read_reduced_tile(slide: Slide, plan: LevelPlan, column: int, row: int) -> Pixels:
    """Return a whole tile of the level `plan`, (rows, columns, 3) uint8 RGB; white beyond the level's edge.

    Each pixel is the mean of a box of pixels of the source level.

    Memory: reads at most about 2048 x 2048 source pixels at a time, whatever the reduction.

    Raises:
        DamagedTileError: a source tile under the tile is damaged; the error holds the pixels of all others.
        TileReadError: a part of the tile has no source tile that can be decoded.
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
                pixels = read_decodable(slide, plan.source_level, part)
            except DamagedTileError as exc:
                pixels, damage = exc.pixels, exc
            tile[y : y + height, x : x + width] = cv2.resize(
                pixels, (width, height), interpolation=cv2.INTER_AREA
            )
    if damage is not None:
        damage.pixels = tile
        raise damage
    return tile


def read_decodable(slide: Slide, level: int, region: Region, color: tuple[int, int, int] = WHITE) -> Pixels:
    """Return a region, with one colour in the place of source tiles that cannot be decoded.

    Raises:
        DamagedTileError: a source tile under it is damaged; the error holds the rest.
        TileReadError: none of its source tiles can be decoded.
    """
    try:
        return slide.read_region(level, region)
    except DamagedTileError:
        raise
    except TileReadError as exc:
        error = exc
    pixels = np.full((*region.size.shape, 3), color, np.uint8)
    is_read = False
    for part in parts_of_tiles(region, slide.info.levels[level].tile):
        there = pixels[part.y - region.y :, part.x - region.x :][: part.height, : part.width]
        try:
            there[:] = slide.read_region(level, part)
        except DamagedTileError as exc:
            there[:] = exc.pixels
        except TileReadError:
            continue
        is_read = True
    if not is_read:
        raise error
    damage = DamagedTileError(error.message, error.path, error.place)
    damage.pixels = pixels
    raise damage from error
