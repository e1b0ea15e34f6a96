"""The findings of the guard on tiles of all levels, put together on one grid over the slide."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Size, TileIndex
from wsicomp.slide import Level, SlideInfo
from wsicomp.tissue.glass_guard import GlassGuard
from wsicomp.tissue.mask import Spans, TissueMask, any_inside

_MOST_CELLS = 1 << 22
_ROUNDING = 1e-6
_ROUND_IT = np.ones((5, 5), np.uint8)
"""Two cells: radii are rounded up to whole cells, and a small ellipse reaches half a cell too far."""


class FoundCells:
    """A grid over the slide of at most 4 million cells, True where something was found on any level."""

    def __init__(self, slide: Size, block_px: int = 1) -> None:
        self._slide = slide
        self._cell_px = block_px
        while math.prod(-(-side // self._cell_px) for side in slide.shape) > _MOST_CELLS:
            self._cell_px *= 2
        rows, columns = (-(-side // self._cell_px) for side in slide.shape)
        self._cells = np.zeros((rows, columns), np.bool_)

    def add(self, level: Level, index: TileIndex, foreign: NDArray[np.bool_], side: int) -> None:
        """Mark every cell that a foreign block of a tile touches.

        `foreign` is (block rows, block columns) of the tile; a block is `side` pixels of the tile's level
        wide.
        """
        region = level.grid.region(index.column, index.row)
        top, rows = self._touched(region.y, region.height, side, foreign.shape, level.size, 0)
        left, columns = self._touched(region.x, region.width, side, foreign.shape, level.size, 1)
        marked = any_inside(foreign, rows, columns)
        self._cells[top : top + marked.shape[0], left : left + marked.shape[1]] |= marked

    def _touched(
        self, start: int, length: int, side: int, blocks: tuple[int, ...], size: Size, axis: int
    ) -> tuple[int, Spans]:
        """Return (first cell that a tile touches along an axis, spans of blocks in each of its cells)."""
        scale = self._slide.shape[axis] / size.shape[axis] / self._cell_px
        first = math.floor(start * scale + _ROUNDING)
        last = min(math.ceil((start + length) * scale - _ROUNDING), self._cells.shape[axis])
        edges = (np.arange(first, last + 1) / scale - start) / side
        begin = np.clip(np.floor(edges[:-1] + _ROUNDING), 0, blocks[axis] - 1).astype(np.intp)
        end = np.ceil(edges[1:] - _ROUNDING).astype(np.intp)
        return first, (begin, np.clip(end, begin + 1, blocks[axis]))

    def with_margin(self, margin_px: float) -> TissueMask:
        """Return a mask of all marked cells, and of everything within `margin_px` level-0 pixels of them."""
        found = TissueMask(self._cells, self._slide, self._cell_px, self._cell_px, "guard")
        # Points of two cells can be 1.42 cells further apart than the centres of the cells.
        return found.dilated(margin_px + 2 * self._cell_px) if self._cells.any() else found


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
    """Findings on three grids: on glass tiles, on mixed tiles outside the mask, anywhere on mixed tiles."""

    def __init__(self, info: SlideInfo, guard: GlassGuard) -> None:
        self._levels = info.levels
        self._guard = guard
        self._on_glass, self._beside, self._near = (
            FoundCells(info.size, guard.block_px(info.levels[0])) for _ in range(3)
        )

    def add(self, finding: TileFinding) -> None:
        """Mark what was found on a tile, if anything was."""
        level, foreign = self._levels[finding.tile.level], finding.foreign
        side = self._guard.block_px(level)
        if foreign is None:
            return
        if finding.glass is None:
            self._on_glass.add(level, finding.tile, foreign, side)
            return
        beside = foreign & finding.glass[: foreign.shape[0], : foreign.shape[1]]
        self._beside.add(level, finding.tile, beside, side)
        self._near.add(level, finding.tile, foreign, side)

    def with_margin(self) -> tuple[TissueMask, TissueMask, TissueMask]:
        """Return three masks with the guard's margin.

        They are of glass tiles, of mixed tiles outside the mask, and of mixed tiles anywhere.
        """
        on_glass, beside, near = (
            findings.with_margin(self._guard.margin_px)
            for findings in (self._on_glass, self._beside, self._near)
        )
        return on_glass, beside, near


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
