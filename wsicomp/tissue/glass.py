"""What each tile is: tissue, glass, or both; and the guard that doubts the mask.

A tile is glass only if the mask says so and its own pixels, at its own level, look like glass. What the
guard finds on one level is kept on all of them, so that nothing can be seen far out that is gone close up.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency import batched, ordered_map
from wsicomp.errors import TileReadError
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import Region, Size, TileIndex
from wsicomp.limits import workers_for
from wsicomp.progress import StageProgress
from wsicomp.slide import Level, Pixels, Slide, SlideInfo
from wsicomp.tissue.mask import Spans, TissueMask, any_inside
from wsicomp.tissue.overview import Overview
from wsicomp.tissue.padding import Padding
from wsicomp.tissue.scale import margin_in_px, plausible_mpp
from wsicomp.tissue.white_balance import DARKEST_GLASS, MOST_TINT

_BLOCK_PX = 8
_BLOCK_UM = 8.0
_LEAST_AREA_UM2 = 200.0
_LEAST_LINE_UM = 25.0
_LEAST_ACROSS_UM = 32.0
_SCATTERED_UM2 = 400.0
_TOGETHER_UM = 100.0
_BETWEEN_UM = 250.0
_OF_A_TILE = 16
_DARKER = 20.0
_STRUCTURE = 15.0
_BRIGHTER = 20.0
_LEVEL = 5.0
_ALIKE = 8.0
_LEAST_SHARE = 0.01
_BLACK = 3
_OFF_THE_LINE = 12.0
_RINGING_PX = 16
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
class TileClasses:
    """For each level of the source the `TileKind` of every tile, (rows, columns) uint8.

    `found` is what the guard found on all levels, with its margin.
    """

    kinds: tuple[NDArray[np.uint8], ...]
    found: TissueMask


def fit_glass_color(overview: Overview, mask: TissueMask, padding: Padding | None = None) -> GlassColor:
    """The colour of what the mask calls glass, by a least-squares fit that outliers barely pull.

    White where there is none, or where it is more coloured or darker than glass can be: then it stays.
    Padding is no glass; but if what is left does not look like glass, the white may be glass overexposed.
    """
    samples = overview.pixels[:: _stride(overview, 0), :: _stride(overview, 1)]
    y, x = ((np.arange(count) + 0.5) / count for count in samples.shape[:2])
    black, white = (
        _at(padding.black if padding else None, x, y),
        _at(padding.white if padding else None, x, y),
    )
    is_glass = ~_at(mask, x, y) & ~black
    if (is_glass & ~white).sum() >= _LEAST_SHARE * is_glass.sum() > 0 and (white & is_glass).any():
        color, residual = _fitted(samples, is_glass & ~white, x, y)
        if color is not None and residual <= _ALIKE:
            return color
    return _fitted(samples, is_glass, x, y)[0] or _WHITE


def _at(mask: TissueMask | None, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """A mask at places across the slide that run from 0 to 1."""
    if mask is None:
        return np.zeros((len(y), len(x)), np.bool_)
    return mask.at(x * mask.slide.width, y * mask.slide.height)


def _fitted(
    samples: Pixels, chosen: NDArray[np.bool_], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[GlassColor | None, float]:
    """The colour of the chosen samples, None if no glass looks like it, and how far off half of them are."""
    rows, columns = np.nonzero(chosen)
    if not rows.size:
        return None, math.inf
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
        return None, math.inf
    return GlassColor(np.asarray(coefficients, np.float64)), float(np.median(residual))


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


class _ThingSize(NamedTuple):
    """How many foreign blocks make a thing: connected ones, which are so many `across`, or scattered ones."""

    solid: int
    across: int
    scattered: int


class GlassGuard:
    """Tells foreign matter from glass by a tile's own pixels, in blocks of about 8 um and at most 8 px.

    A block is foreign if it is darker than the slide's glass by over 20 grey levels in some channel, or
    darker than the tile's own glass and over 15 in RGB distance from it. A tile is not glass if a connected
    piece of 200 um2 and 32 um across is on it, or 400 um2 of foreign blocks lie together; a sixteenth of a
    smaller tile is enough, if it is no less than that piece. `black` is where the slide is filled with pure
    black, which is taken for glass.

    On 48 labelled real sections and on drawn slides this alone, with a mask that sees
    nothing, keeps every tile with a piece of tissue 50 um across (`tests/tissue/`). Where the file does not
    say its mpp, 1 um is taken for level 0: fewer blocks then suffice, which keeps more.
    """

    def __init__(
        self, info: SlideInfo, color: GlassColor, margin_px: float, black: TissueMask | None = None
    ) -> None:
        self.color = color
        self._black = None
        if black is not None and black.pixels.any():
            self._black = black.dilated(2 * max(black.scale_x, black.scale_y))
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
        `glass` (of the same shape) is where the mask sees none, if not everywhere.

        Raises:
            TileReadError: the tile cannot be decoded.
        """
        level = slide.info.levels[index.level]
        region = level.grid.region(index.column, index.row)
        return self._things(index, level, region, self._read_blocks(slide, index, region), glass)

    def find_in(
        self, pixels: Pixels, level: Level, index: TileIndex, glass: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_] | None:
        """As `find`, on the pixels of a tile that were read already, of a level that no file need have."""
        region = level.grid.region(index.column, index.row)
        return self._things(index, level, region, self.blocks_of(pixels, level, region), glass)

    def blocks_of(self, pixels: Pixels, level: Level, region: Region) -> Pixels:
        """The means of the blocks that `find` looks at, of a tile's pixels that were read already."""
        side = self.block_px(level)
        if side == _BLOCK_PX and min(region.width, region.height) >= _BLOCK_PX:
            return _blocks(pixels[: region.height // side * side, : region.width // side * side], side)
        return _blocks(pixels[: region.height, : region.width], side)

    def color_of(self, shape: tuple[int, ...], level: Level, region: Region) -> NDArray[np.float32]:
        """(block rows, block columns, 3), as `shape` has them: how bare glass looks where they are."""
        return np.moveaxis(self._color_over(shape, level, region), 0, -1)

    def _color_over(self, shape: tuple[int, ...], level: Level, region: Region) -> NDArray[np.float32]:
        """As `color_of`, the channels first."""
        side = self.block_px(level)
        y, x = (
            (start + (np.arange(count) + 0.5) * side) / whole
            for start, count, whole in zip((region.y, region.x), shape, level.size.shape, strict=True)
        )
        return self.color.at(x, y)

    def _things(
        self,
        index: TileIndex,
        level: Level,
        region: Region,
        blocks: Pixels,
        glass: NDArray[np.bool_] | None,
    ) -> NDArray[np.bool_] | None:
        if glass is not None:
            glass = glass[: blocks.shape[0], : blocks.shape[1]]
        foreign = self._foreign(index, level, region, blocks, glass)
        return self.things(foreign, level)

    def things(self, foreign: NDArray[np.bool_], level: Level) -> NDArray[np.bool_] | None:
        """The foreign blocks that make a thing: enough of them together; None if there is none."""
        size = self._thing_size(level, foreign.size)
        if np.count_nonzero(foreign) < size.solid:
            return None
        things = _large_things(_joined(foreign, self._in_blocks(level, self._together_px / 2)), foreign, size)
        return things if things.any() else None

    def _block_um(self, level: Level) -> float:
        return self.block_px(level) * self._mpp * level.downsample

    def _thing_size(self, level: Level, blocks: int) -> _ThingSize:
        """On a tile or a strip of one too small to hold a thing, an eighth of it is enough.

        Of what is scattered a small tile sees a part alone: a sixteenth of it is enough.
        """
        block_um, most = self._block_um(level), max(1, blocks // 8)
        solid = max(_LEAST_AREA_UM2 / block_um**2, _LEAST_LINE_UM / block_um)
        scattered = min(_SCATTERED_UM2 / block_um**2, blocks / _OF_A_TILE)
        return _ThingSize(
            min(math.ceil(solid), most),
            min(int(_LEAST_ACROSS_UM / block_um), most),
            min(math.ceil(max(solid, scattered)), most),
        )

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
        self,
        index: TileIndex,
        level: Level,
        region: Region,
        blocks: Pixels,
        glass: NDArray[np.bool_] | None,
    ) -> NDArray[np.bool_]:
        """(block rows, block columns): True where something lies on the glass.

        `glass` (of the same shape) is where the mask sees none, if not everywhere.
        """
        values = np.ascontiguousarray(np.moveaxis(blocks, 2, 0)).astype(np.float32)
        color = self._color_over(blocks.shape[:2], level, region)
        absorbed = color - values
        darker = absorbed.max(axis=0) > _DARKER
        padding = (absorbed.max(axis=0) < -_BRIGHTER) | _is_white_beside(values, absorbed)
        black = self._filled(index, level, self.block_px(level), values, color)
        if black is not None:
            darker, padding = darker & ~black, padding | black
        own = ~padding if glass is None else glass & ~padding
        if not own.any():
            return np.asarray(darker)
        reference = _middle(values[:, own])
        lighter = _differs(values, reference) & ((values - reference).min(axis=0) > -_LEVEL)
        # What is lighter than the middle of a tile is its glass, unless it is padding: then most is no glass.
        lighter &= ~_spread(padding, _RINGING_BLOCKS) if padding.any() else True
        if np.count_nonzero(lighter) >= self._thing_size(level, lighter.size).solid:
            # But a reflection on a line of the cover glass is lighter than all glass.
            reference = min(
                (reference, _middle(values[:, lighter])), key=_distance_to(_middle(color[:, own]))
            )
        absorbs = (reference - values).max(axis=0) > _LEVEL
        foreign = darker | (_differs(values, reference) & absorbs)
        return np.asarray(foreign if black is None else foreign & ~black)

    def _filled(
        self,
        index: TileIndex,
        level: Level,
        side: int,
        values: NDArray[np.float32],
        color: NDArray[np.float32],
    ) -> NDArray[np.bool_] | None:
        """Which blocks of a tile are black padding, or mixed of it and glass where one meets the other."""
        if self._black is None:
            return None
        near = self._black.over_cells(level, index.column, index.row, side)
        near = near[: values.shape[1], : values.shape[2]]
        black = near & (values.max(axis=0) <= _BLACK)
        if not black.any():
            return None
        # Stained tissue is off the line from black to glass.
        light = (values * color).sum(axis=0) / (color * color).sum(axis=0)
        is_mixed = np.abs(values - light * color).max(axis=0) <= _OFF_THE_LINE
        return np.asarray(black | (is_mixed & _spread(black, -(-_RINGING_PX // side))))


def _middle(colors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, 1, 1): the median of (3, n) colours, channel by channel."""
    middle = colors.shape[1] // 2
    return np.asarray(np.partition(colors, middle, axis=1)[:, middle, None, None])


def _distance_to(expected: NDArray[np.float32]) -> Callable[[NDArray[np.float32]], float]:
    return lambda found: float(np.abs(found - expected).max())


def _differs(values: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.bool_]:
    difference = values - reference
    return np.asarray((difference * difference).sum(axis=0) > _STRUCTURE**2)


def _is_white_beside(values: NDArray[np.float32], absorbed: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pure white where the glass is not."""
    return np.asarray((values.min(axis=0) >= _PURE_WHITE) & (absorbed.min(axis=0) < -_LEVEL))


def _spread(flags: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(flags.view(np.uint8), square).view(np.bool_))


def _joined(foreign: NDArray[np.bool_], reach: int) -> NDArray[np.int32]:
    """(rows, columns): the number of the thing that each block is part of, less than twice `reach` apart."""
    reach = min(reach, max(foreign.shape))  # all that can join two blocks of a tile
    wide = np.pad(foreign, reach).view(np.uint8)
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    _, labels = cv2.connectedComponents(cv2.dilate(wide, square), connectivity=8)
    return np.asarray(labels[reach : reach + foreign.shape[0], reach : reach + foreign.shape[1]])


def _large_things(
    things: NDArray[np.int32], foreign: NDArray[np.bool_], size: _ThingSize
) -> NDArray[np.bool_]:
    """The foreign blocks of things that have enough blocks, or one piece that is large by itself."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(foreign.view(np.uint8), connectivity=8)
    across = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1)
    is_solid = (stats[:, cv2.CC_STAT_AREA] >= size.solid) & (across >= size.across)
    is_large = np.bincount(things[foreign], minlength=things.max() + 1) >= size.scattered
    is_large[things[foreign & is_solid[pieces]]] = True
    return np.asarray(foreign & is_large[things])


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


class _Looked(NamedTuple):
    """What the guard found on a tile; `glass` is None where the mask sees nothing but glass on it."""

    tile: TileIndex
    glass: NDArray[np.bool_] | None
    foreign: NDArray[np.bool_] | None
    is_damaged: bool = False


class _FindsByPlace:
    """Finds on glass tiles, on mixed ones beside what the mask holds, and anywhere on mixed ones."""

    def __init__(self, info: SlideInfo, guard: GlassGuard) -> None:
        self._levels = info.levels
        self._guard = guard
        self._on_glass, self._beside, self._near = (_Finds(info.size) for _ in range(3))

    def add(self, looked: _Looked) -> None:
        """Note what was found on a tile, if anything was."""
        level, foreign = self._levels[looked.tile.level], looked.foreign
        side = self._guard.block_px(level)
        if foreign is None:
            return
        if looked.glass is None:
            self._on_glass.add(level, looked.tile, foreign, side)
            return
        beside = foreign & looked.glass[: foreign.shape[0], : foreign.shape[1]]
        self._beside.add(level, looked.tile, beside, side)
        self._near.add(level, looked.tile, foreign, side)

    def with_margin(self) -> tuple[TissueMask, TissueMask, TissueMask]:
        """The three of them, each with the guard's margin."""
        on_glass, beside, near = (
            finds.with_margin(self._guard.margin_px) for finds in (self._on_glass, self._beside, self._near)
        )
        return on_glass, beside, near


def classify_tiles(
    slide: Slide, mask: TissueMask, guard: GlassGuard, workers: int, progress: StageProgress
) -> TileClasses:
    """The kind of every tile of every level, by the mask with its margin and then by the guard.

    A tile that cannot be decoded is kept, and says nothing of other levels. Memory: some decoded tiles for
    each worker.
    """
    levels = slide.info.levels
    kinds = [_by_mask(mask.coverage(level)) for level in levels]
    doubtful = _doubtful(slide, kinds)
    total = sum(int(flags.sum()) for flags in doubtful)
    finds = _FindsByPlace(slide.info, guard)
    done = 0

    def look(batch: list[TileIndex]) -> list[_Looked]:
        return [looked_at(tile, glass_of(tile)) for tile in batch]

    def looked_at(tile: TileIndex, glass: NDArray[np.bool_] | None) -> _Looked:
        try:
            return _Looked(tile, glass, guard.find(slide, tile, glass))
        except TileReadError:
            return _Looked(tile, glass, None, is_damaged=True)

    def glass_of(index: TileIndex) -> NDArray[np.bool_] | None:
        if kinds[index.level][index.row, index.column] == TileKind.GLASS:
            return None
        level = levels[index.level]
        return ~mask.over_cells(level, index.column, index.row, guard.block_px(level))

    largest = max((level.tile for level in levels), key=lambda tile: tile.width * tile.height)
    with closing(ordered_map(look, batched(_places(doubtful)), workers_for(largest, workers))) as batches:
        for found in batches:
            for looked in found:
                finds.add(looked)
                if looked.is_damaged and looked.glass is None:
                    kinds[looked.tile.level][looked.tile.row, looked.tile.column] = TileKind.RESCUED
            done += len(found)
            progress(done, total)
    return _protected(kinds, levels, mask, finds.with_margin(), margin_in_px(slide.info, _BETWEEN_UM) / 2)


def _doubtful(slide: Slide, kinds: list[NDArray[np.uint8]]) -> list[NDArray[np.bool_]]:
    """Which tiles are looked at; pure white, as tiles without bytes are shown, holds nothing."""
    doubtful = [(kind == TileKind.GLASS) | (kind == TileKind.MIXED) for kind in kinds]
    for number, flags in enumerate(doubtful):
        if isinstance(slide, TiffSlide) and slide.shows_absent_white(number):
            flags.reshape(-1)[list(slide.info.levels[number].absent)] = False
    return doubtful


def _places(flags: Sequence[NDArray[np.bool_]]) -> Iterator[TileIndex]:
    for number, flag in enumerate(flags):
        for row, column in np.argwhere(flag).tolist():
            yield TileIndex(number, column, row)


def _by_mask(coverage: NDArray[np.float64]) -> NDArray[np.uint8]:
    kinds = np.full(coverage.shape, TileKind.MIXED, np.uint8)
    kinds[coverage == 0] = TileKind.GLASS
    kinds[coverage == 1] = TileKind.TISSUE
    return kinds


def _closed(mask: TissueMask, reach_px: float) -> NDArray[np.bool_]:
    """The mask with its gaps narrower than twice a distance: grown by it, and shrunk again.

    Beyond the slide's edge all is gap, as far as memory for some grids of the most cells reaches.
    """
    longest = max(mask.pixels.shape)
    reach = math.ceil(reach_px / min(mask.scale_x, mask.scale_y)) + 1
    around = min(reach, 2 * longest, max(1, 4 * _MOST_CELLS // longest))
    grown = replace(mask, pixels=np.pad(mask.pixels, around)).dilated(reach_px)
    shrunk = ~replace(mask, pixels=~grown.pixels).dilated(reach_px).pixels
    return shrunk[around:-around, around:-around]


def _gaps(finds: TissueMask, mask: TissueMask, reach_px: float) -> NDArray[np.bool_]:
    """What is narrower than twice a distance between finds, or between them and what the mask holds.

    Fat that was washed out shows some walls and nuclei, and looks like glass between them. Gaps of the mask
    alone are its own.
    """
    if not finds.pixels.any():
        return finds.pixels
    tissue = replace(finds, pixels=_on_grid_of(finds, mask))
    filled = _closed(replace(finds, pixels=finds.pixels | tissue.pixels), reach_px) & ~tissue.pixels
    own = _closed(tissue, reach_px) & ~finds.dilated(2 * reach_px).pixels
    return filled & ~own


def _protected(
    kinds: list[NDArray[np.uint8]],
    levels: Sequence[Level],
    mask: TissueMask,
    finds: tuple[TissueMask, TissueMask, TissueMask],
    reach_px: float,
) -> TileClasses:
    """Keep, and keep whole, every tile of all levels that a find reaches into.

    What was found where the mask sees tissue has the mask's own margin: it saves no tile of glass, but in
    mixed tiles nothing near it is painted. Gaps beside finds stay as well.
    """
    on_glass, beside_tissue, near_tissue = finds
    beyond = replace(on_glass, pixels=on_glass.pixels | beside_tissue.pixels)
    gaps = _gaps(beyond, mask, reach_px)
    found = replace(on_glass, pixels=on_glass.pixels | near_tissue.pixels | gaps)
    saves = replace(beyond, pixels=beyond.pixels | gaps)
    for level, own in zip(levels, kinds, strict=True):
        own[(saves.coverage(level) > 0) & (own == TileKind.GLASS)] = TileKind.RESCUED
        own[(on_glass.coverage(level) > 0) & (own == TileKind.MIXED)] = TileKind.PROTECTED
    return TileClasses(tuple(kinds), found)


def _on_grid_of(grid: TissueMask, mask: TissueMask) -> NDArray[np.bool_]:
    """A mask in the pixels of another of the same slide."""
    rows, columns = grid.pixels.shape
    return mask.at((np.arange(columns) + 0.5) * grid.scale_x, (np.arange(rows) + 0.5) * grid.scale_y)
