"""Carries out `like`: bounds by which a slide's neural tiles are as true as another codec's would be."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from wsicomp.codecs.likeness import MOST_TILES, Likeness, SampleTile, find_likeness
from wsicomp.concurrency.threads import ordered_map
from wsicomp.conversion.tissue_loss import lossy_tiles, source_tile_pixels
from wsicomp.errors import TileReadError
from wsicomp.files.limits import workers_for
from wsicomp.formats.base import Slide
from wsicomp.geometry import TileIndex
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, Recipe

_MOST_PX = MOST_TILES * 512 * 512
"""The most pixels of a sample of several tiles: each takes 32 bytes and more while bounds are sought."""


def with_likeness(slide: Slide, plan: ConversionPlan, workers: int) -> ConversionPlan:
    """Return the plan with bounds in recipes that are to be like another codec, and a note that says them.

    They are measured on a sample of the tissue tiles of all levels; where a slide has none, the codec's own
    bounds stay.
    """
    recipes = [recipe for level in plan.levels for recipe in level.recipes if "like" in recipe.options]
    if not recipes:
        return plan
    found = _measured(slide, plan, recipes[0], workers)
    if found is None:
        note = f"there is no tissue tile to be like {recipes[0].options['like']} on: the floors are the usual"
        return replace(plan, notes=(*plan.notes, note))
    levels = tuple(_bounded(level, found) for level in plan.levels)
    return replace(plan, levels=levels, notes=(*plan.notes, found.text))


def _measured(slide: Slide, plan: ConversionPlan, recipe: Recipe, workers: int) -> Likeness | None:
    numbers = [
        (level, tuple(number for number, each in enumerate(level.recipes) if "like" in each.options))
        for level in plan.levels
    ]
    concerned = [(level, own) for level, own in numbers if own]
    largest_px = max(level.tile.width * level.tile.height for level, _ in concerned)
    chosen, of = lossy_tiles(concerned, max(1, min(MOST_TILES, _MOST_PX // largest_px)))
    sample = _read(slide, chosen, workers)
    if not sample:
        return None
    return find_likeness(recipe.codec, recipe.options, str(recipe.options["like"]), sample, of, workers)


def _read(slide: Slide, chosen: Sequence[tuple[LevelPlan, TileIndex]], workers: int) -> list[SampleTile]:
    """Return the tiles of the source; damaged ones are left out."""

    def read(tile: tuple[LevelPlan, TileIndex]) -> SampleTile | None:
        plan, index = tile
        try:
            pixels = source_tile_pixels(slide, plan, index)
        except TileReadError:
            return None
        return SampleTile(pixels, plan.grid.region(index.column, index.row).size)

    if not chosen:
        return []
    threads = workers_for(chosen[0][0].tile, workers)
    with closing(ordered_map(read, chosen, threads)) as found:
        return [tile for tile in found if tile is not None]


def _bounded(level: LevelPlan, found: Likeness) -> LevelPlan:
    recipes = tuple(
        replace(recipe, options={**recipe.options, **found.options}) if "like" in recipe.options else recipe
        for recipe in level.recipes
    )
    return replace(level, recipes=recipes)
