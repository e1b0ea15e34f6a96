"""Padding: flat areas of pure black or white where scanners and stitching programs have no pixels.

An area is padding only if it is large, of one exact colour, and bounded by straight lines along the axes.
Ink, pigment and overexposed glass are not. This module must not decide what is tissue.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.slide import Pixels
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overview import Overview

_BLOCK_PX = 4
_LEAST_BLOCKS = 64
_EXACT = 2
_NEARLY = {0: 16, 255: 4}
"""How far the mean of a block at the edge may be from the exact colour, since JPEG rings into it."""
_STRAIGHT = 0.75


@dataclass(frozen=True)
class Padding:
    """The padding of a slide with pure black and with pure white: masks that are True there."""

    black: TissueMask
    white: TissueMask


def find_padding(overview: Overview) -> Padding:
    """Return the padding of a slide, in blocks of 4 x 4 overview pixels."""
    return Padding(_filled_with(overview, 0), _filled_with(overview, 255))


def without_padding(tissue: TissueMask, padding: TissueMask) -> TissueMask:
    """Return the mask `tissue` without padding and its fringe.

    A segmenter often finds tissue in a few blocks along the edge of padding. Pieces of tissue that lie in
    that fringe alone are removed; pieces that reach beyond it are kept.
    """
    if not padding.pixels.any():
        return tissue
    rows, columns = tissue.pixels.shape
    x, y = (np.arange(columns) + 0.5) * tissue.scale_x, (np.arange(rows) + 0.5) * tissue.scale_y
    block_px = max(padding.scale_x, padding.scale_y)
    pixels = tissue.pixels & ~padding.dilated(block_px).at(x, y)
    beside = padding.dilated(4 * block_px).at(x, y)
    _, labels = cv2.connectedComponents(pixels.view(np.uint8), connectivity=8)
    goes_on = np.zeros(labels.max() + 1, np.bool_)
    goes_on[labels[pixels & ~beside]] = True
    goes_on[0] = False
    return TissueMask(
        goes_on[labels], tissue.slide, tissue.scale_x, tissue.scale_y, tissue.source, tissue.notes
    )


def _filled_with(overview: Overview, value: int) -> TissueMask:
    off = _worst_off(overview.pixels, value)
    exact = _worst_of_four(_worst_of_four(off).T).T <= _EXACT
    exact = np.ascontiguousarray(exact)
    if exact.any():
        nearly = _in_blocks(off).mean(axis=(1, 3)) <= _NEARLY[value]
        exact |= cv2.dilate(exact.view(np.uint8), np.ones((5, 5), np.uint8)).view(np.bool_) & nearly
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(exact.view(np.uint8), connectivity=4)
    is_padding = np.zeros(count, np.bool_)
    for number, (x, y, width, height, area) in enumerate(boxes.tolist()):
        part = labels[y : y + height, x : x + width] == number
        is_padding[number] = number > 0 and area >= _LEAST_BLOCKS and _has_straight_edges(part)
    scale_x, scale_y = overview.scale_x * _BLOCK_PX, overview.scale_y * _BLOCK_PX
    return TissueMask(is_padding[labels], overview.slide, scale_x, scale_y, "padding")


def _worst_off(pixels: Pixels, value: int) -> NDArray[np.uint8]:
    """Return how far each pixel's worst channel is from `value`, 0 (black) or 255 (white)."""
    red, green, blue = cv2.split(pixels)
    if value:
        return np.asarray(255 - np.minimum(np.minimum(red, green), blue), np.uint8)
    return np.asarray(np.maximum(np.maximum(red, green), blue), np.uint8)


def _worst_of_four(off: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the largest of each four values down a column; at the end the last one counts again."""
    parts = [off[start::_BLOCK_PX] for start in range(_BLOCK_PX)]
    worst = parts[0].copy()
    for part in parts[1:]:
        np.maximum(worst[: len(part)], part, out=worst[: len(part)])
    return worst


def _in_blocks(off: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (block rows, 4, block columns, 4); blocks at the edge repeat the last pixels."""
    rows, columns = off.shape
    off = np.pad(off, ((0, -rows % _BLOCK_PX), (0, -columns % _BLOCK_PX)), mode="edge")
    return off.reshape(off.shape[0] // _BLOCK_PX, _BLOCK_PX, off.shape[1] // _BLOCK_PX, _BLOCK_PX)


def _has_straight_edges(part: NDArray[np.bool_]) -> bool:
    """Return whether most rows equal the next one and most columns, too; of a disc hardly half do."""
    along = (part[1:] == part[:-1]).all(axis=1)
    across = (part[:, 1:] == part[:, :-1]).all(axis=0)
    return bool((along.mean() if along.size else 1.0) >= _STRAIGHT <= (across.mean() if across.size else 1.0))
