"""The colour of bare glass on one slide: a smooth surface, fitted to what a mask calls glass.

This module must not know which tiles are glass, nor what lies on them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.slide import Pixels
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overview import Overview
from wsicomp.tissue.padding import Padding
from wsicomp.tissue.white_balance import DARKEST_GLASS, MOST_TINT

_ALIKE = 8.0
_LEAST_SHARE = 0.01
_TINT_RANGE = 16.0
_SAMPLES_A_SIDE = 192
_WELL_POSED = 1e6
"""The condition of normal equations up to which their solution is as good as a float32."""
_ROUNDING = 1e-5
"""The part of the coefficients by which colours as float32 may be off."""


@dataclass(frozen=True)
class GlassColor:
    """The colour of bare glass on one slide: a smooth RGB surface, since lamps and slides are uneven.

    `coefficients` is (6, 3) float64: a quadratic over the slide with both axes from -1 to 1.
    """

    coefficients: NDArray[np.float64]

    def at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the colours at positions on the slide, (3, ..., rows, columns) float32 RGB.

        `x` is (..., columns) and `y` is (..., rows); both run from 0 to 1 across the slide.
        """
        u = (x * 2 - 1).astype(np.float32)[..., None, :]
        v = (y * 2 - 1).astype(np.float32)[..., :, None]
        of_each = self.coefficients.astype(np.float32).reshape(6, 3, *[1] * max(u.ndim, v.ndim))
        constant, by_x, by_y, by_xx, by_xy, by_yy = of_each
        return np.asarray(
            (constant + by_x * u + by_xx * u * u) + (by_y * v + by_yy * v * v) + by_xy * (u * v)
        )

    def bounds(self, x: tuple[float, float], y: tuple[float, float]) -> list[tuple[float, float]]:
        """Return for red, green and blue the values between which all colours of a rectangle lie.

        `x` and `y` are the rectangle's sides, from 0 to 1 across the slide. Tiles are many and small, so this
        is quick rather than tight.
        """
        u, v, right, down = x[0] + x[1] - 1, y[0] + y[1] - 1, x[1] - x[0], y[1] - y[0]
        found = []
        for constant, by_x, by_y, by_xx, by_xy, by_yy, rounding in self._by_channel:
            middle = constant + u * (by_x + by_xx * u + by_xy * v) + v * (by_y + by_yy * v)
            reach = right * abs(by_x + 2 * by_xx * u + by_xy * v) + right * right * abs(by_xx)
            reach += down * abs(by_y + 2 * by_yy * v + by_xy * u) + down * down * abs(by_yy)
            reach += right * down * abs(by_xy) + rounding
            found.append((middle - reach, middle + reach))
        return found

    @cached_property
    def _by_channel(self) -> list[list[float]]:
        """Each channel's coefficients, and by how much its colours may be off as float32."""
        rounding = _ROUNDING * np.abs(self.coefficients).sum(axis=0, keepdims=True)
        return [*np.vstack([self.coefficients, rounding]).T.tolist()]

    @property
    def typical(self) -> tuple[int, int, int]:
        """The RGB colour in the middle of the slide."""
        red, green, blue = np.clip(np.rint(self.coefficients[0]), 0, 255).astype(int).tolist()
        return red, green, blue


_WHITE = GlassColor(np.vstack([np.full((1, 3), 255.0), np.zeros((5, 3))]))


def can_be_glass(colors: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which of the colours, (..., 3), glass can have: hardly tinted, and not darker than any scan."""
    return np.asarray((np.ptp(colors, axis=-1) <= MOST_TINT) & (colors.min(axis=-1) >= DARKEST_GLASS))


def fit_glass_color(overview: Overview, mask: TissueMask, padding: Padding | None = None) -> GlassColor:
    """Return the colour of the mask's glass, by a least-squares fit that outliers hardly change.

    It is white if the mask has no glass, or its glass is more coloured or darker than glass can be; nothing
    is removed then. Black padding is left out, and so is white padding, unless what remains does not look
    like glass: then the white may be overexposed glass.
    """
    samples = overview.pixels[:: _stride(overview, 0), :: _stride(overview, 1)]
    y, x = ((np.arange(count) + 0.5) / count for count in samples.shape[:2])
    black, white = (
        _at(padding.black if padding else None, x, y),
        _at(padding.white if padding else None, x, y),
    )
    is_glass = ~_at(mask, x, y) & ~black
    if (is_glass & ~white).sum() >= _LEAST_SHARE * is_glass.sum() > 0 and (white & is_glass).any():
        color, residual = _fitted(samples, is_glass & ~white, x, y)
        if color is not None and residual <= _ALIKE:
            return color
    return _fitted(samples, is_glass, x, y)[0] or _WHITE


def _at(mask: TissueMask | None, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return a mask at places across the slide that run from 0 to 1; all False for None."""
    if mask is None:
        return np.zeros((len(y), len(x)), np.bool_)
    return mask.at(x * mask.slide.width, y * mask.slide.height)


def _fitted(
    samples: Pixels, chosen: NDArray[np.bool_], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[GlassColor | None, float]:
    """Return (the colour of the chosen samples, their median distance from it).

    (None, infinity) if no glass looks like that.
    """
    rows, columns = np.nonzero(chosen)
    if not rows.size:
        return None, math.inf
    colors = np.ascontiguousarray(samples[rows, columns].T, np.float64)
    neutral = _most_neutral(colors)
    colors, columns, rows = colors[:, neutral], columns[neutral], rows[neutral]
    terms = _quadratic(x[columns] * 2 - 1, y[rows] * 2 - 1)
    weights = np.ones(len(rows))
    for _ in range(8):
        coefficients = _solved(terms, colors, weights)
        off = colors - np.einsum("ic,in->cn", coefficients, terms)
        residual = np.sqrt(np.einsum("cn,cn->n", off, off))
        weights = 1 / (1 + (residual / (2 * np.median(residual) + 1)) ** 2)
    if not can_be_glass(coefficients[0]):
        return None, math.inf
    return GlassColor(coefficients), float(np.median(residual))


def _solved(
    terms: NDArray[np.float64], colors: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the coefficients, (terms, 3), by which the weighted squares of what is left over are least.

    The normal equations take a tenth of the time, and are exact enough where glass is not in one corner only.
    """
    weighted = terms * weights
    # Not by BLAS: its threads spin, and gain nothing on six rows.
    products, sums = (np.einsum("in,jn->ij", weighted, values) for values in (terms, colors))
    if np.linalg.cond(products) < _WELL_POSED:
        return np.linalg.solve(products, sums)
    root = np.sqrt(weights)
    return np.asarray(np.linalg.lstsq((terms * root).T, (colors * root).T, rcond=None)[0], np.float64)


def _most_neutral(colors: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which colours, (3, n), may be glass: pale tissue that the mask missed is pinker.

    Glass itself may be tinted. Its tint is that of the least saturated 2 % of the brighter half.
    """
    saturation = np.ptp(colors, axis=0)
    brightness = colors.sum(axis=0)
    tint = np.percentile(saturation[brightness >= np.median(brightness)], 2)
    return np.asarray(saturation <= tint + _TINT_RANGE)


def _stride(overview: Overview, axis: int) -> int:
    return max(1, int(overview.pixels.shape[axis]) // _SAMPLES_A_SIDE)


def _quadratic(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the terms of a quadratic at places, (6, n)."""
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])
