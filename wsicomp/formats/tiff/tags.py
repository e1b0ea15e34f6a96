"""The directories of a TIFF, walked by hand before a library reads the values that they state.

tifffile loads the lists of all directories as Python numbers, ten bytes of memory for each byte in the file.
Directories that share one list, or a tag of gigabytes in a file with holes, would take all memory.

Source: TIFF 6.0 section 2; BigTIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import SlideReadError
from wsicomp.formats.tiff.xmp import MOST_PACKET_BYTES, XMP_TAG

MODEL_TAG = 65453
"""The private tag of the first image with the decoder of neural tiles, as a safetensors file."""
MOST_DIRECTORIES = 1000
MOST_MODEL_BYTES = 1 << 29

_BYTES_OF = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
"""Bytes of a value by TIFF's type."""
_WHOLE = {1: "u1", 3: "u2", 4: "u4", 8: "i2", 9: "i4", 13: "u4", 16: "u8", 17: "i8", 18: "u8"}
"""TIFF's types of whole numbers, as numpy names them."""
_PLACES = (4, 13, 16, 18)
DESCRIPTION_TAG, _SUBIFDS, _TILE_BYTE_COUNTS = 270, 330, 325
_LISTS = frozenset((273, 279, 324, _TILE_BYTE_COUNTS))
_MOST_TAGS_OF_ONE, _MOST_TAGS = 4096, 200_000
_MOST_VALUE_BYTES, _PROVENANCE_BYTES_A_TILE = 1 << 28, 64
_MOST_BYTES_OF = {DESCRIPTION_TAG: 1 << 26, XMP_TAG: MOST_PACKET_BYTES}
_MOST_TILES = 1 << 26
_SHARED_BYTES = 1 << 24
"""The bytes that directories may state beyond the file's size: tables and profiles that they share."""


@dataclass(frozen=True)
class _Form:
    """The layout of a TIFF's numbers: `count` and `link` unpack numbers, `entry` a tag."""

    order: str
    count: struct.Struct
    entry: struct.Struct
    link: struct.Struct


@dataclass(frozen=True)
class Tag:
    """A tag of a directory."""

    order: str
    """The order of bytes: "<" or ">"."""
    code: int
    """Its number."""
    dtype: int
    """The number of its TIFF type."""
    count: int
    """The count of its values."""
    value: bytes
    """Its values where they fit into the entry, else their place in the file."""

    @property
    def size(self) -> int:
        """The bytes of its values; 0 for a type that TIFF does not know."""
        return self.count * _BYTES_OF.get(self.dtype, 0)

    def data(self, file: BinaryIO) -> bytes:
        """Return the bytes of its values, as many as the file has."""
        file_bytes = file.seek(0, 2)
        size = _BYTES_OF.get(self.dtype, 0) * min(self.count, file_bytes)
        if size <= len(self.value):
            return self.value[:size]
        place = int.from_bytes(self.value, "little" if self.order == "<" else "big")
        file.seek(min(place, file_bytes))
        return file.read(min(size, file_bytes))

    def numbers(self, file: BinaryIO) -> NDArray[np.uint64]:
        """Return its values, (values,), as many as the file has; none where they are not whole numbers."""
        if self.dtype not in _WHOLE:
            return np.empty(0, np.uint64)
        form = np.dtype(f"{self.order}{_WHOLE[self.dtype]}")
        data = self.data(file)
        return np.frombuffer(data[: len(data) - len(data) % form.itemsize], form).astype(np.uint64)


@dataclass(frozen=True)
class Tags:
    """The tags of a directory; `is_whole` says whether they are all that it states."""

    tags: list[Tag]
    is_whole: bool


def check_tags(path: Path) -> None:
    """Check the sizes that a TIFF's directories state against the file's size.

    A directory that cannot be walked is refused elsewhere.

    Raises:
        SlideReadError: the directories state more bytes than the file holds, or more than any slide has.
    """
    with path.open("rb") as file:
        file_bytes = file.seek(0, 2)
        total = beside = tags = tiles = 0
        largest = {XMP_TAG: 0}
        for found in directories(file, _MOST_TAGS_OF_ONE, has_subs=True):
            if not found.is_whole:
                continue
            tags += len(found.tags)
            for tag in found.tags:
                tiles += tag.count if tag.code == _TILE_BYTE_COUNTS else 0
                total += tag.size
                if tag.code not in (*_LISTS, MODEL_TAG):
                    largest[tag.code] = max(largest.get(tag.code, 0), tag.size)
                    beside += tag.size if tag.code != XMP_TAG else 0
            if tags > _MOST_TAGS:
                raise SlideReadError(f"more than {_MOST_TAGS} tags")
            if total > file_bytes + _SHARED_BYTES:
                found_bytes = f"its directories state {total} bytes of values, in a file of {file_bytes}"
                raise SlideReadError(f"{found_bytes}; the file is damaged or forged")
            if tiles > _MOST_TILES or beside > 2 * _MOST_VALUE_BYTES:
                found_more = f"{tiles} tiles and {beside} bytes of texts and profiles"
                raise SlideReadError(f"its directories state {found_more}, more than any slide has")
    largest[XMP_TAG] -= tiles * _PROVENANCE_BYTES_A_TILE
    for code, size in largest.items():
        most = _MOST_BYTES_OF.get(code, _MOST_VALUE_BYTES)
        if size > most:
            raise SlideReadError(f"tag {code} of {size} bytes, expected at most {most}")


def directories(file: BinaryIO, most_tags: int, has_subs: bool) -> Iterator[Tags]:
    """Yield the directories of a TIFF's main chain as far as they can be walked; with `has_subs` SubIFDs too.

    Only the first `most_tags` tags of a directory are read. A directory behind one with more is not reached.
    """
    file.seek(0)
    head = file.read(16)
    form = _form(head)
    place = form.link.size
    if len(head) < place + form.link.size:
        return
    waiting = [*form.link.unpack_from(head, place)]
    visited: set[int] = set()
    while waiting and len(visited) <= MOST_DIRECTORIES:
        offset = waiting.pop()
        if offset in visited or not offset:
            continue
        visited.add(offset)
        found, following = _directory(file, form, offset, most_tags)
        yield found
        waiting += following
        for tag in found.tags if found.is_whole and has_subs else ():
            if tag.code == _SUBIFDS:
                waiting += _listed(file, tag)


def xmp_packet(path: Path) -> bytes | None:
    """Return the XMP packet of a TIFF's first image; None where it has none.

    Raises:
        SlideReadError: the packet is larger than any that wsicomp writes, or the file ends within it.
        OSError: the file cannot be read.
        struct.error: the file is damaged.
    """
    with path.open("rb") as file:
        tags = next((one.tags for one in directories(file, _MOST_TAGS_OF_ONE, has_subs=False)), [])
        tiles = sum(tag.count for tag in tags if tag.code == _TILE_BYTE_COUNTS)
        for tag in tags:
            if tag.code == XMP_TAG:
                if tag.size > MOST_PACKET_BYTES + tiles * _PROVENANCE_BYTES_A_TILE:
                    found = f"tag {XMP_TAG} of {tag.size} bytes"
                    raise SlideReadError(f"{found}, expected at most {MOST_PACKET_BYTES}")
                packet = tag.data(file)
                if len(packet) < tag.size:
                    raise SlideReadError(f"ends within tag {XMP_TAG}; the file is cut short")
                return packet
    return None


def _form(head: bytes) -> _Form:
    order = "<" if head[:2] == b"II" else ">"
    is_big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    count, entry, link = ("Q", "HHQ8s", "Q") if is_big else ("H", "HHI4s", "I")
    return _Form(order, *(struct.Struct(f"{order}{letters}") for letters in (count, entry, link)))


def _directory(file: BinaryIO, form: _Form, offset: int, most_tags: int) -> tuple[Tags, list[int]]:
    """Return a directory, and the place of the next one."""
    try:
        file.seek(offset)
        head = file.read(form.count.size)
        count = form.count.unpack(head)[0] if len(head) == form.count.size else 0
        data = file.read(min(count, most_tags) * form.entry.size)
        link = file.read(form.link.size)
    except (OSError, OverflowError):  # beyond what a file can have
        return Tags([], is_whole=False), []
    entries = form.entry.iter_unpack(data[: len(data) - len(data) % form.entry.size])
    tags = [Tag(form.order, *entry) for entry in entries]
    is_whole = len(tags) == count
    following = [form.link.unpack(link)[0]] if is_whole and len(link) == form.link.size else []
    return Tags(tags, is_whole), following


def _listed(file: BinaryIO, tag: Tag) -> list[int]:
    """Return the places of SubIFDs.

    None where there are more than a file can have, which is refused elsewhere.
    """
    if tag.dtype not in _PLACES or tag.count > MOST_DIRECTORIES:
        return []
    found = tag.numbers(file).tolist()
    return found if len(found) == tag.count else []
