"""The paths of a ledger and of its companions; make, open and move aside its file."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path

from wsicomp.batch.entry import COLUMNS, Entry, row_of
from wsicomp.batch.ledger_schema import make_tables
from wsicomp.errors import LedgerError, SlideWriteError
from wsicomp.files.atomic import completed_file
from wsicomp.files.folders import Folder, is_open, opened_folder
from wsicomp.text.paths import as_path

FOLDER = ".wsicomp"
"""The folder in a target tree with the ledger and everything else that is not a slide."""

LOG = "batch.log"
"""The file in `FOLDER` that records line by line what runs did."""

FILE = "ledger.sqlite"

SOURCE = "source"
"""The name of the fact that is the path of the source tree."""

OPTIONS = "options"
"""The name of the fact that is the line about the last run's options."""

LEFT_OUT = "left out"
"""The name of the fact that is the line about the files that the last run left out as no slides."""

BESIDE = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite keeps beside a database."""

_IN_PLACE = ("", "-wal", "-shm")
"""Suffixes of the files that SQLite writes in place: the database itself and two beside it."""

_NO_ROOM, _FULL_BYTES = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN), 1 << 16
"""SQLite's error codes on a full disk, and the most bytes that are free on a disk that counts as full."""


def ledger_path(target: Path) -> Path:
    """Return the path of the ledger of a target tree."""
    return target / FOLDER / FILE


def aside_path(target: Path, name: str) -> Path:
    """Return the path for a file of a target tree that has to leave its place; a file may have it already."""
    return target / FOLDER / "aside" / as_path(name)


def audit_path(target: Path, source: str) -> Path:
    """Return the path of the small picture of a slide's removed tiles.

    `source` is the slide's path in the source tree.
    """
    digest = sha256(source.encode()).hexdigest()
    return target / FOLDER / "audits" / digest[:2] / f"{digest[:32]}.jpg"


def review_picture_path(target: Path, source: str) -> Path:
    """Return the path of the large picture of a slide that a person has to look at.

    `source` is the slide's path in the source tree.
    """
    return audit_path(target, source).with_suffix(".look.jpg")


PUT_ENTRY = (
    f"INSERT OR REPLACE INTO slides ({', '.join(COLUMNS)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join('?' * len(COLUMNS))})"
)


def is_disk_full(code: int, path: Path) -> bool:
    """Return whether an error of SQLite comes from a full disk; SQLite may call it an input/output error.

    `code` is SQLite's, `path` is the file that it wrote.
    """
    if code not in _NO_ROOM:
        return False
    try:
        return shutil.disk_usage(path.parent).free < _FULL_BYTES
    except OSError:
        return False


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
            for name in (f"{FILE}{suffix}" for suffix in _IN_PLACE):
                folder.check(name, is_read=read_only and not name.endswith("-shm"))
                found = folder.status(name)
                if are_open and found is not None and not is_open(found):
                    raise LedgerError("was put there while it was opened", folder.path / name)
            journal = f"{FILE}-journal"
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

    Return the path to which the existing ledger was moved; None if there was none.

    Raises:
        OSError: a file cannot be written or moved.
        sqlite3.Error: SQLite cannot make the tables.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        make_tables(fresh)
        fresh.execute("BEGIN")
        fresh.executemany(PUT_ENTRY, map(row_of, entries))
        if source:
            fresh.execute("INSERT INTO facts VALUES (?, ?)", (SOURCE, source))
        fresh.execute("COMMIT")
        data = bytearray(fresh.serialize())
    data[18:20] = b"\x02\x02"  # SQLite's file format 1.3.3: write-ahead logging
    root = path.parents[1]
    with opened_folder(path.parent, root) as folder:
        is_there = folder.status(FILE) is not None
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
    while any(folder.status(f"{FILE}.old-{number}{end}") is not None for end in ("", *BESIDE)):
        number += 1
    return f"{FILE}.old-{number}"


def _set_aside(folder: Folder, old: str) -> None:
    """Give a ledger a second name until a new one takes its first, and move what lies beside it.

    Raises:
        OSError: a file cannot be moved.
    """
    places = {"src_dir_fd": folder.descriptor, "dst_dir_fd": folder.descriptor}
    with suppress(FileNotFoundError):
        try:
            os.link(FILE, old, **places, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:  # no file system with such names
            folder.move(FILE, folder, old, overwrite=False)
    for end in BESIDE:
        with suppress(FileNotFoundError):
            folder.move(f"{FILE}{end}", folder, f"{old}{end}", overwrite=False)


def _put_back(folder: Folder, old: str) -> None:
    """Undo `_set_aside` as far as possible."""
    folder.remove_second_name(old, FILE)
    for end in ("", *BESIDE):
        with suppress(OSError):
            folder.move(f"{old}{end}", folder, f"{FILE}{end}", overwrite=False)


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a ledger for reading, without a new file beside it.

    A ledger that a run is writing is opened together with SQLite's files beside it.

    Raises:
        sqlite3.Error: SQLite cannot open the ledger.
    """
    is_quiet = not path.with_name(f"{path.name}-wal").exists()
    for mode in ["mode=ro&immutable=1"] if is_quiet else ["mode=ro", "mode=ro&immutable=1"]:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)
        try:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            database.close()
            continue
        except (sqlite3.Error, UnicodeDecodeError):
            database.close()
            raise
        return database
    raise sqlite3.OperationalError("it cannot be opened")
