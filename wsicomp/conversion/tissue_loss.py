"""Measures how far lossy tissue is from its source: tiles of the written file, read back and compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsicomp.codecs.quality import LEAST_SIDE_PX, ssim_inside
from wsicomp.codecs.registry import bytes_a_pixel
from wsicomp.concurrency.threads import ordered_map
from wsicomp.conversion.tile_stream import GlassPaint
from wsicomp.errors import TileReadError
from wsicomp.files.limits import workers_for
from wsicomp.formats.base import Slide
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.opening import open_converted
from wsicomp.formats.resample import read_reduced_tile
from wsicomp.geometry import TileIndex
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.slide import Pixels

MOST_TILES = 256
"""The most tiles that are read back: about a second on two cores."""


@dataclass(frozen=True)
class TissueLoss:
    """What was measured of lossy tiles."""

    tiles: int
    """The count of tiles."""
    least_ssim: float
    """The least SSIM of one of them, at most 1."""


def measure_loss(
    path: Path,
    slide: Slide,
    levels: Sequence[tuple[LevelPlan, tuple[int, ...]]],
    paint: GlassPaint | None,
    workers: int,
) -> TissueLoss | None:
    """Return the least SSIM over tiles of a written file, spread evenly over its lossy levels.

    `levels` are plans of levels, each with the numbers of its lossy recipes. Tiles without glass go first;
    where there is none, the kept pixels of painted tiles are compared. Return None where no tile can be.

    Memory: two tiles for each of the `workers`.
    """
    chosen, _ = lossy_tiles(levels, MOST_TILES)
    if not chosen:
        return None
    widest = max((plan for plan, _ in chosen), key=lambda plan: plan.tile.width)
    threads = workers_for(widest.tile, workers, bytes_a_pixel(widest.encoding))
    with closing(open_converted(path)) as written:
        compare = _Comparison(slide, written, paint)
        with closing(ordered_map(compare.ssim, chosen, threads)) as measured:
            found = [ssim for ssim in measured if ssim is not None]
    return TissueLoss(len(found), min(found)) if found else None


def lossy_tiles(
    levels: Sequence[tuple[LevelPlan, tuple[int, ...]]], most: int
) -> tuple[list[tuple[LevelPlan, TileIndex]], int]:
    """Return at most so many tiles, spread evenly over all levels, and the count that they stand for.

    `levels` are plans of levels, each with the numbers of the recipes whose tiles count. These are tiles
    without glass; where there is none, painted ones.
    """
    tiles = list(_tiles(levels, TileAction.ENCODE)) or list(_tiles(levels, TileAction.MASK_AND_ENCODE))
    if not tiles:
        return [], 0
    places = np.unique(np.linspace(0, len(tiles) - 1, most).round().astype(int))
    return [tiles[place] for place in places], len(tiles)


def _tiles(
    levels: Sequence[tuple[LevelPlan, tuple[int, ...]]], action: TileAction
) -> Iterator[tuple[LevelPlan, TileIndex]]:
    for plan, numbers in levels:
        wanted = (plan.actions == action.value) & plan.takes(*numbers)
        for row, column in np.argwhere(wanted).tolist():
            if min(plan.grid.region(column, row).size.shape) >= LEAST_SIDE_PX:
                yield plan, TileIndex(plan.number, column, row)


@dataclass(frozen=True)
class _Comparison:
    """Compares written tiles with the source's pixels."""

    slide: Slide
    written: ConvertedSlide
    paint: GlassPaint | None

    def ssim(self, tile: tuple[LevelPlan, TileIndex]) -> float | None:
        """Return the SSIM of a tile to its source; None where the source's is damaged."""
        plan, index = tile
        try:
            source = source_tile_pixels(self.slide, plan, index)
            back = self.written.read_tile(index)
        except TileReadError:
            return None
        if plan.action(index) is TileAction.MASK_AND_ENCODE and self.paint is not None:
            kept = self.paint.keep(self.slide.info.size, plan, index.column, index.row)
            source = np.where(kept[..., None], source, back)
        return ssim_inside(source, back, plan.grid.region(index.column, index.row).size)


def source_tile_pixels(slide: Slide, plan: LevelPlan, index: TileIndex) -> Pixels:
    """Return the source's pixels of a planned tile, (rows, columns, 3) uint8 RGB.

    Raises:
        TileReadError: the source's tile is damaged.
    """
    if plan.keeps_tiles_of(slide.info.levels):
        return slide.read_tile(TileIndex(plan.source_level, index.column, index.row))
    return read_reduced_tile(slide, plan, index.column, index.row)
