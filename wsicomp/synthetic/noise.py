"""Smooth random fields: periodic ones for textures, open ones for the layout of a slide.

Everything organic on a synthetic slide comes from these few fields. They are cubic B-splines through random
numbers, since a spline can be evaluated at any place at any downsample without holding the whole slide.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SPLINE_SPREAD = 0.48
"""About the standard deviation of a cubic B-spline through unit noise; division by it gives spread 1."""
LARGEST_MATRIX = 128
NO_SUMMAND = np.empty((0, 0), np.float32)


def spline_weights(fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the four cubic B-spline weights, (n, 4), at `fraction`, (n,) in [0, 1], between two knots."""
    t = fraction
    first = (1 - t) ** 3
    second = 3 * t**3 - 6 * t**2 + 4
    third = -3 * t**3 + 3 * t**2 + 3 * t + 1
    return np.asarray(np.stack([first, second, third, t**3], axis=-1) / 6)


def spline_matrix(positions: NDArray[np.float64], knots: int, *, periodic: bool = False) -> Floats:
    """Return the (positions, knots) matrix that evaluates a B-spline of `knots` values at `positions`.

    Positions are in knots. Beyond the ends a periodic spline wraps, and an open one repeats its end value.
    """
    start = np.floor(positions).astype(np.int64)
    weights = spline_weights(positions - start)
    matrix = np.zeros((positions.size, knots))
    rows = np.arange(positions.size)
    for step in range(4):
        column = start + step - 1
        column = column % knots if periodic else np.clip(column, 0, knots - 1)
        np.add.at(matrix, (rows, column), weights[:, step])
    return matrix.astype(np.float32)


def product(*matrices: Floats) -> Floats:
    """Return the matrices multiplied from left to right.

    OpenCV does it, since a BLAS with threads of its own takes a hundred times as long for matrices this small
    on a busy machine.
    """
    result = matrices[0]
    for matrix in matrices[1:]:
        result = np.asarray(cv2.gemm(result, matrix, 1.0, NO_SUMMAND, 0.0), dtype=np.float32)
    return result


def open_noise(rng: np.random.Generator, shape: tuple[int, ...], wavelength: float) -> Floats:
    """Return smooth noise of `shape` as float32, mean about 0 and spread about 1.

    `wavelength` is in samples.
    """
    axes = []
    for count in shape:
        positions = np.arange(count) / max(wavelength, 1.0) + rng.uniform(1, 2)
        axes.append(spline_matrix(positions, int(positions[-1]) + 3))
    knots = rng.standard_normal((axes[0].shape[1], axes[1].shape[1])).astype(np.float32)
    return product(axes[0], knots, _transposed(axes[1])) / np.float32(SPLINE_SPREAD)


def periodic_noise(rng: np.random.Generator, period: int, wavelengths: tuple[float, float]) -> Floats:
    """Return noise of shape (period, period) that tiles seamlessly, mean 0 and spread 1.

    `wavelengths` are (along x, along y) in pixels; each is rounded to one that divides the period.
    """
    columns, rows = (_knots(period, wavelength) for wavelength in wavelengths)
    knots = rng.standard_normal((rows, columns), dtype=np.float32)
    turned = _stretch(_transposed(_stretch(knots, period)), period)
    centred = np.subtract(turned, turned.mean(), dtype=np.float32)
    centred /= np.float32(max(float(centred.std()), 1e-6))
    return _transposed(centred)


def _transposed(matrix: Floats) -> Floats:
    """Return the matrix transposed, with its rows contiguous. OpenCV does it in a fifth of NumPy's time."""
    return np.asarray(cv2.transpose(matrix), dtype=np.float32)


def _knots(period: int, wavelength: float) -> int:
    power = round(np.log2(period / max(wavelength, 1.0)))
    return int(min(max(2**power, 4), period))


def _stretch(knots: Floats, period: int) -> Floats:
    """Return the rows of `knots`, (count, other), interpolated periodically to `period` rows."""
    count = knots.shape[0]
    if count == period:
        return knots
    if count <= LARGEST_MATRIX:
        positions = (np.arange(period) + 0.5) * count / period - 0.5
        return product(spline_matrix(positions, count, periodic=True), np.ascontiguousarray(knots))
    pad, scale = 4, period // count
    padded = np.concatenate([knots[-pad:], knots, knots[:pad]])
    long = cv2.resize(padded, (padded.shape[1], padded.shape[0] * scale), interpolation=cv2.INTER_CUBIC)
    return np.asarray(long[pad * scale : pad * scale + period], dtype=np.float32)


def periodic_octaves(rng: np.random.Generator, period: int, wavelengths: Sequence[float]) -> Floats:
    """Return a sum of seamless isotropic fields, (period, period), of spread 1.

    `wavelengths` are in pixels; longer ones are stronger.
    """
    total = np.zeros((period, period), np.float32)
    for wavelength in wavelengths:
        total += periodic_noise(rng, period, (wavelength, wavelength)) * np.float32(wavelength**0.62)
    return total / np.float32(max(float(total.std()), 1e-6))


def displaced(image: Floats, along_x: Floats | np.float32, along_y: Floats | np.float32) -> Floats:
    """Return an image read at places that two fields move; it repeats beyond its edges.

    `along_x` and `along_y` are in the image's pixels: of its (rows, columns), or one number each.
    """
    rows, columns = image.shape[:2]
    map_x, map_y = (np.empty((rows, columns), np.float32) for _ in range(2))
    np.add(np.arange(columns, dtype=np.float32)[None, :], along_x, out=map_x)
    np.add(np.arange(rows, dtype=np.float32)[:, None], along_y, out=map_y)
    moved = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(moved, dtype=np.float32)
