"""The guard: decides by a tile's own pixels whether something lies on the glass.

It doubts the tissue mask, so this module must not know how the mask was made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.formats.base import Slide
from wsicomp.formats.stated_scale import plausible_mpp
from wsicomp.geometry import Region, TileIndex
from wsicomp.slide import Level, Pixels, SlideInfo
from wsicomp.tissue.glass_color import GlassColor
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.scale import margin_in_px
from wsicomp.tissue.things import ThingSize, things_among

_BLOCK_PX = 8
_BLOCK_UM = 8.0
_LEAST_AREA_UM2 = 200.0
_LEAST_LINE_UM = 25.0
_LEAST_ACROSS_UM = 32.0
_SCATTERED_UM2 = 400.0
_TOGETHER_UM = 100.0
_OF_A_TILE = 16
_DARKER = 20.0
_STRUCTURE = 15.0
_BRIGHTER = 20.0
_LEVEL = 5.0
_BLACK = 3
_OFF_THE_LINE = 12.0
_RINGING_PX = 16
_PURE_WHITE = 253
_WHITEST = np.uint8(255)
_RINGING_BLOCKS = 2
_COARSE_MPP = 1.0
_BLOCKS_AT_ONCE = 1 << 15
"""Enough that Python takes little of the time: 32 tiles of 256 px, in blocks of 8 px."""

Found: TypeAlias = NDArray[np.bool_] | None
"""(block rows, block columns) of a tile, True where something lies on the glass; None for bare glass."""


class GlassGuard:
    """Tells foreign matter from glass by a tile's own pixels, in blocks of about 8 um and at most 8 px.

    A block is foreign if it is darker than the slide's glass by over 20 grey levels in some channel, or if it
    is darker than the tile's own glass and over 15 from it in RGB distance. A tile is not glass if it has a
    connected foreign piece of 200 um2 that is 32 um across, or 400 um2 of foreign blocks near each other. On
    small tiles a sixteenth of the tile is enough, if that is no less than such a piece. `black` is where the
    slide is padded with black, which counts as glass.

    With a mask that finds nothing, the guard alone keeps every tile with a piece of tissue 50 um across, on
    48 labelled real sections and on drawn slides (`tests/tissue/`). If the file states no mpp, 1 um is taken
    for level 0: fewer blocks are then enough, so more is kept.
    """

    def __init__(
        self, info: SlideInfo, color: GlassColor, margin_px: float, black: TissueMask | None = None
    ) -> None:
        self.color = color
        self._black = None
        if black is not None and black.pixels.any():
            self._black = black.dilated(2 * max(black.scale_x, black.scale_y))
        self.margin_px = margin_px
        """What is kept around a finding, in level-0 pixels."""
        self._mpp = plausible_mpp(info) or _COARSE_MPP
        self._together_px = margin_in_px(info, _TOGETHER_UM)

    def block_px(self, level: Level) -> int:
        """Return the side of a block in the level's pixels: 1, 2, 4 or 8.

        Blocks therefore fill cells and tiles.
        """
        side = _BLOCK_PX
        while side > 1 and side * self._mpp * level.downsample > _BLOCK_UM:
            side //= 2
        return side

    def tiles_at_once(self, level: Level) -> int:
        """Return the number of a level's tiles that are worth looking at together, at least 1."""
        side = self.block_px(level)
        return max(1, _BLOCKS_AT_ONCE // (-(-level.tile.width // side) * -(-level.tile.height // side)))

    def find(self, slide: Slide, index: TileIndex, glass: NDArray[np.bool_] | None = None) -> Found:
        """Return the blocks of a tile where something lies on the glass, (block rows, block columns) bool.

        Return None for bare glass. Blocks within 100 um of each other are one thing. Things of less than the
        least area are ignored. `glass`, of the same shape, is True where the mask calls the tile glass; None
        means everywhere.

        Raises:
            TileReadError: the tile cannot be decoded.
        """
        blocks = self.block_reader(slide, index)(index)
        return self._find_one(blocks, slide.info.levels[index.level], index, glass)

    def find_in(
        self, pixels: Pixels, level: Level, index: TileIndex, glass: NDArray[np.bool_] | None = None
    ) -> Found:
        """Return what `find` returns, for a tile whose pixels are given; None for bare glass.

        `pixels` are the whole tile's, (rows, columns, 3) uint8 RGB.

        `level` need not be a level of a file; `index` is the tile's place on it.
        """
        blocks = self.blocks_of(pixels, level, level.grid.region(index.column, index.row))
        return self._find_one(blocks, level, index, glass)

    def _find_one(
        self, blocks: Pixels, level: Level, index: TileIndex, glass: NDArray[np.bool_] | None
    ) -> Found:
        return self.find_among([blocks], level, [index], [glass])[0]

    def find_among(
        self,
        blocks: Sequence[Pixels],
        level: Level,
        tiles: Sequence[TileIndex],
        glass: Sequence[NDArray[np.bool_] | None],
    ) -> list[Found]:
        """Return what `find` returns of each of several tiles, whose blocks `block_reader` read.

        The tiles are of one row, from left to right, and have blocks of one shape.

        Memory: 30 times that of the blocks.
        """
        values = np.stack(cv2.split(np.concatenate(blocks))).reshape(3, len(blocks), *blocks[0].shape[:2])
        return self._things(self._foreign(values, level, tiles, glass), level)

    def block_reader(self, slide: Slide, index: TileIndex) -> Callable[[TileIndex], Pixels]:
        """Return a function that reads the mean of each block of a tile.

        What it returns is (block rows, block columns, 3) uint8 RGB. It is for tiles of the row of `index`
        that reach as far, and raises TileReadError where a tile cannot be decoded.
        """
        level = slide.info.levels[index.level]
        region = level.grid.region(index.column, index.row)
        if not self._has_whole_blocks(level, region):
            return lambda tile: self.blocks_of(slide.read_tile(tile), level, region)
        rows, columns = region.height // _BLOCK_PX, region.width // _BLOCK_PX
        return lambda tile: slide.read_tile_eighth(tile)[:rows, :columns]

    def _has_whole_blocks(self, level: Level, region: Region) -> bool:
        """Return whether a tile is cut into whole blocks of 8 x 8 px alone.

        A narrower rest at its right and lower edge is not checked.
        """
        return self.block_px(level) == _BLOCK_PX and min(region.width, region.height) >= _BLOCK_PX

    def blocks_of(self, pixels: Pixels, level: Level, region: Region) -> Pixels:
        """Return the mean of each block of a tile, (block rows, block columns, 3) uint8 RGB.

        `pixels` are the whole tile's. `region` is the part of the tile inside the level, in the level's
        pixels.
        """
        side, rows, columns = self.block_px(level), region.height, region.width
        if self._has_whole_blocks(level, region):
            rows, columns = rows // side * side, columns // side * side
        return _blocks(pixels[:rows, :columns], side)

    def color_of(self, shape: tuple[int, ...], level: Level, region: Region) -> NDArray[np.float32]:
        """Return the colour of bare glass at each block of a tile, (3, block rows, block columns) float32.

        `shape` is (block rows, block columns). `region` is the part of the tile inside the level, in the
        level's pixels.
        """
        return self._colors(shape, level, [region])[:, 0]

    def _colors(self, shape: tuple[int, ...], level: Level, regions: Sequence[Region]) -> NDArray[np.float32]:
        """Return what `color_of` returns of tiles of one row, (3, tiles, block rows, block columns)."""
        starts = [regions[0].y], [region.x for region in regions]
        y, x = (
            (np.array(start)[:, None] + (np.arange(count) + 0.5) * self.block_px(level)) / whole
            for start, count, whole in zip(starts, shape, level.size.shape, strict=True)
        )
        return self.color.at(x, y)

    def things(self, foreign: NDArray[np.bool_], level: Level) -> Found:
        """Return the blocks of `foreign` that together make up a thing, in its shape; None if there is none.

        `foreign` is (block rows, block columns) bool of a tile, True where a block is not glass.
        """
        return self._things(foreign[None], level)[0]

    def _things(self, foreign: NDArray[np.bool_], level: Level) -> list[Found]:
        """Return what `things` returns of each tile, of (tiles, block rows, block columns)."""
        # In whole blocks, at least one: a thing may continue beside the tile.
        reach = max(1, math.ceil(self._together_px / 2 / level.downsample / self.block_px(level)))
        return things_among(foreign, self._thing_size(level, foreign[0].size), reach)

    def _thing_size(self, level: Level, blocks: int) -> ThingSize:
        """Return how many blocks make a thing on a tile, or a strip of one, of so many blocks.

        On a tile too small to hold a thing, an eighth of its blocks is enough. Of scattered matter a small
        tile holds only a part: a sixteenth of its blocks is enough.
        """
        block_um, most = self.block_px(level) * self._mpp * level.downsample, max(1, blocks // 8)
        solid = max(_LEAST_AREA_UM2 / block_um**2, _LEAST_LINE_UM / block_um)
        scattered = min(_SCATTERED_UM2 / block_um**2, blocks / _OF_A_TILE)
        return ThingSize(
            min(math.ceil(solid), most),
            min(int(_LEAST_ACROSS_UM / block_um), most),
            min(math.ceil(max(solid, scattered)), most),
        )

    def _foreign(
        self,
        values: Pixels,
        level: Level,
        tiles: Sequence[TileIndex],
        glass: Sequence[NDArray[np.bool_] | None],
    ) -> NDArray[np.bool_]:
        """Return where something lies on the glass: (tiles, block rows, block columns) bool.

        `values` is (3, tiles, block rows, block columns) of tiles of one row. `glass`, of at least as many
        blocks of each tile, is True where the mask calls it glass; None means everywhere.
        """
        foreign = np.zeros(values.shape[1:], np.bool_)
        is_plain, is_mottled = self._possible(values, level, tiles)
        for flags, compared in ((is_plain, self._uneven), (is_mottled, self._compared)):
            chosen = np.flatnonzero(flags).tolist()
            if chosen:
                own = np.ones((len(chosen), *foreign.shape[1:]), np.bool_)
                for part, by_mask in zip(own, (glass[number] for number in chosen), strict=True):
                    part[:] = True if by_mask is None else by_mask[: part.shape[0], : part.shape[1]]
                among = [tiles[number] for number in chosen]
                foreign[chosen] = compared(values[:, chosen], level, among, own)
        return foreign

    def _possible(
        self, values: Pixels, level: Level, tiles: Sequence[TileIndex]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which tiles can be uneven and nothing else, and which can hold anything: (tiles,) bool.

        The darkest and brightest values say it. None is darker than glass where the darkest is not, and none
        is far from the tile's own glass where no two values are. The others have nothing foreign.
        """
        first, last = _regions(level, (tiles[0], tiles[-1]))
        across, down = level.size.width, level.size.height
        colors = self.color.bounds(
            (first.x / across, (last.x + last.width) / across),
            (first.y / down, (first.y + first.height) / down),
        )
        darkest, lightest = np.array(colors).T[..., None]
        flat = values.reshape(3, len(tiles), -1)
        least, most = flat.min(axis=2).astype(np.float64), flat.max(axis=2).astype(np.float64)
        is_darker = (lightest - least > _DARKER).any(axis=0)
        is_padded = (most.min(axis=0) >= _PURE_WHITE) | (most - darkest > _BRIGHTER).all(axis=0)
        is_uneven = _is_far(most - least)
        is_plain = is_uneven & ~is_darker & ~is_padded & (self._black is None)
        return is_plain, (is_darker | is_uneven) & ~is_plain

    def _uneven(
        self, values: Pixels, level: Level, tiles: Sequence[TileIndex], glass: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Return what `_compared` returns of tiles without padding, and without blocks darker than glass."""
        return self._unlike(values, level, tiles, glass, np.zeros_like(glass))

    def _compared(
        self, values: Pixels, level: Level, tiles: Sequence[TileIndex], glass: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Return what `_foreign` returns: every block, compared with the glass."""
        color = self._colors(values.shape[2:], level, _regions(level, tiles))
        absorbed = color - values
        most_absorbed = absorbed.max(axis=0)
        darker = most_absorbed > _DARKER
        # Pure white where the glass is not.
        is_white = (values.min(axis=0) >= _PURE_WHITE) & (absorbed.min(axis=0) < -_LEVEL)
        padding = (most_absorbed < -_BRIGHTER) | is_white
        black = self._filled(values, level, tiles, color)
        if black is not None:
            darker, padding = darker & ~black, padding | black
        foreign = darker | self._unlike(values, level, tiles, glass & ~padding, padding)
        return np.asarray(foreign if black is None else foreign & ~black)

    def _unlike(
        self,
        values: Pixels,
        level: Level,
        tiles: Sequence[TileIndex],
        own: NDArray[np.bool_],
        padding: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Return where tiles absorb and are far from their own glass, which is what shows in `own` blocks."""
        reference = _middle(values, own).astype(np.float32)
        difference = values - reference
        is_far, least = _is_far(difference), difference.min(axis=0)
        # Pixels lighter than the tile's median are its glass, unless they are padding or beside it.
        lighter = is_far & (least > -_LEVEL) & ~_spread(padding, _RINGING_BLOCKS)
        solid = self._thing_size(level, lighter[0].size).solid
        many = np.flatnonzero(np.count_nonzero(lighter, axis=(1, 2)) >= solid).tolist()
        if many:
            # A reflection on the cover glass's edge is lighter than all glass: take the nearer colour.
            color = self._colors(values.shape[2:], level, _regions(level, [tiles[n] for n in many]))
            expected, lightest = _middle(color, own[many]), _middle(values[:, many], lighter[many])
            off, off_lightest = (np.abs(one - expected).max(axis=0) for one in (reference[:, many], lightest))
            difference[:, many] = values[:, many] - np.where(off_lightest < off, lightest, reference[:, many])
            is_far, least = _is_far(difference), difference.min(axis=0)
        return np.asarray(is_far & (least < -_LEVEL) & own.any(axis=(1, 2), keepdims=True))

    def _filled(
        self, values: Pixels, level: Level, tiles: Sequence[TileIndex], color: NDArray[np.float32]
    ) -> NDArray[np.bool_] | None:
        """Return which blocks of tiles are black padding, or a mixture of it and glass; None if none are."""
        if self._black is None:
            return None
        side, (rows, columns) = self.block_px(level), values.shape[2:]
        places = [tile.column for tile in tiles]
        near = self._black.over_tiles(level, places, tiles[0].row, side)[:, :rows, :columns]
        black = near & (values.max(axis=0) <= _BLACK)
        if not black.any():
            return None
        # Mixtures of black and glass lie on a line in RGB, stained tissue does not.
        share = (values * color).sum(axis=0) / (color * color).sum(axis=0)
        is_mixed = np.abs(values - share * color).max(axis=0) <= _OFF_THE_LINE
        return np.asarray(black | (is_mixed & _spread(black, -(-_RINGING_PX // side))))


def _regions(level: Level, tiles: Sequence[TileIndex]) -> list[Region]:
    return [level.grid.region(tile.column, tile.row) for tile in tiles]


def _middle(values: NDArray[Any], chosen: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the median of each tile's chosen blocks, (3, tiles, 1, 1).

    `values` is (3, tiles, block rows, block columns), `chosen` the same without channels.
    """
    highest = _WHITEST if values.dtype == np.uint8 else np.inf
    flat = (values if chosen.all() else np.where(chosen, values, highest)).reshape(*values.shape[:2], -1)
    middle = np.count_nonzero(chosen, axis=(1, 2)) // 2
    # To sort all bytes by their value takes a tenth of the time that a partition takes.
    ordered = np.sort(flat, axis=2, kind="stable")
    return np.take_along_axis(ordered, middle[None, :, None], axis=2)[..., None]


def _is_far(difference: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray((difference * difference).sum(axis=0) > _STRUCTURE**2)


def _spread(flags: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return flags of tiles, (tiles, block rows, block columns) bool, grown by `reach` within each tile."""
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    spread = flags.copy()
    for number in np.flatnonzero(flags.any(axis=(1, 2))).tolist():
        spread[number] = cv2.dilate(flags[number].view(np.uint8), square).view(np.bool_)
    return spread


def _blocks(pixels: Pixels, side: int) -> Pixels:
    """Return the means of blocks of `side` pixels; for a side of 1, of 2 x 2 pixels against noise."""
    if side == 1:
        return np.asarray(cv2.blur(pixels, (2, 2)), np.uint8)
    rows, columns = -(-pixels.shape[0] // side), -(-pixels.shape[1] // side)
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
