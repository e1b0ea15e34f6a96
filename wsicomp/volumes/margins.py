"""Widen a mask by a distance in mm, in three dimensions and exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsicomp.tissue.bits import BitMask

_ROUNDING = 1e-9
"""A voxel whose distance is the margin itself counts, though 3 x 0.1 is over 0.3."""


def with_margin(
    masks: Sequence[BitMask], spacing: tuple[float, float, float], margin_mm: float
) -> list[BitMask]:
    """Return the masks of a volume's slices with every voxel within `margin_mm` of them.

    `spacing` is along x, y and z in mm. Distances are between the middles of voxels.

    Memory: two bits a voxel and some slices.
    """
    if not masks or margin_mm <= 0:
        return list(masks)
    most = margin_mm**2 * (1 + _ROUNDING)
    reach = int(min(margin_mm / spacing[2] + _ROUNDING, len(masks)))
    words = [mask.words.copy() for mask in masks]
    for number, mask in enumerate(masks):
        if not mask.words.any():
            continue
        squares = _squared_distances(mask.pixels(), spacing[0], spacing[1], margin_mm)
        for other in range(max(0, number - reach), min(len(masks), number + reach + 1)):
            left = most - ((other - number) * spacing[2]) ** 2
            if left >= 0:
                words[other] |= BitMask.of(squares <= left).words
    return [BitMask(each, mask.columns) for each, mask in zip(words, masks, strict=True)]


def _squared_distances(
    mask: NDArray[np.bool_], x_mm: float, y_mm: float, margin_mm: float
) -> NDArray[np.float64]:
    """Return mm^2 from each pixel to the nearest one of the mask, (rows, columns), if within the margin."""
    along = (_steps_in_row(mask) * x_mm) ** 2
    nearest = along.copy()
    for row in range(1, int(min(margin_mm / y_mm + _ROUNDING, len(mask) - 1)) + 1):
        further = along + (row * y_mm) ** 2
        np.minimum(nearest[row:], further[:-row], out=nearest[row:])
        np.minimum(nearest[:-row], further[row:], out=nearest[:-row])
    return nearest


def _steps_in_row(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return columns from each pixel to the nearest one of the mask in its row; many where there is none."""
    columns = np.arange(mask.shape[1], dtype=np.float64)
    before = np.maximum.accumulate(np.where(mask, columns, -np.inf), axis=1)
    after = np.minimum.accumulate(np.where(mask, columns, np.inf)[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(np.minimum(columns - before, after - columns))
