"""The colour of bare glass from place to place, and the few colours by which a file shows it.

Lamps are uneven, line scanners leave stripes, and a slide has glass with and without a cover slip: no smooth
surface has all of that, so the colours are those of the overview. This module must not know which tiles are
glass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import TileGrid
from wsicomp.slide import Pixels
from wsicomp.tissue.glass_color import can_be_glass
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overview import Overview

Colors = NDArray[np.float32]
"""(..., 3) float32 RGB."""
Part: TypeAlias = tuple[tuple[float, float], tuple[float, float]]
"""The part of a tile from a row to a row and from a column to a column, all from 0 to 1."""
WHOLE: Part = ((0.0, 1.0), (0.0, 1.0))

_NEAR, _FAR, _ALMOST_ALL = 1.5, 4.0, 95
"""Grey levels of the worst channel from a palette, within which are 95 % of the colours, and all of them."""
_MOST_SAMPLES = 4096
_ROUNDS = (cv2.TERM_CRITERIA_MAX_ITER + cv2.TERM_CRITERIA_EPS, 50, 0.01)
_SMOOTHED_PX, _REACH_PX, _STEP_LEVELS, _PASSES = 128, 11, 12, 3
"""Smoothed glass: its longer side, how far a pixel reaches, and the step of grey levels that stays sharp."""


@dataclass(frozen=True)
class BareGlass:
    """A slide's overview without what lies on its glass: in its place is the glass around it.

    It is made when it is first asked for: of many slides no tile is taken out.
    """

    overview: Overview
    """The overview with everything on it."""
    things: tuple[TissueMask, ...] = ()
    """Masks of all that is not bare glass."""

    @cached_property
    def pixels(self) -> Pixels:
        """The overview of the glass, (rows, columns, 3) uint8 RGB."""
        overview = self.overview
        rows, columns = overview.pixels.shape[:2]
        x, y = (np.arange(columns) + 0.5) * overview.scale_x, (np.arange(rows) + 0.5) * overview.scale_y
        is_glass = np.ones((rows, columns), np.bool_)
        for mask in self.things:
            is_glass &= ~mask.at(x, y)
        if is_glass.all() or max(rows, columns) == 1:
            return overview.pixels
        glass = is_glass.view(np.uint8)
        known = cv2.copyTo(overview.pixels, glass)
        around = cv2.convertScaleAbs(_around(known.astype(np.float32), is_glass.astype(np.float32)))  # rounds
        return np.asarray(cv2.copyTo(overview.pixels, glass, around), np.uint8)

    def smoothed(self) -> BareGlass:
        """Return the glass without stripes and spots; only steps of many grey levels stay sharp."""
        rows, columns = self.pixels.shape[:2]
        factor = max(1, -(-max(rows, columns) // _SMOOTHED_PX))
        size = (-(-columns // factor), -(-rows // factor))
        pixels = _blurred(cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA))
        scale_x, scale_y = (
            scale * before / now
            for scale, before, now in zip(
                (self.overview.scale_x, self.overview.scale_y), (columns, rows), size, strict=True
            )
        )
        overview = replace(self.overview, pixels=pixels, scale_x=scale_x, scale_y=scale_y, read_at=None)
        return BareGlass(overview)


def _blurred(pixels: Pixels) -> Pixels:
    """Return pixels without stripes and spots: a tenth of a second, however large the slide is."""
    for _ in range(_PASSES):
        pixels = np.asarray(cv2.bilateralFilter(pixels, -1, _STEP_LEVELS, _REACH_PX), np.uint8)
    return pixels


class AreaMeans:
    """The mean colours of areas of bare glass.

    Memory: 12 bytes for each pixel of the overview.
    """

    def __init__(self, glass: BareGlass) -> None:
        self._overview = glass.overview
        self._sums = cv2.integral(glass.pixels, sdepth=cv2.CV_32S)

    def of_tiles(self, grid: TileGrid, part: Part = WHOLE) -> Colors:
        """Return the mean colour of a part of each tile of a level, (rows, columns, 3)."""
        overview = self._overview
        rows, columns = overview.pixels.shape[:2]
        height, width = overview.slide.height / overview.scale_y, overview.slide.width / overview.scale_x
        top, bottom = _spans(grid.size.height, grid.tile.height, part[0], height, rows)
        left, right = _spans(grid.size.width, grid.tile.width, part[1], width, columns)
        down = self._sums[bottom] - self._sums[top]
        areas = np.outer(bottom - top, right - left)[..., None]
        return np.asarray((down[:, right] - down[:, left]) / areas, np.float32)


def _around(weighted: Colors, weights: NDArray[np.float32]) -> Colors:
    """Return for each pixel, (rows, columns, 3), the mean of the smallest box around it that has any weight.

    `weighted` are the pixels times their weights, which are 0 or 1.
    """
    rows, columns = weights.shape
    half = (-(-columns // 2), -(-rows // 2))
    small = cv2.resize(weights, half, interpolation=cv2.INTER_AREA)
    sums = cv2.resize(weighted, half, interpolation=cv2.INTER_AREA)
    del weighted  # as large as all that follows
    means = _filled(sums.reshape(*small.shape, 3) / np.maximum(small, 1e-6)[..., None], small > 0)
    return np.asarray(cv2.resize(means, (columns, rows)).reshape(rows, columns, 3), np.float32)


def _filled(pixels: Colors, is_known: NDArray[np.bool_]) -> Colors:
    """Return the pixels, those that are not known by what is around them."""
    if is_known.all() or max(is_known.shape) == 1:
        return pixels
    around = _around(pixels * is_known[..., None], is_known.astype(np.float32))
    return np.asarray(np.where(is_known[..., None], pixels, around))


def chosen_palette(typical: tuple[int, int, int], colors: Colors, most: int) -> list[tuple[int, int, int]]:
    """Return as few colours as are near to all of `colors`, at most `most`.

    `colors` is (n, 3). Those that no glass has do not count; without any, glass is `typical`. The colour
    nearest to `typical` is the first.
    """
    sample = colors[:: len(colors) // _MOST_SAMPLES + 1]
    sample = np.ascontiguousarray(sample[can_be_glass(np.rint(sample))], np.float32)
    palette, is_near = [typical], not len(sample)
    for count in range(1, min(most, len(sample)) + 1):
        palette = _clustered(sample, count)
        off = np.abs(sample - np.array(palette, np.float32)[nearest(palette, sample)]).max(axis=-1)
        is_near = np.percentile(off, _ALMOST_ALL) <= _NEAR and off.max() <= _FAR
        if is_near:
            break
    if len(palette) == 1 and not is_near:
        return [typical]  # where one has to do for padding, too, it is that of the glass
    return sorted(palette, key=lambda color: int(np.abs(np.subtract(color, typical)).max()))


def _clustered(colors: Colors, count: int) -> list[tuple[int, int, int]]:
    """Return the centres of so many clusters of colours, by k-means from groups of equal brightness."""
    centers = colors.mean(axis=0, keepdims=True)
    if count > 1:
        order = np.argsort(colors.sum(axis=1), kind="stable")
        labels = np.empty((len(colors), 1), np.int32)
        labels[order, 0] = np.arange(len(colors)) * count // len(colors)
        _, _, centers = cv2.kmeans(colors, count, labels, _ROUNDS, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    return [(int(red), int(green), int(blue)) for red, green, blue in np.unique(np.rint(centers), axis=0)]


def nearest(palette: Sequence[tuple[int, int, int]], colors: Colors) -> NDArray[np.uint8]:
    """Return for each of the colours, (..., 3), the index of the palette's colour that is nearest to it."""
    # Channel by channel the worst of three is found in a quarter of the time.
    channels = np.ascontiguousarray(np.moveaxis(colors, -1, 0))
    shades = np.array(palette, np.float32).reshape(-1, 3, *[1] * (colors.ndim - 1))
    distances = [np.abs(channels - shade).max(axis=0) for shade in shades]
    return np.asarray(np.argmin(distances, axis=0), np.uint8)


def _spans(
    length: int, tile: int, part: tuple[float, float], covered: float, count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first overview pixel under a part of each tile along an axis, and the one behind the last.

    The axis has `length` level pixels, which cover `covered` of the `count` overview pixels.
    """
    tiles = np.arange(-(-length // tile))
    start, end = (np.minimum((tiles + at) * tile, length) * (covered / length) for at in part)
    first = np.clip(np.floor(start), 0, count - 1).astype(np.intp)
    return first, np.clip(np.ceil(end), first + 1, count).astype(np.intp)
