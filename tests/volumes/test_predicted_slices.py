"""Slices stored as differences from their neighbours: smaller where these are close, and without loss."""

import json
import shutil
import zipfile
from contextlib import closing

import imagecodecs
import nibabel
import numpy as np
import pytest

from tests.volumes.nifti_files import nifti_file
from wsicomp.errors import ConfigError, VolumeReadError
from wsicomp.volumes.compress import compress_volume
from wsicomp.volumes.compressed_volume import CompressedVolume
from wsicomp.volumes.config import VolumeConfig
from wsicomp.volumes.restore import restore_volume
from wsicomp.volumes.verify import verify_volume

EXACT = ("jpegxl", "jpegls", "jpeg2000", "htj2k", "zstd", "bz2")
COUNT = 22
"""A slab of 17 slices and another of 5: the last of each is stored by itself."""
BETWEEN = {*range(1, 17, 2), 18, 20}


def close_slices(dtype="int16", count=COUNT):
    """Return (slices, rows, columns) in which each slice is much like the next, but for a little noise."""
    random = np.random.default_rng(8)
    texture = np.cumsum(random.normal(size=(2, 40, 48)), axis=2) * 100
    weights = np.linspace(0, 1, count)[:, None, None]
    smooth = texture[0] * weights + texture[1] * (1 - weights)
    return np.rint(smooth + random.normal(0, 2, smooth.shape)).astype(dtype)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return nifti_file(tmp_path_factory.mktemp("close") / "close.nii", close_slices())


@pytest.fixture(scope="module")
def voxels(source):
    return np.asarray(nibabel.load(source).dataobj).transpose(2, 1, 0)


@pytest.fixture(scope="module")
def predicted(source):
    target = source.with_name("close.wsiv")
    compress_volume(source, target, VolumeConfig(predict=True, lossless=True))
    return target


def between(target):
    """Return the numbers of the slices that the file stores as differences."""
    names = zipfile.ZipFile(target).namelist()
    return {int(name[7:13]) for name in names if name.startswith("slices/") and ".between" in name}


def test_imagecodecs_and_the_neighbours_give_the_voxels(predicted, voxels):
    with zipfile.ZipFile(predicted) as file:
        values = json.loads(file.read("wsicomp.json"))["layers"][0]["values"]
        before, after = (
            imagecodecs.jpegxl_decode(file.read(f"slices/{number:06}.jxl")).astype(int) for number in (6, 8)
        )
        coded = imagecodecs.jpegxl_decode(file.read("slices/000007.between.jxl")).astype(int)
        assert "slices/000007.jxl" not in file.namelist()
    (bits,) = values["plane_bits"]
    samples = (coded - 2 ** (bits - 1) + (before + after) // 2) % 2**bits
    assert values["kind"] == "offset"
    assert np.array_equal(samples + int(values["offset"]), voxels[7])


@pytest.mark.parametrize("codec", EXACT)
def test_every_second_slice_is_smaller_and_every_voxel_comes_back(source, voxels, tmp_path, codec):
    plain, target = tmp_path / "plain.wsiv", tmp_path / "predicted.wsiv"
    compress_volume(source, plain, VolumeConfig(codec=codec))
    compress_volume(source, target, VolumeConfig(codec=codec, predict=True, lossless=True))
    assert between(target) == BETWEEN
    assert not between(plain)
    assert target.stat().st_size < 0.95 * plain.stat().st_size
    assert not verify_volume(target, source).problems
    assert restore_volume(target, tmp_path / "again.nii", exact=True).exact
    assert (tmp_path / "again.nii").read_bytes() == source.read_bytes()
    with closing(CompressedVolume(target)) as volume:
        for number in (19, 7, 16, 0, 20):
            assert np.array_equal(volume.read_slice(number), voxels[number])


def test_a_slice_is_read_from_no_more_than_three_entries(predicted, voxels):
    for number in range(COUNT):
        with closing(CompressedVolume(predicted)) as volume:
            read, asked = volume._container.read, []
            volume._container.read = lambda name, read=read, asked=asked: (asked.append(name), read(name))[1]
            assert np.array_equal(volume.read_slice(number), voxels[number])
        assert len(asked) == (3 if number in BETWEEN else 1)


@pytest.mark.parametrize("dtype", ["float32", "int32", "float64"])
def test_wide_values_are_predicted_plane_by_plane(tmp_path, dtype):
    wide = close_slices(dtype, 7) * np.array(1.37 if dtype[0] == "f" else 100_003, dtype)
    source = nifti_file(tmp_path / "wide.nii", wide)
    compress_volume(source, tmp_path / "wide.wsiv", VolumeConfig(predict=True, lossless=True))
    with closing(CompressedVolume(tmp_path / "wide.wsiv")) as volume:
        assert len(volume.manifest.layers[0].values.plane_bits) > 1
        assert np.stack(list(volume.slices())).tobytes() == wide.tobytes()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_slices_come_back(tmp_path, count):
    few = close_slices(count=count)
    source = nifti_file(tmp_path / "few.nii", few)
    compress_volume(source, tmp_path / "few.wsiv", VolumeConfig(predict=True, lossless=True))
    assert between(tmp_path / "few.wsiv") == ({1} if count == 3 else set())
    with closing(CompressedVolume(tmp_path / "few.wsiv")) as volume:
        assert np.array_equal(np.stack(list(volume.slices())), few)


def test_slices_that_have_nothing_in_common_are_stored_by_themselves(tmp_path):
    far = np.stack([np.roll(one, 5 * number) for number, one in enumerate(close_slices())])
    source = nifti_file(tmp_path / "far.nii", far)
    compress_volume(source, tmp_path / "far.wsiv", VolumeConfig(predict=True))
    assert not between(tmp_path / "far.wsiv")


def rewritten(source, target, change):
    """Write a compressed volume with another manifest."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "wsicomp.json":
                manifest = json.loads(data)
                change(manifest)
                data = json.dumps(manifest).encode()
            new.writestr(name, data)


@pytest.mark.parametrize(("liar", "beside"), [(0, 1), (6, 7), (COUNT - 1, COUNT - 2)])
def test_a_slice_predicted_from_a_predicted_one_or_from_none_is_refused(predicted, tmp_path, liar, beside):
    def change(manifest):
        manifest["entries"][f"slices/{liar:06}.between.jxl"] = "0" * 64

    rewritten(predicted, tmp_path / "liar.wsiv", change)
    with closing(CompressedVolume(tmp_path / "liar.wsiv")) as volume:
        for number in (liar, beside):
            with pytest.raises(VolumeReadError, match="not stored by itself"):
                volume.read_slice(number)


def test_prediction_from_what_is_not_exact_is_refused(predicted, tmp_path):
    def change(manifest):
        manifest["layers"][0] |= {"lossless": False, "quality": 50.0}

    rewritten(predicted, tmp_path / "liar.wsiv", change)
    with pytest.raises(VolumeReadError, match="not exact"):
        CompressedVolume(tmp_path / "liar.wsiv")


def test_a_damaged_neighbour_is_an_error_of_both_slices(predicted, tmp_path):
    target = tmp_path / "damaged.wsiv"
    shutil.copyfile(predicted, target)
    with zipfile.ZipFile(target) as file:
        entry = file.getinfo("slices/000006.jxl")
    data = bytearray(target.read_bytes())
    data[entry.header_offset + 30 + len(entry.filename) + entry.file_size // 2] ^= 1
    target.write_bytes(data)
    with closing(CompressedVolume(target)) as volume:
        for number in (5, 6, 7):
            with pytest.raises(VolumeReadError, match=r"slices/000006\.jxl"):
                volume.read_slice(number)
        volume.read_slice(9)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"quality": 90.0}, "`quality` loses some"),
        ({"window": "0,100"}, "`window` loses some"),
        ({"codec": "ffv1"}, "predicts slices by itself"),
    ],
)
def test_prediction_with_what_excludes_it_is_one_line(source, tmp_path, options, match):
    with pytest.raises(ConfigError, match=match):
        compress_volume(source, tmp_path / "no.wsiv", VolumeConfig(predict=True, **options))
    assert not list(tmp_path.iterdir())
