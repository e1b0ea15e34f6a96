"""The calls of a read-only file system, as libfuse makes them, answered from a tree.

Anything that could change the tree is refused by the kernel, which mounts it read-only. Errors are logged in
one line each; programs get the errno alone.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

from wsicomp.errors import WsicompError
from wsicomp.mount.open_files import OpenFiles
from wsicomp.mount.shown import Shown, ShownFile, ShownFolder, ShownLink, inode_of
from wsicomp.mount.tree import ArchiveTree
from wsicomp.text.escaping import printable

_log = logging.getLogger(__name__)

_BLOCK_BYTES = 512
_PREFERRED_BYTES = 1 << 20
"""How much programs are told to read at once."""
_MOST_TOLD = 1000
"""How many different errors are logged before each may be logged once more."""
_MOST_BACKGROUND = 64
"""How many of the kernel's reads ahead may be at work at once."""
_PLAIN = frozenset(
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ESTALE, errno.EBADF),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINVAL, errno.ENAMETOOLONG),
    }
)
"""What programs are told as it is; any other error of the file system beneath is EIO."""


class FileInfo(Protocol):
    """libfuse's record of an open file."""

    fh: int
    keep_cache: int
    direct_io: int
    noflush: int


class Connection(Protocol):
    """libfuse's record of the connection to the kernel."""

    max_background: int
    congestion_threshold: int


class ArchiveFileSystem:
    """The calls of libfuse's high-level interface, as mfusepy passes them on. Any thread may make them."""

    use_ns = True
    """Times are in ns."""

    def __init__(self, tree: ArchiveTree, files: OpenFiles, on_mounted: Callable[[], None]) -> None:
        self._tree, self._files, self._on_mounted = tree, files, on_mounted
        self._told: set[str] = set()
        self._space: Mapping[str, int] = {}

    def init_with_config(self, connection: Connection | None, _: object) -> None:
        """Tell that the kernel has mounted the tree."""
        if connection is not None:
            connection.max_background = _MOST_BACKGROUND
            connection.congestion_threshold = _MOST_BACKGROUND * 3 // 4
        self._on_mounted()

    def getattr(self, path: str, info: FileInfo | None = None) -> dict[str, int]:
        """Return the attributes of what is at a path."""
        with self._answering(path):
            shown = self._tree.find(path[1:]) if info is None else self._files.status(info.fh)
            return _attributes(path[1:], shown)

    def readdir(self, path: str, _: int) -> Iterator[tuple[str, dict[str, int], int]]:
        """Return what a folder shows."""
        with self._answering(path):
            children = self._tree.children(path[1:])
        yield ".", {"st_mode": stat.S_IFDIR, "st_ino": 2}, 0
        yield "..", {"st_mode": stat.S_IFDIR, "st_ino": 2}, 0
        for name, shown in children.items():
            inner = f"{path[1:]}/{name}" if len(path) > 1 else name
            yield name, {"st_mode": _kind(shown), "st_ino": inode_of(inner, shown)}, 0

    def readlink(self, path: str) -> str:
        """Return where a link leads."""
        with self._answering(path):
            shown = self._tree.find(path[1:])
            if not isinstance(shown, ShownLink):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            return shown.text

    def open(self, path: str, info: FileInfo) -> int:
        """Open a file."""
        with self._answering(path):
            info.fh, handle = self._files.open(path[1:])
            info.keep_cache, info.direct_io = int(handle.is_known), int(handle.is_apart)
            info.noflush = 1
            return 0

    def read(self, path: str, size: int, offset: int, info: FileInfo) -> bytes:
        """Return bytes of an open file."""
        with self._answering(path):
            return self._files.read(info.fh, offset, size)

    def release(self, _: str, info: FileInfo) -> int:
        """Close an open file."""
        self._files.close(info.fh)
        return 0

    def statfs(self, path: str) -> Mapping[str, int]:
        """Return how large and how full the file system beneath is, or was when it last said so."""
        try:
            found = self._tree.patience.call(os.statvfs, self._tree.archive)
        except OSError as exc:
            self._tell(f"{printable(path[1:])}: {exc.strerror or exc}")  # who unmounts asks this, too
            return self._space
        self._space = {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}
        return self._space

    @contextmanager
    def _answering(self, path: str) -> Iterator[None]:
        """Turn any error into one with an errno, and log those that a program could not foresee.

        Raises:
            OSError: the block raised an error.
        """
        try:
            yield
        except WsicompError as exc:
            self._tell(f"{printable(path[1:])}: {exc}")
            raise _error(errno.EIO) from exc
        except OSError as exc:
            if exc.errno in _PLAIN:
                raise
            self._tell(f"{printable(path[1:])}: {exc.strerror or exc}")
            raise _error(errno.EIO) from exc
        except Exception as exc:
            self._tell(f"{printable(path[1:])}: {type(exc).__name__}")
            _log.debug("that call", exc_info=True)
            raise _error(errno.EIO) from exc

    def _tell(self, line: str) -> None:
        if len(self._told) >= _MOST_TOLD:
            self._told.clear()
        if line not in self._told:
            self._told.add(line)
            with suppress(OSError):
                _log.error("%s", line)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _kind(shown: Shown) -> int:
    if isinstance(shown, ShownFolder):
        return stat.S_IFDIR
    return stat.S_IFLNK if isinstance(shown, ShownLink) else stat.S_IFREG


def _attributes(path: str, shown: Shown) -> dict[str, int]:
    status = shown.facts.status if isinstance(shown, ShownFile) else shown.status
    size, mtime_ns, mode = status.st_size, status.st_mtime_ns, stat.S_IMODE(status.st_mode)
    if isinstance(shown, ShownFile):
        size, mtime_ns, mode = shown.bytes, shown.mtime_ns, shown.mode
    elif isinstance(shown, ShownLink):
        size = len(os.fsencode(shown.text))
    elif shown.held is not None:
        mtime_ns, mode = shown.held.mtime_ns or mtime_ns, shown.held.mode
    elif not stat.S_ISDIR(status.st_mode):  # a folder that a file makes: who may read may enter
        mode |= (mode & 0o444) >> 2
    if isinstance(shown, ShownFolder) and shown.path is None:
        mode &= shown.reach
    return {
        "st_mode": _kind(shown) | mode & 0o777,
        "st_ino": inode_of(path, shown),
        "st_nlink": 2 if isinstance(shown, ShownFolder) else 1,
        "st_uid": status.st_uid,
        "st_gid": status.st_gid,
        "st_size": size,
        "st_blocks": -(-size // _BLOCK_BYTES),
        "st_blksize": _PREFERRED_BYTES,
        "st_mtime": mtime_ns,
        "st_ctime": status.st_ctime_ns,
        "st_atime": mtime_ns,
    }
