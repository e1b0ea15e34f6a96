"""Measures of how far a picture is from another: SSIM, MS-SSIM, PSNR, and the local colour shift they miss.

Pictures are (rows, columns, 3) uint8 RGB of equal shape.

Source: Wang et al. 2004 (SSIM: Gaussian window of 11 px, sigma 1.5, K 0.01 and 0.03, the mean over the three
channels) and Wang et al. 2003 (MS-SSIM: five scales and their weights).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Size
from wsicomp.slide import Pixels

LEAST_SIDE_PX = 11
"""The smallest side, in pixels, of a picture that has an SSIM: the side of SSIM's window."""
_WINDOW_PX = LEAST_SIDE_PX
_WINDOW = cv2.getGaussianKernel(_WINDOW_PX, 1.5, cv2.CV_32F)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
LEAST_SIDE_OF_SCALES_PX = LEAST_SIDE_PX << (len(_SCALE_WEIGHTS) - 1)
"""The smallest side, in pixels, of a picture that has an MS-SSIM: the window's on the coarsest scale."""
COLOR_BLOCK_PX = 16
"""The side, in pixels, of the blocks whose mean colours are compared: 4 um at 40x, about a nucleus."""

_Planes = NDArray[np.float32]


@dataclass(frozen=True)
class Fidelity:
    """The fidelity of a decoded picture to the picture that was encoded."""

    ssim: float
    """Structural similarity, at most 1."""
    psnr: float
    """In dB, infinite for equal pictures."""
    color_shift: float
    """The largest difference between mean colours of blocks of 16 x 16 px, in grey levels of one channel.

    It finds the brown spots that SSIM does not see.
    """


def fidelity(first: Pixels, second: Pixels, visible: Size | None = None) -> Fidelity:
    """Return SSIM, PSNR in dB and colour shift in grey levels of two pictures of at least 11 px a side.

    `visible` is the part from the upper left corner that lies inside the level; by default all of it. PSNR
    and colour shift are of that part. SSIM is of the same part, extended to 11 px a side if it is smaller.

    >>> import numpy as np
    >>> picture = np.zeros((16, 16, 3), np.uint8)
    >>> fidelity(picture, picture + 1).psnr
    48.1308036086791

    Raises:
        ValueError: the shapes differ, or a side is under 11 px.
    """
    visible = visible or Size(first.shape[1], first.shape[0])
    inside = np.s_[: visible.height, : visible.width]
    return Fidelity(
        ssim_inside(first, second, visible),
        psnr(first[inside], second[inside]),
        color_shift(first[inside], second[inside]),
    )


def ssim_inside(first: Pixels, second: Pixels, visible: Size) -> float:
    """Return the SSIM of the part `visible` from the upper left corner, extended to 11 px a side if smaller.

    Raises:
        ValueError: the shapes differ, or a side is under 11 px.
    """
    window = np.s_[: max(visible.height, LEAST_SIDE_PX), : max(visible.width, LEAST_SIDE_PX)]
    return ssim(first[window], second[window])


def ssim(first: Pixels, second: Pixels) -> float:
    """Return the mean structural similarity, at most 1.

    Raises:
        ValueError: the shapes differ, or a side is under 11 px.
    """
    _check(first, second, _WINDOW_PX)
    channels, _ = _channel_similarity(first, second)
    return float(channels.mean())


def similarities(first: Pixels, second: Pixels) -> tuple[float, float]:
    """Return (SSIM, MS-SSIM) in the time that MS-SSIM alone takes.

    Raises:
        ValueError: the shapes differ, or a side is under 176 px.
    """
    _check(first, second, LEAST_SIDE_OF_SCALES_PX)
    parts = [_channel_similarity(first, second)]
    here, there = first.astype(np.float32), second.astype(np.float32)
    for _ in _SCALE_WEIGHTS[1:]:
        here, there = _halved(here), _halved(there)
        parts.append(_channel_similarity(here, there))
    contrasts = [np.maximum(contrast, 0) for _, contrast in parts[:-1]]
    factors = [*contrasts, np.maximum(parts[-1][0], 0)]
    channels = np.prod([factor**weight for factor, weight in zip(factors, _SCALE_WEIGHTS, strict=True)], 0)
    return float(parts[0][0].mean()), float(channels.mean())


def psnr(first: NDArray[Any], second: NDArray[Any], peak: float = 255.0) -> float:
    """Return the peak signal-to-noise ratio over all samples in dB, infinite for equal pictures.

    Both are of one dtype, of any that OpenCV has, and of any number of axes.

    Raises:
        ValueError: the shapes differ.
    """
    _check(first, second, 1)
    return psnr_of_squares(cv2.norm(first.ravel(), second.ravel(), cv2.NORM_L2SQR), first.size, peak)


def psnr_of_squares(squares: float, samples: int, peak: float) -> float:
    """Return the peak signal-to-noise ratio in dB of summed squared differences; infinite where they are 0.

    It serves what is too large to be compared at once.

    >>> psnr_of_squares(100.0, 100, 4096)
    72.24719895935549
    """
    return math.inf if squares == 0 else 10 * math.log10(peak**2 * samples / squares)


def color_shift(first: Pixels, second: Pixels) -> float:
    """Return the largest difference between mean colours of blocks of 16 x 16 px, in grey levels.

    It is the difference in one channel.

    Raises:
        ValueError: the shapes differ.
    """
    _check(first, second, 1)
    difference = first.astype(np.float32) - second
    rows, columns = (-(-side // COLOR_BLOCK_PX) for side in first.shape[:2])
    padding = rows * COLOR_BLOCK_PX - first.shape[0], columns * COLOR_BLOCK_PX - first.shape[1]
    difference = np.pad(difference, ((0, padding[0]), (0, padding[1]), (0, 0)), mode="edge")
    means = cv2.resize(difference, (columns, rows), interpolation=cv2.INTER_AREA)
    return float(np.abs(means).max())


def _channel_similarity(
    first: Pixels | _Planes, second: Pixels | _Planes
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, for each channel, SSIM and its term of contrast and structure alone.

    Guards ask this of every tile. So everything is computed in place over whole planes, whose margins are cut
    off last: new arrays and parts of arrays take a third of the time more.
    """
    product = cv2.multiply(first, second, dtype=cv2.CV_32F)
    contrast = _window_means(product)
    squares = cv2.multiply(first, first, dtype=cv2.CV_32F)
    squares += cv2.multiply(second, second, dtype=cv2.CV_32F)
    variances = _window_means(squares)
    mean_1, mean_2 = _window_means(first), _window_means(second)
    np.multiply(mean_1, mean_2, out=product)
    np.multiply(mean_1, mean_1, out=squares)
    mean_2 *= mean_2
    squares += mean_2
    contrast -= product
    variances -= squares
    contrast *= 2
    contrast += _C2
    variances += _C2
    contrast /= variances
    product *= 2
    product += _C1
    squares += _C1
    product *= contrast
    product /= squares
    return _channel_means(product), _channel_means(contrast)


def _channel_means(planes: _Planes) -> NDArray[np.float64]:
    """Return the mean of each channel over the pixels whose whole window lies inside the picture.

    OpenCV takes a tenth of the time that NumPy takes.
    """
    edge = _WINDOW_PX // 2
    inside = planes[edge : planes.shape[0] - edge, edge : planes.shape[1] - edge]
    return np.array(cv2.sumElems(inside)[:3]) / (inside.shape[0] * inside.shape[1])


def _window_means(planes: Pixels | _Planes) -> _Planes:
    """Return the Gaussian mean of each pixel's window; near the edge it is of no use."""
    return cast(_Planes, cv2.sepFilter2D(planes, cv2.CV_32F, _WINDOW, _WINDOW))


def _halved(planes: _Planes) -> _Planes:
    size = planes.shape[1] // 2, planes.shape[0] // 2
    halved = cv2.resize(planes[: size[1] * 2, : size[0] * 2], size, interpolation=cv2.INTER_AREA)
    return np.asarray(halved, np.float32)


def _check(first: NDArray[Any], second: NDArray[Any], least_px: int) -> None:
    if first.shape != second.shape or min(first.shape[:2]) < least_px:
        raise ValueError(
            f"shapes {first.shape} and {second.shape}, expected equal ones of at least {least_px} px a side"
        )
