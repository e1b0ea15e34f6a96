"""Which tiles of a source lie under tiles of a target, whose grids need not be the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsicomp.plan import LevelPlan
from wsicomp.slide import Level
from wsicomp.tissue.mask import Spans, any_inside


def touched(flags: NDArray[np.bool_], plan: LevelPlan, source: Level) -> NDArray[np.bool_]:
    """The tiles of a target level's own source level that reach into any of the flagged ones."""
    if plan.reduction == 1 and plan.grid == source.grid:
        return flags
    grid = source.grid
    step = plan.tile.height * plan.reduction, plan.tile.width * plan.reduction
    rows = _spans(grid.rows, source.tile.height, source.size.height, step[0], flags.shape[0])
    columns = _spans(grid.columns, source.tile.width, source.size.width, step[1], flags.shape[1])
    return any_inside(flags, rows, columns)


def covered(flags: NDArray[np.bool_], plan: LevelPlan, other: Level) -> NDArray[np.bool_]:
    """The tiles of another level of the source that lie under flagged ones wholly."""
    grid = other.grid
    step = (
        plan.tile.height * other.size.height / plan.size.height,
        plan.tile.width * other.size.width / plan.size.width,
    )
    rows = _spans(grid.rows, other.tile.height, other.size.height, step[0], flags.shape[0])
    columns = _spans(grid.columns, other.tile.width, other.size.width, step[1], flags.shape[1])
    return np.asarray(~any_inside(~flags, rows, columns))


def _spans(count: int, tile: int, length: int, step: float, limit: int) -> Spans:
    """For each of `count` tiles along a side of `length`, which of steps so long it reaches into."""
    starts = np.arange(count) * tile
    ends = np.minimum(starts + tile, length)
    first = np.clip((starts // step).astype(np.intp), 0, limit - 1)
    last = np.clip(np.ceil(ends / step).astype(np.intp), first + 1, limit)
    return first, last
