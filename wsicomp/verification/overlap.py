"""The tiles of a source that lie under tiles of a target, whose grids may differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsicomp.plan.level_plan import LevelPlan
from wsicomp.slide import Level
from wsicomp.tissue.mask import Spans, any_inside


def touched(flags: NDArray[np.bool_], plan: LevelPlan, source: Level) -> NDArray[np.bool_]:
    """Return the tiles of the source level that overlap a flagged tile, (rows, columns) bool.

    `flags` is (rows, columns) of the tile grid of `plan`; `source` is its source level.
    """
    if plan.reduction == 1 and plan.grid == source.grid:
        return flags
    grid = source.grid
    step = plan.tile.height * plan.reduction, plan.tile.width * plan.reduction
    rows = _spans(grid.rows, source.tile.height, source.size.height, step[0], flags.shape[0])
    columns = _spans(grid.columns, source.tile.width, source.size.width, step[1], flags.shape[1])
    return any_inside(flags, rows, columns)


def covered(flags: NDArray[np.bool_], plan: LevelPlan, other: Level) -> NDArray[np.bool_]:
    """Return the tiles of another source level wholly under flagged tiles, (rows, columns) bool.

    `flags` is (rows, columns) of the tile grid of `plan`.
    """
    grid = other.grid
    step = (
        plan.tile.height * other.size.height / plan.size.height,
        plan.tile.width * other.size.width / plan.size.width,
    )
    rows = _spans(grid.rows, other.tile.height, other.size.height, step[0], flags.shape[0])
    columns = _spans(grid.columns, other.tile.width, other.size.width, step[1], flags.shape[1])
    return np.asarray(~any_inside(~flags, rows, columns))


def _spans(count: int, tile: int, length: int, step: float, limit: int) -> Spans:
    """Return for each of `count` tiles along a side of `length` the steps that it overlaps.

    As the number of the first one, and that behind the last.
    """
    starts = np.arange(count) * tile
    ends = np.minimum(starts + tile, length)
    first = np.clip((starts // step).astype(np.intp), 0, limit - 1)
    last = np.clip(np.ceil(ends / step).astype(np.intp), first + 1, limit)
    return first, last
