"""Read, mask, encode: the tiles of one level in raster order, as its plan says."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from wsicomp.codecs import TileCodec
from wsicomp.concurrency import batched, ordered_map
from wsicomp.geometry import Region, TileIndex
from wsicomp.pyramid.plan import LevelPlan, TileAction
from wsicomp.pyramid.resample import read_reduced_tile
from wsicomp.slide import Pixels, Slide
from wsicomp.tissue.glass import GlassGuard
from wsicomp.tissue.mask import TissueMask


@dataclass(frozen=True)
class Whitening:
    """How the glass of a mixed tile becomes background: the mask with its margin, and the guard."""

    mask: TissueMask
    guard: GlassGuard
    background: tuple[int, int, int]

    def apply(self, slide: Slide, plan: LevelPlan, column: int, row: int, pixels: Pixels) -> Pixels:
        """A copy of a whole tile in which what neither mask nor guard holds is background."""
        level = plan.as_level(slide.info.size)
        region = Region(column * plan.tile.width, row * plan.tile.height, plan.tile.width, plan.tile.height)
        tissue = self.mask.over_tile(level, column, row)
        keep = self.guard.keep(level, region, pixels, tissue)
        return np.where(keep[..., None], pixels, np.array(self.background, np.uint8))


def stream_level(
    slide: Slide, plan: LevelPlan, codec: TileCodec, whitening: Whitening | None, workers: int
) -> Generator[bytes | None]:
    """Every tile's bytes in raster order; None stands for a blank tile, zero bytes for an empty one.

    Memory: at most `2 * workers` batches of 32 encoded tiles, and one decoded tile a worker.

    Raises:
        SlideReadError: a tile of the source cannot be read.
    """

    def convert(batch: list[TileIndex]) -> list[bytes | None]:
        return [_convert_tile(slide, plan, codec, whitening, index) for index in batch]

    with closing(ordered_map(convert, batched(plan.grid.raster(plan.source_level)), workers)) as batches:
        for batch in batches:
            yield from batch


def _convert_tile(
    slide: Slide, plan: LevelPlan, codec: TileCodec, whitening: Whitening | None, index: TileIndex
) -> bytes | None:
    action = plan.actions[index.row, index.column]
    if action == TileAction.BLANK.value:
        return None
    if action == TileAction.EMPTY.value:
        return b""
    if action == TileAction.COPY.value:
        return slide.read_encoded_tile(index).data
    pixels = _read_tile(slide, plan, index)
    if action == TileAction.MASK_AND_ENCODE.value and whitening is not None:
        pixels = whitening.apply(slide, plan, index.column, index.row, pixels)
    return codec.encode(pixels)


def _read_tile(slide: Slide, plan: LevelPlan, index: TileIndex) -> Pixels:
    level = slide.info.levels[plan.source_level]
    if plan.reduction == 1 and plan.tile == level.tile:
        return slide.read_tile(index)
    return read_reduced_tile(slide, plan, index.column, index.row)
