"""White balance: how bright bare glass is on a slide, and pixels scaled as if it were the same everywhere."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.slide import Pixels
from wsicomp.tissue.overview import Overview

WhitePoint = NDArray[np.float32]
"""(3,) float32 RGB of bare glass, 1 to 255."""

GLASS_AT = 235.0
"""The grey level of glass in white-balanced pixels."""

MOST_TINT = 32.0
"""How many grey levels the channels of bare glass may differ; what is more coloured is stained."""

DARKEST_GLASS = 40.0
"""The grey level below which nothing counts as glass, however dark the scan."""

_BRIGHTEST = 0.1
_PADDING = 254
_ALIKE = 6
_LEAST_GLASS = 0.15
_SAMPLES_A_SIDE = 512


def find_white_point(overview: Overview) -> WhitePoint:
    """Return the median RGB colour of a slide's brightest tenth, if that is glass: hardly tinted, uniform.

    Scanners pad with pure white, so pure white is left out at first. If nothing else looks like glass, it is
    overexposed glass and counts. A slide without any glass keeps its colours: its white point is grey, as
    bright as its brightest tissue.
    """
    rows, columns = overview.pixels.shape[:2]
    step = max(1, max(rows, columns) // _SAMPLES_A_SIDE)
    colors = overview.pixels[::step, ::step].reshape(-1, 3)
    is_scanned = np.minimum(np.minimum(colors[:, 0], colors[:, 1]), colors[:, 2]) < _PADDING
    scanned = colors if is_scanned.all() else colors[is_scanned]
    if len(scanned):
        white_point = _brightest(scanned)
        is_glass = np.ptp(white_point) <= MOST_TINT and white_point.min() >= DARKEST_GLASS
        if is_glass and _part_alike(scanned, white_point) >= _LEAST_GLASS:
            return white_point
    return np.full(3, max(_brightest(colors).max(), DARKEST_GLASS), np.float32)


def _part_alike(colors: Pixels, white_point: WhitePoint) -> float:
    """Return the part of the colours, (n, 3), that are near to the white point in each channel."""
    alike = np.ones(len(colors), np.bool_)
    for channel, white in zip(colors.T, white_point, strict=True):
        alike &= (channel >= white - _ALIKE) & (channel <= white + _ALIKE)
    return float(alike.mean())


def _brightest(colors: Pixels) -> WhitePoint:
    brightness = colors[:, 0].astype(np.int32) + colors[:, 1] + colors[:, 2]
    brightest = colors[brightness >= np.quantile(brightness, 1 - _BRIGHTEST)]
    white_point: WhitePoint = np.maximum(np.median(brightest, axis=0), 1).astype(np.float32)
    return white_point


def white_balanced(pixels: Pixels, white_point: WhitePoint) -> Pixels:
    """Return pixels, (rows, columns, 3) uint8 RGB, scaled channel by channel so that glass gets `GLASS_AT`.

    Values over 255 become 255.
    """
    levels = np.arange(256)[:, None] * (GLASS_AT / white_point)
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(pixels, table[None]), np.uint8)
