"""Volumes whose values codecs with loss cannot take: NaN around a brain, values without 0, 64 bits, 1e305."""

import warnings

import nibabel
import numpy as np
import pytest

from tests.volumes.nifti_files import nifti_file
from wsicomp.errors import ConfigError, VerificationError
from wsicomp.volumes import compress
from wsicomp.volumes.compress import compress_volume
from wsicomp.volumes.config import VolumeConfig
from wsicomp.volumes.restore import restore_volume
from wsicomp.volumes.verify import verify_volume

SHAPE = (6, 20, 24)
ORGAN = np.zeros(SHAPE, np.uint8)
ORGAN[2:4, 6:15, 5:12] = 1
"""In two slices of six: the others have no region at all."""


def drawn(name):
    """(slices, rows, columns) by what their values are like; 0 is in none."""
    rng = np.random.default_rng(3)
    if name == "from 500":
        return rng.integers(500, 900, SHAPE).astype(np.int16)
    if name == "few far apart":
        return (rng.integers(0, 5, SHAPE) * 1000 + 500).astype(np.int16)
    if name == "three fractions":
        return rng.choice(np.array([0.1, 0.2, 0.35], np.float32), SHAPE)
    values = rng.normal(50, 9, SHAPE).astype(np.float32)
    if name == "NaN around":
        values[ORGAN == 0] = np.nan
    else:
        values[:, :, :4], values[3, 7, 8], values[0, 0, 9] = np.nan, -np.inf, np.inf
        values[4] = np.nan
    return values


@pytest.fixture
def organ(tmp_path):
    return nifti_file(tmp_path / "organ.nii", ORGAN)


def restored(source, target, **options):
    """The voxels that come back, after verify has compared them with the source."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compress_volume(source, target, VolumeConfig(**options))
        assert verify_volume(target, source).problems == ()
        restore_volume(target, target.with_suffix(".again.nii"))
    return np.asarray(nibabel.load(target.with_suffix(".again.nii")).dataobj).T


@pytest.mark.parametrize("rest", ["hevc", "jpegxl", "jpeg", "jpeg2000"])
@pytest.mark.parametrize("name", ["from 500", "few far apart", "three fractions", "NaN around", "NaN in all"])
def test_a_region_is_exact_whatever_the_values_are_and_what_is_no_number_stays(tmp_path, organ, name, rest):
    voxels = drawn(name)
    source = nifti_file(tmp_path / "odd.nii", voxels)
    found = restored(source, tmp_path / "odd.wsiv", roi=str(organ), rest_codec=rest)
    kept = (ORGAN > 0) | ~np.isfinite(voxels)
    assert found[kept].tobytes() == voxels[kept].tobytes()
    assert np.isfinite(found[~kept]).all()


@pytest.mark.parametrize("name", ["from 500", "few far apart", "three fractions", "NaN around", "NaN in all"])
def test_whatever_the_values_are_they_are_smoothed_outside_an_organ_alone(tmp_path, organ, name):
    voxels = drawn(name)
    source = nifti_file(tmp_path / "odd.nii", voxels)
    found = restored(source, tmp_path / "odd.wsiv", diffuse=organ)
    kept = (ORGAN > 0) | ~np.isfinite(voxels)
    assert found[kept].tobytes() == voxels[kept].tobytes()
    assert kept.all() or (found[~kept] != voxels[~kept]).any()


def test_the_body_is_found_though_all_around_it_is_nan(tmp_path):
    voxels = np.where(ORGAN > 0, np.random.default_rng(1).normal(300, 9, SHAPE), 5).astype(np.float32)
    voxels[:, :4] = np.nan
    source = nifti_file(tmp_path / "odd.nii", voxels)
    found = restored(source, tmp_path / "odd.wsiv", roi="auto")
    assert np.array_equal(np.isnan(found), np.isnan(voxels))
    assert np.array_equal(found[ORGAN > 0], voxels[ORGAN > 0])


@pytest.mark.parametrize(
    "options", [{"quality": 2.0, "codec": "jpegls"}, {"window": "0,18000000000000000000"}]
)
def test_a_loss_of_64_bits_stays_within_them(tmp_path, options):
    voxels = np.random.default_rng(2).integers(0, 1 << 64, SHAPE, np.uint64)
    voxels[0, 0, :2] = 0, np.iinfo(np.uint64).max
    source = nifti_file(tmp_path / "wide.nii", voxels)
    found = restored(source, tmp_path / "wide.wsiv", **options)
    within = voxels <= np.uint64(18_000_000_000_000_000_000)
    off = np.abs(found[within].astype(np.float64) - voxels[within].astype(np.float64))
    assert off.max() < 2e15  # some of 65535 steps


@pytest.mark.parametrize("options", [{"quality": 50.0}, {"window": "0,1"}, {"roi": "auto"}])
def test_values_too_far_apart_to_count_a_loss_are_one_line(tmp_path, options):
    voxels = np.random.default_rng(2).normal(size=SHAPE) * 1e305
    source = nifti_file(tmp_path / "far.nii", voxels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigError, match="too far apart to lose something"):
            compress_volume(source, tmp_path / "far.wsiv", VolumeConfig(**options))
    assert [each.name for each in tmp_path.iterdir()] == ["far.nii"]
    assert restored(source, tmp_path / "far.wsiv").tobytes() == voxels.tobytes()


def test_a_region_with_loss_takes_no_nan(tmp_path, organ):
    source = nifti_file(tmp_path / "odd.nii", drawn("NaN around"))
    with pytest.raises(ConfigError, match="NaN or infinite"):
        compress_volume(source, tmp_path / "odd.wsiv", VolumeConfig(roi=str(organ), roi_quality=50.0))


def test_a_file_that_could_not_be_read_again_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(compress.Manifest, "encoded", lambda self: b'{"version": NaN}')
    source = nifti_file(tmp_path / "plain.nii", drawn("from 500"))
    with pytest.raises(VerificationError, match="malformed"):
        compress_volume(source, tmp_path / "plain.wsiv")
    assert [each.name for each in tmp_path.iterdir()] == ["plain.nii"]
