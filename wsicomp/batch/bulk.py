"""Run jobs on the files of a folder by a batch's scheduler, executors and callbacks, and keep no ledger.

What is restored or checked needs none: a restored tree is its own record, by the SHA-256 of each file.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from wsicomp.batch.entry import Entry, State
from wsicomp.batch.executors import open_executors
from wsicomp.batch.ledger import Ledger
from wsicomp.batch.monitoring import Heartbeat
from wsicomp.batch.options import BatchOptions
from wsicomp.batch.outcomes import JobOutcome
from wsicomp.batch.scheduler import FINISHED, BatchCallbacks, Scheduler, Stop, Task
from wsicomp.batch.worker_process import CRASHED, NOT_STARTED, STOPPED
from wsicomp.batch.worklist import Trees
from wsicomp.config import ConversionConfig, RunConfig
from wsicomp.options import checked_fields, same_option

_TRIES = 3
"""How often a file whose process dies is begun; another one may have been the reason."""

_LOG = logging.getLogger("wsicomp.bulk")
_LOG.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class BulkOptions:
    """The options of work on many files: those of a batch that concern processes, disk and cluster."""

    GROUP: ClassVar = RunConfig.GROUP

    jobs: int | None = same_option(BatchOptions, "jobs", "work on so many files at a time")
    stall_minutes: float = same_option(
        BatchOptions, "stall_minutes", "give up a file that shows no progress for so many minutes"
    )
    scheduler: str | None = same_option(
        BatchOptions,
        "scheduler",
        "let the workers of a Dask scheduler do it, such as tcp://HOST:8786; needs pip install "
        "'wsicomp[distributed]'",
    )
    limit_rate: float | None = same_option(BatchOptions, "limit_rate")

    def __post_init__(self) -> None:
        checked_fields(self)

    def as_batch_options(self) -> BatchOptions:
        """Return the options of a batch that have the same names and values."""
        known = {field.name for field in fields(BatchOptions)}
        values: dict[str, Any] = {name: value for name, value in vars(self).items() if name in known}
        return BatchOptions(**values)


@dataclass(frozen=True)
class BulkResult:
    """The result of the jobs on many files."""

    outcomes: tuple[tuple[Entry, JobOutcome], ...]
    """Every file that was finished, with its outcome, sorted by name."""
    unfinished: int
    """The count of files that were not finished, for `why` or for want of space."""
    no_room: int
    """The count of those that were not begun because the disk had too little space."""
    why: str
    """"finished", "stopped", or what kept the work from going on."""
    elapsed_s: float
    """Seconds that it took."""
    no_room_needs_bytes: int = 0
    """The least that a file without space needs, in bytes."""
    no_room_free_bytes: int = 0
    """The bytes that were free then."""


class _NoLedger(Ledger):
    """A ledger that keeps nothing and lies nowhere."""

    def __init__(self) -> None:
        pass

    def put(self, *_: object) -> None:
        pass


class _NoHeartbeat(Heartbeat):
    """A heartbeat that is written nowhere."""

    def __init__(self) -> None:
        pass

    def beat(self, *_: object, **__: object) -> None:
        pass


def run_bulk(
    entries: Collection[Entry],
    task_of: Callable[[Entry, int], Task],
    folders: Sequence[Path],
    options: BulkOptions,
    callbacks: BatchCallbacks | None = None,
    stop: Stop | None = None,
    clean: Callable[[Task], None] = lambda _: None,
) -> BulkResult:
    """Run a job for each entry in worker processes, and return what came of each.

    `task_of` makes the task of an entry, given the threads that its job may use. Entries that are failed or
    skipped already have no job. `clean` is called after a job that did not succeed, whose process may have
    left something. The first and the last of the `folders` are where files are read and written.

    Raises:
        MissingExtraError: Dask is not installed.
        ConfigError: no scheduler answers, or its workers are not fit.
    """
    trees, chosen = Trees(folders[0], folders[-1]), options.as_batch_options()
    work = _Work(clean)
    with open_executors(chosen.scheduler, chosen.jobs, ConversionConfig(), tuple(folders)) as executors:
        scheduler = Scheduler(
            trees, chosen, _NoLedger(), executors, _LOG, _NoHeartbeat(), callbacks, stop or Stop()
        )
        work.scheduler = scheduler
        scheduler.expect(entries)
        for entry in entries:
            if entry.state is not State.WAITING:
                work.finish(entry, JobOutcome(entry.state, entry.cause, entry.error))
        waiting = (entry for entry in entries if entry.state is State.WAITING)
        scheduler.work((task_of(entry, executors.threads_a_job) for entry in waiting), work.settle)
        why = scheduler.reason() or FINISHED
        scheduler.report_progress(f"ended: {why}")
        finished = tuple(sorted(work.finished.values(), key=lambda pair: pair[0].source))
        left = len(entries) - len(finished)
        lacking = scheduler.least_lacking or (0, 0)
        return BulkResult(finished, left, scheduler.counts["no room"], why, scheduler.elapsed_s(), *lacking)


class _Work:
    """Collects outcomes, and begins again what ended through no fault of its own."""

    scheduler: Scheduler

    def __init__(self, clean: Callable[[Task], None]) -> None:
        self._clean = clean
        self.finished: dict[str, tuple[Entry, JobOutcome]] = {}
        self._tries: Counter[str] = Counter()

    def settle(self, task: Task, outcome: JobOutcome) -> None:
        """Take the outcome of a job."""
        counts, name = self.scheduler.counts, task.entry.source
        if outcome.state is not State.DONE:
            self._clean(task)
        if outcome.cause == STOPPED:
            return
        counts[NOT_STARTED] = counts[NOT_STARTED] + 1 if outcome.cause == NOT_STARTED else 0
        self._tries[name] += outcome.cause == CRASHED
        if outcome.cause == NOT_STARTED or (outcome.cause == CRASHED and self._tries[name] < _TRIES):
            self.scheduler.requeue(task)
            return
        self.finish(task.entry, outcome)

    def finish(self, entry: Entry, outcome: JobOutcome) -> None:
        """Count a file as finished, and call the callbacks."""
        ended = replace(
            entry,
            state=outcome.state,
            cause=outcome.cause,
            error=outcome.error,
            adopted=outcome.adopted,
            elapsed_s=outcome.elapsed_s,
        )
        self.finished[entry.source] = ended, outcome
        self.scheduler.counts["waiting"] -= 1
        self.scheduler.counts["adopted" if outcome.adopted else str(outcome.state)] += 1
        self.scheduler.bytes["ended"] += entry.source_bytes
        self.scheduler.slide_done(ended)
