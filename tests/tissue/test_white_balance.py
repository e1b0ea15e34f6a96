"""The light of bare glass: found on padded, grey, tinted and overexposed slides, and made even."""

import numpy as np
import pytest

from wsicomp.geometry import Size
from wsicomp.tissue.overview import Overview
from wsicomp.tissue.white_balance import GLASS_AT, find_white_point, white_balanced

TISSUE = (190, 110, 170)


def overview(*parts):
    """An overview whose rows have the colours of `parts`: (rows, colour)."""
    pixels = np.concatenate([np.full((rows, 50, 3), color, np.uint8) for rows, color in parts])
    return Overview(pixels, Size(50, len(pixels)), 1.0, 1.0)


@pytest.mark.parametrize(
    ("parts", "light"),
    [
        ([(60, (240, 238, 242)), (40, TISSUE)], (240, 238, 242)),
        ([(60, (130, 133, 128)), (40, (90, 50, 80))], (130, 133, 128)),
        ([(30, (255, 255, 255)), (40, (205, 204, 208)), (30, TISSUE)], (205, 204, 208)),
        ([(60, (255, 255, 255)), (40, TISSUE)], (255, 255, 255)),
        ([(100, (255, 255, 255))], (255, 255, 255)),
        ([(100, (200, 140, 180))], (200, 200, 200)),
        ([(100, (0, 0, 0))], (40, 40, 40)),
        ([(1, (255, 255, 255)), (99, (0, 0, 0))], (40, 40, 40)),
    ],
)
def test_the_light_is_that_of_glass(parts, light):
    assert find_white_point(overview(*parts)).tolist() == list(light)


def test_grey_tissue_beside_overexposed_glass_is_not_taken_for_grey_glass():
    noise = np.random.default_rng(1).integers(60, 150, (30, 50, 1), np.uint8)
    glass = np.full((70, 50, 3), 255, np.uint8)
    pixels = np.concatenate([np.repeat(noise, 3, axis=2), glass])
    assert find_white_point(Overview(pixels, Size(50, 100), 1.0, 1.0)).tolist() == [255] * 3


def test_white_balanced_glass_has_one_level_and_nothing_overflows():
    light = np.array([130, 140, 120], np.float32)
    pixels = np.array([[[130, 140, 120], [65, 70, 60], [255, 255, 255], [0, 0, 0]]], np.uint8)
    even = white_balanced(pixels, light)
    assert even[0, 0].tolist() == [GLASS_AT] * 3
    assert np.abs(even[0, 1].astype(float) - GLASS_AT / 2).max() <= 1
    assert even[0, 2].tolist() == [255] * 3
    assert even[0, 3].tolist() == [0] * 3


def test_even_light_undoes_an_even_change_of_brightness():
    rng = np.random.default_rng(1)
    pixels = rng.integers(40, 200, (20, 20, 3)).astype(np.uint8)
    darker = np.rint(pixels * 0.6).astype(np.uint8)
    before = white_balanced(pixels, np.full(3, 220, np.float32))
    after = white_balanced(darker, np.full(3, 132, np.float32))
    assert np.abs(before.astype(int) - after).max() <= 2
