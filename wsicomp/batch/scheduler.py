"""Submit jobs to executors, as many at a time as they take, and stop when there is a reason to.

The scheduler knows the ledger, the disk and the clock. What an outcome means is left to the caller.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, replace
from datetime import datetime
from logging import Logger
from typing import Any, Protocol

from wsicomp.batch.bulk_jobs import RestoreJob
from wsicomp.batch.carry_job import CarryJob
from wsicomp.batch.entry import Entry, State
from wsicomp.batch.executors import Executors
from wsicomp.batch.jobs import ConversionJob
from wsicomp.batch.ledger import Ledger
from wsicomp.batch.ledger_checks import MOST_ATTEMPTS
from wsicomp.batch.monitoring import Heartbeat, Snapshot
from wsicomp.batch.options import BatchOptions
from wsicomp.batch.outcomes import Job, JobOutcome
from wsicomp.batch.worker_process import CRASHED, NOT_STARTED, STOPPED
from wsicomp.batch.worklist import Trees
from wsicomp.conversion.settings import Settings
from wsicomp.errors import LedgerError
from wsicomp.progress import utc_now
from wsicomp.text.figures import as_bytes, counted

FINISHED, UNTIL, ASKED = "finished", "until", "stopped"
RUNNING, STOPPING = "running", "stopping"
"""The states of a run in its heartbeat before it has ended."""

_TICK_S = 0.5
_NO_PROCESS = 3
"""After so many failed starts of a process in a row, the run ends."""

_ROOM, _ROOM_BYTES = 1.5, 2_000_000
"""Disk space that a conversion may need: this multiple of its source, and these bytes for everything else.

A conversion that turns out to need more, as of samples without compression, ends before it writes them.
"""


class BatchCallbacks(Protocol):
    """Functions that are called during a run, in the thread that called `run_batch`."""

    def on_progress(self, snapshot: Snapshot) -> None:
        """Receive the state of the run, about twice a second."""
        ...

    def on_slide_done(self, entry: Entry) -> None:
        """Receive a slide's entry once it is finished."""
        ...


class Stop:
    """Asks a run to stop: the first `request` finishes the slides at work, the second drops them.

    The run keeps `at_work`, the number of these slides.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.at_work = 0

    def request(self) -> None:
        """Ask the run to stop; safe in a signal handler."""
        self.requests += 1


@dataclass(frozen=True)
class Task:
    """A job, and the entry of its slide."""

    entry: Entry
    job: Job


OutcomeHandler = Callable[[Task, JobOutcome], None]


def _needed(entry: Entry) -> int:
    """Return the bytes that a slide's conversion may need on the disk."""
    return round(entry.source_bytes * _ROOM) + _ROOM_BYTES


class Scheduler:
    """The loop of a run.

    `counts` are slides of this run by state, `bytes` are bytes of its slides. An entry that the ledger
    refuses, as on a full disk, is kept until `write_unwritten`, and nothing more begins. `least_lacking` are
    the bytes that the smallest slide without space needs, and those that were free then.
    """

    def __init__(
        self,
        trees: Trees,
        options: BatchOptions,
        ledger: Ledger,
        executors: Executors,
        log: Logger,
        heartbeat: Heartbeat,
        callbacks: BatchCallbacks | None,
        stop: Stop,
    ) -> None:
        self.trees, self.options, self.ledger, self.log = trees, options, ledger, log
        self.counts: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.least_lacking: tuple[int, int] | None = None
        self._executors, self._heartbeat, self._callbacks, self._stop = executors, heartbeat, callbacks, stop
        self._start = time.monotonic()
        self._next_tick = 0.0
        self._state = ""
        self._queue: deque[Task] = deque()
        self._pending: dict[Future[JobOutcome], Task] = {}
        self._unwritten: list[tuple[Entry, Mapping[str, Any] | None, Settings | None]] = []

    def work(self, tasks: Iterable[Task], on_outcome: OutcomeHandler) -> None:
        """Run tasks until none is left or `reason` ends the run.

        `on_outcome` is called with each task and its outcome.
        """
        self._queue = deque(tasks)
        while self._pending or (self._queue and not self.reason()):
            self._give_out()
            wait(self._pending, timeout=_TICK_S, return_when=FIRST_COMPLETED)
            for future in [future for future in self._pending if future.done()]:
                task = self._pending.pop(future)
                self._stop.at_work = len(self._pending)
                on_outcome(task, self._outcome(future))
            if self._stop.requests > 1:
                self._executors.stop()
            self.report_progress()

    def requeue(self, task: Task) -> None:
        """Run a task once more, after all others."""
        self._queue.append(task)

    def _give_out(self) -> None:
        hands = self._executors.jobs()
        while self._queue and len(self._pending) < hands and not self.reason():
            task = self._queue.popleft()
            if isinstance(task.job, ConversionJob | RestoreJob | CarryJob):
                free = self._free_bytes()
                if not self._has_room(task.entry, free):
                    if self._pending:
                        self._queue.appendleft(task)
                        return
                    self._count_without_space(task.entry, free)
                    continue
            if isinstance(task.job, ConversionJob | RestoreJob):
                task = replace(task, entry=self._begun(task.entry))
            stall_s = self.options.stall_minutes * 60
            self._stop.at_work = len(self._pending) + 1
            self._pending[self._executors.submit(task.job, stall_s, self._rate())] = task

    def _free_bytes(self) -> int:
        try:
            return shutil.disk_usage(self.trees.target).free
        except OSError as exc:
            self.log.error("%s: %s", self.trees.target, exc.strerror)
            return 0

    def _has_room(self, entry: Entry, free: int) -> bool:
        entries = (*(task.entry for task in self._pending.values()), entry)
        return free - sum(map(_needed, entries)) >= self.options.min_free * 1e9

    def _count_without_space(self, entry: Entry, free: int) -> None:
        """Count a slide that has no space on the disk, and log what it needs."""
        need = _needed(entry)
        self.counts["no room"] += 1
        self.least_lacking = min(self.least_lacking or (need, free), (need, free))
        self.log.warning(
            "%s: no room on the disk: needs %s, has %s", entry.source, as_bytes(need), as_bytes(free)
        )

    def _begun(self, entry: Entry) -> Entry:
        attempts = min(entry.attempts + 1, MOST_ATTEMPTS)
        begun = replace(entry, state=State.RUNNING, attempts=attempts, started=utc_now(), cause="", error="")
        self.put(begun)
        return begun

    def _outcome(self, future: Future[JobOutcome]) -> JobOutcome:
        """Return a job's outcome; also where the executor lost its worker, which raises."""
        try:
            trouble = future.exception()
        except CancelledError as exc:
            trouble = exc
        if trouble is None:
            return future.result()
        if not self._executors.is_there():
            return JobOutcome(State.WAITING, STOPPED, "the cluster is gone")
        error = f"its worker died ({type(trouble).__name__}: {trouble})"
        return JobOutcome(State.FAILED, CRASHED, " ".join(error.split()))

    def reason(self) -> str:
        """Return why no more tasks may begin; "" if they may."""
        until, limit = self.options.until, self.options.max_failures
        if self._stop.requests:
            return ASKED
        troubles = {
            "the ledger cannot be written": bool(self._unwritten),
            "no process can be started for a slide": self.counts[NOT_STARTED] >= _NO_PROCESS,
            "the cluster is gone": not self._executors.is_there(),
            UNTIL: until is not None and datetime.now(until.tzinfo) >= until,
            f"{counted(limit or 0, 'failure')}": limit is not None and self.counts["failed"] >= limit,
        }
        return next((trouble for trouble, is_so in troubles.items() if is_so), "")

    def _rate(self) -> float | None:
        """Return how many bytes a second one job may read and write; None for no limit."""
        limit = self.options.limit_rate
        return None if limit is None else limit * 1e6 / self._executors.jobs()

    def put(
        self, entry: Entry, report: Mapping[str, Any] | None = None, settings: Settings | None = None
    ) -> None:
        """Write an entry, its conversion's whole report and its settings into the ledger."""
        try:
            self._write(entry, report, settings)
        except LedgerError as exc:
            self.log.error("%s", exc)
            self._unwritten.append((entry, report, settings))

    def _write(self, entry: Entry, report: Mapping[str, Any] | None, settings: Settings | None) -> None:
        reports = {} if report is None else {entry.source: report}
        self.ledger.put([entry], reports, [] if settings is None else [settings])

    def write_unwritten(self) -> None:
        """Write the entries that could not be written before.

        Raises:
            LedgerError: an entry still cannot be written.
        """
        for late in self._unwritten:
            self._write(*late)

    def expect(self, entries: Iterable[Entry]) -> None:
        """Count slides as waiting in this run."""
        for entry in entries:
            self.counts["waiting"] += 1
            self.bytes["total"] += entry.source_bytes

    def slide_done(self, entry: Entry) -> None:
        """Log a slide's end and call `on_slide_done`."""
        level = self.log.warning if entry.state is State.FAILED else self.log.info
        why = f" ({entry.error})" if entry.error else ""
        level("%s: %s%s after %.1f s", entry.shown, entry.state, why, entry.elapsed_s)
        self._notify(lambda callbacks: callbacks.on_slide_done(entry))

    def report_progress(self, state: str | None = None) -> None:
        """Write the heartbeat and call `on_progress`, at most every half second unless the state is another.

        By default the state is "running", or "stopping" once the run was asked to stop.
        """
        now = time.monotonic()
        state = state or (STOPPING if self._stop.requests else RUNNING)
        is_other, self._state = state != self._state, state
        if not is_other and now < self._next_tick:
            return
        self._next_tick = now + _TICK_S
        snapshot = self._snapshot(state)
        self._heartbeat.beat(snapshot, now=is_other)
        self._notify(lambda callbacks: callbacks.on_progress(snapshot))

    def _notify(self, notify: Callable[[BatchCallbacks], None]) -> None:
        """Call the callbacks; never again after an OSError, as of a terminal that was closed."""
        if self._callbacks is None:
            return
        try:
            notify(self._callbacks)
        except OSError as exc:
            self._callbacks = None
            self.log.warning("progress cannot be shown any more (%s); the run goes on", exc.strerror or exc)

    def _snapshot(self, state: str) -> Snapshot:
        elapsed_s = self.elapsed_s()
        ended, total = self.bytes["ended"], self.bytes["total"]
        return Snapshot(
            state=state,
            look=self.counts["look"],
            waiting=self.counts["waiting"],
            done=self.counts["done"] + self.counts["adopted"],
            skipped=self.counts["skipped"],
            failed=self.counts["failed"],
            done_bytes=ended,
            total_bytes=total,
            target_bytes=self.bytes["target"],
            converted_bytes=self.bytes["source"],
            elapsed_s=elapsed_s,
            eta_s=(total - ended) * elapsed_s / ended if ended else None,
            outdated=self.counts["outdated"],
            running=self._executors.running(),
        )

    def elapsed_s(self) -> float:
        """Return the seconds since the run began."""
        return time.monotonic() - self._start
