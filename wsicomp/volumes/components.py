"""Parts of a mask in three dimensions, found slice by slice: which hang together, and how large each is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.tissue.bits import BitMask
from wsicomp.volumes.volume import VoxelMask


def large_parts(masks: Sequence[BitMask], least_share: float) -> Iterator[VoxelMask]:
    """Yield the mask of each slice, (rows, columns), without parts that are small beside the largest one.

    A part hangs together by the eight neighbours in a slice and the same place in the next. It stays if it
    has at least `least_share` of the largest part's voxels; with 1, the largest alone.

    Memory: a few slices, and a number for each part of a slice.
    """
    parts = _Parts()
    below: NDArray[np.int32] | None = None
    for mask in masks:
        labels, sizes = _labelled(mask)
        parts.add(sizes)
        if below is not None:
            parts.join(below, labels)
        below = labels
    is_large = parts.is_large(least_share)
    for number, mask in enumerate(masks):
        labels, _ = _labelled(mask)  # again, since labels of all slices take 32 times the mask's memory
        yield is_large[number][labels]


def without_holes(mask: VoxelMask) -> VoxelMask:
    """Return the mask of a slice, (rows, columns), with all that it encloses.

    What touches an edge of the slice is not enclosed.
    """
    outside = np.pad(~mask, 1, constant_values=True).view(np.uint8)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    return np.asarray(labels[1:-1, 1:-1] != labels[0, 0])


class _Parts:
    """Parts of slices, joined where they touch."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._sizes: list[int] = []
        self._starts: list[int] = []

    def add(self, sizes: NDArray[np.int64]) -> None:
        """Add a slice's parts; the first of `sizes` is of what is in none."""
        self._starts.append(len(self._parents))
        self._parents.extend(range(len(self._parents), len(self._parents) + len(sizes)))
        self._sizes.extend([0, *sizes[1:].tolist()])

    def join(self, below: NDArray[np.int32], labels: NDArray[np.int32]) -> None:
        """Join the parts of the last two slices where they lie over each other."""
        touching = (below > 0) & (labels > 0)
        pairs = np.unique(below[touching].astype(np.int64) << 32 | labels[touching])
        for pair in pairs.tolist():
            first = self._root(self._starts[-2] + (pair >> 32))
            second = self._root(self._starts[-1] + (pair & 0xFFFFFFFF))
            self._parents[second] = first

    def is_large(self, least_share: float) -> list[NDArray[np.bool_]]:
        """Return for each slice whether each of its parts belongs to a large whole."""
        roots = np.array([self._root(number) for number in range(len(self._parents))], np.intp)
        totals = np.bincount(roots, np.array(self._sizes, np.float64))
        large = (totals >= max(1.0, least_share * totals.max()))[roots]
        ends = [*self._starts[1:], len(self._parents)]
        found = [large[start:end].copy() for start, end in zip(self._starts, ends, strict=True)]
        for each in found:
            each[0] = False
        return found

    def _root(self, number: int) -> int:
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number


def _labelled(mask: BitMask) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    pixels = mask.pixels().view(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(pixels, connectivity=8)
    return np.asarray(labels, np.int32), stats[:, cv2.CC_STAT_AREA].astype(np.int64)
