"""A level's stored pixels through OpenSlide, which interpolates at locations between them.

A location is a whole pixel of level 0. On a level whose downsample is not a whole number, only some pixels
can be read exactly: the first one, and those that fall on a whole pixel of level 0 as near as cairo can tell.
All pixels behind such a start, within one canvas of OpenSlide, are exact.

Source: openslide 4.0.1 `openslide.c` (canvases of 4096 px, each of whose corners is a whole pixel of level
0), `openslide-grid.c`; cairo 1.18 `cairo-matrix.c` (24.8 fixed point).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from wsicomp.concurrency.forks import ForkLock, fork_safe_property
from wsicomp.geometry import Region, Size
from wsicomp.slide import Pixels

CANVAS_PX = 4096
"""The side of the canvases in which OpenSlide paints a region.

Within one all pixels lie as its corner does.
"""
WHOLE = 1 / 600
"""The part of a pixel within which cairo takes an offset for whole: 1/512, here a little less to be sure."""
_MOST_CACHED_BYTES = 1 << 30
_MOST_OVERREAD = 4
"""A region is read anew up to this multiple of its area; beyond it, larger blocks are read and kept."""

Read = Callable[[tuple[int, int], Size], Pixels]
"""Returns the pixels of a level at a location of level 0, in one call of OpenSlide."""


def exact_starts(downsample: float, length: int) -> NDArray[np.int64]:
    """Return the pixels along one side of a level that OpenSlide reads exactly, as indices from 0.

    `length` is the side in the level's pixels.

    >>> exact_starts(2.5, 8).tolist()
    [0, 2, 4, 6]
    """
    pixels = np.arange(length)
    off = np.abs(np.rint(pixels * downsample) / downsample - pixels)
    return np.flatnonzero(off < WHOLE)


@dataclass(frozen=True)
class Span:
    """A part of one side of a region: pixels `first` to `end`, read from `start` on."""

    first: int
    """The first pixel of the part."""
    end: int
    """The pixel behind its last one."""
    start: int | None
    """The pixel at which the read starts; None where no exact start reaches the part."""
    limit: int
    """The pixel behind the last one that `start` reaches."""


class LevelReads:
    """Reads a level whose downsample is not a whole number from its exact starts. Any thread may read.

    Memory: for levels with few starts at most a gigabyte, or an eighth of the free memory.
    """

    def __init__(self, size: Size, downsample: float, read: Read) -> None:
        self._size = size
        self._downsample = downsample
        self._read = read
        self._lock = ForkLock(self)

    def renew(self) -> None:
        """Forget all blocks that are kept."""
        self.__dict__.pop("_blocks", None)

    @fork_safe_property
    def _starts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        width, height = self._size.width, self._size.height
        return exact_starts(self._downsample, width), exact_starts(self._downsample, height)

    @fork_safe_property
    def _blocks(self) -> LRUCache[tuple[int, int], Pixels]:
        import psutil  # noqa: PLC0415 -- few slides have levels that OpenSlide interpolates

        most = min(_MOST_CACHED_BYTES, psutil.virtual_memory().available // 8)
        return LRUCache(most, getsizeof=lambda pixels: pixels.nbytes)

    @property
    def reach(self) -> Size:
        """The size in pixels of the exact part of the level, from its upper left corner."""
        columns, rows = self._starts
        return Size(_reach(columns, self._size.width), _reach(rows, self._size.height))

    def read(self, region: Region) -> Pixels:
        """Return the pixels of a region in the level's own pixels, (rows, columns, 3) uint8 RGB.

        Pixels that no exact start reaches are interpolated by OpenSlide.
        """
        pixels = np.empty((*region.size.shape, 3), np.uint8)
        columns = list(_spans(self._starts[0], region.x, region.x + region.width, self._size.width))
        for row in _spans(self._starts[1], region.y, region.y + region.height, self._size.height):
            for column in columns:
                top, left = row.first - region.y, column.first - region.x
                bottom, right = row.end - region.y, column.end - region.x
                pixels[top:bottom, left:right] = self._part(column, row)
        return pixels

    def _part(self, column: Span, row: Span) -> Pixels:
        width, height = column.end - column.first, row.end - row.first
        if column.start is None or row.start is None:
            return self._from(column.first, row.first, Size(width, height))
        left, top = column.first - column.start, row.first - row.start
        whole = Size(left + width, top + height)
        if whole.width * whole.height <= _MOST_OVERREAD * width * height:
            pixels = self._from(column.start, row.start, whole)
        else:
            pixels = self._block(column, row)
        return pixels[top : top + height, left : left + width]

    def _block(self, column: Span, row: Span) -> Pixels:
        """Return all pixels that a start reaches, and keep them for the regions beside this one."""
        assert column.start is not None, "asked for what can be reached"
        assert row.start is not None, "asked for what can be reached"
        key = column.start, row.start
        with self._lock:
            pixels = self._blocks.get(key)
            if pixels is None:
                pixels = self._from(*key, Size(column.limit - column.start, row.limit - row.start))
                if pixels.nbytes <= self._blocks.maxsize:
                    self._blocks[key] = pixels
        return pixels

    def _from(self, x: int, y: int, size: Size) -> Pixels:
        return self._read((round(x * self._downsample), round(y * self._downsample)), size)


def _spans(starts: NDArray[np.int64], first: int, end: int, length: int) -> Iterator[Span]:
    """Yield the parts of a side of a region, each of which one start reaches."""
    while first < end:
        number = int(np.searchsorted(starts, first, "right")) - 1
        start = int(starts[number])
        after = int(starts[number + 1]) if number + 1 < len(starts) else length
        limit = min(start + CANVAS_PX, length)
        if first < limit:
            part = Span(first, min(end, limit), start, limit)
        else:
            part = Span(first, min(end, after), None, after)
        yield part
        first = part.end


def _reach(starts: NDArray[np.int64], length: int) -> int:
    """Return the count of pixels from the first on that starts reach without a gap."""
    ends = np.append(starts[1:], length)
    gaps = np.flatnonzero(ends > starts + CANVAS_PX)
    return length if not gaps.size else int(starts[gaps[0]]) + CANVAS_PX
