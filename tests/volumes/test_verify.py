"""What the check of a compressed volume finds, and what it believes."""

import json
import zipfile

import numpy as np
import pytest

from tests.volumes.dicom_drawn import drawn_voxels, write_series
from tests.volumes.nifti_files import nifti_file
from wsicomp.errors import ConfigError
from wsicomp.volumes.compress import compress_volume
from wsicomp.volumes.compressed_volume import CompressedVolume
from wsicomp.volumes.config import VolumeConfig
from wsicomp.volumes.phantom import drawn_volume
from wsicomp.volumes.verify import verify_volume


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    """A drawn CT, its liver's labels, and a file that keeps the liver exact and all else coarse."""
    folder = tmp_path_factory.mktemp("ct")
    drawn = drawn_volume(seed=4, shape=(8, 64, 72))
    source = nifti_file(folder / "ct.nii", drawn.voxels)
    labels = nifti_file(folder / "liver.nii", (drawn.labels == 6).astype(np.uint8))
    packed = folder / "ct.wsiv"
    compress_volume(source, packed, VolumeConfig(roi=str(labels), rest_codec="jpegxl"))
    return drawn, source, labels, packed


def test_the_region_is_exact_and_the_rest_is_not(ct):
    drawn, source, labels, packed = ct
    inside = drawn.labels == 6
    volume = CompressedVolume(packed)
    found = np.stack(list(volume.slices()))
    volume.close()
    assert np.array_equal(found[inside], drawn.voxels[inside])
    differs = found[~inside] != drawn.voxels[~inside]
    check = verify_volume(packed, source)
    assert not check.problems
    assert (check.inside.voxels, check.inside.changed) == (inside.sum(), 0)
    assert (check.outside.voxels, check.outside.changed) == ((~inside).sum(), differs.sum())
    assert not verify_volume(packed, source, roi=str(labels)).problems


def test_a_region_that_was_not_kept_is_a_problem(ct, tmp_path):
    drawn, source, _, packed = ct
    lungs = nifti_file(tmp_path / "lungs.nii", (drawn.labels == 4).astype(np.uint8))
    (problem,) = verify_volume(packed, source, roi=str(lungs)).problems
    assert f"of {(drawn.labels == 4).sum()} voxels of the region differ from the source" in problem


@pytest.mark.parametrize(
    ("lie", "stated"),
    [
        ({"changed": 0, "most": 0.0, "squares": 0.0}, "expected 0 of"),
        ({"squares": 1.0}, "as the file states"),
        ({"voxels": 7}, "of 7 by up to"),
    ],
)
def test_a_file_that_lies_of_its_loss_is_found_out(ct, tmp_path, lie, stated):
    _, source, _, packed = ct
    forged = tmp_path / "forged.wsiv"
    with zipfile.ZipFile(packed) as file, zipfile.ZipFile(forged, "w") as other:
        for name in file.namelist():
            data = file.read(name)
            if name == "wsicomp.json":
                manifest = json.loads(data)
                manifest["outside"] |= lie
                data = json.dumps(manifest).encode()
            other.writestr(name, data)
    assert not verify_volume(forged).problems
    (problem,) = verify_volume(forged, source).problems
    assert problem.startswith("outside: ")
    assert stated in problem


@pytest.fixture(scope="module")
def smoothed(ct, tmp_path_factory):
    """The drawn CT in one layer that is smoothed outside the liver."""
    _, source, labels, _ = ct
    packed = tmp_path_factory.mktemp("smoothed") / "ct.wsiv"
    compress_volume(source, packed, VolumeConfig(diffuse=str(labels)))
    return packed


@pytest.mark.parametrize("with_source", [False, True])
def test_a_flipped_byte_of_any_entry_is_found(ct, smoothed, tmp_path, with_source):
    source = ct[1] if with_source else None
    assert not verify_volume(smoothed, source).problems
    with zipfile.ZipFile(smoothed) as file:
        entries = file.infolist()
    for kind in ("source/", "mask/", "slices/"):
        entry = next(each for each in entries if each.filename.startswith(kind))
        data = bytearray(smoothed.read_bytes())
        data[entry.header_offset + 30 + len(entry.filename) + entry.file_size // 2] ^= 1
        damaged = tmp_path / "damaged.wsiv"
        damaged.write_bytes(data)
        assert verify_volume(damaged, source).problems, entry.filename


@pytest.mark.parametrize("with_source", [False, True])
def test_every_entry_is_read_and_none_but_the_stated_is_there(ct, smoothed, tmp_path, with_source):
    target = tmp_path / "more.wsiv"
    with zipfile.ZipFile(smoothed) as file, zipfile.ZipFile(target, "w") as other:
        for name in file.namelist():
            data = file.read(name)
            if name == "wsicomp.json":
                manifest = json.loads(data)
                manifest["entries"]["spare"] = "0" * 64
                data = json.dumps(manifest).encode()
            other.writestr(name, data)
        other.writestr("spare", b"not what the manifest states")
        other.writestr("hidden", b"of nobody")
    problems = verify_volume(target, ct[1] if with_source else None).problems
    assert [problem.split(":")[0] for problem in problems] == ["entry spare", "entry 'hidden'"]


def test_another_source_is_named(ct, tmp_path):
    drawn, _, _, packed = ct
    other = nifti_file(tmp_path / "other.nii", drawn.voxels, spacing=(1, 1, 3))
    assert any(problem.startswith("spacing: ") for problem in verify_volume(packed, other).problems)
    changed = drawn.voxels.copy()
    changed[3, 5, 5] += 1
    touched = nifti_file(tmp_path / "touched.nii", changed)
    assert verify_volume(packed, touched).problems


def test_a_series_that_was_written_must_be_exact_where_it_is_said(tmp_path):
    voxels = drawn_voxels(4)
    source = tmp_path / "source"
    source.mkdir()
    write_series(source, voxels)
    compress_volume(source, tmp_path / "exact", VolumeConfig(codec="jpegls"))
    compress_volume(source, tmp_path / "lossy", VolumeConfig(codec="jpegls", quality=3))
    assert not verify_volume(tmp_path / "exact", source).problems
    (problem,) = verify_volume(tmp_path / "lossy", source).problems
    assert "voxels differ from the source by up to 3" in problem


def test_a_region_needs_a_source(ct):
    with pytest.raises(ConfigError, match="add `against`"):
        verify_volume(ct[3], roi="auto")


def test_a_file_of_its_own_keeps_headers_so_it_cannot_be_deidentified(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    write_series(source, drawn_voxels(3))
    with pytest.raises(ConfigError, match="leave `deidentify` out, or name a folder"):
        compress_volume(source, tmp_path / "ct.wsiv", VolumeConfig(deidentify=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]
