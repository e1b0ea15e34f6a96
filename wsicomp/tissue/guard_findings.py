"""The findings of the guard on tiles of all levels, put together on one grid over the slide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import TileIndex
from wsicomp.slide import Level, SlideInfo
from wsicomp.tissue.glass_guard import GlassGuard
from wsicomp.tissue.mask import Spans, TissueMask, any_inside

_MOST_CELLS = 1 << 22
_ROUNDING = 1e-6
_ROUND_IT = np.ones((5, 5), np.uint8)
"""Two cells: radii are rounded up to whole cells, and a small ellipse reaches half a cell too far."""


class TileFinding(NamedTuple):
    """The finding of the guard on a tile."""

    tile: TileIndex
    """The tile."""
    glass: NDArray[np.bool_] | None
    """(block rows, block columns): True where the mask calls the tile glass; None if it does everywhere."""
    foreign: NDArray[np.bool_] | None
    """(block rows, block columns): True where something lies on the glass; None if nothing was found."""
    is_damaged: bool = False
    """Whether the tile cannot be decoded."""


class FindingsByPlace:
    """Findings on three grids: on glass tiles, on mixed tiles outside the mask, anywhere on mixed tiles.

    Each lies over the slide and has at most 4 million cells, True where something was found on any level.
    """

    def __init__(self, info: SlideInfo, guard: GlassGuard) -> None:
        self._slide, self._levels, self._guard = info.size, info.levels, guard
        self._cell_px = guard.block_px(info.levels[0])
        while math.prod(-(-side // self._cell_px) for side in self._slide.shape) > _MOST_CELLS:
            self._cell_px *= 2
        rows, columns = (-(-side // self._cell_px) for side in self._slide.shape)
        self._cells = np.zeros((3, rows, columns), np.bool_)

    def add(self, findings: Sequence[TileFinding]) -> None:
        """Mark what was found on tiles of one row, from left to right, with regions of one size."""
        tiles, marks = [], []
        for tile, glass, foreign, _ in findings:
            if foreign is None:
                continue
            none = np.zeros_like(foreign)
            beside = none if glass is None else foreign & glass[: foreign.shape[0], : foreign.shape[1]]
            tiles.append(tile)
            marks.append((foreign, none, none) if glass is None else (none, beside, foreign))
        if tiles:
            self._mark(tiles, np.array(marks).swapaxes(0, 1))

    def _mark(self, tiles: Sequence[TileIndex], foreign: NDArray[np.bool_]) -> None:
        """Mark every cell that a foreign block touches: (grids, tiles, block rows, block columns) bool."""
        grids, count, rows, columns = foreign.shape
        level = self._levels[tiles[0].level]
        regions = [level.grid.region(tile.column, tile.row) for tile in tiles]
        height, width = regions[0].size.shape
        (down,), beside = self._touched([regions[0].y], height, rows, level, 0)
        across, spans = self._touched([region.x for region in regions], width, columns, level, 1)
        strip = foreign.reshape(-1, rows, columns).swapaxes(0, 1).reshape(rows, -1)
        starts = np.arange(grids)[:, None] * (count * columns)
        first, end = ((starts + one).ravel() for one in spans)
        marked = any_inside(strip, beside, (first, end)).reshape(-1, grids, len(spans[0])).swapaxes(0, 1)
        done = 0
        for cells in across:
            here = self._cells[:, down.start : down.stop, cells.start : cells.stop]
            here |= marked[:, :, done : done + len(cells)]
            done += len(cells)

    def _touched(
        self, starts: Sequence[int], length: int, blocks: int, level: Level, axis: int
    ) -> tuple[list[range], Spans]:
        """Return (cells that each tile touches along an axis, spans of blocks in each of these cells).

        Tiles begin at `starts`, and have so many blocks along the axis; blocks are counted through all tiles.
        """
        side, size = self._guard.block_px(level), level.size.shape[axis]
        scale, limit = self._slide.shape[axis] / size / self._cell_px, self._cells.shape[1 + axis]
        cells = [
            range(
                math.floor(start * scale + _ROUNDING),
                min(math.ceil((start + length) * scale - _ROUNDING), limit),
            )
            for start in starts
        ]
        cell = np.concatenate([np.arange(one.start, one.stop) for one in cells])
        tile = np.repeat(np.arange(len(cells)), [len(one) for one in cells])
        start, before = np.array(starts)[tile], tile * blocks
        first = np.floor((cell / scale - start) / side + _ROUNDING)
        begin = np.clip(first, 0, blocks - 1).astype(np.intp)
        last = np.ceil(((cell + 1) / scale - start) / side - _ROUNDING).astype(np.intp)
        return cells, (begin + before, np.clip(last, begin + 1, blocks) + before)

    def with_margin(self) -> tuple[TissueMask, TissueMask, TissueMask]:
        """Return three masks of the marked cells, and of everything within the guard's margin of them.

        They are of glass tiles, of mixed tiles outside the mask, and of mixed tiles anywhere.
        """
        on_glass, beside, near = (self._with_margin(cells) for cells in self._cells)
        return on_glass, beside, near

    def _with_margin(self, cells: NDArray[np.bool_]) -> TissueMask:
        found = TissueMask(cells, self._slide, self._cell_px, self._cell_px, "guard")
        # Points of two cells can be 1.42 cells further apart than the centres of the cells.
        return found.dilated(self._guard.margin_px + 2 * self._cell_px) if cells.any() else found


def _without_narrow_gaps(mask: TissueMask, reach_px: float) -> NDArray[np.bool_]:
    """Return the mask with gaps closed that are narrower than twice `reach_px`: grown by it, then shrunk.

    Outside the slide everything is gap, as far as the memory of a few grids of the most cells allows.
    """
    longest = max(mask.shape)
    reach = math.ceil(reach_px / min(mask.scale_x, mask.scale_y)) + 1
    around = min(reach, 2 * longest, max(1, 4 * _MOST_CELLS // longest))
    grown = replace(mask, pixels=np.pad(mask.pixels, around)).dilated(reach_px)
    shrunk = ~replace(mask, pixels=~grown.pixels).dilated(reach_px).pixels
    return shrunk[around:-around, around:-around]


def gaps_beside(findings: TissueMask, mask: TissueMask, reach_px: float) -> NDArray[np.bool_]:
    """Return gaps between findings, or between findings and the mask's tissue, (rows, columns) bool.

    They are narrower than twice `reach_px`, which is in level-0 pixels.

    Fat that was washed out has some walls and nuclei, and looks like glass between them. Gaps of the mask
    that no finding touches are left out.
    """
    found = findings.pixels
    if not found.any():
        return found
    rows, columns = found.shape
    x, y = (np.arange(columns) + 0.5) * findings.scale_x, (np.arange(rows) + 0.5) * findings.scale_y
    is_tissue = mask.at(x, y)
    whole = replace(findings, pixels=found | is_tissue)
    filled = _without_narrow_gaps(whole, reach_px) & ~is_tissue
    near = findings.dilated(2 * reach_px).pixels
    # A disc that fits into a gap of the mask, and not past a finding, reaches from the finding to the gap:
    # further away than this all gaps are the mask's own.
    on_the_rim = filled & cv2.dilate(near.view(np.uint8), _ROUND_IT).view(np.bool_) & ~near
    if on_the_rim.any():
        on_the_rim &= ~_without_narrow_gaps(replace(findings, pixels=is_tissue), reach_px)
    return np.asarray((filled & near) | on_the_rim)
