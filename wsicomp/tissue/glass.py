"""What each tile is: tissue, glass, or both; and the guard that doubts the mask.

A tile is glass only if the mask says so and its own pixels, at its own level, look like glass. What the
guard finds on one level is kept on all of them, so that nothing can be seen far out that is gone close up.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency import batched, ordered_map
from wsicomp.errors import TileReadError
from wsicomp.geometry import Region, Size, TileIndex
from wsicomp.slide import Level, Pixels, Slide, SlideInfo
from wsicomp.stages import StageProgress
from wsicomp.tissue.light import DARKEST_GLASS, MOST_TINT
from wsicomp.tissue.mask import Spans, TissueMask, any_inside
from wsicomp.tissue.scale import margin_in_px, plausible_mpp
from wsicomp.tissue.segment import Overview

_BLOCK_PX = 8
_BLOCK_UM = 8.0
_LEAST_AREA_UM2 = 200.0
_LEAST_LINE_UM = 25.0
_TOGETHER_UM = 100.0
_DARKER = 20.0
_STRUCTURE = 15.0
_BRIGHTER = 20.0
_LEVEL = 5.0
_PURE_WHITE = 253
_RINGING_BLOCKS = 2
_COARSE_MPP = 1.0
_TINT_RANGE = 16.0
_SAMPLES_A_SIDE = 192
_MOST_CELLS = 1 << 22
_ROUNDING = 1e-6


class TileKind(enum.IntEnum):
    """What is on a tile.

    `RESCUED` is glass to the mask, but not to the guard; `PROTECTED` is mixed, and what the guard found
    reaches into it. Both stay whole.
    """

    GLASS = 0
    MIXED = 1
    TISSUE = 2
    RESCUED = 3
    PROTECTED = 4


@dataclass(frozen=True)
class GlassColor:
    """How bare glass looks on one slide: a smooth RGB surface, for lamps and slides are uneven.

    `coefficients` is (6, 3) float64, a quadratic over the slide with both axes running from -1 to 1.
    """

    coefficients: NDArray[np.float64]

    def at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
        """(3, rows, columns) colours at slide positions; `x` and `y` run from 0 to 1 across the slide."""
        constant, by_x, by_y, by_xx, by_xy, by_yy = self.coefficients.astype(np.float32)[..., None, None]
        u = (x * 2 - 1).astype(np.float32)[None, :]
        v = (y * 2 - 1).astype(np.float32)[:, None]
        return np.asarray(
            (constant + by_x * u + by_xx * u * u) + (by_y * v + by_yy * v * v) + by_xy * (u * v)
        )

    @property
    def typical(self) -> tuple[int, int, int]:
        """The RGB colour in the middle of the slide."""
        red, green, blue = np.clip(np.rint(self.coefficients[0]), 0, 255).astype(int).tolist()
        return red, green, blue


_WHITE = GlassColor(np.vstack([np.full((1, 3), 255.0), np.zeros((5, 3))]))


@dataclass(frozen=True)
class GlassSurvey:
    """For each level of the source the `TileKind` of every tile, (rows, columns) uint8.

    `found` is what the guard found on all levels, with its margin.
    """

    kinds: tuple[NDArray[np.uint8], ...]
    found: TissueMask


def fit_glass_color(overview: Overview, mask: TissueMask) -> GlassColor:
    """The colour of what the mask calls glass, by a least-squares fit that outliers barely pull.

    White where there is none, or where it is more coloured or darker than glass can be: then it stays.
    """
    samples = overview.pixels[:: _stride(overview, 0), :: _stride(overview, 1)]
    y, x = ((np.arange(count) + 0.5) / count for count in samples.shape[:2])
    shape = mask.pixels.shape
    rows, columns = np.nonzero(
        ~mask.pixels[(y * shape[0]).astype(np.intp)[:, None], (x * shape[1]).astype(np.intp)]
    )
    if not rows.size:
        return _WHITE
    terms = _quadratic(x[columns] * 2 - 1, y[rows] * 2 - 1)
    colors = samples[rows, columns].astype(np.float64)
    neutral = _most_neutral(colors)
    terms, colors = terms[neutral], colors[neutral]
    weights = np.ones((len(colors), 1))
    for _ in range(8):
        coefficients = np.linalg.lstsq(terms * weights, colors * weights, rcond=None)[0]
        residual = np.linalg.norm(colors - terms @ coefficients, axis=1, keepdims=True)
        weights = 1 / np.sqrt(1 + (residual / (2 * np.median(residual) + 1)) ** 2)
    if np.ptp(coefficients[0]) > MOST_TINT or coefficients[0].min() < DARKEST_GLASS:
        return _WHITE
    return GlassColor(np.asarray(coefficients, np.float64))


def _most_neutral(colors: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which colours may be glass: pale tissue that the mask missed, even most of it, is pinker than that.

    What counts is the least saturated 2 % of the brighter half; glass itself may be tinted.
    """
    saturation = np.ptp(colors, axis=1)
    brightness = colors.sum(axis=1)
    tint = np.percentile(saturation[brightness >= np.median(brightness)], 2)
    return np.asarray(saturation <= tint + _TINT_RANGE)


def _stride(overview: Overview, axis: int) -> int:
    return max(1, int(overview.pixels.shape[axis]) // _SAMPLES_A_SIDE)


def _quadratic(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = np.broadcast_arrays(x, y)
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


class GlassGuard:
    """Tells foreign matter from glass by a tile's own pixels, in blocks of about 8 um and at most 8 px.

    A block is foreign if it is darker than the slide's glass by over 20 grey levels in some channel, or
    differs from the tile's own glass by over 15 in RGB distance. A tile is not glass if 120 um2 of foreign
    blocks lie together. On 48 labelled real sections and on drawn slides this alone, with a mask that sees
    nothing, keeps every tile with a piece of tissue 50 um across (`tests/tissue/`). Where the file does not
    say its mpp, 1 um is taken for level 0: fewer blocks then suffice, which keeps more.
    """

    def __init__(self, info: SlideInfo, color: GlassColor, margin_px: float) -> None:
        self._color = color
        self.margin_px = margin_px
        """What stays around a find, in level-0 pixels."""
        self._mpp = plausible_mpp(info) or _COARSE_MPP
        self._together_px = margin_in_px(info, _TOGETHER_UM)

    def block_px(self, level: Level) -> int:
        """The side of a block in the level's pixels: 1, 2, 4 or 8, so that blocks fill cells and tiles."""
        side = _BLOCK_PX
        while side > 1 and side * self._mpp * level.downsample > _BLOCK_UM:
            side //= 2
        return side

    def find(
        self, slide: Slide, index: TileIndex, glass: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_] | None:
        """(block rows, block columns) of a tile: True where something lies on the glass; None for bare glass.

        Blocks within 100 um of each other are one thing, and things of less than the least area are none.
        `glass` (of the same shape) is where the mask sees none, if not everywhere. A tile that cannot be
        decoded is taken for something, all of it.
        """
        level = slide.info.levels[index.level]
        region = level.grid.region(index.column, index.row)
        side = self.block_px(level)
        try:
            blocks = self._read_blocks(slide, index, region)
        except TileReadError:
            return np.ones([-(-length // side) for length in region.size.shape], np.bool_)
        if glass is not None:
            glass = glass[: blocks.shape[0], : blocks.shape[1]]
        foreign = self._foreign(level, region, blocks, glass)
        needed = self._needed(level, foreign.size)
        if np.count_nonzero(foreign) < needed:
            return None
        things = _large_things(foreign, self._in_blocks(level, self._together_px / 2), needed)
        return things if things.any() else None

    def _needed(self, level: Level, blocks: int) -> int:
        """How many foreign blocks are a thing: the least area, or half of a line 50 um long, if that is more.

        On a tile or a strip of one too small to hold that, an eighth of it is enough.
        """
        block_um = self.block_px(level) * self._mpp * level.downsample
        needed = max(_LEAST_AREA_UM2 / block_um**2, _LEAST_LINE_UM / block_um)
        return max(1, min(math.ceil(needed), blocks // 8))

    def _in_blocks(self, level: Level, distance_px: float) -> int:
        """Level-0 pixels in whole blocks of a level, at least one: a find may go on beside the tile."""
        return max(1, math.ceil(distance_px / level.downsample / self.block_px(level)))

    def _read_blocks(self, slide: Slide, index: TileIndex, region: Region) -> Pixels:
        side = self.block_px(slide.info.levels[index.level])
        if side == _BLOCK_PX and min(region.width, region.height) >= _BLOCK_PX:
            # What is left of a last block is narrower than 8 px and not looked at.
            return slide.read_tile_eighth(index)[: region.height // side, : region.width // side]
        return _blocks(slide.read_tile(index)[: region.height, : region.width], side)

    def _foreign(
        self, level: Level, region: Region, blocks: Pixels, glass: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_]:
        """(block rows, block columns): True where something lies on the glass.

        `glass` (of the same shape) is where the mask sees none, if not everywhere.
        """
        side = self.block_px(level)
        rows, columns = blocks.shape[:2]
        x = (region.x + (np.arange(columns) + 0.5) * side) / level.size.width
        y = (region.y + (np.arange(rows) + 0.5) * side) / level.size.height
        values = np.ascontiguousarray(np.moveaxis(blocks, 2, 0)).astype(np.float32)
        absorbed = self._color.at(x, y) - values
        darker = absorbed.max(axis=0) > _DARKER
        filler = (absorbed.max(axis=0) < -_BRIGHTER) | _is_white_beside(values, absorbed)
        own = ~filler if glass is None else glass & ~filler
        if not own.any():
            return np.asarray(darker)
        reference = _middle(values[:, own])
        lighter = _differs(values, reference) & ((values - reference).min(axis=0) > -_LEVEL)
        # What is lighter than the middle of a tile is its glass, unless it is filler: then most is no glass.
        lighter &= ~_spread(filler, _RINGING_BLOCKS) if filler.any() else True
        if np.count_nonzero(lighter) >= self._needed(level, lighter.size):
            reference = _middle(values[:, lighter])
        absorbs = (reference - values).max(axis=0) > _LEVEL
        return np.asarray(darker | (_differs(values, reference) & absorbs))


def _middle(colors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, 1, 1): the median of (3, n) colours, channel by channel."""
    middle = colors.shape[1] // 2
    return np.asarray(np.partition(colors, middle, axis=1)[:, middle, None, None])


def _differs(values: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.bool_]:
    difference = values - reference
    return np.asarray((difference * difference).sum(axis=0) > _STRUCTURE**2)


def _is_white_beside(values: NDArray[np.float32], absorbed: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pure white where the glass is not."""
    return np.asarray((values.min(axis=0) >= _PURE_WHITE) & (absorbed.min(axis=0) < -_LEVEL))


def _spread(flags: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(flags.view(np.uint8), square).view(np.bool_))


def _large_things(foreign: NDArray[np.bool_], reach: int, needed: int) -> NDArray[np.bool_]:
    """The foreign blocks of which so many lie together: less than twice `reach` blocks apart."""
    reach = min(reach, max(foreign.shape))  # all that can join two blocks of a tile
    wide = np.pad(foreign, reach).view(np.uint8)
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    count, labels = cv2.connectedComponents(cv2.dilate(wide, square), connectivity=8)
    own = labels[reach : reach + foreign.shape[0], reach : reach + foreign.shape[1]]
    is_large = np.bincount(own[foreign], minlength=count) >= needed
    return np.asarray(foreign & is_large[own])


def _blocks(pixels: Pixels, side: int) -> Pixels:
    """The means of blocks of `side` pixels; for single pixels, of 2 x 2, against noise."""
    if side == 1:
        return np.asarray(cv2.blur(pixels, (2, 2)), np.uint8)
    rows, columns = -(-pixels.shape[0] // side), -(-pixels.shape[1] // side)
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


class _Finds:
    """What was found on tiles of all levels, on one grid over the slide of at most 4 million cells."""

    def __init__(self, slide: Size) -> None:
        self._slide = slide
        self._cell_px = 1
        while math.prod(-(-side // self._cell_px) for side in slide.shape) > _MOST_CELLS:
            self._cell_px *= 2
        rows, columns = (-(-side // self._cell_px) for side in slide.shape)
        self._cells = np.zeros((rows, columns), np.bool_)

    def add(self, level: Level, index: TileIndex, foreign: NDArray[np.bool_], side: int) -> None:
        """Mark every cell that a foreign block of a tile touches; blocks have `side` pixels of its level."""
        region = level.grid.region(index.column, index.row)
        top, rows = self._touched(region.y, region.height, side, foreign.shape, level.size, 0)
        left, columns = self._touched(region.x, region.width, side, foreign.shape, level.size, 1)
        marked = any_inside(foreign, rows, columns)
        self._cells[top : top + marked.shape[0], left : left + marked.shape[1]] |= marked

    def _touched(
        self, start: int, length: int, side: int, blocks: tuple[int, ...], size: Size, axis: int
    ) -> tuple[int, Spans]:
        """The first cell that a tile touches along an axis; of each cell first and past-the-last block."""
        scale = self._slide.shape[axis] / size.shape[axis] / self._cell_px
        first = math.floor(start * scale + _ROUNDING)
        last = min(math.ceil((start + length) * scale - _ROUNDING), self._cells.shape[axis])
        edges = (np.arange(first, last + 1) / scale - start) / side
        begin = np.clip(np.floor(edges[:-1] + _ROUNDING), 0, blocks[axis] - 1).astype(np.intp)
        end = np.ceil(edges[1:] - _ROUNDING).astype(np.intp)
        return first, (begin, np.clip(end, begin + 1, blocks[axis]))

    def with_margin(self, margin_px: float) -> TissueMask:
        """All that was found and what is nearer to it than a distance in level-0 pixels."""
        found = TissueMask(self._cells, self._slide, self._cell_px, self._cell_px, "guard")
        # Points of two cells can be 1.42 cells farther from each other than the cells' middles.
        return found.dilated(margin_px + 2 * self._cell_px) if self._cells.any() else found


def survey_glass(
    slide: Slide, mask: TissueMask, guard: GlassGuard, workers: int, progress: StageProgress
) -> GlassSurvey:
    """The kind of every tile of every level, by the mask with its margin and then by the guard.

    A tile that cannot be decoded is kept. Memory: some decoded tiles for each worker.
    """
    levels = slide.info.levels
    kinds = [_by_mask(mask.coverage(level)) for level in levels]
    doubtful = [(kind == TileKind.GLASS) | (kind == TileKind.MIXED) for kind in kinds]
    total = sum(int(flags.sum()) for flags in doubtful)
    on_glass, beside_tissue = _Finds(slide.info.size), _Finds(slide.info.size)
    done = 0

    def look(batch: list[TileIndex]) -> list[tuple[TileIndex, NDArray[np.bool_] | None]]:
        return [(index, guard.find(slide, index, glass_of(index))) for index in batch]

    def glass_of(index: TileIndex) -> NDArray[np.bool_] | None:
        if kinds[index.level][index.row, index.column] == TileKind.GLASS:
            return None
        level = levels[index.level]
        return ~mask.over_cells(level, index.column, index.row, guard.block_px(level))

    with closing(ordered_map(look, batched(_places(doubtful)), workers)) as batches:
        for found in batches:
            for index, foreign in found:
                if foreign is not None:
                    is_glass = kinds[index.level][index.row, index.column] == TileKind.GLASS
                    finds = on_glass if is_glass else beside_tissue
                    level = levels[index.level]
                    finds.add(level, index, foreign, guard.block_px(level))
            done += len(found)
            progress(done, total)
    return _protected(
        kinds, levels, on_glass.with_margin(guard.margin_px), beside_tissue.with_margin(guard.margin_px)
    )


def _places(flags: Sequence[NDArray[np.bool_]]) -> Iterator[TileIndex]:
    for number, flag in enumerate(flags):
        for row, column in np.argwhere(flag).tolist():
            yield TileIndex(number, column, row)


def _by_mask(coverage: NDArray[np.float64]) -> NDArray[np.uint8]:
    kinds = np.full(coverage.shape, TileKind.MIXED, np.uint8)
    kinds[coverage == 0] = TileKind.GLASS
    kinds[coverage == 1] = TileKind.TISSUE
    return kinds


def _protected(
    kinds: list[NDArray[np.uint8]], levels: Sequence[Level], on_glass: TissueMask, beside_tissue: TissueMask
) -> GlassSurvey:
    """Keep, and keep whole, every tile of all levels that a find reaches into."""
    found = replace(on_glass, pixels=on_glass.pixels | beside_tissue.pixels)
    for level, own in zip(levels, kinds, strict=True):
        reached = found.coverage(level) > 0
        own[reached & (own == TileKind.GLASS)] = TileKind.RESCUED
        own[(on_glass.coverage(level) > 0) & (own == TileKind.MIXED)] = TileKind.PROTECTED
    return GlassSurvey(tuple(kinds), found)
