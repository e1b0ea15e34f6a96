"""Foresees what will be read next of an original, by what was read so far.

Readers may come by several threads; what they read is guessed from all their reads together. A wrong guess
costs time and no more.
"""

from __future__ import annotations

from wsicomp.concurrency.forks import ForkLock

_AHEAD_BYTES = 1 << 22
"""How far ahead a sequential reader's bytes are foreseen, and how far apart its reads may come."""
_LEAST_IN_ROW_BYTES = 1 << 19
"""How many bytes have to be read in a row before any are foreseen."""
_SAME_ROW = 8
"""How far apart, in extents, the reads of one row of tiles may begin."""
_ALIKE = 3
"""By how many extents two steps from row to row may differ: reads begin at pages, not at tiles."""


class SequentialReads:
    """Foresees the bytes of a reader that goes on in order, at most `most` of them."""

    def __init__(self, total_bytes: int, most: int) -> None:
        self._total, self._most = total_bytes, min(most, _AHEAD_BYTES)
        self._lock = ForkLock()
        self._in_row, self._reached, self._begun = 0, -2 * _AHEAD_BYTES, 0

    def after(self, start: int, end: int) -> tuple[int, int]:
        """Return the bytes that follow a read and were not foreseen yet; none unless reads come in order.

        They grow with what was read in a row: who looks at a region of a slide reads a few tiles that adjoin,
        and none of the next. Reads that are near each other count as in order.
        """
        with self._lock:
            if not self._reached - _AHEAD_BYTES <= start <= self._reached + _AHEAD_BYTES // 4:
                self._in_row, self._reached, self._begun = 0, start, start
            self._in_row += max(0, end - max(start, self._reached))
            self._reached = max(self._reached, end)
            if self._in_row < _LEAST_IN_ROW_BYTES:
                return end, end
            begin = max(self._reached, self._begun)
            self._begun = max(begin, min(self._reached + min(self._in_row, self._most), self._total))
            return begin, self._begun


class RegionReads:
    """Foresees the next row of tiles of a reader that looks at regions.

    The rows of a region stand a constant count of tiles apart, upwards or downwards: that of the level's
    columns. It is learnt from two steps alike.
    """

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._row_start = self._row_end = self._first = 0
        self._step = self._last_step = 0

    def after(self, first: int, last: int) -> tuple[int, int]:
        """Return the extents to be read after `first` to `last`, the latter not included; may be none."""
        with self._lock:
            if self._row_start - _SAME_ROW <= first <= self._row_end + _SAME_ROW:
                self._row_start, self._row_end = min(first, self._row_start), max(last, self._row_end)
            else:
                step = first - self._first
                if abs(step - self._last_step) <= _ALIKE:
                    self._step = (step + self._last_step) // 2
                self._last_step, self._first, self._row_start, self._row_end = step, first, first, last
            if not self._step:
                return first, first
            return max(0, first + self._step - 1), max(0, last + self._step + 1)
