"""Margins in mm, beside SciPy's exact distances."""

import numpy as np
import pytest
from scipy import ndimage

from wsicomp.tissue.bits import BitMask
from wsicomp.volumes.margins import with_margin


def widened(mask, spacing, margin_mm):
    return np.stack(
        [each.pixels() for each in with_margin([BitMask.of(s) for s in mask], spacing, margin_mm)]
    )


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 5.0), (0.5, 1.25, 0.8), (0.1, 0.1, 0.3)])
@pytest.mark.parametrize("margin_mm", [0.0, 0.3, 1.0, 2.5, 5.0, 1000.0])
def test_a_margin_takes_every_voxel_within_its_mm(spacing, margin_mm):
    mask = np.random.default_rng(1).random((7, 23, 70)) > 0.9985
    assert mask.any()
    distances = ndimage.distance_transform_edt(~mask, spacing[::-1])
    np.testing.assert_array_equal(widened(mask, spacing, margin_mm), distances <= margin_mm + 1e-7)


def test_nothing_widened_is_nothing():
    assert not widened(np.zeros((2, 5, 5), bool), (1.0, 1.0, 1.0), 3.0).any()
    assert with_margin([], (1.0, 1.0, 1.0), 3.0) == []


def test_bits_past_the_last_column_stay_unset():
    (mask,) = with_margin([BitMask.of(np.ones((3, 5), bool))], (1.0, 1.0, 1.0), 9.0)
    assert int(mask.words.max()) == 0b11111
