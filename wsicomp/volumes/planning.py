"""The plan of a volume's compression: which layers it has, and how voxels become samples in each."""

from __future__ import annotations

import math
from dataclasses import replace

from wsicomp.errors import ConfigError
from wsicomp.volumes.codecs.registry import plane_codec
from wsicomp.volumes.codecs.values import ValueMap, ValueSurvey, exact_map, window_map
from wsicomp.volumes.codecs.video import SUFFIX, VIDEO_CODECS, VideoCodec
from wsicomp.volumes.config import DEFAULT_CODEC, OF_DICOM, VolumeConfig
from wsicomp.volumes.manifest import LayerRecord

SLAB = 16
"""Slices in a video: a longer one saves less than a hundredth, and a single slice takes longer to read."""
_SLAB_VOXELS = SLAB << 20
"""The most in a video, unless a single slice has more: encoding takes about ten bytes for each."""
DEFAULT_REST_CODEC = "hevc"
"""At these qualities a sixth to two fifths of JPEG XL's bytes, and a third more error."""
_BITS = {"jpeg": 8, "hevc": 12}
"""The most bits of a sample that a codec takes; 16 where it is not here."""
_REST_QUALITY = {"jpeg": 1.0, "jpegxl": 5.0, "jpeg2000": 40.0, "hevc": 40.0}
"""What the rest gets if nothing is asked: coarse, and still to be recognised."""
_MOST_SPAN = 1e150
"""Between the least and the greatest value where something is lost: its square is still a number."""


def planned_layers(
    survey: ValueSurvey, config: VolumeConfig, slice_shape: tuple[int, int] = (1, 1)
) -> tuple[LayerRecord, ...]:
    """Return how each layer is to be stored: one, or with a region two.

    Slices of `slice_shape` (rows, columns) with more than 2**20 voxels go into videos of fewer slices.

    Raises:
        ConfigError: the codec cannot store these values so.
    """
    if config.diffuse is not None and survey.dtype.kind == "f":
        survey = replace(survey, used=None)  # smooth values are no whole numbers
    codec = config.codec or DEFAULT_CODEC
    if codec in OF_DICOM:
        raise ConfigError(
            f"{codec} is for DICOM that is written as DICOM; name a folder as the target, or another `codec`"
        )
    slab = min(SLAB, max(1, _SLAB_VOXELS // (slice_shape[0] * slice_shape[1])))
    if config.roi is None:
        return (_layer("slices", codec, config.quality, config, survey, slab),)
    fine = _layer("slices", codec, config.roi_quality, config, survey, slab)
    rest_codec = config.rest_codec or DEFAULT_REST_CODEC
    quality = _REST_QUALITY[rest_codec] if config.rest_quality is None else config.rest_quality
    return fine, _layer("rest", rest_codec, quality, config, survey, slab)


def _layer(
    folder: str, codec: str, quality: float | None, config: VolumeConfig, survey: ValueSurvey, slab: int
) -> LayerRecord:
    rate = config.rate if folder == "slices" else None
    is_lossy = quality is not None or rate is not None
    _check_numbers(survey, config, is_lossy, is_rest=folder == "rest")
    values = _values(codec, is_lossy, config, survey)
    effort = config.effort if folder == "slices" else None
    is_video = codec in VIDEO_CODECS
    if config.predict and is_video:
        raise ConfigError(f"{codec} predicts slices by itself; leave `predict` out")
    if is_video and (rate is not None or effort is not None):
        raise ConfigError(f"{codec} has no `{'effort' if rate is None else 'rate'}`; leave it out")
    made = VideoCodec(codec, quality) if is_video else plane_codec(codec, quality, effort, rate)
    suffix = SUFFIX if isinstance(made, VideoCodec) else made.suffix
    slab = slab if is_video else 1
    return LayerRecord(
        folder, codec, suffix, not is_lossy, quality, rate, effort, slab, config.predict, values
    )


def _values(codec: str, is_lossy: bool, config: VolumeConfig, survey: ValueSurvey) -> ValueMap:
    most_bits = _BITS.get(codec, 16)
    if config.limits is not None:
        _check_window(config.limits, survey)
        return window_map(*config.limits, most_bits, survey.dtype)
    # Smooth values are others than those that were found.
    exact = exact_map(survey, may_rank=not is_lossy and config.diffuse is None)
    if len(exact.plane_bits) == 1 and exact.plane_bits[0] <= most_bits:
        return exact
    if not is_lossy:
        if most_bits == 16:
            return exact
        raise ConfigError(
            f"{codec} stores up to {most_bits} bits a voxel without loss, and these need "
            f"{sum(exact.plane_bits)}; take another `codec`, or choose a `window` and lose something"
        )
    return window_map(survey.least, survey.most, most_bits, survey.dtype)


def _check_window(limits: tuple[float, float], survey: ValueSurvey) -> None:
    """Refuse a window in which nothing is: all voxels would become one value."""
    low, high = limits
    is_empty = survey.dtype.kind != "f" and math.ceil(low) > math.floor(high)
    if is_empty or low > survey.most or high < survey.least:
        found = f"no voxel has a value in the `window` from {low:g} to {high:g}"
        raise ConfigError(f"{found}; stored values are from {survey.least:g} to {survey.most:g}")


def _check_numbers(survey: ValueSurvey, config: VolumeConfig, is_lossy: bool, is_rest: bool) -> None:
    """Refuse to lose something of values that are no numbers, or so large that no loss can be counted."""
    if is_lossy or config.limits is not None:
        if not survey.is_finite and not is_rest:  # a region has all that are no numbers
            advice = "`roi`, which keeps them exact" if config.roi is None else "a region without loss"
            raise ConfigError(
                "some voxels are NaN or infinite, which no codec with loss stores; leave the loss out, or "
                f"take {advice}"
            )
    elif config.diffuse is None:
        return
    if survey.most - survey.least > _MOST_SPAN:
        found = f"voxels are from {survey.least:.3g} to {survey.most:.3g}"
        raise ConfigError(f"{found}, too far apart to lose something of them; leave the loss out")
