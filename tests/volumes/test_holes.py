"""Holes of slices that are filled smoothly: what is known stays, and what is filled in lies between."""

import numpy as np
import pytest

from wsicomp.volumes.holes import smoothly_filled


def holed(shape, seed=1):
    """A mask that is False in a square and in single voxels."""
    mask = np.random.default_rng(seed).random(shape) > 0.1
    mask[3 : shape[0] // 2, 2 : shape[1] // 2] = False
    return mask


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64, np.float32])
@pytest.mark.parametrize("shape", [(40, 33), (7, 64), (1, 9), (5, 1)])
def test_what_is_known_stays_and_what_is_filled_in_lies_in_its_range(dtype, shape):
    voxels = np.random.default_rng(2).integers(20, 200, shape).astype(dtype)
    mask = holed(shape)
    found = smoothly_filled(voxels, mask)
    assert found.dtype == dtype
    assert np.array_equal(found[mask], voxels[mask])
    assert np.array_equal(found, np.rint(found)), "the voxels are whole numbers"
    assert voxels[mask].min() <= found.min()
    assert found.max() <= voxels[mask].max()


def test_a_plane_goes_on_in_its_hole():
    plane = np.add.outer(np.arange(64), 3 * np.arange(64)).astype(np.int16)
    mask = np.ones(plane.shape, bool)
    mask[24:40, 20:44] = False
    found = smoothly_filled(np.where(mask, plane, 9999).astype(np.int16), mask)
    error = np.abs(found.astype(int) - plane)[~mask]
    assert error.max() < 30, "the plane spans 84 across the hole"
    assert error.mean() < 10


def test_a_slice_that_is_all_known_or_all_hole():
    voxels = np.arange(100, 115, dtype=np.int16).reshape(3, 5)
    assert np.array_equal(smoothly_filled(voxels, np.ones((3, 5), bool)), voxels)
    assert (smoothly_filled(voxels, np.zeros((3, 5), bool)) == 107).all()


def test_the_greatest_of_64_bits_is_no_overflow():
    voxels = np.full((6, 6), np.iinfo(np.int64).max)
    assert smoothly_filled(voxels, holed((6, 6))).min() == np.iinfo(np.int64).max


def test_fractions_are_not_rounded():
    voxels = np.add.outer(np.arange(8), np.arange(8)).astype(np.float32) / 100
    mask = np.ones((8, 8), bool)
    mask[3:5, 3:5] = False
    assert smoothly_filled(voxels, mask)[3, 3] == pytest.approx(0.06, abs=0.02)
