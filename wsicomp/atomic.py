"""Refusing to write where something is that must stay, and writing so that nothing half-done is seen."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from wsicomp.errors import SlideWriteError, TargetBusyError, TargetExistsError, WsicompError
from wsicomp.own_files import Folder, displayed_path, held_path, open_own, opened_folder

_HIDDEN = ".wsicomp.partial"
_LONGEST_NAME = 255
"""Bytes of a file's name on the file systems of Linux and macOS."""
_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL}
_NO_SYNC = {*_NO_LOCKS, errno.EBADF, errno.EROFS, errno.EACCES, errno.EPERM}
"""What file systems say that know no locks, or no flushing of a folder: network shares, FUSE."""
_UNLOCKED = "its file system has no locks: two runs that write one target at a time are not kept apart"


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
    with _naming_errors(path):
        for place in (path, partial_path(path)):
            _check_no_input(place, inputs := tuple(inputs), path)
        if path.exists() and not path.is_file():
            kind = "a directory" if path.is_dir() else "not a regular file"
            raise SlideWriteError(f"is {kind}; name a file to write", path)
        check_absent(path, overwrite)
        if not path.parent.is_dir():
            raise SlideWriteError(f"its directory {path.parent} does not exist; make it first", path)


def check_absent(path: Path, overwrite: bool) -> None:
    """Refuse what has a name already, also a link that leads nowhere, unless it may be replaced.

    Raises:
        TargetExistsError: so it is.
    """
    if not overwrite and os.path.lexists(path):
        raise TargetExistsError("exists already; choose another name or --overwrite", displayed_path(path))


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


def make_folder(path: Path) -> Path:
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
    with _naming_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise SlideWriteError("is no folder; name one to write into", folder)
        if not overwrite and folder.is_dir() and any(entry.name != _HIDDEN for entry in folder.iterdir()):
            raise TargetExistsError("is not empty; name another folder or --overwrite", folder)


@contextmanager
def completed(target: Path, overwrite: bool = False, root: Path | None = None) -> Iterator[Path]:
    """A path to write to; what is there takes the target's name when the block ends. Else it is as it was.

    Where the system has such paths it leads to the open file itself, whatever has the partial file's name.

    Raises:
        SlideWriteError: an OSError inside, of the file system or of a library; or as `completed_file`.
    """
    with completed_file(target, overwrite, root, is_lasting=False) as file:
        yield held_path(file.fileno(), partial_path(target))


@contextmanager
def completed_files(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """A hidden folder in `folder` whose files move out of it when the block ends; a failure leaves nothing.

    Raises:
        TargetExistsError: one of them came to be there meanwhile, and `overwrite` is False.
        SlideWriteError: an OSError inside. Either message names what had moved out already.
    """
    is_new = not folder.exists()
    with _naming_errors(folder), opened_folder(make_folder(folder)) as there:
        try:
            there.clear(_HIDDEN)
            there.check(_HIDDEN)
            os.mkdir(_HIDDEN, dir_fd=there.descriptor)
            with opened_folder(there.held / _HIDDEN, there.held) as hidden:
                yield hidden.held
                _move_out(hidden, there, overwrite)
            is_new = False
        finally:
            there.clear(_HIDDEN)
            if is_new:
                with suppress(OSError):  # something came to lie there meanwhile
                    folder.rmdir()


def _move_out(hidden: Folder, folder: Folder, overwrite: bool) -> None:
    moved: list[str] = []
    for name in sorted(path.name for path in hidden.held.iterdir()):
        try:
            hidden.move(name, folder, name, overwrite)
        except OSError as exc:
            there = f"; of this run {', '.join(moved)} are there already" if moved else ""
            kind = TargetExistsError if isinstance(exc, FileExistsError) else SlideWriteError
            message = f"{name} cannot be written ({exc.strerror or exc}){there}"
            raise kind(message, folder.path) from exc
        moved.append(name)


def open_locked(partial: Path) -> BinaryIO:
    """Open a partial file for writing from its start, held against every other process.

    Where the file system has no locks nothing holds it, which `lock_note` says. A failure leaves no file
    that was not there before.

    Raises:
        TargetBusyError: another run is writing it.
        SlideWriteError: the file system refuses, or it is a link or another's file.
    """
    try:
        file, is_new = _opened(partial)
    except SlideWriteError:
        raise
    except KeyboardInterrupt:
        _drop(partial)
        raise
    except OSError as exc:
        raise SlideWriteError(f"cannot be written ({exc.strerror or exc})", displayed_path(partial)) from exc
    try:
        _hold(file, partial)
        file.truncate(0)
    except TargetBusyError:
        file.close()
        raise
    except BaseException as exc:
        file.close()
        if is_new:
            with suppress(OSError):
                partial.unlink()
        if isinstance(exc, OSError) and not isinstance(exc, SlideWriteError):
            raise SlideWriteError(
                f"cannot be written ({exc.strerror or exc})", displayed_path(partial)
            ) from exc
        raise
    return file


def _drop(partial: Path) -> None:
    """Delete a partial file that came into being, or was left there, unless another run is writing it."""
    with suppress(OSError), open(open_own(partial, os.O_RDWR), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_ours(file, partial):
            partial.unlink()


def _opened(partial: Path) -> tuple[BinaryIO, bool]:
    """The file, and whether it has come into being just now."""
    try:
        return open(partial, "r+b", opener=_create), True
    except FileExistsError:
        return open(partial, "r+b", opener=_open), False


def _create(path: str, flags: int) -> int:
    return open_own(Path(path), flags | os.O_CREAT | os.O_EXCL)


def _open(path: str, flags: int) -> int:
    return open_own(Path(path), flags | os.O_CREAT)


def _hold(file: BinaryIO, partial: Path) -> None:
    """Lock the file, where it can be, and make sure that it is one of ours."""
    busy = TargetBusyError("another run is writing it; wait for that one", displayed_path(partial))
    try:
        _lock(file)
    except BlockingIOError as exc:
        raise busy from exc
    # A run that ended between our open and our lock has made this very file its target.
    if not is_ours(file, partial):
        raise busy


def _lock(file: BinaryIO) -> bool:
    """Whether the file is locked now; False where its file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno in _NO_LOCKS:
            return False
        raise
    return True


def lock_note(file: BinaryIO) -> str | None:
    """What the user should know of how a file from `open_locked` is held; None where it is locked."""
    return None if _lock(file) else _UNLOCKED


def is_ours(file: BinaryIO, partial: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), partial.lstat())
    except FileNotFoundError:
        return False


def sweep_partial(target: Path, root: Path | None = None) -> None:
    """Delete what a killed run left of a target, unless another run is writing it, or it is none of ours."""
    partial = partial_path(target)
    with suppress(OSError), opened_folder(partial.parent, root) as folder:
        folder.remove_second_name(partial.name, target.name)
        with open(folder.open(partial.name, os.O_RDWR), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder.remove(partial.name)


def sync_directory(folder: Path) -> None:
    """Have the names in a folder on the disk, so that they are there even if the machine stops.

    Where the file system has no such thing, or lets nobody open the folder, it is left to its own ways.

    Raises:
        OSError: the disk failed.
    """
    try:
        directory = os.open(folder, os.O_RDONLY)
    except OSError as exc:
        if exc.errno in _NO_SYNC:
            return
        raise
    try:
        os.fsync(directory)
    except OSError as exc:
        if exc.errno not in _NO_SYNC:
            raise
    finally:
        os.close(directory)


def sync_name(target: Path, folder: Path | None = None) -> None:
    """Have the name that a whole and flushed file has just got, in its folder or `folder`, on the disk.

    Raises:
        SlideWriteError: the file has its name, but nobody knows whether it will after a power cut.
    """
    try:
        sync_directory(folder or target.parent)
    except OSError as exc:
        found = f"is there and complete, but may not survive a power cut ({exc.strerror or exc})"
        raise SlideWriteError(
            f"{found}; look at the disk, then verify it again", displayed_path(target)
        ) from exc


@contextmanager
def completed_file(
    target: Path, overwrite: bool = False, root: Path | None = None, is_lasting: bool = True
) -> Iterator[BinaryIO]:
    """A hidden file, held against other runs, that takes the target's name when the block ends.

    A failure before leaves the target as it was. With `root` no folder below it may be a link. What is not
    lasting may be lost in a power cut, as a picture.

    Raises:
        TargetExistsError: the target is there, or came to be meanwhile, and `overwrite` is False.
        SlideWriteError: an OSError inside, or another run is writing it; or as `sync_name`.
    """
    with _naming_errors(target), opened_folder(target.parent, root) as folder:
        partial = folder.held / partial_path(target).name
        folder.remove_second_name(partial.name, target.name)
        with open_locked(partial) as file:
            try:
                yield file
                if is_lasting:
                    file.flush()
                    os.fsync(file.fileno())
                give_name(file, partial, folder, target, overwrite)
            except BaseException:
                discard(file, partial)
                raise
        if is_lasting:
            sync_name(target, folder.held)


def give_name(file: BinaryIO, partial: Path, folder: Folder, target: Path, overwrite: bool) -> None:
    """Have a whole file take its target's name, in the one way in which all that we write does.

    Raises:
        TargetExistsError: something came to have the name meanwhile, and `overwrite` is False.
        TargetBusyError: another run has put something in the place of `partial`.
        OSError: the file system refuses.
    """
    check_ours(file, partial)
    try:
        folder.move(partial.name, folder, target.name, overwrite)
    except FileExistsError as exc:
        found = "exists already, since a moment ago; choose another name or --overwrite"
        raise TargetExistsError(found, displayed_path(target)) from exc


def check_ours(file: BinaryIO, partial: Path) -> None:
    """Refuse to rename what another run has put in the place of ours.

    Raises:
        TargetBusyError: there is something else of that name.
    """
    if not is_ours(file, partial):
        raise TargetBusyError("another run is writing it; wait for that one", displayed_path(partial))


def discard(file: BinaryIO, partial: Path) -> None:
    """Delete a partial file of ours, as well as the file system lets us; never another run's."""
    with suppress(OSError):
        if is_ours(file, partial):
            partial.unlink()


@contextmanager
def _naming_errors(target: Path) -> Iterator[None]:
    """What the file system refuses inside, as an error that names the target."""
    try:
        yield
    except WsicompError:
        raise
    except OSError as exc:
        raise SlideWriteError(f"cannot be written ({exc.strerror or exc})", displayed_path(target)) from exc


def _check_no_input(place: Path, inputs: tuple[Path | None, ...], named: Path) -> None:
    for given in inputs:
        if given is not None and place.exists() and given.exists() and place.samefile(given):
            raise SlideWriteError(f"is an input, {given}; an input is never overwritten", named)
