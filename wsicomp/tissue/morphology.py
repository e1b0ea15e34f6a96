"""Clean a mask: fill holes inside tissue, and drop specks too small to be tissue."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.tissue.bits import BitMask

Mask = NDArray[np.bool_]

_LEAST_SQUARE_PX = 1536


def fill_holes(tissue: BitMask, diameter_px: float) -> BitMask:
    """Return tissue with holes filled that are smaller than a disc of `diameter_px`.

    The diameter is in the mask's pixels. A hole is glass inside tissue. Glass that touches the picture's edge
    is no hole.
    """
    return _without_small(tissue, False, diameter_px)


def drop_specks(tissue: BitMask, diameter_px: float) -> BitMask:
    """Return tissue without separate pieces smaller than a disc of `diameter_px`.

    The diameter is in the mask's pixels.
    """
    return _without_small(tissue, True, diameter_px)


def _without_small(tissue: BitMask, value: bool, diameter_px: float) -> BitMask:
    """Return the mask with small parts of `value` inverted, computed in squares.

    A part that continues past the pixels read around a square has a pixel in each row or each column of them,
    so it is not small.
    """
    area = math.pi / 4 * diameter_px**2
    if area < 1:
        return tissue
    side = max(_LEAST_SQUARE_PX, math.ceil(area))
    cleaned = []
    for top in range(0, tissue.shape[0], side):
        rows = tissue.pixels(slice(top, top + side))
        for left in range(0, tissue.shape[1], side):
            square = rows[:, left : left + side]
            square[_small_parts(tissue, value, area, top, left)[: len(square), : square.shape[1]]] = not value
        cleaned.append(BitMask.of(rows))
    return BitMask.stacked(cleaned)


def _small_parts(tissue: BitMask, value: bool, area: float, top: int, left: int) -> Mask:
    """Return what belongs to small parts, (rows, columns) bool, from a square's upper left corner on."""
    around, side = math.ceil(area), max(_LEAST_SQUARE_PX, math.ceil(area))
    above, before = max(0, top - around), max(0, left - around)
    rows, columns = slice(above, top + side + around), slice(before, left + side + around)
    is_small, labels = _parts(tissue.pixels(rows, columns) == value, value, area)
    return np.asarray(is_small[labels[top - above :, left - before :][:side, :side]])


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
