"""Locks that a forked process can take.

A data loader forks its workers while other threads of the program read slides. The child has none of those
threads, but it has their locks as they were, and would wait for ever for one that was held.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from threading import RLock
from types import TracebackType
from typing import Any, Protocol, TypeVar
from weakref import WeakSet, ref

Value = TypeVar("Value")


class Guarded(Protocol):
    """Whoever owns what a lock guards."""

    def renew(self) -> None:
        """Begin anew what a thread that is not in this process may have left half-changed."""
        ...


class ForkLock:
    """A reentrant lock for `with`, which is new in a forked process; so is then what its `owner` guards."""

    def __init__(self, owner: Guarded | None = None) -> None:
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
