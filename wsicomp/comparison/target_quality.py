"""Turning a codec's dial: curves of quality over size, and the setting that reaches a quality on a slide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wsicomp.codecs.base import QualityDial
from wsicomp.comparison.codec_specs import NEAREST, SOUGHT, Candidate
from wsicomp.comparison.results import CurvePoint, Landing
from wsicomp.comparison.tile_trials import Bench
from wsicomp.comparison.tissue_tiles import source_pixels
from wsicomp.errors import ConfigError
from wsicomp.geometry import TileIndex
from wsicomp.quality import ssim

CLOSE = 0.003
"""How near its target a setting must come on tiles that it was not sought with."""

_NEAR = 0.0003
_TRIES = 12
_LEAST_TILES = 8


@dataclass(frozen=True)
class Reached:
    """A codec on some tissue tiles: mean SSIM, and stored bits for each pixel."""

    ssim: float
    bits_per_pixel: float


def reached(bench: Bench, candidate: Candidate, tiles: Sequence[TileIndex]) -> Reached:
    """What a candidate makes of tiles, glass kept.

    Raises:
        ConfigError, CodecUnavailableError, UnknownModelError: it cannot be made of this slide here.
        ValueError: none of the tiles can be read.
    """
    prepared = bench.prepared(candidate, "keep")
    found, stored, px = [], 0, 0
    for trial in bench.tried(prepared, tiles):
        pair = source_pixels(bench.slide, prepared.plan.levels[trial.index.level], trial.index)
        if pair is None or trial.pixels is None:
            continue
        region, pixels = pair
        found.append(ssim(pixels, np.ascontiguousarray(trial.pixels[: region.height, : region.width])))
        stored += trial.bytes
        px += region.width * region.height
    if not found:
        raise ValueError("not one of its tissue tiles can be read")
    return Reached(float(np.mean(found)), 8 * stored / px)


def curve(bench: Bench, candidate: Candidate, tiles: Sequence[TileIndex]) -> Iterator[CurvePoint]:
    """A codec at each setting of its ladder on the same tiles; nothing of one that has no dial.

    Raises:
        ConfigError, CodecUnavailableError, UnknownModelError, ValueError: as `reached`.
    """
    dial = candidate.dial()
    for setting in dial.ladder if dial else ():
        turned = candidate.turned(dial, setting) if dial else candidate
        found = reached(bench, turned, tiles)
        yield CurvePoint(candidate.family, setting, found.bits_per_pixel, found.ssim)


def land(
    bench: Bench, candidate: Candidate, target: float, tiles: Sequence[TileIndex]
) -> tuple[Candidate, Landing] | None:
    """The setting of a codec whose mean SSIM on half of the tiles is nearest the target.

    The other half is held out, and says where it lands. `tiles` are in the order of `spread_over`, so that
    both halves are alike. A neural codec takes the coarsest quality that comes short of the target, and the
    guard that lifts it: `min_ssim`. None of a codec without a dial. Where no setting comes near, as for want
    of coarser or finer ones, the candidate's label says so.

    Raises:
        ConfigError, CodecUnavailableError, UnknownModelError, ValueError: as `reached`.
    """
    dial = candidate.dial()
    if dial is None:
        return None
    if len(tiles) < _LEAST_TILES:
        raise ConfigError(f"{len(tiles)} tissue tiles are too few to seek a setting; take another slide")
    sought = [tile for number, tile in enumerate(tiles) if number % 4 in (0, 3)]
    held_out = [tile for number, tile in enumerate(tiles) if number % 4 in (1, 2)]
    seen: dict[str, tuple[Candidate, Reached]] = {}

    def mean(turned: Candidate) -> float:
        if turned.label not in seen:
            seen[turned.label] = turned, reached(bench, turned, sought)
        return seen[turned.label][1].ssim

    if not candidate.is_neural:
        _search(lambda setting: candidate.turned(dial, setting), mean, dial, target)
    elif mean(candidate.turned(dial, dial.coarse)) < target:
        _search(lambda setting: candidate.turned(dial, setting), mean, dial, target)
        _lift(candidate, dial, mean, list(seen.values()), target)
    best, there = min(seen.values(), key=lambda tried: _worth(tried[1], target))
    found = reached(bench, best, held_out)
    landing = Landing(
        candidate.family,
        best.label,
        target,
        dict(best.choices),
        len(sought),
        there.ssim,
        len(held_out),
        found.ssim,
        found.bits_per_pixel,
        reaches=abs(there.ssim - target) <= CLOSE,
    )
    label = f"{candidate.family}{SOUGHT if landing.reaches else NEAREST}{target:g}"
    return Candidate(label, best.choices, target), landing


def _worth(found: Reached, target: float) -> tuple[float, float]:
    """The nearest setting is best; where all are better than the target, the smallest."""
    off = found.ssim - target
    return (round(abs(off), 4) if off < CLOSE else CLOSE, found.bits_per_pixel)


def _search(
    turned: Callable[[float], Candidate], mean: Callable[[Candidate], float], dial: QualityDial, target: float
) -> None:
    """Halve the way between coarse and fine until the target is near; of a distance, its logarithm."""
    is_log = dial.option == "distance"
    low, high = (np.log(dial.coarse), np.log(dial.fine)) if is_log else (dial.coarse, dial.fine)
    for _ in range(_TRIES):
        middle = (low + high) / 2
        setting = float(np.exp(middle)) if is_log else float(middle)
        if dial.is_whole:
            setting = float(int(setting))
        found = mean(turned(setting))
        if abs(found - target) < _NEAR:
            return
        if found < target:
            low = setting if dial.is_whole else middle
        else:
            high = setting if dial.is_whole else middle
        if dial.is_whole and high - low <= 1:
            mean(turned(high))
            mean(turned(low))
            return


def _lift(
    candidate: Candidate,
    dial: QualityDial,
    mean: Callable[[Candidate], float],
    seen: Sequence[tuple[Candidate, Reached]],
    target: float,
) -> None:
    """Bring a model that comes short of the target there by its guard, which makes poor tiles finer."""
    short = [(found.ssim, turned) for turned, found in seen if found.ssim < target]
    if not short or min(abs(found.ssim - target) for _, found in seen) < _NEAR:
        return
    _, start = max(short, key=lambda tried: tried[0])
    low, high = 0.5, min(0.999, target + (1 - target) * 0.6)
    for _ in range(_TRIES - 4):
        middle = round((low + high) / 2, 4)
        found = mean(candidate.turned(dial, float(start.choices[dial.option]), min_ssim=middle))
        if abs(found - target) < _NEAR:
            return
        low, high = (middle, high) if found < target else (low, middle)
