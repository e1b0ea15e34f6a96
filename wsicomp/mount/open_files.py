"""Files that are open: each is opened once for all who read it, and the last few stay open for the next."""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Lock

from cachetools import LRUCache

from wsicomp.errors import SlideReadError
from wsicomp.mount.byte_sources import ByteSource, OpenedFile, PlainBytes, SingleFile
from wsicomp.mount.shown import ShownFile
from wsicomp.mount.tree import ArchiveTree

_MOST_IDLE = 8
"""The most files that stay open though nobody reads them: a program opens a slide several times in a row."""

_MOST_REMEMBERED = 10_000
"""Of how many paths it is remembered which bytes the kernel may still keep."""


@dataclass(eq=False)
class _InUse:
    file: OpenedFile
    users: int = 0


@dataclass(frozen=True, eq=False)
class Handle:
    """An opening of a file, by one of those who read it."""

    path: str
    """Its path in the tree."""
    shown: ShownFile
    """What was shown there when it was opened."""
    source: ByteSource
    """Its bytes."""
    is_apart: bool
    """Whether its bytes must not be kept for others: an older opening reads the path's former bytes."""
    is_known: bool
    """Whether the path had the very bytes when it was opened last, so that what was kept of them holds."""


class OpenFiles:
    """The open files of a tree. Any thread may use it.

    A file that is written to or replaced while it is open is told by ESTALE, once and for all; one that is
    removed can be read on.
    """

    def __init__(self, tree: ArchiveTree, open_held: Callable[[Path], OpenedFile]) -> None:
        self._tree, self._open_held = tree, open_held
        self._lock = Lock()
        self._numbers = count(1)
        self._handles: dict[int, Handle] = {}
        self._files: OrderedDict[object, _InUse] = OrderedDict()
        self._last: LRUCache[str, object] = LRUCache(_MOST_REMEMBERED)

    def open(self, path: str) -> tuple[int, Handle]:
        """Open what is shown at a path; return the number by which `read` and `close` know it.

        Raises:
            OSError: no file is there, or it cannot be opened; a `SlideReadError` where it is damaged.
        """
        shown = self._tree.find(path)
        if not isinstance(shown, ShownFile):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        source = self._taken(shown)
        with self._lock:
            others = [each for each in self._handles.values() if each.path == path]
            is_apart = any(_key(each.shown) != _key(shown) for each in others)
            handle = Handle(path, shown, source, is_apart, self._last.get(path) == shown.version)
            if not is_apart:
                self._last[path] = shown.version
            number = next(self._numbers)
            self._handles[number] = handle
        return number, handle

    def handle(self, number: int) -> Handle:
        """Return an open file.

        Raises:
            OSError: with EBADF: it is closed.
        """
        with self._lock:
            found = self._handles.get(number)
        if found is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return found

    def read(self, number: int, start: int, length: int) -> bytes:
        """Return bytes of an open file, fewer at its end.

        Raises:
            OSError: with ESTALE: the file is another by now; else it cannot be read. A `SlideReadError` where
                it is damaged.
        """
        handle = self.handle(number)
        return self._tree.patience.call(_read, handle, start, length)

    def status(self, number: int) -> ShownFile:
        """Return an open file as it was when it was opened; its size now where it is shown as it is.

        Raises:
            OSError: with ESTALE: the file is another by now.
        """
        return self._tree.patience.call(_current, self.handle(number).shown)

    def close(self, number: int) -> None:
        """Close an open file."""
        with self._lock:
            handle = self._handles.pop(number, None)
            if handle is None:
                return
        self._give_back(_key(handle.shown))

    def close_all(self) -> None:
        """Close every file, open or idle."""
        with self._lock:
            files = [each.file for each in self._files.values()]
            self._files.clear()
            self._handles.clear()
        for file in files:
            with suppress(OSError):
                file.close()

    def _taken(self, shown: ShownFile) -> ByteSource:
        """Return a file's bytes, from what is open or opened now; `_give_back` ends their use.

        Raises:
            OSError: it cannot be opened, or is another than the one that is shown.
        """
        key = _key(shown)
        member = None if shown.original is None else shown.original.member
        with self._lock:
            found = self._files.get(key)
            if found is not None:
                found.users += 1
        if found is None:
            found = self._added(key, self._tree.patience.call(self._opened, shown))
        try:
            source = found.file.source(member)
            if shown.original is not None and source.total_bytes != shown.bytes:
                message = f"holds {source.total_bytes} bytes, expected {shown.bytes}"
                raise SlideReadError(message, shown.facts.path)
        except BaseException:
            self._give_back(key)
            raise
        return source

    def _opened(self, shown: ShownFile) -> OpenedFile:
        path = shown.facts.path
        is_plain = shown.original is None or shown.facts.held.is_itself
        return SingleFile(PlainBytes(path)) if is_plain else self._open_held(path)

    def _added(self, key: object, opened: OpenedFile) -> _InUse:
        """Return a file that was opened, or the same by a thread that was faster, with one more user."""
        with self._lock:
            found = self._files.setdefault(key, _InUse(opened))
            found.users += 1
        if found.file is not opened:
            opened.close()
        return found

    def _give_back(self, key: object) -> None:
        """Count one user less, and close files that nobody uses and that are too many, the oldest first."""
        with self._lock:
            if key not in self._files:  # all were closed
                return
            self._files[key].users -= 1
            self._files.move_to_end(key)
            idle = [key for key, each in self._files.items() if each.users == 0]
            surplus = [self._files.pop(key).file for key in idle[: max(0, len(idle) - _MOST_IDLE)]]
        for file in surplus:
            file.close()


def _read(handle: Handle, start: int, length: int) -> bytes:
    data = handle.source.read(start, length)
    _current(handle.shown)  # behind the reading, for the file may change in between
    return data


def _current(shown: ShownFile) -> ShownFile:
    """Return an open file as it is now.

    Raises:
        OSError: with ESTALE: another file stands in its place.
    """
    found = shown.current()
    if found is None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    return found


def _key(shown: ShownFile) -> object:
    """Return what two openings share if one open file serves them; a plain file is the same as it grows."""
    identity = shown.facts.identity
    if shown.original is None:
        return shown.facts.path, identity.device, identity.inode
    return shown.facts.path, identity
