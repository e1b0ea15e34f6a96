"""The colour of bare glass from place to place, and the few colours by which a file shows it.

Lamps are uneven, line scanners leave stripes, and a slide has glass with and without a cover slip: no smooth
surface has all of that, so the colours are those of the overview. This module must not know which tiles are
glass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Size
from wsicomp.tissue.glass_color import can_be_glass
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overview import Overview

Colors = NDArray[np.float32]
"""(..., 3) float32 RGB."""

_NEAR = 2.0
"""Grey levels, in the worst channel, within which a colour stands for another."""
_ALMOST_ALL = 0.99
"""The part of the colours that a palette has to be near to."""


@dataclass(frozen=True)
class BareGlass:
    """A slide's overview without what lies on its glass: in its place is the glass around it."""

    overview: Overview

    def colors(self, size: Size, tile: Size) -> Colors:
        """Return the mean colour of each tile of a level, (rows, columns, 3), by the size of the level."""
        pixels, slide = self.overview.pixels, self.overview.slide
        top, bottom = _spans(size.height, tile.height, slide.height / self.overview.scale_y, len(pixels))
        left, right = _spans(size.width, tile.width, slide.width / self.overview.scale_x, pixels.shape[1])
        sums = cv2.integral(pixels, sdepth=cv2.CV_64F)
        down = sums[bottom] - sums[top]
        areas = np.outer(bottom - top, right - left)[..., None]
        return np.asarray((down[:, right] - down[:, left]) / areas, np.float32)


def bare_glass(overview: Overview, things: Sequence[TissueMask]) -> BareGlass:
    """Return the bare glass of a slide, which is where none of the masks `things` has anything."""
    rows, columns = overview.pixels.shape[:2]
    x, y = (np.arange(columns) + 0.5) * overview.scale_x, (np.arange(rows) + 0.5) * overview.scale_y
    is_glass = np.ones((rows, columns), np.bool_)
    for mask in things:
        is_glass &= ~mask.at(x, y)
    filled = _filled(overview.pixels.astype(np.float32), is_glass.astype(np.float32))
    return BareGlass(replace(overview, pixels=np.rint(filled).astype(np.uint8)))


def _filled(pixels: Colors, weights: NDArray[np.float32]) -> Colors:
    """Return the pixels, where they have no weight with the means of the smallest boxes around that have."""
    rows, columns = weights.shape
    if weights.all() or max(rows, columns) == 1:
        return pixels
    half = (-(-columns // 2), -(-rows // 2))
    small = cv2.resize(weights, half, interpolation=cv2.INTER_AREA)
    sums = cv2.resize(pixels * weights[..., None], half, interpolation=cv2.INTER_AREA)
    means = sums.reshape(*small.shape, 3) / np.maximum(small, 1e-6)[..., None]
    around = cv2.resize(_filled(means, (small > 0).astype(np.float32)), (columns, rows))
    return np.asarray(np.where(weights[..., None] > 0, pixels, around.reshape(pixels.shape)))


def chosen_palette(typical: tuple[int, int, int], colors: Colors, most: int) -> list[tuple[int, int, int]]:
    """Return at most `most` colours, `typical` first, of which one is within 2 grey levels of almost all.

    `colors` is (n, 3); those that no glass has do not count. Each further colour is the one to which most
    of the others are near that have none yet.
    """
    palette = [typical]
    whole = np.rint(colors).astype(np.int16)
    seen, counts = np.unique(whole[can_be_glass(whole)], axis=0, return_counts=True)
    lonely = ~_are_near(seen, np.array(typical, np.int16))
    while len(palette) < most and counts[lonely].sum() > (1 - _ALMOST_ALL) * counts.sum():
        rest, weights = seen[lonely], counts[lonely]
        gains = [int(weights[_are_near(rest, color)].sum()) for color in rest]
        best = rest[int(np.argmax(gains))]
        palette.append((int(best[0]), int(best[1]), int(best[2])))
        lonely &= ~_are_near(seen, best)
    return palette


def nearest(palette: Sequence[tuple[int, int, int]], colors: Colors) -> NDArray[np.uint8]:
    """Return for each of the colours, (..., 3), the index of the palette's colour that is nearest to it."""
    distances = [np.abs(colors - np.array(shade, np.float32)).max(axis=-1) for shade in palette]
    return np.asarray(np.argmin(distances, axis=0), np.uint8)


def _are_near(colors: NDArray[np.int16], color: NDArray[np.int16]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(colors - color).max(axis=-1) <= _NEAR)


def _spans(length: int, tile: int, covered: float, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first and the last overview pixel under each tile along an axis of `length` level pixels.

    `covered` is how many overview pixels the level covers, and `count` how many there are.
    """
    edges = np.minimum(np.arange(-(-length // tile) + 1) * tile, length) * (covered / length)
    first = np.clip(np.floor(edges[:-1]), 0, count - 1).astype(np.intp)
    return first, np.clip(np.ceil(edges[1:]), first + 1, count).astype(np.intp)
