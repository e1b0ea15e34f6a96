"""OpenSlide's own slides, opened only where what a file states cannot bring OpenSlide down.

OpenSlide takes memory for a tile by what the file says of it, and ends the whole process where there is none.
So a byte count of terabytes, and a tile of a milliard pixels, are looked for before OpenSlide sees a file.

Source: openslide 4.0.1 `openslide-decode-tiff.c` (`g_malloc` of a byte count, and of a tile's pixels).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from openslide import OpenSlide, OpenSlideError

from wsicomp.readers.directories import TIFF_MAGIC
from wsicomp.slide import APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR, JPEG

_COMPRESSION, _WIDTH, _HEIGHT, _OFFSETS, _COUNTS = _WANTED = 259, 322, 323, 324, 325
_BY_COUNT = (JPEG, APERIO_JPEG2000_YCBCR, APERIO_JPEG2000_RGB)
"""The compressions whose tiles OpenSlide reads by itself, into as much memory as they state."""
_KINDS = {1: "u1", 3: "u2", 4: "u4", 8: "i2", 9: "i4", 13: "u4", 16: "u8", 17: "i8", 18: "u8"}
"""TIFF's types of whole numbers."""
_MOST_DIRECTORIES = 1000
_MOST_PX = 1 << 28
_FARTHEST = 1 << 40
"""No slide is a terabyte large. What lies nearer may be what a transfer that broke off has yet to bring."""


Tags = dict[int, NDArray[np.uint64]]


def opened(path: str | bytes | os.PathLike[str]) -> OpenSlide:
    """A file as OpenSlide opens it.

    Raises:
        OpenSlideError: it does not open the file, or must not see it.
    """
    found = _danger(Path(os.fsdecode(path)))
    if found:
        raise OpenSlideError(found)
    return OpenSlide(path)


def _danger(path: Path) -> str:
    """Why OpenSlide must not see a file, in words; "" where it may."""
    try:
        with path.open("rb") as file:
            if file.read(4) not in TIFF_MAGIC:
                return ""
            file_bytes = os.fstat(file.fileno()).st_size
            for tags in _Directories(file, file_bytes):
                if found := _beyond(tags, file_bytes):
                    return found
    except (OSError, struct.error, ValueError):
        pass  # OpenSlide says better than we could what is wrong
    return ""


def _beyond(tags: Tags, file_bytes: int) -> str:
    if not len(tags[_WIDTH]) or not len(tags[_HEIGHT]):
        return ""
    width, height = (int(tags[code].max()) for code in (_WIDTH, _HEIGHT))
    if width * height > _MOST_PX:
        return f"tiles of {width} x {height} px, expected at most {_MOST_PX} px"
    counts, offsets = tags[_COUNTS], tags[_OFFSETS]
    is_by_count = np.isin(tags[_COMPRESSION], _BY_COUNT).any()
    if is_by_count and len(counts) and int(counts.max()) > file_bytes:
        return f"a tile of {int(counts.max())} bytes in a file of {file_bytes}"
    if len(offsets) and int(offsets.max()) > max(_FARTHEST, file_bytes):
        return f"a tile at byte {int(offsets.max())} of a file of {file_bytes}"
    return ""


@dataclass(frozen=True)
class _Directories:
    """The numbers of the wanted tags of each directory of a TIFF's main chain, as far as they can be read.

    Of a tag that is there twice those of both: readers differ about which of them counts.
    """

    file: BinaryIO
    file_bytes: int

    def __iter__(self) -> Iterator[Tags]:
        self.file.seek(0)
        head = self.file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"+\0", b"\0+")
        (offset,) = struct.unpack(f"{order}Q", head[8:16]) if big else struct.unpack(f"{order}I", head[4:8])
        seen: set[int] = set()
        while offset and offset not in seen and len(seen) < _MOST_DIRECTORIES:
            seen.add(offset)
            tags, offset = self._directory(offset, order, big)
            yield tags

    def _directory(self, offset: int, order: str, big: bool) -> tuple[Tags, int]:
        entry, count_form, link_form = ("HHQQ", "Q", "Q") if big else ("HHII", "H", "I")
        step, head = struct.calcsize(f"{order}{entry}"), struct.calcsize(f"{order}{count_form}")
        (count,) = struct.unpack(f"{order}{count_form}", self._read(offset, head))
        count = min(count, 1 << 16)
        table = self._read(offset + head, step * count)
        tags: Tags = dict.fromkeys(_WANTED, np.empty(0, np.uint64))
        room = struct.calcsize(f"{order}{link_form}")
        for at in range(0, len(table) - step + 1, step):
            code, kind, many, place = struct.unpack_from(f"{order}{entry}", table, at)
            if code not in _WANTED or kind not in _KINDS:
                continue
            form = np.dtype(f"{order}{_KINDS[kind]}")
            size = form.itemsize * min(many, self.file_bytes)
            data = table[at + step - room : at + step][:size] if size <= room else self._read(place, size)
            numbers = np.frombuffer(data[: len(data) - len(data) % form.itemsize], form)
            tags[code] = np.concatenate([tags[code], numbers.astype(np.uint64)])
        link = self._read(offset + head + step * count, room)
        return tags, struct.unpack(f"{order}{link_form}", link)[0] if len(link) == room else 0

    def _read(self, offset: int, count: int) -> bytes:
        if offset >= self.file_bytes:
            return b""
        self.file.seek(offset)
        return self.file.read(min(count, self.file_bytes - offset))
