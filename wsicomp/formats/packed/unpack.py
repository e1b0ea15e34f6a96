"""Gives back the files of a packed slide, all of them or none, and finds what is damaged in one."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from wsicomp.concurrency.threads import available_cores, ordered_map
from wsicomp.errors import SlideReadError, SlideWriteError, TargetBusyError, TargetExistsError
from wsicomp.files.atomic import check_output, completed_file, make_folder, partial_path, write_errors
from wsicomp.files.attributes import Attributes
from wsicomp.files.folders import opened_folder
from wsicomp.files.inputs import given_output, given_path
from wsicomp.files.limits import check_free_space
from wsicomp.files.together import move_together
from wsicomp.files.unfinished import unfinished
from wsicomp.formats.originals.reading import OriginalBytes
from wsicomp.formats.packed.container import PackedSlide
from wsicomp.formats.packed.manifest import PackedFile, PackedFolder, path_of_name
from wsicomp.progress import Progress, StageProgress, Stages, progress_raises_through

_STEP_BYTES = 1 << 20


@dataclass(frozen=True)
class UnpackReport:
    """The files of a packed slide that were written."""

    target: str
    """The path of the file that opens the slide."""
    files: tuple[str, ...]
    """The paths of all files."""
    bytes: int
    """Their bytes."""
    sha256: str
    """The SHA-256 of the slide: of its file, or over those of its files."""


@dataclass(frozen=True)
class PackDamage:
    """What is wrong with a packed slide."""

    file: str
    """The name of the file in the slide."""
    message: str
    """What was found, in words."""


@progress_raises_through
def unpack_slide(
    packed: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: Progress | None = None,
    root: Path | None = None,
) -> UnpackReport:
    """Write all files of a packed slide into a folder, which is made if there is none.

    They appear only when each has its SHA-256, with the times and modes that they had, and the owner of the
    packed slide where this user may give them. A folder that is there is never replaced. Below `root` no
    folder may be a link; None allows links.

    Examples:
        >>> unpack_slide("slide.wsipack", "again").target  # doctest: +SKIP
        'again/slide.mrxs'

    Raises:
        SlideReadError: the packed slide cannot be read, or is damaged; nothing was written.
        TargetExistsError: a file is there, and `overwrite` is False.
        SlideWriteError: the folder cannot be written, has a folder of the slide already, or has no room.
    """
    packed, folder = given_path(packed), given_path(folder, SlideWriteError)
    workers = workers or available_cores()
    with PackedSlide(packed) as slide, Stages(on_progress).stage("restore") as progress:
        manifest = slide.manifest
        _check_free(folder, manifest.files, overwrite)
        with _made(folder):
            check_free_space(folder / manifest.opens, manifest.total_bytes)
            with (
                write_errors(folder),
                opened_folder(folder, root),
                _hidden(folder, path_of_name(manifest.opens).name) as hidden,
            ):
                _write_all(slide, hidden, workers, progress)
                move_together(hidden, folder, overwrite)
    paths = tuple(str(folder / path_of_name(file.name)) for file in manifest.files)
    opens = str(folder / path_of_name(manifest.opens))
    return UnpackReport(opens, paths, manifest.total_bytes, manifest.source.sha256)


@progress_raises_through
def unpack_file(
    packed: str | os.PathLike[str],
    target: str | os.PathLike[str],
    overwrite: bool = False,
    workers: int | None = None,
    on_progress: Progress | None = None,
    root: Path | None = None,
) -> UnpackReport:
    """Write the only file of a packed slide under any name.

    It appears only when it has its SHA-256, with time and mode that it had. Below `root` no folder may be a
    link; None allows links.

    Raises:
        SlideReadError: the packed slide cannot be read, is damaged, or has several files.
        TargetExistsError: the target is there, and `overwrite` is False.
        SlideWriteError: the target cannot be written, or has no room.
    """
    packed, target = given_path(packed), given_output(target)
    check_output(target, (packed,), overwrite)
    with PackedSlide(packed) as slide, Stages(on_progress).stage("restore") as progress:
        file, *others = slide.manifest.files
        if others:
            raise SlideReadError(f"holds {len(others) + 1} files; name a folder for them", packed)
        check_free_space(target, file.bytes)
        owner = Attributes.of(packed)
        alike = Attributes(file.mode, owner.owner, owner.group, file.mtime_ns)
        with completed_file(target, overwrite, root, alike=alike) as written:
            further = partial(_further, progress, 0, file.bytes)
            _write_blocks(slide, file, written, workers or available_cores(), further)
    return UnpackReport(str(target), (str(target),), file.bytes, slide.manifest.source.sha256)


def _further(progress: StageProgress, done: int, total: int, read: int) -> None:
    progress(done + read, total)


def _check_free(folder: Path, files: tuple[PackedFile, ...], overwrite: bool) -> None:
    """Refuse to begin where a file could not get its name.

    Raises:
        TargetExistsError: a file is there, and `overwrite` is False.
    """
    for name in dict.fromkeys(path_of_name(file.name).parts[0] for file in files):
        if not overwrite and os.path.lexists(folder / name):
            raise TargetExistsError(
                "exists already; choose another folder or `overwrite=True`", folder / name
            )


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and remove it again if the block fails and nothing else is in it."""
    is_new = not os.path.lexists(folder)
    make_folder(folder)
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


def _write_all(slide: PackedSlide, hidden: Path, workers: int, progress: StageProgress) -> None:
    manifest, owner, done = slide.manifest, Attributes.of(slide.path), 0
    for folder in manifest.folders:
        (hidden / path_of_name(folder.name)).mkdir(parents=True)
    for file in manifest.files:
        further = partial(_further, progress, done, manifest.total_bytes)
        _write_file(slide, file, hidden, owner, workers, further)
        done += file.bytes
    for folder in reversed(manifest.folders):
        _give_folder(hidden, folder, owner)


@contextmanager
def _hidden(folder: Path, name: str) -> Iterator[Path]:
    """Yield a hidden folder in `folder` that no other run uses; it is removed when the block ends."""
    path = partial_path(folder / name)
    with opened_folder(folder) as there:
        with suppress(FileExistsError):
            os.mkdir(path.name, 0o700, dir_fd=there.descriptor)
        with opened_folder(there.held / path.name, there.held) as hidden:
            descriptor = os.open(".", os.O_RDONLY, dir_fd=hidden.descriptor)
            try:
                _hold(descriptor, path)
                for entry in sorted(hidden.held.iterdir()):  # of a run that was killed
                    hidden.clear(entry.name)
                    with suppress(OSError):
                        hidden.remove(entry.name)
                with unfinished(lambda: there.clear(path.name)):
                    try:
                        yield folder / path.name
                    finally:
                        there.clear(path.name)
            finally:
                os.close(descriptor)


def _hold(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise TargetBusyError("another run is writing it; wait for that one", path) from exc
    except OSError:
        pass  # a file system without locks


def _write_file(
    slide: PackedSlide,
    file: PackedFile,
    folder: Path,
    owner: Attributes,
    workers: int,
    progress: partial[None],
) -> None:
    path = folder / path_of_name(file.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as written:
        _write_blocks(slide, file, written, workers, progress)
        written.flush()
        os.fsync(written.fileno())
        Attributes(file.mode, owner.owner, owner.group, file.mtime_ns).give(written.fileno())


def _write_blocks(
    slide: PackedSlide, file: PackedFile, written: BinaryIO, workers: int, progress: partial[None]
) -> None:
    """Write the bytes of a file of the slide.

    Raises:
        SlideReadError: they have not its SHA-256.
    """
    digest, done = hashlib.sha256(), 0
    with closing(slide.original(file.name).blocks(workers)) as blocks:
        for block in blocks:
            written.write(block)
            digest.update(block)
            done += len(block)
            progress(done)
    if digest.hexdigest() != file.sha256:
        raise _other_digest(slide, file, digest.hexdigest())


def _other_digest(slide: PackedSlide, file: PackedFile, found: str) -> SlideReadError:
    message = f"{file.name} is rebuilt with SHA-256 {found}, expected {file.sha256}; take it from a copy"
    return SlideReadError(message, slide.path)


def _give_folder(hidden: Path, folder: PackedFolder, owner: Attributes) -> None:
    with opened_folder(hidden / path_of_name(folder.name), hidden) as opened:
        descriptor = os.open(".", os.O_RDONLY, dir_fd=opened.descriptor)
        try:
            Attributes(folder.mode | 0o700, owner.owner, owner.group, folder.mtime_ns).give(descriptor)
        finally:
            os.close(descriptor)


def verify_pack(
    packed: str | os.PathLike[str], workers: int | None = None, on_progress: Progress | None = None
) -> tuple[PackDamage, ...]:
    """Rebuild every byte of a packed slide, and return what is damaged: nothing, if it is sound.

    Raises:
        SlideReadError: the file is no packed slide, or its manifest or index is damaged.
    """
    found: list[PackDamage] = []
    with PackedSlide(given_path(packed)) as slide, Stages(on_progress).stage("verify") as progress:
        done, total = 0, slide.manifest.total_bytes
        for file in slide.manifest.files:
            further = partial(_further, progress, done, total)
            found += _damages(slide, file, workers or available_cores(), further)
            done += file.bytes
    return tuple(found)


def _damages(slide: PackedSlide, file: PackedFile, workers: int, progress: partial[None]) -> list[PackDamage]:
    original = slide.original(file.name)
    digest, done, found = hashlib.sha256(), 0, dict[str, PackDamage]()
    starts = range(0, file.bytes, _STEP_BYTES)
    with closing(ordered_map(partial(_read, original), starts, workers)) as blocks:
        for block in blocks:
            if isinstance(block, SlideReadError):
                message = f"{block.place}: {block.message}" if block.place else block.message
                found[message] = PackDamage(file.name, message)
            else:
                digest.update(block)
            done = min(done + _STEP_BYTES, file.bytes)
            progress(done)
    if not found and digest.hexdigest() != file.sha256:
        message = _other_digest(slide, file, digest.hexdigest()).message
        return [PackDamage(file.name, message)]
    return list(found.values())


def _read(original: OriginalBytes, start: int) -> bytes | SlideReadError:
    try:
        return original.read(start, _STEP_BYTES)
    except SlideReadError as exc:
        return exc
