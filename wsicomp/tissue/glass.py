"""What each tile is: tissue, glass, or both; and the guard that doubts the mask.

A tile is glass only if the mask says so and its own pixels, at its own level, look like glass. What the
guard finds on one level is kept on all of them, so that nothing can be seen far out that is gone close up.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency import batched, ordered_map
from wsicomp.errors import TileReadError
from wsicomp.geometry import Region, TileIndex
from wsicomp.slide import Level, Pixels, Slide, SlideInfo
from wsicomp.stages import StageProgress
from wsicomp.tissue.light import DARKEST_GLASS, MOST_TINT
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.scale import margin_in_px, plausible_mpp
from wsicomp.tissue.segment import Overview

_BLOCK_PX = 8
_CELL_PX = 16
_BLOCK_UM = 8.0
_LEAST_AREA_UM2 = 120.0
_TOGETHER_UM = 100.0
_DARKER = 20.0
_STRUCTURE = 15.0
_COARSE_MPP = 1.0
_TINT_RANGE = 16.0
_SAMPLES_A_SIDE = 192


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
    """For each level of the source the `TileKind` of every tile, (rows, columns) uint8."""

    kinds: tuple[NDArray[np.uint8], ...]


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
        self._margin_px = margin_px
        self._mpp = plausible_mpp(info) or _COARSE_MPP
        self._together_px = margin_in_px(info, _TOGETHER_UM)

    def block_px(self, level: Level) -> int:
        """The side of a block in the level's pixels: 1, 2, 4 or 8, so that blocks fill cells and tiles."""
        side = _BLOCK_PX
        while side > 1 and side * self._mpp * level.downsample > _BLOCK_UM:
            side //= 2
        return side

    def find(self, slide: Slide, index: TileIndex) -> tuple[Region, ...]:
        """The boxes, margin and all, around what is on a tile that should be glass; none for glass.

        Blocks within 100 um of each other are one thing, and things of less than the least area are none.
        Boxes are in the level's pixels, and may reach past the level's edge. A tile that cannot be decoded is
        taken for something.
        """
        level = slide.info.levels[index.level]
        region = level.grid.region(index.column, index.row)
        try:
            blocks = self._read_blocks(slide, index, region)
        except TileReadError:
            return (region,)
        foreign = self._foreign(level, region, blocks)
        side = self.block_px(level)
        block_um2 = (side * self._mpp * level.downsample) ** 2
        # On a tile or a strip of one too small to hold that area, an eighth of it is enough.
        needed = max(1, min(int(_LEAST_AREA_UM2 / block_um2), foreign.size // 8))
        if np.count_nonzero(foreign) < needed:
            return ()
        margin = self._in_blocks(level, self._margin_px)
        reach = self._in_blocks(level, self._together_px / 2)
        return tuple(
            Region(
                region.x + (x - margin) * side,
                region.y + (y - margin) * side,
                (width + 2 * margin) * side,
                (height + 2 * margin) * side,
            )
            for x, y, width, height, area in _things(foreign, reach)
            if area >= needed
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
        self, level: Level, region: Region, blocks: Pixels, glass: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_]:
        """(block rows, block columns): True where something lies on the glass.

        `glass` (of the same shape) is where the mask sees none, if not everywhere.
        """
        side = self.block_px(level)
        rows, columns = blocks.shape[:2]
        x = (region.x + (np.arange(columns) + 0.5) * side) / level.size.width
        y = (region.y + (np.arange(rows) + 0.5) * side) / level.size.height
        channels = np.ascontiguousarray(np.moveaxis(blocks, 2, 0))
        values = channels.astype(np.float32)
        darker = (self._color.at(x, y) - values).max(axis=0) > _DARKER
        own = channels.reshape(3, -1) if glass is None else channels[:, glass]
        middle = own.shape[1] // 2
        if not own.size:
            return np.asarray(darker)
        difference = values - np.partition(own, middle, axis=1)[:, middle, None, None]
        return np.asarray(darker | ((difference * difference).sum(axis=0) > _STRUCTURE**2))

    def keep(
        self, level: Level, region: Region, pixels: Pixels, tissue: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """The pixels of a mixed tile that stay: what the mask holds, and what is foreign with its margin.

        They come in whole cells of 16 px, the largest unit that JPEG codes: an edge inside one would ring
        into the tissue, and cost bytes.
        """
        side = self.block_px(level)
        foreign = self._foreign(level, region, _blocks(pixels, side), glass=_shrunk(~tissue, side))
        reach = 2 * min(self._in_blocks(level, self._margin_px), max(foreign.shape)) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        grown = cv2.dilate(foreign.astype(np.uint8), disc)
        wide = np.repeat(np.repeat(grown, side, axis=0), side, axis=1)[: region.height, : region.width]
        rows, columns = region.height // _CELL_PX, region.width // _CELL_PX
        cells = (tissue | wide.astype(np.bool_)).reshape(rows, _CELL_PX, columns, _CELL_PX).any(axis=(1, 3))
        return np.repeat(np.repeat(cells, _CELL_PX, axis=0), _CELL_PX, axis=1)


def _things(foreign: NDArray[np.bool_], reach: int) -> list[tuple[int, int, int, int, int]]:
    """(x, y, width, height, blocks) of what lies together: less than twice `reach` blocks apart."""
    reach = min(reach, max(foreign.shape))  # all that can join two blocks of a tile
    wide = np.pad(foreign, reach).view(np.uint8)
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(wide, square), connectivity=8)
    blocks = np.bincount(labels[wide.view(np.bool_)], minlength=count)
    # Padded by as much as it was spread by, so a thing begins where its spread does.
    return [
        (x, y, width - 2 * reach, height - 2 * reach, int(blocks[number]))
        for number, (x, y, width, height, _) in enumerate(stats.tolist())
        if number
    ]


def _blocks(pixels: Pixels, side: int) -> Pixels:
    """The means of blocks of `side` pixels; for single pixels, of 2 x 2, against noise."""
    if side == 1:
        return np.asarray(cv2.blur(pixels, (2, 2)), np.uint8)
    rows, columns = -(-pixels.shape[0] // side), -(-pixels.shape[1] // side)
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def _shrunk(flags: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """One flag a block, that of its middle."""
    return np.asarray(flags[side // 2 :: side, side // 2 :: side])


def survey_glass(
    slide: Slide, mask: TissueMask, guard: GlassGuard, workers: int, progress: StageProgress
) -> GlassSurvey:
    """The kind of every tile of every level, by the mask with its margin and then by the guard.

    A tile that cannot be decoded is kept. Memory: some decoded tiles for each worker.
    """
    levels = slide.info.levels
    kinds = [_by_mask(mask.coverage(level)) for level in levels]
    total = sum(int((kind == TileKind.GLASS).sum()) for kind in kinds)
    doubtful = _called_glass([kind == TileKind.GLASS for kind in kinds])
    finds: list[tuple[TileIndex, Region]] = []
    done = 0

    def look(batch: list[TileIndex]) -> list[tuple[TileIndex, tuple[Region, ...]]]:
        return [(index, guard.find(slide, index)) for index in batch]

    with closing(ordered_map(look, batched(doubtful), workers)) as batches:
        for found in batches:
            finds += [(index, box) for index, boxes in found for box in boxes]
            done += len(found)
            progress(done, total)
    for index, box in finds:
        kinds[index.level][index.row, index.column] = TileKind.RESCUED
        for number, level in enumerate(levels):
            _protect(kinds[number], level, levels[index.level], box)
    return GlassSurvey(tuple(kinds))


def _called_glass(flags: Sequence[NDArray[np.bool_]]) -> Iterator[TileIndex]:
    for number, flag in enumerate(flags):
        for row, column in np.argwhere(flag).tolist():
            yield TileIndex(number, column, row)


def _by_mask(coverage: NDArray[np.float64]) -> NDArray[np.uint8]:
    kinds = np.full(coverage.shape, TileKind.MIXED, np.uint8)
    kinds[coverage == 0] = TileKind.GLASS
    kinds[coverage == 1] = TileKind.TISSUE
    return kinds


def _protect(kinds: NDArray[np.uint8], level: Level, found_on: Level, box: Region) -> None:
    """Keep, and keep whole, every tile of a level that a find on another level reaches into."""
    scale_x, scale_y = level.size.width / found_on.size.width, level.size.height / found_on.size.height
    tile = level.tile
    left, right = max(0, box.x) * scale_x // tile.width, -(-(box.x + box.width) * scale_x // tile.width)
    top, bottom = max(0, box.y) * scale_y // tile.height, -(-(box.y + box.height) * scale_y // tile.height)
    reached = kinds[int(top) : int(bottom), int(left) : int(right)]
    reached[reached == TileKind.GLASS] = TileKind.RESCUED
    reached[reached == TileKind.MIXED] = TileKind.PROTECTED
