"""Curves of quality over size, and the setting of a codec that reaches a target quality on a slide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from wsicomp.codecs.base import QualityDial
from wsicomp.codecs.likeness import SampleTile, find_likeness
from wsicomp.codecs.memory import remembering
from wsicomp.codecs.quality import ssim
from wsicomp.comparison.codec_specs import COMES_NEAREST, LIKE, REACHES, CodecSpec
from wsicomp.comparison.results import CurvePoint, TargetSetting
from wsicomp.comparison.tile_trials import ComparedSlide, TileTrial, pick_evenly
from wsicomp.comparison.tissue_tiles import source_pixels
from wsicomp.errors import ConfigError
from wsicomp.geometry import TileIndex

TOLERANCE = 0.003
"""How close to its target the mean SSIM of a setting has to come."""

_SEARCH_TOLERANCE = 0.0003
_TRIES = 12
_LEAST_TILES = 8
_MOST_NEURAL_TILES = 128


@dataclass(frozen=True)
class MeanQuality:
    """A codec's mean quality on some tissue tiles."""

    ssim: float
    """Mean SSIM, at most 1."""
    bits_per_pixel: float
    """Stored bits per pixel."""


def mean_quality(compared_slide: ComparedSlide, spec: CodecSpec, tiles: Sequence[TileIndex]) -> MeanQuality:
    """Return the mean quality of tiles after a codec, with glass kept.

    Raises:
        ConfigError: the slide cannot be converted with these options.
        CodecUnavailableError: the codec's library is missing.
        UnknownModelError: there is no model of this name.
        ValueError: none of the tiles can be read.
    """
    prepared = compared_slide.prepare_conversion(spec, "keep")

    def measure(trial: TileTrial) -> tuple[float, int, int] | None:
        pair = source_pixels(compared_slide.slide, prepared.plan.levels[trial.index.level], trial.index)
        if pair is None or trial.pixels is None:
            return None
        region, pixels = pair
        shown = np.ascontiguousarray(trial.pixels[: region.height, : region.width])
        return ssim(pixels, shown), trial.bytes, region.width * region.height

    found = [each for each in compared_slide.measured_tiles(prepared, tiles, measure) if each is not None]
    if not found:
        raise ValueError("none of its tissue tiles can be read")
    near, stored, px = zip(*found, strict=True)
    return MeanQuality(float(np.mean(near)), 8 * sum(stored) / sum(px))


def quality_curve(
    compared_slide: ComparedSlide, spec: CodecSpec, tiles: Sequence[TileIndex]
) -> list[CurvePoint]:
    """Return a codec's quality at each setting of its ladder on the same tiles; nothing without a dial.

    Raises:
        ConfigError: the slide cannot be converted with these options.
        CodecUnavailableError: the codec's library is missing.
        UnknownModelError: there is no model of this name.
        ValueError: none of the tiles can be read.
    """
    dial = spec.dial()
    if dial is None:
        return []
    with remembering():
        found = [
            (setting, mean_quality(compared_slide, spec.with_setting(dial, setting), tiles))
            for setting in dial.ladder
        ]
    return [CurvePoint(spec.family, setting, each.bits_per_pixel, each.ssim) for setting, each in found]


def find_target_setting(
    compared_slide: ComparedSlide, spec: CodecSpec, goal: float | str, tiles: Sequence[TileIndex]
) -> tuple[CodecSpec, TargetSetting] | None:
    """Find the setting of a codec whose mean SSIM on half of the tiles is nearest to the target.

    `goal` is the target, or the codec, as "jpeg:90", whose mean SSIM on these tiles it is; a neural codec
    then has its least SSIM too.

    The other half is held out to check the setting. `tiles` are in the order of `pick_by_bytes`, so that both
    halves are alike; a neural codec, which is slow, takes at most 128 of them. It takes the coarsest quality
    that comes short of the target, and the guard that raises it: `min_ssim`. Return the codec with that
    setting, and the record of how it was found; None for a codec without a dial. Where no setting comes close
    enough, the label of the returned codec says so.

    Raises:
        ConfigError: the slide cannot be converted with these options, or has too few tissue tiles.
        CodecUnavailableError: the codec's library is missing.
        UnknownModelError: there is no model of this name.
        ValueError: none of the tiles can be read.
    """
    dial = spec.dial()
    if dial is None:
        return None
    if len(tiles) < _LEAST_TILES:
        raise ConfigError(
            f"{len(tiles)} tissue tiles, expected at least {_LEAST_TILES} to seek a setting on; "
            "take another slide"
        )
    if spec.is_neural:
        tiles = pick_evenly(tiles, _MOST_NEURAL_TILES)
    sought = [tile for number, tile in enumerate(tiles) if number % 4 in (0, 3)]
    held_out = [tile for number, tile in enumerate(tiles) if number % 4 in (1, 2)]
    like = goal if isinstance(goal, str) else None
    target = goal if isinstance(goal, float) else mean_quality(compared_slide, _like(goal), sought).ssim
    tried: dict[str, tuple[CodecSpec, MeanQuality]] = {}

    def mean(turned: CodecSpec) -> float:
        if turned.label not in tried:
            tried[turned.label] = turned, mean_quality(compared_slide, turned, sought)
        return tried[turned.label][1].ssim

    with remembering():
        if spec.is_neural and like is not None:
            mean(_as_like(compared_slide, spec, dial, like, sought))
        elif not spec.is_neural:
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
        reaches=abs(there.ssim - target) <= TOLERANCE or (spec.is_neural and there.ssim >= target),
        like=like,
    )
    label = f"{spec.family}{goal_text(goal) if found_setting.reaches else f'{COMES_NEAREST}{target:.4g}'}"
    return CodecSpec(label, best.config_values, target), found_setting


def goal_text(goal: float | str) -> str:
    """Return the end of a label whose setting was sought for a mean SSIM, or to be like another codec."""
    return f"{LIKE}{goal}" if isinstance(goal, str) else f"{REACHES}{goal:g}"


def _like(goal: str) -> CodecSpec:
    name, _, quality = goal.partition(":")
    return CodecSpec(goal, {"codec": name, "quality": int(quality)})


def _as_like(
    compared_slide: ComparedSlide,
    spec: CodecSpec,
    dial: QualityDial,
    like: str,
    tiles: Sequence[TileIndex],
) -> CodecSpec:
    """Return a neural codec with the bounds by which it is as true to tiles as the codec `like`."""
    levels = compared_slide.prepare_conversion(spec, "keep").plan.levels
    pairs = [source_pixels(compared_slide.slide, levels[tile.level], tile) for tile in tiles]
    sample = [SampleTile(pixels, region.size) for region, pixels in filter(None, pairs)]
    if not sample:
        raise ValueError("none of its tissue tiles can be read")
    options = {name: value for name, value in spec.options.items() if name not in ("quality", "min_ssim")}
    codec, workers = str(spec.config_values["codec"]), compared_slide.base.run.workers
    found = find_likeness(codec, options, like, sample, len(sample), workers)
    return spec.with_setting(dial, found.quality, min_ssim=found.min_ssim)


def _distance_and_size(found: MeanQuality, target: float) -> tuple[float, float]:
    """Return the key by which the best setting is least: the nearest, or above the target the smallest."""
    off = found.ssim - target
    return (round(abs(off), 4) if off < TOLERANCE else TOLERANCE, found.bits_per_pixel)


def _bisect_setting(
    turned: Callable[[float], CodecSpec], mean: Callable[[CodecSpec], float], dial: QualityDial, target: float
) -> None:
    """Halve the interval between coarse and fine until the target is near; of a distance, its logarithm."""
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
    """Raise a model that comes short of the target by its guard, which makes poor tiles finer."""
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
