"""Parts of masks in three dimensions, beside SciPy's."""

import numpy as np
import pytest
from scipy import ndimage

from wsicomp.tissue.bits import BitMask
from wsicomp.volumes.components import large_parts, without_holes

CONNECTED = np.zeros((3, 3, 3), bool)
CONNECTED[1], CONNECTED[0, 1, 1], CONNECTED[2, 1, 1] = True, True, True


def packed(mask):
    return [BitMask.of(each) for each in mask]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_parts_are_those_of_scipy(seed, share):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=(9, 30, 41)), 1.2) > 0.15
    labels, count = ndimage.label(mask, CONNECTED)
    assert count > 3
    sizes = np.bincount(labels.ravel())[1:]
    expected = np.isin(labels, 1 + np.flatnonzero(sizes >= max(1, share * sizes.max())))
    np.testing.assert_array_equal(np.stack(list(large_parts(packed(mask), share))), expected)


def test_two_arms_that_join_only_in_the_last_slice_are_one_part():
    mask = np.zeros((4, 8, 20), bool)
    mask[:, 2:4, 2:5] = mask[:, 2:4, 14:17] = True
    mask[3, 3, 2:17] = True
    mask[0, 7, 0] = True
    expected = mask.copy()
    expected[0, 7, 0] = False
    np.testing.assert_array_equal(np.stack(list(large_parts(packed(mask), 0.05))), expected)


def test_an_empty_mask_has_no_parts():
    assert not np.stack(list(large_parts(packed(np.zeros((2, 3, 4), bool)), 0.5))).any()


@pytest.mark.parametrize("seed", range(4))
def test_holes_are_those_of_scipy(seed):
    mask = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(40, 50)), 1) > -0.1
    np.testing.assert_array_equal(without_holes(mask), ndimage.binary_fill_holes(mask))
