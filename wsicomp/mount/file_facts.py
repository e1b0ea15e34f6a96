"""What lies in a file of an archive: an original or several, or only what the file is.

Nothing is rebuilt here.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any

from cachetools import LRUCache

from wsicomp.concurrency.threads import available_cores, batched, ordered_map
from wsicomp.errors import WsicompError

_log = logging.getLogger(__name__)

_MOST_KNOWN = 500_000
"""How many files' facts are kept, each of some 500 bytes."""

Caller = Callable[[Callable[[], Any]], Any]
"""Calls a function, and returns what it returns."""


@dataclass(frozen=True, order=True)
class FileIdentity:
    """What changes when a file is replaced or written to."""

    device: int
    """The number of its file system."""
    inode: int
    """Its number there."""
    bytes: int
    """Its size."""
    mtime_ns: int
    """The time of its last change in ns since 1970."""

    @classmethod
    def of(cls, status: os.stat_result) -> FileIdentity:
        """Return the identity of a file with this status."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class HeldOriginal:
    """An original that a file holds."""

    name: str | None
    """The name or path that the file states for it, not checked; None where it states none."""
    bytes: int
    """Its size."""
    mtime_ns: int | None
    """The time of its last change; None: as that of the file."""
    sha256: str = ""
    """Its SHA-256; "" where it is not known."""
    mode: int | None = None
    """Its permission bits; None: as those of the file."""
    member: str | None = None
    """Its path in a file that holds several; None where the file holds one."""


@dataclass(frozen=True)
class HeldFolder:
    """A folder that a file holds beside its originals."""

    name: str
    """The path that the file states for it, not checked."""
    mtime_ns: int | None
    """The time of its last change; None: as that of the file."""
    mode: int
    """Its permission bits."""


@dataclass(frozen=True)
class HeldOriginals:
    """What a file holds."""

    originals: tuple[HeldOriginal, ...] = ()
    """Its originals; none where it is shown as it is."""
    folders: tuple[HeldFolder, ...] = ()
    """The folders that they are in, but for the outermost."""
    is_older: bool = False
    """Whether it is a conversion of wsicomp 0.7 or before, whose original cannot be read at random."""
    is_itself: bool = False
    """Whether the file is its only original, by the ledger of the batch that left it as it was."""


@dataclass(frozen=True)
class FileFacts:
    """A file of the archive."""

    path: Path
    """Where it is."""
    status: os.stat_result = field(repr=False)
    """Its status."""
    held: HeldOriginals = field(default=HeldOriginals(), repr=False)
    """What it holds."""

    @property
    def originals(self) -> tuple[HeldOriginal, ...]:
        """The originals in it; none where it is shown as it is."""
        return self.held.originals

    @property
    def identity(self) -> FileIdentity:
        """Its identity when it was looked at."""
        return FileIdentity.of(self.status)


class FileFactsCache:
    """The facts of an archive's files. Each file is opened once, and again when its size or time changes.

    `originals_of` says what a file holds. One that it cannot read now is shown as it is, and looked at again
    the next time: no file keeps its folder from being listed.
    """

    def __init__(self, originals_of: Callable[[Path], HeldOriginals]) -> None:
        self._originals_of = originals_of
        self._known: LRUCache[Path, FileFacts] = LRUCache(_MOST_KNOWN)
        self._lock = Lock()

    def of(self, path: Path) -> FileFacts:
        """Return the facts of a regular file as it is now.

        Raises:
            OSError: no regular file is there, or it cannot be examined.
        """
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError(errno.ENOENT, "no regular file any more", path)
        with self._lock:
            known = self._known.get(path)
        if known is not None and known.identity == FileIdentity.of(status):
            if known.status.st_ctime_ns == status.st_ctime_ns:
                return known
            known = replace(known, status=status)  # its mode or its owner
            with self._lock:
                self._known[path] = known
            return known
        try:
            facts = FileFacts(path, status, self._originals_of(path))
        except Exception as exc:  # a stranger's file must not take its folder away
            said = exc if isinstance(exc, WsicompError) else f"{path}: {type(exc).__name__}"
            _log.warning("shown as it is: %s", said)
            _log.debug("that file", exc_info=True)
            return FileFacts(path, status)
        if FileIdentity.of(os.lstat(path)) == facts.identity:
            with self._lock:
                self._known[path] = facts
        return facts

    def of_many(self, paths: Iterable[Path], call: Caller) -> list[FileFacts]:
        """Return the facts of those of these files that are there, in their order.

        Some at a time are looked at through `call`, on all cores.
        """

        def some(portion: list[Path]) -> list[FileFacts | None]:
            found: list[FileFacts | None] = call(lambda: [self._of_present(path) for path in portion])
            return found

        several = list(paths)
        with self._lock:
            unknown = sum(path not in self._known for path in several)
        workers = available_cores() if unknown > 1 else 1
        found = chain.from_iterable(ordered_map(some, batched(several), workers))
        return [facts for facts in found if facts is not None]

    def _of_present(self, path: Path) -> FileFacts | None:
        try:
            return self.of(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
