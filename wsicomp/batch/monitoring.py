"""How a batch lets others know that it is alive: a lock, a log that rotates, and a heartbeat file."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from io import TextIOWrapper
from itertools import pairwise
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any

from wsicomp.atomic import completed, make_folder, partial_path
from wsicomp.batch.ledger import FOLDER, LOG
from wsicomp.errors import LedgerError, SlideWriteError
from wsicomp.escaping import printable
from wsicomp.own_files import Folder, open_own, opened_folder, read_own
from wsicomp.progress import utc_now

HEARTBEAT = "heartbeat.json"

_LOCK = "lock"
_LOG_BYTES, _LOGS = 5_000_000, 5
_BEAT_EVERY_S = 5.0
_TRIES = 10
_BEAT_BYTES = 1 << 24
_LONGEST_TEXT = 500
_MOST_S = 1e10
"""What a heartbeat holds at most: bytes, letters of a text, seconds."""


@dataclass(frozen=True)
class Snapshot:
    """Where a run stands. Bytes are those of sources; `eta_s` is None while nothing can be said.

    `running` has the stage of each slide at work, what is done of it, and its total. `waiting` are those
    that this run means to do, `look` those of its done ones that a person has to look at, `outdated` those
    that earlier runs did and that would be made otherwise now.
    """

    state: str
    look: int
    waiting: int
    done: int
    skipped: int
    failed: int
    done_bytes: int
    total_bytes: int
    target_bytes: int
    converted_bytes: int
    elapsed_s: float
    eta_s: float | None
    outdated: int = 0
    running: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, by the same names."""
        return asdict(self)


@contextmanager
def lock_tree(target: Path) -> Iterator[Path]:
    """The folder for all that is not a slide, held against every other coordinator.

    Raises:
        LedgerError: another one is at work.
        SlideWriteError: nothing can be written there, or something in it is a link or no file.
    """
    folder = make_folder(target) / FOLDER
    try:
        file = _opened_lock(folder, target)
    except SlideWriteError:
        raise
    except OSError as exc:
        raise SlideWriteError(f"cannot be written ({exc.strerror or exc})", folder) from exc
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
        with suppress(OSError):  # who holds the lock is told as well as can be
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield folder


def _opened_lock(folder: Path, target: Path) -> IO[bytes]:
    """The lock's file, where nothing else in the folder leads out of it."""
    with opened_folder(folder, target, make=True) as opened:
        for name in os.listdir(opened.held):  # noqa: PTH208 - of an open folder
            if name == HEARTBEAT or name.startswith(LOG) or not opened.is_folder(name):
                opened.check(name, is_read=True)
        opened.check(partial_path(folder / HEARTBEAT).name)
        return open(opened.open(_LOCK, os.O_RDWR | os.O_APPEND | os.O_CREAT), "a+b", buffering=0)


def _lock(file: IO[bytes]) -> None:
    """Take the lock, past those who only look whether somebody has it."""
    for _ in range(_TRIES - 1):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.05)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class _QuietFile(RotatingFileHandler):
    """A log that a full disk does not turn into noise, in an open folder, whatever has its name."""

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
        """Give every log the name of an older one, and begin another."""
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
    """An event is one line, whatever names stand in it."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


@contextmanager
def open_log(folder: Path) -> Iterator[logging.Logger]:
    """A logger that writes a line an event into a file that rotates.

    Raises:
        SlideWriteError: something else has the file's name.
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
    """A file that says every few seconds where the run stands; too old, the run is dead."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / HEARTBEAT
        self._next = 0.0

    def beat(self, snapshot: Snapshot, now: bool = False) -> None:
        """Write it, if it is time or asked for; a disk that refuses must not end the night."""
        if not now and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _BEAT_EVERY_S
        values = {"time": utc_now(), "pid": os.getpid(), "host": socket.gethostname(), **snapshot.to_json()}
        root = self._path.parents[1]
        with suppress(SlideWriteError), completed(self._path, overwrite=True, root=root) as partial:
            partial.write_text(json.dumps(values) + "\n", "utf-8")


@dataclass(frozen=True)
class LastHeartbeat:
    """What of a heartbeat is shown: as `Snapshot` has it, and the `time` of it."""

    time: str
    elapsed_s: float
    eta_s: float | None
    running: Mapping[str, tuple[str, int, int]]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> LastHeartbeat:
        """That of the JSON values of a heartbeat.

        Raises:
            ValueError, TypeError, LookupError, AttributeError: they are of no heartbeat.
        """
        running = {name: _stage(stage) for name, stage in values["running"].items()}
        eta_s = values["eta_s"]
        elapsed_s = _seconds(values["elapsed_s"])
        return cls(_text(values["time"]), elapsed_s, None if eta_s is None else _seconds(eta_s), running)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value[:_LONGEST_TEXT]


def _seconds(value: object) -> float:
    if type(value) not in (int, float) or not 0 <= value <= _MOST_S:  # type: ignore[operator]
        raise ValueError("no seconds")
    return float(value)  # type: ignore[arg-type]


def _stage(value: Sequence[Any]) -> tuple[str, int, int]:
    name, done, total = value
    if type(done) is not int or type(total) is not int or not 0 <= max(abs(done), abs(total)) < _MOST_S**2:
        raise ValueError("no stage")
    return _text(name), done, total


def read_heartbeat(target: Path) -> dict[str, Any] | None:
    """What the last run said last; None where none has said anything, or what is there is no heartbeat."""
    try:
        values = json.loads(read_own(target / FOLDER / HEARTBEAT, target, _BEAT_BYTES))
        LastHeartbeat.of(values)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        return None
    return dict(values)


def is_running(target: Path) -> bool:
    """Whether a coordinator of this machine holds the tree."""
    try:
        with open(open_own(target / FOLDER / _LOCK, os.O_RDONLY, target), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
