"""Threads: the only place where work is distributed to them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """Return the number of cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def let_idle_threads_sleep() -> None:
    """Make torch's idle OpenMP threads sleep instead of spin; call it before torch is imported.

    A user's own OMP_WAIT_POLICY stays. Spinning threads take cores from working ones: on a busy machine, or
    with fewer workers than cores, a tile took six times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def batched(items: Iterable[Item], size: int = 32) -> Iterator[list[Item]]:
    """Yield the items in lists of `size`, the last one shorter: portions that are worth a thread's while.

    >>> list(batched("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    remaining = iter(items)
    return iter(lambda: list(islice(remaining, size)), [])


def in_background(function: Callable[[], Result]) -> Future[Result]:
    """Begin to call a function in a thread of its own; the future's `result()` waits for it.

    Where no thread can begin, it is called before this returns.

    >>> in_background(lambda: 1 + 1).result()
    2
    """
    future: Future[Result] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as exc:
            future.set_exception(exc)

    try:
        Thread(target=call, name="wsicomp").start()
    except RuntimeError:
        call()
    return future


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Generator[Result]:
    """Yield `function(item)` for every item, computed in `workers` threads, in the order of the items.

    The first exception ends the map; calls that have not begun are cancelled.

    Memory: at most two results or running calls a worker. The next item is taken only after a result was
    consumed.

    >>> list(ordered_map(str.upper, ["a", "b"], workers=2))
    ['A', 'B']
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
