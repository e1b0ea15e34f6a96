"""JPEG XL streams by hand: their boxes, their stated size, and how large a JPEG they would rebuild.

A decoder allocates memory for what a stream states. A packed JPEG's comments are compressed, so that a
kilobyte can hold a gigabyte of them. Both are therefore read here first.

Source: ISO/IEC 18181-1 (size header), 18181-2 (boxes, `jbrd`); libjxl 0.11 `jpeg_data.cc`, `fields.h`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeVar

from wsicomp.geometry import Size

_BOX, _LARGE, _PART_BYTES = struct.Struct(">I4s"), struct.Struct(">Q"), 4
"""A box's length and kind; its length in eight bytes; and the number that begins a part of a codestream.

The length includes these bytes; 0 means to the end, 1 that it stands in the eight bytes behind.
"""
_CODESTREAM = b"\xff\x0a"
_BEGIN = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl "
"""The two boxes with which every container begins."""
_PLAIN_BOXES = frozenset({b"JXL ", b"ftyp", b"jxlc", b"jxlp", b"jbrd"})
_SIDE_BITS = (9, 13, 18, 30)
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_MOST_MARKERS, _HEAD_BYTES = 16384, 16
_APP, _COM, _END, _BETWEEN = 0xE0, 0xFE, 0xD9, 0xFF
_MOST_BETWEEN_BYTES = 1 << 16

Read = TypeVar("Read")


def boxes(container: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start of content, end) of each box of a file; both places are byte offsets in the file."""
    at = 0
    while at + _BOX.size <= len(container):
        length, kind = _BOX.unpack_from(container, at)
        start = at + _BOX.size
        if length == 1 and start + _LARGE.size <= len(container):
            (length,) = _LARGE.unpack_from(container, start)
            start += _LARGE.size
        end = at + length if length else len(container)
        if end < start:
            return
        yield kind, start, min(end, len(container))
        at = end


def is_codestream(data: bytes) -> bool:
    """Return whether these are the bytes of a codestream, without a container around it."""
    return data.startswith(_CODESTREAM)


def codestream(data: bytes) -> bytes:
    """Return the codestream in a container's boxes, without `jbrd` and metadata.

    Raises:
        ValueError: the container holds no codestream.
    """
    if is_codestream(data):
        return data
    skipped = {b"jxlc": 0, b"jxlp": _PART_BYTES}
    found = [data[start + skipped[kind] : end] for kind, start, end in boxes(data) if kind in skipped]
    if not found:
        raise ValueError("JPEG XL without a picture")
    return b"".join(found)


def without_container(packed: bytes) -> tuple[bytes, bytes] | None:
    """Return a packed JPEG's codestream and the content of its `jbrd` box; None if it has other boxes, too.

    JPEGs that have their tables, markers and headers alike have the same `jbrd`, of some hundred bytes.
    """
    found = list(boxes(packed))
    rebuilt = [packed[start:end] for kind, start, end in found if kind == b"jbrd"]
    if len(rebuilt) != 1 or not {kind for kind, _, _ in found} <= _PLAIN_BOXES:
        return None
    return codestream(packed), rebuilt[0]


def in_container(stream: bytes, rebuilt: bytes) -> bytes:
    """Return a packed JPEG from its codestream and the content of its `jbrd` box."""
    parts = [_BEGIN]
    for kind, content in ((b"jbrd", rebuilt), (b"jxlc", stream)):
        parts += [_BOX.pack(_BOX.size + len(content), kind), content]
    return b"".join(parts)


class Bits:
    """Reads a stream from its first bit on, the lowest bit of a byte first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def take(self, count: int) -> int:
        """Return the next number of `count` bits.

        Raises:
            ValueError: the stream ends before it.
        """
        first, shift = divmod(self.at, 8)
        self.at += count
        if self.at > 8 * len(self._data):
            raise ValueError("JPEG XL ends in its header")
        window = int.from_bytes(self._data[first : first + 9], "little")
        return window >> shift & ((1 << count) - 1)


def read_size(bits: Bits) -> Size:
    """Return the size that a codestream states at its beginning, before its orientation is applied.

    Raises:
        ValueError: the codestream is damaged.
    """
    if bits.take(16) != int.from_bytes(_CODESTREAM, "little"):
        raise ValueError("not a JPEG XL codestream")
    is_small = bits.take(1)

    def side() -> int:
        return 8 * (bits.take(5) + 1) if is_small else bits.take(_SIDE_BITS[bits.take(2)]) + 1

    height = side()
    ratio = bits.take(3)
    if ratio:
        over, under = _RATIOS[ratio - 1]
        return Size(height * over // under, height)
    return Size(side(), height)


def stated_size(data: bytes) -> Size:
    """Return the size in pixels that a file or a codestream states.

    Raises:
        ValueError: it is damaged.
    """
    return _from_head(read_size, codestream(data))


def check_packed(data: bytes, size: Size, most_bytes: int) -> None:
    """Refuse a packed JPEG of another size than its tile, or with too many bytes beside its picture.

    Raises:
        ValueError: the size differs, more than `most_bytes` stand beside the picture, or it is no packed
            JPEG.
    """
    stated = stated_size(data)
    if stated != size:
        raise ValueError(f"JPEG XL of {stated} px, expected {size}")
    for kind, start, end in boxes(data):
        if kind == b"jbrd":
            beside = _from_head(_bytes_beside, data[start:end])
            if beside > most_bytes:
                raise ValueError(
                    f"a packed JPEG with {beside} bytes beside its picture, expected at most {most_bytes}"
                )
            return
    raise ValueError("JPEG XL without a jbrd box, expected a packed JPEG")


def _from_head(read: Callable[[Bits], Read], data: bytes) -> Read:
    """Return what `read` finds at the beginning of `data`, which most tiles of a slide have in common.

    Raises:
        ValueError: the stream is damaged.
    """
    head = data[:_HEAD_BYTES]
    found: Read | None = _read_once(read, head)
    return read(Bits(data)) if found is None else found


@lru_cache(maxsize=256)
def _read_once(read: Callable[[Bits], Any], head: bytes) -> Any:
    """Return what `read` finds, None where it needs more than the head."""
    try:
        return read(Bits(head))
    except ValueError:
        return None


def _bytes_beside(bits: Bits) -> int:
    """Return a bound on the bytes of a packed JPEG's application and comment segments, and between segments.

    Source: libjxl 0.11 `JPEGData::VisitFields`: whether it is grey; the markers, six bits each, up to EOI; of
    each application segment its type (a choice of 0, 1, 2 + one bit, 4 + two bits) and its length less one in
    sixteen bits; of each comment its length less one.
    """
    bits.take(1)
    markers: list[int] = []
    while not markers or markers[-1] != _END:
        markers.append(0xC0 + bits.take(6))
        if len(markers) > _MOST_MARKERS:
            raise ValueError("a packed JPEG whose markers have no end")
    total = markers.count(_BETWEEN) * _MOST_BETWEEN_BYTES
    for _ in range(sum(marker & 0xF0 == _APP for marker in markers)):
        choice = bits.take(2)
        bits.take((0, 0, 1, 2)[choice])
        total += bits.take(16) + 1
    for _ in range(markers.count(_COM)):
        total += bits.take(16) + 1
    return total
