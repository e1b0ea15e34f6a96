"""What each tile is: tissue, glass, or both; and the guard that doubts the mask.

A tile is glass only if the mask says so and its own pixels, at its own level, look like glass. What the
guard finds on one level is kept on all of them, so that nothing can be seen far out that is gone close up.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency import ordered_map
from wsicomp.errors import TileReadError
from wsicomp.geometry import Region, TileIndex
from wsicomp.slide import Level, Pixels, Slide, SlideInfo
from wsicomp.stages import StageProgress
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.segment import Overview

_BLOCK_PX = 8
_CELL_PX = 16
_BLOCK_UM = 8.0
_LEAST_AREA_UM2 = 250.0
_DARKER = 20.0
_STRUCTURE = 15.0
_COARSE_MPP = 1.0
_SAMPLES = 20_000
_TILES_AT_ONCE = 32


class TileKind(enum.IntEnum):
    """What is on a tile; `RESCUED` is glass to the mask, but not to the guard."""

    GLASS = 0
    MIXED = 1
    TISSUE = 2
    RESCUED = 3


@dataclass(frozen=True)
class GlassColor:
    """How bare glass looks on one slide: a smooth RGB surface, for lamps and slides are uneven.

    `coefficients` is (6, 3) float64, a quadratic over the slide with both axes running from -1 to 1.
    """

    coefficients: NDArray[np.float64]

    def at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
        """(rows, columns, 3) colours at slide positions; `x` and `y` run from 0 to 1 across the slide."""
        terms = _quadratic(x[None, :] * 2 - 1, y[:, None] * 2 - 1)
        return (terms @ self.coefficients).astype(np.float32)

    @property
    def typical(self) -> tuple[int, int, int]:
        """The RGB colour in the middle of the slide."""
        red, green, blue = np.clip(np.rint(self.coefficients[0]), 0, 255).astype(int).tolist()
        return red, green, blue


@dataclass(frozen=True)
class GlassSurvey:
    """For each level of the source the `TileKind` of every tile, (rows, columns) uint8."""

    kinds: tuple[NDArray[np.uint8], ...]


def fit_glass_color(overview: Overview, mask: TissueMask) -> GlassColor:
    """The colour of what the mask calls glass, by a least-squares fit that outliers barely pull."""
    rows, columns = overview.pixels.shape[:2]
    y, x = (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns
    shape = mask.pixels.shape
    glass = ~mask.pixels[(y * shape[0]).astype(np.intp)[:, None], (x * shape[1]).astype(np.intp)]
    positions = np.flatnonzero(glass)
    if not positions.size:
        return GlassColor(np.vstack([np.full((1, 3), 255.0), np.zeros((5, 3))]))
    positions = positions[:: max(1, positions.size // _SAMPLES)]
    terms = _quadratic(x[positions % columns] * 2 - 1, y[positions // columns] * 2 - 1)
    colors = overview.pixels.reshape(-1, 3)[positions].astype(np.float64)
    weights = np.ones((len(positions), 1))
    for _ in range(8):
        coefficients = np.linalg.lstsq(terms * weights, colors * weights, rcond=None)[0]
        residual = np.linalg.norm(colors - terms @ coefficients, axis=1, keepdims=True)
        weights = 1 / np.sqrt(1 + (residual / (2 * np.median(residual) + 1)) ** 2)
    return GlassColor(np.asarray(coefficients, np.float64))


def _quadratic(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = np.broadcast_arrays(x, y)
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


class GlassGuard:
    """Tells foreign matter from glass by a tile's own pixels, in blocks of about 8 um and at most 8 px.

    A block is foreign if it is darker than the slide's glass by over 20 grey levels in some channel, or
    differs from the tile's own glass by over 15 in RGB distance. A tile is not glass if 250 um2 of it are
    foreign. On labelled sections of 38 sources this alone, with a mask that sees nothing, keeps every tile
    with tissue of 50 um (`tests/test_glass.py`). Where the file does not say its mpp, 1 um is taken for
    level 0: fewer blocks then suffice, which keeps more.
    """

    def __init__(self, info: SlideInfo, color: GlassColor) -> None:
        self._color = color
        self._mpp = info.mpp.mean if info.mpp else _COARSE_MPP

    def block_px(self, level: Level) -> int:
        """The side of a block in the level's pixels."""
        return max(1, min(_BLOCK_PX, int(_BLOCK_UM / (self._mpp * level.downsample))))

    def foreign_blocks(
        self, level: Level, region: Region, pixels: Pixels, glass: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_]:
        """(block rows, block columns): True where there is something on the glass.

        `region` is where in the level `pixels` lies, and `glass` (of the pixels' shape) is where the mask
        sees none, if not everywhere.
        """
        side = self.block_px(level)
        columns, rows = -(-region.width // side), -(-region.height // side)
        means = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA)
        blocks = np.asarray(cv2.blur(means, (2, 2)) if side == 1 else means, np.float32)
        x = (region.x + (np.arange(columns) + 0.5) * side) / level.size.width
        y = (region.y + (np.arange(rows) + 0.5) * side) / level.size.height
        darker = (self._color.at(x, y) - blocks).max(axis=2) > _DARKER
        own = blocks.reshape(-1, 3)
        if glass is not None:
            share = cv2.resize(glass.astype(np.uint8), (columns, rows), interpolation=cv2.INTER_NEAREST)
            own = own[share.reshape(-1) > 0]
        if not len(own):
            return np.asarray(darker)
        return np.asarray(darker | (np.linalg.norm(blocks - np.median(own, axis=0), axis=2) > _STRUCTURE))

    def find(self, level: Level, region: Region, pixels: Pixels) -> Region | None:
        """The box around what is on a tile that should be glass, in the level's pixels; None for glass.

        It may reach past the level's edge.
        """
        foreign = self.foreign_blocks(level, region, pixels)
        side = self.block_px(level)
        block_um2 = (side * self._mpp * level.downsample) ** 2
        if np.count_nonzero(foreign) < max(1, int(_LEAST_AREA_UM2 / block_um2)):
            return None
        rows, columns = np.flatnonzero(foreign.any(axis=1)), np.flatnonzero(foreign.any(axis=0))
        # One block wider all around, so that what goes on in the next tile is kept there too.
        return Region(
            region.x + (int(columns[0]) - 1) * side,
            region.y + (int(rows[0]) - 1) * side,
            int(columns[-1] - columns[0] + 3) * side,
            int(rows[-1] - rows[0] + 3) * side,
        )

    def keep(
        self, level: Level, region: Region, pixels: Pixels, tissue: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """The pixels of a mixed tile that stay: what the mask holds, and what is foreign, with a rim.

        They come in whole cells of 16 px, the largest unit that JPEG codes: an edge inside one would ring
        into the tissue, and cost bytes.
        """
        side = self.block_px(level)
        foreign = self.foreign_blocks(level, region, pixels, glass=~tissue)
        grown = cv2.dilate(foreign.astype(np.uint8), np.ones((3, 3), np.uint8))
        wide = np.repeat(np.repeat(grown, side, axis=0), side, axis=1)[: region.height, : region.width]
        rows, columns = region.height // _CELL_PX, region.width // _CELL_PX
        cells = (tissue | wide.astype(np.bool_)).reshape(rows, _CELL_PX, columns, _CELL_PX).any(axis=(1, 3))
        return np.repeat(np.repeat(cells, _CELL_PX, axis=0), _CELL_PX, axis=1)


def survey_glass(
    slide: Slide, mask: TissueMask, guard: GlassGuard, workers: int, progress: StageProgress
) -> GlassSurvey:
    """The kind of every tile of every level, by the mask with its margin and then by the guard.

    A tile that cannot be decoded is kept. Memory: some decoded tiles for each worker.
    """
    levels = slide.info.levels
    kinds = [_by_mask(mask.coverage(level)) for level in levels]
    doubtful = [
        TileIndex(number, int(column), int(row))
        for number, kind in enumerate(kinds)
        for row, column in np.argwhere(kind == TileKind.GLASS)
    ]
    batches = [doubtful[start : start + _TILES_AT_ONCE] for start in range(0, len(doubtful), _TILES_AT_ONCE)]
    finds: list[tuple[TileIndex, Region]] = []
    done = 0
    for batch, found in zip(
        batches, ordered_map(lambda batch: list(_inspect(slide, guard, batch)), batches, workers), strict=True
    ):
        finds += found
        done += len(batch)
        progress(done, len(doubtful))
    for index, box in finds:
        kinds[index.level][index.row, index.column] = TileKind.RESCUED
        for number, level in enumerate(levels):
            _protect(kinds[number], level, levels[index.level], box)
    return GlassSurvey(tuple(kinds))


def _by_mask(coverage: NDArray[np.float64]) -> NDArray[np.uint8]:
    kinds = np.full(coverage.shape, TileKind.MIXED, np.uint8)
    kinds[coverage == 0] = TileKind.GLASS
    kinds[coverage == 1] = TileKind.TISSUE
    return kinds


def _inspect(slide: Slide, guard: GlassGuard, batch: list[TileIndex]) -> Iterator[tuple[TileIndex, Region]]:
    for index in batch:
        level = slide.info.levels[index.level]
        region = level.grid.region(index.column, index.row)
        try:
            pixels = slide.read_tile(index)[: region.height, : region.width]
        except TileReadError:
            yield index, region
            continue
        box = guard.find(level, region, pixels)
        if box is not None:
            yield index, box


def _protect(kinds: NDArray[np.uint8], level: Level, found_on: Level, box: Region) -> None:
    """Keep, and keep whole, every tile of a level that a find on another level reaches into."""
    scale_x, scale_y = level.size.width / found_on.size.width, level.size.height / found_on.size.height
    tile = level.tile
    left, right = max(0, box.x) * scale_x // tile.width, -(-(box.x + box.width) * scale_x // tile.width)
    top, bottom = max(0, box.y) * scale_y // tile.height, -(-(box.y + box.height) * scale_y // tile.height)
    reached = kinds[int(top) : int(bottom), int(left) : int(right)]
    reached[reached == TileKind.GLASS] = TileKind.RESCUED
    reached[reached == TileKind.MIXED] = TileKind.TISSUE
