"""Things: foreign blocks of a tile that together are large enough to count.

This module must not know pixels, colours or masks: it sees which blocks of a tile are not glass.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray


class ThingSize(NamedTuple):
    """The number of foreign blocks that make a thing."""

    solid: int
    """Blocks of a connected piece."""
    across: int
    """Blocks that a connected piece has along its longer side."""
    scattered: int
    """Blocks that lie near each other without being connected; no fewer than `solid`."""


def things_among(foreign: NDArray[np.bool_], size: ThingSize, reach: int) -> list[NDArray[np.bool_] | None]:
    """Return for each tile the foreign blocks that together make up a thing; None if there is none.

    `foreign` is (tiles, block rows, block columns) bool. Blocks up to twice `reach` and one apart, along
    either axis, are one thing.
    """
    counts = np.count_nonzero(foreign, axis=(1, 2))
    is_whole = (counts >= size.scattered) & _are_joined(foreign, 2 * reach + 1)
    return [
        None if count < size.solid else blocks if whole else _large_things(blocks, size, reach)
        for blocks, count, whole in zip(foreign, counts.tolist(), is_whole.tolist(), strict=True)
    ]


def _are_joined(foreign: NDArray[np.bool_], apart: int) -> NDArray[np.bool_]:
    """Return for which tiles it is plain that all foreign blocks are one thing, (tiles,) bool.

    It is where one of them lies so near the middle that no block of the tile is further than `apart` from it.
    """
    _, rows, columns = foreign.shape
    middle = foreign[:, max(0, rows - 1 - apart) : apart + 1, max(0, columns - 1 - apart) : apart + 1]
    return np.asarray(middle.any(axis=(1, 2)))


def _large_things(foreign: NDArray[np.bool_], size: ThingSize, reach: int) -> NDArray[np.bool_] | None:
    """Return the foreign blocks of things that have enough blocks, or one piece that is large by itself.

    `foreign` is (block rows, block columns) bool of one tile. Return None if there are no such things.
    """
    things = _joined(foreign, reach)
    is_large = np.bincount(things[foreign], minlength=things.max() + 1) >= size.scattered
    if is_large[1:].all():
        return foreign
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(foreign.view(np.uint8), connectivity=8)
    across = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1)
    is_solid = (stats[:, cv2.CC_STAT_AREA] >= size.solid) & (across >= size.across)
    is_large[things[foreign & is_solid[pieces]]] = True
    found = np.asarray(foreign & is_large[things])
    return found if found.any() else None


def _joined(foreign: NDArray[np.bool_], reach: int) -> NDArray[np.int32]:
    """Return the number of the thing that each foreign block of a tile belongs to, counted from 1."""
    reach = min(reach, max(foreign.shape))  # a larger one joins no more blocks
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    _, labels = cv2.connectedComponents(cv2.dilate(foreign.view(np.uint8), square), connectivity=8)
    return np.asarray(labels)
