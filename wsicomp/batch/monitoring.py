"""Signs of a running batch for other programs: a lock, a log that rotates, and a heartbeat file."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from io import TextIOWrapper
from itertools import pairwise
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Annotated, Any, TypeAlias

from msgspec import Meta

from wsicomp.batch.ledger_files import FOLDER, LOG
from wsicomp.errors import LedgerError, SlideWriteError
from wsicomp.files.alike import make_alike
from wsicomp.files.atomic import make_folder, partial_path, write_errors
from wsicomp.files.folders import Folder, open_own, opened_folder, read_own
from wsicomp.files.json_values import json_of, parsed
from wsicomp.files.tables import write_text
from wsicomp.progress import utc_now
from wsicomp.text.escaping import printable

HEARTBEAT = "heartbeat.json"

_LOCK = "lock"
_LOG_BYTES, _LOGS = 5_000_000, 5
_BEAT_EVERY_S = 5.0
_TRIES = 10
_BEAT_BYTES = 1 << 24
"""The most bytes of a heartbeat."""
_Text: TypeAlias = Annotated[str, Meta(max_length=500)]
_Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e10)]
_Count: TypeAlias = Annotated[int, Meta(gt=-(1 << 62), lt=1 << 62)]


@dataclass(frozen=True)
class Snapshot:
    """The progress of a run at one moment; its fields are the names in the heartbeat's JSON."""

    state: str
    """"running"; "stopping" once it was asked to; or how the run ended."""
    look: int
    """Slides that this run converted and that a person has to look at."""
    waiting: int
    """Slides that this run still means to convert."""
    done: int
    """Slides that this run converted or took on."""
    skipped: int
    """Slides that this run skipped."""
    failed: int
    """Slides that failed in this run."""
    done_bytes: int
    """Bytes of the sources that this run has finished, whatever became of them."""
    total_bytes: int
    """Bytes of all sources that this run means to convert."""
    target_bytes: int
    """Bytes of the conversions that this run wrote."""
    converted_bytes: int
    """Bytes of the sources of these conversions."""
    elapsed_s: float
    """Seconds since the run began."""
    eta_s: float | None
    """Seconds until the run's end, as estimated; None before the first slide is finished."""
    outdated: int = 0
    """Slides that earlier runs converted, with other defaults or an older version."""
    running: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)
    """By slide at work: its stage, how much of it is done, and its total."""

    def to_json(self) -> dict[str, Any]:
        """Return the snapshot as JSON values, by the names of its fields."""
        return asdict(self)


@contextmanager
def lock_tree(target: Path, source: Path | None = None) -> Iterator[Path]:
    """Lock a target tree against every other coordinator for a `with` block.

    Yield the tree's own folder of the batch, where the ledger and the log lie. It and the tree, where they
    are made, are open to no more people than the tree `source`.

    Raises:
        LedgerError: another coordinator holds the tree.
        SlideWriteError: the folder cannot be written or locked, or a file in it is a link or no regular file.
    """
    folder = make_folder(target, source) / FOLDER
    with write_errors(folder):
        make_alike(folder, target, [source or target])
        file = _opened_lock(folder, target)
    with file:
        try:
            _lock(file)
        except BlockingIOError as exc:
            file.seek(0)
            who = " ".join(file.read(200).decode(errors="replace").split()) or "unknown"
            raise LedgerError(f"another batch is at work there ({who}); wait for it", target) from exc
        except OSError as exc:
            found = f"its file system has no locks ({exc.strerror or exc}), which keep two batches apart"
            raise SlideWriteError(f"{found}; name a tree on one that has", folder) from exc
        with suppress(OSError):  # who holds the lock is recorded if possible
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield folder


def _opened_lock(folder: Path, target: Path) -> IO[bytes]:
    """Open the lock's file, after checking that nothing else in the folder leads out of it."""
    with opened_folder(folder, target) as opened:
        for name in os.listdir(opened.held):  # noqa: PTH208 - of an open folder
            if name == HEARTBEAT or name.startswith(LOG) or not opened.is_folder(name):
                opened.check(name, is_read=True)
        opened.check(partial_path(folder / HEARTBEAT).name)
        return open(opened.open(_LOCK, os.O_RDWR | os.O_APPEND | os.O_CREAT), "a+b", buffering=0)


def _lock(file: IO[bytes]) -> None:
    """Take the lock; others who only check whether it is held may have it for a moment."""
    for _ in range(_TRIES - 1):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.05)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class _QuietFile(RotatingFileHandler):
    """A log in an open folder that reports no error on a full disk, and follows no link."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        super().__init__(
            folder.path / LOG,
            maxBytes=_LOG_BYTES,
            backupCount=_LOGS,
            encoding="utf-8",
            delay=True,
            errors="backslashreplace",
        )

    def _open(self) -> TextIOWrapper:
        descriptor = self._folder.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        return open(descriptor, "a", encoding=self.encoding, errors=self.errors)

    def doRollover(self) -> None:  # noqa: N802 - logging's own name
        """Rename every log to the name of the next older one, and begin a new one."""
        if self.stream:
            self.stream.close()
            self.stream = None
        names = [LOG, *(f"{LOG}.{number}" for number in range(1, _LOGS + 1))]
        for newer, older in reversed([*pairwise(names)]):
            with suppress(OSError):  # none yet, or something else has the name
                self._folder.move(newer, self._folder, older, overwrite=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's own name
        return


class _OneLine(logging.Formatter):
    """Writes an event as one line, whatever names stand in it."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


@contextmanager
def open_log(folder: Path) -> Iterator[logging.Logger]:
    """Open the batch's log: a logger that writes one line for each event into a file that rotates.

    Raises:
        SlideWriteError: the file's name is taken by a link or a folder.
    """
    with opened_folder(folder, folder.parent) as opened:
        opened.check(LOG)
        logger = logging.getLogger("wsicomp.batch")
        handler = _QuietFile(opened)
        handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            yield logger
        finally:
            logger.removeHandler(handler)
            handler.close()


class Heartbeat:
    """A file that says every few seconds where the run stands; if it is too old, the run is dead."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / HEARTBEAT
        self._next = 0.0

    def beat(self, snapshot: Snapshot, now: bool = False) -> None:
        """Write the file if it is old enough, or `now` is True; an error of the disk does not end the run."""
        if not now and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _BEAT_EVERY_S
        values = {"time": utc_now(), "pid": os.getpid(), "host": socket.gethostname(), **snapshot.to_json()}
        root = self._path.parents[1]
        with suppress(SlideWriteError):
            write_text(self._path, json.dumps(values) + "\n", overwrite=True, root=root)


@dataclass(frozen=True)
class LastHeartbeat:
    """The values of a heartbeat that are shown to users, checked."""

    time: _Text
    """When it was written."""
    elapsed_s: _Seconds
    """Seconds since the run began."""
    eta_s: _Seconds | None
    """Seconds until the run's end, as estimated; None before the first slide is finished."""
    running: Mapping[str, tuple[_Text, _Count, _Count]]
    """By slide at work: its stage, how much of it is done, and its total."""
    state: _Text = "running"
    """The run's state, as `Snapshot.state`."""


def read_heartbeat(target: Path) -> dict[str, Any] | None:
    """Return the last heartbeat as JSON values; None where there is none, or it is damaged."""
    try:
        values: dict[str, Any] = json_of(read_own(target / FOLDER / HEARTBEAT, target, _BEAT_BYTES))
        parsed(values, LastHeartbeat)
    except (OSError, ValueError):
        return None
    return values


def is_running(target: Path) -> bool:
    """Return whether a coordinator on this machine holds the tree."""
    try:
        with open(open_own(target / FOLDER / _LOCK, os.O_RDONLY, target), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
