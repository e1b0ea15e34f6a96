"""The ledger: what became of each slide of a tree, in SQLite, written by one coordinator.

Write-ahead logging keeps every entry complete through a kill at any moment. It also lets `status` and
`report` read while a run goes on. Entries that are lost when the whole machine stops can be found again from
the targets.
"""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsicomp.batch.carried import Carried, carried_of
from wsicomp.batch.entry import COLUMNS, TIMES, WORDS, Entry, entry_of, row_of
from wsicomp.batch.ledger_checks import (
    UnsoundError,
    check_pages,
    check_tables,
    check_values,
    distrust_file,
    unusual_rows_condition,
)
from wsicomp.batch.ledger_files import (
    BESIDE,
    FILE,
    FOLDER,
    LOG,
    PUT_ENTRY,
    SOURCE,
    check_files,
    is_disk_full,
    ledger_path,
    make_ledger,
    open_to_read,
)
from wsicomp.batch.ledger_schema import (
    COLUMNS_OF,
    VERSION,
    other_definitions,
    read_upgraded,
    report_values,
    table_definitions,
    upgrade,
)
from wsicomp.conversion.settings import Settings
from wsicomp.errors import LedgerError, SlideWriteError
from wsicomp.files.inputs import is_file
from wsicomp.files.json_values import parsed_text
from wsicomp.text.paths import as_path

_DAMAGE = (
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
)
"""SQLite's error codes for a damaged file, as opposed to a disk, rights or another process at fault."""

CONVERTED = "state IN ('done', 'look')"
"""The SQL condition for slides that have a conversion."""

LOOK_FIRST = "ORDER BY state != 'look', source"
"""The SQL clause that lists the slides first that a person has to look at."""

_ALL = f"SELECT {', '.join(COLUMNS)} FROM slides"  # noqa: S608 - our own names


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
            raise LedgerError(f"has no ledger ({FOLDER}/{FILE}); {found}", target)
        check_files(target, read_only)
        with self._as_ledger_errors():
            if os.path.lexists(self.path) and self.path.stat().st_size == 0:
                raise UnsoundError("it is empty, 0 bytes")
            if not read_only and not os.path.lexists(self.path):
                make_ledger(self.path)
            self._database = self._opened(read_only)

    def _opened(self, read_only: bool) -> sqlite3.Connection:
        if read_only:
            database = open_to_read(self.path)
        else:
            database = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        try:
            distrust_file(database)
            self._schema = self._checked_schema(database)
            check_pages(database)
            if not read_only:
                check_files(self._target, read_only, are_open=True)
            if read_only:
                database = read_upgraded(database)
            else:
                database.execute("PRAGMA journal_mode=WAL")
                database.execute("PRAGMA synchronous=NORMAL")
                upgrade(database)
                self._schema = self._checked_schema(database)
            check_values(database, COLUMNS, WORDS)
            unusual = unusual_rows_condition(("source", "target"), TIMES, ("stale_target",))
            for row in database.execute(f"{_ALL} WHERE {unusual}"):
                entry_of(row)
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
        if version not in COLUMNS_OF:
            raise LedgerError(
                f"is of version {version}, expected {VERSION}; take the wsicomp that wrote it{self._advice}",
                self.path,
            )
        check_tables(database, table_definitions(version), other_definitions(version))

    @property
    def _advice(self) -> str:
        """Return the advice for a ledger that is of no use."""
        name = shlex.quote(os.fspath(self._target))
        return f"; `wsicomp batch rebuild {name}` makes it anew from the targets"

    @staticmethod
    def is_there(target: Path) -> bool:
        """Return whether a target tree has a ledger."""
        return is_file(ledger_path(target))

    @staticmethod
    def files(target: Path) -> tuple[Path, ...]:
        """Return the paths of a tree's ledger and of the files that SQLite keeps beside it."""
        return tuple(target / FOLDER / f"{FILE}{suffix}" for suffix in ("", *BESIDE))

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
            self._database.executemany(PUT_ENTRY, (row_of(entry) for entry in entries))
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

        `values` fill the clause's placeholders. Without a clause all entries are yielded, in the order of
        `LOOK_FIRST`.
        """
        with self._as_ledger_errors():
            for row in self._database.execute(f"{_ALL} {where or LOOK_FIRST}", values):
                yield entry_of(row)

    def figures(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of an SQL query."""
        with self._as_ledger_errors():
            return self._database.execute(query).fetchall()

    def report(self, source: str) -> dict[str, Any] | None:
        """Return the whole `ConversionReport` of a slide as JSON values; None where there is none."""
        with self._as_ledger_errors():
            row = self._database.execute("SELECT report FROM reports WHERE source = ?", (source,)).fetchone()
            return None if row is None else report_values(row[0])

    def settings(self) -> dict[str, Settings]:
        """Return the settings by which slides were converted, by their digests as entries hold them."""
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

    def carried(self) -> dict[str, Carried]:
        """Return the records of the files that were carried as they are, by their sources."""
        with self._as_ledger_errors():
            rows = self._database.execute("SELECT source, json FROM carried ORDER BY source").fetchall()
            return {source: _carried(source, text) for source, text in rows}

    def put_carried(self, records: Iterable[Carried], dropped: Iterable[str] = ()) -> None:
        """Write records of carried files, and delete those of the sources `dropped`."""
        with self._writing():
            self._database.executemany(
                "INSERT OR REPLACE INTO carried VALUES (?, ?)",
                ((one.source, json.dumps(asdict(one))) for one in records),
            )
            self._database.executemany("DELETE FROM carried WHERE source = ?", ((one,) for one in dropped))

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
        except UnicodeDecodeError as exc:  # SQLite names a damaged table by its bytes
            message = f"the ledger cannot be read or written (a damaged table){self._advice}"
            raise LedgerError(message, self.path) from exc
        except sqlite3.Error as exc:
            code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            advice = self._advice if code in _DAMAGE else ""
            found = "its disk is full; make room and run again" if is_disk_full(code, self.path) else exc
            message = f"the ledger cannot be read or written ({found}){advice}"
            raise LedgerError(message, self.path) from exc
        except SlideWriteError as exc:
            raise LedgerError(f"the ledger: {exc.message}", exc.path) from exc
        except OSError as exc:
            if isinstance(exc, LedgerError):
                raise
            raise LedgerError(f"cannot be read ({exc.strerror or exc})", self.path) from exc


def _settings(digest: str, text: str) -> Settings:
    """Return the settings in a row.

    Raises:
        UnsoundError: the text holds no settings, or those of another digest.
    """
    try:
        found = parsed_text(text, Settings, is_closed=True)
    except (ValueError, TypeError) as exc:
        raise UnsoundError(f"settings {digest:.16} are none ({exc})") from exc
    if found.digest != digest:
        raise UnsoundError(f"settings {digest:.16} are those of another digest")
    return found


def _carried(source: str, text: str) -> Carried:
    """Return the record of a carried file in a row.

    Raises:
        UnsoundError: the text holds none.
    """
    try:
        return carried_of(source, text)
    except (ValueError, TypeError) as exc:
        raise UnsoundError(f"carried file {source:.80}: {exc}") from exc


def _tree_flaw(text: str) -> str:
    """Return why a text is not a path of a source tree; "" if it is one."""
    try:
        path = os.fspath(as_path(text))
    except ValueError:
        return "is not a path"
    return "" if path.startswith("/") and "\0" not in path else f"is {text!r:.80}, expected an absolute path"
