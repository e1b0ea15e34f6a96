"""Maps from voxels of any dtype to planes of at most 16 bits a sample, and back to the very bits.

Whole numbers in a narrow range are shifted to begin at 0, in dtypes of integers and of floats. Where few of
the range's values are used, their ranks are stored, and so are the ranks of any other values if they are few.
All else is cut into planes of 16 bits. A window alone loses something.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import VolumeReadError
from wsicomp.volumes.codecs.base import SamplePlane, plane_dtype
from wsicomp.volumes.codecs.patterns import (
    MOST_PATTERNS,
    Patterns,
    from_ordered_patterns,
    ordered_patterns,
    with_patterns_of,
)
from wsicomp.volumes.volume import VoxelSlice

STORED_DTYPES = frozenset(
    [f"{kind}int{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)] + ["float16", "float32", "float64"]
)
"""NumPy's names of what voxels can be."""
_REACH = 1 << 17
"""Whole numbers of less than this size are counted one by one."""
_KINDS = ("offset", "ranks", "patterns", "bits", "window")
_VOXELS_A_PATTERN = 16
"""A pattern in the table takes up to 20 bytes, and saves at least two bytes of each voxel before coding."""


@dataclass(frozen=True)
class ValueSurvey:
    """The stored values of a volume: range and kind."""

    dtype: np.dtype[Any]
    """Of the volume."""
    least: float
    """The least finite value; 0 where there is none."""
    most: float
    """The greatest finite value; 0 where there is none."""
    is_finite: bool
    """Whether no value is NaN or infinite."""
    used: NDArray[np.int64] | None
    """The values that occur, in order; None unless all are whole numbers of less than 2**17."""
    patterns: Patterns | None = None
    """The `ordered_patterns` that occur, in order; None if `used` says it, or if they are not few."""


def survey_values(slices: Iterable[VoxelSlice]) -> ValueSurvey:
    """Return what the values of a volume are.

    Memory: one slice, and half a megabyte.

    Raises:
        VolumeReadError: a slice cannot be read, or there is none.
    """
    seen: NDArray[np.bool_] | None = np.zeros(2 * _REACH, np.bool_)
    patterns: Patterns | None = None
    least, most, is_finite, dtype, count = np.inf, -np.inf, True, None, 0
    for one in slices:
        dtype = one.dtype
        count += one.size
        finite = one[np.isfinite(one)] if dtype.kind == "f" else one.ravel()
        is_finite &= finite.size == one.size
        if finite.size:
            least, most = min(least, float(finite.min())), max(most, float(finite.max()))
        if seen is not None and not _is_whole(one):
            patterns, seen = ordered_patterns(_values_of(seen).astype(dtype)), None
        if seen is None:
            patterns = with_patterns_of(patterns, one)
        else:
            seen[one.ravel().astype(np.int64) + _REACH] = True
    if dtype is None:
        raise VolumeReadError("has no slice")
    if patterns is not None and patterns.size * _VOXELS_A_PATTERN > count:
        patterns = None
    least, most = (least, most) if least <= most else (0.0, 0.0)
    return ValueSurvey(dtype, least, most, is_finite, None if seen is None else _values_of(seen), patterns)


def _values_of(seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.flatnonzero(seen) - _REACH


def _is_whole(one: VoxelSlice) -> bool:
    """Return whether all values are whole numbers of less than 2**17, none of them a negative zero."""
    if not one.size:
        return True
    if one.dtype.kind != "f":
        return int(one.min()) >= -_REACH and int(one.max()) < _REACH
    with np.errstate(invalid="ignore"):
        is_near = bool((np.abs(one) < _REACH).all())  # False for NaN
    return is_near and bool((np.rint(one) == one).all()) and not bool(np.signbit(one[one == 0]).any())


@dataclass(frozen=True)
class ValueMap:
    """A map from a slice to planes and back: exact unless it is a window."""

    kind: str
    """`offset`, `ranks`, `patterns`, `bits` or `window`."""
    dtype: str
    """NumPy's name of the volume's dtype."""
    plane_bits: tuple[int, ...]
    """How many bits of its samples each plane uses, 1 to 16."""
    offset: float = 0.0
    """What is added to the samples of `offset` and `window`."""
    step: float = 1.0
    """What the samples of a window are multiplied with first."""
    table: tuple[int, ...] = ()
    """What the samples of `ranks` and `patterns` stand for, in order: values, or their `ordered_patterns`."""
    top: int = 0xFFFF
    """The greatest sample of `offset` and `window`: what a lossy codec overshoots becomes it."""

    def __post_init__(self) -> None:
        if self.dtype not in STORED_DTYPES:
            raise ValueError(f"dtype {self.dtype!r:.40}, expected integers or floats")
        itemsize, has_table = np.dtype(self.dtype).itemsize, self.kind in ("ranks", "patterns")
        expected = max(1, itemsize // 2) if self.kind == "bits" else 1
        if self.kind not in _KINDS or len(self.plane_bits) != expected:
            raise ValueError(f"values mapped by {self.kind!r:.20} in {len(self.plane_bits)} planes")
        if not all(1 <= bits <= 16 for bits in self.plane_bits) or has_table != bool(self.table):
            raise ValueError(f"planes of {self.plane_bits} bits, expected 1 to 16")
        if len(self.table) > MOST_PATTERNS or not (np.isfinite(self.offset) and np.isfinite(self.step)):
            raise ValueError("values mapped by numbers out of range")
        if self.kind == "patterns" and not 0 <= min(self.table) <= max(self.table) < 1 << 8 * itemsize:
            raise ValueError(f"patterns of values beyond {8 * itemsize} bits")
        if self.kind in ("offset", "ranks") and max(map(abs, (self.offset, *self.table))) > _REACH:
            raise ValueError(f"whole numbers beyond {_REACH}")
        if not 0 <= self.top <= 0xFFFF:
            raise ValueError(f"samples of up to {self.top}, expected at most 65535")

    @property
    def is_window(self) -> bool:
        """Whether it loses something: what is outside the window, and steps that are too fine."""
        return self.kind == "window"

    def to_planes(self, voxels: VoxelSlice) -> tuple[SamplePlane, ...]:
        """Return a slice (rows, columns) as planes of its shape, uint8 up to 8 bits and uint16 above.

        Raises:
            VolumeReadError: it has values that the survey did not find; the volume has changed since.
        """
        if self.kind == "bits":
            return _cut(voxels)
        if self.is_window:
            samples = np.clip(np.rint((voxels.astype(np.float64) - self.offset) / self.step), 0, self.top)
        else:
            samples = self._exact(voxels)
        return (np.ascontiguousarray(samples, plane_dtype(self.plane_bits[0])),)

    def _exact(self, voxels: VoxelSlice) -> NDArray[np.int64]:
        with np.errstate(invalid="ignore"):  # NaN, where there was none
            values = ordered_patterns(voxels) if self.kind == "patterns" else voxels.astype(np.int64)
        if self.kind == "offset":
            samples = values - int(self.offset)
            is_known = not samples.size or bool(samples.min() >= 0 and samples.max() <= self.top)
        else:
            table = self._table()
            samples = np.minimum(np.searchsorted(table, values), len(table) - 1)
            is_known = bool((table[samples] == values).all())
        if self.kind != "patterns":
            is_known = is_known and bool((values == voxels).all())
        if not is_known:
            raise VolumeReadError(
                "has other values than when they were surveyed; it changed while it was read"
            )
        return samples

    def _table(self) -> NDArray[Any]:
        size = np.dtype(self.dtype).itemsize
        return np.array(self.table, f"u{size}" if self.kind == "patterns" else np.int64)

    def to_slice(self, planes: Sequence[SamplePlane]) -> VoxelSlice:
        """Return the slice that planes stand for, of the volume's dtype.

        Raises:
            VolumeReadError: a sample stands for nothing.
        """
        dtype = np.dtype(self.dtype)
        if self.kind == "bits":
            return _joined(planes, dtype)
        (samples,) = planes
        if self.kind in ("ranks", "patterns"):
            table = self._table()
            if samples.size and int(samples.max()) >= len(table):
                raise VolumeReadError("a sample beyond the table of values")
            found = table[samples]
            return from_ordered_patterns(found, dtype) if self.kind == "patterns" else found.astype(dtype)
        samples = np.minimum(samples, self.top)
        if self.is_window:
            found = samples.astype(np.float64) * self.step + self.offset
            return _rounded(found, dtype) if dtype.kind != "f" else found.astype(dtype)
        return _rounded(samples.astype(np.int64) + int(self.offset), dtype)


def exact_map(survey: ValueSurvey, may_rank: bool = True) -> ValueMap:
    """Return the map that keeps every bit of these values in the fewest planes and bits.

    Ranks are only for codecs without loss (`may_rank`): a rank that is off by one can be a value far away.
    """
    dtype = survey.dtype
    used = survey.used
    if used is not None and used.size:
        span, ranked = _bits(int(used[-1] - used[0])), _bits(used.size - 1)
        if may_rank and ranked < span and used.size <= MOST_PATTERNS:
            return ValueMap("ranks", dtype.name, (ranked,), table=tuple(map(int, used)))
        if span <= 16:
            return ValueMap("offset", dtype.name, (span,), float(used[0]), top=int(used[-1] - used[0]))
    if may_rank and survey.patterns is not None:
        table = tuple(map(int, survey.patterns))
        return ValueMap("patterns", dtype.name, (_bits(len(table) - 1),), table=table)
    if dtype.itemsize == 1:
        return ValueMap("bits", dtype.name, (8,))
    return ValueMap("bits", dtype.name, (16,) * (dtype.itemsize // 2))


def window_map(low: float, high: float, bits: int, dtype: np.dtype[Any]) -> ValueMap:
    """Return the map that keeps values from `low` to `high` in samples of at most so many bits.

    Integers are kept exactly where the bits suffice; values outside become `low` or `high`.
    """
    span = high - low
    if dtype.kind != "f" and span <= (1 << bits) - 1:
        first = int(np.ceil(low))
        top = max(0, int(np.floor(high)) - first)
        return ValueMap("window", dtype.name, (_bits(top),), float(first), top=top)
    step = span / ((1 << bits) - 1)
    return ValueMap("window", dtype.name, (bits,), low, step if step > 0 else 1.0, top=(1 << bits) - 1)


def _bits(most: int) -> int:
    return max(1, most.bit_length())


def _cut(voxels: VoxelSlice) -> tuple[SamplePlane, ...]:
    """Return the bits of the values as planes, the highest first."""
    if voxels.dtype.itemsize == 1:
        return (np.ascontiguousarray(voxels).view(np.uint8),)
    whole = np.ascontiguousarray(voxels).view(f"u{voxels.dtype.itemsize}")
    shifts = range(8 * (voxels.dtype.itemsize - 2), -1, -16)
    return tuple(np.ascontiguousarray(whole >> whole.dtype.type(shift), np.uint16) for shift in shifts)


def _joined(planes: Sequence[SamplePlane], dtype: np.dtype[Any]) -> VoxelSlice:
    if dtype.itemsize == 1:
        return np.ascontiguousarray(planes[0]).view(dtype)
    whole = np.zeros(planes[0].shape, f"u{dtype.itemsize}")
    for plane in planes:
        whole = plane.astype(whole.dtype) if dtype.itemsize == 2 else (whole << whole.dtype.type(16)) | plane
    return whole.view(dtype)


def _rounded(values: NDArray[Any], dtype: np.dtype[Any]) -> VoxelSlice:
    """Return whole numbers in a dtype that may be too narrow for what a lossy codec overshot."""
    if dtype.kind in "fb":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    if values.dtype.kind == "i":
        return values.clip(limits.min, min(limits.max, np.iinfo(values.dtype).max)).astype(dtype)
    most = float(limits.max)
    if int(most) > limits.max:  # 2^64 - 1 is no float64: the next one would overflow
        most = float(np.nextafter(most, 0))
    found: VoxelSlice = np.clip(np.rint(values), limits.min, most).astype(dtype)
    return found
