"""A cache of decoded tiles with a bound in bytes, for one slide or for many.

A tile that was packed is rebuilt before it is decoded. That takes longer than decoding, and a rebuilt tile is
far smaller than its pixels. So a part of the cache holds rebuilt tiles, many more than decoded ones.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from weakref import WeakKeyDictionary

from cachetools import LRUCache
from openslide import OpenSlideCache

from wsicomp.concurrency.forks import ForkLock
from wsicomp.slide import EncodedTile, Rgba

_CAPACITY = 64 << 20
_REBUILT_SHARE = 8
"""Rebuilt tiles take at most one part in so many."""


class TileCache(OpenSlideCache):
    """A cache of the tiles that were last in use, in at most `capacity` bytes. Any thread may use it.

    Give one to `set_cache` of several slides to bound them all together. It is an `OpenSlideCache` too, so
    that slides which OpenSlide itself reads accept it; their tiles take as many bytes again.

    Examples:
        >>> cache = TileCache(256 << 20)
        >>> slide.set_cache(cache)  # doctest: +SKIP
    """

    def __init__(self, capacity: int = _CAPACITY) -> None:
        super().__init__(capacity)
        self._lock = ForkLock(self)
        self.renew()

    def renew(self) -> None:
        """Forget all tiles."""
        self._tiles: LRUCache[Hashable, Rgba] = LRUCache(self._capacity, getsizeof=lambda tile: tile.nbytes)
        self._rebuilt: LRUCache[Hashable, EncodedTile] = LRUCache(
            self._capacity // _REBUILT_SHARE, getsizeof=lambda tile: len(tile.data)
        )

    @property
    def bytes(self) -> int:
        """The bytes of the tiles in it."""
        with self._lock:
            return int(self._tiles.currsize + self._rebuilt.currsize)

    def get_all(self, keys: Sequence[Hashable]) -> list[Rgba | None]:
        """Return the tile that was put under each key, or None where it is not there any more."""
        with self._lock:
            return [self._tiles.get(key) for key in keys]

    def put(self, key: Hashable, tile: Rgba) -> None:
        """Keep a tile; one larger than the whole cache is not kept."""
        with self._lock:
            if tile.nbytes <= self._capacity:
                self._tiles[key] = tile
                self._bound()

    def rebuilt(self, key: Hashable) -> EncodedTile | None:
        """Return the tile that was put under `key` before it was decoded, or None if it is not there."""
        with self._lock:
            tile: EncodedTile | None = self._rebuilt.get(key)
            return tile

    def put_rebuilt(self, key: Hashable, tile: EncodedTile) -> None:
        """Keep a tile that was rebuilt, beside the decoded one."""
        with self._lock:
            if len(tile.data) <= self._rebuilt.maxsize:
                self._rebuilt[key] = tile
                self._bound()

    def _bound(self) -> None:
        while self._tiles.currsize + self._rebuilt.currsize > self._capacity:
            self._tiles.popitem()


_our_caches: WeakKeyDictionary[OpenSlideCache, TileCache] = WeakKeyDictionary()
_our_caches_lock = ForkLock()


def tile_cache(cache: OpenSlideCache) -> TileCache:
    """Return a `TileCache` itself, or the one that stands for a cache of OpenSlide's own.

    It has the same capacity, and is the same one at each call.
    """
    if isinstance(cache, TileCache):
        return cache
    with _our_caches_lock:
        if cache not in _our_caches:
            # OpenSlide's cache tells its capacity nowhere else.
            _our_caches[cache] = TileCache(getattr(cache, "_capacity", _CAPACITY))
        return _our_caches[cache]
