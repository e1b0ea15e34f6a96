"""The decoded tiles of a slide: from a cache, or decoded side by side."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeAlias

from wsicomp.codecs.pixels import opaque
from wsicomp.codecs.registry import bytes_a_pixel
from wsicomp.concurrency.side_by_side import for_each
from wsicomp.concurrency.threads import available_cores, batched
from wsicomp.files.limits import workers_for
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import TileIndex
from wsicomp.openslide_api.cache import TileCache
from wsicomp.openslide_api.canvas import Placement
from wsicomp.slide import Rgba

_LEAST_BATCH = 4
"""The least count of neural tiles that a thread decodes at once."""

_numbers = itertools.count()
"""A number for each slide of the process, by which it finds its tiles in a cache of many slides."""

Use: TypeAlias = Callable[[Placement, Rgba], None]
"""Takes a tile, which it must not change, and where it lies. Any thread may call it."""


class DecodedTiles:
    """The tiles of a slide as RGBA, kept in `cache`. Any thread may read them."""

    def __init__(self, slide: TiffSlide) -> None:
        self.cache = TileCache()
        self._slide = slide
        self._number = next(_numbers)

    def shown(self, level: int, places: Sequence[Placement]) -> list[Placement]:
        """Return the places of tiles that are not transparent.

        Those are tiles for which nothing is stored, where OpenSlide shows nothing either.
        """
        slide = self._slide
        if slide.draws_absent_tiles and level:
            return list(places)
        return [place for place in places if not slide.is_absent(TileIndex(level, place.column, place.row))]

    def each(self, level: int, places: Sequence[Placement], use: Use) -> None:
        """Call `use` for the tile at each of these places, (rows, columns, 4) uint8 RGBA, in any order.

        Raises:
            SlideReadError: a tile cannot be read; of several the first one.
        """
        keys = [self._key(level, place) for place in places]
        missing: list[Placement] = []
        for place, tile in zip(places, self.cache.get_all(keys), strict=True):
            if tile is None:
                missing.append(place)
            else:
                use(place, tile)
        if len(missing) > 1 and self._slide.is_neural(level):
            self._use_batches(level, missing, use)
        elif missing:
            workers = min(available_cores(), len(missing))
            workers = workers_for(self._slide.info.levels[level].tile, workers)
            for_each(lambda place: use(place, self._decoded(level, place)), missing, workers)

    def _decoded(self, level: int, place: Placement) -> Rgba:
        index, key = TileIndex(level, place.column, place.row), self._key(level, place)
        if self._slide.is_rebuilt(index):
            rebuilt = self.cache.rebuilt(key)
            if rebuilt is None:
                rebuilt = self._slide.read_encoded_tile(index)
                self.cache.put_rebuilt(key, rebuilt)
            pixels = self._slide.decode_opaque(rebuilt, index)
        else:
            pixels = self._slide.read_tile_opaque(index)
        tile = self._cut(level, place, pixels)
        self.cache.put(key, tile)
        return tile

    def _key(self, level: int, place: Placement) -> tuple[int, int, int, int]:
        return self._number, level, place.column, place.row

    def _cut(self, level: int, place: Placement, tile: Rgba) -> Rgba:
        """Return a tile cut at the level's edge."""
        region = self._slide.info.levels[level].grid.region(place.column, place.row)
        if (region.height, region.width) == tile.shape[:2]:
            return tile
        return tile[: region.height, : region.width].copy()

    def _use_batches(self, level: int, places: Sequence[Placement], use: Use) -> None:
        """Decode neural tiles together, a share in each thread."""
        share = max(_LEAST_BATCH, -(-len(places) // available_cores()))

        def use_batch(batch: list[Placement]) -> None:
            indices = [TileIndex(level, place.column, place.row) for place in batch]
            for place, pixels in zip(batch, self._slide.read_tiles(indices), strict=True):
                tile = self._cut(level, place, opaque(pixels))
                self.cache.put(self._key(level, place), tile)
                use(place, tile)

        form = self._slide.info.levels[level]
        workers = workers_for(form.tile, available_cores(), bytes_a_pixel(form.encoding))
        for_each(use_batch, batched(places, share), workers)
