"""Pictures that are read from the top, some rows at a time, so that none is ever whole in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Size


class SampleRows(Protocol):
    """A picture of one sample a pixel."""

    @property
    def size(self) -> Size:
        """Columns and rows."""
        ...

    def rows(self, top: int, bottom: int) -> NDArray[Any]:
        """Return the rows from `top` to before `bottom`, (rows, columns).

        `top` is never above that of an earlier call.
        """
        ...


class ArrayRows:
    """An array, (rows, columns), in memory or mapped from a file."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array

    @property
    def size(self) -> Size:
        return Size(self._array.shape[1], self._array.shape[0])

    def rows(self, top: int, bottom: int) -> NDArray[Any]:
        return np.asarray(self._array[top:bottom])


class BlockRows:
    """Rows that arrive in blocks, each (rows, columns), from the top.

    Memory: the rows asked for, and a block.
    """

    def __init__(self, size: Size, blocks: Iterator[NDArray[Any]]) -> None:
        self._size, self._blocks = size, blocks
        self._kept: list[NDArray[Any]] = []
        self._top = self._bottom = 0

    @property
    def size(self) -> Size:
        return self._size

    def rows(self, top: int, bottom: int) -> NDArray[Any]:
        while self._bottom < bottom:
            self._kept.append(next(self._blocks))
            self._bottom += len(self._kept[-1])
            self._drop(top)
        self._drop(top)
        if len(self._kept) > 1:
            self._kept = [np.concatenate(self._kept)]
        return self._kept[0][: bottom - top]

    def _drop(self, top: int) -> None:
        """Forget the rows above `top`."""
        while self._kept and self._top + len(self._kept[0]) <= top:
            self._top += len(self._kept.pop(0))
        if self._kept and self._top < top:
            self._kept[0] = self._kept[0][top - self._top :]
            self._top = top
