"""Find the body in a volume by its values, and say by which rule.

All that is not air counts: better some table than no arm. Each slice is read three times and its mask kept in
one bit a voxel. This module must not know formats and codecs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.tissue.bits import BitMask
from wsicomp.volumes.components import large_parts, without_holes
from wsicomp.volumes.volume import Scaling, Volume, VoxelMask, VoxelSlice

_Floats: TypeAlias = NDArray[np.float32]

BODY_HU = -400.0
"""CT: what is denser is body, clothes or table."""
LEAST_PART = 0.05
"""Parts with a smaller share of the largest part's voxels are dropped: a lone arm has more."""

_AIR_HU = (-1150.0, -850.0)
_SOFT_HU = (-200.0, 200.0)
_LEAST_AIR, _LEAST_SOFT = 0.05, 0.05
_SMOOTH_VOXELS = 1.5
_CLOSE_VOXELS = 5
_OPEN_VOXELS = 2
_BINS = 1024


@dataclass(frozen=True)
class Foreground:
    """The body in a volume."""

    masks: tuple[BitMask, ...]
    """One a slice, (rows, columns)."""
    rule: str
    """How it was found, in a sentence."""


@dataclass(frozen=True)
class _Survey:
    """Findings of a first look at all voxels."""

    least: float
    most: float
    looks_like_ct: bool


def body_of(volume: Volume) -> Foreground:
    """Return the body: where the volume is dense enough, in large parts, without holes, a voxel wider.

    CT, by its modality or since its values are Hounsfield units of air and soft tissue: above -400 HU.
    Others: above Otsu's threshold of the logarithm of smoothed values, which parts noise from signal. A slice
    is then opened by 2 voxels, parts below 5 % of the largest are dropped in three dimensions, gaps of 5
    voxels are closed, and what a slice's mask encloses is filled. Each time of four dimensions
    stands by itself.

    Memory: a bit a voxel and some slices.

    Raises:
        VolumeReadError: the volume cannot be read.
    """
    survey = _survey(volume)
    if survey.least >= survey.most:
        rows, columns = volume.info.slice_shape
        none = BitMask.of(np.zeros((rows, columns), np.bool_))
        return Foreground((none,) * volume.info.slice_count, "all voxels have one value")
    is_dense, rule = _density(volume, survey)
    dense = (_opened(is_dense(values)) for values in _values(volume))
    masks: list[BitMask] = []
    for _ in range(volume.info.slice_count // volume.info.shape[2]):
        packed = [BitMask.of(mask) for mask in islice(dense, volume.info.shape[2])]
        masks += [BitMask.of(_rounded(mask)) for mask in large_parts(packed, LEAST_PART)]
    return Foreground(tuple(masks), rule)


def _survey(volume: Volume) -> _Survey:
    least, most, air, soft, total = np.inf, -np.inf, 0, 0, 0
    for values in _values(volume):
        finite = values[np.isfinite(values)]
        if finite.size:
            least, most = min(least, float(finite.min())), max(most, float(finite.max()))
        air += int(np.count_nonzero((values > _AIR_HU[0]) & (values < _AIR_HU[1])))
        soft += int(np.count_nonzero((values > _SOFT_HU[0]) & (values < _SOFT_HU[1])))
        total += values.size
    return _Survey(least, most, air >= _LEAST_AIR * total and soft >= _LEAST_SOFT * total)


def _values(volume: Volume) -> Iterator[_Floats]:
    """Yield what the stored values stand for; what is not finite counts as least."""
    for voxels in volume.slices():
        yield _scaled(voxels, volume.info.scaling)


def _scaled(voxels: VoxelSlice, scaling: Scaling) -> _Floats:
    values = voxels.astype(np.float32)
    if scaling != Scaling():
        values = values * np.float32(scaling.slope) + np.float32(scaling.intercept)
    return values


def _density(volume: Volume, survey: _Survey) -> tuple[Callable[[_Floats], VoxelMask], str]:
    """Return what tells dense voxels of a slice, and the rule's words."""
    is_ct = survey.looks_like_ct and volume.info.modality in ("", "CT")
    if is_ct:
        return (lambda values: values > BODY_HU), f"body above {BODY_HU:.0f} HU"
    span = survey.most - survey.least
    counts = np.zeros(_BINS, np.int64)
    for values in _values(volume):
        levels = _levels(values, survey.least, span)
        counts += np.histogram(levels, _BINS, (0.0, 1.0))[0]
    limit = _otsu(counts)
    value = survey.least + span * float(np.expm1(limit * np.log1p(_BINS))) / _BINS
    words = f"body above {value:.4g}, by Otsu's threshold of the logarithm of smoothed values"
    return (lambda values: _levels(values, survey.least, span) > limit), words


def _levels(values: _Floats, least: float, span: float) -> _Floats:
    """Return the logarithm of smoothed values in [0, 1]: noise far from signal."""
    shares = np.nan_to_num((values - np.float32(least)) / np.float32(span), nan=0.0, posinf=1.0, neginf=0.0)
    smooth = cv2.GaussianBlur(shares, (0, 0), _SMOOTH_VOXELS)
    return np.asarray(np.log1p(smooth.clip(0, 1) * _BINS) / np.float32(np.log1p(_BINS)), np.float32)


def _otsu(counts: NDArray[np.int64]) -> float:
    """Return the upper edge in [0, 1] of the bin that best parts the bins before it from those after."""
    shares = counts / counts.sum()
    middles = (np.arange(_BINS) + 0.5) / _BINS
    below, mean = np.cumsum(shares), np.cumsum(shares * middles)
    both = below * (1 - below)
    between = np.where(both > 1e-9, (mean[-1] * below - mean) ** 2 / np.maximum(both, 1e-9), 0)
    return (int(between.argmax()) + 1) / _BINS


def _opened(mask: VoxelMask) -> VoxelMask:
    return _morphed(mask, cv2.MORPH_OPEN, _OPEN_VOXELS)


def _rounded(mask: VoxelMask) -> VoxelMask:
    """Return a slice's mask closed, filled, and a voxel wider, for edges that are half air."""
    if not mask.any():
        return mask
    closed = without_holes(_morphed(mask, cv2.MORPH_CLOSE, _CLOSE_VOXELS))
    return BitMask.of(closed).dilated(1, 1).pixels()


def _morphed(mask: VoxelMask, kind: int, radius: int) -> VoxelMask:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    padded: NDArray[Any] = np.pad(mask.view(np.uint8), radius, mode="edge")
    result = cv2.morphologyEx(padded, kind, disc)
    return np.asarray(result[radius:-radius, radius:-radius], np.bool_)
