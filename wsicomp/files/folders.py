"""Files and folders in trees where others may write too: no link is followed, and only our files are touched.

A folder is opened once, and everything in it is done relative to its descriptor, so that a folder that is
renamed or replaced meanwhile does no harm. Below a `root` no folder may be a link. The path to the root
itself is the user's own, and links in it are followed.
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
"""With `O_PATH`, where the system has it, a folder can be written into that may not be listed."""
_ANY_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Non-blocking, since to open a pipe would wait for ever; it makes no difference to a file."""
_UNKNOWN = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}
"""Errors of systems and file systems that cannot rename exclusively, or have no hard links."""
_DESCRIPTORS = Path("/proc/self/fd")


@dataclass(frozen=True)
class Folder:
    """An open folder."""

    path: Path
    """The folder's name when it was opened."""
    descriptor: int
    """The open descriptor."""

    @property
    def held(self) -> Path:
        """A path to the open folder itself, whatever its name is now (Linux); elsewhere its name."""
        return held_path(self.descriptor, self.path)

    def status(self, name: str) -> os.stat_result | None:
        """Return the status of the file or folder of this name here; None if nothing has the name.

        A link is not followed.
        """
        try:
            return os.lstat(name, dir_fd=self.descriptor)
        except FileNotFoundError:
            return None

    def is_folder(self, name: str) -> bool:
        """Return whether a folder has this name here; False for a link to one."""
        found = self.status(name)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def open(self, name: str, flags: int) -> int:
        """Return a descriptor of a regular file in this folder.

        A file that is opened for writing must have no second name (hard link).

        Raises:
            SlideWriteError: the name belongs to a link, to something that is no regular file, or to a file
                with a second name that would be written.
            OSError: nothing has the name, or the file system refuses.
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
        """Refuse a name that belongs to anything but a file of ours; accept a name that nothing has.

        With `is_read` a file may have a second name.

        Raises:
            SlideWriteError: the name belongs to a link, to something that is no regular file, or to a file
                with a second name that would be written.
        """
        found = self.status(name)
        if found is not None:
            self._check(found, name, is_read)

    def _check(self, found: os.stat_result, name: str, is_read: bool) -> None:
        if stat.S_ISREG(found.st_mode) and (is_read or found.st_nlink <= 1):
            return
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "a file with a second name (hard link)")
        message = f"is {kind}, which is not ours; move it away"
        raise SlideWriteError(message, displayed_path(self.path / name))

    def remove(self, name: str) -> None:
        """Remove a name, never what a link leads to; it need not exist.

        Raises:
            OSError: the file system refuses.
        """
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def clear(self, name: str) -> None:
        """Remove a folder in this one with all its content, as far as possible.

        A link or another kind of file of this name stays.
        """
        if self.is_folder(name):  # to open a pipe would wait for ever
            shutil.rmtree(self.held / name, ignore_errors=True)

    def move(self, name: str, there: Folder, new: str, overwrite: bool) -> None:
        """Rename `name` to `new` in the folder `there`.

        Without `overwrite` nothing is ever replaced, not even a file that appeared a moment ago.

        Raises:
            FileExistsError: a file or folder has the name `new`, and `overwrite` is False.
            OSError: the file system refuses.
        """
        if overwrite:
            os.rename(name, new, src_dir_fd=self.descriptor, dst_dir_fd=there.descriptor)
        elif not _renamed_alone(self.descriptor, name, there.descriptor, new):
            _linked_alone(self, name, there, new)

    def remove_second_name(self, name: str, target: str) -> None:
        """Remove `name` if it and `target` are two names of one file.

        A process leaves both if it is killed between adding the second and removing the first.
        """
        one, other = self.status(name), self.status(target)
        if one is not None and other is not None and one.st_nlink == 2 and os.path.samestat(one, other):
            self.remove(name)


def held_path(descriptor: int, path: Path) -> Path:
    """Return a path to the open file or folder of a descriptor, whatever its name is now.

    On systems without such paths (all but Linux) it is `path`.
    """
    held = _DESCRIPTORS / str(descriptor)
    return held if held.exists() else path


def displayed_path(path: Path) -> Path:
    """Return a path for messages: below `Folder.held` the folder's real name takes its place."""
    if path.parent.parent != _DESCRIPTORS:
        return path
    with suppress(OSError):
        return Path(os.readlink(path.parent)) / path.name  # noqa: PTH115 - no mark of its own for bytes
    return path


@contextmanager
def opened_folder(path: Path, root: Path | None = None, make: bool = False) -> Iterator[Folder]:
    """Open a folder for a `with` block, below `root` without following any link.

    With `make`, missing folders are made.

    Raises:
        SlideWriteError: a folder between `root` and `path` is a link or no folder, or `path` does not lie
            below `root`.
        OSError: the folder does not exist, or the file system refuses.
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
        raise SlideWriteError(f"does not lie in {root}; name a path inside it", path)
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
        message = f"a folder on the way is {kind}, expected a folder and no link; move it away"
        raise SlideWriteError(message, displayed_path(above.path / name)) from exc


def open_own(path: Path, flags: int, root: Path | None = None) -> int:
    """Open a regular file and return its descriptor; below `root` no link is followed.

    Raises:
        SlideWriteError: a folder between `root` and the file is a link, or the file is none of ours: a link,
            no regular file, or a file with a second name that would be written.
        OSError: the file or its folder does not exist, or the file system refuses.
    """
    with opened_folder(path.parent, root) as folder:
        return folder.open(path.name, flags)


def read_own(path: Path, root: Path | None, most: int) -> bytes:
    """Return at most `most` bytes of a regular file; below `root` no link is followed.

    Raises:
        SlideWriteError: a folder between `root` and the file is a link, or the file is a link or no regular
            file.
        OSError: the file or its folder does not exist, or the file system refuses.
    """
    with open(open_own(path, os.O_RDONLY, root), "rb") as file:
        return file.read(most)


def is_open(found: os.stat_result) -> bool:
    """Return whether this process has a file open; True where the system cannot tell (all but Linux)."""
    if not _DESCRIPTORS.exists():
        return True
    for descriptor in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - numbers, not paths
        with suppress(OSError):
            if os.path.samestat(os.fstat(int(descriptor)), found):
                return True
    return False


def is_own(path: Path, root: Path) -> bool:
    """Return whether a regular file has this path, with no link between `root` and the file."""
    try:
        with opened_folder(path.parent, root) as folder:
            found = folder.status(path.name)
    except OSError:
        return False
    return found is not None and stat.S_ISREG(found.st_mode)


def is_own_folder(path: Path, root: Path) -> bool:
    """Return whether a folder has this path, with no link between `root` and the folder."""
    try:
        with opened_folder(path, root):
            return True
    except OSError:
        return False


def kind_of(path: Path) -> str:
    """Return the kind of what has the name `path`, in words; "" for a regular file, or if nothing has it."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return ""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no file")


def move_own(path: Path, place: Path, root: Path | None, overwrite: bool = False) -> None:
    """Move a file to the path `place`, whose missing folders are made.

    Both paths lie below `root`; if it is None, links in them are followed.

    Raises:
        FileExistsError: a file or folder has the path `place`, and `overwrite` is False.
        SlideWriteError: a folder between `root` and the file is a link or no folder, or lies outside `root`.
        OSError: the file does not exist, or the file system refuses.
    """
    with (
        opened_folder(path.parent, root) as here,
        opened_folder(place.parent, root, make=True) as there,
    ):
        here.move(path.name, there, place.name, overwrite)


def remove_own(path: Path, root: Path | None) -> None:
    """Remove a name in the tree at `root`; it need not exist. None allows links in the path.

    Raises:
        SlideWriteError: a folder between `root` and the file is a link or no folder, or lies outside `root`.
        OSError: the file system refuses.
    """
    with suppress(FileNotFoundError), opened_folder(path.parent, root) as folder:
        folder.remove(path.name)


def _linked_alone(here: Folder, name: str, there: Folder, new: str) -> None:
    """Move a file without replacing one: give it the new name, then remove the old one (needs hard links)."""
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
    """Return whether the system's exclusive rename moved the file; False if it has none.

    Raises:
        OSError: the system refused to rename.
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
    """Return the system's call that renames only to a free name; it returns 0 or an errno."""
    library = ctypes.CDLL(None, use_errno=True)
    for symbol, flag in (("renameat2", 1), ("renameatx_np", 4)):  # of Linux, of macOS
        call = getattr(library, symbol, None)
        if call is not None:
            call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

            def rename(here: int, name: bytes, there: int, new: bytes) -> int:
                return 0 if call(here, name, there, new, flag) == 0 else ctypes.get_errno()  # noqa: B023

            return rename
    return None
