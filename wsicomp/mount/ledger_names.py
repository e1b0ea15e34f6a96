"""The paths that originals had in their tree, by the ledger of the batch that wrote an archive."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from wsicomp.batch.carried import Carried
from wsicomp.batch.conversions import carried_files, known_targets
from wsicomp.batch.entry import Entry
from wsicomp.batch.ledger import Ledger
from wsicomp.errors import LedgerError
from wsicomp.text.paths import as_path

_log = logging.getLogger(__name__)

_LEAST_AGE_S, _TIMES_AS_LONG = 2.0, 10
"""How old the names have to be before a changed ledger is read again, and how much longer than that takes."""


@dataclass(frozen=True)
class LedgerName:
    """The name of an original by a ledger."""

    source: str
    """The path that it had in its tree."""
    sha256: str
    """Its SHA-256; "" where the ledger does not say."""
    bytes: int = 0
    """Its size."""
    restorable: bool = False
    """Whether its conversion was to give it back."""
    is_own: bool = False
    """Whether the batch left it as it was, so that the file in the archive is to be the original itself."""
    mtime_ns: int | None = None
    """The time of its last change, where the ledger says it."""


class LedgerNames:
    """The names of a folder's originals; those of a batch that runs come as it writes them."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._lock = Lock()
        self._names: Mapping[str, LedgerName] = {}
        self._stamp: object = None
        self._read_at, self._took_s = float("-inf"), 0.0

    def by_target(self) -> Mapping[str, LedgerName]:
        """Return the names by the paths of conversions in the archive; none without a ledger.

        It is the same object until they change.

        A ledger that cannot be read leaves the names that are known.
        """
        with self._lock:
            age = time.monotonic() - self._read_at
            if age > max(_LEAST_AGE_S, _TIMES_AS_LONG * self._took_s):
                self._read()
            return self._names

    def _read(self) -> None:
        began = time.monotonic()
        stamp = tuple(map(_stamp, Ledger.files(self._archive)))
        if stamp != self._stamp:
            try:
                found = names_in_ledger(self._archive)
                if found != self._names:  # else listings by these names hold
                    self._names = found
                self._stamp = stamp
            except LedgerError as exc:
                _log.warning("%s", exc)
        self._read_at = time.monotonic()
        self._took_s = self._read_at - began


def names_in_ledger(archive: Path) -> dict[str, LedgerName]:
    """Return what the ledger says of the slides of an archive, and of the files that were carried into it.

    Raises:
        LedgerError: there is a ledger that cannot be read.
    """
    slides = known_targets(archive).items()
    found = {target: _of_slide(entry) for target, entry in slides if entry.is_converted}
    found |= {target: _of_carried(record) for target, record in carried_files(archive).items()}
    return {os.fspath(as_path(target)): name for target, name in found.items()}


def _of_slide(entry: Entry) -> LedgerName:
    is_own = bool(entry.source_sha256) and entry.source_sha256 == entry.target_sha256
    source = os.fspath(as_path(entry.source))
    return LedgerName(source, entry.source_sha256, entry.source_bytes, entry.restorable, is_own)


def _of_carried(record: Carried) -> LedgerName:
    source = os.fspath(as_path(record.source))
    return LedgerName(source, record.sha256, record.bytes, is_own=True, mtime_ns=record.mtime_ns)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
