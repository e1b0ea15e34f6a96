"""Tidying a mask in micrometres: holes inside tissue filled, specks that cannot be tissue dropped."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray


def fill_holes(tissue: NDArray[np.bool_], diameter_px: float) -> NDArray[np.bool_]:
    """Tissue with the glass inside it that no glass outside reaches, up to the area of a disc, made tissue.

    Glass that touches the picture's edge is no hole.
    """
    return _without_small(tissue, ~tissue, diameter_px, connectivity=4, value=True)


def drop_specks(tissue: NDArray[np.bool_], diameter_px: float) -> NDArray[np.bool_]:
    """Tissue without the separate pieces that are smaller than a disc."""
    return _without_small(tissue, tissue, diameter_px, connectivity=8, value=False)


def _without_small(
    tissue: NDArray[np.bool_],
    parts: NDArray[np.bool_],
    diameter_px: float,
    connectivity: int,
    value: bool,
) -> NDArray[np.bool_]:
    limit = math.pi / 4 * diameter_px**2
    if limit < 1:
        return tissue
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(parts).view(np.uint8), connectivity=connectivity
    )
    is_small = stats[:, cv2.CC_STAT_AREA] < limit
    is_small[0] = False
    if value:
        rows, columns = tissue.shape
        left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
        right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
        is_small &= (left > 0) & (top > 0) & (right < columns) & (bottom < rows)
    if count == 1 or not is_small.any():
        return tissue
    cleaned = tissue.copy()
    cleaned[is_small[labels]] = value
    return cleaned
