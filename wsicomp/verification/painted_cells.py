"""Tells by its pixels which part of a tile was painted as glass before it was encoded.

A file does not hold the mask by which it was painted: the source beside it shows where.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.plan.conversion_plan import Color
from wsicomp.slide import Pixels

CELL_PX = 16
"""The side of the cells in which glass is painted."""
SAME_SHIFT = 3.0
"""Grey levels within which two encodings of the same pixels are equal: machines and versions differ."""


def painted_cells(decoded: Pixels, truth: Pixels, paint: Color) -> NDArray[np.bool_]:
    """Return the cells of a tile that show `paint` rather than the source, (rows, columns) bool of cells.

    `decoded` is the tile, `truth` the source's pixels in its place, both (rows, columns, 3) uint8 RGB. Where
    the source's mean is the paint's, as at a seam of filler and glass, their pixels decide.
    """
    color = np.array(paint, np.float32)
    means = cell_means(truth, CELL_PX)
    painted = is_nearer(cell_means(decoded, CELL_PX), color, means)
    alike = color_distance(means, color) < SAME_SHIFT
    if alike.any():
        shown = decoded.astype(np.float32)
        to_paint, to_source = (
            cell_means(np.square(shown - other), CELL_PX).sum(-1) for other in (color, truth)
        )
        painted[alike] = (to_paint < to_source)[alike]
    return painted


def is_nearer(
    colors: NDArray[np.float32], first: NDArray[np.float32], second: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Return whether each of `colors` is nearer to that of `first` than to that of `second`."""
    return np.asarray(color_distance(colors, first) < color_distance(colors, second))


def cell_means(pixels: NDArray[Any], side: int) -> NDArray[np.float32]:
    """Return the mean colours of cells of `side` pixels; at the edge, of the part that is there."""
    rows, columns = (np.arange(0, length, side) for length in pixels.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float32), rows, axis=0), columns, axis=1)
    counts = np.outer(np.diff([*rows, pixels.shape[0]]), np.diff([*columns, pixels.shape[1]]))
    return np.asarray(sums / counts[..., None], np.float32)


def color_distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the Euclidean distance of colours."""
    return np.asarray(np.linalg.norm(first - second, axis=-1), np.float32)
