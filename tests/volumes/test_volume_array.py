"""Arrays that are loaded when asked for: NumPy's own indexing of the same voxels is the measure."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from wsicomp.volumes.volume import Geometry, Scaling, VolumeInfo
from wsicomp.volumes.volume_array import VolumeArray

VOXELS = np.random.default_rng(3).integers(-900, 900, (5, 4, 3, 2)).astype(np.int16)


class Stack:
    """Slices of an array with nibabel's axes, and which of them were read."""

    def __init__(self, voxels, scaling=None):
        self.info = VolumeInfo(
            Path("stack"),
            "NIfTI",
            voxels.shape,
            voxels.dtype,
            voxels.nbytes,
            Geometry(affine=np.eye(4)),
            scaling or Scaling(),
        )
        self.voxels = voxels.reshape(*voxels.shape[:2], -1, order="F")
        self.read = []

    def read_slice(self, number):
        self.read.append(number)
        return self.voxels[..., number].T


@pytest.mark.parametrize(
    "key",
    [
        ...,
        (..., 1),
        (..., 1, 0),
        0,
        (slice(1, 4), slice(None, None, -1), 2),
        (1, 2, 0, 1),
        (slice(None), slice(None), slice(2, 0, -1), slice(None)),
        (slice(2, 2),),
        (..., slice(0, 0)),
        -1,
        (np.int64(2), ..., -1),
    ],
)
def test_a_key_picks_what_it_picks_of_an_array(key):
    found = VolumeArray(Stack(VOXELS))[key]
    assert np.shape(found) == VOXELS[key].shape
    assert np.array_equal(found, VOXELS[key])
    assert np.asarray(found).dtype == VOXELS.dtype


def test_only_the_slices_that_a_key_needs_are_read():
    stack = Stack(VOXELS)
    VolumeArray(stack)[..., 1, 1]
    assert stack.read == [4]


@pytest.mark.parametrize("key", [..., (..., slice(None, None, -1), 0), (0, ..., slice(None, None, -1))])
def test_slices_are_read_in_the_order_of_the_file(key):
    stack = Stack(VOXELS)
    found = VolumeArray(stack)[key]
    assert np.array_equal(found, VOXELS[key])
    assert stack.read == sorted(stack.read)
    assert found.flags.f_contiguous


@pytest.mark.parametrize("key", [..., (..., 1, 1), (0, ..., 1, 1), (..., slice(1, 2), 0)])
def test_what_a_key_picks_is_the_callers_to_write(key):
    held = VOXELS.copy()
    held.flags.writeable = False
    found = VolumeArray(Stack(held))[key]
    found += 1
    assert np.array_equal(found, VOXELS[key] + 1)
    assert np.array_equal(held, VOXELS)


@pytest.mark.parametrize(
    "key", [True, (..., False), (0, True), (0, 0, 0, 0, 0), (..., ...), ([0, 1],), 5, (..., 2), "x", None]
)
def test_a_key_that_does_not_fit_is_an_index_error(key):
    with pytest.raises(IndexError):
        VolumeArray(Stack(VOXELS))[key]


def test_numpy_takes_it_whole_and_by_dtype():
    array = VolumeArray(Stack(VOXELS))
    assert np.array_equal(np.asarray(array), VOXELS)
    assert np.asarray(array, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="copy"):
        array.__array__(copy=False)


@pytest.mark.parametrize("scaling", [Scaling(), Scaling(2.0, -1024.0)])
def test_nibabel_has_the_scaled_values_and_loads_them_late(scaling):
    stack = Stack(VOXELS[..., 0], scaling)
    image = VolumeArray(stack).to_nibabel()
    assert isinstance(image, nibabel.Nifti1Image)
    assert image.header.get_xyzt_units() == ("mm", "unknown")
    assert VolumeArray(Stack(VOXELS)).to_nibabel().header.get_xyzt_units() == ("mm", "sec")
    assert len(stack.read) <= 1  # nibabel looks at one voxel
    expected = VOXELS[..., 0] * scaling.slope + scaling.intercept
    assert np.array_equal(image.get_fdata(), expected)
    assert np.array_equal(VolumeArray(stack).get_fdata(), expected)
    assert np.array_equal(image.dataobj[..., 2], expected[..., 2])
