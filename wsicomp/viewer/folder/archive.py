"""The slides of a folder as a list: those of a batch's archive, by its ledger, or all that lie there.

No slide is opened here. A ledger is opened to be read alone, read whole and closed at once: a batch that
writes it neither waits for the viewer nor is waited for.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from wsicomp.batch.carried import Carried
from wsicomp.batch.entry import NAME_TAKEN, NOT_FOUND, State
from wsicomp.batch.ledger import Ledger
from wsicomp.batch.ledger_files import SOURCE
from wsicomp.batch.quarantine_clock import DELETED, QUARANTINED
from wsicomp.conversion.outcome import Tissue
from wsicomp.errors import SlideReadError
from wsicomp.formats.discovery import Selection, find_slides
from wsicomp.formats.slide_files import slide_parts
from wsicomp.text.paths import as_path, as_text


class _Row(NamedTuple):
    """What is asked of the ledger for each slide; its fields are the ledger's columns."""

    source: str
    target: str
    state: str
    source_bytes: int
    target_bytes: int
    target_mtime_ns: int
    source_sha256: str
    target_sha256: str
    tissue: str
    codec: str
    least_ssim: float
    cause: str
    error: str
    look: str
    removal: str
    restorable: int

    @property
    def is_converted(self) -> bool:
        return self.state in (State.DONE, State.LOOK)

    @property
    def shown(self) -> str:
        return self.source.removesuffix("/") if self.cause in (NAME_TAKEN, NOT_FOUND) else self.source


_ROWS = f"SELECT {', '.join(_Row._fields)} FROM slides WHERE target != '' ORDER BY source"  # noqa: S608
_PATIENCE = 20
"""How many times as long as it took to read a ledger it is not read again, though it changed."""
_LEAST_WAIT_S = 2.0
_FIRST = (State.LOOK, State.FAILED, State.SKIPPED, State.RUNNING, State.WAITING, State.DONE)
"""The states in the order in which they want attention."""


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """A slide of the list."""

    number: int
    """Its number in addresses, from 1."""
    name: str
    """The path of the slide in its tree, as text."""
    target: str = ""
    """The path of its conversion in the folder, as text; "" where it has none."""
    state: str = ""
    """What became of it, a `State` of the ledger; "" without a ledger."""
    outcome: str = ""
    """The same in words."""
    source_bytes: int = 0
    """Bytes of the source."""
    target_bytes: int = 0
    """Bytes of the conversion; 0 where it has none."""
    error: str = ""
    """Why it was not converted, in one line."""
    removal: str = ""
    """Where the source went: "" (nowhere), "quarantined" or "deleted"."""
    restorable: bool = False
    """Whether the conversion gives every byte of the source back."""
    stamp: str = ""
    """A text that changes when the conversion does."""

    @property
    def saved(self) -> float | None:
        """The part of the source's bytes that the conversion saves; negative where it is larger."""
        return 1 - self.target_bytes / self.source_bytes if self.source_bytes and self.target_bytes else None

    def to_json(self) -> Mapping[str, object]:
        """Return what the page is told of it."""
        saved = self.saved
        return {
            "entry": self.number,
            "name": self.name,
            "state": self.state,
            "outcome": self.outcome,
            "source_bytes": self.source_bytes,
            "target_bytes": self.target_bytes or None,
            "saved": None if saved is None else round(saved, 6),
            "error": self.error,
            "stamp": self.stamp,
        }


@dataclass(frozen=True)
class Listing:
    """All slides of a folder at one time."""

    entries: tuple[ArchiveEntry, ...]
    """The slides, by name."""
    source: Path | None = None
    """The tree of their sources; None where that is not known, and in a folder without a ledger."""

    @cached_property
    def by_number(self) -> Mapping[int, ArchiveEntry]:
        """The slides by their numbers."""
        return {entry.number: entry for entry in self.entries}

    @property
    def states(self) -> Mapping[str, int]:
        """How many slides are in each state that is."""
        return Counter(entry.state for entry in self.entries if entry.state)

    @cached_property
    def totals(self) -> Mapping[str, object]:
        """Return sums over all slides that have a conversion, and how many are in each state, for JSON."""
        converted = [entry for entry in self.entries if entry.state in (State.DONE, State.LOOK)]
        before = sum(entry.source_bytes for entry in converted)
        after = sum(entry.target_bytes for entry in converted)
        return {
            "slides": len(self.entries),
            "states": self.states,
            "bytes": sum(entry.source_bytes for entry in self.entries),
            "source_bytes": before,
            "target_bytes": after,
            "saved": round(1 - after / before, 6) if before else None,
        }


def _by_saved(entry: ArchiveEntry) -> tuple[bool, float]:
    """Sort entries without a conversion last."""
    return entry.saved is None, -(entry.saved or 0.0)


def _by_attention(entry: ArchiveEntry) -> tuple[int, str]:
    known = [str(state) for state in _FIRST]
    return known.index(entry.state) if entry.state in known else len(known), entry.outcome


ORDERS: Mapping[str, Callable[[ArchiveEntry], Any]] = {
    "name": lambda entry: entry.name,
    "saved": _by_saved,
    "least-saved": lambda entry: (entry.saved is None, entry.saved or 0.0),
    "largest": lambda entry: -entry.source_bytes,
    "smallest": lambda entry: entry.source_bytes,
    "outcome": _by_attention,
}
"""The orders in which a page can ask for the slides, with the key of each."""


class ArchiveList:
    """The slides of a folder. Any thread may use it.

    Memory: about half a kB a slide.

    Args:
        folder: The folder; with a batch's ledger in it the slides are those of the ledger.
        files: The slides instead of those in the folder: their files by their names.

    Raises:
        LedgerError: there is a ledger that cannot be read.
    """

    def __init__(self, folder: Path, files: Mapping[str, Path] | None = None) -> None:
        self.folder = folder.absolute()
        self._files = files
        self.name = self.folder.resolve().name or str(self.folder)
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._chosen: tuple[object, object, list[ArchiveEntry]] = (None, None, [])
        self._stamp: object = None
        self._due = 0.0
        self._listing = self._read()

    @property
    def has_ledger(self) -> bool:
        """Whether the folder is a batch's."""
        return self._files is None and Ledger.is_there(self.folder)

    def file_of(self, entry: ArchiveEntry) -> Path:
        """Return the path of a slide of a folder without a ledger."""
        return self.folder / as_path(entry.name) if self._files is None else self._files[entry.name]

    def listing(self) -> Listing:
        """Return the slides as they are now; a ledger that changes often is read again now and then.

        Raises:
            LedgerError: the ledger cannot be read any more.
        """
        with self._lock:
            if self._stamp != self._stamp_now() and time.monotonic() >= self._due:
                self._listing = self._read()
            return self._listing

    def entry(self, number: int) -> ArchiveEntry:
        """Return the slide of a number.

        Raises:
            LookupError: there is none.
        """
        return self.listing().by_number[number]

    def chosen(self, find: str = "", state: str = "", order: str = "name") -> Sequence[ArchiveEntry]:
        """Return the slides whose name, outcome or error contains `find`, in one of `ORDERS`.

        With `state` they are those in this state alone.
        """
        listing, text = self.listing(), find.casefold()
        question = text, state, order
        with self._lock:
            of, asked, found = self._chosen
        if of is listing and asked == question:
            return found
        found = [
            entry for entry in listing.entries if (not state or entry.state == state) and _has(entry, text)
        ]
        found.sort(key=ORDERS[order])
        with self._lock:
            self._chosen = listing, question, found
        return found

    def _stamp_now(self) -> object:
        found: list[object] = []
        for path in Ledger.files(self.folder):
            with suppress(OSError):
                status = path.stat()
                if not path.name.endswith("-shm"):  # readers mark their place there
                    found.append((path.name, status.st_mtime_ns, status.st_size))
        return found

    def _read(self) -> Listing:
        began = time.monotonic()
        self._stamp = self._stamp_now()
        listing = self._of_ledger() if self.has_ledger else self._of_files()
        took = time.monotonic() - began
        self._due = began + took + max(_LEAST_WAIT_S, _PATIENCE * took)
        return listing

    def _of_ledger(self) -> Listing:
        with Ledger(self.folder, read_only=True) as ledger:
            known = ledger.fact(SOURCE)
            source = as_path(known) if known else None
            copies = {one.source: one for one in ledger.carried().values() if one.sha256}
            trees = tuple(filter(None, (source, self.folder)))
            found = ledger.figures(_ROWS)
        rows = (_Row(*values) for values in found)
        return Listing(tuple(self._entry(row, copies.get(row.source), trees) for row in rows), source)

    def _entry(self, row: _Row, copy: Carried | None, trees: Sequence[Path]) -> ArchiveEntry:
        """Return a slide of the ledger; `copy` is the record of its file that was carried as it is."""
        target, size, outcome = "", 0, _outcome(row)
        if row.is_converted:
            target, size = row.target, row.target_bytes
        elif copy is not None:
            target, size, outcome = copy.target, copy.bytes, f"{outcome}; copied as it is"
        return ArchiveEntry(
            number=self._number(row.source),
            name=row.shown,
            target=target,
            state=row.state,
            outcome=outcome,
            source_bytes=row.source_bytes,
            target_bytes=size,
            error=_without_paths(row.error, trees) if row.error else "",
            removal=row.removal,
            restorable=bool(row.restorable),
            stamp=f"{row.target_mtime_ns:x}-{size:x}",
        )

    def _of_files(self) -> Listing:
        if self._files is not None:
            return Listing(
                tuple(
                    ArchiveEntry(self._number(name), name, source_bytes=_bytes_of(path))
                    for name, path in self._files.items()
                )
            )
        slides = find_slides(Selection(self.folder)).slides
        return Listing(
            tuple(
                ArchiveEntry(
                    self._number(slide.source), slide.source, source_bytes=slide.bytes, stamp=slide.stamp
                )
                for slide in slides
            )
        )

    def _number(self, source: str) -> int:
        """Return the number of a slide, which stays when others come."""
        return self._numbers.setdefault(source, len(self._numbers) + 1)


def _bytes_of(path: Path) -> int:
    try:
        return sum(part.stat().st_size for part in slide_parts(path))
    except (OSError, SlideReadError):
        return 0


def _has(entry: ArchiveEntry, text: str) -> bool:
    return not text or any(
        text in each.casefold() for each in (entry.name, entry.outcome, entry.error, entry.target)
    )


def _outcome(row: _Row) -> str:
    """Return what became of a slide, in the words of a batch's report."""
    if row.state in (State.FAILED, State.SKIPPED):
        return f"{row.state}: {row.cause}" if row.cause else row.state
    if not row.is_converted:
        return row.state
    words = _tissue(row)
    return f"look first: {row.look}; {words}" if row.state == State.LOOK else words


def _tissue(row: _Row) -> str:
    if row.source_sha256 and row.source_sha256 == row.target_sha256:
        return "the source itself, as nothing is gained"
    if row.tissue != Tissue.LOSSY:
        return row.tissue or "done"
    least = f", least SSIM {math.floor(row.least_ssim * 1000) / 1000:.3f}" if row.least_ssim else ""
    return f"LOSSY, {row.codec}{least}"


def _without_paths(text: str, trees: Iterable[Path]) -> str:
    """Return a text in which paths begin in their trees: no answer says where these are."""
    for tree in trees:
        prefix = os.fspath(tree).rstrip("/")
        for each in filter(None, (prefix, as_text(prefix))):
            text = text.replace(f"{each}/", "").replace(each, "its tree")
    return text


def source_sentence(entry: ArchiveEntry) -> str:
    """Return where a slide's source went, in a sentence; "" where it is in its tree."""
    if entry.removal == QUARANTINED:
        return "Its source is in quarantine, and shown from there."
    if entry.removal == DELETED:
        back = "the conversion gives it back, byte for byte" if entry.restorable else "it cannot come back"
        return f"Its source was deleted: {back}."
    return ""
