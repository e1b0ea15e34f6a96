"""The tissue mask: a small picture of the slide that is True where there is tissue.

It answers questions about tiles and pixels of any level. This module must not know how a mask was made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Size
from wsicomp.slide import Level
from wsicomp.tissue.dilation import dilated

MOST_MASK_PIXELS = 1 << 27
"""The most pixels of a mask: at 4 um per px 21 square centimetres, more than a slide."""

Spans: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp]]
"""(first index of each span, one past the last index of each span), in order."""

_ROUNDING = 1e-6


@dataclass(frozen=True)
class TissueMask:
    """A mask of tissue over a whole slide."""

    pixels: NDArray[np.bool_]
    """(rows, columns) bool, True is tissue. The last row and column may reach past the slide's edge."""
    slide: Size
    """The size of level 0."""
    scale_x: float
    """Level-0 pixels in the width of a mask pixel."""
    scale_y: float
    """Level-0 pixels in the height of a mask pixel."""
    source: str
    """Where the mask comes from, in words."""
    notes: tuple[str, ...] = ()
    """What a user of the mask should know."""

    @property
    def tissue_fraction(self) -> float:
        """The part of the mask that is tissue, in [0, 1]."""
        return float(self.pixels.mean())

    def dilated(self, radius_px: float) -> TissueMask:
        """Return the mask grown by `radius_px`, in level-0 pixels, rounded up to whole mask pixels."""
        radius_x, radius_y = math.ceil(radius_px / self.scale_x), math.ceil(radius_px / self.scale_y)
        return replace(self, pixels=dilated(self.pixels, radius_x, radius_y))

    def coverage(self, level: Level) -> NDArray[np.float64]:
        """Return the part of each tile that is tissue, in [0, 1]: (rows, columns) of the level's tile grid.

        A tile counts every mask pixel that it touches, so 0 means that no tissue reaches into it.
        """
        grid = level.grid
        height, width = level.tile.shape
        top, bottom = self._of_cells(0, grid.rows * height, height, level.size, 0)
        left, right = self._of_cells(0, grid.columns * width, width, level.size, 1)
        inside = np.empty((grid.rows, grid.columns))
        for row in range(grid.rows):
            along = np.concatenate([[0], self.pixels[top[row] : bottom[row]].sum(axis=0).cumsum()])
            inside[row] = along[right] - along[left]
        return inside / np.outer(bottom - top, right - left)

    def over_cells(self, level: Level, column: int, row: int, cell_px: int) -> NDArray[np.bool_]:
        """Return the cells of a tile into which tissue reaches, (rows, columns) bool of its cells.

        Cells are squares of `cell_px` of the level's pixels, from the tile's upper left corner.
        """
        top, bottom = self._of_cells(row * level.tile.height, level.tile.height, cell_px, level.size, 0)
        left, right = self._of_cells(column * level.tile.width, level.tile.width, cell_px, level.size, 1)
        return any_inside(self.pixels, (top, bottom), (left, right))

    def _of_cells(self, start: int, length: int, cell_px: int, size: Size, axis: int) -> Spans:
        """Return the spans of mask rows (axis 0) or columns (axis 1) under the cells along a tile's side."""
        edges = start + np.minimum(np.arange(-(-length // cell_px) + 1) * cell_px, length)
        edges = np.minimum(edges, size.shape[axis])
        # Every level covers the same part of the mask.
        scale = (self.scale_y, self.scale_x)[axis]
        found = edges * (self.slide.shape[axis] / scale / size.shape[axis])
        limit = self.pixels.shape[axis]
        first = np.clip(np.floor(found[:-1] + _ROUNDING), 0, limit - 1).astype(np.intp)
        last = np.clip(np.ceil(found[1:] - _ROUNDING), first + 1, limit).astype(np.intp)
        return first, last

    def at(self, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Return the mask at level-0 positions, nearest neighbour: (len(y), len(x)) bool.

        Positions past the slide's right and lower edge get the last column or row.
        """
        last_row, last_column = self.pixels.shape[0] - 1, self.pixels.shape[1] - 1
        rows = np.minimum((y / self.scale_y).astype(np.intp), last_row)
        columns = np.minimum((x / self.scale_x).astype(np.intp), last_column)
        return np.asarray(self.pixels[rows[:, None], columns])


def any_inside(flags: NDArray[np.bool_], rows: Spans, columns: Spans) -> NDArray[np.bool_]:
    """Return (rows, columns) bool: whether any flag is set where a span of rows crosses one of columns."""
    (top, bottom), (left, right) = rows, columns
    part = np.ascontiguousarray(flags[top[0] : bottom[-1], left[0] : right[-1]]).view(np.uint8)
    if not part.any():
        return np.zeros((len(top), len(left)), np.bool_)
    sums = cv2.integral(part)
    down = sums[bottom - top[0]] - sums[top - top[0]]
    return np.asarray(down[:, right - left[0]] > down[:, left - left[0]])
