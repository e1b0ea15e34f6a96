"""Curves of rate and fidelity, and all codecs at the same mean SSIM.

Codecs are never compared at fixed settings: `at_equal_ssim` reads each of them from its curve.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from wsicomp.codecs.tile_quality import TileFidelity, overall_quality

REFERENCE, REFERENCE_QUALITY = "jpeg", 90


@dataclass(frozen=True, slots=True)
class Measurement:
    """The measurement of one tile by one codec at one setting."""

    codec: str
    """The codec's name, or the model file's without suffix."""
    setting: str
    """The codec's setting, in words."""
    power: float
    """The magnification."""
    tile: str
    """The tile's name."""
    found: TileFidelity
    """How close the decoded tile is, and its bits."""


@dataclass(frozen=True, slots=True)
class RatePoint:
    """A row of curves.csv: one codec at one setting and magnification, means and extremes over the tiles."""

    codec: str
    """The codec's name, or the model file's without suffix."""
    setting: str
    """The codec's setting, in words."""
    power: float
    """The magnification."""
    tiles: int
    """How many tiles were measured."""
    bits_per_pixel: float
    """Mean of stored bits per pixel."""
    ssim: float
    """Mean SSIM, at most 1."""
    least_ssim: float
    """SSIM of the worst tile."""
    ms_ssim: float
    """Mean MS-SSIM, at most 1."""
    psnr: float
    """In dB, over the tiles that are not exact; infinite where all are."""
    least_psnr: float
    """PSNR of the worst tile, in dB."""
    most_color_shift: float
    """The largest colour shift of a tile, in grey levels."""


@dataclass(frozen=True, slots=True)
class CodecComparison:
    """A comparison of the codecs of one magnification at the same mean SSIM."""

    power: float
    """The magnification."""
    why: str
    """What this SSIM is: a target, or that of the reference."""
    ssim: float
    """The mean SSIM at which codecs are compared."""
    bits_per_pixel: Mapping[str, float | None]
    """By codec; None where its curve does not reach this SSIM."""
    least_ssim: Mapping[str, float | None]
    """The smallest SSIM of a tile there, by codec; None as above."""

    def saved(self, codec: str, other: str) -> float | None:
        """Return the part of the bits of `other` that `codec` saves, negative where it takes more.

        Return None where the curve of one does not reach this SSIM.
        """
        here, there = self.bits_per_pixel[codec], self.bits_per_pixel[other]
        return None if here is None or there is None else 1 - here / there


def curves(measurements: Sequence[Measurement]) -> list[RatePoint]:
    """Return the figures of each codec, setting and magnification, in the order of measurement."""
    alike: dict[tuple[str, str, float], list[TileFidelity]] = defaultdict(list)
    for row in measurements:
        alike[row.codec, row.setting, row.power].append(row.found)
    return [_point(*key, found) for key, found in alike.items()]


def _point(codec: str, setting: str, power: float, found: Sequence[TileFidelity]) -> RatePoint:
    quality = overall_quality(found)
    assert quality is not None, "there are tiles, and none is an edge tile"
    assert quality.ms_ssim is not None, "tiles have 240 px a side"
    return RatePoint(
        codec,
        setting,
        power,
        quality.tiles,
        quality.bits_per_pixel,
        quality.ssim,
        quality.least_ssim,
        quality.ms_ssim,
        math.inf if quality.psnr_db is None else quality.psnr_db,
        math.inf if quality.least_psnr_db is None else quality.least_psnr_db,
        quality.most_color_shift_levels,
    )


def at_equal_ssim(points: Sequence[RatePoint], targets: Sequence[float]) -> list[CodecComparison]:
    """Compare all codecs of each magnification at each target SSIM, and at that of JPEG with quality 90."""
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
                CodecComparison(
                    power,
                    why,
                    target,
                    {name: bits_at(line, target) for name, line in lines.items()},
                    {name: _least_ssim_at(line, target) for name, line in lines.items()},
                )
            )
    return comparisons


def bits_at(line: Sequence[RatePoint], ssim: float) -> float | None:
    """Return the bits per pixel at which a curve has this mean SSIM, None where it does not reach it.

    Between two points of the curve, the logarithm of bits is interpolated.
    """
    points = sorted(((point.ssim, point.bits_per_pixel) for point in line), key=itemgetter(0))
    values, bits = zip(*points, strict=True)
    if not values[0] <= ssim <= values[-1]:
        return None
    return float(np.exp(np.interp(ssim, values, np.log(bits))))


def _least_ssim_at(line: Sequence[RatePoint], ssim: float) -> float | None:
    """Return the smallest SSIM of a tile where a curve has this mean SSIM, between two of its points."""
    points = sorted(((point.ssim, point.least_ssim) for point in line), key=itemgetter(0))
    values, least = zip(*points, strict=True)
    return float(np.interp(ssim, values, least)) if values[0] <= ssim <= values[-1] else None
