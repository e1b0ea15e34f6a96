"""Turning a codec's dial: curves of quality over size, and the setting that reaches a quality on a slide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wsicomp.codecs.base import QualityDial
from wsicomp.comparison.codec_specs import COMES_NEAREST, REACHES, CodecSpec
from wsicomp.comparison.results import CurvePoint, TargetSetting
from wsicomp.comparison.tile_trials import ComparedSlide
from wsicomp.comparison.tissue_tiles import source_pixels
from wsicomp.errors import ConfigError
from wsicomp.geometry import TileIndex
from wsicomp.quality import ssim

TOLERANCE = 0.003
"""How near its target a setting must come on tiles that it was not sought with."""

_SEARCH_TOLERANCE = 0.0003
_TRIES = 12
_LEAST_TILES = 8


@dataclass(frozen=True)
class MeanQuality:
    """A codec on some tissue tiles: mean SSIM, and stored bits for each pixel."""

    ssim: float
    bits_per_pixel: float


def mean_quality(compared_slide: ComparedSlide, spec: CodecSpec, tiles: Sequence[TileIndex]) -> MeanQuality:
    """What a candidate makes of tiles, glass kept.

    Raises:
        ConfigError, CodecUnavailableError, UnknownModelError: it cannot be made of this slide here.
        ValueError: none of the tiles can be read.
    """
    prepared = compared_slide.prepare_conversion(spec, "keep")
    found, stored, px = [], 0, 0
    for trial in compared_slide.try_tiles(prepared, tiles):
        pair = source_pixels(compared_slide.slide, prepared.plan.levels[trial.index.level], trial.index)
        if pair is None or trial.pixels is None:
            continue
        region, pixels = pair
        found.append(ssim(pixels, np.ascontiguousarray(trial.pixels[: region.height, : region.width])))
        stored += trial.bytes
        px += region.width * region.height
    if not found:
        raise ValueError("not one of its tissue tiles can be read")
    return MeanQuality(float(np.mean(found)), 8 * stored / px)


def quality_curve(
    compared_slide: ComparedSlide, spec: CodecSpec, tiles: Sequence[TileIndex]
) -> Iterator[CurvePoint]:
    """A codec at each setting of its ladder on the same tiles; nothing of one that has no dial.

    Raises:
        ConfigError, CodecUnavailableError, UnknownModelError, ValueError: as `mean_quality`.
    """
    dial = spec.dial()
    for setting in dial.ladder if dial else ():
        turned = spec.with_setting(dial, setting) if dial else spec
        found = mean_quality(compared_slide, turned, tiles)
        yield CurvePoint(spec.family, setting, found.bits_per_pixel, found.ssim)


def find_target_setting(
    compared_slide: ComparedSlide, spec: CodecSpec, target: float, tiles: Sequence[TileIndex]
) -> tuple[CodecSpec, TargetSetting] | None:
    """The setting of a codec whose mean SSIM on half of the tiles is nearest the target.

    The other half is held out, and says where it lands. `tiles` are in the order of `pick_by_bytes`, so that
    both halves are alike. A neural codec takes the coarsest quality that comes short of the target, and the
    guard that lifts it: `min_ssim`. None of a codec without a dial. Where no setting comes near, as for want
    of coarser or finer ones, the candidate's label says so.

    Raises:
        ConfigError, CodecUnavailableError, UnknownModelError, ValueError: as `mean_quality`.
    """
    dial = spec.dial()
    if dial is None:
        return None
    if len(tiles) < _LEAST_TILES:
        raise ConfigError(f"{len(tiles)} tissue tiles are too few to seek a setting; take another slide")
    sought = [tile for number, tile in enumerate(tiles) if number % 4 in (0, 3)]
    held_out = [tile for number, tile in enumerate(tiles) if number % 4 in (1, 2)]
    tried: dict[str, tuple[CodecSpec, MeanQuality]] = {}

    def mean(turned: CodecSpec) -> float:
        if turned.label not in tried:
            tried[turned.label] = turned, mean_quality(compared_slide, turned, sought)
        return tried[turned.label][1].ssim

    if not spec.is_neural:
        _bisect_setting(lambda setting: spec.with_setting(dial, setting), mean, dial, target)
    elif mean(spec.with_setting(dial, dial.coarse)) < target:
        _bisect_setting(lambda setting: spec.with_setting(dial, setting), mean, dial, target)
        _raise_guard(spec, dial, mean, list(tried.values()), target)
    best, there = min(tried.values(), key=lambda tried: _distance_and_size(tried[1], target))
    found = mean_quality(compared_slide, best, held_out)
    found_setting = TargetSetting(
        spec.family,
        best.label,
        target,
        dict(best.config_values),
        len(sought),
        there.ssim,
        len(held_out),
        found.ssim,
        found.bits_per_pixel,
        reaches=abs(there.ssim - target) <= TOLERANCE,
    )
    label = f"{spec.family}{REACHES if found_setting.reaches else COMES_NEAREST}{target:g}"
    return CodecSpec(label, best.config_values, target), found_setting


def _distance_and_size(found: MeanQuality, target: float) -> tuple[float, float]:
    """The nearest setting is best; where all are better than the target, the smallest."""
    off = found.ssim - target
    return (round(abs(off), 4) if off < TOLERANCE else TOLERANCE, found.bits_per_pixel)


def _bisect_setting(
    turned: Callable[[float], CodecSpec], mean: Callable[[CodecSpec], float], dial: QualityDial, target: float
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
        if abs(found - target) < _SEARCH_TOLERANCE:
            return
        if found < target:
            low = setting if dial.is_whole else middle
        else:
            high = setting if dial.is_whole else middle
        if dial.is_whole and high - low <= 1:
            mean(turned(high))
            mean(turned(low))
            return


def _raise_guard(
    spec: CodecSpec,
    dial: QualityDial,
    mean: Callable[[CodecSpec], float],
    tried: Sequence[tuple[CodecSpec, MeanQuality]],
    target: float,
) -> None:
    """Bring a model that comes short of the target there by its guard, which makes poor tiles finer."""
    short = [(found.ssim, turned) for turned, found in tried if found.ssim < target]
    if not short or min(abs(found.ssim - target) for _, found in tried) < _SEARCH_TOLERANCE:
        return
    _, start = max(short, key=lambda tried: tried[0])
    low, high = 0.5, min(0.999, target + (1 - target) * 0.6)
    for _ in range(_TRIES - 4):
        middle = round((low + high) / 2, 4)
        found = mean(spec.with_setting(dial, float(start.config_values[dial.option]), min_ssim=middle))
        if abs(found - target) < _SEARCH_TOLERANCE:
            return
        low, high = (middle, high) if found < target else (low, middle)
