"""The guard decides most tiles by their darkest and brightest values; all others by each block."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsicomp.formats.picture import PictureSlide
from wsicomp.geometry import TileIndex
from wsicomp.tissue.glass_color import GlassColor
from wsicomp.tissue.glass_guard import GlassGuard, _Possible

TILE = TileIndex(0, 0, 0)


def colored(seed, slope):
    rng = np.random.default_rng(seed)
    return GlassColor(np.vstack([rng.uniform(190, 245, (1, 3)), rng.uniform(-slope, slope, (5, 3))]))


def guards(color):
    """Return a slide, the guard, and a guard that compares every block of every tile."""
    slide = PictureSlide(Path("glass.png"), np.zeros((256, 256, 3), np.uint8), 0.5)
    quick, thorough = GlassGuard(slide.info, color, 0), GlassGuard(slide.info, color, 0)
    thorough._possible = lambda *_: _Possible(darker=True, uneven=True, plain=False)
    return slide.info.levels[0], quick, thorough


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


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 999), st.sampled_from([0.0, 2.0, 30.0]), st.sampled_from([0.0, 2.0, 4.0, 9.0]), THINGS)
def test_what_decides_quickly_decides_as_each_block_does(seed, slope, noise, things):
    color = colored(seed, slope)
    level, quick, thorough = guards(color)
    pixels = tile_with(color, seed, noise, things)
    for glass in (None, np.random.default_rng(seed).random((32, 32)) < 0.7):
        found, expected = (guard.find_in(pixels, level, TILE, glass) for guard in (quick, thorough))
        assert (found is None) == (expected is None)
        assert expected is None or (found == expected).all()


def test_even_glass_needs_no_look_at_its_blocks(monkeypatch):
    color = colored(1, 2.0)
    level, quick, thorough = guards(color)
    pixels = tile_with(color, 1, 1.0, [])
    monkeypatch.setattr(quick, "_compared", None)
    assert quick.find_in(pixels, level, TILE) is None
    monkeypatch.setattr(thorough, "_compared", None)
    with pytest.raises(TypeError):
        thorough.find_in(pixels, level, TILE)


@given(st.integers(0, 999), st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.001, 1), st.floats(0.001, 1))
def test_bounds_hold_every_colour_of_a_rectangle(seed, left, top, width, height):
    color = colored(seed, 60.0)
    right, bottom = min(1.0, left + width), min(1.0, top + height)
    found = color.at(np.linspace(left, right, 19), np.linspace(top, bottom, 19)).reshape(3, -1)
    for values, (least, most) in zip(found, color.bounds((left, right), (top, bottom)), strict=True):
        assert least <= values.min()
        assert values.max() <= most
