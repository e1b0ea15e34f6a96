"""Measuring codecs on held-out tissue: rate against distortion, by magnification, for each setting of each.

Bits are those of the tiles as a conversion would store them, headers and all. Nothing is compared at fixed
settings: `at_equal_ssim` reads every curve at the same mean SSIM.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np

from wsicomp.codecs.base import Options, TileCodec
from wsicomp.codecs.neural.store import model_named
from wsicomp.codecs.registry import create_codec, decode_tile, encode_tiles
from wsicomp.concurrency import batched, ordered_map
from wsicomp.errors import TrainingError
from wsicomp.geometry import Size
from wsicomp.progress import StageProgress
from wsicomp.quality import fidelity, ms_ssim
from wsicomp.slide import EncodedTile, Pixels
from wsicomp.training.data.labels import IGNORED, TISSUE
from wsicomp.training.data.patch_set import PatchSet

TILE_PX = 240
"""The side of the tiles that are measured: a field of 1000 px at 40x has one such at 10x."""
SWEEPS: Mapping[str, Sequence[Options]] = {
    "jpeg": [{"quality": quality} for quality in (30, 40, 50, 60, 70, 75, 80, 85, 90, 93, 95, 97)],
    "jpegxl": [
        {"distance": distance, "effort": 7}
        for distance in (0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
    ],
    "jpeg2000": [{"psnr": psnr} for psnr in (26.0, 28.0, 30.0, 32.0, 34.0, 36.0, 38.0, 40.0, 43.0)],
}
"""The codecs that models are measured beside, from coarse to fine or the other way."""
REFERENCE, REFERENCE_QUALITY = "jpeg", 90
_LEAST_TISSUE = 0.5
_MOST_IGNORED = 0.1
_UNGUARDED = {"min_ssim": 0.0, "min_psnr": 0.0, "max_color_shift": 255.0}


@dataclass(frozen=True, slots=True)
class TissueTile:
    """A tile to measure on, its magnification, and the patient or slide that it is from."""

    power: float
    group: str
    name: str
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class Measurement:
    """One tile by one codec at one setting. `ms_ssim` is nan where a tile is too small for it."""

    codec: str
    setting: str
    power: float
    tile: str
    bits_per_pixel: float
    ssim: float
    ms_ssim: float
    psnr: float
    color_shift: float


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The means over the tiles of a magnification, and the worst ones."""

    codec: str
    setting: str
    power: float
    tiles: int
    bits_per_pixel: float
    ssim: float
    least_ssim: float
    ms_ssim: float
    psnr: float
    least_psnr: float
    most_color_shift: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """All codecs at one mean SSIM: bits per pixel, None where a curve does not reach it.

    `saved` is 1 minus a codec's bits per pixel as a part of another's. `least_ssim` is the smallest of a tile
    at the setting of the first codec that reaches this mean, or comes nearest.
    """

    power: float
    why: str
    ssim: float
    bits_per_pixel: Mapping[str, float | None]
    least_ssim: Mapping[str, float | None]

    def saved(self, codec: str, other: str) -> float | None:
        """What one codec saves of another's bits."""
        here, there = self.bits_per_pixel[codec], self.bits_per_pixel[other]
        return None if here is None or there is None else 1 - here / there


def tissue_tiles(sets: Sequence[PatchSet], split: str | None, most: int = 1 << 30) -> list[TissueTile]:
    """Tiles of tissue of the sources of a split, at most so many of each magnification, spread over all.

    Raises:
        TrainingError: there is none.
    """
    tiles = []
    for patches in sets:
        for patch in patches.patches:
            source = patches.sources[patch.source]
            if split not in (None, source.split):
                continue
            pixels, labels = patches.read(patch)
            for row in range(0, pixels.shape[0] - TILE_PX + 1, TILE_PX):
                for column in range(0, pixels.shape[1] - TILE_PX + 1, TILE_PX):
                    place = slice(row, row + TILE_PX), slice(column, column + TILE_PX)
                    is_tissue = (labels[place] == TISSUE).mean() >= _LEAST_TISSUE
                    if is_tissue and (labels[place] == IGNORED).mean() <= _MOST_IGNORED:
                        name = f"{source.name} {patch.power:g}x #{patch.number} ({column}, {row})"
                        tiles.append(TissueTile(patch.power, source.group, name, pixels[place].copy()))
    if not tiles:
        raise TrainingError(f"no tile of tissue of split {split!r} to measure on")
    by_power = [[tile for tile in tiles if tile.power == power] for power in {tile.power for tile in tiles}]
    return [tile for alike in by_power for tile in alike[:: -(-len(alike) // most)]]


def measured_codecs(models: Mapping[str, str], device: str) -> Iterator[tuple[str, str, TileCodec]]:
    """(name, setting, codec) of every point of every curve; `models` are architectures by model."""
    for codec, settings in SWEEPS.items():
        for options in settings:
            yield codec, _setting(options), create_codec(codec, options)
    for model, architecture in models.items():
        for quality in range(1, len(model_named(model).card.steps) + 1):
            options = {"model": model, "quality": quality, "device": device, **_UNGUARDED}
            yield Path(model).stem, f"quality {quality}", create_codec(architecture, options)


def _setting(options: Options) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in options.items())


def measure(
    codecs: Sequence[tuple[str, str, TileCodec]],
    tiles: Sequence[TissueTile],
    workers: int,
    progress: StageProgress,
) -> list[Measurement]:
    """Every tile by every codec."""
    jobs = [(codec, batch) for codec in codecs for batch in batched(tiles, 16)]
    found: list[Measurement] = []
    for number, rows in enumerate(ordered_map(_measure_batch, jobs, workers), 1):
        found += rows
        progress(number, len(jobs))
    return found


def _measure_batch(job: tuple[tuple[str, str, TileCodec], list[TissueTile]]) -> list[Measurement]:
    (name, setting, codec), tiles = job
    encoded = encode_tiles(codec, [tile.pixels for tile in tiles])
    rows = []
    for tile, made in zip(tiles, encoded, strict=True):
        size = Size(tile.pixels.shape[1], tile.pixels.shape[0])
        back = decode_tile(EncodedTile(made.data, codec.encoding, size))
        found = fidelity(tile.pixels, back)
        scales = ms_ssim(tile.pixels, back)
        bits = len(made.data) * 8 / (size.width * size.height)
        rows.append(
            Measurement(
                name, setting, tile.power, tile.name, bits, found.ssim, scales, found.psnr, found.color_shift
            )
        )
    return rows


def curves(measurements: Sequence[Measurement]) -> list[CurvePoint]:
    """The means of each codec, setting and magnification, in the order in which they were measured."""
    alike: dict[tuple[str, str, float], list[Measurement]] = defaultdict(list)
    for row in measurements:
        alike[row.codec, row.setting, row.power].append(row)
    points = []
    for (codec, setting, power), rows in alike.items():
        psnr = [row.psnr for row in rows if math.isfinite(row.psnr)]
        points.append(
            CurvePoint(
                codec,
                setting,
                power,
                len(rows),
                float(np.mean([row.bits_per_pixel for row in rows])),
                float(np.mean([row.ssim for row in rows])),
                min(row.ssim for row in rows),
                float(np.mean([row.ms_ssim for row in rows])),
                float(np.mean(psnr)) if psnr else math.inf,
                min(psnr, default=math.inf),
                max(row.color_shift for row in rows),
            )
        )
    return points


def at_equal_ssim(points: Sequence[CurvePoint], targets: Sequence[float]) -> list[Comparison]:
    """All codecs of each magnification at each target, and at the SSIM that JPEG of quality 90 has there."""
    comparisons = []
    for power in sorted({point.power for point in points}, reverse=True):
        here = [point for point in points if point.power == power]
        names = list(dict.fromkeys(point.codec for point in here))
        setting = f"quality {REFERENCE_QUALITY}"
        own = [point.ssim for point in here if (point.codec, point.setting) == (REFERENCE, setting)]
        wanted = [(f"SSIM {target:g}", target) for target in targets]
        wanted += [(f"JPEG q{REFERENCE_QUALITY}'s own SSIM", ssim) for ssim in own]
        for why, target in wanted:
            lines = {name: [point for point in here if point.codec == name] for name in names}
            comparisons.append(
                Comparison(
                    power,
                    why,
                    target,
                    {name: bits_at(line, target) for name, line in lines.items()},
                    {name: _least_ssim_at(line, target) for name, line in lines.items()},
                )
            )
    return comparisons


def bits_at(line: Sequence[CurvePoint], ssim: float) -> float | None:
    """Bits per pixel where a curve has this mean SSIM, between two of its points; None beyond them."""
    points = sorted(((point.ssim, point.bits_per_pixel) for point in line), key=itemgetter(0))
    values, bits = zip(*points, strict=True)
    if not values[0] <= ssim <= values[-1]:
        return None
    return float(np.exp(np.interp(ssim, values, np.log(bits))))


def _least_ssim_at(line: Sequence[CurvePoint], ssim: float) -> float | None:
    """The smallest SSIM of a tile where a curve has this mean SSIM, between two of its points."""
    points = sorted(((point.ssim, point.least_ssim) for point in line), key=itemgetter(0))
    values, least = zip(*points, strict=True)
    return float(np.interp(ssim, values, least)) if values[0] <= ssim <= values[-1] else None


def worst(
    measurements: Sequence[Measurement], tiles: Sequence[TissueTile], codec: str, setting: str, count: int
) -> list[tuple[Measurement, TissueTile]]:
    """The tiles that a codec does worst at a setting: half of them by SSIM, half by colour."""
    by_name = {tile.name: tile for tile in tiles}
    own = [row for row in measurements if (row.codec, row.setting) == (codec, setting)]
    by_ssim = sorted(own, key=lambda row: row.ssim)[: -(-count // 2)]
    by_color = sorted((row for row in own if row not in by_ssim), key=lambda row: -row.color_shift)
    return [(row, by_name[row.tile]) for row in (*by_ssim, *by_color[: count // 2])]
