"""A slide as levels of tiles for a browser.

Levels whose tiles a browser can take keep their own grid: their JPEG tiles can then pass through untouched.
Coarse levels that a file lacks are made here, since a browser cannot draw a whole slide from its finest one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from openslide import AbstractSlide, OpenSlideError

from wsicomp.errors import DamagedTileError, SlideReadError, TileReadError, UnsupportedSlideError
from wsicomp.formats.base import PixelsOnly, Slide
from wsicomp.formats.opening import open_reader
from wsicomp.formats.openslide import on_white
from wsicomp.formats.picture import SUFFIXES, open_picture
from wsicomp.formats.stated_scale import openslide_scale
from wsicomp.geometry import Region, Size, TileGrid, TileIndex, parts_of_tiles
from wsicomp.openslide_api import open_slide
from wsicomp.slide import Level, Pixels, SlideInfo
from wsicomp.viewer.pictures.kept_blocks import KEPT_BYTES, KEPT_MADE_BYTES, KeptBlocks, may_be_kept

_OWN_TILE_PX = range(64, 1025)
"""The sides of tiles that a browser takes as they are."""
_MADE_TILE = Size(512, 512)
_STEP = 4
"""How much coarser each level is that is made here."""
_FAR_STEP = 6
"""How much coarser a level may be than the one before it without one made between them."""
_COARSE_ENOUGH_PX = 1024
"""The longest side of the coarsest level."""
_MOST_READ_PX = 1 << 24
"""The most pixels that are read at once to be drawn smaller."""


@dataclass(frozen=True, slots=True)
class ShownLevel:
    """A level as a browser sees it."""

    size: Size
    """Width and height in pixels."""
    tile: Size
    """The size of a tile in pixels."""
    downsample: float
    """Level-0 size divided by this size, at least 1."""
    own: int | None
    """The number of the slide's level that it is; None where it is made of the level before it."""

    @property
    def grid(self) -> TileGrid:
        """The tiles that cover the level."""
        return TileGrid(self.size, self.tile)


def shown_levels(info: SlideInfo) -> tuple[ShownLevel, ...]:
    """Return a slide's levels, the largest first, and those made between distant ones and down to 1024 px."""
    levels: list[ShownLevel] = []
    for number, level in enumerate(info.levels):
        while levels and _is_far(levels[-1].size, level.size):
            levels.append(_made_of(levels[-1]))
        levels.append(ShownLevel(level.size, _tile_of(level), level.downsample, number))
    while max(levels[-1].size.shape) > _COARSE_ENOUGH_PX:
        levels.append(_made_of(levels[-1]))
    return tuple(levels)


def _is_far(finer: Size, coarser: Size) -> bool:
    """Return whether a browser would enlarge the coarser level much before it takes the finer one."""
    return max(finer.shape) > _FAR_STEP * max(coarser.shape)


def _made_of(finer: ShownLevel) -> ShownLevel:
    return ShownLevel(finer.size.reduced(_STEP), _MADE_TILE, finer.downsample * _STEP, None)


def _tile_of(level: Level) -> Size:
    is_usual = all(side in _OWN_TILE_PX for side in level.tile.shape)
    return level.tile if is_usual else _MADE_TILE


class ShownSlide:
    """An open slide with the levels that a browser is shown. Any thread may read from it."""

    def __init__(self, slide: Slide) -> None:
        self.slide = slide
        self.levels = shown_levels(slide.info)
        kept_bytes = [KEPT_MADE_BYTES if level.own is None else KEPT_BYTES for level in self.levels]
        self._kept = KeptBlocks(kept_bytes)

    @property
    def info(self) -> SlideInfo:
        """The facts that the file states."""
        return self.slide.info

    def tile_region(self, index: TileIndex) -> Region:
        """Return a tile's rectangle in the pixels of its level, cut at the level's edge.

        Raises:
            LookupError: there is no such tile.
        """
        grid = self.levels[index.level].grid
        if not (index.column < grid.columns and index.row < grid.rows):
            raise LookupError(f"{index}, of {grid.columns} columns and {grid.rows} rows")
        return grid.region(index.column, index.row)

    def own_tile(self, index: TileIndex) -> TileIndex | None:
        """Return the tile of the slide's own grid that a tile is; None where it is none."""
        level = self.levels[index.level]
        if level.own is None or level.tile != self.info.levels[level.own].tile:
            return None
        return TileIndex(level.own, index.column, index.row)

    def number_of(self, own: int) -> int:
        """Return the number under which a level of the slide's own is shown."""
        return next(number for number, level in enumerate(self.levels) if level.own == own)

    def read(self, number: int, region: Region) -> Pixels:
        """Return the pixels of a region of a level, (rows, columns, 3) uint8 RGB.

        `region` is in the level's own pixels and lies inside the level.

        Raises:
            DamagedTileError: a tile decodes only in part; the error holds the decoded part of the region.
            TileReadError: a tile cannot be decoded.
        """
        level = self.levels[number]
        if level.own is None:
            return self._kept.region(self._read_block, number, level.grid, region)
        tile = self.info.levels[level.own].tile
        if max(tile.shape) > max(_OWN_TILE_PX) and may_be_kept(tile):
            return self._kept.region(self._read_block, number, TileGrid(level.size, tile), region)
        return self.slide.read_region(level.own, region)

    def _read_block(self, number: int, region: Region) -> Pixels:
        own = self.levels[number].own
        return self._made(number, region) if own is None else self.slide.read_region(own, region)

    def _made(self, number: int, region: Region) -> Pixels:
        """Return a region of a level that is made here, from one tile of the finer level after the other.

        A tile that cannot be read is white, and counts as damage.
        """
        finer = self.levels[number - 1]
        x, y = _STEP * region.x, _STEP * region.y
        # A side of less than a step became one pixel.
        width, height = (
            min(_STEP * region.width, finer.size.width),
            min(_STEP * region.height, finer.size.height),
        )
        whole = Region(x, y, width, height)
        is_even = finer.tile.width % _STEP == finer.tile.height % _STEP == 0
        damage: DamagedTileError | None = None
        made = np.empty((*region.size.shape, 3), np.uint8)
        for part in parts_of_tiles(whole, finer.tile) if is_even else [whole]:
            try:
                pixels = self.read(number - 1, part)
            except DamagedTileError as exc:
                pixels, damage = exc.pixels, exc
            except (TileReadError, UnsupportedSlideError) as exc:
                pixels = np.full((*part.size.shape, 3), 255, np.uint8)
                damage = DamagedTileError(exc.message, exc.path, exc.place)
            x, y = (part.x - whole.x) // _STEP, (part.y - whole.y) // _STEP
            size = part.size.reduced(_STEP)
            made[y : y + size.height, x : x + size.width] = resized(pixels, size)
        if damage is not None:
            damage.pixels = made
            raise damage
        return made

    def read_scaled(self, x: float, y: float, width: float, height: float, size: Size) -> Pixels:
        """Return a rectangle of level-0 pixels drawn in `size`, (rows, columns, 3) uint8 RGB.

        It is white where there is no slide.

        Memory: at most 16 million pixels of the level that is read, whatever lies between its levels.

        Raises:
            TileReadError: a tile under it cannot be decoded.
        """
        wanted = max(1.0, min(width / size.width, height / size.height))
        number = max(
            at for at, level in enumerate(self.levels) if level.downsample <= wanted * 1.01 or not at
        )
        level = self.levels[number]
        scale_x, scale_y = self.info.size.width / level.size.width, self.info.size.height / level.size.height
        left, top = round(x / scale_x), round(y / scale_y)
        right = max(left + 1, round((x + width) / scale_x))
        bottom = max(top + 1, round((y + height) / scale_y))
        if (right - left) * (bottom - top) > _MOST_READ_PX and max(size.shape) > 1:
            return self._scaled_halves(x, y, width, height, size)
        canvas = np.full((bottom - top, right - left, 3), 255, np.uint8)
        inside = Region(
            max(0, left),
            max(0, top),
            min(right, level.size.width) - max(0, left),
            min(bottom, level.size.height) - max(0, top),
        )
        if inside.width > 0 and inside.height > 0:
            rows = slice(inside.y - top, inside.y - top + inside.height)
            canvas[rows, inside.x - left : inside.x - left + inside.width] = self.read(number, inside)
        return canvas if canvas.shape[:2] == size.shape else resized(canvas, size)

    def _scaled_halves(self, x: float, y: float, width: float, height: float, size: Size) -> Pixels:
        """Return a rectangle of level-0 pixels drawn in `size`, one half after the other."""
        if size.width >= size.height:
            columns = size.width // 2
            part = width * columns / size.width
            left = self.read_scaled(x, y, part, height, Size(columns, size.height))
            right = self.read_scaled(
                x + part, y, width - part, height, Size(size.width - columns, size.height)
            )
            return np.concatenate((left, right), axis=1)
        rows = size.height // 2
        part = height * rows / size.height
        upper = self.read_scaled(x, y, width, part, Size(size.width, rows))
        lower = self.read_scaled(x, y + part, width, height - part, Size(size.width, size.height - rows))
        return np.concatenate((upper, lower))

    def close(self) -> None:
        """Close the slide."""
        self.slide.close()


def resized(pixels: Pixels, size: Size) -> Pixels:
    """Return pixels drawn in another size: means where it is smaller, else drawn between pixels."""
    is_smaller = size.width <= pixels.shape[1]
    way = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (size.width, size.height), interpolation=way))


class AbstractPixels(PixelsOnly):
    """The pixels of an `openslide.AbstractSlide`, behind the interface of a slide. It stays open."""

    def __init__(self, slide: AbstractSlide, path: Path) -> None:
        self._slide = slide
        sizes = [Size(*size) for size in slide.level_dimensions]
        levels = tuple(
            Level(size, _MADE_TILE, downsample)
            for size, downsample in zip(sizes, slide.level_downsamples, strict=True)
        )
        profile = getattr(slide, "color_profile", None)
        mpp, objective_power = openslide_scale(slide.properties)
        self._info = SlideInfo(
            path=path,
            vendor=slide.properties.get("openslide.vendor", "unknown"),
            levels=levels,
            mpp=mpp,
            objective_power=objective_power,
            icc_profile=None if profile is None else profile.tobytes(),
            description="",
            properties={},
            associated_images={},
        )

    def read_region(self, level: int, region: Region) -> Pixels:
        """Return the pixels of a region on white, (rows, columns, 3) uint8 RGB.

        Raises:
            TileReadError: the slide cannot be read there.
        """
        downsample = self._slide.level_downsamples[level]
        location = round(region.x * downsample), round(region.y * downsample)
        try:
            rgba = self._slide.read_region(location, level, (region.width, region.height))
        except (OpenSlideError, OSError) as exc:
            raise TileReadError(f"cannot be read ({exc})", self._info.path, f"level {level}") from exc
        return on_white(np.asarray(rgba))

    def close(self) -> None:
        """Leave the slide open: it belongs to whoever opened it."""


class OpenedPixels(AbstractPixels):
    """The pixels of a file that only `open_slide` reads; closing it closes the file."""

    def close(self) -> None:
        """Close the file."""
        self._slide.close()


def open_shown(path: Path, z: int | None = None) -> ShownSlide:
    """Open a slide of any kind to show it: what we read by tiles, OpenSlide's formats, plain pictures.

    `z` chooses one of several focal planes, as `open_reader` does; without it the first is shown.

    Raises:
        SlideReadError: there is no such file, it is damaged, or nothing here reads it.
    """
    if path.suffix.lower() in SUFFIXES:
        return ShownSlide(open_picture(path, None))
    try:
        return ShownSlide(open_reader(path, z, any_plane=True))
    except UnsupportedSlideError as exc:
        try:
            return ShownSlide(OpenedPixels(open_slide(path), path))
        except SlideReadError:
            raise exc from None
