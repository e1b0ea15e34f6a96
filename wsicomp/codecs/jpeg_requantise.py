"""Encode pixels as JPEG with the quantisation tables of the tile that they replace."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image

from wsicomp.codecs.jpeg_stream import (
    DHT,
    DQT,
    FRAMES,
    decodable_stream,
    segments,
    tables_behind_frame,
    tables_of,
    with_plain_colors,
)
from wsicomp.slide import RGB, EncodedTile, Pixels, TileEncoding

_SAMPLING = {(1, 1): 0, (2, 1): 1, (2, 2): 2, (4, 1): "4:1:1"}
_USUAL_QUALITY = 95
_PLACES = 4
"""How many tables of a kind a JPEG can have."""


def requantised(tile: EncodedTile, encoding: TileEncoding, pixels: Pixels) -> bytes:
    """Return the pixels as a tile of this encoding, with `tile`'s quantisation if that can be read.

    Raises:
        ValueError: there is no room for tables beside the shared ones.
        OSError: the library refuses the pixels.
    """
    options = {"qtables": _quantisation(tile)} if _quantisation(tile) else {"quality": _USUAL_QUALITY}
    stream = io.BytesIO()
    Image.fromarray(pixels).save(
        stream,
        "JPEG",
        subsampling=_SAMPLING[encoding.subsampling],
        keep_rgb=encoding.photometric == RGB,
        optimize=True,
        **options,
    )
    plainly = with_plain_colors(stream.getvalue(), encoding.photometric)
    return tables_behind_frame(_beside(plainly, encoding.jpeg_tables))


def _quantisation(tile: EncodedTile) -> list[list[int]]:
    """Return the tile's quantisation tables of luma and chroma; empty if they cannot be read."""
    try:
        with Image.open(io.BytesIO(decodable_stream(tile.data, tile.encoding)), formats=("JPEG",)) as image:
            found = dict(image.quantization)  # type: ignore[attr-defined]
            layer = image.layer  # type: ignore[attr-defined]
        return [list(found[layer[0][3]]), list(found[layer[1][3]])]
    except (OSError, ValueError, SyntaxError, LookupError, AttributeError):
        return []


def _beside(stream: bytes, tables: bytes | None) -> bytes:
    """Return the stream with its tables in slots that the shared tables do not use."""
    taken = {(marker, number) for marker, number, _ in _numbered(tables)} if tables else set()
    moved: dict[tuple[int, int], int] = {}
    for kind in (DQT, DHT):
        own = sorted({number for marker, number, _ in _numbered(stream) if marker == kind})
        free = [place for place in range(_PLACES) if (kind, place) not in taken]
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
            for at in range(start + 12, end, 3):
                changed[at] = moved.get((DQT, changed[at]), changed[at])
        behind = end
    for at in range(behind + 6, behind + 6 + 2 * stream[behind + 4], 2):
        coarse, fine = changed[at] >> 4, changed[at] & 15
        changed[at] = moved.get((DHT, coarse), coarse) << 4 | moved.get((DHT, fine), fine)
    return bytes(changed)
