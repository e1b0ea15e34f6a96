"""The tags of a TIFF as their sizes alone, held against the file before a library reads what they state.

tifffile loads the lists of all directories as Python numbers, ten bytes of memory for each of the file's.
Directories that share one list, or a tag of gigabytes in a file with holes, would take all memory there is.

Source: TIFF 6.0 section 2; BigTIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wsicomp.errors import SlideReadError
from wsicomp.readers.xmp import XMP_TAG

MODEL_TAG = 65453
"""The tag of the first image that holds the decoder of neural tiles, as a safetensors file: private, ours."""
MOST_DIRECTORIES = 1000
MOST_MODEL_BYTES = 1 << 29

_BYTES_OF = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
"""Bytes of a value by TIFF's type."""
_DESCRIPTION, _SUBIFDS, _TILE_BYTE_COUNTS = 270, 330, 325
_LISTS = frozenset((273, 279, 324, _TILE_BYTE_COUNTS))
_MOST_TAGS_OF_ONE, _MOST_TAGS = 4096, 200_000
_MOST_VALUE_BYTES, _MOST_TEXT_BYTES, _PROVENANCE_BYTES_A_TILE = 1 << 28, 1 << 26, 64
_MOST_TILES = 1 << 26
_SHARED_BYTES = 1 << 24
"""What directories may state together beyond the file's size: tables and profiles that they share."""


@dataclass(frozen=True)
class _Form:
    """How a TIFF is laid out: `count` and `link` read numbers, `entry` a tag with `inline` bytes in it."""

    count: struct.Struct
    entry: struct.Struct
    link: struct.Struct
    inline: int


@dataclass(frozen=True)
class _Tag:
    code: int
    dtype: int
    count: int
    value: bytes

    @property
    def size(self) -> int:
        return self.count * _BYTES_OF.get(self.dtype, 0)


def check_tags(path: Path) -> None:
    """Hold what the directories of a TIFF state against its size. Where they cannot be walked, others say so.

    Raises:
        SlideReadError: they state more than the file holds, or than any file has.
    """
    with path.open("rb") as file:
        file_bytes = file.seek(0, 2)
        total = beside = tags = tiles = 0
        largest = {XMP_TAG: 0}
        for found in _directories(file):
            tags += len(found)
            for tag in found:
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
        most = _MOST_TEXT_BYTES if code in (_DESCRIPTION, XMP_TAG) else _MOST_VALUE_BYTES
        if size > most:
            raise SlideReadError(f"tag {code} of {size} bytes, expected at most {most}")


def _directories(file: BinaryIO) -> Iterator[list[_Tag]]:
    """The tags of every directory, SubIFDs too, as far as they can be walked."""
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    is_big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    form = _form(order, is_big)
    place = 8 if is_big else 4
    if len(head) < place + form.link.size:
        return
    waiting = [*form.link.unpack_from(head, place)]
    seen: set[int] = set()
    while waiting and len(seen) <= MOST_DIRECTORIES:
        offset = waiting.pop()
        if offset in seen or not offset:
            continue
        seen.add(offset)
        found, following = _directory(file, form, offset)
        yield found
        waiting += following


def _form(order: str, is_big: bool) -> _Form:
    if is_big:
        return _Form(
            struct.Struct(f"{order}Q"), struct.Struct(f"{order}HHQ8s"), struct.Struct(f"{order}Q"), 8
        )
    return _Form(struct.Struct(f"{order}H"), struct.Struct(f"{order}HHI4s"), struct.Struct(f"{order}I"), 4)


def _directory(file: BinaryIO, form: _Form, offset: int) -> tuple[list[_Tag], list[int]]:
    """The tags of a directory, and the directories that follow it or hang below it."""
    try:
        file.seek(offset)
        head = file.read(form.count.size)
        count = form.count.unpack(head)[0] if len(head) == form.count.size else 0
        data = file.read(count * form.entry.size) if count <= _MOST_TAGS_OF_ONE else b""
        if len(data) < count * form.entry.size:
            return [], []
        tags = [_Tag(*entry) for entry in form.entry.iter_unpack(data)]
        link = file.read(form.link.size)
        following = [form.link.unpack(link)[0]] if len(link) == form.link.size else []
        for tag in tags:
            if tag.code == _SUBIFDS:
                following += _listed(file, form, tag)
    except (OSError, OverflowError):  # beyond what a file can have
        return [], []
    return tags, following


def _listed(file: BinaryIO, form: _Form, tag: _Tag) -> list[int]:
    """The offsets of SubIFDs; of more than a file can have, none, for that is refused elsewhere."""
    letter = {4: "I", 13: "I", 16: "Q", 18: "Q"}.get(tag.dtype)
    if letter is None or tag.count > MOST_DIRECTORIES:
        return []
    data = tag.value
    if tag.size > form.inline:
        file.seek(form.link.unpack(tag.value)[0])
        data = file.read(tag.size)
    numbers = struct.Struct(f"{form.link.format[0]}{tag.count}{letter}")
    return list(numbers.unpack_from(data)) if len(data) >= numbers.size else []
