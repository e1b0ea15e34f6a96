"""The tables of a ledger, of this version and of earlier ones, and how an earlier ledger is upgraded."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from wsicomp.batch.entry import COLUMNS, State
from wsicomp.batch.ledger_checks import SCHEMA, SCHEMA_SINCE_4, SCHEMA_SINCE_5, UnsoundError
from wsicomp.conversion.report import reported_notes
from wsicomp.conversion.review import removed_area, review_note, review_reason_by

VERSION = 5

_TYPES = {"int": "INTEGER", "float": "REAL", "bool": "INTEGER"}

_SINCE_2 = {"notes", "model", "removed_area", "look", "kept_cause"} | {
    name for name in COLUMNS if name.startswith("accepted")
}

_SINCE_3 = {name for name in COLUMNS if name.startswith("quarantine_")}

_SINCE_5 = {"tissue", "least_ssim", "opens_in"}

COLUMNS_OF = {
    1: COLUMNS.keys() - _SINCE_2 - _SINCE_3 - _SINCE_5,
    2: COLUMNS.keys() - _SINCE_3 - _SINCE_5,
    3: COLUMNS.keys() - _SINCE_5,
    4: COLUMNS.keys() - _SINCE_5,
    VERSION: COLUMNS.keys(),
}


def make_tables(database: sqlite3.Connection) -> None:
    """Make the tables of a new ledger, in one transaction."""
    statements = [_definition(VERSION, VERSION), *(text for *_, text in other_definitions(VERSION))]
    for text in ("BEGIN", *statements, f"PRAGMA user_version = {VERSION}", "COMMIT"):
        database.execute(text)


def table_definitions(version: int) -> list[str]:
    """Return the SQL statements by which the table of slides may be defined in a ledger of this version.

    A ledger was made in this version, or in an earlier one and upgraded.
    """
    return [_definition(born, version) for born in COLUMNS_OF if born <= version]


def other_definitions(version: int) -> tuple[tuple[str, str, str, str], ...]:
    """Return the tables and indices of a ledger of this version beside its table of slides.

    Each is a row of SQLite's schema: (type, name, table, SQL).
    """
    since = {4: SCHEMA_SINCE_4, 5: SCHEMA_SINCE_5}
    return (*SCHEMA, *(part for born, parts in since.items() if version >= born for part in parts))


def _definition(born: int, version: int) -> str:
    """Return the table's definition, as SQLite keeps it, of a ledger made in version `born` and upgraded."""
    columns = (
        _column(name, kind, is_added=name not in COLUMNS_OF[born])
        for name, kind in COLUMNS.items()
        if name in COLUMNS_OF[version]
    )
    return f"CREATE TABLE slides ({', '.join(columns)}, PRIMARY KEY (source))"


def _column(name: str, kind: str, is_added: bool) -> str:
    sort = _TYPES.get(kind, "TEXT")
    default = "''" if sort == "TEXT" else "0"
    return f"{name} {sort} NOT NULL{f' DEFAULT {default}' if is_added else ''}"


def upgrade(database: sqlite3.Connection) -> None:
    """Bring a ledger of an earlier version to this one, in one transaction; after a kill it is as before.

    Columns that version 1 did not have are filled from the reports that it kept. Nobody had looked at a slide
    of version 1, so that each one that needs it gets the state `LOOK`. Before version 3 nobody counted the
    days in quarantine, so that they begin anew. Before version 4 settings were not recorded; the next run
    recognises their digests (`past_settings`). Before version 5 no files were carried,
    and outcomes were not recorded.
    """
    database.execute("BEGIN IMMEDIATE")
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            _add_columns(database)
            if version == 1:
                _read_reports(database)
            known = other_definitions(version)
            for part in other_definitions(VERSION):
                if part not in known:
                    database.execute(part[-1])
            database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _add_columns(database: sqlite3.Connection) -> None:
    there = {name for _, name, *_ in database.execute("PRAGMA table_info(slides)")}
    for name, kind in COLUMNS.items():
        if name not in there:
            database.execute(f"ALTER TABLE slides ADD COLUMN {_column(name, kind, is_added=True)}")


def _read_reports(database: sqlite3.Connection) -> None:
    query = "SELECT slides.source, report FROM slides JOIN reports USING (source) WHERE state = 'done'"
    for source, text in database.execute(query).fetchall():
        try:
            values = _read_of_report(report_values(text))
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
    look = review_reason_by(tissue, area)
    return {
        "notes": "\n".join([*reported_notes(report), *([review_note(look)] if look else [])]),
        "model": str(report.get("model") or ""),
        "removed_area": area or 0.0,
        "look": look,
    }


def read_upgraded(database: sqlite3.Connection) -> sqlite3.Connection:
    """Return a database that has this version's tables, without changing the file.

    A database of an earlier version is copied into memory, closed, and the copy upgraded; any other is
    returned itself.
    """
    if database.execute("PRAGMA user_version").fetchone() == (VERSION,):
        return database
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with closing(database):
        database.backup(copy)
    upgrade(copy)
    copy.execute("PRAGMA query_only = ON")
    return copy


def report_values(text: str) -> dict[str, Any]:
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
