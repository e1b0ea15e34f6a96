"""The ledger: what became of each slide of a tree, in SQLite, written by one coordinator.

Write-ahead logging keeps every entry whole through a kill at any moment, and lets `status` and `report` read
while a run goes on. What a stop of the whole machine takes away, the targets themselves say again.
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
"""Why a slide fails: it has the name of one that was taken away. The source of its entry ends in "/"."""

FOLDER = ".wsicomp"
"""The folder in a target tree that holds the ledger and all else that is not a slide."""

LOG = "batch.log"
"""The file in it that says line by line what runs did."""

_FILE = "ledger.sqlite"
SOURCE = "source"
"""The name under which a ledger has the path of the source tree."""
_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, by the ends of their names."""
_IN_PLACE = ("", "-wal", "-shm")
"""What SQLite writes in place: the database, and two of these."""
_VERSION = 4
_DAMAGE = (
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
)
"""What SQLite says where the file is at fault, and not the disk, its rights or another process."""
_NO_ROOM, _FULL_BYTES = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN), 1 << 16
"""What SQLite may say on a full disk, and the most that is free on one that is full."""


class State(enum.StrEnum):
    """What became of a slide. `LOOK` is done too, but a person has to look at it before its source may go."""

    LOOK = "look"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


CONVERTED = "state IN ('done', 'look')"
"""The SQL condition for slides whose conversion stands."""

LOOK_FIRST = "ORDER BY state != 'look', source"
"""The SQL clause for lists of slides: those that a person has to look at come first."""

HELD_FOR_REVIEW, HELD_FOR_SAVING = "look", "saving"
"""Why a source stays before anything is read: nobody has looked, or too little is saved."""


@dataclass(frozen=True)
class Entry:
    """One slide. `source` and `target` are relative to their trees, as text; times are in UTC, ISO 8601.

    `stamp` and `source_bytes` are the source's as it was found, `settings` the digest of the `Settings` by
    which the target was made or is to be made; `digest` is the conversion's, over what was chosen and
    `source_sha256`. `target_sha256`, `target_bytes` and `target_mtime_ns` are those of the file that was
    written. `cause` groups failures, `error` is one line, `trace` where it came from, of what nobody foresaw.
    The counts of tiles are over all levels.
    `removal` says where the source went: "" (nowhere), "quarantined" at `removed`, or "deleted";
    `kept_because` why it stayed although it was to go. `stale_target` has earlier conversions under other
    names, which go when this one is done: size, time and name, a line each. An entry without target is no
    slide, but something in the tree that cannot be one.

    `notes` are those of the conversion, a line each, `model` the model that its neural tiles need.
    `removed_area` is the part of level 0 that was taken out as glass. `look` says why a person has to look at
    the conversion before its source may go, "" where nobody has to. `accepted` is when somebody had looked,
    at the conversion `accepted_target` of the source `accepted_source` (SHA-256). `kept_cause` is
    `HELD_FOR_REVIEW` or `HELD_FOR_SAVING`, or "" for a proof that failed. `quarantine_age` are the days in
    quarantine that `quarantine_runs` runs have counted, the last of them at `quarantine_seen`.
    """

    source: str
    target: str
    state: State = State.WAITING
    stamp: str = ""
    source_bytes: int = 0
    settings: str = ""
    digest: str = ""
    source_sha256: str = ""
    target_sha256: str = ""
    target_bytes: int = 0
    target_mtime_ns: int = 0
    attempts: int = 0
    started: str = ""
    ended: str = ""
    elapsed_s: float = 0.0
    adopted: bool = False
    codec: str = ""
    verified: bool = False
    restorable: bool = False
    tiles: int = 0
    removed_tiles: int = 0
    rescued_tiles: int = 0
    flawed_tiles: int = 0
    lost_tiles: int = 0
    fell_back_tiles: int = 0
    cause: str = ""
    error: str = ""
    trace: str = ""
    removal: str = ""
    removed: str = ""
    kept_because: str = ""
    stale_target: str = ""
    notes: str = ""
    model: str = ""
    removed_area: float = 0.0
    look: str = ""
    accepted: str = ""
    accepted_source: str = ""
    accepted_target: str = ""
    kept_cause: str = ""
    quarantine_age: float = 0.0
    quarantine_runs: int = 0
    quarantine_seen: str = ""

    @property
    def shown(self) -> str:
        """What it is called before people: as in the tree."""
        return self.source.removesuffix("/") if self.cause == NAME_TAKEN else self.source

    @property
    def is_converted(self) -> bool:
        """Whether its conversion stands."""
        return self.state in (State.DONE, State.LOOK)

    @property
    def is_accepted(self) -> bool:
        """Whether a person has looked at this very conversion of this very source."""
        seen = self.accepted_source, self.accepted_target
        return bool(self.accepted) and seen == (self.source_sha256, self.target_sha256) and all(seen)

    @property
    def converted_state(self) -> State:
        """The state of a slide whose conversion stands."""
        return State.LOOK if self.look and not self.is_accepted else State.DONE

    @property
    def needs_release(self) -> bool:
        """Whether its source must stay until a person has looked; not where every byte comes back."""
        return bool(self.look) and not self.is_accepted and not self.restorable

    @property
    def saved(self) -> float:
        """The part of the source's bytes that the target saves; negative where it is larger."""
        return 1 - self.target_bytes / self.source_bytes if self.source_bytes else 0.0


def ledger_path(target: Path) -> Path:
    """Where the ledger of a tree lies."""
    return target / FOLDER / _FILE


def entry_flaw(entry: Entry) -> str:
    """What of an entry no ledger may hold, as where a forged target says it; "" if all is well."""
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
    """Where the small picture of what was removed from a slide lies."""
    digest = sha256(source.encode()).hexdigest()
    return target / FOLDER / "audits" / digest[:2] / f"{digest[:32]}.jpg"


def review_picture_path(target: Path, source: str) -> Path:
    """Where the large picture of what was removed lies, of a slide that a person has to look at."""
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
"""The types of a row's values, as SQLite hands them out."""
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

    Only the coordinator writes, in one thread. With `read_only` nothing is ever made or changed.

    Raises:
        LedgerError: it is not there, is damaged, is not what a batch wrote, or is of another version of
            wsicomp. The same is raised by whatever reads or writes it.
    """

    def __init__(self, target: Path, read_only: bool = False) -> None:
        self.path = ledger_path(target)
        self._target = target
        if read_only and not self.is_there(target):
            has_been = os.path.lexists(target / FOLDER / LOG)
            found = f"but a batch has been here{self._advice}" if has_been else "no batch has been here"
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
        """SQLite's number for the schema, which is ours to the letter."""
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
        """How to have a ledger again where this one is of no use."""
        name = shlex.quote(os.fspath(self._target))
        return f"; `wsicomp batch rebuild {name}` makes it anew from the targets"

    @staticmethod
    def is_there(target: Path) -> bool:
        """Whether a tree has one."""
        return is_file(ledger_path(target))

    @staticmethod
    def files(target: Path) -> tuple[Path, ...]:
        """Where the ledger of a tree is, with what SQLite keeps beside it."""
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
        """Write `entries`, `reports` by their sources, and the `settings` of entries, in one transaction."""
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
        """One transaction, in which the tables are those that were looked at."""
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
        """The entries as `LOOK_FIRST` orders them, or those, in the order, that an SQL clause says."""
        with self._as_ledger_errors():
            for row in self._database.execute(f"{_ALL} {where or LOOK_FIRST}", values):
                yield _entry(row)

    def figures(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of an SQL query."""
        with self._as_ledger_errors():
            return self._database.execute(query).fetchall()

    def report(self, source: str) -> dict[str, Any] | None:
        """The whole `ConversionReport` of a slide, as JSON values; None where there is none."""
        with self._as_ledger_errors():
            row = self._database.execute("SELECT report FROM reports WHERE source = ?", (source,)).fetchone()
            return None if row is None else _report(row[0])

    def settings(self) -> dict[str, Settings]:
        """Return the settings by which slides were converted, by the digests that entries have."""
        with self._as_ledger_errors():
            rows = self._database.execute("SELECT digest, json FROM settings").fetchall()
            return {digest: _settings(digest, text) for digest, text in rows}

    def fact(self, name: str) -> str | None:
        """What is noted of the tree under a name."""
        with self._as_ledger_errors():
            row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
            if row is None:
                return None
            if not isinstance(row[0], str):
                raise UnsoundError(f"what it notes as {name} is no text")
            if name == SOURCE and (flaw := _tree_flaw(row[0])):
                raise UnsoundError(f"its source tree {flaw}")
            return row[0]

    def note(self, name: str, value: str) -> None:
        """Note something of the tree."""
        with self._writing():
            self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def drop(self, sources: Iterable[str]) -> None:
        """Forget entries."""
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
            raise LedgerError(f"cannot be looked at ({exc.strerror or exc})", self.path) from exc


def _is_for_room(code: int, path: Path) -> bool:
    """Whether SQLite refuses for want of room, which it may call an error of input and output."""
    if code not in _NO_ROOM:
        return False
    try:
        return shutil.disk_usage(path.parent).free < _FULL_BYTES
    except OSError:
        return False


def _row(entry: Entry) -> tuple[object, ...]:
    """Its values; text that is no Unicode, as a file's name in an error, with escapes."""
    return tuple(
        value.encode("utf-8", "backslashreplace").decode() if type(value) is str else value
        for value in vars(with_short_texts(entry)).values()
    )


def with_short_texts(entry: Entry) -> Entry:
    """The entry, with what is said of it cut to what a ledger may hold."""
    texts = {name: getattr(entry, name) for name in _FREE_TEXTS}
    long: dict[str, Any] = {
        name: short for name, text in texts.items() if (short := shorten_text(text)) is not text
    }
    return dataclasses.replace(entry, **long) if long else entry


def check_files(target: Path, read_only: bool, are_open: bool = False) -> None:
    """Refuse a ledger that SQLite would open through a link, or write under another name of it.

    A rollback journal is none of ours, and can name any file, which whoever writes then deletes. `are_open`
    says that SQLite has opened what is there, which must be what has the names.

    Raises:
        LedgerError: so it is; the message names the file.
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
                message = "is there, and no wsicomp leaves one beside its ledger; look, then move it away"
                raise LedgerError(message, folder.path / journal)
    except SlideWriteError as exc:
        raise LedgerError(exc.message, exc.path) from exc
    except OSError as exc:
        if isinstance(exc, LedgerError):
            raise
        raise LedgerError(f"the ledger cannot be opened ({exc.strerror or exc})", target / FOLDER) from exc


def make_ledger(path: Path, entries: Iterable[Entry] = (), source: str = "") -> Path | None:
    """Make a ledger, whole at once: killed at any moment, there is none or all of it.

    `source` is the path of the source tree, "" if it is not known. What lies there is moved aside once the
    new one is on the disk: where to, None if there was nothing. Made in memory, it needs no journal in a
    folder where others may write.

    Raises:
        OSError, sqlite3.Error: it cannot be made.
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
    """Give a ledger another name, beside its own until a new one takes that, and move what is beside it.

    Raises:
        OSError: it cannot be done.
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
    """Have a ledger as it was before `_set_aside`, as well as it can be."""
    folder.remove_second_name(old, _FILE)
    for end in ("", *_BESIDE):
        with suppress(OSError):
            folder.move(f"{old}{end}", folder, f"{_FILE}{end}", overwrite=False)


def _make_tables(database: sqlite3.Connection) -> None:
    statements = [_definition(_VERSION, _VERSION), *(text for *_, text in _others(_VERSION))]
    for text in ("BEGIN", *statements, f"PRAGMA user_version = {_VERSION}", "COMMIT"):
        database.execute(text)


def _definitions(version: int) -> list[str]:
    """The definitions that the table of slides may have in a ledger of a version: made so, or upgraded."""
    return [_definition(born, version) for born in _COLUMNS_OF if born <= version]


def _others(version: int) -> tuple[tuple[str, str, str, str], ...]:
    """What a ledger of a version has beside its table of slides."""
    return SCHEMA if version < 4 else (*SCHEMA, *SCHEMA_SINCE_4)


def _definition(born: int, version: int) -> str:
    """That of a ledger which was made as one version and is of another one now, as SQLite keeps it."""
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
    """Bring a ledger of an earlier version to this one, in one transaction: killed, it is as before.

    What version 1 had no columns for is read from the reports that it kept. No slide of it was ever looked
    at, so that each one which has to be is in state `LOOK`. Before version 3 nobody counted the days in
    quarantine, so that they begin anew. Before version 4 nobody wrote down by what slides were converted; the
    next run knows the digests again (`past_settings`).
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
    """The columns of version 2, from a report of version 1; its areas are counted in tiles."""
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
    """The ledger itself, or where it is an earlier version's a copy in memory, upgraded; the file stays."""
    if database.execute("PRAGMA user_version").fetchone() == (_VERSION,):
        return database
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with closing(database):
        database.backup(copy)
    upgrade(copy)
    copy.execute("PRAGMA query_only = ON")
    return copy


def _opened_to_read(path: Path) -> sqlite3.Connection:
    """As it lies there where nobody writes, so that nothing is made beside it, else as others write it."""
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
    """A report as JSON values.

    Raises:
        UnsoundError: it is none.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise UnsoundError(f"a report is no JSON ({exc})") from exc
    if not isinstance(values, dict):
        raise UnsoundError("a report is no JSON object")
    return values


def _settings(digest: str, text: str) -> Settings:
    """The settings in a row.

    Raises:
        UnsoundError: it is none, or of another digest.
    """
    try:
        found = Settings.from_json(json.loads(text))
    except (ValueError, TypeError, RecursionError) as exc:
        raise UnsoundError(f"settings {digest:.16} are none ({exc})") from exc
    if found.digest != digest:
        raise UnsoundError(f"settings {digest:.16} are those of another digest")
    return found


def _tree_flaw(text: str) -> str:
    """What keeps a text from being the path of a source tree; "" if nothing does."""
    try:
        path = os.fspath(as_path(text))
    except ValueError:
        return "is no path"
    return "" if path.startswith("/") and "\0" not in path else f"is {text!r:.80}, no absolute path"


def _entry(row: tuple[Any, ...]) -> Entry:
    """The entry in a row, which somebody may have written since all rows were looked at.

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
    """The path of an entry that leads out of its tree, or the time that is none; "" if all is well."""
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
        return "is a time without zone" if datetime.fromisoformat(text).tzinfo is None else ""
    except ValueError:
        return "is no time"
