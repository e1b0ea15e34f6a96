"""Ledgers and heartbeats as nobody's batch wrote them: forged, flipped, cut, of another shape.

Every function gets the target tree of a batch whose ledger is sound, and edits what lies there. Sources lie
beside the tree, in `source`.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

SLIDES = ("a/slide 0.svs", "b/slide 1.svs", "c/slide 2.svs")
VICTIM = SLIDES[1]
"""The slide whose source an edit would have deleted."""


def ledger_of(target):
    """The path of its ledger."""
    return target / ".wsicomp/ledger.sqlite"


def heartbeat_of(target):
    """The path of its heartbeat."""
    return target / ".wsicomp/heartbeat.json"


def edit(target, *statements):
    """Carry out SQL statements, with their values, in the ledger of a tree."""
    with closing(sqlite3.connect(ledger_of(target), isolation_level=None)) as database:
        for statement in statements:
            text, values = statement if isinstance(statement, tuple) else (statement, ())
            database.execute(text, values)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def put(target, column, value, where="1"):
    """Write a value into a column, of any type."""
    edit(target, (f"UPDATE slides SET {column} = ? WHERE {where}", (value,)))


def cut(target, size):
    """Truncate the ledger to so many bytes, or to a part of its bytes."""
    path = ledger_of(target)
    os.truncate(path, size if isinstance(size, int) else int(path.stat().st_size * size))


def flip(target, seed, count=1):
    """Flip so many bits at random places of the ledger."""
    path, chance = ledger_of(target), random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(count):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def overwrite(target, data):
    """Write other bytes in the ledger's place."""
    ledger_of(target).write_bytes(data)


def rebuild_table(target, definition, rows="SELECT * FROM slides"):
    """Put another table in the place of that of slides."""
    edit(target, f"CREATE TABLE other AS {rows}", "DROP TABLE slides", definition)


def stale(target, name, of=VICTIM):
    """Have the ledger say that a file is an earlier conversion of a slide that is to be converted again.

    With the size and the time of a source, so that it would be taken for what it is said to be.
    """
    status = (target.parent / "source" / of).stat()
    line = f"{status.st_size} {status.st_mtime_ns} {name}"
    edit(
        target,
        ("UPDATE slides SET stale_target = ?, settings = '' WHERE source = ?", (line, SLIDES[0])),
    )


def link_out(target):
    """A folder of the target tree that leads into the source tree, and a ledger that names a slide there."""
    (target / "link").symlink_to(target.parent / "source/b")
    stale(target, "link/slide 1.svs")


def alias(target):
    """The conversions of two slides, said to be earlier ones of one, by their names written otherwise."""
    lines = []
    for name in SLIDES[:2]:
        status = (target / f"{name}.tiff").stat()
        spelled = f"\\x{ord(name[0]):02x}{name[1:]}.tiff"
        lines.append(f"{status.st_size} {status.st_mtime_ns} {spelled}")
    values = "\n".join(lines), SLIDES[0]
    edit(target, ("UPDATE slides SET stale_target = ?, settings = '' WHERE source = ?", values))


def report(target, text):
    """Write a text in the place of a slide's report, in a ledger of version 1, which is read from them."""
    as_version(target, 1)
    edit(target, ("UPDATE reports SET report = ?", (text,)))


def as_version(target, version):
    """Make of a ledger what an earlier version wrote."""
    later = {"quarantine_age", "quarantine_runs", "quarantine_seen"} if version < 3 else set()
    if version < 5:
        later |= {"tissue", "least_ssim", "opens_in"}
    if version < 2:
        later |= {"notes", "model", "removed_area", "look", "kept_cause"}
        later |= {"accepted", "accepted_source", "accepted_target"}
    with closing(sqlite3.connect(ledger_of(target), isolation_level=None)) as database:
        there = {row[1] for row in database.execute("PRAGMA table_info(slides)")}
        for name in there & later:
            database.execute(f"ALTER TABLE slides DROP COLUMN {name}")
        if version < 4:
            database.execute("DROP TABLE IF EXISTS settings")
        if version < 5:
            database.execute("DROP TABLE IF EXISTS carried")
        database.execute(f"PRAGMA user_version = {version}")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


NESTED = "[" * 100_000 + "]" * 100_000
OF_A_REPORT = {
    "levels": [{"whitened": 0, "blank": -5, "empty": 10**30}],
    "tissue_fraction": 0.5,
    "dropped": [],
    "flawed_tiles": 0,
    "notes": [],
    "model": {"a": 1},
}

PATHS_OUT = {
    "a stale target in the source tree": partial(stale, name=f"../source/{VICTIM}"),
    "a stale target from its root": lambda target: stale(target, f"{target.parent}/source/{VICTIM}"),
    "a stale target with escaped dots": partial(stale, name=f"\\x2e\\x2e/source/{VICTIM}"),
    "a stale target with an escaped slash": partial(stale, name=f"..\\x2fsource\\x2f{VICTIM}"),
    "a stale target with a NUL": partial(stale, name="a\\x00b"),
    "a stale target that is the ledger": partial(stale, name=".wsicomp/ledger.sqlite"),
    "a stale target without a path": partial(stale, name=""),
    "a source out of its tree": lambda target: put(target, "source", "../other.svs", "source LIKE 'a/%'"),
    "a source from its root": lambda target: put(target, "source", "/etc/passwd", "source LIKE 'a/%'"),
    "a source in quarantine": lambda target: put(
        target, "source", ".wsicomp-quarantine/x.svs", "source LIKE 'a/%'"
    ),
    "a target out of its tree": lambda target: put(
        target, "target", f"../source/{VICTIM}", "source LIKE 'b/%'"
    ),
    "a target from its root": lambda target: put(target, "target", "/dev/null", "source LIKE 'b/%'"),
    "a target with escaped dots": lambda target: put(
        target, "target", "a/\\x2e\\x2e/\\x2e\\x2e/source/x", "source LIKE 'b/%'"
    ),
    "a target with a NUL": lambda target: put(target, "target", "a\0b", "source LIKE 'b/%'"),
    "a target that is the ledger": lambda target: put(
        target, "target", ".wsicomp/ledger.sqlite", "source LIKE 'b/%'"
    ),
    "a slide at work without target": lambda target: edit(
        target, "UPDATE slides SET target = '', state = 'running' WHERE source LIKE 'b/%'"
    ),
    "a source tree that is relative": lambda target: edit(
        target, "UPDATE facts SET value = '../source' WHERE name = 'source'"
    ),
    "a source tree with a NUL": lambda target: edit(
        target, "UPDATE facts SET value = '/a\\x00b' WHERE name = 'source'"
    ),
}
"""Ledgers whose paths lead out of their trees: all are refused."""

WRONG_VALUES = {
    "a state that is none": lambda target: put(target, "state", "finished"),
    "a state that is a number": lambda target: put(target, "state", b"\x07"),
    "bytes that are negative": lambda target: put(target, "source_bytes", -5),
    "bytes that are huge": lambda target: put(target, "target_bytes", 2**63 - 1),
    "bytes that are words": lambda target: put(target, "source_bytes", "many"),
    "bytes that are broken": lambda target: put(target, "target_bytes", 1.5),
    "bytes without end": lambda target: put(target, "target_bytes", float("inf")),
    "seconds without end": lambda target: put(target, "elapsed_s", float("inf")),
    "seconds that are negative": lambda target: put(target, "elapsed_s", -1.0),
    "seconds that are words": lambda target: put(target, "elapsed_s", "long"),
    "an area of more than all": lambda target: put(target, "removed_area", 7.0),
    "a claim that is two": lambda target: put(target, "verified", 2),
    "a claim that is a word": lambda target: put(target, "restorable", "yes"),
    "tiles that are negative": lambda target: put(target, "tiles", -1),
    "a digest that is bytes": lambda target: put(target, "target_sha256", b"\xff\xfe"),
    "a text that is no UTF-8": lambda target: edit(
        target, "UPDATE slides SET notes = CAST(x'fffe41' AS TEXT)"
    ),
    "a name that is no UTF-8": lambda target: edit(
        target, "UPDATE slides SET source = CAST(x'ff2f41' AS TEXT) WHERE source LIKE 'a/%'"
    ),
    "an error that is bytes": lambda target: put(target, "error", b"\x00"),
    "a removal that is none": lambda target: put(target, "removal", "shredded"),
    "a removal at no time": lambda target: edit(
        target, "UPDATE slides SET removal = 'quarantined', removed = 'yesterday'"
    ),
    "a removal at a time of no zone": lambda target: edit(
        target, "UPDATE slides SET removal = 'quarantined', removed = '2020-01-01T00:00:00'"
    ),
    "an end that is a number": lambda target: put(target, "ended", "12"),
    "a cause to stay that is none": lambda target: put(target, "kept_cause", "luck"),
    "a stale target without a size": lambda target: put(target, "stale_target", "x.svs"),
    "a stale target of a huge size": lambda target: put(target, "stale_target", f"{'9' * 5000} 1 x.svs"),
    "a stale target of no number": lambda target: put(target, "stale_target", "nan 1 x.svs"),
    "a quarantine of negative days": lambda target: put(target, "quarantine_age", -1.0),
    "a quarantine of endless days": lambda target: put(target, "quarantine_age", float("inf")),
    "a quarantine seen at no time": lambda target: put(target, "quarantine_seen", "soon"),
    "attempts without end": lambda target: put(target, "attempts", 1 << 60),
    "settings that are a letter": lambda target: put(target, "settings", "x"),
    "settings in capitals": lambda target: put(target, "settings", "AB" * 32),
    "notes of very many lines": lambda target: put(target, "notes", "x\n" * 3_000_000),
    "notes of many empty lines": lambda target: put(target, "notes", "\n" * 1000),
    "a note of many bytes": lambda target: put(target, "notes", "x" * 200_000_000, "source LIKE 'a/%'"),
    "a note of many bytes behind a NUL": lambda target: put(target, "notes", "\0" + "x" * 200_000),
    "an error of many bytes": lambda target: put(target, "error", "ä" * 70_000),
    "a source of many bytes": lambda target: put(target, "source", "a" * 200_000, "source LIKE 'a/%'"),
    "a fact of many bytes": lambda target: edit(
        target, ("INSERT INTO facts VALUES ('x', ?)", ("x" * 200_000,))
    ),
    "no source": lambda target: put(target, "source", "", "source LIKE 'a/%'"),
    "a fact that is bytes": lambda target: edit(target, "UPDATE facts SET value = x'00ff'"),
}
"""Ledgers with a value that no run writes: all are refused."""

ENDLESS = """CREATE TRIGGER sqlite_t AFTER INSERT ON slides BEGIN
    DELETE FROM facts WHERE name IN (
        WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many) SELECT n FROM many);
END"""
CHANGING = """CREATE TRIGGER sqlite_t AFTER INSERT ON slides BEGIN
    UPDATE slides SET verified = 1, removal = 'quarantined';
END"""
WRONG_SHAPES = {
    "no bytes": partial(cut, size=0),
    "the first 100 bytes": partial(cut, size=100),
    "the first half": partial(cut, size=0.5),
    "all but a page": partial(cut, size=0.9),
    "words": partial(overwrite, data=b"not a database, but long enough to be one" * 100),
    "zeros": partial(overwrite, data=bytes(8192)),
    "no table of slides": lambda target: edit(target, "DROP TABLE slides"),
    "no table of reports": lambda target: edit(target, "DROP TABLE reports"),
    "no table of facts": lambda target: edit(target, "DROP TABLE facts"),
    "no table of settings": lambda target: edit(target, "DROP TABLE settings"),
    "no table of carried files": lambda target: edit(target, "DROP TABLE carried"),
    "no column of states": lambda target: edit(
        target, "DROP INDEX slides_state", "ALTER TABLE slides DROP COLUMN state"
    ),
    "no column of codecs": lambda target: edit(target, "ALTER TABLE slides DROP COLUMN codec"),
    "no index": lambda target: edit(target, "DROP INDEX slides_state"),
    "a view in the place of the slides": lambda target: edit(
        target,
        "ALTER TABLE slides RENAME TO them",
        "CREATE VIEW slides AS SELECT * FROM them",
    ),
    "a trigger": lambda target: edit(
        target,
        "CREATE TRIGGER t AFTER INSERT ON slides BEGIN UPDATE slides SET removal = 'quarantined'; END",
    ),
    "a trigger without end by SQLite's own name": lambda target: edit(
        target,
        "PRAGMA writable_schema = ON",
        ("INSERT INTO sqlite_master VALUES ('trigger', 'sqlite_t', 'slides', 0, ?)", (ENDLESS,)),
    ),
    "a trigger by SQLite's own name that changes rows": lambda target: edit(
        target,
        "PRAGMA writable_schema = ON",
        ("INSERT INTO sqlite_master VALUES ('trigger', 'sqlite_t', 'slides', 0, ?)", (CHANGING,)),
    ),
    "an index that lets a digest be there once": lambda target: edit(
        target, "DROP INDEX slides_state", "CREATE UNIQUE INDEX slides_state ON slides(digest)"
    ),
    "an index of some states": lambda target: edit(
        target,
        "DROP INDEX slides_state",
        "CREATE INDEX slides_state ON slides (state) WHERE state != 'failed'",
    ),
    "a table that forgets": lambda target: edit(
        target,
        "DROP TABLE facts",
        "CREATE TABLE facts (name TEXT PRIMARY KEY ON CONFLICT IGNORE, value TEXT NOT NULL)",
    ),
    "figures of a planner": lambda target: edit(target, "ANALYZE"),
    "a key that does not tell cases": lambda target: edit(
        target,
        "DROP TABLE facts",
        "CREATE TABLE facts (name TEXT PRIMARY KEY COLLATE NOCASE, value TEXT NOT NULL)",
    ),
    "no key": partial(rebuild_table, definition="ALTER TABLE other RENAME TO slides"),
    "another's tables": lambda target: edit(
        target,
        "DROP TABLE slides",
        "DROP TABLE reports",
        "DROP TABLE facts",
        "CREATE TABLE people (name TEXT)",
    ),
    "version 0": lambda target: edit(target, "PRAGMA user_version = 0"),
    "version 99": lambda target: edit(target, "PRAGMA user_version = 99"),
    "version -1": lambda target: edit(target, "PRAGMA user_version = -1"),
}
"""Files in the place of a ledger that are none: all are refused."""

REPORTS = {
    "that are no JSON": partial(report, text="{"),
    "that are a list": partial(report, text="[]"),
    "that are a number": partial(report, text="7"),
    "that nest without end": partial(report, text=NESTED),
    "that are no numbers": partial(report, text=json.dumps(OF_A_REPORT | {"tissue_fraction": "nan"})),
    "of huge numbers": partial(report, text=json.dumps(OF_A_REPORT)),
    "of a number of 5000 digits": partial(report, text=f'{{"levels": {"9" * 5000}}}'),
    "without levels": partial(report, text=json.dumps(OF_A_REPORT | {"levels": []})),
}
"""Reports of version 1 that are of another shape: the ledger is read without them."""

_BEAT = {"time": "2026-01-01T00:00:00+00:00", "elapsed_s": 3.5, "eta_s": None, "running": {}}
HEARTBEATS = {
    "no JSON": "{",
    "a list": "[1, 2]",
    "nothing": "",
    "of other fields": json.dumps({"a": 1}),
    "at work on a list": json.dumps(_BEAT | {"running": [1, 2]}),
    "at work on a number": json.dumps(_BEAT | {"running": {"x": 5}}),
    "at work on too little": json.dumps(_BEAT | {"running": {"x": ["stage"]}}),
    "at work on words": json.dumps(_BEAT | {"running": {"x": ["stage", "much", {}]}}),
    "since a word": json.dumps(_BEAT | {"elapsed_s": "long"}),
    "since ever": json.dumps(_BEAT | {"elapsed_s": float("inf")}),
    "since no number": json.dumps(_BEAT | {"elapsed_s": float("nan")}),
    "until a list": json.dumps(_BEAT | {"eta_s": [1]}),
    "until huge": json.dumps(_BEAT | {"eta_s": 10**400}),
    "at no time": json.dumps(_BEAT | {"time": {"a": 1}}),
    "nested without end": NESTED,
    "of 5000 digits": '{"elapsed_s": ' + "9" * 5000 + "}",
    "of half a letter": json.dumps(_BEAT | {"running": {"\ud800": ["\udfff", 1, 2]}}),
    "of a terminal's commands": json.dumps(_BEAT | {"running": {"\x1b[2J": ["\x1b]0;x\x07", 1, 2]}}),
}
"""Heartbeats of another shape, as texts."""


def beat(target, text):
    """Write a heartbeat."""
    heartbeat_of(target).write_text(text, "utf-8")


def sources(target):
    """The bytes of every slide beside the tree."""
    folder = Path(target).parent / "source"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.svs"))}
