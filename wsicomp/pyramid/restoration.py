"""What rebuilds a source's file byte for byte from its conversion.

Tiles and strips come back out of the target's own. All other bytes of the source, its directories, gaps,
tails and whatever else lies in it, are appended to the target in one LZMA stream, behind the list of what
stands between them:

    count          int64, little endian
    gaps           count x int64: bytes of the stream that stand before each piece
    directories    count x int64: the target's image that holds the piece
    steps          count x int64: its tile or strip, as the difference to that of the piece before
    the bytes of all gaps, and of what follows the last piece
"""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency import batched, ordered_map
from wsicomp.errors import SlideReadError
from wsicomp.geometry import TileIndex
from wsicomp.plan import ConversionPlan, LevelPlan
from wsicomp.readers.converted import ConvertedSlide
from wsicomp.readers.tiff import TiffSlide
from wsicomp.stages import StageProgress, untold

_BLOCK_BYTES = 1 << 20
_PRESET = 3


@dataclass(frozen=True)
class _Pieces:
    """Where the target's tiles and strips lie in the source, sorted and apart; four int64 of one length."""

    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    directories: NDArray[np.int64]
    numbers: NDArray[np.int64]


def remainder_blocks(source: TiffSlide, plan: ConversionPlan) -> Iterator[bytes]:
    """All of the source that the target does not hold otherwise, compressed, in blocks to be appended.

    Memory: four numbers for each tile, and the compressor's 32 MB.

    Raises:
        SlideReadError: the source cannot be read.
    """
    pieces = _pieces(source, plan)
    compressor = lzma.LZMACompressor(preset=_PRESET)
    ends = pieces.offsets + pieces.counts
    starts = np.concatenate([[0], ends])
    gaps = np.concatenate([pieces.offsets, [plan.source.bytes]]) - starts
    steps = np.diff(pieces.numbers, prepend=0)
    for numbers in (np.array([len(steps)]), gaps[:-1], pieces.directories, steps):
        yield compressor.compress(numbers.astype("<i8").tobytes())
    for start, gap in zip(starts.tolist(), gaps.tolist(), strict=True):
        for at in range(start, start + gap, _BLOCK_BYTES):
            count = min(_BLOCK_BYTES, start + gap - at)
            yield compressor.compress(source.file.read(at, count, f"byte {at}"))
    yield compressor.flush()


def _pieces(source: TiffSlide, plan: ConversionPlan) -> _Pieces:
    rows = []
    for directory, part in enumerate(plan.directories):
        if isinstance(part, LevelPlan):
            if part.reduction > 1:
                continue
            ranges = source.tile_ranges(part.source_level)
        else:
            ranges = source.strip_ranges(part)
        numbers = np.arange(len(ranges))
        rows.append(np.column_stack([ranges, np.full(len(ranges), directory), numbers]))
    table = np.concatenate(rows)
    table = table[table[:, 1] > 0]
    table = table[np.argsort(table[:, 0], kind="stable")]
    # Tiles that share bytes, wholly or in part, come from the first of them and from the gaps.
    end, apart = 0, np.zeros(len(table), np.bool_)
    for number, (offset, count) in enumerate(table[:, :2].tolist()):
        if offset >= end:
            end, apart[number] = offset + count, True
    return _Pieces(*np.ascontiguousarray(table[apart].T))


def restored_blocks(slide: ConvertedSlide, workers: int, progress: StageProgress = untold) -> Iterator[bytes]:
    """The source's bytes in order, and checked: the last one comes only if all of them are right.

    Memory: some tiles for each worker, three numbers for each tile.

    Raises:
        SlideReadError: the file does not hold what rebuilds its source, or is damaged.
    """
    source = slide.provenance.plan.source
    digest, total, held = hashlib.sha256(), 0, b""
    try:
        for block in _blocks(slide, workers):
            yield held
            digest.update(block)
            total, held = total + len(block), block
            if total > source.bytes:
                raise ValueError(f"it makes more than the {source.bytes} bytes of the source")
            progress(min(total, source.bytes), source.bytes)
    except (lzma.LZMAError, EOFError, ValueError, LookupError) as exc:
        raise SlideReadError(f"what rebuilds the source is damaged ({exc})", slide.info.path) from exc
    if (total, digest.hexdigest()) != (source.bytes, source.sha256):
        found = f"{total} bytes with SHA-256 {digest.hexdigest()}"
        message = f"rebuilds {found}, expected {source.bytes} with {source.sha256}"
        raise SlideReadError(message, slide.info.path)
    yield held


def _blocks(slide: ConvertedSlide, workers: int) -> Iterator[bytes]:
    with slide.open_restoration() as file, lzma.LZMAFile(file) as stream:
        yield from _interleaved(slide, stream, workers)


def _interleaved(slide: ConvertedSlide, stream: lzma.LZMAFile, workers: int) -> Iterator[bytes]:
    (count,) = _numbers(stream, 1).tolist()
    plan = slide.provenance.plan
    if not 0 <= count <= _most_pieces(slide):
        raise ValueError(f"{count} pieces")
    gaps, directories, steps = (_numbers(stream, count) for _ in range(3))
    if (gaps < 0).any():
        raise ValueError("a gap of less than nothing")
    places = zip(directories.tolist(), np.cumsum(steps).tolist(), strict=True)
    parts = plan.directories

    def rebuilt(batch: list[tuple[int, int]]) -> list[bytes]:
        return [_piece(slide, parts[directory], number) for directory, number in batch]

    left = iter(gaps.tolist())
    with closing(ordered_map(rebuilt, batched(places), workers)) as batches:
        for batch in batches:
            for piece in batch:
                yield from _read_exactly(stream, next(left))
                yield piece
    while block := stream.read(_BLOCK_BYTES):
        yield block


def _most_pieces(slide: ConvertedSlide) -> int:
    tiles = sum(level.grid.count for level in slide.info.levels)
    return tiles + sum(len(image.strips) for image in slide.info.associated_images.values())


def _numbers(stream: lzma.LZMAFile, count: int) -> NDArray[np.int64]:
    return np.frombuffer(b"".join(_read_exactly(stream, 8 * count)), "<i8").astype(np.int64)


def _read_exactly(stream: lzma.LZMAFile, count: int) -> Iterator[bytes]:
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
