"""An archive as a read-only tree of the files that it was made from.

Restorable conversions appear as their originals, by the paths that a ledger or the files themselves say.
All other files appear as they are, links as links. A batch's own files and half-written ones do not appear.
What is added, replaced or removed beneath appears when it is next looked for.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from cachetools import LRUCache

from wsicomp.batch import remembered
from wsicomp.batch.ledger import Ledger
from wsicomp.errors import SlideReadError
from wsicomp.files.inputs import reading
from wsicomp.mount.arrangement import Names, arranged, as_known, is_own_name, moved_originals
from wsicomp.mount.file_facts import FileFacts, FileFactsCache, HeldOriginals
from wsicomp.mount.ledger_names import LedgerNames
from wsicomp.mount.patience import Patience
from wsicomp.mount.shown import Shown, ShownFile, ShownFolder, ShownLink, joined_path

_RECENT_S, _UNSETTLED_S = 60.0, 0.5
"""How long a listing holds whose folder has not changed; and where it had changed just before."""
_SETTLED_NS = 2_000_000_000
"""How long before a listing its folder has not changed: longer than file systems round times."""
_COSTLY_S, _TIMES_AS_LONG = 0.5, 10
"""A listing that takes longer holds for ten times as long, while others write into its folder."""
_MOST_LISTINGS = 10_000


_NO_NAMES: Names = {}


@dataclass(frozen=True)
class _Listing:
    """What a folder showed at a time."""

    folder: ShownFolder
    children: Mapping[str, Shown] = field(repr=False)
    names: object
    """What the ledger said then."""
    made_at: float
    took_s: float
    is_settled: bool
    """Whether the folder had not changed for a while, so that a change would show in its time."""

    def holds(self, folder: ShownFolder, names: object) -> bool:
        """Return whether the folder shows the same now, when a ledger says `names`."""
        before = self.folder
        is_same = before.path == folder.path and (
            before.given is folder.given or not (before.given or folder.given)
        )
        is_unchanged = before.status.st_mtime_ns == folder.status.st_mtime_ns
        limit_s = _RECENT_S if self.is_settled else _UNSETTLED_S
        age_s = time.monotonic() - self.made_at
        is_costly = self.took_s > _COSTLY_S and age_s < _TIMES_AS_LONG * self.took_s
        return is_same and (is_costly or (is_unchanged and names is self.names and age_s < limit_s))


class ArchiveTree:
    """The tree of an archive: a folder, or one file. Any thread may use it.

    Paths are those of the tree, without a slash at either end; "" is its root. Errors of the file system
    beneath are raised as they are, with EIO where the archive itself is not there any more.

    Args:
        archive: The folder or file.
        originals_of: Says what a file holds.
        patience: How long calls into the archive's file system may take.

    Raises:
        SlideReadError: there is no such folder or file.
    """

    def __init__(
        self,
        archive: Path,
        originals_of: Callable[[Path], HeldOriginals],
        patience: Patience | None = None,
    ) -> None:
        self.archive = archive.absolute()
        """Its path."""
        self.patience = patience or Patience()
        """What calls into the archive's file system go through."""
        with reading(archive):
            self._status = self.patience.call(os.stat, self.archive)
        if not (stat.S_ISDIR(self._status.st_mode) or stat.S_ISREG(self._status.st_mode)):
            raise SlideReadError("is neither a folder nor a file", archive)
        self._roots = {os.fspath(self.archive), os.path.realpath(self.archive)}
        self._is_file = stat.S_ISREG(self._status.st_mode)
        self._facts = FileFactsCache(originals_of)
        self._names = LedgerNames(self.archive)
        self._listings: LRUCache[str, _Listing] = LRUCache(_MOST_LISTINGS)
        self._moved_by: object = None
        self._moved_to: Mapping[str, Shown] = {}
        self._lock = Lock()
        self._building: LRUCache[str, Lock] = LRUCache(_MOST_LISTINGS)

    def find(self, path: str) -> Shown:
        """Return what is shown at a path, as it is now.

        Raises:
            OSError: nothing is there (FileNotFoundError), or the archive cannot be read.
        """
        if not path:
            return self._root()
        parent, _, name = path.rpartition("/")
        found = self._listing(parent).children.get(name)
        now = self._current(found)
        if found is not None and now is None:
            now = self._current(self._listing(parent, is_changed=True).children.get(name))
        if now is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return replace(now, text=self._link_text(parent, now)) if isinstance(now, ShownLink) else now

    def children(self, path: str) -> Mapping[str, Shown]:
        """Return what a folder shows, by name.

        Raises:
            OSError: no folder is there (FileNotFoundError, NotADirectoryError), or it cannot be read.
        """
        return self._listing(path).children

    def _root(self) -> ShownFolder:
        if self._is_file:
            return ShownFolder(None, self._status)
        return ShownFolder(self.archive, self._checked_status())

    def _current(self, shown: Shown | None) -> Shown | None:
        """Return what is shown with its status now; None where what is behind it is another."""
        try:
            if isinstance(shown, ShownFile):
                now = self.patience.call(self._facts.of, shown.facts.path)
                now = replace(now, held=shown.facts.held)
                return replace(shown, facts=now) if now.identity == shown.facts.identity else None
            if isinstance(shown, ShownFolder) and shown.path is not None:
                status = self.patience.call(os.lstat, shown.path)
                return replace(shown, status=status) if stat.S_ISDIR(status.st_mode) else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        return shown

    def _link_text(self, folder: str, link: ShownLink) -> str:
        """Return where a link in a shown folder leads: to what is shown, where that lies in the archive.

        That is found in the link's text. No file is looked at: it may lie in this very mount, which would
        have to answer for it.
        """
        leads_to = os.path.normpath(link.path.parent / link.text)
        inner = next(
            (os.path.relpath(leads_to, root) for root in self._roots if _is_in(leads_to, root)), None
        )
        if inner is None:
            return link.text
        parent = inner.rpartition("/")[0]
        try:
            children = self.children(parent)
        except OSError:
            return link.text
        names = [shown for shown, each in children.items() if _is_behind(each, self.archive / inner)]
        if inner != "." and len(names) != 1:
            return link.text
        shown = inner if inner == "." else joined_path(parent, names[0])
        return os.path.relpath(f"/{shown}", f"/{folder}")

    def _listing(self, path: str, is_changed: bool = False) -> _Listing:
        """Return a folder's listing; made anew where something in it was found to be another."""
        folder = self.find(path) if path else self._root()
        if not isinstance(folder, ShownFolder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        asked_at = time.monotonic()
        with self._lock:
            building = self._building.setdefault(path, Lock())
        with building:
            with self._lock:
                known = self._listings.get(path)
            if known is not None and known.made_at >= asked_at:
                return known
            if known is not None and not is_changed and known.holds(folder, self._ledger_names()):
                return known
            made = self._made(path, folder, is_changed)
            with self._lock:
                self._listings[path] = made
            return made

    def _made(self, path: str, folder: ShownFolder, is_changed: bool) -> _Listing:
        made_at, began_ns = time.monotonic(), time.time_ns()
        files, others, given = self._contents(path, folder, is_changed)
        real = "" if folder.path is None or self._is_file else _relative(folder.path, self.archive)
        names = self._ledger_names()
        files = [as_known(joined_path(real, facts.path.name), facts, names) for facts in files]
        shown = arranged(real, files, names, others, given)
        is_settled = began_ns - folder.status.st_mtime_ns > _SETTLED_NS
        return _Listing(folder, shown, names, made_at, time.monotonic() - made_at, is_settled)

    def _ledger_names(self) -> Names:
        return _NO_NAMES if self._is_file else self._names.by_target()

    def _contents(
        self, path: str, folder: ShownFolder, is_changed: bool
    ) -> tuple[list[FileFacts], Mapping[str, Shown], Mapping[str, Shown]]:
        """Return the files of a folder, its folders and links, and what it shows from elsewhere."""
        if self._is_file and not path:
            return [self.patience.call(self._facts.of, self.archive)], {}, {}
        given = folder.given if path else self._moved(is_changed)
        if folder.path is None:
            return [], {}, given
        return *self._scanned(folder.path), given

    def _moved(self, is_changed: bool) -> Mapping[str, Shown]:
        """Return the originals that stood in other folders than their conversions lie in.

        They are looked for once a ledger; and where one of them was found to be another.
        """
        names = self._ledger_names()
        if names is not self._moved_by or is_changed:
            paths = {
                self.archive / target: target
                for target, known in names.items()
                if target.rpartition("/")[0] != known.source.rpartition("/")[0]
            }
            found = self._facts.of_many(paths, self.patience.call)
            reaches = {folder: self._reach(folder) for folder in {facts.path.parent for facts in found}}
            files = {
                target: (as_known(target, facts, names), reaches[facts.path.parent])
                for facts in found
                for target in (paths[facts.path],)
            }
            self._moved_by, self._moved_to = names, moved_originals(files, names)
        return self._moved_to

    def _reach(self, folder: Path) -> int:
        """Return the permission bits that are of use to somebody who has to go through a folder.

        Whose folders the user is, or of which group, is not known here: where a folder is not open to all,
        its originals are its owner's alone.
        """
        inner = [folder, *folder.parents]
        for each in inner[: inner.index(self.archive)]:
            if not self.patience.call(os.lstat, each).st_mode & 0o001:
                return 0o700
        return 0o777

    def _scanned(self, folder: Path) -> tuple[list[FileFacts], dict[str, Shown]]:
        """Return the files of a folder, and its folders and links by name."""
        status = self.patience.call(_entries, folder)
        self._checked_status()
        if folder == self.archive and self.patience.call(Ledger.is_there, folder):
            status.pop(remembered.FILE, None)
        others: dict[str, Shown] = {}
        files = []
        for name, found in status.items():
            if stat.S_ISDIR(found.st_mode):
                others[name] = ShownFolder(folder / name, found)
            elif stat.S_ISLNK(found.st_mode):
                others[name] = ShownLink(folder / name, found, self.patience.call(os.readlink, folder / name))
            elif stat.S_ISREG(found.st_mode):
                files.append(folder / name)
        return self._facts.of_many(files, self.patience.call), others

    def _checked_status(self) -> os.stat_result:
        """Return the archive's status, where it still is what was shown first.

        Raises:
            OSError: with EIO: it is gone, or the empty folder where a share was.
        """
        try:
            now = self.patience.call(os.stat, self.archive)
        except FileNotFoundError:
            now = None
        if now is None or (now.st_dev, now.st_ino) != (self._status.st_dev, self._status.st_ino):
            raise OSError(errno.EIO, "the archive is not there any more")
        return now


def _entries(folder: Path) -> dict[str, os.stat_result]:
    """Return the status of all that a folder holds and that may be shown, by name."""
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_own_name(entry.name):
                try:
                    found[entry.name] = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
    return found


def _is_in(path: str, root: str) -> bool:
    """Return whether a path is that of a folder, or leads to something in it, by its letters."""
    return path == root or path.startswith(f"{root}/")


def _is_behind(shown: Shown, path: Path) -> bool:
    """Return whether a shown file or folder is the one at a path of the archive, or the original in it."""
    return path == (shown.facts.path if isinstance(shown, ShownFile) else shown.path)


def _relative(path: Path, root: Path) -> str:
    return "" if path == root else os.fspath(path.relative_to(root))
