"""Refusing to write where something is that must stay, and writing so that nothing half-done is seen."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from wsicomp.errors import SlideWriteError, TargetBusyError, TargetExistsError, WsicompError

_HIDDEN = ".wsicomp.partial"
_LONGEST_NAME = 255
"""Bytes of a file's name on the file systems of Linux and macOS."""


def partial_path(target: Path) -> Path:
    """Where a target is written before it is complete: hidden, and by a name that only wsicomp uses.

    Raises:
        SlideWriteError: the target has no name, as `.` and `/` have none.
    """
    if not target.name:
        raise SlideWriteError("is a directory; name a file to write", target)
    name = f".{target.name}{_HIDDEN}"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()
        name = f".{digest[:32]}{_HIDDEN}"
    return target.with_name(name)


def check_output(path: Path, inputs: Iterable[Path | None], overwrite: bool) -> None:
    """Refuse a path that could not or must not be written, before anything is read.

    Raises:
        SlideWriteError: it is one of the inputs by whatever name, no regular file, or in no directory.
        TargetExistsError: it exists and `overwrite` is False.
    """
    with _told_of(path):
        for place in (path, partial_path(path)):
            _check_no_input(place, inputs := tuple(inputs), path)
        if path.exists() and not path.is_file():
            kind = "a directory" if path.is_dir() else "not a regular file"
            raise SlideWriteError(f"is {kind}; name a file to write", path)
        if path.exists() and not overwrite:
            raise TargetExistsError("exists already; choose another name or --overwrite", path)
        if not path.parent.is_dir():
            raise SlideWriteError(f"its directory {path.parent} does not exist; make it first", path)


def check_outputs(paths: Sequence[Path], inputs: Iterable[Path | None], overwrite: bool) -> None:
    """Refuse outputs of one run that could not or must not be written, or would be one file.

    Raises:
        SlideWriteError, TargetExistsError: as `check_output`; or two of them are one, by whatever name.
    """
    inputs = tuple(inputs)
    for number, path in enumerate(paths):
        check_output(path, inputs, overwrite)
        for other in paths[:number]:
            if path.resolve() in (other.resolve(), partial_path(other).resolve()):
                raise SlideWriteError(f"is {other} too; name another file", path)


def made_folder(path: Path) -> Path:
    """A folder, made with its parents if it is not there.

    Raises:
        SlideWriteError: it cannot be made, or is a file.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise SlideWriteError(f"is no folder and cannot be made one ({exc.strerror or exc})", path) from exc
    return path


def check_empty(folder: Path, overwrite: bool) -> None:
    """Refuse a folder with something in it, unless told otherwise, and what is no folder.

    What a run that was killed left there unfinished does not count.

    Raises:
        TargetExistsError: it is not empty.
        SlideWriteError: it is something else.
    """
    with _told_of(folder):
        if folder.exists() and not folder.is_dir():
            raise SlideWriteError("is no folder; name one to write into", folder)
        if not overwrite and folder.is_dir() and any(entry.name != _HIDDEN for entry in folder.iterdir()):
            raise TargetExistsError("is not empty; name another folder or --overwrite", folder)


@contextmanager
def completed(target: Path) -> Iterator[Path]:
    """A hidden path for a file, which takes the target's name when the block ends; a failure leaves nothing.

    Raises:
        SlideWriteError: an OSError inside, of the file system or of a library.
    """
    partial = partial_path(target)
    try:
        with _told_of(target):
            yield partial
            partial.replace(target)
    finally:
        with suppress(OSError):  # where nothing can be written, nothing was
            partial.unlink(missing_ok=True)


@contextmanager
def completed_files(folder: Path) -> Iterator[Path]:
    """A hidden folder in `folder` whose files move out of it when the block ends; a failure leaves nothing.

    Raises:
        SlideWriteError: an OSError inside.
    """
    is_new = not folder.exists()
    hidden = made_folder(folder) / _HIDDEN
    try:
        with _told_of(folder):
            shutil.rmtree(hidden, ignore_errors=True)
            hidden.mkdir()
            yield hidden
            for file in hidden.iterdir():
                file.replace(folder / file.name)
            is_new = False
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # something came to lie there meanwhile
                folder.rmdir()


def open_locked(partial: Path) -> BinaryIO:
    """Open a partial file for writing from its start, held against every other process.

    Raises:
        TargetBusyError: another run is writing it.
        SlideWriteError: the file system refuses, or it is a link or another's file.
    """
    busy = TargetBusyError("another run is writing it; wait for that one", partial)
    try:
        file = open(partial, "r+b", opener=_create)  # noqa: SIM115
    except OSError as exc:
        raise SlideWriteError(f"cannot be written ({exc.strerror or exc})", partial) from exc
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(file.fileno())
        # A run that ended between our open and our lock has made this very file its target.
        if not os.path.samestat(status, partial.stat()):
            raise busy
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise SlideWriteError("is there already and is not ours; move it away", partial)
        file.truncate(0)
    except SlideWriteError:
        file.close()
        raise
    except (BlockingIOError, FileNotFoundError) as exc:
        file.close()
        raise busy from exc
    except OSError as exc:
        file.close()
        raise SlideWriteError(f"cannot be written ({exc.strerror or exc})", partial) from exc
    return file


def sweep_partial(target: Path) -> None:
    """Delete what a killed run left of a target, unless another run is writing it."""
    with suppress(OSError), open(partial_path(target), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        partial_path(target).unlink()


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o666)


def sync_directory(folder: Path) -> None:
    """Have the names in a folder on the disk, so that they are there even if the machine stops."""
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def completed_file(target: Path) -> Iterator[BinaryIO]:
    """A hidden file, held against other runs, that takes the target's name when the block ends.

    A failure leaves nothing.

    Raises:
        SlideWriteError: an OSError inside, or another run is writing it.
    """
    partial = partial_path(target)
    with _told_of(target), open_locked(partial) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            partial.replace(target)
            sync_directory(target.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def _told_of(target: Path) -> Iterator[None]:
    """What the file system refuses inside, as an error that names the target."""
    try:
        yield
    except WsicompError:
        raise
    except OSError as exc:
        raise SlideWriteError(f"cannot be written ({exc.strerror or exc})", target) from exc


def _check_no_input(place: Path, inputs: tuple[Path | None, ...], named: Path) -> None:
    for given in inputs:
        if given is not None and place.exists() and given.exists() and place.samefile(given):
            raise SlideWriteError(f"is an input, {given}; an input is never overwritten", named)
