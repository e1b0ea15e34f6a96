"""Cuts one huge JPEG into rectangles of its restart intervals, of about a megapixel each.

An interval mostly is a part of a row of MCUs, as in NDPI, and a rectangle is a part of the picture. Where it
is whole rows, rectangles are bands. Where it is neither, or nobody knows how wide the picture is, intervals
lie below each other: still a JPEG, but one whose neighbours are none, so that it packs less well.

NDPI states sizes over 65,500 px in its TIFF tags alone. Neither is trusted: a rectangle counts only if its
bytes come back.

Source: ITU-T T.81 annex A.2 (MCU), B.2.2 (frame header); OpenSlide's `openslide-vendor-hamamatsu.c`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.jpeg_stream import ADOBE_APP, DHT, DQT, FRAMES, SOS, segment_of, segments
from wsicomp.formats.originals.restart_intervals import IntervalRows
from wsicomp.formats.packed.byte_window import ByteWindow
from wsicomp.formats.packed.jpeg_search import JpegStream
from wsicomp.geometry import Size

_DRI = 0xDD
_SEQUENTIAL = frozenset({0xC0, 0xC1})
_WANTED_WIDTH_PX, _WANTED_PX = 2048, 1 << 20
_MOST_SIDE_PX, _MOST_PX = 65_500, 1 << 24
"""The largest side that a codec takes; the largest picture that one interval may be."""
_STEP_BYTES = 1 << 22

Places = NDArray[np.int64]


@dataclass(frozen=True)
class IntervalRectangle:
    """A rectangle of restart intervals."""

    header: bytes
    """The header with which its intervals are a JPEG."""
    rows: IntervalRows
    """How its intervals are numbered in the picture."""
    runs: tuple[tuple[int, int], ...]
    """The (offset, count) of its bytes in the file, a row after the other."""


@dataclass(frozen=True)
class _Frame:
    """What a picture's headers state."""

    before: bytes
    """The segments before the frame header that a decoder needs."""
    frame: bytes
    """The body of the frame header."""
    marker: int
    behind: bytes
    """Those behind it, with the header of the scan."""
    mcu: Size
    """Pixels of an MCU."""

    def header(self, size: Size) -> bytes:
        """Return the header of a picture of another size."""
        sides = size.height.to_bytes(2, "big") + size.width.to_bytes(2, "big")
        frame = segment_of(self.marker, self.frame[:1] + sides + self.frame[5:])
        return b"".join([b"\xff\xd8", self.before, frame, self.behind])


@dataclass(frozen=True)
class _Layout:
    """How the intervals lie."""

    interval: Size
    """Pixels of an interval."""
    columns: int
    """Intervals side by side."""
    last: Size
    """Pixels of the last one, which can be smaller."""


def interval_rectangles(
    window: ByteWindow, stream: JpegStream, stated: Size | None = None
) -> Iterator[list[IntervalRectangle]]:
    """Yield the bands of a picture from top to bottom, each a list of rectangles from left to right.

    `stated` is the size of the picture by its container, where that states one. Nothing is yielded for a JPEG
    that cannot be cut: progressive, in several scans, or without restart intervals.

    Memory: 24 bytes for each interval.
    """
    frame = _frame(window, stream)
    if frame is None:
        return
    starts, ends = _interval_places(window, stream)
    layout = _layout(frame.mcu, stream, stated, len(starts))
    if layout is not None:
        yield from _bands(frame, layout, starts, ends)


def _frame(window: ByteWindow, stream: JpegStream) -> _Frame | None:
    """Return what a picture's headers state; None if it cannot be cut."""
    if stream.scans != 1 or stream.restart_mcus == 0:
        return None
    header = window.at(stream.start, stream.scan_start - stream.start)
    parts: list[list[bytes]] = [[], []]
    found, at = None, 2
    for marker, start, end in segments(header):
        at = end
        if marker in FRAMES:
            found = marker, header[start + 4 : end]
        elif marker in (DQT, DHT, _DRI, ADOBE_APP):
            parts[found is not None].append(header[start:end])
    scan = header[header.index(bytes([0xFF, SOS]), at) :]
    if found is None or found[0] not in _SEQUENTIAL or scan[4] != found[1][5]:
        return None
    sampling = [divmod(each, 16) for each in found[1][7::3]]
    if min(min(each) for each in sampling) < 1:
        return None
    across, down = (1, 1) if len(sampling) == 1 else map(max, zip(*sampling, strict=True))
    mcu = Size(8 * across, 8 * down)
    return _Frame(b"".join(parts[0]), found[1], found[0], b"".join([*parts[1], scan]), mcu)


def _interval_places(window: ByteWindow, stream: JpegStream) -> tuple[Places, Places]:
    """Return the offset of each interval's first byte, and the one behind its restart marker."""
    found, end = [np.array([stream.scan_start], np.int64)], stream.end - 2
    for at in range(stream.scan_start, end, _STEP_BYTES):
        data = np.frombuffer(window.read(at, min(_STEP_BYTES + 1, end - at)), np.uint8)
        places = np.flatnonzero(data[:-1] == 0xFF)
        found.append(at + 2 + places[data[places + 1] & 0xF8 == 0xD0])
    starts = np.concatenate(found)
    return starts, np.append(starts[1:], end)


def _layout(mcu: Size, stream: JpegStream, stated: Size | None, count: int) -> _Layout | None:
    """Return how `count` intervals lie; None if no codec could take one of them."""
    interval_mcus = stream.restart_mcus
    for size in (stated, stream.size):
        if size is None or not size.width:
            continue
        across, down = -(-size.width // mcu.width), -(-size.height // mcu.height)
        if across % interval_mcus == 0 and count % (columns := across // interval_mcus) == 0:
            interval = Size(interval_mcus * mcu.width, mcu.height)
            return _usable(_Layout(interval, columns, interval))
        if interval_mcus % across == 0 and -(-down * across // interval_mcus) == count:
            height = interval_mcus // across
            last = down - (count - 1) * height
            width = across * mcu.width
            return _usable(_Layout(Size(width, height * mcu.height), 1, Size(width, last * mcu.height)))
    interval = Size(interval_mcus * mcu.width, mcu.height)
    return _usable(_Layout(interval, 1, _last_of(mcu, stream, count) or interval))


def _last_of(mcu: Size, stream: JpegStream, count: int) -> Size | None:
    """Return the pixels of the last of intervals that are no part of a row; None if nobody knows."""
    across, down = -(-stream.size.width // mcu.width), -(-stream.size.height // mcu.height)
    mcus = across * down - (count - 1) * stream.restart_mcus
    return Size(mcus * mcu.width, mcu.height) if 0 < mcus <= stream.restart_mcus else None


def _usable(layout: _Layout) -> _Layout | None:
    interval = layout.interval
    is_small = max(interval.width, interval.height) <= _MOST_SIDE_PX
    return layout if is_small and interval.width * interval.height <= _MOST_PX else None


def _bands(frame: _Frame, layout: _Layout, starts: Places, ends: Places) -> Iterator[list[IntervalRectangle]]:
    interval, total = layout.interval, len(starts) // layout.columns
    wide = max(1, min(layout.columns, _WANTED_WIDTH_PX // interval.width))
    high = max(1, _WANTED_PX // (wide * interval.width * interval.height))
    high = min(high, _MOST_SIDE_PX // interval.height)
    odd = layout.last.width != interval.width
    top = 0
    while top < total:
        rows = min(high, total - top)
        if odd and top + rows == total and rows > 1:
            rows -= 1  # the last interval is a picture of another width
        yield [
            _rectangle(frame, layout, (starts, ends), top, rows, left, min(wide, layout.columns - left))
            for left in range(0, layout.columns, wide)
        ]
        top += rows


def _rectangle(
    frame: _Frame,
    layout: _Layout,
    places: tuple[Places, Places],
    top: int,
    rows: int,
    left: int,
    columns: int,
) -> IntervalRectangle:
    starts, ends = places
    first = (top + np.arange(rows)) * layout.columns + left
    last = first + columns - 1
    ends_scan = bool(last[-1] == len(starts) - 1)
    size = Size(columns * layout.interval.width, rows * layout.interval.height)
    if ends_scan and layout.last != layout.interval:
        is_odd = layout.last.width != layout.interval.width
        height = size.height - layout.interval.height + layout.last.height
        size = layout.last if is_odd else Size(size.width, height)
    counts = ends[last] - starts[first]
    numbered = IntervalRows(columns, int(first[0]) % 8, layout.columns % 8, ends_scan)
    runs = tuple(zip(starts[first].tolist(), counts.tolist(), strict=True))
    return IntervalRectangle(frame.header(size), numbered, runs)
