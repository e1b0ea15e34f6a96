"""`WsicompSlide`: a tiled TIFF behind the interface of `openslide.OpenSlide`."""

from __future__ import annotations

import operator
import sys
from collections.abc import Mapping, Sequence
from ctypes import c_double
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from openslide import AbstractSlide, OpenSlideCache
from PIL import Image

from wsicomp.concurrency.forks import fork_safe_property
from wsicomp.concurrency.threads import batched
from wsicomp.errors import SlideReadError
from wsicomp.files.limits import budget_bytes
from wsicomp.formats.openslide import on_white
from wsicomp.formats.tiff.associated import pixels_of_associated
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import Size
from wsicomp.openslide_api.arrays import RGB, RGBA, check_channels
from wsicomp.openslide_api.cache import tile_cache
from wsicomp.openslide_api.canvas import (
    Canvas,
    Placement,
    are_cover,
    blend_border,
    blend_inside,
    lay,
    placements,
    unpremultiplied,
)
from wsicomp.openslide_api.errors import SlideAccessError, SlideArgumentError, SlideClosedError
from wsicomp.openslide_api.files import Filename, vendor_of
from wsicomp.openslide_api.maps import AssociatedImageMap, PropertyMap
from wsicomp.openslide_api.properties import icc_size_property, openslide_properties, shown_images
from wsicomp.openslide_api.tiles import DecodedTiles
from wsicomp.slide import AssociatedImage, Rgba

_LARGEST_CANVAS_PX = 4096
"""The side of OpenSlide's canvases for a region, each of whose corners is a whole level-0 pixel."""

_BLENDED_AT_ONCE = 64
"""The most tiles that are held while they are painted between pixels."""

_MOST_PX = sys.maxsize // 4
_PICTURE_BYTES = 10
"""The bytes of memory for a pixel of an associated image: its strips, their picture, and that with alpha."""


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
        self._tiles = DecodedTiles(slide)
        self._downsamples = tuple(level.downsample for level in slide.info.levels)
        self._grids = tuple(level.grid for level in slide.info.levels)

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
        self._tiles.cache = tile_cache(cache)

    @overload
    def read_region(
        self,
        location: tuple[int, int],
        level: int,
        size: tuple[int, int],
        *,
        as_array: Literal[False] = False,
        channels: int = RGB,
    ) -> Image.Image: ...

    @overload
    def read_region(
        self,
        location: tuple[int, int],
        level: int,
        size: tuple[int, int],
        *,
        as_array: Literal[True],
        channels: int = RGB,
    ) -> NDArray[np.uint8]: ...

    def read_region(
        self,
        location: tuple[int, int],
        level: int,
        size: tuple[int, int],
        *,
        as_array: bool = False,
        channels: int = RGB,
    ) -> Image.Image | NDArray[np.uint8]:
        """Return a region as an RGBA picture, transparent where there is no slide; or as an array.

        `location` is (x, y) in pixels of level 0, `size` is (width, height) in pixels of `level`. There is no
        slide outside the level, and at tiles for which the file stores nothing.

        With `as_array` the region is (rows, columns, channels) uint8, made without Pillow. With 3 `channels`
        it is RGB, white where there is no slide: the picture laid on white, as viewers show it. With 4 it is
        RGBA, the very values of the picture: four zeros where there is no slide.

        Raises:
            SlideAccessError: a tile is damaged, or the size is negative.
            SlideArgumentError: a number is not a whole one, or `channels` is not 3 or 4. The error is a
                `TypeError` too.
        """
        self._require_open()
        x, y, level, width, height = _whole(location[0], location[1], level, size[0], size[1])
        if width < 0 or height < 0:
            raise SlideAccessError(
                f"a region of {width} x {height} px, expected no negative side", self._slide.info.path
            )
        if width * height > _MOST_PX:
            raise OverflowError(f"a region of {width} x {height} px is larger than any memory")
        check_channels(channels)
        region = np.empty((height, width, channels if as_array else RGBA), np.uint8)
        try:
            self._paint(region, x, y, level)
        except SlideReadError as exc:
            raise self._refusal(exc) from exc
        if as_array:
            return region
        image = Image.frombuffer("RGBA", (width, height), region, "raw", "RGBA", 0, 1)
        if self._profile is not None:
            image.info["icc_profile"] = self._profile
        return image

    def _refusal(self, error: SlideReadError) -> SlideAccessError:
        """Return a reader's error as this slide's, which may have been closed while a thread read."""
        self._require_open()
        return SlideAccessError(error.message, error.path, error.place)

    def _paint(self, region: Canvas, x: int, y: int, level: int) -> None:
        if not 0 <= level < len(self._grids):
            region.fill(_no_slide(region))
            return
        downsample = self._downsamples[level]
        for row in range(0, region.shape[0], _LARGEST_CANVAS_PX):
            for column in range(0, region.shape[1], _LARGEST_CANVAS_PX):
                canvas = region[row : row + _LARGEST_CANVAS_PX, column : column + _LARGEST_CANVAS_PX]
                self._paint_canvas(canvas, int(x + column * downsample), int(y + row * downsample), level)

    def _paint_canvas(self, whole: Canvas, x: int, y: int, level: int) -> None:
        downsample, grid = self._downsamples[level], self._grids[level]
        # What lies left of or above the slide is left out in whole pixels of the level.
        left, top = (int(-value / downsample) if value < 0 else 0 for value in (x, y))
        canvas = whole[top:, left:]
        size = Size(canvas.shape[1], canvas.shape[0])
        places = placements(grid, max(0, x) / downsample, max(0, y) / downsample, size) if canvas.size else []
        shown = self._tiles.shown(level, places)
        if all(place.is_whole for place in shown):
            is_covered = canvas.shape == whole.shape and len(shown) == len(places)
            if not (is_covered and are_cover(canvas, grid, places)):
                whole.fill(_no_slide(whole))
            self._tiles.each(level, shown, lambda place, tile: lay(canvas, tile, place))
        else:
            whole.fill(_no_slide(whole))
            self._blend(canvas, level, shown)

    def _blend(self, canvas: Canvas, level: int, places: Sequence[Placement]) -> None:
        """Paint tiles that lie between pixels, a few at a time."""
        has_alpha = canvas.shape[2] == RGBA
        blended = canvas if has_alpha else np.zeros((*canvas.shape[:2], RGBA), np.uint8)
        for some in batched(places, _BLENDED_AT_ONCE):
            tiles: dict[Placement, Rgba] = {}

            def use(place: Placement, tile: Rgba, tiles: dict[Placement, Rgba] = tiles) -> None:
                blend_inside(blended, tile, place)
                tiles[place] = tile

            self._tiles.each(level, some, use)
            for place in some:
                blend_border(blended, tiles[place], place)
        unpremultiplied(blended)
        if not has_alpha:
            canvas[:] = on_white(blended)

    def _picture(self, name: str, image: AssociatedImage | None) -> Image.Image:
        if image is None:
            raise SlideAccessError("damaged; take the file from a copy", self._slide.info.path, name)
        if image.size.width * image.size.height * _PICTURE_BYTES > budget_bytes():
            message = f"{image.size} px are more than this machine has the memory for"
            raise SlideAccessError(message, self._slide.info.path, name)
        try:
            picture = Image.fromarray(pixels_of_associated(image)).convert("RGBA")
        except (ValueError, RuntimeError) as exc:
            raise SlideAccessError(f"does not decode ({exc})", self._slide.info.path, name) from exc
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


def _no_slide(region: Canvas) -> int:
    """Return the value of every sample where there is no slide: transparent, or white without alpha."""
    return 255 if region.shape[2] == RGB else 0
