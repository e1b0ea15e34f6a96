"""A cache of decoded tiles with a bound in bytes, for one slide or for many."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from weakref import WeakKeyDictionary

from cachetools import LRUCache
from openslide import OpenSlideCache

from wsicomp.concurrency.forks import ForkLock
from wsicomp.slide import Rgba

_CAPACITY = 64 << 20


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

    @property
    def bytes(self) -> int:
        """The bytes of the tiles in it."""
        with self._lock:
            return int(self._tiles.currsize)

    def get_all(self, keys: Sequence[Hashable]) -> list[Rgba | None]:
        """Return the tile that was put under each key, or None where it is not there any more."""
        with self._lock:
            return [self._tiles.get(key) for key in keys]

    def put(self, key: Hashable, tile: Rgba) -> None:
        """Keep a tile; one larger than the whole cache is not kept."""
        with self._lock:
            if tile.nbytes <= self._capacity:
                self._tiles[key] = tile


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
