"""The tissue mask: a small picture of the slide that is True where there is tissue.

It answers questions about tiles and pixels of any level. This module must not know how a mask was made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Size
from wsicomp.slide import Level
from wsicomp.tissue.bits import BitMask

MOST_MASK_PIXELS = 1 << 27
"""The most pixels of a mask: at 4 um per px 21 square centimetres, more than a slide."""

Spans: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp]]
"""(first index of each span, one past the last index of each span), in order."""

_ROUNDING = 1e-6
_ROWS_AT_ONCE = 512
_MOST_AT_ONCE = 1 << 22
"""The most pixels of a mask that are looked at together, for tiles that lie side by side."""


@dataclass(frozen=True)
class TissueMask:
    """A mask of tissue over a whole slide.

    Memory: one bit for each of its pixels, which may be 2^27.
    """

    pixels: NDArray[np.bool_]
    """(rows, columns) bool, True is tissue. The last row and column may reach past the slide's edge.

    Each use makes a copy, which cannot be written to.
    """
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

    @classmethod
    def of(cls, bits: BitMask, slide: Size, scale_x: float, scale_y: float, source: str) -> TissueMask:
        """Return a mask whose pixels are in bits already."""
        pixels: Any = bits
        return cls(pixels, slide, scale_x, scale_y, source)

    @property
    def bits(self) -> BitMask:
        """The pixels as they are kept."""
        bits: BitMask = self.__dict__["bits"]
        return bits

    @property
    def shape(self) -> tuple[int, int]:
        """The rows and columns of the mask's pixels."""
        return self.bits.shape

    @property
    def tissue_fraction(self) -> float:
        """The part of the mask that is tissue, in [0, 1]."""
        parts = (slice(top, top + _ROWS_AT_ONCE) for top in range(0, self.shape[0], _ROWS_AT_ONCE))
        return sum(int(np.count_nonzero(self.bits.pixels(rows))) for rows in parts) / math.prod(self.shape)

    def dilated(self, radius_px: float) -> TissueMask:
        """Return the mask grown by `radius_px`, in level-0 pixels, rounded up to whole mask pixels."""
        radius_x, radius_y = math.ceil(radius_px / self.scale_x), math.ceil(radius_px / self.scale_y)
        grown: Any = self.bits.dilated(radius_x, radius_y)
        return replace(self, pixels=grown)

    def coverage(self, level: Level) -> NDArray[np.float64]:
        """Return the part of each tile that is tissue, in [0, 1]: (rows, columns) of the level's tile grid.

        A tile counts every mask pixel that it touches, so 0 means that no tissue reaches into it.
        """
        grid = level.grid
        height, width = level.tile.shape
        top, bottom = self._of_cells([0], grid.rows * height, height, level.size, 0)
        left, right = self._of_cells([0], grid.columns * width, width, level.size, 1)
        inside = np.empty((grid.rows, grid.columns))
        for row in range(grid.rows):
            along = np.concatenate([[0], self.bits.pixels(slice(top[row], bottom[row])).sum(axis=0).cumsum()])
            inside[row] = along[right] - along[left]
        return inside / np.outer(bottom - top, right - left)

    def reaches_into(self, level: Level) -> NDArray[np.bool_]:
        """Return the tiles into which tissue reaches, (rows, columns) bool: whose `coverage` is not 0."""
        grid, (height, width) = level.grid, level.tile.shape
        top, bottom = self._of_cells([0], grid.rows * height, height, level.size, 0)
        columns = self._of_cells([0], grid.columns * width, width, level.size, 1)
        words = [
            np.bitwise_or.reduce(self.bits.words[first:last]) for first, last in zip(top, bottom, strict=True)
        ]
        return _any_along(BitMask(np.stack(words), self.shape[1]).pixels(), columns, 1)

    def over_cells(self, level: Level, column: int, row: int, cell_px: int) -> NDArray[np.bool_]:
        """Return the cells of a tile into which tissue reaches, (rows, columns) bool of its cells.

        Cells are squares of `cell_px` of the level's pixels, from the tile's upper left corner.
        """
        (cells,) = self.over_tiles(level, [column], row, cell_px)
        return np.asarray(cells)

    def over_tiles(self, level: Level, columns: Sequence[int], row: int, cell_px: int) -> NDArray[np.bool_]:
        """Return `over_cells` of tiles of one row, from left to right: (tiles, rows, columns) bool."""
        tile, count = level.tile, len(columns)
        top, bottom = self._of_cells([row * tile.height], tile.height, cell_px, level.size, 0)
        left, right = self._of_cells(
            [column * tile.width for column in columns], tile.width, cell_px, level.size, 1
        )
        if count > 1 and (bottom[-1] - top[0]) * (right[-1] - left[0]) > _MOST_AT_ONCE:
            halves = columns[: count // 2], columns[count // 2 :]
            return np.concatenate([self.over_tiles(level, half, row, cell_px) for half in halves])
        part = self.bits.pixels(slice(top[0], bottom[-1]), slice(left[0], right[-1]))
        found = any_inside(part, (top - top[0], bottom - top[0]), (left - left[0], right - left[0]))
        return np.moveaxis(found.reshape(len(top), count, -1), 1, 0)

    def _of_cells(self, starts: Sequence[int], length: int, cell_px: int, size: Size, axis: int) -> Spans:
        """Return the spans of mask rows (axis 0) or columns (axis 1) under the cells of each tile in turn.

        Tiles have sides of this length along the axis.
        """
        edges = np.add.outer(starts, np.minimum(np.arange(-(-length // cell_px) + 1) * cell_px, length))
        edges = np.minimum(edges, size.shape[axis])
        # Every level covers the same part of the mask.
        scale = (self.scale_y, self.scale_x)[axis]
        found = edges * (self.slide.shape[axis] / scale / size.shape[axis])
        limit = self.shape[axis]
        first = np.clip(np.floor(found[:, :-1] + _ROUNDING), 0, limit - 1).astype(np.intp)
        last = np.clip(np.ceil(found[:, 1:] - _ROUNDING), first + 1, limit).astype(np.intp)
        return first.ravel(), last.ravel()

    def at(self, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Return the mask at level-0 positions, nearest neighbour: (len(y), len(x)) bool.

        Positions past the slide's right and lower edge get the last column or row.
        """
        last_row, last_column = self.shape[0] - 1, self.shape[1] - 1
        rows = np.minimum((y / self.scale_y).astype(np.intp), last_row)
        columns = np.minimum((x / self.scale_x).astype(np.intp), last_column)
        return self.bits.at(rows, columns)


class _InBits:
    """The field `pixels` of a mask: given as bool or in bits, kept in bits, returned as bool."""

    def __get__(self, mask: TissueMask, owner: type[TissueMask]) -> NDArray[np.bool_]:
        pixels = mask.bits.pixels()
        pixels.flags.writeable = False  # a copy: what is written to it would be lost
        return pixels

    def __set__(self, mask: TissueMask, pixels: NDArray[np.bool_] | BitMask) -> None:
        mask.__dict__["bits"] = pixels if isinstance(pixels, BitMask) else BitMask.of(pixels)


TissueMask.pixels = _InBits()  # type: ignore[assignment]


def any_inside(flags: NDArray[np.bool_], rows: Spans, columns: Spans) -> NDArray[np.bool_]:
    """Return (rows, columns) bool: whether any flag is set where a span of rows crosses one of columns."""
    (top, bottom), (left, right) = rows, columns
    if not flags[top[0] : bottom[-1], left[0] : right[-1]].any():
        return np.zeros((len(top), len(left)), np.bool_)
    return _any_along(_any_along(flags, rows, 0), columns, 1)


def _any_along(flags: NDArray[np.bool_], spans: Spans, axis: int) -> NDArray[np.bool_]:
    """Return the flags with one row (axis 0) or column (axis 1) for each span, set where any in it is."""
    first, end = spans
    found = flags.take(first, axis)
    for step in range(1, int((end - first).max())):
        found |= flags.take(np.minimum(first + step, end - 1), axis)
    return found
