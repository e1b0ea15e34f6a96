"""Masks of one bit a pixel: an eighth of the memory, and 64 pixels at a time in a machine word.

A mask grows by a disc several times as fast as with OpenCV, to the same pixels: a disc is a stack of lines,
the longest in its middle. The mask is widened step by step from the shortest line to the longest, and each
width is drawn above and below by the row in which the disc has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_SMALL_PX = 16
_MOST_LINES = 128
_WORD = 64

Words = NDArray[np.uint64]
"""(rows, words) little-endian uint64: bit i of word j is pixel 64 * j + i of the row."""


@dataclass(frozen=True)
class BitMask:
    """A mask of (rows, columns) bool in one bit a pixel."""

    words: Words
    """The rows, filled up with False."""
    columns: int
    """The number of pixels in a row."""

    @classmethod
    def of(cls, pixels: NDArray[np.bool_]) -> BitMask:
        """Return a mask, (rows, columns) bool, in bits."""
        rows, columns = pixels.shape
        octets = np.zeros((rows, -(-columns // _WORD) * 8), np.uint8)
        octets[:, : -(-columns // 8)] = np.packbits(pixels, axis=1, bitorder="little")
        return cls(octets.view("<u8"), columns)

    @classmethod
    def stacked(cls, parts: Sequence[BitMask]) -> BitMask:
        """Return masks of equally long rows as one, the first at the top."""
        return cls(np.concatenate([part.words for part in parts]), parts[0].columns)

    @property
    def shape(self) -> tuple[int, int]:
        """The rows and columns of the mask."""
        return len(self.words), self.columns

    def pixels(self, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.bool_]:
        """Return a part of the mask, (rows, columns) bool, as a copy."""
        first, end, _ = columns.indices(self.columns)
        octets = self._octets[rows, first // 8 : -(-end // 8)]
        unpacked = np.unpackbits(octets, axis=1, bitorder="little")[:, first % 8 : first % 8 + end - first]
        return np.asarray(unpacked.view(np.bool_))

    def at(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return the mask where these rows cross these columns, (len(rows), len(columns)) bool."""
        whole = np.unpackbits(self._octets[rows], axis=1, bitorder="little")
        return np.asarray(whole.take(columns, axis=1).view(np.bool_))

    def dilated(self, radius_x: int, radius_y: int) -> BitMask:
        """Return the mask grown by an ellipse of these radii, in pixels.

        Where one is over 16 px, both are the larger one: then everything within this distance is True.

        Memory: as much as the mask; 6 bytes for each of its pixels with a radius over 128 px.
        """
        if not self.words.any():
            return self
        radius = max(radius_x, radius_y)
        if radius <= _MOST_LINES:
            return BitMask(_grown(self.words, _half_widths(radius_x, radius_y)), self.columns)
        # Here the number of lines counts; the distance to the nearest tissue costs the same for any radius.
        is_outside = (~self.pixels()).view(np.uint8)
        return BitMask.of(cv2.distanceTransform(is_outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius)

    def with_neighbours(self) -> BitMask:
        """Return the mask grown by the eight neighbours of each pixel."""
        return BitMask(_grown(self.words, [1, 1]), self.columns)

    @property
    def _octets(self) -> NDArray[np.uint8]:
        return self.words.view(np.uint8)


def _half_widths(radius_x: int, radius_y: int) -> list[int]:
    """Return how far an ellipse reaches beside its middle, in the middle row and in each row above it."""
    radius = max(radius_x, radius_y)
    if radius > _SMALL_PX:
        return [math.isqrt(radius**2 - row**2) for row in range(radius + 1)]
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_x + 1, 2 * radius_y + 1))
    return [int(width) // 2 for width in ellipse[radius_y:].sum(axis=1)]


def _grown(words: Words, half_widths: list[int]) -> Words:
    """Return the rows grown by a shape of these half widths. What grows past the last column is not cut."""
    rows, grown, reached = len(words), np.zeros_like(words), 0
    for row in range(len(half_widths) - 1, -1, -1):
        while reached < half_widths[row]:
            # A longer step would leave a gap at the picture's edge.
            step = min(half_widths[row] - reached, reached + 1, _WORD - 1)
            words, reached = _widened(words, step), reached + step
        if row < rows:
            grown[row:] |= words[: rows - row]
            grown[: rows - row] |= words[row:]
    return grown


def _widened(words: Words, step: int) -> Words:
    """Return the rows, and the same moved right and moved left by `step` pixels, 1 to 63."""
    by, rest = np.uint64(step), np.uint64(_WORD - step)
    widened = words | (words << by)
    widened |= words >> by
    widened[:, 1:] |= words[:, :-1] >> rest
    widened[:, :-1] |= words[:, 1:] << rest
    return widened
