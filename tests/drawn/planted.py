"""What others may plant where a batch writes: links, pipes, folders, and a journal that names a file."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import chdir

from tests.batch.trees import write_slide

KINDS = ("link", "hard link", "dangling link", "pipe", "socket", "folder")
_JOURNAL = bytes.fromhex("d9d505f920a163d7")
_PAGE, _SECTOR, _LOCK_BYTE = 4096, 512, 0x40000000


def plant(path, kind, victim):
    """Put something of a kind under a name; links lead to `victim`, or to a file that is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "hard link":
        path.hardlink_to(victim)
    elif kind == "dangling link":
        path.symlink_to(victim.with_name("planted.svs"))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with chdir(path.parent), socket.socket(socket.AF_UNIX) as server:  # a socket's name is short
            server.bind(path.name)
    elif kind == "folder":
        path.mkdir()
    return path


def write_victim(path):
    """A slide that must stay as it is; what there is to know of it."""
    write_slide(path, 1)
    os.utime(path, ns=(10**18, 10**18))
    return facts(path)


def facts(path):
    """Bytes, time and inode of a file; a name more or less is no change."""
    status = path.lstat()
    return path.read_bytes(), status.st_mtime_ns, status.st_ino


def write_journal(ledger, victim):
    """A rollback journal beside a ledger, of no pages, that SQLite plays back and then deletes `victim`.

    SQLite's file format, section 3: a journal of several databases ends in the name of their super-journal.
    """
    pages = ledger.stat().st_size // _PAGE
    name = os.fsencode(victim)
    start = (_JOURNAL + struct.pack(">5I", 0, 1, pages, _SECTOR, _PAGE)).ljust(_SECTOR, b"\0")
    ends = struct.pack(">2I", len(name), sum(name)) + _JOURNAL
    journal = ledger.with_name(f"{ledger.name}-journal")
    journal.write_bytes(start + struct.pack(">I", _LOCK_BYTE // _PAGE + 1) + name + ends)
    return journal
