"""A cache of unpacked units with a bound in bytes, for one original or for many, and threads that fill it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from cachetools import LRUCache

from wsicomp.concurrency.forks import ForkLock
from wsicomp.concurrency.threads import available_cores

_MOST_BEGUN = 4096
CACHE_BYTES = 64 << 20
"""The bytes of unpacked units that are kept by default."""


class UnitCache:
    """The units that were last in use, in at most `capacity` bytes. Any thread may use it.

    A unit that two threads want at once is unpacked once. Give one cache to several originals to bound them
    all together.
    """

    def __init__(self, capacity: int = CACHE_BYTES) -> None:
        self.capacity = capacity
        """The most bytes that are kept."""
        self._lock = ForkLock(self)
        self.renew()

    def renew(self) -> None:
        """Forget all units and threads."""
        self._units: LRUCache[Hashable, bytes] = LRUCache(self.capacity, getsizeof=len)
        self._pending: dict[Hashable, Future[bytes]] = {}
        self._begun: set[Hashable] = set()
        self._executor: ThreadPoolExecutor | None = None

    @property
    def kept_bytes(self) -> int:
        """The bytes of the units in it."""
        with self._lock:
            return int(self._units.currsize)

    def get(self, key: Hashable, unpack: Callable[[], bytes]) -> bytes:
        """Return the unit under `key`; unpack it where it is not there.

        What `unpack` raises is raised in every thread that waits for this unit, and nothing is kept.
        """
        with self._lock:
            found: bytes | None = self._units.get(key)
            if found is not None:
                return found
            pending = self._pending.get(key)
            if pending is None:
                own = self._pending[key] = Future()
        if pending is not None:
            return pending.result()
        try:
            own.set_result(unpack())
        except BaseException as exc:
            own.set_exception(exc)
        with self._lock:
            self._pending.pop(key, None)
            if own.exception() is None and len(own.result()) <= self.capacity:
                self._units[key] = own.result()
        return own.result()

    def begin(self, key: Hashable, unpack: Callable[[], bytes]) -> None:
        """Let another thread unpack a unit that will be wanted, unless it is there or on its way.

        Nothing is begun where many units wait already: readers then unpack what they want themselves.
        """
        with self._lock:
            is_coming = key in self._units or key in self._pending or key in self._begun
            if is_coming or len(self._begun) >= _MOST_BEGUN:
                return
            self._begun.add(key)
            self._executor = self._executor or ThreadPoolExecutor(available_cores(), "original-units")
            with suppress(RuntimeError):  # the process is about to end
                self._executor.submit(self._fill, key, unpack)

    def _fill(self, key: Hashable, unpack: Callable[[], bytes]) -> None:
        with self._lock:
            self._begun.discard(key)
        with suppress(Exception):  # whoever reads the unit unpacks it again, and hears what is wrong
            self.get(key, unpack)

    def forget(self, owner: Hashable) -> None:
        """Forget the units whose key is a tuple that begins with `owner`."""
        with self._lock:
            for key in [key for key in self._units if isinstance(key, tuple) and key[0] == owner]:
                del self._units[key]
