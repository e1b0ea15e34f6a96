"""Who does the jobs: threads of this machine, or of a Dask cluster, each with a process of its own.

Both are a `concurrent.futures.Executor` that runs `run_job`; nothing else knows which of them it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from wsicomp.batch.jobs import Job, JobOutcome
from wsicomp.batch.worker_process import Running, close_processes, run_job, running, stop_processes
from wsicomp.concurrency import available_cores
from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError, MissingExtraError
from wsicomp.version import SOFTWARE

_JOB_BYTES, _NEURAL_JOB_BYTES = 1_000_000_000, 3_000_000_000
"""What a job may need at its most: twice what was measured at 49,152 px a side, and torch."""

_GROUPS = "/sys/fs/cgroup"
_CALLS, _CALL_S = 4, 2.0

Everywhere = Callable[..., list[Any]]


@dataclass(frozen=True)
class Executors:
    """An executor, how many jobs it does at a time, and a way to call a function in each of its processes.

    `batch` is a name that no other batch has, of those that share the executor's processes.
    """

    executor: Executor
    jobs: Callable[[], int]
    everywhere: Everywhere
    is_there: Callable[[], bool]
    threads_a_job: int
    batch: str = field(default_factory=lambda: uuid4().hex)

    def submit(self, job: Job, stall_s: float, bytes_per_s: float | None) -> Future[JobOutcome]:
        """Have a job done when somebody is free; `run_job` has the rest."""
        return self.executor.submit(run_job, job, self.batch, stall_s, bytes_per_s)

    def running(self) -> Running:
        """What is at work, and how far."""
        return {name: stage for part in self.everywhere(running, self.batch) for name, stage in part.items()}

    def stop(self) -> None:
        """Kill the processes at work; their jobs come back as stopped."""
        self.everywhere(stop_processes, self.batch)


def default_jobs(config: ConversionConfig) -> int:
    """As many as there are cores, or as fit into the memory that is free now; at least one."""
    need = _NEURAL_JOB_BYTES if config.codec.needs_model else _JOB_BYTES
    return max(1, min(available_cores(), _free_memory_bytes() // need))


def _free_memory_bytes() -> int:
    """What the machine has left, or the container or batch job that this process is in."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # no limit, or a system without such groups
        group = Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip()
        limit, used = (int(Path(_GROUPS, group, f"memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, limit - used)
    return free


@contextmanager
def local_executors(jobs: int) -> Iterator[Executors]:
    """Threads of this process, with the cores shared among them."""
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
    """The workers of a Dask cluster: all their threads, or `jobs`. All see the same folders.

    Raises:
        MissingExtraError: Dask is not installed.
        ConfigError: nobody answers, or a worker has another wsicomp or does not see the folders.
    """
    try:
        import distributed  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtraError("a scheduler needs Dask: pip install 'wsicomp[distributed]'") from None
    try:
        client: Any = distributed.Client(address, timeout=10, set_as_default=False)
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
    """Functions called on all workers, in threads: a worker that hangs must not hang the night."""

    def __init__(self, client: Any, callers: Executor) -> None:
        self._client, self._callers = client, callers
        self._last: dict[str, Future[Mapping[str, Any]]] = {}

    def everywhere(self, function: Callable[..., Any], *arguments: object) -> list[Any]:
        """What it returned where it did; nothing while an earlier call of it is still on its way."""
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
    """Those that are there now; later ones are of the same making."""
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
    """What a worker has, and which of the folders it does not see."""
    return SOFTWARE, [str(folder) for folder in folders if not folder.is_dir()]
