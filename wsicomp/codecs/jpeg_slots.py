"""Slots of JPEG tables: a tile's own tables beside those that its level shares.

A decoder of a TIFF level keeps every table that any tile defines (libtiff, Pillow). A tile that redefined a
shared table would spoil the tiles after it, so its own tables go into slots that the level leaves free. A
progressive JPEG defines tables between its scans as well.

Source: ITU-T T.81 annex B (markers).
"""

from __future__ import annotations

from collections.abc import Iterator

from wsicomp.codecs.jpeg_stream import DHT, DQT, EOI, FRAMES, MARKER, SOS, segments, tables_of

_BASELINE, _EXTENDED = 0xC0, 0xC1
_SLOTS, _BASELINE_SLOTS = 4, 2
"""How many tables of a kind a JPEG can have, and how many for Huffman codes a baseline one."""
_Moved = dict[tuple[int, int], int]


def in_free_slots(stream: bytes, tables: bytes | None) -> bytes:
    """Return a JPEG with its tables in slots that the JPEGTables `tables` do not use.

    Where baseline has no slot left, it becomes extended sequential, which every decoder reads as well.

    Raises:
        ValueError: there is no room for tables beside the shared ones, or the bytes are not a JPEG header.
    """
    taken = {(marker, number) for marker, number, _ in _numbered(tables)} if tables else set()
    moved: _Moved = {}
    for kind in (DQT, DHT):
        own = sorted({number for marker, number, _ in _numbered(stream) if marker == kind})
        free = [place for place in range(_SLOTS) if (kind, place) not in taken]
        if len(free) < len(own):
            raise ValueError("no room for tables beside the shared ones")
        moved |= {(kind, number): place for number, place in zip(own, free, strict=False)}
    return _renumbered(stream, moved)


def _all_segments(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker code, start, end) of each marker segment, all scans' headers among them."""
    at = 2
    for marker, start, end in segments(stream):
        yield marker, start, end
        at = end
    while (found := MARKER.search(stream, at)) and found[0][1] != EOI:
        start = found.start()
        at = start + 2 + int.from_bytes(stream[start + 2 : start + 4], "big")
        yield found[0][1], start, at


def _numbered(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, slot, place of its byte) of every table in a stream."""
    for marker, start, end in _all_segments(stream):
        for _, number, at, _ in tables_of(marker, stream[start + 4 : end]):
            yield marker, number, start + 4 + at


def _renumbered(stream: bytes, moved: _Moved) -> bytes:
    changed = bytearray(stream)
    for marker, number, at in _numbered(stream):
        changed[at] = changed[at] & 0xF0 | moved[marker, number]
    needs_extension = any(place >= _BASELINE_SLOTS for (kind, _), place in moved.items() if kind == DHT)
    for marker, start, end in _all_segments(stream):
        if marker in FRAMES:
            if marker == _BASELINE and needs_extension:
                changed[start + 1] = _EXTENDED
            for at in range(start + 12, end, 3):
                changed[at] = moved.get((DQT, changed[at]), changed[at])
        elif marker == SOS:
            _renumber_scan(changed, start, end, moved)
    return bytes(changed)


def _renumber_scan(changed: bytearray, start: int, end: int, moved: _Moved) -> None:
    """Renumber the tables in a scan's header; one that the scan does not use stays 0."""
    first, last = changed[end - 3], changed[end - 2]
    for at in range(start + 6, end - 3, 2):
        coarse, fine = changed[at] >> 4, changed[at] & 15
        coarse = moved.get((DHT, coarse), coarse) if first == 0 else 0
        fine = moved.get((DHT, fine), fine) if last > 0 else 0
        changed[at] = coarse << 4 | fine
