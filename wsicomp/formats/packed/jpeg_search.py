"""Finds JPEG streams in any bytes by their markers alone: no container is trusted.

A stream is walked from its SOI over its segments and scans to its EOI. Where a walk fails, the search goes
on right behind the SOI, so that a thumbnail inside a cut picture is found; inside a whole picture none is
looked for. Bytes that are no JPEG cost as much: a place at which a walk came to nothing is not walked again.

It must not know what becomes of the streams.

Source: ITU-T T.81 annex B (markers).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from wsicomp.codecs.jpeg_stream import DHT, DQT, EOI, SOS
from wsicomp.formats.packed.byte_window import ByteWindow
from wsicomp.geometry import Size

_BEGIN = re.compile(rb"\xff\xd8\xff[\xc0-\xc2\xc4\xdb\xdd\xe0-\xef\xfe\xff]")
"""SOI and the marker of a segment that may follow."""
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")
_TABLES_BEGIN = re.compile(rb"\xff\xd8\xff[\xdb\xc4]")
_HUFFMAN_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended sequential and progressive, with Huffman codes: what libjxl reads."""
_DRI, _COM, _FILL = 0xDD, 0xFE, 0xFF
_SKIPPED = frozenset({DQT, DHT, _COM, *range(0xE0, 0xF0)})
_MOST_HEADER_BYTES, _MOST_TABLES_BYTES = 1 << 22, 1 << 16
"""What may stand before the first scan, profiles and thumbnails; the tables that tiles of a TIFF share."""
_MOST_SEGMENTS, _MOST_SCANS = 4096, 500
_MOST_DEAD = 1 << 20
_MOST_TABLES = 16


class StreamKind(Enum):
    """What a stream lacks to be a picture."""

    WHOLE = "whole"
    """Nothing."""
    ABBREVIATED = "abbreviated"
    """Tables, which stand elsewhere in the file."""
    TABLES = "tables"
    """The picture: it has nothing but tables."""


@dataclass(frozen=True, slots=True)
class JpegStream:
    """The place of a JPEG stream in a file, and what its headers state."""

    start: int
    """The offset of its SOI."""
    end: int
    """The offset behind its EOI."""
    kind: StreamKind
    """What it lacks."""
    size: Size
    """The size in pixels that its frame states, 0 x 0 for tables alone; a side of 0 where it is too large."""
    restart_mcus: int
    """The MCUs of a restart interval; 0 where it has none."""
    scan_start: int
    """The offset of the first scan's data."""
    scans: int
    """The count of its scans."""

    @property
    def bytes(self) -> int:
        """Its length."""
        return self.end - self.start


def jpeg_streams(window: ByteWindow, start: int = 0) -> Iterator[JpegStream]:
    """Yield the JPEG streams of a file from `start` on, in order; none overlaps another.

    Memory: bounded, whatever the file holds. Time: a few passes over the file at most.
    """
    search = _Search(window)
    at = window.find(_BEGIN, start)
    while at >= 0:
        found = search.walk(at)
        if found is not None:
            yield found
        at = window.find(_BEGIN, at + 2 if found is None else found.end)


def table_streams(window: ByteWindow) -> list[bytes]:
    """Return the different streams of nothing but tables in a file, as TIFF's JPEGTables; at most 16."""
    search, tables = _Search(window), dict[bytes, None]()
    at = window.find(_TABLES_BEGIN, 0)
    while at >= 0 and len(tables) < _MOST_TABLES:
        found = search.walk(at, tables_only=True)
        if found is not None and found.bytes <= _MOST_TABLES_BYTES:
            tables[window.at(found.start, found.bytes)] = None
        at = window.find(_TABLES_BEGIN, at + 2)
    return list(tables)


class _Search:
    """Walks from one SOI after another, and remembers where walks came to nothing."""

    def __init__(self, window: ByteWindow) -> None:
        self._window = window
        self._dead: set[tuple[int, bool, bool]] = set()

    def walk(self, start: int, tables_only: bool = False) -> JpegStream | None:
        """Return the stream that begins at `start`; None if there is none."""
        walk = _Walk(self._window, start, tables_only)
        passed = []
        while not walk.is_over:
            place = walk.place
            if place in self._dead:
                walk.is_over = True
            else:
                passed.append(place)
                walk.step()
        if walk.found is None:
            self._bury(passed, start)
        return walk.found

    def _bury(self, passed: list[tuple[int, bool, bool]], start: int) -> None:
        if len(self._dead) > _MOST_DEAD:
            self._dead = {place for place in self._dead if place[0] > start}
        if len(self._dead) <= _MOST_DEAD:
            self._dead.update(passed)


class _Walk:
    """A walk over the segments and scans of one stream."""

    def __init__(self, window: ByteWindow, start: int, tables_only: bool) -> None:
        self._window, self._start, self._tables_only = window, start, tables_only
        self.at = start + 2
        self.scans = 0
        self.is_over = False
        self.found: JpegStream | None = None
        self._segments = self._restart_mcus = self._scan_start = 0
        self._size: Size | None = None
        self._markers: set[int] = set()

    @property
    def place(self) -> tuple[int, bool, bool]:
        """What decides how the walk goes on, but for the bounds."""
        return self.at, self._size is not None, self.scans > 0

    def step(self) -> None:
        """Pass the next segment, and the scan behind it."""
        head = self._window.at(self.at, 4)
        self.is_over = True
        if len(head) < 2 or head[0] != 0xFF:
            return
        marker = head[1]
        if marker == EOI:
            self.found = self._ended()
        elif marker == _FILL:
            self.is_over, self.at = not self._may_go_on(), self.at + 1
        elif len(head) == 4 and self._takes(marker, length := int.from_bytes(head[2:], "big")):
            self._markers.add(marker)
            self.at += 2 + length
            self.is_over = not self._may_go_on() or (marker == SOS and not self._passes_scan())

    def _may_go_on(self) -> bool:
        self._segments += 1
        is_short = self.scans > 0 or self.at - self._start <= _MOST_HEADER_BYTES
        return is_short and self._segments <= _MOST_SEGMENTS and self.at < self._window.size

    def _takes(self, marker: int, length: int) -> bool:
        """Return whether a segment is as it must be here, and remember what it states."""
        if length < 2:
            return False
        if marker in _SKIPPED:
            return not self._tables_only or marker in (DQT, DHT)
        if self._tables_only:
            return False
        if marker == _DRI:
            self._restart_mcus = int.from_bytes(self._body(length), "big")
            return length == 4
        if marker in _HUFFMAN_FRAMES:
            return self._takes_frame(self._body(length))
        return marker == SOS and self._takes_scan(self._body(length))

    def _body(self, length: int) -> bytes:
        return self._window.at(self.at + 4, min(length - 2, 1024))

    def _takes_frame(self, body: bytes) -> bool:
        if self._size is not None or len(body) < 9 or body[0] != 8:
            return False
        self._size = Size(int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big"))
        return 1 <= body[5] <= 4 and len(body) == 6 + 3 * body[5]

    def _takes_scan(self, body: bytes) -> bool:
        if self._size is None or len(body) < 6 or self.scans >= _MOST_SCANS:
            return False
        count = body[0]
        if not 1 <= count <= 4 or len(body) != 4 + 2 * count:
            return False
        tables = body[2 : 1 + 2 * count : 2]
        return all(table & 0xCC == 0 for table in tables) and max(body[-3:-1]) < 64

    def _passes_scan(self) -> bool:
        """Go to the marker behind a scan's data, and return whether there is one."""
        self.scans += 1
        self._scan_start = self._scan_start or self.at
        self.at = self._window.find(_MARKER, self.at)
        return self.at >= 0

    def _ended(self) -> JpegStream | None:
        is_picture = self._size is not None and self.scans > 0
        if not is_picture and (
            self._size is not None or not self._markers or not self._markers <= {DQT, DHT}
        ):
            return None
        kind = StreamKind.TABLES
        if is_picture:
            kind = StreamKind.WHOLE if {DQT, DHT} <= self._markers else StreamKind.ABBREVIATED
        size = self._size or Size(0, 0)
        end = self.at + 2
        return JpegStream(self._start, end, kind, size, self._restart_mcus, self._scan_start, self.scans)
