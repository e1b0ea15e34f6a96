"""The contents of a volume's file in order, however they are packed: plain, gzip, bzip2 or text.

This module must not know headers. Every reader checks what its packing lets it check.
"""

from __future__ import annotations

import bz2
import os
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from wsicomp.errors import VolumeReadError
from wsicomp.files.inputs import reading
from wsicomp.volumes.formats.gzip_members import MOST_RATIO, gzip_members
from wsicomp.volumes.formats.number_texts import numbers_of

Packing: TypeAlias = Literal["none", "gzip", "bzip2", "text"]
_PIECE = 1 << 18
_MOST_OF_BZIP2 = 1 << 21
"""Bytes that bzip2 makes of one, when all of them are alike; measured: 10^9 zeros become 713 bytes."""


class ContentReader(Protocol):
    """Reads contents from their start, and holds their file open."""

    descriptor: int
    """Of the open file."""

    def read(self, count: int) -> bytearray:
        """Return the next bytes: fewer than `count` only at the end."""

    def skip(self, count: int) -> None:
        """Go on, perhaps beyond the end; back only where nothing is packed."""

    def close(self) -> None:
        """Close the file."""


def most_contents(size: int, packing: Packing, item_bytes: int) -> int:
    """Return how many bytes of contents a file of `size` can hold at most, by voxels of `item_bytes`."""
    ratios = {"none": 1, "gzip": MOST_RATIO, "bzip2": _MOST_OF_BZIP2, "text": item_bytes}
    return size * ratios[packing]


def open_contents(path: Path, start: int, packing: Packing, dtype: np.dtype[Any]) -> ContentReader:
    """Open a file's contents, which begin at byte `start`; text holds numbers, which become those of `dtype`.

    Raises:
        VolumeReadError: the file cannot be read; or, from the reader, it is damaged.
    """
    with reading(path, VolumeReadError):
        file = path.open("rb", buffering=0)
    if packing == "none":
        return _Plain(file, start)
    number = file.fileno()
    pieces: dict[str, Callable[[], Iterator[bytes]]] = {
        "gzip": lambda: _inflated(number, start, path),
        "bzip2": lambda: _expanded(number, start, path),
        "text": lambda: numbers_of(_raw(number, start), dtype, path),
    }
    return _Packed(file, pieces[packing]())


class _Plain:
    def __init__(self, file: FileIO, start: int) -> None:
        self.descriptor = file.fileno()
        self._file = file
        self._place = start

    def read(self, count: int) -> bytearray:
        found = bytearray(count)
        filled = 0
        with memoryview(found) as view:
            while filled < count and (got := os.preadv(self.descriptor, [view[filled:]], self._place)):
                filled += got
                self._place += got
        del found[filled:]
        return found

    def skip(self, count: int) -> None:
        self._place += count

    def close(self) -> None:
        self._file.close()


class ByteStream:
    """Hands out bytes that come in pieces, in parts of any size."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = memoryview(b"")

    def take(self, count: int | None) -> Iterator[memoryview]:
        """Yield the next `count` bytes in pieces, fewer only at the end; None for all."""
        while count is None or count > 0:
            while not self._left:
                piece = next(self._pieces, None)
                if piece is None:
                    return
                self._left = memoryview(piece)
            part = self._left if count is None else self._left[:count]
            self._left = self._left[len(part) :]
            count = None if count is None else count - len(part)
            yield part


class _Packed:
    def __init__(self, file: FileIO, pieces: Iterator[bytes]) -> None:
        self.descriptor = file.fileno()
        self._file = file
        self._stream = ByteStream(pieces)

    def read(self, count: int) -> bytearray:
        found = bytearray()
        for part in self._stream.take(count):
            found += part
        return found

    def skip(self, count: int) -> None:
        for _ in self._stream.take(count):
            pass

    def close(self) -> None:
        self._file.close()


def _raw(descriptor: int, start: int) -> Iterator[bytes]:
    while data := os.pread(descriptor, _PIECE, start):
        start += len(data)
        yield data


def _inflated(descriptor: int, start: int, path: Path) -> Iterator[bytes]:
    for member in gzip_members(descriptor, start, path):
        yield from member.contents()


def _expanded(descriptor: int, start: int, path: Path) -> Iterator[bytes]:
    """Yield the contents of the one bzip2 stream to the end of the file."""
    expanding, place, data = bz2.BZ2Decompressor(), start, b""
    while not expanding.eof:
        if expanding.needs_input:
            data = os.pread(descriptor, _PIECE, place)
            place += len(data)
            if not data:
                raise _damaged(path, place, "the file ends in the middle of the bzip2 data")
        try:
            piece = expanding.decompress(data, _PIECE)
        except OSError as exc:
            raise _damaged(path, place - len(data), "damaged bzip2 data") from exc
        data = b""
        if piece:
            yield piece
    if expanding.unused_data or os.pread(descriptor, 1, place):
        end = place - len(expanding.unused_data)
        raise _damaged(path, end, "something follows the bzip2 data, expected the end of the file")


def _damaged(path: Path, place: int, found: str) -> VolumeReadError:
    return VolumeReadError(f"{found}; get another copy of the file", path, f"byte {place}")
