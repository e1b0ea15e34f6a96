"""How true tissue comes back: which tiles are tissue, and how they differ from the source's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import SlideReadError
from wsicomp.formats.base import Slide
from wsicomp.geometry import Region, Size, TileIndex
from wsicomp.plan import LevelPlan
from wsicomp.quality import (
    LEAST_SIDE_OF_SCALES_PX,
    LEAST_SIDE_PX,
    color_shift,
    psnr,
    similarities,
    ssim,
)
from wsicomp.slide import Pixels
from wsicomp.tissue.mask import TissueMask

_MOSTLY = 0.5
_FEW = 4


@dataclass(frozen=True, slots=True)
class TileFidelity:
    """How true one decoded tile is to the source's pixels, in the terms of `wsicomp.quality`.

    `bytes` are those that are stored for it, `px` its pixels inside of the level. `ms_ssim` is None of tiles
    under 176 px a side. `is_edge` says that it shows tissue on less than half of it.
    """

    index: TileIndex
    bytes: int
    px: int
    ssim: float
    ms_ssim: float | None
    psnr: float
    color_shift: float
    is_edge: bool = False

    @property
    def bits_per_pixel(self) -> float:
        """Stored bits for each pixel."""
        return 8 * self.bytes / self.px


@dataclass(frozen=True)
class Quality:
    """How true the tissue of a slide comes back: means over its tiles, spread (standard deviation) and worst.

    Means are over the `tiles` that are at least half tissue. The worst are over these and the `edge_tiles`,
    which show less: tissue ends there, and pale specks lie there, which a codec may wipe out.
    `psnr_db` is over the tiles that are not exact, None where all are; `exact_tiles` came back to the bit.
    `color_shift_levels` is in grey levels: a tile's largest shift of a block of 16 x 16 px, the mean over
    tiles and the most. `worst_tile` is the one with the least SSIM.
    """

    tiles: int
    exact_tiles: int
    bits_per_pixel: float
    ssim: float
    ssim_spread: float
    least_ssim: float
    worst_tile: str
    ms_ssim: float | None
    least_ms_ssim: float | None
    psnr_db: float | None
    least_psnr_db: float | None
    color_shift_levels: float
    most_color_shift_levels: float
    edge_tiles: int = 0


def tissue_tiles(levels: Sequence[LevelPlan], slide: Size, tissue: TissueMask) -> list[TileIndex]:
    """The tiles of all levels that are at least half tissue; where they are fewer than four, those with any.

    Only tiles that show 176 px a side count, the least that MS-SSIM takes, or are whole and smaller.
    """
    shares = [tissue.coverage(level.as_level(slide)) for level in levels]
    found: list[TileIndex] = []
    for least in (_MOSTLY, np.finfo(float).tiny):
        found = [
            TileIndex(level.number, column, row)
            for level, share in zip(levels, shares, strict=True)
            for row, column in np.argwhere(share >= least).tolist()
            if _shows_enough(level.grid.region(column, row).size, level.tile)
        ]
        if len(found) >= _FEW:
            break
    return found


def edge_tiles(levels: Sequence[LevelPlan], slide: Size, tissue: TissueMask) -> list[TileIndex]:
    """The tiles of all levels that show tissue and are none of `tissue_tiles`."""
    mostly = set(tissue_tiles(levels, slide, tissue))
    return [
        index
        for level in levels
        for row, column in np.argwhere(tissue.coverage(level.as_level(slide)) > 0).tolist()
        if (index := TileIndex(level.number, column, row)) not in mostly
        and _shows_enough(level.grid.region(column, row).size, level.tile)
    ]


def _shows_enough(shown: Size, tile: Size) -> bool:
    least = min(LEAST_SIDE_OF_SCALES_PX, *tile.shape)
    return min(shown.shape) >= max(least, LEAST_SIDE_PX)


def source_pixels(slide: Slide, level: LevelPlan, index: TileIndex) -> tuple[Region, Pixels] | None:
    """What the source shows in the place of a tile; None where it cannot be read."""
    region = level.grid.region(index.column, index.row)
    try:
        return region, slide.read_region(level.source_level, region)
    except SlideReadError:
        return None


def compared(
    index: TileIndex, stored: int, source: Pixels, decoded: Pixels, is_edge: bool = False
) -> TileFidelity:
    """Hold a decoded tile against its source; what reaches past the source is not looked at."""
    shown = np.ascontiguousarray(decoded[: source.shape[0], : source.shape[1]])
    px = source.shape[0] * source.shape[1]
    pair: tuple[float, float | None] = (
        similarities(source, shown)
        if min(source.shape[:2]) >= LEAST_SIDE_OF_SCALES_PX
        else (ssim(source, shown), None)
    )
    return TileFidelity(index, stored, px, *pair, psnr(source, shown), color_shift(source, shown), is_edge)


def summed_up(found: Sequence[TileFidelity], weights: NDArray[np.float64] | None = None) -> Quality | None:
    """The figures over many tiles, each of which may speak for several; None where none is mostly tissue."""
    mostly = np.array([not tile.is_edge for tile in found], np.bool_)
    tiles = [tile for tile in found if not tile.is_edge]
    if not tiles:
        return None
    weight = np.ones(len(tiles)) if weights is None else weights[mostly]
    weight = weight / weight.sum()
    near = np.array([tile.ssim for tile in tiles])
    mean = round(float(weight @ near), 12)  # the mean of ones is one
    finite = np.array([math.isfinite(tile.psnr) for tile in tiles])
    noise = np.array([tile.psnr if math.isfinite(tile.psnr) else 0.0 for tile in tiles])
    shifts = np.array([tile.color_shift for tile in tiles])
    has_scales = np.array([tile.ms_ssim is not None for tile in tiles])
    scales = np.array([tile.ms_ssim or 0.0 for tile in tiles])
    sizes = np.array([[tile.bytes, tile.px] for tile in tiles], np.float64)
    stored, px = (weight @ sizes).tolist()
    worst = min(found, key=lambda tile: tile.ssim)
    return Quality(
        tiles=len(tiles),
        exact_tiles=int((~finite).sum()),
        bits_per_pixel=8 * stored / px,
        ssim=mean,
        ssim_spread=float(np.sqrt(weight @ (near - mean) ** 2)),
        least_ssim=worst.ssim,
        worst_tile=str(worst.index),
        ms_ssim=_mean(scales[has_scales], weight[has_scales]),
        least_ms_ssim=min((tile.ms_ssim for tile in found if tile.ms_ssim is not None), default=None),
        psnr_db=_mean(noise[finite], weight[finite]),
        least_psnr_db=min((tile.psnr for tile in found if math.isfinite(tile.psnr)), default=None),
        color_shift_levels=float(weight @ shifts),
        most_color_shift_levels=max(tile.color_shift for tile in found),
        edge_tiles=len(found) - len(tiles),
    )


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float | None:
    return round(float(weights @ values / weights.sum()), 12) if len(values) else None
