"""Restart intervals of a JPEG: a rectangle of them as a JPEG of its own, and back.

No codec takes a JPEG of more than 65,500 px whole, and nobody wants to unpack a gigabyte for a few of its
bytes. Where it has restart intervals, those that stand in a rectangle are the scan of a smaller JPEG, once
the restart markers between them are numbered anew.

Source: ITU-T T.81 section E.2.4 (restart intervals), annex B.2.1 (markers).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, TypeAlias

from msgspec import Meta

from wsicomp.codecs.jpeg_stream import SOS, segments

_MARKER = re.compile(rb"\xff[\xd0-\xd7]")
_EOI = b"\xff\xd9"
_MARKERS = [bytes([0xFF, 0xD0 + number]) for number in range(8)]

_Octal: TypeAlias = Annotated[int, Meta(ge=0, lt=8)]


@dataclass(frozen=True)
class IntervalRows:
    """How the intervals of a rectangle are numbered in their picture: rows of neighbours, row below row."""

    columns: Annotated[int, Meta(ge=1, lt=1 << 16)]
    """The intervals of a row."""
    first: _Octal
    """The number of the first interval, modulo 8."""
    step: _Octal
    """How much further the number of the first interval of the next row is, modulo 8."""
    ends_scan: bool
    """Whether the last interval is the picture's last, which no restart marker follows."""

    def markers(self, count: int) -> Iterator[bytes]:
        """Yield what follows each of `count` intervals in the picture: its restart marker."""
        for place in range(count):
            row, column = divmod(place, self.columns)
            is_last = self.ends_scan and place == count - 1
            yield b"" if is_last else _MARKERS[(self.first + row * self.step + column) % 8]


def rectangle_stream(header: bytes, rows: IntervalRows, data: bytes) -> bytes:
    """Return a rectangle's intervals as a JPEG with this header, from their bytes in the picture.

    Raises:
        ValueError: the markers behind them are not numbered as `rows` says.
    """
    intervals = _split(data if rows.ends_scan else data[:-2])
    if _joined(intervals, rows.markers(len(intervals))) != data:
        raise ValueError("restart markers that are not numbered in order")
    return b"".join([header, _joined(intervals, [*_cyclic(len(intervals) - 1), _EOI])])


def rectangle_bytes(stream: bytes, rows: IntervalRows) -> bytes:
    """Return a rectangle's bytes in the picture, from the JPEG that `rectangle_stream` made.

    Raises:
        ValueError: the stream is no such JPEG.
    """
    start = _scan_start(stream)
    if not stream.endswith(_EOI):
        raise ValueError("a rectangle of restart intervals that has no end")
    intervals = _split(stream[start:-2])
    return _joined(intervals, rows.markers(len(intervals)))


def _scan_start(stream: bytes) -> int:
    at = 2
    for _, _, end in segments(stream):
        at = end
    if stream[at : at + 2] != bytes([0xFF, SOS]):
        raise ValueError("a rectangle of restart intervals without a scan")
    return at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")


def _split(data: bytes) -> list[bytes]:
    return _MARKER.split(data)


def _joined(intervals: Sequence[bytes], markers: Iterator[bytes] | Sequence[bytes]) -> bytes:
    return b"".join(chain.from_iterable(zip(intervals, markers, strict=True)))


def _cyclic(count: int) -> Iterator[bytes]:
    return (_MARKERS[number % 8] for number in range(count))
