from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsicomp.geometry import Size
from wsicomp.tissue.bits import BitMask
from wsicomp.tissue.guard_findings import gaps_beside
from wsicomp.tissue.mask import TissueMask

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 200))


def drawn(shape, share, seed):
    return np.random.default_rng(seed).random(shape) < share


def dilated(pixels, radius_x, radius_y):
    return BitMask.of(pixels).dilated(radius_x, radius_y).pixels()


@given(SHAPES, st.integers(0, 99), st.data())
def test_bits_give_every_part_of_the_mask(shape, seed, data):
    pixels = drawn(shape, 0.5, seed)
    bits = BitMask.of(pixels)
    top, left = (data.draw(st.integers(0, side)) for side in shape)
    part = (
        slice(top, data.draw(st.integers(top, shape[0]))),
        slice(left, data.draw(st.integers(left, shape[1]))),
    )
    assert bits.shape == shape
    assert np.array_equal(bits.pixels(), pixels)
    assert np.array_equal(bits.pixels(*part), pixels[part])
    rows, columns = (np.random.default_rng(seed).integers(0, side, 9) for side in shape)
    assert np.array_equal(bits.at(rows, columns), pixels[rows[:, None], columns])


def test_a_mask_is_kept_in_an_eighth_of_its_pixels_and_they_are_no_place_to_write():
    mask = TissueMask(np.ones((640, 640), np.bool_), Size(640, 640), 1.0, 1.0, "test")
    assert mask.bits.words.nbytes == 640 * 640 / 8
    assert mask.tissue_fraction == 1
    with pytest.raises(ValueError, match="read-only"):
        mask.pixels[0, 0] = False
    with pytest.raises(TypeError):
        TissueMask(slide=Size(640, 640), scale_x=1.0, scale_y=1.0, source="test")


def by_distance(pixels, radius):
    """Return what lies within the radius of a True pixel, by the distance to each of them."""
    rows, columns = (places[:, None, None] for places in np.nonzero(pixels))
    y, x = np.indices(pixels.shape)
    return ((y - rows) ** 2 + (x - columns) ** 2 <= radius**2).any(axis=0)


@settings(deadline=None)
@given(SHAPES, st.sampled_from([0.001, 0.02, 0.3]), st.integers(17, 140), st.integers(0, 99))
def test_a_disc_reaches_what_lies_within_its_radius(shape, share, radius, seed):
    pixels = drawn(shape, share, seed)
    assert (dilated(pixels, radius, radius) == by_distance(pixels, radius)).all()


@given(SHAPES, st.sampled_from([0.01, 0.3]), st.integers(0, 16), st.integers(0, 16), st.integers(0, 99))
def test_a_small_ellipse_is_that_of_opencv(shape, share, radius_x, radius_y, seed):
    pixels = drawn(shape, share, seed)
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_x + 1, 2 * radius_y + 1))
    expected = cv2.dilate(pixels.view(np.uint8), ellipse).view(np.bool_)
    assert (dilated(pixels, radius_x, radius_y) == expected).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 64), (70, 65), (3, 128)])
def test_a_mask_of_one_value_keeps_it(shape):
    for value in (False, True):
        assert (dilated(np.full(shape, value), 20, 20) == value).all()


@settings(deadline=None)
@given(
    st.tuples(st.integers(30, 90), st.integers(30, 90)),
    st.sampled_from([0.02, 0.2, 0.6]),
    st.sampled_from([0.001, 0.01]),
    st.floats(4, 120),
    st.integers(0, 99),
)
def test_gaps_beside_findings_are_all_but_those_that_the_mask_has_far_from_them(
    shape, share, found, reach_px, seed
):
    slide = Size(4 * shape[1], 4 * shape[0])
    tissue, findings = (
        TissueMask(drawn(shape, part, seed + more), slide, 4.0, 4.0, "test")
        for part, more in ((share, 0), (found, 100))
    )
    whole = closed(replace(findings, pixels=findings.pixels | tissue.pixels), reach_px) & ~tissue.pixels
    own = closed(tissue, reach_px) & ~findings.dilated(2 * reach_px).pixels
    expected = whole & ~own & findings.pixels.any()
    assert (gaps_beside(findings, tissue, reach_px) == expected).all()


def closed(mask, reach_px):
    around = int(reach_px / 4) + 2
    grown = replace(mask, pixels=np.pad(mask.pixels, around)).dilated(reach_px)
    shrunk = ~replace(mask, pixels=~grown.pixels).dilated(reach_px).pixels
    return shrunk[around:-around, around:-around]
