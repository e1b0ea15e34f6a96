"""The one place where work runs in threads: bounded, in order, ended by the first exception."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """The cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def let_idle_threads_sleep() -> None:
    """Before torch is loaded: its OpenMP threads wait asleep, not spinning, unless the user says otherwise.

    Spinning threads take the cores of those that work: where the machine has more to do, or workers are
    fewer than cores, a tile took six times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def batched(items: Iterable[Item], size: int = 32) -> Iterator[list[Item]]:
    """The items in lists of `size`, the last one shorter: work that is worth a thread's while."""
    remaining = iter(items)
    return iter(lambda: list(islice(remaining, size)), [])


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Generator[Result]:
    """Apply `function` to every item in `workers` threads and yield the results in the items' order.

    Memory: at most two results or running calls a worker exist at a time; the next item is taken only
    when a result has been consumed. An exception ends the map: what has not begun never will.
    """
    if workers == 1:
        yield from map(function, items)
        return
    remaining = iter(items)
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="wsicomp") as executor:
        try:
            pending.extend(executor.submit(function, item) for item in islice(remaining, 2 * workers))
            while pending:
                result = pending.popleft().result()
                pending.extend(executor.submit(function, item) for item in islice(remaining, 1))
                yield result
        finally:
            for future in pending:
                future.cancel()
