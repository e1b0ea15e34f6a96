"""Clean a mask: fill holes inside tissue, and drop specks too small to be tissue."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_LEAST_SQUARE_PX = 1536


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
    """Return the mask with small parts of `value` inverted, computed in squares.

    A part that continues past the pixels read around a square has a pixel in each row or each column of them,
    so it is not small.
    """
    area = math.pi / 4 * diameter_px**2
    if area < 1:
        return tissue
    around, side = math.ceil(area), max(_LEAST_SQUARE_PX, math.ceil(area))
    cleaned = tissue.copy()
    for top in range(0, tissue.shape[0], side):
        for left in range(0, tissue.shape[1], side):
            above, before = max(0, top - around), max(0, left - around)
            window = tissue[above : top + side + around, before : left + side + around] == value
            square = cleaned[top : top + side, left : left + side]
            is_small, labels = _parts(window, value, area)
            within = labels[top - above :, left - before :][: square.shape[0], : square.shape[1]]
            square[is_small[within]] = not value
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
