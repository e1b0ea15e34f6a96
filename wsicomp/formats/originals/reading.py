"""Reads any bytes of an original from the file that was made of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from wsicomp.concurrency.threads import ordered_map
from wsicomp.errors import SlideReadError, TileReadError
from wsicomp.formats.converted.tile_digests import tile_digest
from wsicomp.formats.originals.index import RebuildIndex
from wsicomp.formats.originals.read_ahead import RegionReads, SequentialReads
from wsicomp.formats.originals.unit_cache import UnitCache

_STEP_BYTES = 1 << 20
_owners = count()


class StoredBytes(Protocol):
    """A file of ours that is read by position, as `TiffFile` is."""

    @property
    def path(self) -> Path:
        """The path that errors name."""
        ...

    def read(self, offset: int, count: int, place: object) -> bytes:
        """Return `count` bytes from `offset` on.

        Raises:
            SlideReadError: the file ends before them, is closed, or cannot be read.
        """
        ...

    def close(self) -> None:
        """Close the file."""


@dataclass(frozen=True)
class OriginalIdentity:
    """The identity of an original file."""

    name: str | None
    """Its name, or its path in a packed slide; None where it is not known."""
    bytes: int
    """Its size."""
    sha256: str
    """Its SHA-256."""
    mtime_ns: int | None
    """The time of its last change in ns since 1970; None where it is not known."""


class OriginalBytes:
    """The bytes of an original, read by position. Any thread may read.

    Each unit is checked against its digest, so that damage is an error and never wrong bytes. `start` is the
    place of the original in the bytes that the index describes. `place_of` names a unit in errors.

    Memory: the index; what the cache keeps; a unit for each thread that reads.
    """

    def __init__(
        self,
        file: StoredBytes,
        index: RebuildIndex,
        identity: OriginalIdentity,
        cache: UnitCache | None = None,
        start: int = 0,
        place_of: Callable[[int], str | None] = lambda _: None,
    ) -> None:
        self.identity = identity
        """Its name, size, SHA-256 and time."""
        self._file, self._index, self._start, self._place_of = file, index, start, place_of
        self._cache = cache or UnitCache()
        self._owner = next(_owners)
        self._sequential = SequentialReads(identity.bytes, self._cache.capacity // 4)
        self._regions = RegionReads()

    @property
    def total_bytes(self) -> int:
        """Its size in bytes."""
        return self.identity.bytes

    def read(self, start: int, count: int) -> bytes:
        """Return `count` bytes from `start` on, fewer at the end, none behind it.

        Raises:
            SlideReadError: the file cannot be read, or is damaged there; a `TileReadError` where a tile is.
        """
        end = min(start + count, self.total_bytes)
        steps = range(start, end, _STEP_BYTES) if start >= 0 else range(0)
        return b"".join(part for at in steps for part in self._parts(at, min(at + _STEP_BYTES, end)))

    def _parts(self, start: int, end: int) -> Iterator[bytes]:
        first, last = self._extents(start, end)
        units, offsets, lengths = self._rows(first, last)
        self._begin(units[1:])  # this thread needs the first at once
        begin, stop = self._sequential.after(start, end)
        if begin < stop:
            self._begin(self._rows(*self._extents(begin, stop))[0])
        before = int(self._index.ends[first - 1]) if first else 0
        skipped, wanted = self._start + start - before, end - start
        for unit, offset, length in zip(units, offsets, lengths, strict=True):
            taken = min(length - skipped, wanted)
            data = self._unit(unit)
            yield data[offset + skipped : offset + skipped + taken]
            skipped, wanted = 0, wanted - taken
        if begin == stop:
            self._begin(self._rows(*self._regions.after(first, last))[0])

    def blocks(self, workers: int) -> Generator[bytes]:
        """Yield all bytes in order, unpacked by so many threads.

        Raises:
            SlideReadError: the file cannot be read, or is damaged.
        """
        starts = range(0, self.total_bytes, _STEP_BYTES)
        yield from ordered_map(lambda start: self.read(start, _STEP_BYTES), starts, workers)

    def close(self) -> None:
        """Close the file, and forget its units."""
        self._cache.forget(self._owner)
        self._file.close()

    def _extents(self, start: int, end: int) -> tuple[int, int]:
        """Return the first extent of a range, and the one behind its last."""
        ends = self._index.ends
        places = np.searchsorted(ends, [self._start + start, self._start + end - 1], "right")
        return int(places[0]), int(places[1]) + 1

    def _rows(self, first: int, last: int) -> tuple[list[int], list[int], list[int]]:
        extents = self._index.extents
        units, offsets, lengths = (
            column[first:last].tolist() for column in (extents.units, extents.offsets, extents.lengths)
        )
        return units, offsets, lengths

    def _begin(self, units: list[int]) -> None:
        """Let other threads unpack units."""
        for unit in dict.fromkeys(units):
            if self._index.form(unit).kind != "stored":
                self._cache.begin((self._owner, unit), partial(self._unpacked, unit))

    def _unit(self, unit: int) -> bytes:
        """Return what a unit unpacks to.

        Raises:
            SlideReadError: it cannot be read, or is damaged; a `TileReadError` where it is a tile.
        """
        try:
            return self._cache.get((self._owner, unit), partial(self._unpacked, unit))
        except ValueError as exc:
            place = self._place_of(unit)
            kind = SlideReadError if place is None else TileReadError
            message = f"damaged: {exc}; take the file from a copy"
            where = place or f"what rebuilds the original, piece {unit}"
            raise kind(message, self._file.path, where) from exc

    def _unpacked(self, unit: int) -> bytes:
        """Return what a unit unpacks to.

        Raises:
            SlideReadError: the file cannot be read there.
            ValueError: the unit is damaged.
        """
        units = self._index.units
        data = self._file.read(int(units.offsets[unit]), int(units.counts[unit]), f"piece {unit}")
        found = self._index.form(unit).unpacked(data, int(units.lengths[unit]))
        if tile_digest(found) != units.digest(unit):
            raise ValueError("its bytes are not those of the original")
        return found


class OriginalFile(io.RawIOBase):
    """An original as a file: read-only and seekable. `original.read` may be called by any thread."""

    def __init__(self, original: OriginalBytes) -> None:
        super().__init__()
        self.original = original
        """The bytes behind it."""
        self.name = original.identity.name
        """The name of the original; None where it is not known."""
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset, and return it; behind the end nothing is read.

        Raises:
            ValueError: the offset would be negative, or `whence` is not one of the three.
        """
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.original.total_bytes}
        if whence not in bases or bases[whence] + offset < 0:
            raise ValueError(f"cannot seek to {offset} by {whence}")
        self._at = bases[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the current offset on, and return how many bytes there were.

        Raises:
            SlideReadError: the file cannot be read, or is damaged there.
        """
        room = memoryview(buffer).cast("B")
        data = self.original.read(self._at, len(room))
        room[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file behind it."""
        if not self.closed:
            self.original.close()
        super().close()
