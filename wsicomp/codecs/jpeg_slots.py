"""Slots of JPEG tables: a tile's own tables beside those that its level shares.

A decoder of a TIFF level keeps every table that any tile defines (libtiff, Pillow). A tile that redefined a
shared table would spoil the tiles after it, so its own tables go into slots that the level leaves free.

Source: ITU-T T.81 annex B (markers).
"""

from __future__ import annotations

from collections.abc import Iterator

from wsicomp.codecs.jpeg_stream import DHT, DQT, FRAMES, segments, tables_of

_BASELINE, _EXTENDED = 0xC0, 0xC1
_SLOTS, _BASELINE_SLOTS = 4, 2
"""How many tables of a kind a JPEG can have, and how many for Huffman codes a baseline one."""


def in_free_slots(stream: bytes, tables: bytes | None) -> bytes:
    """Return a JPEG of one scan with its tables in slots that the JPEGTables `tables` do not use.

    Where baseline has no slot left, it becomes extended sequential, which every decoder reads as well.

    Raises:
        ValueError: there is no room for tables beside the shared ones, or the bytes are not a JPEG header.
    """
    taken = {(marker, number) for marker, number, _ in _numbered(tables)} if tables else set()
    moved: dict[tuple[int, int], int] = {}
    for kind in (DQT, DHT):
        own = sorted({number for marker, number, _ in _numbered(stream) if marker == kind})
        free = [place for place in range(_SLOTS) if (kind, place) not in taken]
        if len(free) < len(own):
            raise ValueError("no room for tables beside the shared ones")
        moved |= {(kind, number): place for number, place in zip(own, free, strict=False)}
    return _renumbered(stream, moved)


def _numbered(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, slot, place of its byte) of every table in a stream's header."""
    for marker, start, end in segments(stream):
        for _, number, at, _ in tables_of(marker, stream[start + 4 : end]):
            yield marker, number, start + 4 + at


def _renumbered(stream: bytes, moved: dict[tuple[int, int], int]) -> bytes:
    changed = bytearray(stream)
    for marker, number, at in _numbered(stream):
        changed[at] = changed[at] & 0xF0 | moved[marker, number]
    behind = 2
    for marker, start, end in segments(stream):
        if marker in FRAMES:
            if marker == _BASELINE and any(
                place >= _BASELINE_SLOTS for (kind, _), place in moved.items() if kind == DHT
            ):
                changed[start + 1] = _EXTENDED
            for at in range(start + 12, end, 3):
                changed[at] = moved.get((DQT, changed[at]), changed[at])
        behind = end
    for at in range(behind + 6, behind + 6 + 2 * stream[behind + 4], 2):
        coarse, fine = changed[at] >> 4, changed[at] & 15
        changed[at] = moved.get((DHT, coarse), coarse) << 4 | moved.get((DHT, fine), fine)
    return bytes(changed)
