"""A file's bytes through a window of bounded size, however large the file is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TypeAlias

ReadBytes: TypeAlias = Callable[[int, int], bytes]
"""Called with (offset, count); returns the bytes, fewer where the file ends."""

_CHUNK_BYTES, _CHUNKS = 1 << 20, 16
_BEHIND_BYTES = 4
"""The bytes behind a chunk that are read with it: a pattern of up to five bytes lies in one chunk."""


class ByteWindow:
    """The bytes of a file, of which the chunks in use are kept.

    Memory: 16 MiB.
    """

    def __init__(self, read: ReadBytes, size: int) -> None:
        self.size = size
        """The file's bytes."""
        self.read = read
        self._chunk = lru_cache(_CHUNKS)(self._read_chunk)

    def _read_chunk(self, number: int) -> bytes:
        return self.read(number * _CHUNK_BYTES, _CHUNK_BYTES + _BEHIND_BYTES)

    def at(self, start: int, count: int) -> bytes:
        """Return `count` bytes from `start` on, fewer at the end of the file."""
        number, place = divmod(start, _CHUNK_BYTES)
        if place + count <= _CHUNK_BYTES + _BEHIND_BYTES:
            return self._chunk(number)[place : place + count]
        return self.read(start, count)

    def find(self, pattern: re.Pattern[bytes], start: int, end: int | None = None) -> int:
        """Return the offset of the first match of a pattern of up to five bytes; -1 where there is none.

        The match begins in [start, end), by default up to the end of the file.
        """
        end = self.size if end is None else min(end, self.size)
        for begin, chunk, first, last in self._parts(start, end):
            found = pattern.search(chunk, first)
            if found is not None and found.start() < last:
                return begin + found.start()
        return -1

    def _parts(self, start: int, end: int) -> Iterator[tuple[int, bytes, int, int]]:
        """Yield (offset of the chunk, its bytes, first and last place in it) of all chunks of a range."""
        for number in range(start // _CHUNK_BYTES, -(-end // _CHUNK_BYTES)):
            begin = number * _CHUNK_BYTES
            first, last = max(0, start - begin), min(_CHUNK_BYTES, end - begin)
            if first < last:
                yield begin, self._chunk(number), first, last
