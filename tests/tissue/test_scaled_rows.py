"""Rows of a scaled picture are what reading it region by region gives, and each tile is read once."""

from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsicomp.errors import TileReadError
from wsicomp.formats.picture import PictureSlide
from wsicomp.geometry import Region, Size, parts_of_tiles
from wsicomp.progress import no_progress
from wsicomp.tissue.overview import read_overview
from wsicomp.tissue.scale import choose_scale, read_scaled
from wsicomp.tissue.scaled_rows import ScaledRows
from wsicomp.tissue.segmenters.unet import _Blend, _Glass, _is_blank, _PatchGrid
from wsicomp.tissue.white_balance import find_white_point, white_balanced


class CountingSlide(PictureSlide):
    """A picture that counts how often each tile is read, and has damaged ones."""

    def __init__(self, pixels, mpp, damaged=()):
        super().__init__(Path("picture.png"), pixels, mpp)
        self.reads, self.damaged = {}, frozenset(damaged)

    def read_region(self, level, region):
        for part in parts_of_tiles(region, self.info.levels[0].tile):
            place = part.x // self.info.levels[0].tile.width, part.y // self.info.levels[0].tile.height
            self.reads[place] = self.reads.get(place, 0) + 1
            if place in self.damaged:
                raise TileReadError("damaged")
        return super().read_region(level, region)


def noise(width, height):
    return np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 1500), st.integers(1, 1500)),
    st.integers(1, 9),
    st.integers(20, 200),
    st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=2),
    st.integers(0, 99),
)
def test_regions_are_those_of_reading_one_by_one(size, factor, patch_px, damaged, seed):
    slide = CountingSlide(noise(*size), 4.0 / factor, damaged)
    scale = choose_scale(slide.info, 4.0)
    patches = list(_PatchGrid(scale.size, patch_px).regions())
    is_wanted = np.random.default_rng(seed).random(len(patches)) < 0.7
    wanted = [patch for patch, chosen in zip(patches, is_wanted, strict=True) if chosen]
    found = []
    with closing(ScaledRows(slide, scale, wanted, 2)) as rows:
        for patch in wanted:
            pixels = rows.read(patch)
            found.append(None if pixels is None else pixels.copy())
    for patch, pixels in zip(wanted, found, strict=True):
        try:
            expected = read_scaled(slide, scale, patch)
        except TileReadError:
            expected = None
        assert (pixels is None) == (expected is None)
        assert expected is None or np.array_equal(pixels, expected)


@pytest.mark.parametrize(("factor", "most"), [(1, 1), (2, 1), (6, 1), (8, 1), (15, 4)])
def test_no_tile_is_read_again_for_the_patch_beside_it(factor, most):
    slide = CountingSlide(noise(2000, 1700), 4.0 / factor)
    scale = choose_scale(slide.info, 4.0)
    patches = list(_PatchGrid(scale.size, 100).regions())
    with closing(ScaledRows(slide, scale, patches, 2)) as rows:
        for patch in patches:
            rows.read(patch)
    assert set(slide.reads.values()) <= set(range(1, most + 1))
    assert len(slide.reads) == slide.info.levels[0].grid.count


@settings(deadline=None, max_examples=30)
@given(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), st.integers(1, 9), st.integers(0, 99))
def test_a_finer_overview_shows_the_picture_within_a_grey_level(size, factor, seed):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (-(-size[1] // 40), -(-size[0] // 40), 3), np.uint8)
    pixels = small.repeat(40, 0).repeat(40, 1)[: size[1], : size[0]] // 2 + rng.integers(0, 128, 1).astype(
        np.uint8
    )
    slide = PictureSlide(Path("picture.png"), pixels, 4.0 / factor)
    scale, overview = choose_scale(slide.info, 4.0), read_overview(slide, 2, no_progress)
    for region in _PatchGrid(scale.size, 200).regions():
        shown = overview.scaled(scale, region)
        assert (shown is None) == (factor % overview.read_at[1] != 0)
        if shown is not None:
            expected = read_scaled(slide, scale, region).astype(int)
            inner = slice(0, region.height - 1), slice(0, region.width - 1)  # boxes at the edge are cut
            assert shown.shape == expected.shape
            assert np.abs(shown - expected)[inner].max(initial=0) <= 1


def test_what_no_region_needs_is_never_read():
    slide = CountingSlide(noise(2048, 2048), 4.0)
    scale = choose_scale(slide.info, 4.0)
    with closing(ScaledRows(slide, scale, [Region(0, 0, 100, 100), Region(1600, 1600, 100, 100)], 2)) as rows:
        rows.read(Region(0, 0, 100, 100))
        rows.read(Region(1600, 1600, 100, 100))
    assert {(place[0] // 2, place[1] // 2) for place in slide.reads} == {(0, 0), (3, 3)}


@settings(deadline=None)
@given(
    st.integers(0, 999), st.sampled_from([0.0, 1.0, 3.0, 5.0]), st.sampled_from([1, 2, 5]), st.integers(0, 40)
)
def test_only_a_blank_patch_is_blank_in_the_overview(seed, grain, factor, darker):
    rng = np.random.default_rng(seed)
    pixels = np.clip(rng.normal(220, grain, (600 * factor // 2, 500 * factor // 2, 3)), 0, 255)
    x, y = rng.integers(0, 200, 2)
    pixels[y : y + 4 * factor, x : x + 4 * factor] -= darker
    slide = PictureSlide(Path("picture.png"), pixels.astype(np.uint8), 4.0 / factor)
    scale, overview = choose_scale(slide.info, 4.0), read_overview(slide, 1, no_progress)
    white_point = find_white_point(overview)
    glass = _Glass(overview, scale.size, white_point)
    for patch in _PatchGrid(scale.size, 128).regions():
        if glass.fills(patch):
            assert _is_blank(white_balanced(read_scaled(slide, scale, patch), white_point))


def test_the_overview_of_bare_glass_says_that_it_is_blank():
    slide = PictureSlide(Path("picture.png"), np.full((900, 900, 3), 221, np.uint8), 4.0)
    overview = read_overview(slide, 1, no_progress)
    glass = _Glass(overview, Size(900, 900), find_white_point(overview))
    assert glass.fills(Region(0, 0, 512, 512))
    overview.pixels[400:420, 400:420] = 180
    glass = _Glass(overview, Size(900, 900), find_white_point(overview))
    assert not glass.fills(Region(0, 0, 512, 512))
    assert glass.fills(Region(500, 500, 400, 400))


@pytest.mark.parametrize("size", [Size(500, 300), Size(64, 64), Size(40, 130), Size(200, 30), Size(640, 65)])
def test_patches_blended_row_by_row_are_those_of_the_whole_picture(size):
    grid, rng = _PatchGrid(size, 64), np.random.default_rng(2)
    found = {
        region: rng.random(region.size.shape).astype(np.float32) if number % 3 != 1 else 1.0
        for number, region in enumerate(grid.regions())
    }
    total, weights = np.zeros((2, *size.shape), np.float32)
    blend = _Blend(size, 64)
    ramp = np.minimum(np.minimum(np.arange(1, 65), np.arange(64, 0, -1)) / 6.4, 1).astype(np.float32)
    for region, probability in found.items():
        window = np.outer(ramp[: region.height], ramp[: region.width])
        there = np.s_[region.y : region.y + region.height, region.x : region.x + region.width]
        total[there] += window * probability
        weights[there] += window
    rows = [
        blend.finished(bottom - top, ((region.x, found[region]) for region in grid.row(top)))
        for top, bottom in pairwise((*grid.tops, size.height))
    ]
    assert np.array_equal(np.concatenate(rows), total / weights > 0.5)
    assert 0 < np.mean(np.concatenate(rows)) < 1
