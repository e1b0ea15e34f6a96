"""The part of a slice that another layer holds, filled so that a codec with loss spends little on it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.volumes.volume import VoxelMask, VoxelSlice

_Means = NDArray[np.float64]


def smoothly_filled(voxels: VoxelSlice, mask: VoxelMask) -> VoxelSlice:
    """Return a slice whose voxels where the mask is False go over smoothly into those where it is True.

    Voxels are finite where the mask is True. What is filled in lies between them, or is the slice's median
    where there are none; it is whole where they are, as maps of values need it. An edge around a hole would
    cost bytes, and ring in what is beside it.
    """
    known = voxels[mask] if mask.any() else voxels[np.isfinite(voxels)]
    if not known.size:
        return np.zeros_like(voxels)
    if mask.any():
        found = _smooth(np.where(mask, voxels, 0).astype(np.float64), mask.astype(np.float64))
    else:
        found = np.full(voxels.shape, np.median(known))
    if np.array_equal(known, np.rint(known)):
        found = np.rint(found)
    with np.errstate(invalid="ignore"):  # what rounds to 2^63 is no int64, and is clipped
        within = np.clip(found.astype(voxels.dtype), known.min(), known.max())
    return np.where(mask, voxels, within)


def _smooth(weighted: _Means, weights: _Means) -> _Means:
    """Return the mean around each pixel, (rows, columns), from as near as there is any weight.

    `weighted` are values times their weights, which are 0 to 1.
    """
    means: _Means = weighted / np.maximum(weights, 1e-12)
    if weights.all():
        return means
    rows, columns = weights.shape
    half = (-(-columns // 2), -(-rows // 2))
    coarse = _smooth(*(cv2.resize(each, half, interpolation=cv2.INTER_AREA) for each in (weighted, weights)))
    around = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_LINEAR)
    found: _Means = means * weights + around * (1 - weights)
    return found
