"""Clean a mask: fill holes inside tissue, and drop specks too small to be tissue."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_LEAST_BAND_PX = 512


def fill_holes(tissue: Mask, diameter_px: float) -> Mask:
    """Return tissue, (rows, columns) bool, with holes filled that are smaller than a disc of `diameter_px`.

    The diameter is in the mask's pixels. A hole is glass inside tissue. Glass that touches the picture's edge
    is no hole.
    """
    return _without_small(tissue, False, diameter_px)


def drop_specks(tissue: Mask, diameter_px: float) -> Mask:
    """Return tissue, (rows, columns) bool, without separate pieces smaller than a disc of `diameter_px`.

    The diameter is in the mask's pixels.
    """
    return _without_small(tissue, True, diameter_px)


def _without_small(tissue: Mask, value: bool, diameter_px: float) -> Mask:
    """Return the mask with small parts of `value` inverted, computed in bands of rows.

    A part that continues past the rows read around a band has a pixel in each of these rows, so it is not
    small.
    """
    area = math.pi / 4 * diameter_px**2
    if area < 1:
        return tissue
    around, band = math.ceil(area), max(_LEAST_BAND_PX, math.ceil(area))
    cleaned = tissue.copy()
    for top in range(0, len(tissue), band):
        first = max(0, top - around)
        is_small, labels = _parts(tissue[first : top + band + around] == value, value, area)
        within = labels[top - first : top - first + band]
        cleaned[top : top + band][is_small[within]] = not value
    return cleaned


def _parts(parts: Mask, is_tissue: bool, area: float) -> tuple[Mask, NDArray[np.int32]]:
    """Return (whether each part is small, the part of each pixel with 0 for none)."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        parts.view(np.uint8), connectivity=8 if is_tissue else 4
    )
    is_small = stats[:, cv2.CC_STAT_AREA] < area
    is_small[0] = False
    if not is_tissue:
        rows, columns = parts.shape
        left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
        right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
        is_small &= (left > 0) & (top > 0) & (right < columns) & (bottom < rows)
    return np.asarray(is_small), np.asarray(labels, np.int32)
