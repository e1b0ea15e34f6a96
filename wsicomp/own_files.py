"""Folders and files where others may write too: no link is followed there, and no file is touched but ours.

A folder is opened once, and what is done in it is done relative to its descriptor: whatever becomes of its
name meanwhile, it is the same folder. Below a `root` no folder may be a link; the way to the root is the
user's own, and is followed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from wsicomp.errors import SlideWriteError

_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_ANY_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""Where the system has `O_PATH`, a folder that nobody may list can be written into all the same."""
_ANY_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A pipe would have us wait for ever; a file does not mind."""
_UNKNOWN = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}
"""What a system or a file system says that cannot rename so, or has no hard links."""
_DESCRIPTORS = Path("/proc/self/fd")


@dataclass(frozen=True)
class Folder:
    """An open folder. `path` is how it was named; `held` leads to it whatever has that name now."""

    path: Path
    descriptor: int

    @property
    def held(self) -> Path:
        """The folder itself where the system has such names (Linux), else by its name."""
        return held_path(self.descriptor, self.path)

    def status(self, name: str) -> os.stat_result | None:
        """What has a name here, itself and not what it leads to; None for nothing."""
        try:
            return os.lstat(name, dir_fd=self.descriptor)
        except FileNotFoundError:
            return None

    def is_folder(self, name: str) -> bool:
        """Whether a folder, and no link to one, has a name here."""
        found = self.status(name)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def open(self, name: str, flags: int) -> int:
        """The descriptor of a regular file; to be written only if it has no other name.

        Raises:
            SlideWriteError: something else has the name.
            OSError: there is nothing of that name, or the file system refuses.
        """
        try:
            descriptor = os.open(name, flags | _ANY_FILE, 0o666, dir_fd=self.descriptor)
        except OSError:
            self.check(name)
            raise
        try:
            self._check(os.fstat(descriptor), name, is_read=not flags & (os.O_WRONLY | os.O_RDWR))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def check(self, name: str, is_read: bool = False) -> None:
        """Refuse what has a name here and is no file of ours; nothing is well.

        Raises:
            SlideWriteError: it is a link or no regular file, or has another name and would be written.
        """
        found = self.status(name)
        if found is not None:
            self._check(found, name, is_read)

    def _check(self, found: os.stat_result, name: str, is_read: bool) -> None:
        if stat.S_ISREG(found.st_mode) and (is_read or found.st_nlink <= 1):
            return
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "a file with another name besides, a hard link")
        message = f"is {kind}, which is not ours; look at it, then move it away"
        raise SlideWriteError(message, displayed_path(self.path / name))

    def remove(self, name: str) -> None:
        """Take a name away, never what it leads to; none is well.

        Raises:
            OSError: the file system refuses.
        """
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def clear(self, name: str) -> None:
        """Take away a folder here with all that is in it, as well as it can be; nothing but a folder."""
        if self.is_folder(name):  # a pipe would have it wait for ever
            shutil.rmtree(self.held / name, ignore_errors=True)

    def move(self, name: str, there: Folder, new: str, overwrite: bool) -> None:
        """Rename; without `overwrite` never over what is there, also if it came a moment ago.

        Raises:
            FileExistsError: so it would be.
            OSError: the file system refuses.
        """
        if overwrite:
            os.rename(name, new, src_dir_fd=self.descriptor, dst_dir_fd=there.descriptor)
        elif not _renamed_alone(self.descriptor, name, there.descriptor, new):
            _linked_alone(self, name, there, new)

    def remove_second_name(self, name: str, target: str) -> None:
        """Take away one of two names of one file: a process was killed between giving and taking a name."""
        one, other = self.status(name), self.status(target)
        if one is not None and other is not None and one.st_nlink == 2 and os.path.samestat(one, other):
            self.remove(name)


def held_path(descriptor: int, path: Path) -> Path:
    """A path to what a descriptor is open on, whatever has its name now; `path` where there is none."""
    held = _DESCRIPTORS / str(descriptor)
    return held if held.exists() else path


def displayed_path(path: Path) -> Path:
    """A path as people know it, also if it begins with `Folder.held`."""
    if path.parent.parent != _DESCRIPTORS:
        return path
    with suppress(OSError):
        return Path(os.readlink(path.parent)) / path.name  # noqa: PTH115 - no mark of its own for bytes
    return path


@contextmanager
def opened_folder(path: Path, root: Path | None = None, make: bool = False) -> Iterator[Folder]:
    """Open a folder, below `root` without following any link; with `make` those that are missing are made.

    Raises:
        SlideWriteError: a folder on the way from `root` is a link or none, or `path` does not lie below it.
        OSError: it is not there, or the file system refuses.
    """
    descriptor = _opened(path, root, make)
    try:
        yield Folder(path, descriptor)
    finally:
        os.close(descriptor)


def _opened(path: Path, root: Path | None, make: bool) -> int:
    if root is None:
        if make:
            path.mkdir(parents=True, exist_ok=True)
        return os.open(path, _ANY_FOLDER)
    try:
        names = path.relative_to(root).parts
    except ValueError:
        names = ("..",)
    if ".." in names:
        raise SlideWriteError(f"does not lie in {root}", path)
    descriptor, place = os.open(root, _ANY_FOLDER), root
    for name in names:
        above, place = Folder(place, descriptor), place / name
        try:
            descriptor = _entered(above, name, make)
        finally:
            os.close(above.descriptor)
    return descriptor


def _entered(above: Folder, name: str, make: bool) -> int:
    try:
        return os.open(name, _ANY_FOLDER | os.O_NOFOLLOW, dir_fd=above.descriptor)
    except OSError as exc:
        if isinstance(exc, FileNotFoundError) and make:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=above.descriptor)
            return _entered(above, name, make=False)
        found = above.status(name)
        if found is None or stat.S_ISDIR(found.st_mode):
            raise
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "a file")
        message = f"a folder on the way is {kind}, and nothing goes through it; look, then move it away"
        raise SlideWriteError(message, displayed_path(above.path / name)) from exc


def open_own(path: Path, flags: int, root: Path | None = None) -> int:
    """As `Folder.open`, in a folder as `opened_folder` opens it.

    Raises:
        SlideWriteError, OSError: as these.
    """
    with opened_folder(path.parent, root) as folder:
        return folder.open(path.name, flags)


def read_own(path: Path, root: Path | None, most: int) -> bytes:
    """At most so many bytes of a regular file of a tree.

    Raises:
        SlideWriteError, OSError: as `open_own`.
    """
    with open(open_own(path, os.O_RDONLY, root), "rb") as file:
        return file.read(most)


def is_open(found: os.stat_result) -> bool:
    """Whether this process has a file open; True where the system does not tell (all but Linux)."""
    if not _DESCRIPTORS.exists():
        return True
    for descriptor in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - numbers, not paths
        with suppress(OSError):
            if os.path.samestat(os.fstat(int(descriptor)), found):
                return True
    return False


def is_own(path: Path, root: Path) -> bool:
    """Whether there is a regular file of that name in a tree, on a way without links."""
    try:
        with opened_folder(path.parent, root) as folder:
            found = folder.status(path.name)
    except OSError:
        return False
    return found is not None and stat.S_ISREG(found.st_mode)


def kind_of(path: Path) -> str:
    """What has a name, in words, if it is no regular file; "" for a file and for nothing."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return ""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no file")


def move_own(path: Path, place: Path, root: Path | None, overwrite: bool = False) -> None:
    """Move a file of a tree to another place there, whose folders are made; see `Folder.move`.

    Raises:
        FileExistsError: something is there, and `overwrite` is False.
        SlideWriteError, OSError: as `opened_folder`.
    """
    with (
        opened_folder(path.parent, root) as here,
        opened_folder(place.parent, root, make=True) as there,
    ):
        here.move(path.name, there, place.name, overwrite)


def remove_own(path: Path, root: Path | None) -> None:
    """Take away a name in a tree, if it is there.

    Raises:
        SlideWriteError, OSError: as `opened_folder`.
    """
    with suppress(FileNotFoundError), opened_folder(path.parent, root) as folder:
        folder.remove(path.name)


def _linked_alone(here: Folder, name: str, there: Folder, new: str) -> None:
    """Give a file a second name and take the first one, which every file system with hard links can do."""
    places = {"src_dir_fd": here.descriptor, "dst_dir_fd": there.descriptor}
    try:
        os.link(name, new, **places, follow_symlinks=False)
    except OSError as exc:
        if exc.errno not in _UNKNOWN | {errno.EMLINK}:
            raise
        if there.status(new) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from exc
        os.rename(name, new, **places)  # noqa: PTH104 - in open folders
        return
    here.remove(name)


def _renamed_alone(here: int, name: str, there: int, new: str) -> bool:
    """Whether the system renamed it, in one step; False where it cannot.

    Raises:
        OSError: it refused.
    """
    rename = _exclusive_rename()
    if rename is None:
        return False
    number = rename(here, os.fsencode(name), there, os.fsencode(new))
    if number not in {0, *_UNKNOWN}:
        raise OSError(number, os.strerror(number))
    return number == 0


@cache
def _exclusive_rename() -> Callable[[int, bytes, int, bytes], int] | None:
    """The system's own call that renames only to a name which nothing has; it returns 0 or an errno."""
    library = ctypes.CDLL(None, use_errno=True)
    for symbol, flag in (("renameat2", 1), ("renameatx_np", 4)):  # of Linux, of macOS
        call = getattr(library, symbol, None)
        if call is not None:
            call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

            def rename(here: int, name: bytes, there: int, new: bytes) -> int:
                return 0 if call(here, name, there, new, flag) == 0 else ctypes.get_errno()  # noqa: B023

            return rename
    return None
