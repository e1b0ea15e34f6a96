"""A few threads that all readers of this process share, for several small pieces of work.

The caller works, too, and takes back what no thread has begun. So a reader never waits for the work of
another one, and a single piece costs nothing more than a call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

from wsicomp.concurrency.forks import ForkLock
from wsicomp.concurrency.threads import available_cores

Item = TypeVar("Item")


def for_each(function: Callable[[Item], None], items: Iterable[Item], workers: int | None = None) -> None:
    """Call `function` for every item, in up to `workers` threads, by default one a core.

    The caller's is one of them. The items are taken in their order. The first one that raises ends it: those
    behind it may not be called, and its exception is raised when no call runs any more.

    >>> found = []
    >>> for_each(found.append, "ab")
    >>> sorted(found)
    ['a', 'b']
    """
    waiting = deque(enumerate(items))
    errors: dict[int, BaseException] = {}

    def work() -> None:
        while waiting and not errors:
            try:
                number, item = waiting.popleft()
            except IndexError:
                return  # another thread was faster
            try:
                function(item)
            except BaseException as exc:
                errors[number] = exc

    most = len(waiting) if workers is None else min(len(waiting), workers)
    with _threads.helping(work, most - 1) as helpers:
        work()
        for helper in helpers:
            if not helper.cancel():
                helper.result()
    waiting.clear()  # a helper whose thread could not start may have been queued, and begin later
    if errors:
        raise errors.pop(min(errors))


class _SharedThreads:
    """The threads of this process, one a core, and how many callers they help."""

    def __init__(self) -> None:
        self._lock = ForkLock(self)
        self.renew()

    def renew(self) -> None:
        """Begin anew in a forked process, which has none of its parent's threads."""
        self._callers = 0
        self._executor: ThreadPoolExecutor | None = None

    @contextmanager
    def helping(self, work: Callable[[], None], most: int) -> Iterator[list[Future[None]]]:
        """Let up to `most` threads run `work`, as far as callers leave cores to them, while the block runs.

        There are fewer where the system, or the process that is about to end, allows no more threads.
        """
        helpers: list[Future[None]] = []
        with self._lock:
            self._callers += 1
            cores = available_cores()
            free = min(most, cores - self._callers)
            if free > 0:
                self._executor = self._executor or ThreadPoolExecutor(cores, "slide-tiles")
                with suppress(RuntimeError):
                    helpers.extend(self._executor.submit(work) for _ in range(free))
        try:
            yield helpers
        finally:
            with self._lock:
                self._callers -= 1


_threads = _SharedThreads()
