"""A process for the jobs of one thread, so that crashes, hangs and full memory end only there.

Every executor runs `run_job`, in a thread of this machine or of a Dask worker. The thread keeps its worker
process from job to job. The worker process ends when the process that started it ends, however that happens.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from wsicomp.batch.entry import State
from wsicomp.batch.outcomes import Job, JobOutcome
from wsicomp.batch.throttle import rate_limited
from wsicomp.concurrency.threads import let_idle_threads_sleep
from wsicomp.tissue.segmenters.unet import KEPT_NETWORK

CRASHED, HUNG, STOPPED, NOT_STARTED = "crash", "hang", "stopped", "no process"

_JOBS_A_PROCESS = 500
"""After so many jobs a process is replaced, so that leaks of native libraries do not add up."""
_SAID_EVERY_S = 0.2
_NICENESS = 10
_KILLED_FIRST = "500"
_TRACE_BYTES = 4000
_END_S = 10
_PACKAGE = Path(__file__).parents[2]
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""What a worker process finds unless its user says otherwise.

NumPy has no threads of its own, which spin while they wait and take the cores of other jobs. The C library
keeps up to 64 MB of freed memory: to give it back and take it anew for each slide was a sixth of the CPU time
of small ones.
"""

Running = dict[str, tuple[str, int, int]]
"""By slide at work in this process: its stage, how much of it is done, and its total."""


class WorkerProcess:
    """A process that runs the jobs of one thread, as that thread sees it.

    `batch` names the batch whose job it runs, "" for none.
    """

    def __init__(self) -> None:
        with ExitStack() as opened:
            self._errors = opened.enter_context(tempfile.TemporaryFile())
            ours, theirs = (opened.enter_context(end) for end in socket.socketpair())
            paths = [str(_PACKAGE), *filter(None, [os.environ.get("PYTHONPATH")])]
            command = f"from wsicomp.batch.worker_process import serve; serve({theirs.fileno()})"
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-P", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=_ENVIRONMENT | os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            )
            self._connection = Connection(ours.detach())
            theirs.close()
            opened.pop_all()
        self._jobs = 0
        self.batch = ""
        self.is_stopped = False

    @property
    def is_usable(self) -> bool:
        """Whether the process takes another job."""
        return self._process.poll() is None and self._jobs < _JOBS_A_PROCESS

    def run(
        self,
        job: Job,
        stall_s: float,
        bytes_per_s: float | None,
        on_stage: Callable[[str, int, int], None],
    ) -> JobOutcome:
        """Run a job in the process, and kill the process if it reports no progress for `stall_s` seconds.

        `bytes_per_s` limits what the process reads and writes; None sets no limit. `on_stage` gets stage,
        done and total.
        """
        self._jobs += 1
        place = "its start"
        start = time.perf_counter()
        errors_from = os.fstat(self._errors.fileno()).st_size
        try:
            self._connection.send((job, bytes_per_s))
            while self._connection.poll(stall_s):
                message = self._connection.recv()
                if isinstance(message, JobOutcome):
                    return message
                on_stage(*message)
                place = "{} {} of {}".format(*message)
        except (EOFError, OSError):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
            self.kill()
            return self._lost(place, errors_from, time.perf_counter() - start)
        self.kill()
        error = f"no progress for {stall_s:g} s at {place}; its process was killed"
        trace = self._said_since(errors_from)
        return JobOutcome(State.FAILED, HUNG, error, trace, elapsed_s=time.perf_counter() - start)

    def _lost(self, place: str, errors_from: int, elapsed_s: float) -> JobOutcome:
        if self.is_stopped:
            return JobOutcome(State.WAITING, STOPPED, "stopped by its user", elapsed_s=elapsed_s)
        code = self._process.returncode or 0
        how = f"ended with exit code {code}"
        if code < 0:
            how = f"was killed by signal {-code} ({signal.strsignal(-code)})"
        if code == -signal.SIGKILL:
            how += ", as the system does for want of memory"
        trace = self._said_since(errors_from)
        return JobOutcome(State.FAILED, CRASHED, f"its process {how} at {place}", trace, elapsed_s=elapsed_s)

    def _said_since(self, start: int) -> str:
        """Return the end of what the process wrote to stderr, such as the stacks of a crash."""
        end = os.fstat(self._errors.fileno()).st_size
        start = max(start, end - _TRACE_BYTES)
        return os.pread(self._errors.fileno(), end - start, start).decode(errors="replace")

    def kill(self) -> None:
        """Kill the process and wait a moment for its end, which may take long if it hangs in the system."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)

    def close(self) -> None:
        """Kill the process and close its connection."""
        self.kill()
        self._connection.close()
        self._errors.close()


_OWN = threading.local()
_LOCK = threading.Lock()
_PROCESSES: dict[int, WorkerProcess] = {}
_RUNNING: dict[tuple[str, str], tuple[str, int, int]] = {}


def run_job(job: Job, batch: str, stall_s: float, bytes_per_s: float | None) -> JobOutcome:
    """Run a job in this thread's worker process; always return an outcome.

    `batch` is a name for the batch, by which `running` and `stop_processes` find its jobs. The process is
    killed if it reports no progress for `stall_s` seconds. It reads and writes at most `bytes_per_s` bytes
    per second; None sets no limit.
    """
    process: WorkerProcess | None = getattr(_OWN, "process", None)
    if process is None or not process.is_usable:
        try:
            process = _fresh(process)
        except OSError as exc:
            return JobOutcome(
                State.WAITING, NOT_STARTED, f"no process can be started for it ({exc.strerror or exc})"
            )
    process.batch = batch

    def on_stage(stage: str, done: int, total: int) -> None:
        _RUNNING[batch, job.name] = (stage, done, total)

    on_stage("start", 0, 1)
    try:
        return process.run(job, stall_s, bytes_per_s, on_stage)
    finally:
        process.batch = ""
        _RUNNING.pop((batch, job.name), None)


def _fresh(old: WorkerProcess | None) -> WorkerProcess:
    process = WorkerProcess()
    with _LOCK:
        if old is not None:
            _PROCESSES.pop(id(old), None)
            old.close()
        _PROCESSES[id(process)] = process
    _OWN.process = process
    return process


def running(batch: str) -> Running:
    """Return the slides of a batch that this process is converting, with stage, done and total of each.

    `batch` is the name under which `run_job` was called.
    """
    return {name: stage for (whose, name), stage in list(_RUNNING.items()) if whose == batch}


def stop_processes(batch: str) -> None:
    """Kill those worker processes of this process that run a job of the batch; the jobs end as stopped."""
    with _LOCK:
        found = [process for process in _PROCESSES.values() if process.batch == batch]
    for process in found:
        process.is_stopped = True
        process.kill()


def close_processes() -> None:
    """Close those worker processes of this process that run no job."""
    with _LOCK:
        for name in [name for name, process in _PROCESSES.items() if not process.batch]:
            _PROCESSES.pop(name).close()


def serve(descriptor: int) -> None:
    """Run the jobs that arrive, send progress and outcomes, and end when the other side is gone.

    `descriptor` is the socket to the process that started this one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    let_idle_threads_sleep()
    _give_way()
    KEPT_NETWORK.is_wanted = True
    connection = Connection(descriptor)
    jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, jobs), daemon=True).start()
    while True:
        job, bytes_per_s = jobs.get()
        start = time.perf_counter()
        outcome = job.run(rate_limited(_ProgressSender(connection), bytes_per_s))
        connection.send(replace(outcome, elapsed_s=time.perf_counter() - start))


def _listen(connection: Connection, jobs: queue.SimpleQueue[Any]) -> None:
    """Queue the jobs that arrive; if the other side is gone, end the process at once."""
    try:
        while True:
            jobs.put(connection.recv())
    except (EOFError, OSError):
        os._exit(1)


def _give_way() -> None:
    """Let other processes run first, and let this one be killed first when memory is short."""
    os.nice(_NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_KILLED_FIRST)


class _ProgressSender:
    """Sends progress to the other side, but not for every tile."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stage = ""
        self._next = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage or now >= self._next:
            self._stage, self._next = stage, now + _SAID_EVERY_S
            self._connection.send((stage, done, total))
