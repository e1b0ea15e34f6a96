"""Calls into an archive's file system with a limit in time: a share that is gone may never answer."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Lock, Semaphore, Thread
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

_MOST_CALLS = 64
"""The most calls at once; more wait for one of these."""


class Patience:
    """Runs calls in threads of its own, and waits for each no longer than `limit_s`.

    A call that does not end keeps its thread. As long as one does, others are given a tenth of the time, and
    once a quarter of the threads are kept, they are refused at once: one after another would be held up for
    longer and longer else. No thread keeps the process from ending.
    """

    def __init__(self, limit_s: float = 60.0, most_calls: int = _MOST_CALLS) -> None:
        self._limit_s, self._most_calls = limit_s, most_calls
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._idle, self._lock = Semaphore(0), Lock()
        self._threads = self._lost = 0

    @property
    def lost(self) -> int:
        """The count of calls that were given up and have not ended."""
        with self._lock:
            return self._lost

    def call(
        self, function: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        """Return what the function returns, or raise what it raises.

        Raises:
            OSError: with ETIMEDOUT: it takes too long, or too many others do.
        """
        lost = self.lost
        if lost >= max(1, self._most_calls // 4):
            raise _timeout()
        future: Future[Answer] = Future()
        self._calls.put((future, partial(function, *args, **kwargs)))
        if not self._idle.acquire(blocking=False):
            self._begin_thread()
        try:
            return future.result(self._limit_s / 10 if lost else self._limit_s)
        except TimeoutError as exc:
            if future.done():  # the call's own error
                raise
            self._give_up(future)
            raise _timeout() from exc

    def close(self) -> None:
        """End the threads that are idle, and the others once their calls end."""
        for _ in range(self._threads):
            self._calls.put(None)

    def _begin_thread(self) -> None:
        with self._lock:
            if self._threads >= self._most_calls:
                return
            self._threads += 1
        Thread(target=self._work, name="archive-calls", daemon=True).start()

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, function = item
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as exc:
                    future.set_exception(exc)
            del item, future, function  # a result is not kept until the next call
            self._idle.release()

    def _give_up(self, future: Future[Answer]) -> None:
        if future.cancel():  # it has not begun
            return
        with self._lock:
            self._lost += 1
        future.add_done_callback(self._found)

    def _found(self, _: object) -> None:
        with self._lock:
            self._lost -= 1


def _timeout() -> OSError:
    return OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
