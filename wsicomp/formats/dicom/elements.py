"""DICOM elements by hand, behind the header that pydicom reads: a slide has one item there for each frame.

As pydicom's data sets 100,000 of them take up to 22 s and 400 MB; here 3 s, and 16 bytes each.

Source: PS3.5 sections 7.1.2 (explicit VR), 7.5 (sequences, items, delimiters).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from typing import BinaryIO

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
"""The length of a value that a delimiter ends."""
_LONG_FORMS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT"))
_LONG_FORMS |= {b"UV"}
_MOST_DEPTH = 32
_HEAD = struct.Struct("<HH2sH")
_ITEMS, _BLOCK_BYTES = 0xFFFE, 1 << 16


class ElementReader:
    """Reads elements of an explicit VR little endian file one after another.

    Raises:
        ValueError: the bytes are no elements, or end early.
    """

    def __init__(self, stream: BinaryIO, size: int, at: int) -> None:
        self.at = at
        """The byte at which the next element begins, or the value of the last one."""
        self.block_bytes = _BLOCK_BYTES
        """As many are read at once, of which skipped values are a part."""
        self._stream, self._size = stream, size
        self._block, self._start = b"", at
        self._depth = 0

    def read(self, count: int) -> bytes:
        """Return the next bytes."""
        start = self._loaded(count)
        self.at += count
        return self._block[start : start + count]

    def next(self) -> tuple[int, int]:
        """Return tag and length of the next element, and stand at its value."""
        start = self._loaded(_HEAD.size)
        group, element, form, length = _HEAD.unpack_from(self._block, start)
        self.at += _HEAD.size
        tag = group << 16 | element
        if group == _ITEMS:
            return tag, length << 16 | int.from_bytes(form, "little")
        if form in _LONG_FORMS:
            return tag, int.from_bytes(self.read(4), "little")
        if not form.isalpha():
            raise ValueError(f"no element at byte {self.at - _HEAD.size}")
        return tag, length

    def _loaded(self, count: int) -> int:
        """Return where the next `count` bytes begin in the block, which is read anew where it lacks them."""
        start = self.at - self._start
        if not 0 <= start <= len(self._block) - count:
            if count > self._size - self.at:
                raise ValueError("ends early")
            self._stream.seek(self.at)
            self._block, self._start, start = self._stream.read(max(count, self.block_bytes)), self.at, 0
            if len(self._block) < count:
                raise ValueError("ends early")
        return start

    def skip(self, length: int) -> None:
        """Go behind a value of this length."""
        if length == UNDEFINED:
            for _ in self.children(length, ()):
                pass
        else:
            self.seek(self.at + length)

    def seek(self, place: int) -> None:
        """Go to a byte of the file."""
        if place > self._size:
            raise ValueError("ends early")
        self.at = place

    def children(self, length: int, wanted: Collection[int]) -> Iterator[tuple[int, int]]:
        """Yield (tag, length) of the `wanted` elements in a sequence or an item of this length.

        Who takes one reads the whole value before the next. The others are skipped.
        """
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise ValueError("sequences in sequences without end")
        end = self._size if length == UNDEFINED else self.at + length
        while self.at < end:
            tag, count = self.next()
            if tag in (ITEM_END, SEQUENCE_END):
                break
            if tag in wanted:
                yield tag, count
            else:
                self.skip(count)
        self._depth -= 1
        if length == UNDEFINED and self.at >= end:
            raise ValueError("ends early")
        if length != UNDEFINED and self.at != end:
            raise ValueError(f"elements beyond the end of theirs at byte {end}")
