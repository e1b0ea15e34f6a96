"""Rebuilds a source's file from a conversion of wsicomp 0.7 and before, in order alone.

Tiles and strips are taken from the file's own. All other bytes of the source, its directories, gaps and
whatever else is in it, are in one LZMA stream behind the images, which begins with the list of the pieces:

    count          int64, little endian
    gaps           count x int64: bytes of the stream that stand before each piece
    directories    count x int64: the target's image that holds the piece
    steps          count x int64: its tile or strip, as the difference to that of the piece before
    the bytes of all gaps, and of what follows the last piece
"""

from __future__ import annotations

import hashlib
import io
import lzma
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency.threads import batched, ordered_map
from wsicomp.errors import SlideReadError
from wsicomp.files.limits import tiles_at_once, workers_for
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.originals.forms import STORED, UnitForm
from wsicomp.formats.originals.writing import BlockPacker, IndexBuilder
from wsicomp.geometry import TileIndex
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.progress import StageProgress
from wsicomp.text.figures import as_bytes

_BLOCK_BYTES = 1 << 20
_PRESET = 3
_MOST_DICTIONARY_BYTES = 1 << 28
_MOST_BESIDE_BYTES, _MOST_RATIO = 1 << 30, 1000
"""The bytes that a remainder may always unpack to, and the most for each packed byte.

LZMA packs zeros 7000 times.
"""
_LEAST_PIECE_BYTES, _BYTES_A_PIXEL = 1 << 16, 9
"""The most bytes that a packed tile unpacks to.

Samples and a stream's headers, or a JPEG with its comments.
"""


def check_lzma_stated(slide: ConvertedSlide) -> None:
    """Check the source size that a file states against the bytes that it holds, before anything is rebuilt.

    Raises:
        SlideReadError: the file holds far less than it states, its list of pieces is damaged, or it holds no
            source.
    """
    stated = slide.provenance.plan.source.bytes
    with rebuilding(slide), _remainder(slide) as stream:
        pieces = _read_piece_list(slide, stream)
        most = _most_bytes(slide, pieces) + _most_remainder_bytes(slide)
        if int(pieces.gaps.sum()) > min(stated, _most_remainder_bytes(slide)) or stated > most:
            found = f"it states {as_bytes(stated)} of a source, and holds what makes {as_bytes(most)} at most"
            raise SlideReadError(f"{found}; if you trust it, restore it with `trust=True`", slide.info.path)


@contextmanager
def rebuilding(slide: ConvertedSlide) -> Iterator[None]:
    """Turn errors of what is rebuilt into one that names the file.

    Raises:
        SlideReadError: the stream or a tile is damaged.
    """
    try:
        yield
    except (lzma.LZMAError, EOFError, ValueError, LookupError, OverflowError) as exc:
        raise SlideReadError(
            f"the bytes that rebuild the source are damaged ({exc})", slide.info.path
        ) from exc


@contextmanager
def _remainder(slide: ConvertedSlide) -> Iterator[BinaryIO]:
    """Yield the stream of all bytes that are in no tile; its lists come first."""
    with slide.open_restoration() as file, io.BufferedReader(_Unpacked(file)) as stream:
        yield stream


class _Unpacked(io.RawIOBase):
    """An LZMA stream as a file, with a bound on the memory of its dictionary that `lzma.LZMAFile` lacks."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._unpacker = lzma.LZMADecompressor(memlimit=_MOST_DICTIONARY_BYTES)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as one step of the decompressor goes; return 0 at the end.

        Raises:
            LZMAError: the stream is damaged, or needs more memory than any that wsicomp writes.
            EOFError: the stream ends too early.
        """
        room = memoryview(buffer)
        while not self._unpacker.eof:
            data = self._file.read(_BLOCK_BYTES) if self._unpacker.needs_input else b""
            if self._unpacker.needs_input and not data:
                raise EOFError("it ends too early")
            if found := self._unpacker.decompress(data, len(room)):
                room[: len(found)] = found
                return len(found)
        return 0


@dataclass(frozen=True)
class _PieceList:
    """The pieces in the source's order.

    Bytes of the remainder before each, and the tile or strip that it is.
    """

    gaps: NDArray[np.int64]
    directories: NDArray[np.int64]
    numbers: NDArray[np.int64]


def _read_piece_list(slide: ConvertedSlide, stream: BinaryIO) -> _PieceList:
    (count,) = _numbers(stream, 1).tolist()
    most = sum(level.grid.count for level in slide.info.levels)
    most += sum(len(image.strips) for image in slide.info.associated_images.values())
    if not 0 <= count <= most:
        raise ValueError(f"{count} pieces")
    gaps, directories, steps = (_numbers(stream, count) for _ in range(3))
    stated = slide.provenance.plan.source.bytes
    if (gaps < 0).any() or (gaps > stated).any():
        raise ValueError("a gap of less than nothing, or of more than the source")
    listed = _PieceList(gaps, directories, np.cumsum(steps))
    if len(np.unique(np.column_stack([listed.directories, listed.numbers]), axis=0)) < count:
        raise ValueError("a piece that comes twice")
    return listed


def _most_bytes(slide: ConvertedSlide, pieces: _PieceList) -> int:
    """Return the most bytes that the pieces unpack to.

    Stored bytes for copied tiles, a bound by pixels for packed.

    Raises:
        ValueError: a piece is no tile or strip, or several are the same bytes of the file.
    """
    total = 0
    parts = slide.provenance.plan.directories
    for directory in np.unique(pieces.directories).tolist():
        if not 0 <= directory < len(parts):
            raise ValueError(f"image {directory} of {len(parts)}")
        part, numbers = parts[directory], pieces.numbers[pieces.directories == directory]
        if isinstance(part, str):
            total += sum(len(strip) for strip in slide.info.associated_images[part].strips)
            continue
        if numbers.min() < 0 or numbers.max() >= part.grid.count:
            raise ValueError(f"tile {numbers.max()} of level {part.number}")
        ranges = slide.tile_ranges(part.number)[numbers]
        if len(np.unique(ranges[:, 0])) < len(ranges):
            raise ValueError(f"several tiles of level {part.number} by the same bytes")
        total += int(ranges[:, 1].sum())
        packed = int((part.actions.reshape(-1)[numbers] == TileAction.TRANSCODE.value).sum())
        total += packed * max(_LEAST_PIECE_BYTES, part.tile.width * part.tile.height * _BYTES_A_PIXEL)
    return total


def _most_remainder_bytes(slide: ConvertedSlide) -> int:
    """Return the most bytes that the remainder unpacks to.

    A real one is directories and texts, and hardly shrinks.
    """
    kept = slide.provenance.restoration
    return max(_MOST_BESIDE_BYTES, 0 if kept is None else kept.bytes * _MOST_RATIO)


@dataclass(frozen=True)
class _Part:
    """Bytes of the source: those of a tile or strip, by its image and number, or else of the remainder."""

    data: bytes
    directory: int = -1
    number: int = -1


def lzma_blocks(slide: ConvertedSlide, workers: int) -> Iterator[bytes]:
    """Yield the source's bytes in order, unchecked but for their tiles' digests.

    Memory: some tiles for each worker, three numbers for each tile.

    Raises:
        SlideReadError: a tile or the stream cannot be read.
        LZMAError: the stream is damaged, or one of the other errors that `rebuilding` translates.
    """
    for part in _parts(slide, workers):
        yield part.data


def _parts(slide: ConvertedSlide, workers: int) -> Iterator[_Part]:
    parts = slide.provenance.plan.directories
    largest = max((level.tile for level in slide.info.levels), key=lambda tile: tile.width * tile.height)

    def rebuilt(batch: list[tuple[int, int]]) -> list[_Part]:
        return [
            _Part(_piece(slide, parts[directory], number), directory, number) for directory, number in batch
        ]

    with _remainder(slide) as stream:
        listed = _read_piece_list(slide, stream)
        places = zip(listed.directories.tolist(), listed.numbers.tolist(), strict=True)
        left = iter(listed.gaps.tolist())
        batches_of_places = batched(places, tiles_at_once(largest))
        with closing(ordered_map(rebuilt, batches_of_places, workers_for(largest, workers))) as batches:
            for piece in chain.from_iterable(batches):
                yield from map(_Part, _read_exactly(stream, next(left)))
                yield piece
        while block := stream.read(_BLOCK_BYTES):
            yield _Part(block)


class LzmaRemainder:
    """The remainder of a conversion of 0.7 or before, as blocks and an index of today.

    `blocks` are to be written behind the images; then `index`. `progress` is told the source's bytes.
    """

    def __init__(self, slide: ConvertedSlide, workers: int, progress: StageProgress) -> None:
        self._slide, self._workers, self._progress = slide, workers, progress
        self._builder = IndexBuilder()

    def blocks(self, offset: int) -> Iterator[bytes]:
        """Yield the bytes of the source that no tile or strip holds, in packed blocks, the first at `offset`.

        Raises:
            SlideReadError: the file cannot be read, or does not rebuild its source.
        """
        packer, total, digest = BlockPacker(self._builder, offset), 0, hashlib.sha256()
        source = self._slide.provenance.plan.source
        with rebuilding(self._slide):
            ranges = self._slide.stored_ranges()
            for part in _parts(self._slide, self._workers):
                digest.update(part.data)
                total += len(part.data)
                self._progress(min(total, source.bytes), source.bytes)
                if part.directory < 0:
                    yield from packer.add(part.data)
                else:
                    self._add(part, *ranges[part.directory][part.number].tolist())
            yield from packer.end()
        if (total, digest.hexdigest()) != (source.bytes, source.sha256):
            path = self._slide.info.path
            raise SlideReadError("does not rebuild its source; take the file from a copy", path)

    def _add(self, part: _Part, offset: int, count: int) -> None:
        stored = self._slide.file.read(offset, count, "a tile")
        unit = self._builder.add_unit(self._form(part, stored), offset, count, part.data)
        self._builder.add_extent(unit, 0, len(part.data))

    def _form(self, part: _Part, stored: bytes) -> UnitForm:
        plan = self._slide.provenance.plan.directories[part.directory]
        if stored == part.data or isinstance(plan, str):
            return STORED
        row, column = divmod(part.number, plan.grid.columns)
        return UnitForm("tile", plan.recipe(TileIndex(plan.number, column, row)).shown, plan.tile)

    def index(self) -> bytes:
        """Return the index, once all blocks are written."""
        return self._builder.index().to_bytes()


def _numbers(stream: BinaryIO, count: int) -> NDArray[np.int64]:
    return np.frombuffer(b"".join(_read_exactly(stream, 8 * count)), "<i8").astype(np.int64)


def _read_exactly(stream: BinaryIO, count: int) -> Iterator[bytes]:
    while count:
        block = stream.read(min(count, _BLOCK_BYTES))
        if not block:
            raise EOFError("it ends too early")
        count -= len(block)
        yield block


def _piece(slide: ConvertedSlide, part: LevelPlan | str, number: int) -> bytes:
    if isinstance(part, str):
        return slide.info.associated_images[part].strips[number]
    row, column = divmod(number, part.grid.columns)
    if not 0 <= row < part.grid.rows:
        raise ValueError(f"tile {number} of level {part.number}")
    return slide.read_encoded_tile(TileIndex(part.number, column, row)).data
