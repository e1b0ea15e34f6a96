"""The records that lie in a source tree: time in quarantine, removals at work, and acceptances by persons.

Whoever may write the target tree may write its ledger, so that the ledger alone never lets a source go. These
records are small files in the quarantine folder of the source tree, one for each source there, one for each
acceptance, and one for each slide of several files while these are moved or deleted. The ledger repeats the
first two for status and report.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated, TypeVar

from msgspec import Meta

from wsicomp.batch.entry import Entry, State, time_flaw
from wsicomp.batch.ledger_checks import path_flaw
from wsicomp.errors import KeptError, SlideWriteError
from wsicomp.files.atomic import completed_file, sweep_partial, write_errors
from wsicomp.files.folders import Folder, opened_folder, read_own, remove_own
from wsicomp.files.json_values import Sha256, json_of, parsed
from wsicomp.formats.discovery import QUARANTINE
from wsicomp.formats.packed.manifest import check_names

_MOST_BYTES = 1 << 24
"""The most bytes of a record: 100,000 files with their paths."""
_MOST_FILES = 100_000


@dataclass(frozen=True)
class QuarantineTime:
    """The time that a source has been in quarantine; its fields are the keys of the record's JSON."""

    source: str
    """The source's path in its tree, as text."""
    sha256: Sha256
    """SHA-256 of the source."""
    age: Annotated[float, Meta(ge=0, le=1e6)]
    """Days that runs have counted, as `Entry.quarantine_age`."""
    runs: Annotated[int, Meta(ge=0, le=1_000_000)]
    """How many runs counted them."""
    seen: str
    """When the last of these runs was."""

    @property
    def place(self) -> Path:
        """The path of the record in the quarantine folder."""
        return _place(".days", self.source)

    @property
    def has_sound_texts(self) -> bool:
        """Whether a run could have written its path and time; their bounds are checked where it is read."""
        return self.source != "" and not path_flaw(self.source) and not time_flaw(self.seen)


@dataclass(frozen=True)
class Acceptance:
    """A person's acceptance of a conversion; its fields are the keys of the record's JSON."""

    source_sha256: Sha256
    """SHA-256 of the source."""
    target_sha256: Sha256
    """SHA-256 of the conversion."""
    accepted: str
    """When somebody had looked, UTC."""

    @property
    def place(self) -> Path:
        """The path of the record in the quarantine folder."""
        return _place(".accepted", f"{self.source_sha256} {self.target_sha256}")

    @property
    def has_sound_texts(self) -> bool:
        """Whether `batch accept` could have written its time; the rest is checked where it is read."""
        return not time_flaw(self.accepted)


@dataclass(frozen=True)
class RemovalStep:
    """A step that takes a slide of several files away, from before its first file to behind its last one."""

    source: str
    """The path of the file that opens the slide, in its tree, as text."""
    is_deletion: bool
    """Whether the files are deleted from quarantine; else they are moved there."""
    files: Annotated[tuple[tuple[str, str], ...], Meta(max_length=_MOST_FILES)]
    """The slide's other files, as `Companions.files`."""
    folders: Annotated[tuple[str, ...], Meta(max_length=_MOST_FILES)]
    """The slide's folders, as `Companions.folders`."""

    @property
    def place(self) -> Path:
        """The path of the record in the quarantine folder."""
        return _place(".steps", self.source)

    @property
    def has_sound_texts(self) -> bool:
        """Whether a run could have written its paths."""
        try:
            check_names([name for name, _ in self.files], self.folders)
        except ValueError:
            return False
        return self.source != "" and not path_flaw(self.source)


_Record = TypeVar("_Record", QuarantineTime, Acceptance, RemovalStep)


@dataclass(frozen=True)
class Records:
    """The records of a source tree."""

    quarantine_times: Mapping[str, QuarantineTime]
    """The records of sources in quarantine, by source."""
    acceptances: Mapping[tuple[str, str], Acceptance]
    """The acceptances, by SHA-256 of source and conversion."""
    deletions: frozenset[str] = frozenset()
    """The sources whose files in quarantine were begun to be deleted."""

    def has_quarantine_time(self, entry: Entry) -> bool:
        """Return whether the time in quarantine of this very source is recorded."""
        recorded = self.quarantine_times.get(entry.source)
        return recorded is not None and recorded.sha256 == entry.source_sha256

    def apply_to(self, entry: Entry) -> Entry:
        """Return the entry with days in quarantine and acceptance from these records, not from the ledger."""
        entry = replace(self.with_quarantine_time(entry), accepted="", accepted_source="", accepted_target="")
        return self.with_acceptance(_with_current_state(entry))

    def with_quarantine_time(self, entry: Entry) -> Entry:
        """Return the entry with its recorded days in quarantine, 0 where nothing is recorded."""
        if not self.has_quarantine_time(entry):
            return replace(entry, quarantine_age=0.0, quarantine_runs=0, quarantine_seen="")
        recorded = self.quarantine_times[entry.source]
        return replace(
            entry,
            quarantine_age=float(recorded.age),
            quarantine_runs=recorded.runs,
            quarantine_seen=recorded.seen,
        )

    def with_acceptance(self, entry: Entry) -> Entry:
        """Return the entry as accepted, if an acceptance of this conversion is recorded."""
        digests = entry.source_sha256, entry.target_sha256
        found = self.acceptances.get(digests)
        if found is None or not entry.look or entry.is_accepted:
            return entry
        seen = replace(entry, accepted=found.accepted, accepted_source=digests[0], accepted_target=digests[1])
        return _with_current_state(seen)


def _with_current_state(entry: Entry) -> Entry:
    return replace(entry, state=State(entry.converted_state)) if entry.is_converted else entry


def read_records(source: Path) -> Records:
    """Return all records of a source tree.

    Raises:
        KeptError: a record cannot be read, or was not written by wsicomp.
    """
    quarantine_times = {recorded.source: recorded for recorded in _read_all(source, ".days", QuarantineTime)}
    found = _read_all(source, ".accepted", Acceptance)
    acceptances = {(one.source_sha256, one.target_sha256): one for one in found}
    deletions = frozenset(step.source for step in read_steps(source) if step.is_deletion)
    return Records(quarantine_times, acceptances, deletions)


def read_steps(source: Path) -> list[RemovalStep]:
    """Return the steps of removal that are at work in a source tree, or were when a run was killed.

    Raises:
        KeptError: a record cannot be read, or was not written by wsicomp.
    """
    return list(_read_all(source, ".steps", RemovalStep))


def is_written(source: Path, entry: Entry) -> bool:
    """Return whether the source tree `source` holds a record that this conversion was accepted."""
    wanted = Acceptance(entry.source_sha256, entry.target_sha256, "")
    place = source / QUARANTINE / wanted.place
    with suppress(OSError, KeptError):
        return _read(read_own(place, source, _MOST_BYTES + 1), place, Acceptance).place == wanted.place
    return False


def write_quarantine_time(source: Path, entry: Entry) -> None:
    """Write the record of a source's time in quarantine, from its entry.

    Raises:
        SlideWriteError: the record cannot be written.
    """
    age, runs = entry.quarantine_age, entry.quarantine_runs
    _write(source, QuarantineTime(entry.source, entry.source_sha256, age, runs, entry.quarantine_seen))


def write_step(source: Path, step: RemovalStep) -> None:
    """Write the record of a step of removal.

    Raises:
        SlideWriteError: the record cannot be written.
    """
    _write(source, step)


def remove_step(source: Path, name: str) -> None:
    """Delete the record of a source's step of removal, if possible; `name` is the source's path as text."""
    with suppress(OSError):
        remove_own(source / QUARANTINE / _place(".steps", name), source)


def write_acceptance(source: Path, entry: Entry) -> None:
    """Write the record that somebody has looked at a conversion, from its entry.

    Raises:
        SlideWriteError: the record cannot be written.
    """
    _write(source, Acceptance(entry.source_sha256, entry.target_sha256, entry.accepted))


def remove_quarantine_time(source: Path, name: str) -> None:
    """Delete the record of a source that is not in quarantine any more, if possible.

    `name` is the source's path in its tree, as text.
    """
    with suppress(OSError):
        remove_own(source / QUARANTINE / _place(".days", name), source)


def sweep_records(source: Path) -> None:
    """Delete records that killed processes left half-written."""
    for folder in (".days", ".accepted", ".steps"):
        path = source / QUARANTINE / folder
        with suppress(OSError), opened_folder(path, source) as opened:
            names = os.listdir(opened.held)  # noqa: PTH208 - of an open folder
            for name in {name.removeprefix(".").split(".")[0] for name in names if name.startswith(".")}:
                sweep_partial(path / f"{name}.json", source)


def _place(folder: str, key: str) -> Path:
    return Path(folder) / f"{sha256(key.encode()).hexdigest()[:32]}.json"


def _write(source: Path, record: _Record) -> None:
    place = source / QUARANTINE / record.place
    values = asdict(record)
    try:
        _record(values, type(record))
    except ValueError as exc:
        message = "the ledger claims of this source what no run writes; check the ledger"
        raise SlideWriteError(message, place) from exc
    with write_errors(place), opened_folder(place.parent, source, make=True):
        pass
    with completed_file(place, overwrite=True, root=source) as file:
        file.write(json.dumps(values).encode())


def _read_all(source: Path, folder: str, kind: type[_Record]) -> Iterator[_Record]:
    path = source / QUARANTINE / folder
    try:
        with opened_folder(path, source) as opened:
            for name in sorted(os.listdir(opened.held)):  # noqa: PTH208 - of an open folder
                if not name.startswith("."):  # half-written by a run that was killed
                    yield from _read_one(opened, name, kind)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise _refused(path, exc) from exc


def _read_one(folder: Folder, name: str, kind: type[_Record]) -> Iterator[_Record]:
    try:
        with open(folder.open(name, os.O_RDONLY), "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise _refused(folder.path / name, exc) from exc
    yield _read(data, folder.path / name, kind)


def _refused(path: Path, exc: OSError) -> KeptError:
    if isinstance(exc, SlideWriteError):
        return KeptError(exc.message, exc.path)
    return KeptError(f"cannot be read ({exc.strerror or exc})", path)


def _read(data: bytes, path: Path, kind: type[_Record]) -> _Record:
    try:
        record = _record(json_of(data) if len(data) <= _MOST_BYTES else None, kind)
        if record.place.name == path.name:
            return record
    except ValueError:
        pass
    raise KeptError("is not a record that wsicomp wrote; move it away", path)


def _record(values: object, kind: type[_Record]) -> _Record:
    """Return a record that wsicomp could have written.

    Raises:
        ValueError: the values are no such record.
    """
    record = parsed(values, kind, is_closed=True)
    if not record.has_sound_texts:
        raise ValueError("no record")
    return record
