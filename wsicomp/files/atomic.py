"""Write files so that nobody sees them half-done, and refuse to replace what must stay.

A target is written under a hidden name and renamed when it is complete.
"""

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
from wsicomp.files.alike import make_alike
from wsicomp.files.attributes import Attributes, make_private
from wsicomp.files.folders import Folder, displayed_path, held_path, open_own, opened_folder
from wsicomp.files.unfinished import unfinished

_HIDDEN = ".wsicomp.partial"
_LONGEST_NAME = 255
"""Bytes of a file's name on the file systems of Linux and macOS."""
_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL}
_NO_SYNC = {*_NO_LOCKS, errno.EBADF, errno.EROFS, errno.EACCES, errno.EPERM}
"""Errors of file systems that know no locks, or cannot flush a folder: network shares, FUSE."""
_UNLOCKED = "its file system has no locks, so two runs could write the same target at once; start only one"


def partial_path(target: Path) -> Path:
    """Return the path of a target until it is complete: a hidden name that only wsicomp uses.

    >>> partial_path(Path("slides/a.tiff")).as_posix()
    'slides/.a.tiff.wsicomp.partial'

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
    """Refuse an output path that could not or must not be written, before anything is read.

    `inputs` that are None are ignored.

    Raises:
        SlideWriteError: the path is one of the inputs under any name, no regular file, or in no directory.
        TargetExistsError: the path exists, and `overwrite` is False.
    """
    with write_errors(path):
        for place in (path, partial_path(path)):
            _check_no_input(place, inputs := tuple(inputs), path)
        if path.exists() and not path.is_file():
            kind = "a directory" if path.is_dir() else "not a regular file"
            raise SlideWriteError(f"is {kind}; name a file to write", path)
        check_absent(path, overwrite)
        if not path.parent.is_dir():
            raise SlideWriteError(f"its directory {path.parent} does not exist; make it first", path)


def check_absent(path: Path, overwrite: bool) -> None:
    """Refuse a name that exists, even a link that leads nowhere, unless it may be replaced.

    Raises:
        TargetExistsError: the name exists, and `overwrite` is False.
    """
    if not overwrite and os.path.lexists(path):
        raise TargetExistsError(
            "exists already; choose another name or `overwrite=True`", displayed_path(path)
        )


def check_outputs(paths: Sequence[Path], inputs: Iterable[Path | None], overwrite: bool) -> None:
    """Refuse the outputs of one run if any could not or must not be written, or two are one file.

    `inputs` that are None are ignored.

    Raises:
        SlideWriteError: a path is one of the inputs under any name, no regular file, in no directory, or the
            same file as another output.
        TargetExistsError: a path exists, and `overwrite` is False.
    """
    inputs = tuple(inputs)
    for number, path in enumerate(paths):
        check_output(path, inputs, overwrite)
        for other in paths[:number]:
            if path.resolve() in (other.resolve(), partial_path(other).resolve()):
                same = "" if other == path else f", the other as {other}"
                raise SlideWriteError(f"is named for two outputs{same}; give each a file of its own", path)


def make_folder(path: Path, alike: Path | None = None) -> Path:
    """Make a folder with its parents, if it does not exist, and return its path.

    A folder that is made is open to no more people than the folder `alike`.

    Raises:
        SlideWriteError: the folder cannot be made, or the name is a file's.
    """
    try:
        if alike is not None and not os.path.lexists(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            make_alike(path, path.parent, [alike])
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise SlideWriteError(
            f"is no folder and cannot be made one ({exc.strerror or exc}); name another", path
        ) from exc
    return path


def check_empty(folder: Path, overwrite: bool) -> None:
    """Refuse a folder with content unless `overwrite` is True.

    Unfinished content of a run that was killed does not count.

    Raises:
        TargetExistsError: the folder is not empty, and `overwrite` is False.
        SlideWriteError: the path is no folder.
    """
    with write_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise SlideWriteError("is no folder; name one to write into", folder)
        if not overwrite and folder.is_dir() and any(entry.name != _HIDDEN for entry in folder.iterdir()):
            raise TargetExistsError("is not empty; name another folder or `overwrite=True`", folder)


@contextmanager
def completed(
    target: Path, overwrite: bool = False, root: Path | None = None, alike: Attributes | None = None
) -> Iterator[Path]:
    """Yield a path to write to; the file gets the target's name when the `with` block ends.

    If the block fails, the target stays as it was. Where the system has such paths (Linux), the path leads to
    the open file itself, whatever has the partial file's name. The name may not survive a power cut. Below
    `root` no folder may be a link; None allows links. The file is open to the people of `alike`, by default
    to those of the umask.

    Raises:
        TargetExistsError: the target exists, and `overwrite` is False.
        SlideWriteError: the block or the file system raised an OSError, or another run is writing the target.
    """
    with completed_file(target, overwrite, root, is_lasting=False, alike=alike) as file:
        yield held_path(file.fileno(), partial_path(target))


@contextmanager
def completed_files(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a hidden folder in `folder`; its files move into `folder` when the `with` block ends.

    If the block fails, nothing is left.

    Raises:
        TargetExistsError: a file of that name appeared meanwhile, and `overwrite` is False.
        SlideWriteError: the block or the file system raised an OSError. Either message lists the files that
            had moved already.
    """
    is_new = not folder.exists()
    with write_errors(folder), opened_folder(make_folder(folder)) as there:
        try:
            there.clear(_HIDDEN)
            there.check(_HIDDEN)
            os.mkdir(_HIDDEN, dir_fd=there.descriptor)
            clearing = unfinished(lambda: there.clear(_HIDDEN))
            with clearing, opened_folder(there.held / _HIDDEN, there.held) as hidden:
                yield hidden.held
                _move_out(hidden, there, overwrite)
            is_new = False
        finally:
            there.clear(_HIDDEN)
            if is_new:
                with suppress(OSError):  # something was put there meanwhile
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


def open_locked(partial: Path, target: Path | None = None) -> BinaryIO:
    """Open a partial file for writing from its start, locked against every other process.

    Errors name its `target`. Without locks on the file system it is not locked; `lock_note` says so. A
    failure leaves no new file.

    Raises:
        TargetBusyError: another run is writing the file.
        SlideWriteError: the file system refuses, or the file is a link or not ours.
    """
    with write_errors(target or partial):
        try:
            file, is_new = _opened(partial)
        except KeyboardInterrupt:
            _drop(partial)
            raise
        try:
            _hold(file, partial)
            file.truncate(0)
        except BaseException as exc:
            file.close()
            if is_new and not isinstance(exc, TargetBusyError):
                with suppress(OSError):
                    partial.unlink()
            raise
    return file


def _drop(partial: Path) -> None:
    """Delete a partial file, unless another run is writing it."""
    with suppress(OSError), open(open_own(partial, os.O_RDWR), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_ours(file, partial):
            partial.unlink()


def _opened(partial: Path) -> tuple[BinaryIO, bool]:
    """Return the open file, and whether it was created just now."""
    try:
        return open(partial, "r+b", opener=_create), True
    except FileExistsError:
        return open(partial, "r+b", opener=_open), False


def _create(path: str, flags: int) -> int:
    return open_own(Path(path), flags | os.O_CREAT | os.O_EXCL)


def _open(path: str, flags: int) -> int:
    return open_own(Path(path), flags | os.O_CREAT)


def _hold(file: BinaryIO, partial: Path) -> None:
    """Lock the file, if its file system has locks, and make sure that it still has its name."""
    busy = TargetBusyError("another run is writing it; wait for that one", displayed_path(partial))
    try:
        _lock(file)
    except BlockingIOError as exc:
        raise busy from exc
    # A run that ended between our open and our lock has made this very file its target.
    if not is_ours(file, partial):
        raise busy


def _lock(file: BinaryIO) -> bool:
    """Lock the file and return True; return False if its file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno in _NO_LOCKS:
            return False
        raise
    return True


def lock_note(file: BinaryIO) -> str | None:
    """Return a note for the user if a file from `open_locked` is not locked; None if it is."""
    return None if _lock(file) else _UNLOCKED


def is_ours(file: BinaryIO, partial: Path) -> bool:
    """Return whether an open file still has its name `partial`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), partial.lstat())
    except FileNotFoundError:
        return False


def sweep_partial(target: Path, root: Path | None = None) -> None:
    """Delete the partial file that a killed run left.

    It stays if another run is writing it or it is not ours. Below `root` no folder may be a link; None allows
    links.
    """
    partial = partial_path(target)
    with suppress(OSError), opened_folder(partial.parent, root) as folder:
        folder.remove_second_name(partial.name, target.name)
        with open(folder.open(partial.name, os.O_RDWR), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder.remove(partial.name)


def sync_directory(folder: Path) -> None:
    """Flush a folder's names to the disk, so that they survive a power cut.

    Does nothing if the file system cannot do it, or does not let us open the folder.

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
    """Flush the name of a complete and flushed file to the disk.

    The name is in `folder`, by default the target's.

    Raises:
        SlideWriteError: the disk failed; the file has its name, but may not survive a power cut.
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
    target: Path,
    overwrite: bool = False,
    root: Path | None = None,
    is_lasting: bool = True,
    alike: Attributes | None = None,
) -> Iterator[BinaryIO]:
    """Yield a hidden, locked file that gets the target's name when the `with` block ends.

    If the block fails, the target stays as it was. Below `root` no folder may be a link; None allows links. A
    file that is not `is_lasting`, such as a picture, is not flushed and may be lost in a power cut. The file
    gets mode, owner and time of `alike`, by default those of the umask, this user and now.

    Raises:
        TargetExistsError: the target exists, or appeared meanwhile, and `overwrite` is False.
        TargetBusyError: another run is writing the target.
        SlideWriteError: the block or the file system raised an OSError, or the file may not survive a power
            cut.
    """
    with write_errors(target), opened_folder(target.parent, root) as folder:
        partial = folder.held / partial_path(target).name
        folder.remove_second_name(partial.name, target.name)
        with open_locked(partial, target) as file, unfinished(lambda: discard(file, partial)):
            try:
                if alike is not None:
                    make_private(file.fileno())
                yield file
                file.flush()
                if is_lasting:
                    os.fsync(file.fileno())
                if alike is not None:
                    alike.give(file.fileno())
                give_name(file, partial, folder, target, overwrite)
            except BaseException:
                discard(file, partial)
                raise
        if is_lasting:
            sync_name(target, folder.held)


def give_name(file: BinaryIO, partial: Path, folder: Folder, target: Path, overwrite: bool) -> None:
    """Rename a complete partial file to its target's name: the one place where targets get their names.

    Raises:
        TargetExistsError: another file got the name meanwhile, and `overwrite` is False.
        TargetBusyError: another run has replaced `partial`.
        OSError: the file system refuses.
    """
    if not is_ours(file, partial):
        raise TargetBusyError("another run is writing it; wait for that one", displayed_path(partial))
    try:
        folder.move(partial.name, folder, target.name, overwrite)
    except FileExistsError as exc:
        found = "exists already, since a moment ago; choose another name or `overwrite=True`"
        raise TargetExistsError(found, displayed_path(target)) from exc


def discard(file: BinaryIO, partial: Path) -> None:
    """Delete our partial file, as far as the file system allows; never another run's."""
    with suppress(OSError):
        if is_ours(file, partial):
            partial.unlink()


@contextmanager
def write_errors(target: Path) -> Iterator[None]:
    """Turn an OSError of the file system into a SlideWriteError that names the target.

    Raises:
        SlideWriteError: the block raised an OSError that is none of ours.
    """
    try:
        yield
    except WsicompError:
        raise
    except OSError as exc:
        raise SlideWriteError(f"cannot be written ({exc.strerror or exc})", displayed_path(target)) from exc


def _check_no_input(place: Path, inputs: tuple[Path | None, ...], named: Path) -> None:
    for given in inputs:
        if given is not None and place.exists() and given.exists() and place.samefile(given):
            same = "" if given == named else f", {given}"
            raise SlideWriteError(f"is an input{same}; an input is never overwritten", named)
