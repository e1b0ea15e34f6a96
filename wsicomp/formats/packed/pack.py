"""Packs all files of a slide into one, byte for byte, and proves it by rebuilding every byte."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from wsicomp.concurrency.threads import available_cores, ordered_map
from wsicomp.errors import SlideReadError, SourceChangedError, VerificationError
from wsicomp.files.atomic import check_output, completed_file, lock_note, partial_path
from wsicomp.files.attributes import Attributes
from wsicomp.files.folders import held_path
from wsicomp.files.inputs import check_file, given_output, given_path, reading
from wsicomp.files.limits import check_free_space
from wsicomp.formats.identity import file_sha256, joined_sha256
from wsicomp.formats.originals.writing import IndexBuilder
from wsicomp.formats.packed.container import DATA, GREETING, INDEX, MANIFEST, PackedSlide
from wsicomp.formats.packed.manifest import (
    VERSION,
    PackedFile,
    PackedFolder,
    PackManifest,
    check_names,
    text_of_name,
)
from wsicomp.formats.packed.pieces import slide_pieces
from wsicomp.formats.packed.slide_bytes import opened_parts
from wsicomp.formats.packed.units import PackedUnit, Piece, SharedRebuilding, packed_units
from wsicomp.formats.slide_files import slide_folders, slide_parts, stamp_of
from wsicomp.plan.conversion_plan import MOST_TIME_NS, SourceIdentity
from wsicomp.progress import Progress, StageProgress, Stages, progress_raises_through
from wsicomp.version import SOFTWARE

_AT_ONCE_ROWS = 1 << 16
_GREETING = f"""This file holds a microscope slide: all files that its scanner wrote, byte for byte.

{SOFTWARE} made it; `wsicomp restore` makes the files again.
`{MANIFEST}` lists them with size, time and SHA-256. `{INDEX}` says which pieces of `{DATA}`, in which order,
are their bytes: JPEG as JPEG XL (ISO/IEC 18181, rebuilt by its jbrd box), the rest by Zstandard (RFC 8878).
"""


@dataclass(frozen=True)
class PackReport:
    """The packed slide that was written."""

    source: str
    """The path of the slide."""
    target: str
    """The path of the packed slide."""
    files: int
    """The count of the slide's files."""
    source_bytes: int
    """Their bytes."""
    target_bytes: int
    """The bytes of the packed slide."""
    sha256: str
    """The SHA-256 of the slide: of its file, or over those of its files."""
    jpeg_bytes: int
    """The bytes of the files that were JPEG and became JPEG XL."""
    elapsed_s: dict[str, float]
    """Seconds of each stage."""
    notes: tuple[str, ...] = ()
    """Lines for the user."""


@progress_raises_through
def pack_slide(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: Progress | None = None,
    root: Path | None = None,
    keep_times: bool = False,
) -> PackReport:
    """Pack all files of the slide that `source` opens into the file `target`.

    The target appears under its name only when every byte was rebuilt from it. It is open to no more people
    than each of the files; with `keep_times` it has the time of the one that opens the slide. Below `root` no
    folder of the target may be a link; None allows links.

    Examples:
        >>> pack_slide("slide.mrxs", "slide.wsipack").files  # doctest: +SKIP
        27

    Memory: some pieces for each worker, and 100 bytes for each piece.

    Raises:
        SlideReadError: a file of the slide cannot be read, changed meanwhile, or has a name that not every
            system takes.
        SlideWriteError: the target cannot be written, exists, or has no room on its disk.
        VerificationError: the target does not rebuild the slide.
    """
    source, target = given_path(source), given_output(target)
    stages, workers = Stages(on_progress), workers or available_cores()
    parts = slide_parts(source)
    check_output(target, parts, overwrite)
    stamp = stamp_of(source)
    with stages.stage("identify") as progress:
        manifest = slide_manifest(source, parts, progress)
    check_free_space(target, manifest.total_bytes)
    time = Attributes.of(source, with_time=keep_times).mtime_ns
    with completed_file(target, overwrite, root, alike=replace(_attributes(parts), mtime_ns=time)) as file:
        note = lock_note(file)
        with stages.stage("write") as progress:
            jpeg_bytes = _write(file, manifest, parts, workers, progress)
        with stages.stage("verify") as progress:
            _prove(held_path(file.fileno(), partial_path(target)), manifest, workers, progress)
        if stamp_of(source) != stamp:
            raise SourceChangedError("changed while it was packed; pack it when it is complete", source)
        target_bytes = os.fstat(file.fileno()).st_size
    return PackReport(
        str(source),
        str(target),
        len(parts),
        manifest.total_bytes,
        target_bytes,
        manifest.source.sha256,
        jpeg_bytes,
        stages.elapsed_s,
        () if note is None else (note,),
    )


def slide_manifest(source: Path, parts: Sequence[Path], progress: StageProgress) -> PackManifest:
    """Return what a packed slide of the slide that `source` opens has to state; every file is read.

    `parts` are all its files.

    Raises:
        SlideReadError: a file cannot be read, or has a name that not every system takes.
    """
    base = source.parent
    with reading(source):
        total, done, files = sum(part.stat().st_size for part in parts), 0, []

    def further(read: int, _: int) -> None:
        progress(done + read, total)

    for part in parts:
        sha256 = file_sha256(part, further)
        found = Attributes.of(part, with_time=True)
        with reading(part):
            size = part.stat().st_size
        name = text_of_name(part.relative_to(base))
        files.append(PackedFile(name, size, sha256, _stated(found.mtime_ns), found.mode))
        done += size
    folders = []
    for folder in slide_folders(source):
        _check_entries(folder)
        with reading(folder):
            status = folder.stat()
        name, mode = text_of_name(folder.relative_to(base)), stat.S_IMODE(status.st_mode) & 0o777
        folders.append(PackedFolder(name, _stated(status.st_mtime_ns), mode))
    try:
        check_names([file.name for file in files], [folder.name for folder in folders])
    except ValueError as exc:
        raise SlideReadError(f"{exc}; rename it", source) from exc
    joined = joined_sha256([file.sha256 for file in files])
    time = Attributes.of(source, with_time=True).mtime_ns
    identity = SourceIdentity(source.name, sum(file.bytes for file in files), joined, None, _stated(time))
    opens = text_of_name(source.relative_to(base))
    return PackManifest(VERSION, SOFTWARE, identity, opens, tuple(files), tuple(folders))


def _check_entries(folder: Path) -> None:
    """Refuse what a pack cannot hold: with it left out, the slide would not come back whole.

    Raises:
        SlideReadError: something in the folder is a link to a folder or to nothing, or a pipe or a device.
    """
    with reading(folder):
        entries = sorted(folder.iterdir())
    for entry in entries:
        if entry.is_symlink() and not entry.is_file():
            raise SlideReadError("is a link to no file; put there what it leads to, or remove it", entry)
        if not entry.is_dir():
            check_file(entry, may_be_empty=True)


def _stated(mtime_ns: int | None) -> int | None:
    return mtime_ns if mtime_ns is not None and abs(mtime_ns) < MOST_TIME_NS else None


def _attributes(parts: Sequence[Path]) -> Attributes:
    """Return the attributes of the target: its mode allows what those of all files allow."""
    found = [Attributes.of(part) for part in parts]
    mode = 0o777
    for each in found:
        mode &= each.mode
    return replace(found[0], mode=mode)


def _write(
    file: BinaryIO, manifest: PackManifest, parts: Sequence[Path], workers: int, progress: StageProgress
) -> int:
    """Write all entries; return the bytes of JPEG that became JPEG XL."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(GREETING), _GREETING)
        rows = _Rows()
        with archive.open(zipfile.ZipInfo(DATA), "w", force_zip64=True) as data:
            _write_pieces(data, rows, parts, workers, progress, manifest.total_bytes)
        archive.writestr(zipfile.ZipInfo(INDEX), rows.index_bytes())
        archive.writestr(zipfile.ZipInfo(MANIFEST), manifest.to_bytes())
    file.flush()
    return rows.jpeg_bytes


def _write_pieces(
    data: IO[bytes],
    rows: _Rows,
    parts: Sequence[Path],
    workers: int,
    progress: StageProgress,
    total: int,
) -> None:
    done, rebuilding = 0, SharedRebuilding()
    with (
        opened_parts(parts) as opened,
        closing(ordered_map(packed_units, slide_pieces(opened), workers)) as packed,
    ):
        for piece, found in packed:
            units = [rebuilding.shared(unit) for unit in found]
            rows.add(piece, units)
            for unit in units:
                data.write(unit.stored)
            done += len(piece.data)
            progress(min(done, total), total)


class _Rows:
    """Collects where pieces are stored; rectangles of one picture do not come in the order of its bytes."""

    def __init__(self) -> None:
        self.jpeg_bytes = 0
        self._builder, self._offset = IndexBuilder(), 0
        self._extents = array("q")

    def add(self, piece: Piece, units: Sequence[PackedUnit]) -> None:
        """Add a piece that is stored next, as these units."""
        numbers = [self._stored(unit) for unit in units]
        for start, unit, offset, length in _extents(piece, units):
            self._extents.extend((start, numbers[unit], offset, length))

    def _stored(self, unit: PackedUnit) -> int:
        offset, count = self._offset, len(unit.stored)
        self._offset += count
        if unit.form.kind not in ("zstd", "stored"):
            self.jpeg_bytes += len(unit.unpacked)
        return self._builder.add_unit(unit.form, offset, count, unit.unpacked)

    def index_bytes(self) -> bytes:
        """Return the index of all that was added."""
        rows = np.frombuffer(self._extents, np.int64).reshape(-1, 4)
        order = np.argsort(rows[:, 0], kind="stable")
        for at in range(0, len(order), _AT_ONCE_ROWS):
            for _, *extent in rows[order[at : at + _AT_ONCE_ROWS]].tolist():
                self._builder.add_extent(*extent)
        return self._builder.index().to_bytes()


def _extents(piece: Piece, units: Sequence[PackedUnit]) -> Iterator[tuple[int, int, int, int]]:
    """Yield (offset in the files, place of the unit, offset in it, count) for all bytes of a piece."""
    unit = used = 0
    for start, count in piece.runs:
        at, end = start, start + count
        while at < end:
            room = len(units[unit].unpacked) - used
            if not room:
                unit, used = unit + 1, 0
                continue
            taken = min(end - at, room)
            yield at, unit, used, taken
            at, used = at + taken, used + taken


def _prove(path: Path, manifest: PackManifest, workers: int, progress: StageProgress) -> None:
    """Rebuild every file from what was written.

    Raises:
        VerificationError: a file is not rebuilt.
    """
    done = 0
    with PackedSlide(path) as packed:
        if packed.manifest != manifest:
            raise VerificationError("what was written states other files than the slide has; report this")
        for file in manifest.files:
            digest = hashlib.sha256()
            with closing(packed.original(file.name).blocks(workers)) as blocks:
                for block in blocks:
                    digest.update(block)
                    done += len(block)
                    progress(done, manifest.total_bytes)
            if digest.hexdigest() != file.sha256:
                found = f"{file.name} is rebuilt with SHA-256 {digest.hexdigest()}, expected {file.sha256}"
                raise VerificationError(f"{found}; nothing was written; was the slide written to meanwhile?")
