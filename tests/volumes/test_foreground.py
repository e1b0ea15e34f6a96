"""The body of drawn and of real volumes: all labelled voxels in it, and little air."""

import numpy as np
import pytest
import SimpleITK

from tests.paths import SHARED
from tests.volumes.held import HeldVolume
from wsicomp.volumes.foreground import body_of
from wsicomp.volumes.phantom import drawn_volume
from wsicomp.volumes.volume import Scaling

REAL = SHARED / "data/volumes"


def body(volume):
    masks = np.stack([mask.pixels() for mask in body_of(volume).masks])
    return masks.reshape(volume.voxels.shape)


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32"])
def test_every_labelled_voxel_is_body_and_most_air_is_not(modality, dtype):
    drawn = drawn_volume(5, (10, 128, 128), modality, dtype)
    found = body(HeldVolume(drawn.voxels))
    assert found[drawn.labels > 0].all()
    assert found[drawn.labels == 0].mean() < 0.3


def test_ct_is_told_by_its_hounsfield_units_with_or_without_a_scaling():
    drawn = drawn_volume(5, (6, 96, 96), "CT")
    plain = body_of(HeldVolume(drawn.voxels))
    scaled = body_of(HeldVolume(drawn.voxels + 1024, scaling=Scaling(1.0, -1024.0), modality="CT"))
    assert plain.rule == scaled.rule == "body above -400 HU"
    for one, other in zip(plain.masks, scaled.masks, strict=True):
        np.testing.assert_array_equal(one.words, other.words)


def test_mr_is_never_taken_for_ct():
    drawn = drawn_volume(5, (6, 96, 96), "CT")
    assert "Otsu" in body_of(HeldVolume(drawn.voxels, modality="MR")).rule


def test_the_table_is_no_body_and_a_lone_arm_is():
    drawn = drawn_volume(5, (8, 160, 160), "CT")
    table = (drawn.labels == 0) & (drawn.voxels > -500)
    table[:, :130] = False
    assert table.any()
    voxels = drawn.voxels.copy()
    voxels[:, 5:35, 3:33] = 40
    found = body(HeldVolume(voxels))
    assert found[:, 5:35, 3:33].all()
    assert found[table].mean() < 0.05


def test_the_scale_of_values_makes_no_difference():
    drawn = drawn_volume(5, (6, 96, 96), "MR", "float32")
    np.testing.assert_array_equal(
        body(HeldVolume(drawn.voxels)), body(HeldVolume(drawn.voxels / np.float32(4096)))
    )


def test_voxels_that_are_not_finite_make_no_difference_to_the_rest():
    drawn = drawn_volume(5, (6, 96, 96), "MR", "float32")
    voxels = drawn.voxels.copy()
    voxels[2, 0, 0], voxels[3, 0, 1] = np.nan, -np.inf
    assert (body(HeldVolume(voxels)) != body(HeldVolume(drawn.voxels))).mean() < 0.001


@pytest.mark.parametrize("value", [0, 7])
def test_a_volume_of_one_value_has_no_body(value):
    found = body_of(HeldVolume(np.full((2, 5, 6), value, np.int16)))
    assert found.rule == "all voxels have one value"
    assert not any(mask.words.any() for mask in found.masks)
    assert not any(mask.words.any() for mask in body_of(HeldVolume(np.full((2, 5, 6), np.nan))).masks)


def test_times_stand_by_themselves():
    one, other = (drawn_volume(seed, (4, 64, 64), "CT").voxels for seed in (1, 2))
    both = body(HeldVolume(np.stack([one, other])))
    np.testing.assert_array_equal(both[0], body(HeldVolume(one)))
    np.testing.assert_array_equal(both[1], body(HeldVolume(other)))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real volumes in {REAL}")
@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("brain1_image.nrrd", "brain1_label.nrrd"),
        ("lung1_image.nrrd", "lung1_label.nrrd"),
        ("ts_example_ct_sm.nii.gz", "ts_example_seg.nii.gz"),
        ("ts_example_mr_sm.nii.gz", "ts_example_seg_mr.nii.gz"),
    ],
)
def test_every_labelled_voxel_of_real_volumes_is_body(name, labels):
    voxels, named = (
        SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(REAL / each))) for each in (name, labels)
    )
    found = body(HeldVolume(voxels))
    assert found[named > 0].all()
    assert found.mean() < 0.9
