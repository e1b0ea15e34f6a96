"""Run jobs in threads of this machine or of a Dask cluster; each thread has a process of its own.

Both kinds are a `concurrent.futures.Executor` that runs `run_job`. No other module knows which of them is in
use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from wsicomp.batch.outcomes import Job, JobOutcome
from wsicomp.batch.worker_process import Running, close_processes, run_job, running, stop_processes
from wsicomp.concurrency.threads import available_cores
from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError, MissingExtraError
from wsicomp.version import SOFTWARE

_JOB_BYTES, _NEURAL_JOB_BYTES = 1_000_000_000, 3_000_000_000
"""The most memory in bytes that a job takes, without and with a neural codec.

It is twice what was measured at 49,152 px a side, and torch for the second.
"""

_GROUPS = "/sys/fs/cgroup"
_CALLS, _CALL_S = 4, 2.0
_ANSWER_S = 10
"""Seconds in which a Dask scheduler must answer."""

Everywhere = Callable[..., list[Any]]


@dataclass(frozen=True)
class Executors:
    """The executors that run the jobs of one batch."""

    executor: Executor
    """The executor that jobs are submitted to."""
    jobs: Callable[[], int]
    """Returns how many jobs run at a time."""
    everywhere: Everywhere
    """Calls a function in each of the executor's processes."""
    is_there: Callable[[], bool]
    """Returns whether the executor can still be reached."""
    threads_a_job: int
    """How many threads each job may use."""
    batch: str = field(default_factory=lambda: uuid4().hex)
    """A name that no other batch has which shares the executor's processes."""

    def submit(self, job: Job, stall_s: float, bytes_per_s: float | None) -> Future[JobOutcome]:
        """Submit a job to `run_job`, with its arguments `stall_s` and `bytes_per_s`."""
        return self.executor.submit(run_job, job, self.batch, stall_s, bytes_per_s)

    def running(self) -> Running:
        """Return the slides that are being converted, with stage, done and total of each."""
        return {name: stage for part in self.everywhere(running, self.batch) for name, stage in part.items()}

    def stop(self) -> None:
        """Kill the processes that run a job; these jobs end as stopped."""
        self.everywhere(stop_processes, self.batch)


def default_jobs(config: ConversionConfig) -> int:
    """Return how many jobs fit this machine's cores and its free memory; at least one."""
    need = _NEURAL_JOB_BYTES if config.codec.needs_model else _JOB_BYTES
    return max(1, min(available_cores(), _free_memory_bytes() // need))


def _free_memory_bytes() -> int:
    """Return the bytes of memory that are free, within the limit of the container or batch job."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # no limit, or a system without such groups
        group = Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip()
        limit, used = (int(Path(_GROUPS, group, f"memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, limit - used)
    return free


def open_executors(
    scheduler: str | None, jobs: int | None, config: ConversionConfig, folders: tuple[Path, ...]
) -> AbstractContextManager[Executors]:
    """Return the executors of a Dask `scheduler`, or of this machine where it is None.

    `jobs` run at a time, by default as many as fit; all workers see the `folders`.

    Raises:
        MissingExtraError: Dask is not installed, and a `scheduler` is named.
        ConfigError: no scheduler answers, or a worker has another wsicomp or does not see the folders.
    """
    if scheduler is not None:
        return dask_executors(scheduler, jobs, folders)
    return local_executors(jobs or default_jobs(config))


@contextmanager
def local_executors(jobs: int) -> Iterator[Executors]:
    """Run jobs in threads of this process, with the cores shared among them."""
    executor = ThreadPoolExecutor(jobs, thread_name_prefix="wsicomp-job")
    executors = Executors(
        executor,
        lambda: jobs,
        lambda function, *arguments: [function(*arguments)],
        lambda: True,
        max(1, available_cores() // jobs),
    )
    try:
        yield executors
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        executors.stop()
        executor.shutdown()
        close_processes()


@contextmanager
def dask_executors(address: str, jobs: int | None, folders: tuple[Path, ...]) -> Iterator[Executors]:
    """Run jobs on a Dask cluster, in all threads of its workers or in `jobs` of them.

    All workers see the same folders.

    Raises:
        MissingExtraError: Dask is not installed.
        ConfigError: no scheduler answers, or a worker has another wsicomp or does not see the folders.
    """
    try:
        import distributed  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtraError("a scheduler needs Dask: pip install 'wsicomp[distributed]'") from None
    try:
        # A client is not made where the address is none: it would try to close itself for 20 s.
        if address.partition("://")[0] in (address, "tcp", "tls"):
            distributed.comm.addressing.get_address_host_port(address)
        client: Any = distributed.Client(address, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as exc:
        raise ConfigError(f"no Dask scheduler answers at {address} ({exc})") from exc
    with client, ThreadPoolExecutor(_CALLS, thread_name_prefix="wsicomp-dask") as callers:
        calls = _Calls(client, callers)

        def hands() -> int:
            try:
                return jobs or max(1, sum(client.nthreads().values()))
            except (OSError, TimeoutError):
                return 1

        _check_workers(client, folders)
        try:
            yield Executors(
                client.get_executor(), hands, calls.everywhere, lambda: client.status == "running", 1
            )
        finally:
            calls.everywhere(close_processes)
            callers.shutdown(wait=False, cancel_futures=True)


class _Calls:
    """Functions called on all workers, in threads, so that a worker that hangs does not stop the batch."""

    def __init__(self, client: Any, callers: Executor) -> None:
        self._client, self._callers = client, callers
        self._last: dict[str, Future[Mapping[str, Any]]] = {}

    def everywhere(self, function: Callable[..., Any], *arguments: object) -> list[Any]:
        """Return the results of `function` on all workers; an empty list while an earlier call of it runs."""
        last = self._last.get(function.__name__)
        if last is None or last.done():
            last = self._callers.submit(self._client.run, function, *arguments, on_error="return")
            self._last[function.__name__] = last
        try:
            found = last.result(_CALL_S).values()
        except (OSError, TimeoutError):
            return []
        return [value for value in found if not isinstance(value, BaseException)]


def _check_workers(client: Any, folders: tuple[Path, ...]) -> None:
    """Check the workers that are connected now; later ones are assumed to be like them.

    Raises:
        ConfigError: a worker has another wsicomp, or does not see a folder.
    """
    try:
        facts = client.run(_facts, folders, on_error="return")
    except (OSError, TimeoutError) as exc:
        raise ConfigError(f"the Dask workers do not answer ({exc})") from exc
    for worker, found in facts.items():
        if isinstance(found, BaseException):
            raise ConfigError(f"the Dask worker {worker} cannot run wsicomp ({found}); install it there")
        software, unseen = found
        if software != SOFTWARE:
            raise ConfigError(f"the Dask worker {worker} has {software}, expected {SOFTWARE}")
        if unseen:
            raise ConfigError(f"the Dask worker {worker} does not see {unseen[0]}; share it with all workers")


def _facts(folders: tuple[Path, ...]) -> tuple[str, list[str]]:
    """Return a worker's version of wsicomp, and which of the folders it does not see."""
    return SOFTWARE, [str(folder) for folder in folders if not folder.is_dir()]
