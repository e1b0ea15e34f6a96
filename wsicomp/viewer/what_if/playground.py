"""A view of a slide as a codec would store it: its tiles encoded as a conversion does, and decoded again."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from wsicomp.codecs.quality import LEAST_SIDE_PX, psnr, ssim
from wsicomp.codecs.spec_text import codec_values
from wsicomp.comparison.tile_trials import TileTrial, try_tiles
from wsicomp.concurrency.threads import available_cores
from wsicomp.config import ConversionConfig
from wsicomp.conversion.prepare import prepare_trial
from wsicomp.errors import ConfigError
from wsicomp.formats.base import Slide
from wsicomp.geometry import Region, TileGrid, TileIndex
from wsicomp.plan.level_plan import LevelPlan
from wsicomp.slide import Pixels
from wsicomp.viewer.pictures.views import MOST_PX, SlideView
from wsicomp.viewer.what_if.codec_dials import codec_text

_MOST_TILES_PX = 1 << 24
"""The most pixels of the tiles under a view: these can be much larger than the view."""


@dataclass(frozen=True)
class ViewTile:
    """A tile under a view."""

    index: TileIndex
    """The tile, of the source's level."""
    share: float
    """The part of its pixels inside the level that the view shows."""
    bytes: int
    """Its bytes as the codec stores it."""


@dataclass(frozen=True)
class EncodedView:
    """A view of a slide as a codec would store it.

    Bytes are those of the tiles under the view, each by the part of it that the view shows. Left out are the
    JPEG tables of a level (some 100 bytes to a kilobyte, shared by all tiles), and the lists of tiles.
    """

    codec: str
    """The codec with its quality, as "jpeg:60"."""
    view: SlideView
    """The level and the region."""
    pixels: Pixels = field(repr=False)
    """The decoded region, (rows, columns, 3) uint8 RGB."""
    tiles: tuple[ViewTile, ...] = field(repr=False)
    """The tiles under the region, in raster order."""
    source_bytes: int | None
    """The bytes of the view in the source; None where the source has no tiles that can be read alone."""
    ssim: float | None
    """SSIM of the region to the source's, at most 1; None where a side has less than 11 px."""
    psnr: float | None
    """PSNR in dB; None where every pixel is the source's."""
    seconds: float
    """The seconds that encoding and decoding took."""

    @property
    def bytes(self) -> int:
        """The bytes of the view as the codec stores it."""
        return round(sum(tile.share * tile.bytes for tile in self.tiles))

    @property
    def bits_per_pixel(self) -> float:
        """The codec's bits for each pixel of the view."""
        return 8 * self.bytes / (self.view.region.width * self.view.region.height)


def encode_view(slide: Slide, view: SlideView, codec: str, workers: int | None = None) -> EncodedView:
    """Return a view of a slide as a codec would store it, decoded by the decoder that reads such files.

    `codec` is what `codec_text` takes. Each tile under the view is made as a conversion with glass kept makes
    it, byte for byte: whole, in the grid of the level, from the source's own tile where the codec can use
    that. A conversion that paints glass differs in the tiles that are partly glass. `workers` threads work,
    by default one for each core.

    Memory: the view's pixels three times, and some tiles for each worker.

    >>> view = view_of(slide.info, Rectangle(8000, 6000, 1200, 800), 1200)  # doctest: +SKIP
    >>> found = encode_view(slide, view, "jpeg:60")  # doctest: +SKIP
    >>> found.bytes, found.ssim  # doctest: +SKIP
    (41210, 0.931)

    Raises:
        ConfigError: the codec is not offered, its quality is out of range, it cannot store this slide, or
            the view or its tiles are too large.
        TileReadError: a tile under the view cannot be decoded.
    """
    text = codec_text(codec)
    config = ConversionConfig.of(**codec_values(text), glass="keep")
    _check(slide, view)
    source = slide.read_region(view.level, view.region)
    prepared = prepare_trial(slide, config)
    plan = next(level for level in prepared.plan.levels if level.source_level == view.level)
    indices = list(plan.grid.tiles_under(plan.number, view.region))
    start = time.perf_counter()
    with closing(try_tiles(slide, prepared, indices, workers or available_cores())) as trials:
        made = list(trials)
    seconds = time.perf_counter() - start
    pixels = _assembled(source, plan, view.region, made)
    error = psnr(source, pixels)
    return EncodedView(
        text,
        view,
        pixels,
        tuple(_tile(plan, view, trial) for trial in made),
        _source_bytes(slide, view),
        ssim(source, pixels) if min(source.shape[:2]) >= LEAST_SIDE_PX else None,
        None if math.isinf(error) else error,
        seconds,
    )


def _check(slide: Slide, view: SlideView) -> None:
    """Refuse a view that is too large to be tried while a person waits."""
    level, region = slide.info.levels[view.level], view.region
    px = region.width * region.height
    if px > MOST_PX:
        raise ConfigError(f"a view of {region.size} px, expected at most {MOST_PX} px")
    rows, columns = level.grid.under(region)
    count = (rows.stop - rows.start) * (columns.stop - columns.start)
    if count * level.tile.width * level.tile.height > _MOST_TILES_PX:
        raise ConfigError(
            f"level {view.level} has tiles of {level.tile} px, {count} of them under the view: expected at "
            f"most {_MOST_TILES_PX} px; look at a smaller part"
        )


def _assembled(source: Pixels, plan: LevelPlan, region: Region, made: Sequence[TileTrial]) -> Pixels:
    """Return the region from its tiles; where a tile stores nothing, as the source shows it."""
    pixels = source.copy()
    for trial in made:
        if trial.pixels is None:
            continue
        tile = plan.grid.region(trial.index.column, trial.index.row)
        left, top, width, height = _shared(tile, region)
        x, y = left - tile.x, top - tile.y
        part = trial.pixels[y : y + height, x : x + width]
        pixels[top - region.y : top - region.y + height, left - region.x : left - region.x + width] = part
    return np.ascontiguousarray(pixels)


def _shared(tile: Region, region: Region) -> tuple[int, int, int, int]:
    """Return left, top, width and height of what a tile and a region under which it lies share."""
    left, top = max(tile.x, region.x), max(tile.y, region.y)
    right = min(tile.x + tile.width, region.x + region.width)
    bottom = min(tile.y + tile.height, region.y + region.height)
    return left, top, right - left, bottom - top


def _share(grid: TileGrid, index: TileIndex, region: Region) -> float:
    """Return the part of a tile's pixels inside the level that a region above it shows."""
    tile = grid.region(index.column, index.row)
    _, _, width, height = _shared(tile, region)
    return width * height / (tile.width * tile.height)


def _tile(plan: LevelPlan, view: SlideView, trial: TileTrial) -> ViewTile:
    index = TileIndex(view.level, trial.index.column, trial.index.row)
    return ViewTile(index, _share(plan.grid, index, view.region), trial.bytes)


def _source_bytes(slide: Slide, view: SlideView) -> int | None:
    """Return the source's bytes of a view, each tile by its share; None where they are not known."""
    grid, ranges = slide.info.levels[view.level].grid, slide.tile_ranges(view.level)
    if not len(ranges):
        return None
    found = (
        _share(grid, index, view.region) * int(ranges[index.row * grid.columns + index.column, 1])
        for index in grid.tiles_under(view.level, view.region)
    )
    return round(sum(found))
