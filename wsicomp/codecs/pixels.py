"""A check of the pixels that codecs get, and the reduction that they share."""

from __future__ import annotations

import cv2
import numpy as np

from wsicomp.slide import Pixels, Rgba


class PartlyDecodedError(ValueError):
    """A tile whose bytes are damaged; `pixels` is the picture that the library decodes all the same."""

    def __init__(self, message: str, pixels: Pixels) -> None:
        super().__init__(message)
        self.pixels = pixels


def rgb(pixels: Pixels) -> Pixels:
    """Return the pixels, (rows, columns, 3) uint8, contiguous in memory, as C libraries need them.

    They are copied only if they are not contiguous.

    Raises:
        ValueError: the array is not (rows, columns, 3) uint8.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"{pixels.dtype} of shape {pixels.shape}, expected (rows, columns, 3) uint8")
    return np.ascontiguousarray(pixels)


def unchanged(pixels: Pixels) -> Pixels:
    """Return the picture itself, where another function makes something of one."""
    return pixels


def opaque(pixels: Pixels) -> Rgba:
    """Return an opaque picture of the same colours, (rows, columns, 4) uint8 RGBA.

    >>> opaque(np.full((1, 1, 3), 9, np.uint8)).tolist()
    [[[9, 9, 9, 255]]]
    """
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA), np.uint8)


def eighth(pixels: Pixels) -> Pixels:
    """Return a picture at an eighth of its size, (rows, columns, 3) uint8 RGB: means of 8 x 8 pixels.

    Blocks beyond the right and lower edge are filled with the last column and row.

    >>> eighth(np.full((20, 16, 3), 9, np.uint8)).shape
    (3, 2, 3)
    """
    rows, columns = -(-pixels.shape[0] // 8), -(-pixels.shape[1] // 8)
    below, beside = rows * 8 - pixels.shape[0], columns * 8 - pixels.shape[1]
    if below or beside:
        pixels = cv2.copyMakeBorder(pixels, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
