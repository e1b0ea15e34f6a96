"""`WsicompSlide`: a tiled TIFF behind the interface of `openslide.OpenSlide`."""

from __future__ import annotations

import itertools
import operator
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_double
from functools import cache
from typing import Any

import numpy as np
from openslide import AbstractSlide, OpenSlideCache
from PIL import Image

from wsicomp.codecs.registry import decode_tile
from wsicomp.concurrency.forks import ForkLock, fork_safe_property
from wsicomp.concurrency.threads import available_cores, batched
from wsicomp.errors import SlideReadError
from wsicomp.files.limits import budget_bytes, workers_for
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import Size, TileIndex
from wsicomp.openslide_api.cache import TileCache, tile_cache
from wsicomp.openslide_api.canvas import Placement, Rgba, paint, placements, unpremultiplied
from wsicomp.openslide_api.errors import SlideAccessError, SlideArgumentError, SlideClosedError
from wsicomp.openslide_api.files import Filename, vendor_of
from wsicomp.openslide_api.maps import AssociatedImageMap, PropertyMap
from wsicomp.openslide_api.properties import icc_size_property, openslide_properties, shown_images
from wsicomp.slide import AssociatedImage, EncodedTile, Pixels

_LARGEST_CANVAS_PX = 4096
"""The side of OpenSlide's canvases for a region, each of whose corners is a whole level-0 pixel."""

_LEAST_BATCH = 4
"""The least count of neural tiles that a thread decodes at once."""

_MOST_PX = sys.maxsize // 4
_PICTURE_BYTES = 10
"""The bytes of memory for a pixel of an associated image: its strips, their picture, and that with alpha."""

_EMPTY: Pixels = np.empty((0, 0, 3), np.uint8)

_numbers = itertools.count()
"""A number for each slide of the process, by which it finds its tiles in a cache of many slides."""


class WsicompSlide(AbstractSlide):
    """A slide that behaves as `openslide.OpenSlide` does, pixel for pixel and property for property.

    Any thread may read from it. Tiles of a region are decoded in as many threads as there are cores, and kept
    in a `TileCache`. Unlike OpenSlide's it can be used on after an error. After `close` every access to the
    file raises `SlideClosedError`, `close` too. `filename` is the path as it was given.
    """

    def __init__(self, slide: TiffSlide, filename: Filename | None = None) -> None:
        super().__init__()
        self.filename = str(slide.info.path) if filename is None else filename
        self._slide = slide
        self._is_closed = False
        self._profile = slide.info.icc_profile
        self._cache = TileCache()
        self._number = next(_numbers)
        self._downsamples = tuple(level.downsample for level in slide.info.levels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.filename!r})"

    @classmethod
    def detect_format(cls, filename: Filename) -> str | None:
        """Return the vendor, as `openslide.vendor` of the open slide; None for a file that is not a slide."""
        return vendor_of(filename)

    def close(self) -> None:
        """Close the file.

        Raises:
            SlideClosedError: the slide is closed already.
        """
        self._require_open()
        self._is_closed = True
        self._slide.close()

    def _require_open(self) -> None:
        if self._is_closed:
            raise SlideClosedError("the slide is closed; open it again", self._slide.info.path)

    @property
    def level_count(self) -> int:
        """The number of levels."""
        self._require_open()
        return len(self._downsamples)

    @property
    def level_dimensions(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each level."""
        self._require_open()
        return tuple((level.size.width, level.size.height) for level in self._slide.info.levels)

    @property
    def level_downsamples(self) -> tuple[float, ...]:
        """The downsample of each level: level-0 size / its size."""
        self._require_open()
        return self._downsamples

    @property
    def properties(self) -> Mapping[str, str]:
        """OpenSlide's properties of the source, as far as they hold for this file."""
        return PropertyMap(self._open_properties)

    def _open_properties(self) -> Mapping[str, str]:
        self._require_open()
        return self._properties

    @fork_safe_property
    def _properties(self) -> Mapping[str, str]:
        try:
            return openslide_properties(self._slide)
        except SlideReadError as exc:
            raise self._refusal(exc) from exc

    @property
    def associated_images(self) -> Mapping[str, Image.Image]:
        """Label, macro and thumbnail, as OpenSlide shows those of the source, decoded at each access."""
        return AssociatedImageMap(self._open_images, self._picture)

    def _open_images(self) -> Mapping[str, AssociatedImage | None]:
        self._require_open()
        return shown_images(self._slide)

    def get_best_level_for_downsample(self, downsample: float) -> int:
        """Return the number of the smallest level whose downsample is at most `downsample`; else 0.

        Raises:
            SlideArgumentError: `downsample` is not a number.
        """
        self._require_open()
        try:
            wanted = c_double(downsample).value
        except TypeError as exc:
            raise SlideArgumentError(f"a downsample of {downsample!r}; expected a number") from exc
        smaller = (number for number, own in enumerate(self._downsamples) if number and wanted < own)
        return next(smaller, len(self._downsamples)) - 1

    def set_cache(self, cache: OpenSlideCache) -> None:
        """Keep decoded tiles in this cache.

        OpenSlide's own cache holds OpenSlide's tiles alone. In its place a `TileCache` of the same capacity
        is used, which all slides share that are given the same cache.

        Raises:
            SlideArgumentError: `cache` is not a cache. The error is a `TypeError` too.
        """
        if not isinstance(cache, OpenSlideCache):
            raise SlideArgumentError(f"{cache!r} is no openslide.OpenSlideCache or wsicomp.TileCache")
        self._require_open()
        self._cache = tile_cache(cache)

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> Image.Image:
        """Return a region as RGBA, transparent where there is no slide.

        `location` is (x, y) in pixels of level 0, `size` is (width, height) in pixels of `level`.

        Raises:
            SlideAccessError: a tile is damaged, or the size is negative.
            SlideArgumentError: a number is not a whole one. The error is a `TypeError` too.
        """
        self._require_open()
        x, y, level, width, height = _whole(location[0], location[1], level, size[0], size[1])
        if width < 0 or height < 0:
            raise SlideAccessError(
                f"a region of {width} x {height} px, expected no negative side", self._slide.info.path
            )
        if width * height > _MOST_PX:
            raise OverflowError(f"a region of {width} x {height} px is larger than any memory")
        region = np.zeros((height, width, 4), np.uint8)
        if 0 <= level < self.level_count:
            self._paint(region, x, y, level)
        image = Image.fromarray(unpremultiplied(region), "RGBA")
        if self._profile is not None:
            image.info["icc_profile"] = self._profile
        return image

    def _refusal(self, error: SlideReadError) -> SlideAccessError:
        """Return a reader's error as this slide's, which may have been closed while a thread read."""
        self._require_open()
        return SlideAccessError(error.message, error.path, error.place)

    def _paint(self, region: Rgba, x: int, y: int, level: int) -> None:
        downsample = self._downsamples[level]
        for row in range(0, region.shape[0], _LARGEST_CANVAS_PX):
            for column in range(0, region.shape[1], _LARGEST_CANVAS_PX):
                canvas = region[row : row + _LARGEST_CANVAS_PX, column : column + _LARGEST_CANVAS_PX]
                self._paint_canvas(canvas, int(x + column * downsample), int(y + row * downsample), level)

    def _paint_canvas(self, canvas: Rgba, x: int, y: int, level: int) -> None:
        downsample = self._downsamples[level]
        # What lies left of or above the slide is left out in whole pixels of the level.
        left, top = (int(-value / downsample) if value < 0 else 0 for value in (x, y))
        canvas = canvas[top:, left:]
        if not canvas.size:
            return
        size = Size(canvas.shape[1], canvas.shape[0])
        grid = self._slide.info.levels[level].grid
        found = list(placements(grid, max(0, x) / downsample, max(0, y) / downsample, size))
        for placement, tile in zip(found, self._tiles(level, found), strict=True):
            if tile is not _EMPTY:
                paint(canvas, tile, placement.x, placement.y)

    def _tiles(self, level: int, found: list[Placement]) -> Iterable[Pixels]:
        indices = [TileIndex(level, placement.column, placement.row) for placement in found]
        cached = [self._cache.get((self._number, index)) for index in indices]
        if sum(tile is None for tile in cached) < 2:
            return (
                self._tile(index) if tile is None else tile
                for index, tile in zip(indices, cached, strict=True)
            )
        slide = self._slide
        if slide.is_neural(level):
            return self._tiles_at_once(indices, cached)
        if workers_for(slide.info.levels[level].tile, 2) < 2:
            return map(self._tile, indices)
        return _executor().map(self._tile, indices)

    def _tiles_at_once(self, indices: list[TileIndex], cached: list[Pixels | None]) -> Iterator[Pixels]:
        """Yield the tiles; those that are not in the cache are decoded together."""
        slide = self._slide
        missing = [
            index
            for index, tile in zip(indices, cached, strict=True)
            if tile is None and not _is_transparent(slide, index)
        ]
        share = max(_LEAST_BATCH, -(-len(missing) // available_cores()))
        try:
            tiles = itertools.chain.from_iterable(_executor().map(slide.read_tiles, batched(missing, share)))
            decoded = dict(zip(missing, tiles, strict=True))
        except SlideReadError as exc:
            raise self._refusal(exc) from exc
        for index, tile in zip(indices, cached, strict=True):
            found = _EMPTY
            if tile is not None:
                found = tile
            elif index in decoded:
                region = slide.info.levels[index.level].grid.region(index.column, index.row)
                found = decoded[index][: region.height, : region.width]
                self._cache.put((self._number, index), found)
            yield found

    def _tile(self, index: TileIndex) -> Pixels:
        """Return a tile cut at the level's edge."""
        key = (self._number, index)
        tile = self._cache.get(key)
        if tile is None:
            tile = self._decoded(index)
            self._cache.put(key, tile)
        return tile

    def _decoded(self, index: TileIndex) -> Pixels:
        slide = self._slide
        region = slide.info.levels[index.level].grid.region(index.column, index.row)
        try:
            if _is_transparent(slide, index):
                return _EMPTY
            return slide.read_tile(index)[: region.height, : region.width]
        except SlideReadError as exc:
            raise self._refusal(exc) from exc

    def _picture(self, name: str, image: AssociatedImage | None) -> Image.Image:
        if image is None:
            raise SlideAccessError("damaged; take the file from a copy", self._slide.info.path, name)
        if image.size.width * image.size.height * _PICTURE_BYTES > budget_bytes():
            message = f"{image.size} px are more than this machine has the memory for"
            raise SlideAccessError(message, self._slide.info.path, name)
        strips = []
        for number, data in enumerate(image.strips):
            rows = min(image.rows_per_strip, image.size.height - number * image.rows_per_strip)
            tile = EncodedTile(data, image.encoding, Size(image.size.width, rows))
            try:
                strips.append(decode_tile(tile))
            except (ValueError, RuntimeError) as exc:
                raise SlideAccessError(f"does not decode ({exc})", self._slide.info.path, name) from exc
        picture = Image.fromarray(np.concatenate(strips)).convert("RGBA")
        profile = image.icc_profile
        if profile == self._profile:
            profile = self._profile  # one copy in memory
        if profile is None and icc_size_property(name) in self._properties:
            profile = self._profile  # OpenSlide gives it to an image whose description names the slide's
        if profile is not None:
            picture.info["icc_profile"] = profile
        return picture


def _whole(*values: Any) -> list[int]:
    """Return whole numbers of any type.

    Raises:
        SlideArgumentError: a value is not a whole number.
    """
    try:
        return [operator.index(value) for value in values]
    except TypeError as exc:
        raise SlideArgumentError(f"a location, level or size in {values!r}; expected whole numbers") from exc


def _is_transparent(slide: TiffSlide, index: TileIndex) -> bool:
    """Return whether nothing is stored for a tile, and OpenSlide shows nothing there."""
    return not (slide.draws_absent_tiles and index.level) and slide.is_absent(index)


_executor_lock = ForkLock()


def _executor() -> ThreadPoolExecutor:
    """Return the threads that decode, for all slides of this process."""
    with _executor_lock:
        return _new_executor()


@cache
def _new_executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(available_cores(), thread_name_prefix="slide-tiles")


if hasattr(os, "register_at_fork"):
    # A forked process, as a data loader's worker, has none of its parent's threads.
    os.register_at_fork(after_in_child=_new_executor.cache_clear)
