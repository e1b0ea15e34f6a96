"""The ledger: what became of each slide of a tree, in SQLite, written by one coordinator.

Write-ahead logging keeps every entry complete through a kill at any moment. It also lets `status` and
`report` read while a run goes on. Entries that are lost when the whole machine stops can be found again from
the targets.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import shlex
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from wsicomp.atomic import completed_file
from wsicomp.batch.ledger_checks import (
    SCHEMA,
    SCHEMA_SINCE_4,
    UnsoundError,
    check_pages,
    check_tables,
    check_values,
    distrust_file,
    is_valid_value,
    path_flaw,
    shorten_text,
    stale_flaw,
    unusual_rows_condition,
)
from wsicomp.conversion.report import look_note, look_reason, removed_area, reported_notes
from wsicomp.conversion.settings import Settings
from wsicomp.errors import LedgerError, SlideWriteError
from wsicomp.inputs import is_file
from wsicomp.own_files import Folder, is_open, opened_folder
from wsicomp.path_text import as_path

NAME_TAKEN = "name taken"
"""Why a slide fails: an earlier slide of its name was taken away. Its entry's source ends in "/"."""

FOLDER = ".wsicomp"
"""The folder in a target tree with the ledger and everything else that is not a slide."""

LOG = "batch.log"
"""The file in `FOLDER` that records line by line what runs did."""

_FILE = "ledger.sqlite"
SOURCE = "source"
"""The name of the fact that is the path of the source tree."""
_BESIDE = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite keeps beside a database."""
_IN_PLACE = ("", "-wal", "-shm")
"""Suffixes of the files that SQLite writes in place: the database itself and two beside it."""
_VERSION = 4
_DAMAGE = (
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
)
"""SQLite's error codes for a damaged file, as opposed to a disk, rights or another process at fault."""
_NO_ROOM, _FULL_BYTES = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN), 1 << 16
"""SQLite's error codes on a full disk, and the most bytes that are free on a disk that counts as full."""


class State(enum.StrEnum):
    """What became of a slide.

    A slide in state `LOOK` is done too, but a person has to look at it before its source may go.
    """

    LOOK = "look"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


CONVERTED = "state IN ('done', 'look')"
"""The SQL condition for slides that have a conversion."""

LOOK_FIRST = "ORDER BY state != 'look', source"
"""The SQL clause that lists the slides first that a person has to look at."""

HELD_FOR_REVIEW, HELD_FOR_SAVING = "look", "saving"
"""Why a source stays before anything is read: nobody has looked, or the conversion saves too little."""


@dataclass(frozen=True)
class Entry:
    """One slide, as the ledger has it; its fields are the ledger's columns and the names in JSON and CSV.

    Times are UTC in ISO 8601, "" for none. An entry without `target` is no slide, but something in the tree
    that cannot be one.
    """

    source: str
    """The source's path in its tree, as text."""
    target: str
    """The conversion's path in its tree, as text."""
    state: State = State.WAITING
    """What became of the slide."""
    stamp: str = ""
    """Size, time and the like of the source as it was found, by which a change is noticed."""
    source_bytes: int = 0
    """Bytes of the source as it was found."""
    settings: str = ""
    """Digest of the `Settings` by which the target was made or is to be made."""
    digest: str = ""
    """Digest of the conversion: of what was chosen and of `source_sha256`."""
    source_sha256: str = ""
    """SHA-256 of the source."""
    target_sha256: str = ""
    """SHA-256 of the file that was written."""
    target_bytes: int = 0
    """Bytes of the file that was written."""
    target_mtime_ns: int = 0
    """Modification time of the file that was written, in ns."""
    attempts: int = 0
    """How often a conversion was begun."""
    started: str = ""
    """When the last conversion began."""
    ended: str = ""
    """When the last conversion ended."""
    elapsed_s: float = 0.0
    """Seconds that the last conversion took."""
    adopted: bool = False
    """Whether the target was there already and was taken on."""
    codec: str = ""
    """The codec of the conversion."""
    verified: bool = False
    """Whether the conversion was verified."""
    restorable: bool = False
    """Whether every byte of the source can be restored."""
    tiles: int = 0
    """Tiles of all levels."""
    removed_tiles: int = 0
    """Tiles that were removed as glass, of all levels."""
    rescued_tiles: int = 0
    """Tiles that the mask called glass and the guard kept, of all levels."""
    flawed_tiles: int = 0
    """Tiles that are damaged in the source but could be kept, of all levels."""
    lost_tiles: int = 0
    """Tiles that the source has lost, of all levels."""
    fell_back_tiles: int = 0
    """Tiles that a guarded codec had to store by another one, of all levels."""
    cause: str = ""
    """Why the slide failed or was skipped: a fixed word by which failures are grouped."""
    error: str = ""
    """Why the slide failed or was skipped, in one line."""
    trace: str = ""
    """Where an unforeseen error arose."""
    removal: str = ""
    """Where the source went: "" (nowhere), "quarantined" or "deleted"."""
    removed: str = ""
    """When the source was moved or deleted."""
    kept_because: str = ""
    """Why the source stays although it was to go."""
    stale_target: str = ""
    """Earlier conversions under other names, deleted once this one is done.

    Size, time and name, a line each.
    """
    notes: str = ""
    """What the conversion noted, a line each."""
    model: str = ""
    """Name and SHA-256 of the model that the neural tiles need; "" for none."""
    removed_area: float = 0.0
    """The part of level 0 that was removed as glass, in [0, 1]."""
    look: str = ""
    """Why a person has to look at the conversion before the source may go; "" where nobody has to."""
    accepted: str = ""
    """When somebody had looked."""
    accepted_source: str = ""
    """SHA-256 of the source that was accepted."""
    accepted_target: str = ""
    """SHA-256 of the conversion that was accepted."""
    kept_cause: str = ""
    """`HELD_FOR_REVIEW` or `HELD_FOR_SAVING`; "" for a proof that failed."""
    quarantine_age: float = 0.0
    """Days in quarantine, as counted by runs."""
    quarantine_runs: int = 0
    """How many runs have counted these days."""
    quarantine_seen: str = ""
    """When the last of these runs was."""

    @property
    def shown(self) -> str:
        """The source's name as people know it, without the "/" at its end."""
        return self.source.removesuffix("/") if self.cause == NAME_TAKEN else self.source

    @property
    def is_converted(self) -> bool:
        """Whether the slide has a conversion."""
        return self.state in (State.DONE, State.LOOK)

    @property
    def is_accepted(self) -> bool:
        """Whether a person has looked at this very conversion of this very source."""
        seen = self.accepted_source, self.accepted_target
        return bool(self.accepted) and seen == (self.source_sha256, self.target_sha256) and all(seen)

    @property
    def converted_state(self) -> State:
        """The state of the slide once it has a conversion: done, or to be looked at."""
        return State.LOOK if self.look and not self.is_accepted else State.DONE

    @property
    def needs_release(self) -> bool:
        """Whether the source must stay until a person has looked; never where every byte can be restored."""
        return bool(self.look) and not self.is_accepted and not self.restorable

    @property
    def saved(self) -> float:
        """The part of the source's bytes that the target saves; negative where it is larger."""
        return 1 - self.target_bytes / self.source_bytes if self.source_bytes else 0.0


def ledger_path(target: Path) -> Path:
    """Return where the ledger of a target tree lies."""
    return target / FOLDER / _FILE


def entry_flaw(entry: Entry) -> str:
    """Return what of an entry no ledger may hold, such as claims of a forged target; "" if all is well."""
    values = vars(entry)
    if entry.state not in tuple(State):
        return f"state is {entry.state!r:.80}"
    wrong = (
        f"{name} is {values[name]!r:.80}"
        for name, kind in _COLUMNS.items()
        if not is_valid_value(name, kind, values[name])
    )
    return next(wrong, "") or _flaw(entry)


def audit_path(target: Path, source: str) -> Path:
    """Return where the small picture of what was removed from a slide lies."""
    digest = sha256(source.encode()).hexdigest()
    return target / FOLDER / "audits" / digest[:2] / f"{digest[:32]}.jpg"


def review_picture_path(target: Path, source: str) -> Path:
    """Return where the large picture lies, of a slide that a person has to look at."""
    return audit_path(target, source).with_suffix(".look.jpg")


_COLUMNS = {field.name: str(field.type) for field in dataclasses.fields(Entry)}
_TYPES = {"int": "INTEGER", "float": "REAL", "bool": "INTEGER"}
_SINCE_2 = {"notes", "model", "removed_area", "look", "kept_cause"} | {
    name for name in _COLUMNS if name.startswith("accepted")
}
_SINCE_3 = {name for name in _COLUMNS if name.startswith("quarantine_")}
_COLUMNS_OF = {
    1: _COLUMNS.keys() - _SINCE_2 - _SINCE_3,
    2: _COLUMNS.keys() - _SINCE_3,
    3: _COLUMNS.keys(),
    _VERSION: _COLUMNS.keys(),
}
_ROW = tuple({"int": int, "float": float, "bool": int}.get(kind, str) for kind in _COLUMNS.values())
"""The types of a row's values as SQLite returns them."""
_WORDS = {
    "state": tuple(State),
    "removal": ("", "quarantined", "deleted"),
    "kept_cause": ("", HELD_FOR_REVIEW, HELD_FOR_SAVING),
}
_FREE_TEXTS = ("notes", "error", "trace", "cause", "kept_because", "look", "codec", "model")
_TIMES = ("started", "ended", "removed", "accepted", "quarantine_seen")
_ALL = f"SELECT {', '.join(_COLUMNS)} FROM slides"  # noqa: S608 - our own names
_PUT = (
    f"INSERT OR REPLACE INTO slides ({', '.join(_COLUMNS)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join('?' * len(_COLUMNS))})"
)


class Ledger:
    """The ledger of a target tree; a context manager.

    Only the coordinator writes, in one thread. With `read_only` nothing is made or changed.

    Raises:
        LedgerError: the ledger is not there, is damaged, was not written by a batch, or is of another version
            of wsicomp. Every method that reads or writes raises the same.
    """

    def __init__(self, target: Path, read_only: bool = False) -> None:
        self.path = ledger_path(target)
        self._target = target
        if read_only and not self.is_there(target):
            has_been = os.path.lexists(target / FOLDER / LOG)
            found = f"but a batch has written here{self._advice}" if has_been else "no batch has written here"
            raise LedgerError(f"has no ledger ({FOLDER}/{_FILE}); {found}", target)
        check_files(target, read_only)
        with self._as_ledger_errors():
            if os.path.lexists(self.path) and self.path.stat().st_size == 0:
                raise UnsoundError("it is empty, 0 bytes")
            if not read_only and not os.path.lexists(self.path):
                make_ledger(self.path)
            self._database = self._opened(read_only)

    def _opened(self, read_only: bool) -> sqlite3.Connection:
        if read_only:
            database = _opened_to_read(self.path)
        else:
            database = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        try:
            distrust_file(database)
            self._schema = self._checked_schema(database)
            check_pages(database)
            if not read_only:
                check_files(self._target, read_only, are_open=True)
            if read_only:
                database = _read_upgraded(database)
            else:
                database.execute("PRAGMA journal_mode=WAL")
                database.execute("PRAGMA synchronous=NORMAL")
                upgrade(database)
                self._schema = self._checked_schema(database)
            check_values(database, _COLUMNS, _WORDS)
            unusual = unusual_rows_condition(("source", "target"), _TIMES, ("stale_target",))
            for row in database.execute(f"{_ALL} WHERE {unusual}"):
                _entry(row)
        except BaseException:
            database.close()
            raise
        return database

    def _checked_schema(self, database: sqlite3.Connection) -> int:
        """Return SQLite's number of the schema, after checking that the schema is a batch's own."""
        database.execute("BEGIN")
        self._check_version(database)
        ((number,),) = database.execute("PRAGMA schema_version").fetchall()
        database.execute("COMMIT")
        return int(number)

    def _check_version(self, database: sqlite3.Connection) -> None:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in _COLUMNS_OF:
            raise LedgerError(
                f"is of version {version}, expected {_VERSION}; take the wsicomp that wrote it{self._advice}",
                self.path,
            )
        check_tables(database, _definitions(version), _others(version))

    @property
    def _advice(self) -> str:
        """How to get a ledger again where this one is of no use."""
        name = shlex.quote(os.fspath(self._target))
        return f"; `wsicomp batch rebuild {name}` makes it anew from the targets"

    @staticmethod
    def is_there(target: Path) -> bool:
        """Return whether a target tree has a ledger."""
        return is_file(ledger_path(target))

    @staticmethod
    def files(target: Path) -> tuple[Path, ...]:
        """Return the paths of a tree's ledger and of what SQLite keeps beside it."""
        return tuple(target / FOLDER / f"{_FILE}{suffix}" for suffix in ("", *_BESIDE))

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def put(
        self,
        entries: Iterable[Entry],
        reports: Mapping[str, Mapping[str, Any]] | None = None,
        settings: Iterable[Settings] = (),
    ) -> None:
        """Write `entries`, their `reports` (by source) and their `settings` in one transaction."""
        with self._writing():
            self._database.executemany(
                "INSERT OR IGNORE INTO settings VALUES (?, ?)",
                ((one.digest, json.dumps(one.to_json(), sort_keys=True)) for one in settings),
            )
            self._database.executemany(_PUT, (_row(entry) for entry in entries))
            self._database.executemany(
                "INSERT OR REPLACE INTO reports VALUES (?, ?)",
                ((source, json.dumps(report)) for source, report in (reports or {}).items()),
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Open one transaction on the tables that were checked."""
        with self._as_ledger_errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                if self._database.execute("PRAGMA schema_version").fetchone() != (self._schema,):
                    raise UnsoundError("its tables were changed while it was open")
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def entries(self, where: str = "", values: tuple[object, ...] = ()) -> Iterator[Entry]:
        """Yield the entries that an SQL clause selects, in its order.

        Without one all of them, as `LOOK_FIRST`.
        """
        with self._as_ledger_errors():
            for row in self._database.execute(f"{_ALL} {where or LOOK_FIRST}", values):
                yield _entry(row)

    def figures(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of an SQL query."""
        with self._as_ledger_errors():
            return self._database.execute(query).fetchall()

    def report(self, source: str) -> dict[str, Any] | None:
        """Return the whole `ConversionReport` of a slide as JSON values; None where there is none."""
        with self._as_ledger_errors():
            row = self._database.execute("SELECT report FROM reports WHERE source = ?", (source,)).fetchone()
            return None if row is None else _report(row[0])

    def settings(self) -> dict[str, Settings]:
        """Return the settings by which slides were converted, by the digests that entries have."""
        with self._as_ledger_errors():
            rows = self._database.execute("SELECT digest, json FROM settings").fetchall()
            return {digest: _settings(digest, text) for digest, text in rows}

    def fact(self, name: str) -> str | None:
        """Return the fact of this name about the tree; None where it is not recorded."""
        with self._as_ledger_errors():
            row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
            if row is None:
                return None
            if not isinstance(row[0], str):
                raise UnsoundError(f"its fact {name} is not a text")
            if name == SOURCE and (flaw := _tree_flaw(row[0])):
                raise UnsoundError(f"its source tree {flaw}")
            return row[0]

    def note(self, name: str, value: str) -> None:
        """Record a fact about the tree."""
        with self._writing():
            self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def drop(self, sources: Iterable[str]) -> None:
        """Delete the entries of these sources."""
        with self._writing():
            self._database.executemany("DELETE FROM slides WHERE source = ?", ((one,) for one in sources))

    @contextmanager
    def _as_ledger_errors(self) -> Iterator[None]:
        try:
            yield
        except UnsoundError as exc:
            raise LedgerError(
                f"the ledger is not what a batch wrote: {exc}{self._advice}", self.path
            ) from exc
        except sqlite3.Error as exc:
            code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            advice = self._advice if code in _DAMAGE else ""
            found = "its disk is full; make room and run again" if _is_for_room(code, self.path) else exc
            message = f"the ledger cannot be read or written ({found}){advice}"
            raise LedgerError(message, self.path) from exc
        except SlideWriteError as exc:
            raise LedgerError(f"the ledger: {exc.message}", exc.path) from exc
        except OSError as exc:
            if isinstance(exc, LedgerError):
                raise
            raise LedgerError(f"cannot be read ({exc.strerror or exc})", self.path) from exc


def _is_for_room(code: int, path: Path) -> bool:
    """Return whether an error of SQLite comes from a full disk; SQLite may call it an input/output error."""
    if code not in _NO_ROOM:
        return False
    try:
        return shutil.disk_usage(path.parent).free < _FULL_BYTES
    except OSError:
        return False


def _row(entry: Entry) -> tuple[object, ...]:
    """Return an entry's values; what is not Unicode, such as a file's name in an error, becomes escapes."""
    return tuple(
        value.encode("utf-8", "backslashreplace").decode() if type(value) is str else value
        for value in vars(with_short_texts(entry)).values()
    )


def with_short_texts(entry: Entry) -> Entry:
    """Return the entry with its texts cut to the length that a ledger may hold."""
    texts = {name: getattr(entry, name) for name in _FREE_TEXTS}
    long: dict[str, Any] = {
        name: short for name, text in texts.items() if (short := shorten_text(text)) is not text
    }
    return dataclasses.replace(entry, **long) if long else entry


def check_files(target: Path, read_only: bool, are_open: bool = False) -> None:
    """Check that SQLite can open the ledger's files: none is a link, and none has a second name.

    A rollback journal is refused. wsicomp leaves none, and a journal can name any file, which SQLite would
    then delete. `are_open` says that SQLite has opened the files; the open ones must then be those of these
    names.

    Raises:
        LedgerError: one of the files is a link, has a second name, or was replaced; the message names it.
    """
    try:
        with opened_folder(target / FOLDER, target) as folder:
            for name in (f"{_FILE}{suffix}" for suffix in _IN_PLACE):
                folder.check(name, is_read=read_only and not name.endswith("-shm"))
                found = folder.status(name)
                if are_open and found is not None and not is_open(found):
                    raise LedgerError("was put there while it was opened", folder.path / name)
            journal = f"{_FILE}-journal"
            if not read_only and folder.status(journal) is not None:
                message = "is a rollback journal, which wsicomp never leaves beside its ledger; move it away"
                raise LedgerError(message, folder.path / journal)
    except SlideWriteError as exc:
        raise LedgerError(exc.message, exc.path) from exc
    except OSError as exc:
        if isinstance(exc, LedgerError):
            raise
        raise LedgerError(f"the ledger cannot be opened ({exc.strerror or exc})", target / FOLDER) from exc


def make_ledger(path: Path, entries: Iterable[Entry] = (), source: str = "") -> Path | None:
    """Write a new ledger in one step: after a kill at any moment there is none, or all of it.

    It is made in memory, so that it needs no journal in a folder where others may write. `source` is the path
    of the source tree, "" if it is not known. An existing ledger is moved aside once the new one is on the
    disk.

    Returns where the existing ledger was moved; None if there was none.

    Raises:
        OSError: a file cannot be written or moved.
        sqlite3.Error: SQLite cannot make the tables.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        _make_tables(fresh)
        fresh.execute("BEGIN")
        fresh.executemany(_PUT, map(_row, entries))
        if source:
            fresh.execute("INSERT INTO facts VALUES (?, ?)", (SOURCE, source))
        fresh.execute("COMMIT")
        data = bytearray(fresh.serialize())
    data[18:20] = b"\x02\x02"  # SQLite's file format 1.3.3: write-ahead logging
    root = path.parents[1]
    with opened_folder(path.parent, root) as folder:
        is_there = folder.status(_FILE) is not None
        old = _free_name(folder)
        try:
            with completed_file(path, overwrite=is_there, root=root) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                _set_aside(folder, old)  # with what a ledger that is no more left, which is not of this one
        except BaseException:
            _put_back(folder, old)
            raise
        return folder.path / old if folder.status(old) is not None else None


def _free_name(folder: Folder) -> str:
    number = 1
    while any(folder.status(f"{_FILE}.old-{number}{end}") is not None for end in ("", *_BESIDE)):
        number += 1
    return f"{_FILE}.old-{number}"


def _set_aside(folder: Folder, old: str) -> None:
    """Give a ledger a second name until a new one takes its first, and move what lies beside it.

    Raises:
        OSError: a file cannot be moved.
    """
    places = {"src_dir_fd": folder.descriptor, "dst_dir_fd": folder.descriptor}
    with suppress(FileNotFoundError):
        try:
            os.link(_FILE, old, **places, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:  # no file system with such names
            folder.move(_FILE, folder, old, overwrite=False)
    for end in _BESIDE:
        with suppress(FileNotFoundError):
            folder.move(f"{_FILE}{end}", folder, f"{old}{end}", overwrite=False)


def _put_back(folder: Folder, old: str) -> None:
    """Undo `_set_aside` as far as possible."""
    folder.remove_second_name(old, _FILE)
    for end in ("", *_BESIDE):
        with suppress(OSError):
            folder.move(f"{old}{end}", folder, f"{_FILE}{end}", overwrite=False)


def _make_tables(database: sqlite3.Connection) -> None:
    statements = [_definition(_VERSION, _VERSION), *(text for *_, text in _others(_VERSION))]
    for text in ("BEGIN", *statements, f"PRAGMA user_version = {_VERSION}", "COMMIT"):
        database.execute(text)


def _definitions(version: int) -> list[str]:
    """Return the definitions that the table of slides may have in a ledger of this version.

    A ledger was made in this version, or in an earlier one and upgraded.
    """
    return [_definition(born, version) for born in _COLUMNS_OF if born <= version]


def _others(version: int) -> tuple[tuple[str, str, str, str], ...]:
    """Return what a ledger of this version has beside its table of slides."""
    return SCHEMA if version < 4 else (*SCHEMA, *SCHEMA_SINCE_4)


def _definition(born: int, version: int) -> str:
    """Return the table's definition, as SQLite keeps it, of a ledger made in version `born` and upgraded."""
    columns = (
        _column(name, kind, is_added=name not in _COLUMNS_OF[born])
        for name, kind in _COLUMNS.items()
        if name in _COLUMNS_OF[version]
    )
    return f"CREATE TABLE slides ({', '.join(columns)}, PRIMARY KEY (source))"


def _column(name: str, kind: str, is_added: bool) -> str:
    sort = _TYPES.get(kind, "TEXT")
    default = "''" if sort == "TEXT" else "0"
    return f"{name} {sort} NOT NULL{f' DEFAULT {default}' if is_added else ''}"


def upgrade(database: sqlite3.Connection) -> None:
    """Bring a ledger of an earlier version to this one, in one transaction; after a kill it is as before.

    What version 1 had no columns for is read from the reports that it kept. Nobody had looked at a slide of
    version 1, so that each one that needs it gets the state `LOOK`. Before version 3 nobody counted the days
    in quarantine, so that they begin anew. Before version 4 settings were not recorded; the next run
    recognises their digests (`past_settings`).
    """
    database.execute("BEGIN IMMEDIATE")
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            _add_columns(database)
            if version == 1:
                _read_reports(database)
            if version < 4:
                database.execute(SCHEMA_SINCE_4[0][-1])
            database.execute(f"PRAGMA user_version = {_VERSION}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _add_columns(database: sqlite3.Connection) -> None:
    there = {name for _, name, *_ in database.execute("PRAGMA table_info(slides)")}
    for name, kind in _COLUMNS.items():
        if name not in there:
            database.execute(f"ALTER TABLE slides ADD COLUMN {_column(name, kind, is_added=True)}")


def _read_reports(database: sqlite3.Connection) -> None:
    query = "SELECT slides.source, report FROM slides JOIN reports USING (source) WHERE state = 'done'"
    for source, text in database.execute(query).fetchall():
        try:
            values = _read_of_report(_report(text))
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, UnsoundError):
            continue  # of an earlier version still; the proof before a source goes looks itself
        state = State.LOOK if values["look"] else State.DONE
        row = (*values.values(), state, source)
        names = ", ".join(f"{name} = ?" for name in values)
        database.execute(f"UPDATE slides SET {names}, state = ? WHERE source = ?", row)  # noqa: S608


def _read_of_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of version 2 from a report of version 1, whose areas are counted in tiles."""
    level, tissue = report["levels"][0], report["tissue_fraction"]
    kinds = ("copied", "transcoded", "kept", "lost", "encoded", "whitened", "blank", "empty")
    tiles = sum(level.get(kind, 0) for kind in kinds) or 1
    painted, gone = level["whitened"] / tiles, (level["blank"] + level["empty"]) / tiles
    area = removed_area(1 - gone - painted, painted, tissue)
    if area is not None and not 0 <= area <= 1:
        raise ValueError("more was removed than there is")
    look = look_reason(tissue, area)
    return {
        "notes": "\n".join([*reported_notes(report), *([look_note(look)] if look else [])]),
        "model": str(report.get("model") or ""),
        "removed_area": area or 0.0,
        "look": look,
    }


def _read_upgraded(database: sqlite3.Connection) -> sqlite3.Connection:
    """Return the database; of an earlier version an upgraded copy in memory, while the file stays."""
    if database.execute("PRAGMA user_version").fetchone() == (_VERSION,):
        return database
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with closing(database):
        database.backup(copy)
    upgrade(copy)
    copy.execute("PRAGMA query_only = ON")
    return copy


def _opened_to_read(path: Path) -> sqlite3.Connection:
    """Open the ledger as it lies there if nobody writes it, so that no file appears beside it.

    A ledger that is being written is opened together with its writer's files.
    """
    is_quiet = not path.with_name(f"{path.name}-wal").exists()
    for mode in ["mode=ro&immutable=1"] if is_quiet else ["mode=ro", "mode=ro&immutable=1"]:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)
        try:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            database.close()
            continue
        except sqlite3.Error:
            database.close()
            raise
        return database
    raise sqlite3.OperationalError("it cannot be opened")


def _report(text: str) -> dict[str, Any]:
    """Return a report as JSON values.

    Raises:
        UnsoundError: the text is no JSON object.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise UnsoundError(f"a report is not JSON ({exc})") from exc
    if not isinstance(values, dict):
        raise UnsoundError("a report is not a JSON object")
    return values


def _settings(digest: str, text: str) -> Settings:
    """Return the settings in a row.

    Raises:
        UnsoundError: the text holds no settings, or those of another digest.
    """
    try:
        found = Settings.from_json(json.loads(text))
    except (ValueError, TypeError, RecursionError) as exc:
        raise UnsoundError(f"settings {digest:.16} are none ({exc})") from exc
    if found.digest != digest:
        raise UnsoundError(f"settings {digest:.16} are those of another digest")
    return found


def _tree_flaw(text: str) -> str:
    """Return why a text is not a path of a source tree; "" if it is one."""
    try:
        path = os.fspath(as_path(text))
    except ValueError:
        return "is not a path"
    return "" if path.startswith("/") and "\0" not in path else f"is {text!r:.80}, expected an absolute path"


def _entry(row: tuple[Any, ...]) -> Entry:
    """Return the entry in a row, which somebody may have written after all rows were checked.

    Raises:
        UnsoundError: a value is of another kind, a path leads out of its tree, or a time is none.
    """
    values = dict(zip(_COLUMNS, row, strict=True))
    for name, kind in _COLUMNS.items():
        if kind == "bool":
            values[name] = bool(values[name])
    is_known = values["state"] in _WORDS["state"]
    entry = Entry(**(values | ({"state": State(values["state"])} if is_known else {})))
    is_plain = is_known and tuple(map(type, row)) == _ROW
    if flaw := _flaw(entry) if is_plain else entry_flaw(entry):
        raise UnsoundError(f"slide {entry.source:.80}: {flaw}")
    return entry


def _flaw(entry: Entry) -> str:
    """Return which path of an entry leads out of its tree, or which time is none; "" if all is well."""
    checks = [("stale_target", stale_flaw), *((name, _time_flaw) for name in _TIMES)]
    if entry.target:  # else it is no slide, and no path is made of it
        checks += [("source", path_flaw), ("target", path_flaw)]
    for name, check in checks:
        value = getattr(entry, name)
        if value and (flaw := check(value)):
            return f"{name} {value!r:.80} {flaw}"
    return ""


def _time_flaw(text: str) -> str:
    try:
        return "is a time without a time zone" if datetime.fromisoformat(text).tzinfo is None else ""
    except ValueError:
        return "is not a time"
