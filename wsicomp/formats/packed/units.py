"""Packs a piece of a slide's bytes: JPEG as JPEG XL, the rest by Zstandard, or stored if nothing is gained.

Whatever is packed is unpacked at once and compared: a piece whose bytes do not come back is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from threading import Lock
from typing import TypeAlias

import imagecodecs

from wsicomp.codecs.jpegxl import Transcoder
from wsicomp.codecs.jpegxl_stream import without_container
from wsicomp.formats.originals.forms import BLOCK_BYTES, STORED, WHOLE_JPEG, ZSTD, UnitForm
from wsicomp.formats.originals.restart_intervals import IntervalRows, rectangle_stream
from wsicomp.geometry import Size
from wsicomp.slide import JPEG, RGB, YCBCR, EncodedTile, TileEncoding

_LEVEL = 12
_LARGE_PX = 1 << 22
_TRIALS = 6
_MOST_SHARED, _MOST_SEEN, _MOST_SHARED_BYTES = 256, 4096, 1 << 12
_large = Lock()
"""Held for a picture of more than 4 Mpx: libjxl takes up to 21 bytes a pixel."""
_TRANSCODER = Transcoder()

Runs: TypeAlias = tuple[tuple[int, int], ...]
"""(offset, count) of bytes in a slide's files laid end to end."""


@dataclass(frozen=True)
class Piece:
    """Bytes that are packed together."""

    runs: Runs
    """Where they stand."""
    data: bytes
    """What they are."""


@dataclass(frozen=True)
class JpegPiece(Piece):
    """A JPEG stream."""

    size: Size
    """Its size in pixels."""


@dataclass(frozen=True)
class TilePiece(Piece):
    """A JPEG stream that lacks tables."""

    size: Size
    """Its size in pixels."""
    encodings: Sequence[TileEncoding]
    """How its container may have it decoded, the best guess first."""


@dataclass(frozen=True)
class IntervalPiece(Piece):
    """Restart intervals of a JPEG."""

    header: bytes
    """The header with which they are a JPEG."""
    rows: IntervalRows
    """How they are numbered."""


@dataclass(frozen=True)
class PackedUnit:
    """A unit as it will be stored."""

    form: UnitForm
    """Its form."""
    stored: bytes
    """What is stored."""
    unpacked: bytes
    """What that unpacks to."""


def packed_units(piece: Piece) -> tuple[Piece, list[PackedUnit]]:
    """Return a piece and its units, whose unpacked bytes together are those of the piece.

    Memory: about 21 bytes for each pixel of a JPEG; of those over 4 Mpx one is packed at a time.
    """
    for form, stored in _candidates(piece):
        if _is_gain(stored, piece.data) and _gives_back(form, stored, piece.data):
            return piece, [PackedUnit(form, stored, piece.data)]
    data = piece.data
    return piece, [_block(data[at : at + BLOCK_BYTES]) for at in range(0, len(data), BLOCK_BYTES)]


def _is_gain(stored: bytes, data: bytes) -> bool:
    """Return whether a packed JPEG is smaller, or would be without what other JPEGs may have, too."""
    if len(stored) < len(data) or len(data) > BLOCK_BYTES:
        return len(stored) < len(data)
    parts = without_container(stored)
    return parts is not None and len(parts[0]) < len(data)


def _candidates(piece: Piece) -> Iterator[tuple[UnitForm, bytes]]:
    try:
        if isinstance(piece, JpegPiece):
            is_large = piece.size.width * piece.size.height > _LARGE_PX
            with _large if is_large else nullcontext():
                yield WHOLE_JPEG, _jpegxl(piece.data)
        elif isinstance(piece, IntervalPiece):
            stream = rectangle_stream(piece.header, piece.rows, piece.data)
            yield UnitForm("intervals", rows=piece.rows), _jpegxl(stream)
    except (ValueError, RuntimeError):  # no JPEG after all, or one that libjxl does not know
        return
    if isinstance(piece, TilePiece):
        for encoding in piece.encodings:
            stored = _TRANSCODER.transcode(EncodedTile(piece.data, encoding, piece.size))
            if stored is not None:
                yield UnitForm("tile", encoding, piece.size), stored


class TileEncodings:
    """Finds out by a file's first tiles which tables they share, and whether they are RGB or YCbCr.

    Any tables that decode a tile give back its bytes, and so do the wrong colours, which pack 5 % worse.
    """

    def __init__(self, tables: Sequence[bytes]) -> None:
        every = [
            TileEncoding(JPEG, colors, jpeg_tables=one) for one in (*tables, None) for colors in (YCBCR, RGB)
        ]
        self._bytes = dict.fromkeys(every, 0)
        self._trials = 0

    def ranked(self, data: bytes, size: Size) -> list[TileEncoding]:
        """Return the encodings, the best one first, from all tiles that came up to this one."""
        if self._trials < _TRIALS:
            self._trials += 1
            for encoding in self._bytes:
                stored = _TRANSCODER.transcode(EncodedTile(data, encoding, size))
                self._bytes[encoding] += len(data if stored is None else stored)
        return sorted(self._bytes, key=self._bytes.__getitem__)


class SharedRebuilding:
    """Takes out of packed JPEGs what rebuilds them, where others have the same: up to a fifth of small ones.

    It goes into the form, and so once into the index, from the second JPEG on that has it.
    """

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._shared: set[bytes] = set()

    def shared(self, unit: PackedUnit) -> PackedUnit:
        """Return a unit as it is stored best; units come in the order of the file."""
        if unit.form.kind in ("zstd", "stored"):
            return unit
        parts = without_container(unit.stored)
        if parts is None or len(parts[1]) > _MOST_SHARED_BYTES or not self._is_shared(parts[1]):
            return unit if len(unit.stored) < len(unit.unpacked) else _block(unit.unpacked)
        return replace(unit, form=replace(unit.form, jbrd=parts[1]), stored=parts[0])

    def _is_shared(self, rebuilding: bytes) -> bool:
        if rebuilding not in self._shared and rebuilding in self._seen and len(self._shared) < _MOST_SHARED:
            self._shared.add(rebuilding)
        if len(self._seen) < _MOST_SEEN:
            self._seen.add(rebuilding)
        return rebuilding in self._shared


def _jpegxl(stream: bytes) -> bytes:
    return bytes(imagecodecs.jpegxl_encode_jpeg(stream, usecontainer=True, numthreads=1))


def _gives_back(form: UnitForm, stored: bytes, data: bytes) -> bool:
    try:
        return form.unpacked(stored, len(data)) == data
    except ValueError:
        return False


def _block(data: bytes) -> PackedUnit:
    stored = bytes(imagecodecs.zstd_encode(data, level=_LEVEL))
    return PackedUnit(ZSTD, stored, data) if len(stored) < len(data) else PackedUnit(STORED, data, data)
