"""Locks that stay usable in a forked process.

A data loader forks its workers while other threads read slides. The child has none of those threads, but a
copy of their locks, and would wait for ever for a lock that was held. Our own locks are therefore replaced in
the child. Locks inside libraries cannot be: a fork waits until no thread is inside such a library.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from threading import Condition, RLock
from typing import Any, Protocol, TypeVar
from weakref import WeakSet, ref

Value = TypeVar("Value")


class Renewable(Protocol):
    """An object whose state a `ForkLock` guards."""

    def renew(self) -> None:
        """Reset the state, which a thread of the parent process may have left half-changed."""


class ForkLock:
    """A reentrant lock for `with` that is free in a forked process.

    There the state of `owner`, which the lock guards, is reset by `owner.renew()`.
    """

    def __init__(self, owner: Renewable | None = None) -> None:
        self._lock = RLock()
        self._owner = None if owner is None else ref(owner)
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Replace the lock by a free one and reset the owner."""
        self._lock = RLock()
        owner = None if self._owner is None else self._owner()
        if owner is not None:
            owner.renew()


class ForkGate:
    """A gate for `with` around calls of a library that has locks of its own.

    Many threads may be inside at once. A fork waits until all have left, and lets none in meanwhile.
    """

    def __init__(self) -> None:
        self._change = Condition()
        self._inside = 0
        self._is_closed = False

    def __enter__(self) -> None:
        with self._change:
            self._change.wait_for(lambda: not self._is_closed)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._inside -= 1
            if self._is_closed:
                self._change.notify_all()

    def close(self) -> None:
        """Let no thread in any more, and wait until none is inside."""
        with self._change:
            self._change.wait_for(lambda: not self._is_closed)
            self._is_closed = True
            self._change.wait_for(lambda: not self._inside)

    def open(self) -> None:
        """Let threads in again."""
        with self._change:
            self._is_closed = False
            self._change.notify_all()

    def renew(self) -> None:
        """Open the gate with nobody inside, in a process that has none of the parent's threads."""
        self._change = Condition()
        self._inside, self._is_closed = 0, False


OPENSLIDE_GATE = ForkGate()
"""The gate around all calls of OpenSlide."""


class fork_safe_property(cached_property[Value]):  # noqa: N801 - it is used as `cached_property` is
    """A `cached_property` whose lock, which Python 3.11 still has, is free in a forked process."""

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
