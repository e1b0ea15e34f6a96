"""Decoded tiles kept in memory up to a bound in bytes, for one slide or for many."""

from __future__ import annotations

from collections.abc import Hashable
from threading import Lock

from cachetools import LRUCache

from wsicomp.slide import Pixels


class TileCache:
    """The tiles that were last in use, in at most `capacity` bytes. Any thread may use it.

    Give one to `set_cache` of several slides to bound them all together.
    """

    def __init__(self, capacity: int = 64 << 20) -> None:
        self._capacity = capacity
        self._lock = Lock()
        self._tiles: LRUCache[Hashable, Pixels] = LRUCache(capacity, getsizeof=lambda tile: tile.nbytes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._capacity})"

    @property
    def bytes(self) -> int:
        """What the tiles take now."""
        with self._lock:
            return int(self._tiles.currsize)

    def get(self, key: Hashable) -> Pixels | None:
        """The tile, or None if it is not there any more."""
        with self._lock:
            tile: Pixels | None = self._tiles.get(key)
            return tile

    def put(self, key: Hashable, tile: Pixels) -> None:
        """Keep a tile; one larger than the whole cache is not kept."""
        with self._lock:
            if tile.nbytes <= self._capacity:
                self._tiles[key] = tile
