"""Strip JPEG 2000 tiles of what no decoder reads: comments, lengths, and bytes behind the coded ones.

Source: ITU-T T.800 annex A.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from wsicomp.codecs.embedded_text import decodes_alike, refuse_words
from wsicomp.codecs.jpeg2000_header import check_main_header
from wsicomp.slide import EncodedTile, Pixels

_SOT, _SOD = 0x90, 0x93


_TEXT_AND_LENGTHS = frozenset({0x64, 0x55, 0x57, 0x58, 0x63})
"""COM; TLM, PLM and PLT, which only speed up a search for parts; CRG, which no decoder uses."""


@dataclass(frozen=True)
class _TilePart:
    """A tile-part of a codestream."""

    tile: bytes
    """The SOT segment up to the part's length."""
    places: bytes
    """The SOT segment behind the part's length."""
    has_length: bool
    """Whether SOT states the part's length."""
    coded: bytes
    """The coded bytes."""

    def written(self) -> bytes:
        length = 12 + 2 + len(self.coded) if self.has_length else 0
        return self.tile + length.to_bytes(4, "big") + self.places + b"\xff\x93" + self.coded


def bare_jpeg2000(tile: EncodedTile, decode: Callable[[EncodedTile], Pixels]) -> bytes:
    """Return the tile's codestream without text.

    Raises:
        ValueError: the codestream is damaged, or holds words behind its coded bytes.
    """
    stream = tile.data
    segments, at = _header(stream, 2, _SOT)
    check_main_header([(segment[1], segment[4:]) for segment in segments])
    head, parts = stream[:2] + b"".join(segments), _tile_parts(stream, at)

    def written(number: int, count: int) -> bytes:
        """The stream, one of its parts so many bytes shorter."""
        part = parts[number]
        shorter = replace(part, coded=part.coded[: len(part.coded) - count])
        made = [*parts[:number], shorter, *parts[number + 1 :]]
        return b"".join([head, *(part.written() for part in made), b"\xff\xd9"])

    data = written(0, 0)
    shows = decodes_alike(decode, tile, data)
    for number, part in enumerate(parts):
        refuse_words(shows, partial(written, number), part.coded)
    return data


def _tile_parts(stream: bytes, at: int) -> list[_TilePart]:
    parts: list[_TilePart] = []
    while stream[at : at + 2] != b"\xff\xd9":
        if stream[at : at + 4] != b"\xff\x90\0\x0a" or len(stream) < at + 12:
            raise ValueError("JPEG 2000 without an end")
        length = int.from_bytes(stream[at + 6 : at + 10], "big")
        segments, body = _header(stream, at + 12, _SOD)
        end = at + length if length else stream.find(b"\xff\xd9", body)
        if segments or end < body + 2 or end + 2 > len(stream):
            raise ValueError("JPEG 2000 tile-part that ends past the stream, or has a header of its own")
        tile, places = stream[at : at + 6], stream[at + 10 : at + 12]
        parts.append(_TilePart(tile, places, length > 0, stream[body + 2 : end]))
        at = end
    if not parts:
        raise ValueError("JPEG 2000 without a tile")
    return parts


def _header(stream: bytes, at: int, until: int) -> tuple[list[bytes], int]:
    """Return (the segments that code something, where the marker `until` stands that ends the header)."""
    kept: list[bytes] = []
    while at + 4 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker == until:
            return kept, at
        length = int.from_bytes(stream[at + 2 : at + 4], "big")
        segment = stream[at : at + 2 + length]
        if length < 2 or len(segment) < 2 + length:
            break
        if marker not in _TEXT_AND_LENGTHS:
            kept.append(segment)
        at += 2 + length
    raise ValueError("JPEG 2000 with a damaged header")
