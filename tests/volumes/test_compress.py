"""A volume compressed and read back: every voxel, every digest, and what others make of the file."""

import json
import subprocess
import sys
import zipfile
from contextlib import closing

import nibabel
import numpy as np
import pytest

from tests.conftest import trial_size
from tests.volumes.nifti_files import nifti_file
from wsicomp.errors import ConfigError, SlideWriteError, TargetExistsError, VolumeReadError
from wsicomp.volumes.codecs.values import survey_values
from wsicomp.volumes.compress import compress_volume
from wsicomp.volumes.compressed_volume import CompressedVolume
from wsicomp.volumes.config import VolumeConfig
from wsicomp.volumes.phantom import drawn_volume
from wsicomp.volumes.planning import planned_layers
from wsicomp.volumes.restore import restore_volume
from wsicomp.volumes.verify import verify_volume

EXACT = ("jpegxl", "jpegls", "jpeg2000", "htj2k", "zstd", "bz2")
DTYPES = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64", "int64")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A drawn CT of 12 slices, as NIfTI."""
    drawn = drawn_volume(seed=4, shape=(12, 40, 48))
    return nifti_file(tmp_path_factory.mktemp("ct") / "ct.nii", drawn.voxels)


@pytest.fixture(scope="module")
def voxels(source):
    return np.asarray(nibabel.load(source).dataobj)


def compressed(source, target, **options):
    compress_volume(source, target, VolumeConfig(**options))
    return target


@pytest.mark.parametrize("codec", EXACT)
def test_every_voxel_of_a_drawn_ct_comes_back(source, voxels, tmp_path, codec):
    target = compressed(source, tmp_path / "ct.wsiv", codec=codec, lossless=True)
    with closing(CompressedVolume(target)) as volume:
        assert volume.manifest.lossless
        found = np.stack(list(volume.slices()))
    assert np.array_equal(found, voxels.transpose(2, 1, 0))
    assert not verify_volume(target, source).problems


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_bit_of_any_dtype_comes_back(tmp_path, dtype):
    random = np.random.default_rng(5)
    whole = np.frombuffer(random.bytes(3 * 7 * 5 * np.dtype(dtype).itemsize), dtype).reshape(3, 7, 5)
    source = nifti_file(tmp_path / "any.nii", whole)
    target = compressed(source, tmp_path / "any.wsiv")
    with closing(CompressedVolume(target)) as volume:
        assert np.stack(list(volume.slices())).tobytes() == whole.tobytes()


def test_the_file_is_a_zip_of_slices_that_others_decode(source, voxels, tmp_path):
    import imagecodecs

    target = compressed(source, tmp_path / "ct.wsiv")
    with zipfile.ZipFile(target) as file:
        assert file.testzip() is None
        manifest = json.loads(file.read("wsicomp.json"))
        values = manifest["layers"][0]["values"]
        first = imagecodecs.jpegxl_decode(file.read("slices/000000.jxl"))
    assert values["kind"] == "offset"
    assert np.array_equal(first.astype(int) + int(values["offset"]), voxels[..., 0].T)


def test_the_same_volume_becomes_the_same_bytes(source, tmp_path):
    one = compressed(source, tmp_path / "one.wsiv", workers=1)
    two = compressed(source, tmp_path / "two.wsiv", workers=3)
    assert one.read_bytes() == two.read_bytes()


def test_a_target_that_exists_stays_and_a_source_is_never_written(source, tmp_path):
    target = compressed(source, tmp_path / "ct.wsiv")
    before = target.read_bytes()
    with pytest.raises(TargetExistsError, match="exists already"):
        compress_volume(source, target)
    assert target.read_bytes() == before
    with pytest.raises(SlideWriteError):
        compress_volume(target, target, VolumeConfig(overwrite=True))
    assert target.read_bytes() == before


def test_a_window_loses_only_what_is_outside_it(source, voxels, tmp_path):
    target = compressed(source, tmp_path / "ct.wsiv", window="-200,300")
    with closing(CompressedVolume(target)) as volume:
        found = np.stack(list(volume.slices()))
        stated = volume.manifest.inside
    expected = np.clip(voxels, -200, 300).transpose(2, 1, 0)
    assert np.array_equal(found, expected)
    assert stated.changed == int((voxels != np.clip(voxels, -200, 300)).sum())
    assert stated.most == np.abs(voxels.astype(int) - np.clip(voxels, -200, 300)).max()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"lossless": True, "quality": 50.0}, "`lossless=True` keeps every voxel"),
        ({"codec": "zstd", "quality": 5.0}, "takes no `quality`"),
        ({"roi_labels": (1,)}, "add `roi`"),
        ({"roi_form": "box"}, "add `roi`"),
        ({"roi_resample": True}, "add `roi`"),
        ({"window": "5,1"}, "expected LOW below HIGH"),
        ({"window": "x"}, "expected LOW,HIGH"),
        ({"codec": "jpegxl", "rate": 5.0}, "rate"),
    ],
)
def test_options_that_contradict_are_one_line_and_nothing_is_written(source, tmp_path, options, match):
    with pytest.raises(ConfigError, match=match):
        compress_volume(source, tmp_path / "ct.wsiv", VolumeConfig(**options))
    assert not list(tmp_path.iterdir())


def test_what_a_volume_does_not_allow_is_said_with_its_name(source, tmp_path):
    with pytest.raises(ConfigError) as caught:
        compress_volume(source, tmp_path / "ct.wsiv", VolumeConfig(codec="hevc", effort=3))
    assert str(caught.value).startswith(f"{source}: hevc has no `effort`")


def test_nan_is_kept_without_loss_and_refused_with(tmp_path):
    voxels = np.random.default_rng(2).normal(size=(3, 8, 8)).astype(np.float32)
    voxels[1, 2, 3], voxels[2, 0, 0] = np.nan, -np.inf
    source = nifti_file(tmp_path / "nan.nii", voxels)
    target = compressed(source, tmp_path / "nan.wsiv")
    with closing(CompressedVolume(target)) as volume:
        assert np.stack(list(volume.slices())).tobytes() == voxels.tobytes()
    for options in ({"quality": 50.0}, {"window": "0,1"}):
        with pytest.raises(ConfigError, match="NaN or infinite"):
            compress_volume(source, tmp_path / "lossy.wsiv", VolumeConfig(**options))
        assert not (tmp_path / "lossy.wsiv").exists()


def test_a_diffused_volume_is_read_back_and_says_how_it_was_smoothed(source, voxels, tmp_path):
    organ = np.zeros(voxels.T.shape, np.uint8)
    organ[:, 10:30, 12:36] = 1
    map_file = nifti_file(tmp_path / "organ.nii", organ)
    target = compressed(source, tmp_path / "ct.wsiv", diffuse=map_file)
    with closing(CompressedVolume(target)) as volume:
        found = np.stack(list(volume.slices()))
        stated = volume.manifest
    assert (stated.diffused["iterations"], stated.diffused["conductance"]) == (15, 0.4)
    differs = found != voxels.T
    assert not differs[organ > 0].any()
    assert stated.outside.changed == int(differs.sum()) > 0


def damaged(target, seed):
    """Write a file with some of its bytes changed, cut off, or repeated."""
    random = np.random.default_rng(seed)
    data = bytearray(target.read_bytes())
    how, place = random.integers(4), int(random.integers(len(data)))
    if how == 0:
        data[place] ^= int(random.integers(1, 256))
    elif how == 1:
        del data[place:]
    elif how == 2:
        data[place : place + 16] = random.bytes(16)
    else:
        del data[place : place + int(random.integers(1, 64))]
    path = target.with_name(f"damaged-{seed}.wsiv")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("codec", [*EXACT, "hevc", "ffv1"])
def test_damage_is_an_error_or_exact_voxels(source, voxels, tmp_path, codec):
    target = compressed(source, tmp_path / "ct.wsiv", codec=codec)
    told = []
    for seed in range(trial_size(25, full=1000)):
        path = damaged(target, seed)
        try:
            with closing(CompressedVolume(path)) as volume:
                found = np.stack(list(volume.slices()))
        except VolumeReadError as exc:
            told.append((exc.path, str(path)))
        else:
            assert np.array_equal(found, voxels.transpose(2, 1, 0))
        path.unlink()
    assert len(told) > 15
    assert all(named == path for named, path in told)


def test_compressing_loads_no_network_library(source, tmp_path):
    code = (
        "import sys; from wsicomp.cli import main; "
        f"main(['volume', 'compress', {str(source)!r}, {str(tmp_path / 'a.wsiv')!r}]); "
        "print(sorted({'torch', 'tensorflow', 'av', 'nrrd', 'SimpleITK', 'keras'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("side", "slab"), [(64, 16), (1024, 16), (2048, 4), (8192, 1)])
def test_videos_of_large_slices_hold_fewer(side, slab):
    survey = survey_values([np.arange(16, dtype=np.int16).reshape(4, 4)])
    (layer,) = planned_layers(survey, VolumeConfig(codec="hevc"), (side, side))
    assert layer.slab == slab


def test_a_file_of_voxels_beside_its_header_is_no_target(voxels, tmp_path):
    import nrrd

    nrrd.write(str(tmp_path / "ct.nhdr"), voxels, detached_header=True)
    (tmp_path / "ct.nhdr").write_text((tmp_path / "ct.nhdr").read_text().replace("ct.raw.gz", "ct.wsiv"))
    (data,) = (path for path in tmp_path.iterdir() if path.suffix != ".nhdr")
    before = data.rename(tmp_path / "ct.wsiv").read_bytes()
    with pytest.raises(SlideWriteError):
        compress_volume(tmp_path / "ct.nhdr", tmp_path / "ct.wsiv", VolumeConfig(overwrite=True))
    assert (tmp_path / "ct.wsiv").read_bytes() == before


def test_what_was_compressed_with_loss_is_no_source_and_without_loss_is_one(source, tmp_path):
    lossy = compressed(source, tmp_path / "lossy.wsiv", quality=20.0)
    with pytest.raises(ConfigError, match="compress the source itself"):
        compress_volume(lossy, tmp_path / "again.wsiv")
    exact = compressed(source, tmp_path / "exact.wsiv", codec="jpegls")
    again = compressed(exact, tmp_path / "again.wsiv", codec="jpegxl")
    assert restore_volume(again, tmp_path / "again.nii", exact=True).exact
    assert (tmp_path / "again.nii").read_bytes() == source.read_bytes()


def test_a_label_that_no_voxel_has_is_told(source, tmp_path):
    drawn = drawn_volume(seed=4, shape=(12, 40, 48))
    labels = nifti_file(tmp_path / "labels.nii", drawn.labels)
    config = VolumeConfig(roi=str(labels), roi_labels=(6, 77), rest_codec="jpegxl")
    report = compress_volume(source, tmp_path / "ct.wsiv", config)
    assert any("77" in note for note in report.notes)
