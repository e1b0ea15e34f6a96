"""What can be measured of a volume, and of what compression made of it, a slice at a time.

Nothing here knows codecs, files or pages. Memory: a few slices, and one count for each distinct value.

Source: Wang et al. 2004 (SSIM: Gaussian window of 11 px, sigma 1.5, K 0.01 and 0.03).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.quality import psnr_of_squares
from wsicomp.volumes.manifest import Deviation
from wsicomp.volumes.slabs import NOTHING, added, deviation
from wsicomp.volumes.volume import VoxelMask, VoxelSlice

WINDOW_VOXELS = 11
"""The side of SSIM's window, and so the smallest side of a slice that has an SSIM."""

_MARGIN = WINDOW_VOXELS // 2
_KERNEL = cv2.getGaussianKernel(WINDOW_VOXELS, 1.5, cv2.CV_64F)
_MOST_VALUES = 1 << 17
"""So many distinct values are counted: all that 16 bits have. Of more, entropy says little."""


class ValueCounts:
    """Counts how often each value occurs, a slice at a time."""

    def __init__(self) -> None:
        self._values: NDArray[np.float64] | None = np.empty(0)
        self._counts = np.empty(0, np.int64)
        self.least = math.inf
        """The least finite value so far."""
        self.greatest = -math.inf
        """The greatest finite value so far."""
        self.is_whole = True
        """Whether all values so far are finite whole numbers."""

    def add(self, voxels: VoxelSlice) -> None:
        """Count the values of a slice; those that are not finite are left out."""
        values, counts = np.unique(voxels, return_counts=True)
        values = values.astype(np.float64)
        is_finite = np.isfinite(values)
        self.is_whole &= bool(is_finite.all()) and bool((values == np.floor(values)).all())
        values, counts = values[is_finite], counts[is_finite]
        if not len(values):
            return
        self.least, self.greatest = min(self.least, float(values[0])), max(self.greatest, float(values[-1]))
        if self._values is None:
            return
        merged, places = np.unique(np.concatenate([self._values, values]), return_inverse=True)
        if len(merged) > _MOST_VALUES:
            self._values = None
            return
        weights = np.concatenate([self._counts, counts])
        self._counts = np.bincount(places.ravel(), weights, len(merged)).astype(np.int64)
        self._values = merged

    @property
    def span(self) -> float:
        """The greatest finite value less the least; 0 where there is none."""
        return max(0.0, self.greatest - self.least)

    @property
    def used_bits(self) -> int | None:
        """How many bits tell all whole numbers from the least to the greatest; None if not all are whole.

        >>> counts = ValueCounts()
        >>> counts.add(np.array([[-1024, 3071]], np.int16))
        >>> counts.used_bits
        12
        """
        return int(self.span).bit_length() if self.is_whole else None

    @property
    def entropy_bits(self) -> float | None:
        """Shannon's entropy of a single value, in bits; None for more distinct values than 16 bits have."""
        if self._values is None:
            return None
        shares = self._counts / max(1, self._counts.sum())
        return abs(float(-(shares * np.log2(shares)).sum()))

    def quantile(self, share: float) -> float:
        """Return the value that a `share` in [0, 1] of the voxels is at most; a guess if uncounted."""
        if self._values is None or not len(self._values):
            return self.least + share * self.span if self.span else 0.0
        upto = np.searchsorted(np.cumsum(self._counts), share * self._counts.sum())
        return float(self._values[min(int(upto), len(self._values) - 1)])


def counted_values(slices: Iterable[VoxelSlice]) -> ValueCounts:
    """Return the counts of all values of some slices."""
    counts = ValueCounts()
    for one in slices:
        counts.add(one)
    return counts


@dataclass(frozen=True)
class VolumeFidelity:
    """How true a volume is to its source. Without a region all of it counts as inside."""

    inside: Deviation
    """Of the region."""
    outside: Deviation
    """Of the rest."""
    ssim: float | None
    """The mean over the slices; None where slices are smaller than SSIM's window."""
    least_ssim: float | None
    """Of the worst slice."""
    worst_slice: int | None
    """The number of the worst slice."""
    ssim_inside: float | None
    """The mean over the voxels of the region; None where there is no region."""
    entropy_bits: float | None
    """Of the values that came back; None where they are too many to count."""

    @property
    def whole(self) -> Deviation:
        """Of all voxels."""
        return added(self.inside, self.outside)


def measure_fidelity(
    pairs: Iterable[tuple[VoxelSlice, VoxelSlice, VoxelMask | None]], data_range: float
) -> VolumeFidelity:
    """Measure slices against the source's: (the source's, what came back, the region or None).

    `data_range` is SSIM's: the source's greatest value less the least.
    """
    inside, outside, counts, means = NOTHING, NOTHING, ValueCounts(), _Means()
    for source, found, mask in pairs:
        inside = added(inside, deviation(source, found, mask))
        if mask is not None:
            outside = added(outside, deviation(source, found, ~mask))
        counts.add(found)
        means.add(_similarity(source, found, data_range), mask)
    return VolumeFidelity(
        inside,
        outside,
        means.of_slices,
        min(means.slices, default=None),
        int(np.argmin(means.slices)) if means.slices else None,
        means.inside,
        counts.entropy_bits,
    )


class _Means:
    """The means of SSIM: of each slice, and over a region."""

    def __init__(self) -> None:
        self.slices: list[float] = []
        self._sum, self._voxels = 0.0, 0

    def add(self, similarity: NDArray[np.float64] | None, mask: VoxelMask | None) -> None:
        if similarity is None:
            return
        self.slices.append(float(similarity.mean()))
        if mask is not None:
            found = similarity[mask[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]]
            self._sum, self._voxels = self._sum + float(found.sum()), self._voxels + found.size

    @property
    def of_slices(self) -> float | None:
        return float(np.mean(self.slices)) if self.slices else None

    @property
    def inside(self) -> float | None:
        return self._sum / self._voxels if self._voxels else None


def _similarity(source: VoxelSlice, found: VoxelSlice, data_range: float) -> NDArray[np.float64] | None:
    """Return SSIM's map; None for a slice that is smaller than its window or not finite."""
    if min(source.shape) < WINDOW_VOXELS:
        return None
    if np.array_equal(source, found):
        return np.ones((source.shape[0] - 2 * _MARGIN, source.shape[1] - 2 * _MARGIN))
    first, second = source.astype(np.float64), found.astype(np.float64)
    return similarity_map(first, second, data_range) if np.isfinite([first, second]).all() else None


def similarity_map(
    first: NDArray[np.float64], second: NDArray[np.float64], data_range: float
) -> NDArray[np.float64]:
    """Return the SSIM of two slices around each voxel that is 5 or more from the border.

    It is computed in double precision: 16-bit values, squared, are more than single precision holds.
    """
    c1, c2 = ((share * (data_range or 1)) ** 2 for share in (0.01, 0.03))
    mean_1, mean_2 = _window_mean(first), _window_mean(second)
    variances = _window_mean(first * first + second * second) - mean_1 * mean_1 - mean_2 * mean_2
    covariance = _window_mean(first * second) - mean_1 * mean_2
    above = (2 * mean_1 * mean_2 + c1) * (2 * covariance + c2)
    found: NDArray[np.float64] = above / ((mean_1 * mean_1 + mean_2 * mean_2 + c1) * (variances + c2))
    return found


def _window_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    blurred: NDArray[np.float64] = cv2.sepFilter2D(values, cv2.CV_64F, _KERNEL, _KERNEL)
    return blurred[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def peak_to_noise_db(found: Deviation, peak: float) -> float | None:
    """Return the PSNR of a deviation in dB for a peak in stored values; None where nothing differs.

    >>> peak_to_noise_db(Deviation(100, 100, 1.0, 100.0), 4096)
    72.24719895935549
    """
    if not found.squares or peak <= 0:
        return None
    return psnr_of_squares(found.squares, found.voxels, peak)
