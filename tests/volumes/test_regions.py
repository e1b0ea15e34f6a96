"""Regions from labels that nibabel and SimpleITK wrote, from the body, and from Segment Anything."""

import nibabel
import numpy as np
import pytest
import SimpleITK
from scipy import ndimage

from tests.paths import SHARED
from tests.volumes.held import HeldVolume
from wsicomp.errors import ConfigError
from wsicomp.tissue.segmenters.sam import base
from wsicomp.volumes import sam_outlines as outlines
from wsicomp.volumes.foreground import body_of
from wsicomp.volumes.phantom import drawn_volume
from wsicomp.volumes.regions import RegionOptions, probability_slices, region_of

REAL = SHARED / "data/volumes"
SPACING = (0.8, 0.8, 3.0)


@pytest.fixture(scope="module")
def drawn():
    return drawn_volume(1, (6, 40, 48), "CT")


@pytest.fixture
def volume(drawn):
    return HeldVolume(drawn.voxels, SPACING, name="chest.nii")


def saved(path, array, affine=None, slope=None):
    """Write (slices, rows, columns) or (times, slices, rows, columns) by nibabel."""
    affine = np.diag([*SPACING, 1.0]) if affine is None else affine
    image = nibabel.Nifti1Image(np.ascontiguousarray(array.T), affine)
    if slope is not None:
        image.header.set_slope_inter(slope, 0)
    nibabel.save(image, path)
    return path


def masks(region):
    return np.stack(list(region.masks()))


def test_all_labels_but_0_are_the_region(volume, drawn, tmp_path):
    region = region_of(volume, saved(tmp_path / "labels.nii.gz", drawn.labels))
    np.testing.assert_array_equal(masks(region), drawn.labels > 0)
    np.testing.assert_array_equal(region.mask(2), drawn.labels[2] > 0)
    assert region.source == "all labels but 0"
    assert region.voxels == np.count_nonzero(drawn.labels)
    assert region.share == pytest.approx((drawn.labels > 0).mean())


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_chosen_labels_are_the_region(volume, drawn, tmp_path, dtype):
    path = saved(tmp_path / "labels.nii", drawn.labels.astype(dtype))
    region = region_of(volume, path, RegionOptions(labels=(6, 7)))
    np.testing.assert_array_equal(masks(region), np.isin(drawn.labels, (6, 7)))
    assert region.source == "labels 6, 7"


def test_labels_with_a_slope_are_what_they_stand_for(volume, drawn, tmp_path):
    path = saved(tmp_path / "labels.nii", drawn.labels, slope=2.0)
    stored = nibabel.load(path)
    assert set(np.unique(stored.get_fdata())) == {2.0 * label for label in np.unique(drawn.labels)}
    region = region_of(volume, path, RegionOptions(labels=(12,)))
    np.testing.assert_array_equal(masks(region), drawn.labels == 6)


def test_labels_of_nrrd_are_read_too(volume, drawn, tmp_path):
    image = SimpleITK.GetImageFromArray(drawn.labels)
    image.SetSpacing(SPACING)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))  # ITK counts to the left and back, NIfTI to the right
    SimpleITK.WriteImage(image, str(tmp_path / "labels.nrrd"))
    np.testing.assert_array_equal(masks(region_of(volume, tmp_path / "labels.nrrd")), drawn.labels > 0)


@pytest.mark.parametrize("form", ["box", "slice-box"])
def test_a_box_surrounds_the_region(volume, drawn, tmp_path, form):
    path = saved(tmp_path / "labels.nii", drawn.labels)
    region = masks(region_of(volume, path, RegionOptions(labels=(6,), form=form)))
    inside = drawn.labels == 6
    expected = np.zeros_like(inside)
    parts = [(expected, inside)] if form == "box" else list(zip(expected, inside, strict=True))
    for target, part in parts:
        if part.any():
            target[ndimage.find_objects(part.astype(int))[0]] = True
    assert inside.sum() < expected.sum()
    np.testing.assert_array_equal(region, expected)


def test_a_margin_is_in_mm(volume, drawn, tmp_path):
    path = saved(tmp_path / "labels.nii", drawn.labels)
    region = region_of(volume, path, RegionOptions(labels=(8,), margin_mm=4.0))
    distances = ndimage.distance_transform_edt(drawn.labels != 8, SPACING[::-1])
    np.testing.assert_array_equal(masks(region), distances <= 4.0 + 1e-7)


def test_labels_of_three_dimensions_count_for_every_time(drawn, tmp_path):
    volume = HeldVolume(np.stack([drawn.voxels, drawn.voxels]), SPACING)
    path = saved(tmp_path / "labels.nii", drawn.labels)
    region = masks(region_of(volume, path, RegionOptions(margin_mm=3.0)))
    np.testing.assert_array_equal(region[:6], region[6:])
    both = np.stack([drawn.labels, np.roll(drawn.labels, 5, axis=2)])
    own = masks(region_of(volume, saved(tmp_path / "times.nii", both)))
    np.testing.assert_array_equal(own, both.reshape(12, 40, 48) > 0)


def shifted(by):
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = by
    return affine


def flipped(columns):
    affine = np.diag([*SPACING, 1.0])
    affine[0, 0], affine[0, 3] = -SPACING[0], SPACING[0] * (columns - 1)
    return affine


@pytest.mark.parametrize(
    ("change", "affine", "words"),
    [
        (lambda labels: labels[:, 1:], None, "48 x 39 x 6 voxels of 0.8 x 0.8 x 3 mm"),
        (lambda labels: labels[1:], None, "48 x 40 x 5 voxels"),
        (lambda labels: labels, shifted((0, 0.1, 0)), "from \\(0, 0.1, 0\\) along RAS"),
        (lambda labels: labels, flipped(48), "along LAS"),
        (lambda labels: labels, np.diag([0.8, 0.8, 3.1, 1]), "of 0.8 x 0.8 x 3.1 mm"),
        (lambda labels: np.stack([labels] * 3), None, "48 x 40 x 6 x 3 voxels"),
    ],
)
def test_labels_of_another_grid_are_refused_in_one_line_with_both_grids(
    volume, drawn, tmp_path, change, affine, words
):
    path = saved(tmp_path / "labels.nii", change(drawn.labels), affine)
    with pytest.raises(ConfigError, match=words) as caught:
        region_of(volume, path)
    message = str(caught.value)
    assert "the volume's is 48 x 40 x 6 voxels of 0.8 x 0.8 x 3 mm from (0, 0, 0) along RAS" in message
    assert "roi_resample" in message
    assert str(path) in message
    assert "\n" not in message


@pytest.mark.parametrize("by", [1e-5, 5e-3])
def test_a_grid_that_differs_by_rounding_is_the_same(volume, drawn, tmp_path, by):
    path = saved(tmp_path / "labels.nii", drawn.labels, shifted((by, 0, 0)))
    np.testing.assert_array_equal(masks(region_of(volume, path)), drawn.labels > 0)


def oblique():
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    return turn @ shifted((1.3, -2.1, 0.7))


@pytest.mark.parametrize("affine", [flipped(48), oblique(), np.diag([1.1, 0.63, 2.2, 1])])
def test_resampled_labels_are_those_of_simpleitk(volume, drawn, tmp_path, affine):
    path = saved(tmp_path / "labels.nii", drawn.labels, affine)
    region = region_of(volume, path, RegionOptions(resample=True))
    target = tmp_path / "volume.nii"
    saved(target, drawn.voxels)
    theirs = SimpleITK.Resample(
        SimpleITK.ReadImage(str(path)),
        SimpleITK.ReadImage(str(target)),
        interpolator=SimpleITK.sitkNearestNeighbor,
    )
    different = masks(region) != (SimpleITK.GetArrayFromImage(theirs) > 0)
    assert different.mean() < 2e-3  # ties, and ITK's own limit of the last half voxel
    assert region.source == "all labels but 0, resampled to the nearest voxel"


def test_flipped_labels_come_back_exactly(volume, drawn, tmp_path):
    path = saved(tmp_path / "labels.nii", drawn.labels[:, :, ::-1], flipped(48))
    region = region_of(volume, path, RegionOptions(resample=True))
    np.testing.assert_array_equal(masks(region), drawn.labels > 0)


def test_nothing_is_resampled_where_a_place_is_not_stated(drawn, tmp_path):
    volume = HeldVolume(drawn.voxels[1:], None)
    path = saved(tmp_path / "labels.nii", drawn.labels)
    with pytest.raises(ConfigError, match="does not say where its voxels lie"):
        region_of(volume, path, RegionOptions(resample=True))


def test_a_volume_without_a_stated_place_takes_labels_of_its_shape(drawn, tmp_path):
    region = region_of(HeldVolume(drawn.voxels, None), saved(tmp_path / "labels.nii", drawn.labels))
    np.testing.assert_array_equal(masks(region), drawn.labels > 0)


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        (np.zeros((6, 40, 48), np.uint8), RegionOptions(), "no voxel has a label; all are 0"),
        (np.eye(40, 48, dtype=np.uint8)[None] * np.ones((6, 1, 1), np.uint8), RegionOptions(labels=(3, 4)),
         "no voxel has label 3, 4; its labels are 0, 1"),
        (np.full((6, 40, 48), 0.5, np.float32), RegionOptions(), "holds 0.5, which is no label"),
        (np.full((6, 40, 48), np.nan, np.float32), RegionOptions(), "holds nan, which is no label"),
        (np.full((6, 40, 48), np.inf, np.float32), RegionOptions(), "holds inf, which is no label"),
        (np.ones((6, 40, 48), np.uint8), RegionOptions(margin_mm=-1.0), "expected mm of 0 or more"),
    ],
)  # fmt: skip
def test_labels_that_make_no_region_are_refused(volume, tmp_path, labels, options, words):
    with pytest.raises(ConfigError, match=words):
        region_of(volume, saved(tmp_path / "labels.nii", labels), options)


def test_what_is_odd_is_remarked(volume, drawn, tmp_path):
    path = saved(tmp_path / "labels.nii", drawn.labels)
    assert region_of(volume, path, RegionOptions(labels=(6, 99))).remarks == ("no voxel has label 99",)
    everything = region_of(volume, saved(tmp_path / "all.nii", np.ones_like(drawn.labels)))
    assert everything.remarks == ("every voxel is in the region, so nothing can be coarser",)


def test_the_body_is_the_region_auto(volume):
    region = region_of(volume, "auto")
    np.testing.assert_array_equal(masks(region), np.stack([mask.pixels() for mask in body_of(volume).masks]))
    assert region.source == "body above -400 HU"


@pytest.mark.parametrize(
    ("volume_", "options", "words"),
    [
        (HeldVolume(np.zeros((3, 8, 8), np.int16)), RegionOptions(), "nothing is in the region"),
        (HeldVolume(np.zeros((3, 8, 8), np.int16)), RegionOptions(labels=(1,)), "`roi_labels` chooses"),
        (
            HeldVolume(np.zeros((3, 8, 8), np.int16), None),
            RegionOptions(margin_mm=1.0),
            "`roi_margin_mm` needs",
        ),
    ],
)
def test_a_body_that_cannot_be_found_is_said(volume_, options, words):
    with pytest.raises(ConfigError, match=words):
        region_of(volume_, "auto", options)


class BoxNetwork:
    """Outlines the box that it is given."""

    name, sha256, side_px, knows_points = "box", "0" * 64, 256, False

    def embed(self, pixels):
        assert pixels.dtype == np.uint8
        assert max(pixels.shape[:2]) == 256
        return pixels.shape[:2]

    def outline(self, embedding, prompts, several):
        (left, top, first), (right, bottom, last) = prompts[0]
        assert (first, last) == base.LABELS_OF_BOX
        logits = np.full((1, 256, 256), -1, np.float32)
        logits[0, round(top) : round(bottom), round(left) : round(right)] = 1
        return logits, np.ones(1, np.float32)


def test_segment_anything_is_shown_each_slice_and_the_box_of_its_body(volume, monkeypatch):
    monkeypatch.setattr(outlines, "open_network", lambda weights, threads: BoxNetwork())
    outlined = region_of(volume, "sam")
    region = masks(outlined)
    assert outlined.source == "outlines by box in the box of each slice's body"
    assert outlined.remarks[0].endswith("of the body found by values lies outside these outlines")
    boxes = masks(region_of(volume, "auto", RegionOptions(form="slice-box")))
    assert (region != boxes).mean() < 0.02
    assert region.any(axis=(1, 2)).all()


def test_a_slice_without_a_body_is_not_shown_to_segment_anything(drawn, monkeypatch):
    monkeypatch.setattr(outlines, "open_network", lambda weights, threads: BoxNetwork())
    voxels = drawn.voxels.copy()
    voxels[0] = -1000
    region = masks(region_of(HeldVolume(voxels, SPACING), "sam"))
    assert not region[0].any()
    assert region[1].any()


def test_probabilities_come_slice_by_slice(volume, tmp_path):
    probability = np.random.default_rng(1).random((6, 40, 48)).astype(np.float32)
    found = np.stack(list(probability_slices(volume, saved(tmp_path / "p.nii.gz", probability))))
    np.testing.assert_array_equal(found, probability)


def test_labels_are_a_probability_of_certain_voxels(volume, drawn, tmp_path):
    found = np.stack(list(probability_slices(volume, saved(tmp_path / "labels.nii", drawn.labels))))
    np.testing.assert_array_equal(found, drawn.labels > 0)


def test_integers_with_a_slope_are_probabilities(volume, drawn, tmp_path):
    path = saved(tmp_path / "p.nii", np.clip(drawn.labels * 30, 0, 255).astype(np.uint8), slope=1 / 255)
    found = np.stack(list(probability_slices(volume, path)))
    np.testing.assert_allclose(found, drawn.labels * 30 / 255, rtol=1e-6)


@pytest.mark.parametrize("value", [1.5, -0.1, np.nan])
def test_what_is_no_probability_is_refused(volume, tmp_path, value):
    path = saved(tmp_path / "p.nii", np.full((6, 40, 48), value, np.float32))
    with pytest.raises(ConfigError, match="outside \\[0, 1\\]"):
        list(probability_slices(volume, path))


def test_a_probability_of_another_grid_is_refused(volume, tmp_path):
    path = saved(tmp_path / "p.nii", np.zeros((6, 40, 47), np.float32))
    with pytest.raises(ConfigError, match=r"47 x 40 x 6 voxels.*the volume's is 48 x 40 x 6.*resample it"):
        list(probability_slices(volume, path))
