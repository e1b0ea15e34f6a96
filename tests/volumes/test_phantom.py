"""Drawn volumes: repeatable, truly labelled, and about as hard to compress as real ones."""

import itertools

import imagecodecs
import numpy as np
import pytest

from wsicomp.volumes.phantom import PHANTOM_PARTS, drawn_slices, drawn_volume


def lossless_ratio(voxels):
    planes = (voxels.astype(np.int32) - int(voxels.min())).astype(np.uint16)
    return planes.nbytes / sum(len(imagecodecs.jpegxl_encode(plane, lossless=True)) for plane in planes)


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_the_same_seed_draws_the_same_volume_and_another_seed_another(modality):
    first, again = (drawn_volume(3, (4, 40, 50), modality) for _ in range(2))
    other = drawn_volume(4, (4, 40, 50), modality)
    np.testing.assert_array_equal(first.voxels, again.voxels)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.voxels != other.voxels).mean() > 0.5


def test_slices_of_a_huge_volume_are_drawn_one_by_one():
    drawn = drawn_slices(1, (1 << 40, 30, 20), "CT")
    for voxels, labels in itertools.islice(drawn, 2):
        assert voxels.shape == labels.shape == (30, 20)
        assert voxels.dtype == np.int16
        assert labels.dtype == np.uint8


def test_values_of_ct_are_the_hounsfield_units_of_what_the_labels_name():
    drawn = drawn_volume(1, (12, 160, 160), "CT")
    found = {
        name: np.median(drawn.voxels[drawn.labels == label]) for label, name in enumerate(PHANTOM_PARTS["CT"])
    }
    expected = {"outside": -1000, "fat": -100, "muscle": 40, "lung": -850, "heart": 130, "liver": 85}
    for name, value in expected.items():
        assert abs(found[name] - value) < 40, name
    assert found["bone"] > 200


def test_every_part_is_drawn_and_the_grey_matter_of_mr_is_darker_than_the_white():
    drawn = drawn_volume(1, (16, 128, 128), "MR")
    assert set(np.unique(drawn.labels)) == set(range(len(PHANTOM_PARTS["MR"])))
    grey, white = (
        np.median(drawn.voxels[drawn.labels == PHANTOM_PARTS["MR"].index(name)])
        for name in ("grey matter", "white matter")
    )
    assert grey + 100 < white


@pytest.mark.parametrize(("modality", "least", "most"), [("CT", 3.0, 5.0), ("MR", 2.2, 3.2)])
def test_lossless_jpeg_xl_does_about_as_well_as_on_real_volumes(modality, least, most):
    assert least < lossless_ratio(drawn_volume(2, (6, 256, 256), modality).voxels) < most


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32", "float32", "float64"]
)
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_every_dtype_holds_the_picture(modality, dtype):
    drawn = drawn_volume(1, (3, 48, 48), modality, dtype)
    reference = drawn_volume(1, (3, 48, 48), modality).voxels
    assert drawn.voxels.dtype == dtype
    assert np.corrcoef(drawn.voxels.ravel().astype(float), reference.ravel())[0, 1] > 0.99
    if dtype.startswith("float"):
        assert (drawn.voxels != np.rint(drawn.voxels)).mean() > 0.5


def test_unsigned_ct_has_1024_added_and_signed_does_not():
    signed = drawn_volume(1, (2, 48, 48), "CT").voxels
    np.testing.assert_array_equal(
        drawn_volume(1, (2, 48, 48), "CT", "uint16").voxels, signed.astype(int) + 1024
    )


def test_padding_lies_outside_the_circle_of_reconstruction():
    padded = drawn_volume(1, (2, 64, 64), "CT", padded=True).voxels
    assert (padded[:, 0, 0] == -1024).all()
    assert (padded == -1024).mean() == pytest.approx(1 - np.pi / 4, abs=0.03)


def test_neighbouring_slices_show_the_same_body():
    labels = drawn_volume(1, (40, 64, 64), "CT").labels
    assert (labels[1:] != labels[:-1]).mean() < 0.05
