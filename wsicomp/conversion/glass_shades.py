"""Decides which colours glass becomes, and which of them each tile takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.registry import tile_format
from wsicomp.config import ConversionConfig
from wsicomp.plan.conversion_plan import MOST_SHADES, Color
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.slide import WHITE, SlideInfo
from wsicomp.tissue.bare_glass import AreaMeans, BareGlass, Colors, Part, chosen_palette, nearest
from wsicomp.tissue.glass_color import GlassColor
from wsicomp.tissue.tile_classes import TileClasses

_MOST_COST = 0.005
"""The part of a file that the blank tiles of further colours may cost, of what its tiles with tissue have."""
_LEAST_BYTES_A_PX = 0.05
"""The bytes of an encoded pixel by a neural codec; JPEG of quality 90 takes ten times as many."""
_SIDES: Mapping[tuple[int, int], Part] = {
    (-1, 0): ((0.0, 0.125), (0.0, 1.0)),
    (1, 0): ((0.875, 1.0), (0.0, 1.0)),
    (0, -1): ((0.0, 1.0), (0.0, 0.125)),
    (0, 1): ((0.0, 1.0), (0.875, 1.0)),
}
"""The parts of a tile beside each of its neighbours, which are so many rows below and columns right."""
_TAKEN_OUT = [action.value for action in (TileAction.BLANK, TileAction.EMPTY, TileAction.MASK_AND_ENCODE)]


@dataclass(frozen=True)
class Glass:
    """The glass of a slide."""

    classes: TileClasses
    """The kind of every tile."""
    color: GlassColor
    """The colour of bare glass, smoothed over the slide."""
    bare: BareGlass
    """The colour of bare glass from place to place."""
    notes: tuple[str, ...] = ()
    """Lines for the user about the mask."""


def colored(
    info: SlideInfo, config: ConversionConfig, glass: Glass | None, levels: tuple[LevelPlan, ...]
) -> tuple[list[Color], tuple[LevelPlan, ...]]:
    """Return the colours that glass becomes, and the levels with the colour of each tile.

    `glass` is None where glass is kept: tiles that are blank in the source then keep their colour.
    """
    if glass is None:
        return list(info.palette), tuple(_with_shades_of(info, level) for level in levels)
    background = config.glass.background
    if background != "auto":
        red, green, blue = WHITE if background == "white" else bytes.fromhex(background[1:])
        return [(red, green, blue)], levels
    if not any(np.isin(level.actions, _TAKEN_OUT).any() for level in levels):
        return [glass.color.typical], levels
    # Smoothing takes longer than all else here, and matters only inside areas of glass, or for many colours.
    bare = AreaMeans(glass.bare)
    smooth = AreaMeans(glass.bare.smoothed()) if any(_inner(level).any() for level in levels) else None
    colors = [_tile_colors(bare, smooth or bare, level) for level in levels]
    taken = [own[np.isin(level.actions, _TAKEN_OUT)] for own, level in zip(colors, levels, strict=True)]
    palette = chosen_palette(glass.color.typical, np.concatenate(taken), _most_shades(info, levels))
    if len(palette) == 1:
        return palette, levels
    if smooth is None:
        smooth = AreaMeans(glass.bare.smoothed())
        colors = [_tile_colors(bare, smooth, level) for level in levels]
    return palette, tuple(
        _with_shades(level, palette, own) for level, own in zip(levels, colors, strict=True)
    )


def _tile_colors(bare: AreaMeans, smooth: AreaMeans, level: LevelPlan) -> Colors:
    """Return the colour that glass should become in each tile, (rows, columns, 3).

    It is that of the sides where the tile's neighbours stay as they are. Elsewhere nothing of the source is
    left to be compared with, and steps between tiles are smaller if it is that of the `smooth` glass.
    """
    sums, counts = np.zeros((*level.actions.shape, 3), np.float32), np.zeros((*level.actions.shape, 1))
    for side, part in _SIDES.items():
        beside = _stays_beside(level, side)[..., None]
        sums, counts = sums + beside * bare.of_tiles(level.grid, part), counts + beside
    painted = (level.actions == TileAction.MASK_AND_ENCODE.value)[..., None]
    own = np.where(painted, bare.of_tiles(level.grid), smooth.of_tiles(level.grid))
    is_rim = (counts > 0) & ~painted
    return np.asarray(np.where(is_rim, sums / np.maximum(counts, 1), own), np.float32)


def _inner(level: LevelPlan) -> NDArray[np.bool_]:
    """Return which tiles are removed as all their neighbours are, (rows, columns) bool."""
    is_removed = np.isin(level.actions, _TAKEN_OUT[:2])
    for side in _SIDES:
        is_removed &= ~_stays_beside(level, side)
    return is_removed


def _stays_beside(level: LevelPlan, side: tuple[int, int]) -> NDArray[np.bool_]:
    """Return for each tile, (rows, columns) bool, whether its neighbour at this side stays as it is."""
    stays = np.pad(~np.isin(level.actions, _TAKEN_OUT), 1)
    return np.roll(stays, (-side[0], -side[1]), (0, 1))[1:-1, 1:-1]


def _with_shades(level: LevelPlan, palette: list[Color], colors: Colors) -> LevelPlan:
    shades = nearest(palette, colors)
    return replace(level, shades=shades) if shades.any() else level


def _with_shades_of(info: SlideInfo, level: LevelPlan) -> LevelPlan:
    """Return a level with the colours that its blank tiles have in the source."""
    source = info.levels[level.source_level]
    if not source.blank_shades or level.grid != source.grid:
        return level
    shades = np.zeros(level.actions.shape, np.uint8)
    shades.reshape(-1)[[*source.blank]] = source.blank_shades
    return replace(level, shades=shades)


def _most_shades(info: SlideInfo, levels: tuple[LevelPlan, ...]) -> int:
    """Return how many colours may be, at least one, if each costs every level with blank tiles one more."""
    budget = _MOST_COST * sum(_kept_bytes(info, level) for level in levels)
    blank = [(level.count(TileAction.BLANK), _blank_bytes(level)) for level in levels]
    costs = (sum(min(more, count) * size for count, size in blank) for more in range(1, MOST_SHADES))
    return 1 + sum(cost <= budget for cost in costs)


def _blank_bytes(level: LevelPlan) -> int:
    return len(tile_format(level.encoding.compression).encode_uniform(level.encoding, level.tile, WHITE))


def _kept_bytes(info: SlideInfo, level: LevelPlan) -> float:
    """Return about how many bytes a level's tiles that stay have, rather too few than too many."""
    gone = np.isin(level.actions, _TAKEN_OUT[:2]).mean()
    if level.recipes[0].action is TileAction.ENCODE:
        return float((1 - gone) * level.size.width * level.size.height * _LEAST_BYTES_A_PX)
    return float((1 - gone) * info.levels[level.source_level].encoded_bytes)
