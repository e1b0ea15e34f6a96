"""Rate and fidelity of encoded tiles: of each, and over many.

`compare` and `evaluate codec` both measure by this module, so that their figures mean the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.base import TileCodec
from wsicomp.codecs.quality import LEAST_SIDE_OF_SCALES_PX, color_shift, psnr, similarities, ssim
from wsicomp.codecs.registry import decode_tiles, encode_tiles
from wsicomp.geometry import Size, TileIndex
from wsicomp.slide import EncodedTile, Pixels


@dataclass(frozen=True, slots=True)
class TileFidelity:
    """The rate and the fidelity of one tile: its stored bytes, and its decoded pixels beside the source's."""

    index: TileIndex
    """The tile."""
    bytes: int
    """Its stored bytes."""
    px: int
    """Its pixels inside the level."""
    ssim: float
    """SSIM, at most 1."""
    ms_ssim: float | None
    """MS-SSIM; None where a side has less than 176 px."""
    psnr: float
    """PSNR in dB, infinite where the tile is exact."""
    color_shift: float
    """The largest difference between mean colours of blocks of 16 x 16 px, in grey levels."""
    is_edge: bool = False
    """Whether less than half of the tile shows tissue."""

    @property
    def bits_per_pixel(self) -> float:
        """Its stored bits for each pixel."""
        return 8 * self.bytes / self.px


@dataclass(frozen=True)
class Quality:
    """The rate and the fidelity over many tiles.

    Means are over `tiles`, extremes over `edge_tiles` too: tissue ends there, and a codec may wipe out pale
    specks.
    """

    tiles: int
    """The count of tiles that are at least half tissue."""
    exact_tiles: int
    """The count of `tiles` whose pixels all equal the source's."""
    bits_per_pixel: float
    """The stored bits for each pixel."""
    ssim: float
    """The mean SSIM."""
    ssim_spread: float
    """The standard deviation of SSIM."""
    least_ssim: float
    """The least SSIM of a tile; of a row with regions at most that of each class of place."""
    worst_tile: str
    """The tile with the least SSIM; "" where a class of place has it."""
    ms_ssim: float | None
    """The mean MS-SSIM; None where no tile is large enough for it."""
    least_ms_ssim: float | None
    """The least MS-SSIM of a tile."""
    psnr_db: float | None
    """The mean PSNR in dB over the tiles that are not exact; None where all are."""
    least_psnr_db: float | None
    """The least PSNR of a tile in dB."""
    color_shift_levels: float
    """The mean over tiles of each tile's largest colour shift, in grey levels."""
    most_color_shift_levels: float
    """The largest colour shift of a tile, in grey levels."""
    edge_tiles: int = 0
    """The count of tiles of which less than half shows tissue."""


def round_trip(codec: TileCodec, pictures: Sequence[Pixels]) -> list[tuple[int, Pixels]]:
    """Encode and decode pictures of one size; return (count of stored bytes, decoded pixels) of each."""
    encoded = encode_tiles(codec, pictures)
    rows, columns = pictures[0].shape[:2]
    decoded = decode_tiles([EncodedTile(tile.data, codec.encoding, Size(columns, rows)) for tile in encoded])
    return [(len(tile.data), back) for tile, back in zip(encoded, decoded, strict=True)]


def encoded_fidelity(codec: TileCodec, tiles: Sequence[tuple[TileIndex, Pixels]]) -> list[TileFidelity]:
    """Encode and decode tiles of one size, and return the fidelity of each.

    `tiles` are (index, pixels), the pixels (rows, columns, 3) uint8 RGB.
    """
    made = round_trip(codec, [pixels for _, pixels in tiles])
    return [
        tile_fidelity(index, stored, pixels, back)
        for (index, pixels), (stored, back) in zip(tiles, made, strict=True)
    ]


def tile_fidelity(
    index: TileIndex, stored: int, source: Pixels, decoded: Pixels, is_edge: bool = False
) -> TileFidelity:
    """Return the fidelity of a decoded tile of `stored` bytes; pixels beyond the source do not count.

    `source` is the tile cut at the level's edge, `decoded` at least as large; both (rows, columns, 3) uint8.
    """
    shown = np.ascontiguousarray(decoded[: source.shape[0], : source.shape[1]])
    px = source.shape[0] * source.shape[1]
    pair: tuple[float, float | None] = (
        similarities(source, shown)
        if min(source.shape[:2]) >= LEAST_SIDE_OF_SCALES_PX
        else (ssim(source, shown), None)
    )
    return TileFidelity(index, stored, px, *pair, psnr(source, shown), color_shift(source, shown), is_edge)


def overall_quality(
    found: Sequence[TileFidelity], weights: NDArray[np.float64] | None = None
) -> Quality | None:
    """Return the figures over many tiles, None where each of them is an edge tile.

    `weights` is the count of tiles that each one represents, as in a sample; by default 1.
    """
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
