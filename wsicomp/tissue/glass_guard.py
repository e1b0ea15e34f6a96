"""The guard: decides by a tile's own pixels whether something lies on the glass.

It doubts the tissue mask, so this module must not know how the mask was made.
"""

from __future__ import annotations

import math
from typing import NamedTuple

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
_RINGING_BLOCKS = 2
_COARSE_MPP = 1.0


class _ThingSize(NamedTuple):
    """The number of foreign blocks that make a thing."""

    solid: int
    """Blocks of a connected piece."""
    across: int
    """Blocks that a connected piece has along its longer side."""
    scattered: int
    """Blocks that lie near each other without being connected."""


class _Possible(NamedTuple):
    """What can be in a tile, by its darkest and brightest values alone."""

    darker: bool
    """Blocks darker than the slide's glass."""
    uneven: bool
    """Blocks that differ from the tile's own glass."""
    plain: bool
    """Nothing else: neither darker blocks nor padding."""


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

    def find(
        self, slide: Slide, index: TileIndex, glass: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_] | None:
        """Return the blocks of a tile where something lies on the glass, (block rows, block columns) bool.

        Return None for bare glass. Blocks within 100 um of each other are one thing. Things of less than the
        least area are ignored. `glass`, of the same shape, is True where the mask calls the tile glass; None
        means everywhere.

        Raises:
            TileReadError: the tile cannot be decoded.
        """
        level = slide.info.levels[index.level]
        region = level.grid.region(index.column, index.row)
        if not self._has_whole_blocks(level, region):
            return self.find_in(slide.read_tile(index), level, index, glass)
        blocks = slide.read_tile_eighth(index)[: region.height // _BLOCK_PX, : region.width // _BLOCK_PX]
        return self.things(self._foreign(index, level, blocks, glass), level)

    def find_in(
        self, pixels: Pixels, level: Level, index: TileIndex, glass: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_] | None:
        """Return what `find` returns, for a tile whose pixels are given; None for bare glass.

        `pixels` are the whole tile's, (rows, columns, 3) uint8 RGB.

        `level` need not be a level of a file; `index` is the tile's place on it.
        """
        blocks = self.blocks_of(pixels, level, level.grid.region(index.column, index.row))
        return self.things(self._foreign(index, level, blocks, glass), level)

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
        side = self.block_px(level)
        y, x = (
            (start + (np.arange(count) + 0.5) * side) / whole
            for start, count, whole in zip((region.y, region.x), shape, level.size.shape, strict=True)
        )
        return self.color.at(x, y)

    def things(self, foreign: NDArray[np.bool_], level: Level) -> NDArray[np.bool_] | None:
        """Return the blocks of `foreign` that together make up a thing, in its shape; None if there is none.

        `foreign` is (block rows, block columns) bool of a tile, True where a block is not glass.
        """
        size = self._thing_size(level, foreign.size)
        if np.count_nonzero(foreign) < size.solid:
            return None
        # In whole blocks, at least one: a thing may continue beside the tile.
        reach = max(1, math.ceil(self._together_px / 2 / level.downsample / self.block_px(level)))
        things = _large_things(_joined(foreign, reach), foreign, size)
        return things if things.any() else None

    def _thing_size(self, level: Level, blocks: int) -> _ThingSize:
        """Return how many blocks make a thing on a tile, or a strip of one, of so many blocks.

        On a tile too small to hold a thing, an eighth of its blocks is enough. Of scattered matter a small
        tile holds only a part: a sixteenth of its blocks is enough.
        """
        block_um, most = self.block_px(level) * self._mpp * level.downsample, max(1, blocks // 8)
        solid = max(_LEAST_AREA_UM2 / block_um**2, _LEAST_LINE_UM / block_um)
        scattered = min(_SCATTERED_UM2 / block_um**2, blocks / _OF_A_TILE)
        return _ThingSize(
            min(math.ceil(solid), most),
            min(int(_LEAST_ACROSS_UM / block_um), most),
            min(math.ceil(max(solid, scattered)), most),
        )

    def _foreign(
        self, index: TileIndex, level: Level, blocks: Pixels, glass: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_]:
        """Return where something lies on the glass: (block rows, block columns) bool.

        `glass`, of at least the same shape, is True where the mask calls the tile glass; None means
        everywhere.
        """
        glass = None if glass is None else glass[: blocks.shape[0], : blocks.shape[1]]
        whole = np.ascontiguousarray(np.moveaxis(blocks, 2, 0))
        can_be = self._possible(whole, level, level.grid.region(index.column, index.row))
        if not (can_be.darker or can_be.uneven):
            return np.zeros(blocks.shape[:2], np.bool_)
        values = whole.astype(np.float32)
        if can_be.plain and glass is None and self._black is None:
            foreign = self._uneven(values, level)
            if foreign is not None:
                return foreign
        return self._compared(index, level, values, glass)

    def _possible(self, values: Pixels, level: Level, region: Region) -> _Possible:
        """Return what can be in a tile of these values, (3, block rows, block columns), by their range."""
        across, down = level.size.width, level.size.height
        colors = self.color.bounds(
            (region.x / across, (region.x + region.width) / across),
            (region.y / down, (region.y + region.height) / down),
        )
        least, most = values.min(axis=(1, 2)).tolist(), values.max(axis=(1, 2)).tolist()
        is_darker = any(color[1] - value > _DARKER for color, value in zip(colors, least, strict=True))
        is_padded = min(most) >= _PURE_WHITE or all(
            value - color[0] > _BRIGHTER for color, value in zip(colors, most, strict=True)
        )
        is_uneven = sum((most[n] - least[n]) ** 2 for n in range(3)) > _STRUCTURE**2
        return _Possible(is_darker, is_uneven, not (is_darker or is_padded))

    def _uneven(self, values: NDArray[np.float32], level: Level) -> NDArray[np.bool_] | None:
        """Return where a tile is darker than its own glass, if it has nothing but glass and such places.

        It is what `_compared` returns. Return None if part of the tile is lighter than its glass.
        """
        difference = values - _middle(values)
        differs = _is_far(difference)
        least = difference.min(axis=0)
        if np.count_nonzero(differs & (least > -_LEVEL)) >= self._thing_size(level, differs.size).solid:
            return None
        return np.asarray(differs & (least < -_LEVEL))

    def _compared(
        self,
        index: TileIndex,
        level: Level,
        values: NDArray[np.float32],
        glass: NDArray[np.bool_] | None,
    ) -> NDArray[np.bool_]:
        """Return what `_foreign` returns: values, (3, block rows, block columns), compared with the glass."""
        color = self.color_of(values.shape[1:], level, level.grid.region(index.column, index.row))
        absorbed = color - values
        darker = absorbed.max(axis=0) > _DARKER
        # Pure white where the glass is not.
        is_white = (values.min(axis=0) >= _PURE_WHITE) & (absorbed.min(axis=0) < -_LEVEL)
        padding = (absorbed.max(axis=0) < -_BRIGHTER) | is_white
        black = self._filled(index, level, values, color)
        if black is not None:
            darker, padding = darker & ~black, padding | black
        own = ~padding if glass is None else glass & ~padding
        if not own.any():
            return np.asarray(darker)
        reference = _middle(values, own)
        lighter = _is_far(values - reference) & ((values - reference).min(axis=0) > -_LEVEL)
        # Pixels lighter than the tile's median are its glass, unless they are padding or beside it.
        lighter &= ~_spread(padding, _RINGING_BLOCKS) if padding.any() else True
        if np.count_nonzero(lighter) >= self._thing_size(level, lighter.size).solid:
            # A reflection on the cover glass's edge is lighter than all glass: take the nearer colour.
            expected, lightest = _middle(color, own), _middle(values, lighter)
            if np.abs(lightest - expected).max() < np.abs(reference - expected).max():
                reference = lightest
        absorbs = (reference - values).max(axis=0) > _LEVEL
        foreign = darker | (_is_far(values - reference) & absorbs)
        return np.asarray(foreign if black is None else foreign & ~black)

    def _filled(
        self, index: TileIndex, level: Level, values: NDArray[np.float32], color: NDArray[np.float32]
    ) -> NDArray[np.bool_] | None:
        """Return which blocks of a tile are black padding, or a mixture of it and glass; None if none are."""
        if self._black is None:
            return None
        side = self.block_px(level)
        near = self._black.over_cells(level, index.column, index.row, side)
        near = near[: values.shape[1], : values.shape[2]]
        black = near & (values.max(axis=0) <= _BLACK)
        if not black.any():
            return None
        # Mixtures of black and glass lie on a line in RGB, stained tissue does not.
        share = (values * color).sum(axis=0) / (color * color).sum(axis=0)
        is_mixed = np.abs(values - share * color).max(axis=0) <= _OFF_THE_LINE
        return np.asarray(black | (is_mixed & _spread(black, -(-_RINGING_PX // side))))


def _middle(values: NDArray[np.float32], chosen: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Return the median of (3, block rows, block columns) values, or of chosen blocks alone: (3, 1, 1)."""
    flat = values.reshape(3, -1)
    if chosen is not None and not chosen.all():
        flat = flat.take(np.flatnonzero(chosen), axis=1)
    middle = flat.shape[1] // 2
    return np.asarray(np.partition(flat, middle, axis=1)[:, middle, None, None])


def _is_far(difference: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray((difference * difference).sum(axis=0) > _STRUCTURE**2)


def _spread(flags: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(flags.view(np.uint8), square).view(np.bool_))


def _joined(foreign: NDArray[np.bool_], reach: int) -> NDArray[np.int32]:
    """Return the number of the thing that each block belongs to.

    Blocks less than twice `reach` apart belong to one thing.
    """
    reach = min(reach, max(foreign.shape))  # a larger one joins no more blocks
    wide = cv2.copyMakeBorder(
        foreign.view(np.uint8), reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0
    )
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    _, labels = cv2.connectedComponents(cv2.dilate(wide, square), connectivity=8)
    return np.asarray(labels[reach : reach + foreign.shape[0], reach : reach + foreign.shape[1]])


def _large_things(
    things: NDArray[np.int32], foreign: NDArray[np.bool_], size: _ThingSize
) -> NDArray[np.bool_]:
    """Return the foreign blocks of things that have enough blocks, or one piece that is large by itself."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(foreign.view(np.uint8), connectivity=8)
    across = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1)
    is_solid = (stats[:, cv2.CC_STAT_AREA] >= size.solid) & (across >= size.across)
    is_large = np.bincount(things[foreign], minlength=things.max() + 1) >= size.scattered
    is_large[things[foreign & is_solid[pieces]]] = True
    return np.asarray(foreign & is_large[things])


def _blocks(pixels: Pixels, side: int) -> Pixels:
    """Return the means of blocks of `side` pixels; for a side of 1, of 2 x 2 pixels against noise."""
    if side == 1:
        return np.asarray(cv2.blur(pixels, (2, 2)), np.uint8)
    rows, columns = -(-pixels.shape[0] // side), -(-pixels.shape[1] // side)
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
