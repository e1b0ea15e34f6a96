"""A few threads that all readers of this process share, for several small pieces of work.

The caller works, too, and takes back what no thread has begun. So a reader never waits for the work of
another one, and a single piece costs nothing more than a call.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
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

    helpers = _helpers(work, min(len(waiting), workers or available_cores()) - 1)
    work()
    for helper in helpers:
        if not helper.cancel():
            helper.result()
    if errors:
        raise errors.pop(min(errors))


def _helpers(work: Callable[[], None], count: int) -> list[Future[None]]:
    """Return the threads' runs of `work`; fewer where the system or the end of the process allows no more."""
    helpers: list[Future[None]] = []
    if count > 0:
        executor = _shared_executor()
        with suppress(RuntimeError):
            helpers.extend(executor.submit(work) for _ in range(count))
    return helpers


_lock = ForkLock()


def _shared_executor() -> ThreadPoolExecutor:
    with _lock:
        return _new_executor()


@cache
def _new_executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(available_cores(), thread_name_prefix="slide-tiles")


if hasattr(os, "register_at_fork"):
    # A forked process, as a data loader's worker, has none of its parent's threads.
    os.register_at_fork(after_in_child=_new_executor.cache_clear)
