"""Which tiles of a level a mask touches.

A level's pixel is as wide as the slide's width divided by the level's. Where that is no whole number, the
slide may have been reduced by one, and its last pixels cut off. A tile covers what it covers in either way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsicomp.regions.placement import possible_steps
from wsicomp.slide import Level
from wsicomp.tissue.mask import Spans, TissueMask

_ROUNDING = 1e-6


def touched_tiles(mask: TissueMask, level: Level) -> NDArray[np.bool_]:
    """Return (rows, columns) bool of a level's tiles: whether any pixel of the mask reaches into the tile."""
    grid = level.grid
    top, bottom = _under(grid.rows, level.tile.height, level.size.height, mask, 0)
    left, right = _under(grid.columns, level.tile.width, level.size.width, mask, 1)
    touched = np.zeros((grid.rows, grid.columns), np.bool_)
    for row in range(grid.rows):
        is_marked = mask.bits.pixels(slice(int(top[row]), int(bottom[row]))).any(axis=0)
        if is_marked.any():
            along = np.concatenate([[0], np.cumsum(is_marked)])
            touched[row] = along[right] > along[left]
    return touched


def _under(tiles: int, tile_px: int, level_px: int, mask: TissueMask, axis: int) -> Spans:
    """Return the spans of mask rows (axis 0) or columns (axis 1) under each row or column of tiles."""
    slide_px, limit = mask.slide.shape[axis], mask.shape[axis]
    scale = (mask.scale_y, mask.scale_x)[axis]
    edges = np.minimum(np.arange(tiles + 1) * tile_px, level_px)
    found = np.array([edges * (step / scale) for step in possible_steps(slide_px, level_px)])
    first = np.clip(np.floor(found[:, :-1].min(axis=0) + _ROUNDING), 0, limit - 1).astype(np.intp)
    end = np.clip(np.ceil(found[:, 1:].max(axis=0) - _ROUNDING), first + 1, limit).astype(np.intp)
    return first, end
