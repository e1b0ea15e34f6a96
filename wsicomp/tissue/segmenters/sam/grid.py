"""The foreground of a picture by a grid of points: of all their masks the one that stands out most.

A published proof of concept compresses pictures so: it lets Segment Anything make masks by a grid, and keeps
the one that best separates foreground from background. Otsu's measure tells which that is: the variance of
grey levels between the two classes. On sections it does poorly.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.progress import StageProgress
from wsicomp.slide import Pixels
from wsicomp.tissue.segmenters.sam.base import Logits, SamNetwork

_SIDE = 16
"""Points along each side of the grid."""


def foreground(network: SamNetwork, embedding: Any, pixels: Pixels, progress: StageProgress) -> Logits:
    """Return the logits of the mask with the largest variance between classes, turned to its darker side.

    Sixteen by sixteen points are tried, with three masks each.
    """
    grey = _grey(pixels, network.side_px)
    best, most = np.full((256, 256), -1, np.float32), 0.0
    for done, row in enumerate(_points(pixels), 1):
        masks, _ = network.outline(embedding, row, several=True)
        for mask in masks:
            variance, is_darker = _between(grey, mask[: grey.shape[0], : grey.shape[1]] > 0)
            if variance > most:
                best, most = mask if is_darker else -mask, variance
        progress(done, _SIDE)
    return best


def _points(pixels: Pixels) -> list[list[NDArray[np.float32]]]:
    """Return the grid, row by row: each point as a prompt of its own."""
    rows, columns = pixels.shape[:2]
    places = (np.arange(_SIDE) + 0.5) / _SIDE
    return [[np.array([[x, y, 1]], np.float32) for x in places * columns] for y in places * rows]


def _grey(pixels: Pixels, side_px: int) -> NDArray[np.float32]:
    """Return the part of a mask's 256 x 256 px that shows the picture, as grey levels."""
    rows, columns = (max(1, round(side * 256 / side_px)) for side in pixels.shape[:2])
    shrunk = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(shrunk, cv2.COLOR_RGB2GRAY), np.float32)


def _between(grey: NDArray[np.float32], inside: NDArray[np.bool_]) -> tuple[float, bool]:
    """Return the variance between two classes of grey levels, and whether the inner one is darker."""
    share = float(inside.mean())
    if share in (0.0, 1.0):
        return 0.0, True
    difference = float(grey[inside].mean() - grey[~inside].mean())
    return share * (1 - share) * difference**2, difference < 0
