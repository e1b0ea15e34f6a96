"""Rebuilds a source's file byte for byte from its conversion, any part of it at random."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from wsicomp.concurrency.forks import fork_safe_property
from wsicomp.errors import SlideReadError, UnsupportedSlideError
from wsicomp.files.inputs import check_file, reading, reason
from wsicomp.files.json_values import parsed_bytes
from wsicomp.files.limits import budget_bytes
from wsicomp.formats.converted.lzma_restoration import check_lzma_stated, lzma_blocks, rebuilding
from wsicomp.formats.converted.reader import NO_SOURCE, ConvertedSlide
from wsicomp.formats.opening import open_converted
from wsicomp.formats.originals.index import RebuildIndex
from wsicomp.formats.originals.reading import OriginalBytes, OriginalIdentity
from wsicomp.formats.originals.unit_cache import UnitCache
from wsicomp.formats.tiff import xmp
from wsicomp.formats.tiff.directories import TIFF_MAGIC, TiffFile
from wsicomp.formats.tiff.tags import xmp_packet
from wsicomp.geometry import TileIndex
from wsicomp.plan.conversion_plan import SourceIdentity
from wsicomp.plan.provenance import Restoration
from wsicomp.progress import StageProgress, no_progress

_OLD = "it was made by wsicomp 0.7 or before, and is read in order alone; run `wsicomp upgrade` on it"


@dataclass(frozen=True)
class _StatedPlan:
    source: SourceIdentity


@dataclass(frozen=True)
class _Stated:
    """What a provenance states of the source, without all else."""

    plan: _StatedPlan
    restoration: Restoration | None


def open_converted_original(path: Path, cache: UnitCache | None = None) -> OriginalBytes:
    """Open the source of a file that was converted with `restorable`, by its index alone.

    Memory: the index, some hundred bytes for each tile.

    Raises:
        SlideReadError: the file is no such conversion, or is damaged.
        UnsupportedSlideError: it is one of wsicomp 0.7 or before, whose source is read in order alone.
    """
    identity, restoration = _stated_original(path)
    with reading(path):
        file = TiffFile(path)
    try:
        index = _index(file, restoration, identity.bytes)
    except BaseException:
        file.close()
        raise
    return OriginalBytes(file, index, identity, cache, place_of=_TilePlaces(path, index).place)


def stated_original(path: Path) -> OriginalIdentity:
    """Return what a restorable conversion states of its source; whether it gives it back is not looked at.

    Raises:
        SlideReadError: the file is no such conversion, or its provenance is damaged.
        UnsupportedSlideError: it is one of wsicomp 0.7 or before, whose source is read in order alone.
    """
    return _stated_original(path)[0]


def _stated_original(path: Path) -> tuple[OriginalIdentity, Restoration]:
    check_file(path)
    stated = _stated(path)
    if stated is None or stated.restoration is None:
        raise SlideReadError(NO_SOURCE, path)
    if not stated.restoration.index_bytes:
        raise UnsupportedSlideError(_OLD, path)
    source = stated.plan.source
    identity = OriginalIdentity(source.name, source.bytes, source.sha256, source.mtime_ns)
    return identity, stated.restoration


def _stated(path: Path) -> _Stated | None:
    """Return what a file's provenance states of its source; None for a file that wsicomp did not write."""
    try:
        with path.open("rb") as file:
            if file.read(4) not in TIFF_MAGIC:
                return None
        packet = xmp_packet(path)
        text = None if packet is None else xmp.unwrap(packet)
        return None if text is None else parsed_bytes(text.encode(), _Stated)
    except SlideReadError as exc:
        raise type(exc)(exc.message, path, exc.place) from exc
    except (ValueError, struct.error) as exc:
        raise SlideReadError(f"damaged provenance ({exc})", path, "XMP packet") from exc
    except OSError as exc:
        raise SlideReadError(reason(exc), path) from exc


def _index(file: TiffFile, kept: Restoration, source_bytes: int) -> RebuildIndex:
    """Return the index of a file that has one.

    Raises:
        SlideReadError: it is damaged.
    """
    if kept.index_bytes > budget_bytes():
        message = f"states an index of {kept.index_bytes} bytes, for which this machine has too little memory"
        raise SlideReadError(message, file.path, "the source's index")
    data = file.read(kept.offset + kept.bytes - kept.index_bytes, kept.index_bytes, "the source's index")
    if hashlib.sha256(data).hexdigest() != kept.sha256:
        message = "the bytes that rebuild the source are damaged; take the file from a copy"
        raise SlideReadError(message, file.path, "the source's index")
    try:
        index = RebuildIndex.from_bytes(data, file.bytes)
        if index.total_bytes != source_bytes:
            raise ValueError(f"it makes {index.total_bytes} bytes, the source has {source_bytes}")
    except ValueError as exc:
        raise SlideReadError(f"damaged: {exc}", file.path, "the source's index") from exc
    return index


class _TilePlaces:
    """The names of tiles by their units; the file is opened once for all of them, when one is damaged."""

    def __init__(self, path: Path, index: RebuildIndex) -> None:
        self._path, self._index = path, index

    def place(self, unit: int) -> str | None:
        """Return the name of the tile of a unit; None for a unit that is no tile."""
        return self._names.get(int(self._index.units.offsets[unit]))

    @fork_safe_property
    def _names(self) -> dict[int, str]:
        with suppress(SlideReadError), closing(open_converted(self._path)) as slide:
            return dict(_named_offsets(slide))
        return {}


def _named_offsets(slide: ConvertedSlide) -> Iterator[tuple[int, str]]:
    for level in slide.provenance.plan.levels:
        for number, offset in enumerate(slide.tile_ranges(level.number)[:, 0].tolist()):
            row, column = divmod(number, level.grid.columns)
            yield offset, str(TileIndex(level.number, column, row))


def check_stated(slide: ConvertedSlide) -> None:
    """Check the source size that a file states against the bytes that it holds, before anything is rebuilt.

    Raises:
        SlideReadError: the file holds far less than it states, its index is damaged, or it holds no source.
    """
    kept = slide.required_restoration()
    if not kept.index_bytes:
        check_lzma_stated(slide)
        return
    if not _index(slide.file, kept, slide.provenance.plan.source.bytes).is_plausible:
        found = "more of its source comes from its bytes than of any real one"
        raise SlideReadError(f"{found}; if you trust it, restore it with `trust=True`", slide.info.path)


def restored_blocks(
    slide: ConvertedSlide, workers: int, progress: StageProgress = no_progress
) -> Iterator[bytes]:
    """Yield the source's bytes in order.

    The last block is yielded only if all bytes together have the source's SHA-256.

    Memory: what the cache of units keeps; of files of 0.7 and before some tiles for each worker.

    Raises:
        SlideReadError: the file does not hold the source, or is damaged.
    """
    source = slide.provenance.plan.source
    digest, total, held = hashlib.sha256(), 0, b""
    with rebuilding(slide):
        for block in _blocks(slide, workers):
            yield held
            digest.update(block)
            total, held = total + len(block), block
            if total > source.bytes:
                raise ValueError(f"it makes more than the {source.bytes} bytes of the source")
            progress(min(total, source.bytes), source.bytes)
    if (total, digest.hexdigest()) != (source.bytes, source.sha256):
        found = f"{total} bytes with SHA-256 {digest.hexdigest()}"
        message = f"rebuilds {found}, expected {source.bytes} with {source.sha256}"
        raise SlideReadError(message, slide.info.path)
    yield held


def _blocks(slide: ConvertedSlide, workers: int) -> Iterator[bytes]:
    if not slide.required_restoration().index_bytes:
        yield from lzma_blocks(slide, workers)
        return
    with closing(open_converted_original(slide.info.path)) as original:
        yield from original.blocks(workers)
