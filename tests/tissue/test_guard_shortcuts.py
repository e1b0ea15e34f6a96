"""The guard decides most tiles by their darkest and brightest values; all others by each block."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import trial_size
from wsicomp.formats.picture import PictureSlide
from wsicomp.geometry import Size, TileIndex
from wsicomp.tissue.glass_color import GlassColor
from wsicomp.tissue.glass_guard import GlassGuard
from wsicomp.tissue.mask import TissueMask

TILE = TileIndex(0, 0, 0)


def colored(seed, slope):
    rng = np.random.default_rng(seed)
    return GlassColor(np.vstack([rng.uniform(190, 245, (1, 3)), rng.uniform(-slope, slope, (5, 3))]))


def thorough(guard):
    """Make a guard compare every block of every tile, and return it."""
    guard._possible = lambda _, __, tiles: (np.zeros(len(tiles), np.bool_), np.ones(len(tiles), np.bool_))
    return guard


def guards(color):
    """Return a slide, the guard, and a guard that compares every block of every tile."""
    slide = PictureSlide(Path("glass.png"), np.zeros((256, 256, 3), np.uint8), 0.5)
    return slide.info.levels[0], GlassGuard(slide.info, color, 0), thorough(GlassGuard(slide.info, color, 0))


def tile_with(color, seed, noise, things):
    """Return a tile of the glass's colours with noise and, in some of its blocks, other colours."""
    rng = np.random.default_rng(seed)
    places = (np.arange(32) + 0.5) / 32
    blocks = np.moveaxis(color.at(places, places), 0, 2) + rng.normal(0, noise, (32, 32, 3))
    for off, count in things:
        rows, columns = rng.integers(0, 32, (2, count))
        blocks[rows, columns] += off
    return np.clip(np.rint(blocks), 0, 255).astype(np.uint8).repeat(8, 0).repeat(8, 1)


THINGS = st.lists(
    st.tuples(st.sampled_from([-60, -25, -19, -9, 6, 12, 30, 80]), st.integers(1, 600)), max_size=2
)


def same(found, expected):
    return (found is None) == (expected is None) and (expected is None or bool((found == expected).all()))


@settings(deadline=None, max_examples=trial_size(100, 300))
@given(st.integers(0, 999), st.sampled_from([0.0, 2.0, 30.0]), st.sampled_from([0.0, 2.0, 4.0, 9.0]), THINGS)
def test_what_decides_quickly_decides_as_each_block_does(seed, slope, noise, things):
    color = colored(seed, slope)
    level, quick, slow = guards(color)
    pixels = tile_with(color, seed, noise, things)
    for glass in (None, np.random.default_rng(seed).random((32, 32)) < 0.7):
        assert same(quick.find_in(pixels, level, TILE, glass), slow.find_in(pixels, level, TILE, glass))


KINDS = st.sampled_from(["plain", "things", "tissue", "black", "white", "none"])


@settings(deadline=None, max_examples=trial_size(50, 150))
@given(
    st.integers(0, 999),
    st.sampled_from([0.5, 0.344, 2.0, 9.0]),
    st.sampled_from([0.0, 30.0]),
    st.booleans(),
    st.lists(st.tuples(KINDS, THINGS), min_size=2, max_size=6),
)
def test_tiles_of_a_row_are_judged_together_as_one_by_one(seed, mpp, slope, is_padded, kinds):
    rng, color = np.random.default_rng(seed), colored(seed, slope)
    slide = PictureSlide(Path("glass.png"), np.zeros((150, 64 * 5 + 23, 3), np.uint8), mpp)
    level = replace(slide.info.levels[0], tile=Size(64, 64))
    black = TissueMask(rng.random((19, 43)) < 0.3, slide.info.size, 8.0, 8.0, "black") if is_padded else None
    quick = GlassGuard(slide.info, color, 0, black)
    slow = thorough(GlassGuard(slide.info, color, 0, black))
    tiles = [TileIndex(0, column, 1) for column in sorted(rng.permutation(5)[: len(kinds)].tolist())]
    blocks, glass, expected = [], [], []
    for tile, (kind, things) in zip(tiles, kinds, strict=False):
        pixels = tile_with(color, rng.integers(999), 0.5 if kind == "plain" else 3.0, things)[:64, :64]
        if kind in ("black", "white"):
            pixels[: rng.integers(65), : rng.integers(65)] = 0 if kind == "black" else 255
        if kind == "tissue":
            pixels[rng.integers(40) :, rng.integers(40) :] = rng.integers(90, 180, 3)
        share = {"plain": 2.0, "none": 0.0}.get(kind, 0.7)
        own = rng.random((64, 64)) < share
        glass.append(None if share > 1 else own)
        blocks.append(quick.blocks_of(pixels, level, level.grid.region(tile.column, tile.row)))
        expected.append(slow.find_in(pixels, level, tile, glass[-1]))
    found = quick.find_among(blocks, level, tiles, glass)
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))


def test_even_glass_needs_no_look_at_its_blocks(monkeypatch):
    color = colored(1, 2.0)
    level, quick, slow = guards(color)
    pixels = tile_with(color, 1, 1.0, [])
    monkeypatch.setattr(quick, "_compared", None)
    assert quick.find_in(pixels, level, TILE) is None
    monkeypatch.setattr(slow, "_compared", None)
    with pytest.raises(TypeError):
        slow.find_in(pixels, level, TILE)


@given(st.integers(0, 999), st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.001, 1), st.floats(0.001, 1))
def test_bounds_hold_every_colour_of_a_rectangle(seed, left, top, width, height):
    color = colored(seed, 60.0)
    right, bottom = min(1.0, left + width), min(1.0, top + height)
    found = color.at(np.linspace(left, right, 19), np.linspace(top, bottom, 19)).reshape(3, -1)
    for values, (least, most) in zip(found, color.bounds((left, right), (top, bottom)), strict=True):
        assert least <= values.min()
        assert values.max() <= most
