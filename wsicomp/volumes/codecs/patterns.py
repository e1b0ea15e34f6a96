"""The bits of values as whole numbers in the order of the values, and which of them a volume uses.

Scaled or normalised volumes are floats of a few thousand values: their ranks fit in one plane, where the bits
of the floats take two planes or four.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.volumes.volume import VoxelSlice

Patterns = NDArray[Any]
"""Unsigned integers of the values' size."""
MOST_PATTERNS = 1 << 14
"""A longer table would cost more than it saves."""


def ordered_patterns(voxels: VoxelSlice) -> Patterns:
    """Return the bits of voxels as unsigned integers that are ordered as the values are, of their shape.

    A negative zero comes before zero, and NaN of either sign beyond the infinity of that sign.
    """
    whole: Patterns = np.ascontiguousarray(voxels).view(f"u{voxels.dtype.itemsize}")
    if voxels.dtype.kind in "ub":
        return whole
    sign = _sign(whole.dtype)
    if voxels.dtype.kind == "i":
        return np.bitwise_xor(whole, sign)
    return np.where(whole & sign, ~whole, whole | sign)


def from_ordered_patterns(ordered: Patterns, dtype: np.dtype[Any]) -> VoxelSlice:
    """Return the values of `dtype` whose `ordered_patterns` these are."""
    if dtype.kind in "ub":
        return ordered.view(dtype)
    sign = _sign(ordered.dtype)
    if dtype.kind == "i":
        return np.bitwise_xor(ordered, sign).view(dtype)
    return np.where(ordered & sign, ordered ^ sign, ~ordered).view(dtype)


def with_patterns_of(known: Patterns | None, voxels: VoxelSlice) -> Patterns | None:
    """Return the sorted patterns that are known or in a slice; None if they are too many, or were before."""
    if known is None:
        return None
    found: Patterns = np.union1d(known, ordered_patterns(voxels))
    return found if found.size <= MOST_PATTERNS else None


def _sign(dtype: np.dtype[Any]) -> Any:
    return dtype.type(1 << 8 * dtype.itemsize - 1)
