"""A limit on what a process reads and writes, for storage that others need at night too."""

from __future__ import annotations

import time

import psutil

from wsicomp.errors import ConfigError
from wsicomp.progress import Progress

_NAP_S = 0.5


def check_rate_limit() -> None:
    """Check that the system counts what a process reads.

    Raises:
        ConfigError: the system does not count it.
    """
    if not hasattr(psutil.Process, "io_counters"):
        raise ConfigError("this system does not count what a process reads; leave `limit_rate` out")


def rate_limited(on_progress: Progress, bytes_per_s: float | None) -> Progress:
    """Return a progress callback that waits while this process reads and writes more than `bytes_per_s`.

    None sets no limit.

    Everything counts that is read or written from now on, also from the system's cache. The callback reports
    progress while it waits.
    """
    if bytes_per_s is None:
        return on_progress
    process = psutil.Process()
    start, before = time.monotonic(), _moved(process)

    def progress(stage: str, done: int, total: int) -> None:
        on_progress(stage, done, total)
        due = start + (_moved(process) - before) / bytes_per_s
        while (left := due - time.monotonic()) > 0:
            time.sleep(min(left, _NAP_S))
            on_progress(stage, done, total)

    return progress


def _moved(process: psutil.Process) -> int:
    counted = process.io_counters()
    return int(counted.read_chars + counted.write_chars)
