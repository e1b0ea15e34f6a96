"""How bright bare glass is on a slide, and pixels as if it were as bright everywhere."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.slide import Pixels
from wsicomp.tissue.overview import Overview

WhitePoint = NDArray[np.float32]
"""(3,) RGB of bare glass, 1 to 255."""

GLASS_AT = 235.0
"""The grey level that glass has in even light."""

MOST_TINT = 32.0
"""By how many grey levels the channels of bare glass may differ; what is more coloured is stained."""

DARKEST_GLASS = 40.0
"""Grey level below which nothing is taken for glass, however dark the scan."""

_BRIGHTEST = 0.1
_PADDING = 254
_ALIKE = 6
_LEAST_GLASS = 0.15
_SAMPLES_A_SIDE = 512


def find_white_point(overview: Overview) -> WhitePoint:
    """The median colour of the brightest tenth of a slide, if that is glass: hardly tinted, and much alike.

    Scanners pad with pure white: beside it something grey is the glass, but beside nothing that looks like
    glass it is the glass itself, overexposed. A slide that shows no glass at all keeps its colours: the
    light is then as white as its brightest tissue is bright.
    """
    rows, columns = overview.pixels.shape[:2]
    step = max(1, max(rows, columns) // _SAMPLES_A_SIDE)
    colors = overview.pixels[::step, ::step].reshape(-1, 3)
    scanned = colors[colors.min(axis=1) < _PADDING]
    if len(scanned):
        light = _brightest(scanned)
        alike = (np.abs(scanned - light) <= _ALIKE).all(axis=1)
        is_glass = np.ptp(light) <= MOST_TINT and light.min() >= DARKEST_GLASS
        if is_glass and alike.mean() >= _LEAST_GLASS:
            return light
    return np.full(3, max(_brightest(colors).max(), DARKEST_GLASS), np.float32)


def _brightest(colors: Pixels) -> WhitePoint:
    brightness = colors.sum(axis=1, dtype=np.int32)
    brightest = colors[brightness >= np.quantile(brightness, 1 - _BRIGHTEST)]
    light: WhitePoint = np.maximum(np.median(brightest, axis=0), 1).astype(np.float32)
    return light


def white_balanced(pixels: Pixels, light: WhitePoint) -> Pixels:
    """Pixels scaled channel by channel so that glass has `GLASS_AT`; what is brighter than 255 is 255."""
    levels = np.arange(256)[:, None] * (GLASS_AT / light)
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(pixels, table[None]), np.uint8)
