"""Strip JPEG tiles of what no decoder reads: comments, application data, tables that no scan uses.

Source: ITU-T T.81 annexes B and F.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from wsicomp.codecs.jpeg_stream import (
    ADOBE_APP,
    APP0,
    DHT,
    DQT,
    FRAMES,
    MARKER,
    TEXT_MARKERS,
    segment_of,
    tables_of,
)
from wsicomp.slide import EncodedTile

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SOS_MARKER, _EOI_MARKER, _DRI = 0xDA, 0xD9, 0xDD
_PROGRESSIVE = 0xC2
_HUFFMAN = frozenset({0xC0, 0xC1, _PROGRESSIVE})
_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
_ADOBE_BYTES = len(_ADOBE) + 1
_MOST_DENSITY = 1200


@dataclass(eq=False)
class _Table:
    """A definition of a quantisation or Huffman table."""

    key: tuple[int, int, int]
    """(marker, class, slot): which table it defines."""
    body: bytes
    """The table's bytes in its segment."""
    used: bool = False
    """Whether a scan uses this definition."""


@dataclass(eq=False)
class _Part:
    """A segment of a stream."""

    marker: int
    """The marker's second byte."""
    segment: bytes
    """The segment with its marker."""
    coded: bytes = b""
    """The coded bytes behind a scan's header."""
    tables: tuple[_Table, ...] = ()
    """The tables that the segment defines."""


def shared_tables(tile: EncodedTile) -> bytes | None:
    """Return the tile's JPEGTables without tables that it does not use; None if it uses none.

    Raises:
        ValueError: the tile is damaged.
    """
    shared = _shared_parts(tile.encoding.jpeg_tables)
    _mark_used(shared, _parts(tile.data))
    kept = b"".join(filter(None, map(_written, shared)))
    return _SOI + kept + _EOI if kept else None


def _shared_parts(tables: bytes | None) -> list[_Part]:
    return [] if tables is None else [part for part in _parts(tables, of_tables=True) if part.tables]


def _parts(stream: bytes, of_tables: bool = False) -> list[_Part]:
    if not stream.startswith(_SOI):
        raise ValueError("JPEG stream does not start with SOI")
    parts: list[_Part] = []
    at = 2
    while at + 2 <= len(stream):
        if stream[at] != 0xFF:
            raise ValueError(f"JPEG marker expected at byte {at}")
        marker = stream[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == _EOI_MARKER:
            return parts
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if end > len(stream) or end < at + 4:
            raise ValueError(f"JPEG segment at byte {at} ends past the stream")
        segment, coded = stream[at:end], b""
        if marker == _SOS_MARKER:
            found = MARKER.search(stream, end)
            if found is None:
                raise ValueError("JPEG without EOI")
            coded = stream[end : found.start()].rstrip(b"\xff")
            end = found.start()
        parts.append(_Part(marker, segment, coded, tuple(_tables(marker, segment[4:]))))
        at = end
    if of_tables:
        return parts
    raise ValueError("JPEG without EOI")


def _tables(marker: int, body: bytes) -> Iterator[_Table]:
    for kind, number, start, end in tables_of(marker, body):
        if end > len(body) or kind > 1 or number > 3:
            raise ValueError("JPEG with a damaged table")
        yield _Table((marker, 0 if marker == DQT else kind, number), body[start:end])


def _mark_used(shared: list[_Part], parts: list[_Part]) -> None:
    """Mark the definitions of tables that the scans use."""
    defined = {table.key: table for part in shared for table in part.tables}
    components: dict[int, int] = {}
    frame = 0
    for part in parts:
        for table in part.tables:
            defined[table.key] = table
        if part.marker in FRAMES:
            frame, components = part.marker, _components(part)
        elif part.marker == _SOS_MARKER:
            for key in _used(frame, part, components):
                if key in defined:
                    _check_table(frame, defined[key])
                    defined[key].used = True


def _components(part: _Part) -> dict[int, int]:
    """Return the quantisation table of each component."""
    body = part.segment[4:]
    if part.marker not in _HUFFMAN or len(body) != 15 or body[5] != 3:
        raise ValueError("JPEG frame that is not sequential or progressive of three components")
    return dict(zip(body[6::3], body[8::3], strict=True))


def _used(frame: int, part: _Part, components: dict[int, int]) -> Iterator[tuple[int, int, int]]:
    body = part.segment[4:]
    count = body[0]
    if not frame or len(body) != 4 + 2 * count:
        raise ValueError("JPEG with a damaged scan")
    first, fine = body[1 + 2 * count], body[3 + 2 * count] >> 4
    for number, places in zip(body[1 : 1 + 2 * count : 2], body[2 : 2 + 2 * count : 2], strict=True):
        if number not in components:
            raise ValueError("JPEG scan of a component that the frame does not have")
        yield DQT, 0, components[number]
        if frame != _PROGRESSIVE or (not first and not fine):
            yield DHT, 0, places >> 4
        if frame != _PROGRESSIVE or first:
            yield DHT, 1, places & 15


def _check_table(frame: int, table: _Table) -> None:
    """Refuse a Huffman table with symbols that no coefficient can have, for they could be letters."""
    marker, kind, _ = table.key
    symbols = table.body[17:]
    if marker != DHT:
        return
    if kind == 0:
        is_sound = all(symbol <= 11 for symbol in symbols)
    else:
        is_sound = all(
            1 <= symbol & 15 <= 10 or symbol in (0, 0xF0) or frame == _PROGRESSIVE for symbol in symbols
        )
    if not is_sound or len(set(symbols)) < len(symbols):
        raise ValueError("JPEG Huffman table with symbols that no coefficient has")


def _written(part: _Part) -> bytes:
    """Return the segment with only the tables that are used."""
    kept = [table.body for table in part.tables if table.used]
    if len(kept) == len(part.tables):
        return part.segment
    return segment_of(part.marker, b"".join(kept)) if kept else b""


def bare_jpeg(tile: EncodedTile, tables: bytes | None) -> bytes:
    """Return the tile's stream without text, to stand beside JPEGTables of `tables`.

    Raises:
        ValueError: the tile is damaged, or holds a segment that no JPEG of a slide has.
    """
    shared, parts = _shared_parts(tile.encoding.jpeg_tables), _parts(tile.data)
    _mark_used(shared, parts)
    there = {table.key: table.body for part in _shared_parts(tables) for table in part.tables}
    lacking = [
        table for part in shared for table in part.tables if table.used and there.get(table.key) != table.body
    ]
    stream, has_frame = [_SOI], False
    adobe = [part for part in parts if part.marker == ADOBE_APP and part.segment[4:9] == b"Adobe"][-1:]
    for part in parts:
        if part.marker in (DQT, DHT):
            stream.append(_written(part))
        elif part.marker == APP0:
            is_first = len(stream) == 1 and part.segment[4:9] == b"JFIF\0"
            stream.append(_plain_jfif(part.segment) if is_first else b"")
        elif part in adobe:
            stream.append(_plain_adobe(part.segment))
        elif part.marker == _DRI and len(part.segment) == 6:
            stream.append(part.segment)
        elif part.marker in FRAMES:
            stream += [part.segment, *(segment_of(table.key[0], table.body) for table in lacking)]
            has_frame = True
        elif part.marker == _SOS_MARKER:
            stream += [part.segment, part.coded]
        elif part.marker not in TEXT_MARKERS | {ADOBE_APP}:
            raise ValueError(f"JPEG with an unexpected segment {part.marker:02x}")
    if not has_frame or not any(part.marker == _SOS_MARKER for part in parts):
        raise ValueError("JPEG without a picture")
    return b"".join([*stream, _EOI])


def _plain_jfif(segment: bytes) -> bytes:
    """Return the segment unchanged if it states a usual density and has no thumbnail, else a plain one."""
    if len(segment) == len(_JFIF) and segment[9] == 1 and segment[10] <= 2 and segment[11] <= 2:
        across, down = struct.unpack_from(">HH", segment, 12)
        if max(across, down) <= _MOST_DENSITY and not any(segment[16:]):
            return segment
    return _JFIF


def _plain_adobe(segment: bytes) -> bytes:
    """Return the segment unchanged if its flags are usual, else a plain one with its colour transform."""
    if len(segment) < _ADOBE_BYTES:
        return b""
    is_usual = segment[9:11] in (b"\0\x64", b"\0\x65") and segment[11] in (0, 0x40, 0x80, 0xC0)
    if is_usual and not any(segment[12:15]) and len(segment) == _ADOBE_BYTES:
        return segment
    return _ADOBE + segment[_ADOBE_BYTES - 1 : _ADOBE_BYTES]
