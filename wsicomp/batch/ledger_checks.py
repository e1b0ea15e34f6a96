"""Check that a ledger was written by a batch: its tables, the kind of every value, and its paths.

A ledger lies where others can write. Before a run acts on it, it is compared with what a run could have
written. SQLite checks all rows at once; `path_flaw` checks every text that becomes a path.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Collection, Iterable, Mapping

from wsicomp.text.paths import as_path

MOST_BYTES = 1 << 60
"""No slide and no count is as large."""
_MOST_SECONDS = 1e10
MOST_ATTEMPTS = 1_000_000
_MOST = {
    "removed_area": 1.000001,
    "quarantine_age": 1e6,
    "quarantine_runs": MOST_ATTEMPTS,
    "attempts": MOST_ATTEMPTS,
}
LONGEST_TEXT, MOST_LINES = 1 << 17, 1000
"""The most bytes of a text in a row, of which a path takes an eighth at most; the most lines of notes."""
_DIGEST = re.compile("(?:[0-9a-f]{64})?")
_CUT = "\n(the rest was left out)"
_LONGEST_VALUE = 1 << 28
"""The most bytes of one value. The report of a slide with very many tiles has a hundredth of it."""

SCHEMA = (
    ("index", "slides_state", "slides", "CREATE INDEX slides_state ON slides (state)"),
    ("table", "reports", "reports", "CREATE TABLE reports (source TEXT PRIMARY KEY, report TEXT NOT NULL)"),
    ("table", "facts", "facts", "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)"),
)
"""What a ledger has beside its table of slides, as SQLite lists it: kind, name, table, definition."""
SCHEMA_SINCE_4 = (
    ("table", "settings", "settings", "CREATE TABLE settings (digest TEXT PRIMARY KEY, json TEXT NOT NULL)"),
)
"""What version 4 added to `SCHEMA`."""
SCHEMA_SINCE_5 = (
    ("table", "carried", "carried", "CREATE TABLE carried (source TEXT PRIMARY KEY, json TEXT NOT NULL)"),
)
"""What version 5 added to `SCHEMA`."""
_MOST_OBJECTS = 100
_TEXTS = (
    ("reports", "source", "report"),
    ("facts", "name", "value"),
    ("settings", "digest", "json"),
    ("carried", "source", "json"),
)
"""The tables that hold texts: name, key column and value column."""

_PLAIN = re.compile(r"[^./\\\0][^/\\\0]*(?:/[^./\\\0][^/\\\0]*)*")
"""A relative path of ordinary names, which needs no further check."""
_TIME = "[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]+00:00"
_STALE = re.compile(r"[0-9]{1,19} -?[0-9]{1,19} .+")


class UnsoundError(Exception):
    """A ledger is not what a batch wrote; the message says where."""


def distrust_file(database: sqlite3.Connection) -> None:
    """Have SQLite distrust a file: it calls no functions of its schema, and checks the size of its cells."""
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA cell_size_check = ON")
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)


def check_tables(
    database: sqlite3.Connection, slides: Iterable[str], beside: Collection[tuple[str, str, str, str]]
) -> None:
    """Check that a database has exactly the schema of a ledger.

    `slides` are the definitions that its table of slides may have; `beside` is everything else.

    Raises:
        UnsoundError: a table or index is missing, foreign, or defined differently.
    """
    query = f"SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT {_MOST_OBJECTS}"  # noqa: S608
    found = database.execute(query).fetchall()
    tables = ["slides", *(name for kind, name, *_ in beside if kind == "table")]
    keys = {("index", f"sqlite_autoindex_{table}_1", table, None) for table in tables}
    wanted = [{*beside, *keys, ("table", "slides", "slides", definition)} for definition in slides]
    if len(found) == len(set(found)) and set(found) in wanted:
        return
    names = {(kind, name) for kind, name, *_ in wanted[0]}
    others = {(str(kind), str(name)) for kind, name, *_ in found} ^ names
    if not others:
        changed = {(str(kind), str(name)) for kind, name, *_ in set(found).difference(*wanted)}
        kind, name = min(changed, default=("table", "slides"))
        raise UnsoundError(f"{kind} {name:.80} was not made by wsicomp")
    kind, name = min(others)
    raise UnsoundError(f"{kind} {name:.80} is {'lacking' if (kind, name) in names else 'not of a ledger'}")


def check_pages(database: sqlite3.Connection) -> None:
    """Check that the rows and indices of a database agree; they do not after bytes were flipped.

    Raises:
        UnsoundError: SQLite's integrity check fails.
    """
    there = {name for (name,) in database.execute("SELECT name FROM sqlite_master LIMIT 100")}
    # Reports are as large as all else, and nothing is done by them.
    for table in there & {"slides", "facts", "settings", "carried"}:
        ((found, *_),) = database.execute(f"PRAGMA integrity_check('{table}')").fetchmany(1)
        if found != "ok":
            raise UnsoundError(" ".join(str(found).split())[:200])


def check_values(
    database: sqlite3.Connection, kinds: Mapping[str, str], words: Mapping[str, Iterable[str]]
) -> None:
    """Check every value of a ledger: its kind, its size and, where its column has `words`, its choice.

    `kinds` has each column of the table of slides with the name of its type: "bool", "int", "float" or "str".
    `words` has the texts that a column may hold, for columns with a fixed choice.

    Raises:
        UnsoundError: a value is of another kind or size, or none of the words; the message names the slide.
    """
    rules = {name: _rule(name, kind, words.get(name)) for name, kind in kinds.items()}
    rules["target"] += (
        " AND (target != '' OR (state IN ('failed', 'skipped') AND target_sha256 = '' AND stale_target = ''))"
    )
    rules["source"] += " AND source != ''"
    all_good = " AND ".join(f"({rule})" for rule in rules.values())
    query = f"SELECT rowid FROM slides WHERE NOT ({all_good}) LIMIT 1"  # noqa: S608 - our own names
    for (row,) in database.execute(query).fetchall():
        for name, rule in rules.items():
            start = f"CASE WHEN typeof({name}) IN ('text', 'blob') THEN substr({name}, 1, 50) ELSE {name} END"
            shown = f"substr(CAST(source AS BLOB), 1, 500), quote({start})"
            broken = f"SELECT {shown} FROM slides WHERE rowid = ? AND NOT ({rule})"  # noqa: S608
            for source, value in database.execute(broken, (row,)):
                whose = bytes(source or b"").decode(errors="backslashreplace")
                raise UnsoundError(f"slide {whose:.80}: {name} is {' '.join(value.split()):.40}")
    for table, key, value in _TEXTS:
        rule = f"typeof({key}) = 'text' AND typeof({value}) = 'text' AND {_bytes(key)} <= {LONGEST_TEXT}"
        if table != "reports":
            rule += f" AND {_bytes(value)} <= {LONGEST_TEXT}"
        if database.execute(f"SELECT 1 FROM {table} WHERE NOT ({rule}) LIMIT 1").fetchone():  # noqa: S608
            raise UnsoundError(f"table {table} holds a value that is not a text or too long")


def _rule(name: str, kind: str, words: Iterable[str] | None) -> str:
    """Return the SQL condition that a column's values must meet."""
    if words is not None:
        return f"typeof({name}) = 'text' AND {name} IN ({', '.join(map(repr, map(str, words)))})"
    if kind == "bool":
        return f"typeof({name}) = 'integer' AND {name} IN (0, 1)"
    if kind == "int":
        most = _MOST.get(name, MOST_BYTES)
        bound = "" if name.endswith("_ns") else f" AND {name} BETWEEN 0 AND {most}"
        return f"typeof({name}) = 'integer'{bound}"
    if kind == "float":
        most = _MOST.get(name, _MOST_SECONDS)
        return f"typeof({name}) IN ('real', 'integer') AND {name} BETWEEN 0 AND {most}"
    rule = f"typeof({name}) = 'text' AND {_bytes(name)} <= {LONGEST_TEXT}"
    if name == "settings":
        rule += " AND length(settings) IN (0, 64) AND settings NOT GLOB '*[^0-9a-f]*'"
    if name == "notes":
        without = _bytes("replace(notes, char(10), '')")
        rule += f" AND {_bytes(name)} - {without} < {MOST_LINES}"
    return rule


def _bytes(text: str) -> str:
    """Return the SQL expression for the number of bytes of a text, also behind a NUL."""
    return f"length(CAST({text} AS BLOB))"


def unusual_rows_condition(paths: Iterable[str], times: Iterable[str], others: Iterable[str]) -> str:
    """Return the SQL condition for rows that have to be checked one by one; a batch writes few of these.

    One of their `paths` has a name that is not ordinary, one of their `times` is not as `utc_now` writes it,
    or one of the `others` is not empty.
    """
    unusual = [
        f"{name} GLOB '[./]*' OR instr({name}, '/.') OR instr({name}, '\\') OR instr({name}, char(0))"
        for name in paths
    ]
    unusual += [f"({name} != '' AND {name} NOT GLOB '{_TIME}')" for name in times]
    return " OR ".join([*unusual, *(f"{name} != ''" for name in others)])


def is_valid_value(name: str, kind: str, value: object) -> bool:
    """Return whether a value is of its column's kind and size, by the same rules as `check_values`."""
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "int":
        return type(value) is int and (
            abs(value) < 1 << 63 if name.endswith("_ns") else 0 <= value <= _MOST.get(name, MOST_BYTES)
        )
    if kind == "float":
        return type(value) in (int, float) and 0 <= value <= _MOST.get(name, _MOST_SECONDS)  # type: ignore[operator]
    if not isinstance(value, str) or len(value.encode("utf-8", "backslashreplace")) > LONGEST_TEXT:
        return False
    if name == "settings":
        return _DIGEST.fullmatch(value) is not None
    return name != "notes" or value.count("\n") < MOST_LINES


def shorten_text(text: str) -> str:
    """Return a text as a ledger may hold it: cut where it is longer than a run's texts ever are."""
    lines, data = text.split("\n"), text.encode("utf-8", "backslashreplace")
    if len(lines) <= MOST_LINES and len(data) <= LONGEST_TEXT:
        return text
    data = "\n".join(lines[: MOST_LINES - 1]).encode("utf-8", "backslashreplace")
    return f"{data[: LONGEST_TEXT - len(_CUT)].decode(errors='ignore')}{_CUT}"


def path_flaw(text: str) -> str:
    """Return why a text of a ledger is not a path inside its tree; "" if it is one.

    A batch writes nothing hidden, so that neither a ledger nor a quarantine is taken for a slide.
    """
    if _PLAIN.fullmatch(text):
        return ""
    try:
        raw = os.fspath(as_path(text))
    except ValueError:
        return "is not a path"
    parts = raw.split("/")
    flaws = {
        "holds a NUL, which a path cannot": "\0" in raw,
        "is absolute, expected a path in its tree": raw.startswith("/"),
        "leads out of its tree (..)": ".." in parts,
        "is hidden or has an empty part": any(part.startswith(".") or not part for part in parts),
    }
    return next((flaw for flaw, is_so in flaws.items() if is_so), "")


def stale_flaw(lines: str) -> str:
    """Return what is wrong with the lines that describe earlier conversions; "" if nothing is."""
    for line in lines.splitlines():
        if not _STALE.fullmatch(line):
            return "is not a size, a time and a path"
        if flaw := path_flaw(line.split(" ", 2)[2]):
            return flaw
    return ""
