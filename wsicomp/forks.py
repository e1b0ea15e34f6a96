"""Locks that a forked process can take.

A data loader forks its workers while other threads of the program read slides. The child has none of those
threads, but it has their locks as they were, and would wait for ever for one that was held. Ours are made
anew in the child; for those inside of libraries a fork waits until no thread is in there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from threading import Condition, RLock
from types import TracebackType
from typing import Any, Protocol, TypeVar
from weakref import WeakSet, ref

Value = TypeVar("Value")


class Renewable(Protocol):
    """Whoever owns what a lock guards."""

    def renew(self) -> None:
        """Begin anew what a thread that is not in this process may have left half-changed."""
        ...


class ForkLock:
    """A reentrant lock for `with`, which is new in a forked process; so is then what its `owner` guards."""

    def __init__(self, owner: Renewable | None = None) -> None:
        self._lock = RLock()
        self._owner = None if owner is None else ref(owner)
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Forget who held it."""
        self._lock = RLock()
        owner = None if self._owner is None else self._owner()
        if owner is not None:
            owner.renew()


class ForkGate:
    """Through which threads go, for `with`, into a library that has locks of its own.

    A fork waits until all are out, and lets none in meanwhile.
    """

    def __init__(self) -> None:
        self._change = Condition()
        self._inside = 0
        self._is_closed = False

    def __enter__(self) -> None:
        with self._change:
            self._change.wait_for(lambda: not self._is_closed)
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._change:
            self._inside -= 1
            if self._is_closed:
                self._change.notify_all()

    def close(self) -> None:
        """Let nobody in any more, and wait until nobody is inside."""
        with self._change:
            self._change.wait_for(lambda: not self._is_closed)
            self._is_closed = True
            self._change.wait_for(lambda: not self._inside)

    def open(self) -> None:
        """Let all in again."""
        with self._change:
            self._is_closed = False
            self._change.notify_all()

    def renew(self) -> None:
        """Forget who was inside, in a process that has none of those threads."""
        self._change = Condition()
        self._inside, self._is_closed = 0, False


OPENSLIDE_GATE = ForkGate()


class fork_safe_property(cached_property[Value]):  # noqa: N801 - it is used as `cached_property` is
    """A `cached_property` whose lock, which Python 3.11 still has, is new in a forked process."""

    def __init__(self, function: Callable[[Any], Value]) -> None:
        super().__init__(function)
        _properties.append(self)


_locks: WeakSet[ForkLock] = WeakSet()
_properties: list[fork_safe_property[Any]] = []


def _renew() -> None:
    for lock in list(_locks):
        lock.renew()
    for one in _properties:
        one.__dict__["lock"] = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
    os.register_at_fork(
        before=OPENSLIDE_GATE.close,
        after_in_parent=OPENSLIDE_GATE.open,
        after_in_child=OPENSLIDE_GATE.renew,
    )
