"""Compressed volumes that lie: each is refused in one line, before it takes memory."""

import json
import tracemalloc
import zipfile
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from tests.volumes.nifti_files import nifti_file
from wsicomp.errors import VerificationError, VolumeReadError
from wsicomp.volumes import compressed_volume, slabs
from wsicomp.volumes.compress import compress_volume
from wsicomp.volumes.compressed_volume import CompressedVolume
from wsicomp.volumes.config import VolumeConfig
from wsicomp.volumes.mask_planes import decoded_mask, encoded_mask


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ct")
    voxels = np.random.default_rng(2).integers(0, 90, (3, 8, 9)).astype(np.int16)
    compress_volume(nifti_file(folder / "ct.nii", voxels), folder / "ct.wsiv")
    return folder / "ct.wsiv"


def forged(packed, target, text, method=zipfile.ZIP_DEFLATED):
    """Write the file again with another manifest, and return its path."""
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if name == "wsicomp.json":
                new.writestr(name, text(old.read(name)), method)
            else:
                new.writestr(name, old.read(name))
    return target


def changed(place, value):
    """Return the change of one value of a manifest."""

    def change(text):
        manifest = json.loads(text)
        *outer, last = place
        part = manifest
        for name in outer:
            part = part[name]
        part[last] = value
        return json.dumps(manifest).replace("Infinity", "1e999")

    return change


def refusal(path):
    """Return what is said of a file as it is opened."""
    with pytest.raises(VolumeReadError) as told:
        CompressedVolume(path)
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((("layers", 0, "values", "dtype"), name) for name in ("O", "U1", "V2147483647", "int32", "(")),
        (("volume", "spacing"), [1, 0, 1]),
        (("volume", "spacing"), [1, -2, 1]),
        (("volume", "spacing"), [1, float("inf"), 1]),
        (("volume", "affine"), [[float("inf")] * 4] * 4),
        (("volume", "slope"), float("inf")),
        (("value_range",), [0, float("inf")]),
        (("inside", "most"), float("nan")),
        (("inside", "squares"), -1.0),
        (("outside", "voxels"), -1),
        (("voxels",), ["", "", ""]),
        (("layers", 0, "slab"), -1),
    ],
)
def test_a_manifest_that_states_nonsense_is_refused(packed, tmp_path, place, value):
    refusal(forged(packed, tmp_path / "forged.wsiv", changed(place, value)))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_manifest_is_stored_or_deflated_and_nothing_else(packed, tmp_path, method):
    assert "stored nor deflated" in refusal(forged(packed, tmp_path / "odd.wsiv", bytes, method))


@pytest.mark.parametrize("size", [1 << 20, 1 << 24])
@pytest.mark.parametrize("name", ["voxels", "version", "unknown"])
def test_a_manifest_of_empty_lists_takes_no_memory(packed, tmp_path, size, name):
    path = forged(packed, tmp_path / "bomb.wsiv", lambda _: f'{{"{name}":[' + "[]," * size + "[]]}")
    tracemalloc.start()
    refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_names_that_are_no_unicode_come_back(packed, tmp_path):
    path = forged(
        packed, tmp_path / "name.wsiv", changed(("volume", "remarks"), ["\udcff \\ud800 \U0001f600"])
    )
    with closing(CompressedVolume(path)) as volume:
        assert volume.info.remarks == ("\udcff \\ud800 \U0001f600",)


def test_slices_that_memory_cannot_hold_while_they_are_decoded_are_refused(packed, monkeypatch):
    voxels = 8 * 9
    monkeypatch.setattr(compressed_volume, "memory_bytes", lambda: 4 * voxels * (2 + 26))
    CompressedVolume(packed).close()
    monkeypatch.setattr(compressed_volume, "memory_bytes", lambda: 4 * voxels * (2 + 26) - 1)
    assert "more than this machine's memory holds" in refusal(packed)


def test_a_slab_larger_than_the_cache_is_decoded_once(tmp_path, monkeypatch):
    monkeypatch.setattr(compressed_volume, "_KEPT_BYTES", 1)
    voxels = np.random.default_rng(2).integers(0, 90, (20, 32, 40)).astype(np.int16)
    labels = nifti_file(tmp_path / "labels.nii", (voxels > 60).astype(np.uint8))
    config = VolumeConfig(codec="jpegxl", rest_codec="hevc", roi=str(labels))
    compress_volume(nifti_file(tmp_path / "ct.nii", voxels), tmp_path / "ct.wsiv", config)
    decoded = []
    read = compressed_volume.read_slab
    monkeypatch.setattr(
        compressed_volume,
        "read_slab",
        lambda layer, *rest: decoded.append((layer.record.folder, rest[1])) or read(layer, *rest),
    )
    with closing(CompressedVolume(tmp_path / "ct.wsiv")) as volume:
        assert len(list(volume.slices())) == 20
    assert [first for folder, first in decoded if folder == "rest"] == [0, 16]
    assert len(decoded) == 22


def test_masks_have_no_limit_of_pixels(monkeypatch):
    mask = np.random.default_rng(3).random((50, 70)) > 0.5
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert np.array_equal(decoded_mask(encoded_mask(mask), mask.shape), mask)
    with pytest.raises(VolumeReadError, match="expected"):
        decoded_mask(encoded_mask(mask), (70, 50))


def test_a_mask_that_does_not_come_back_is_never_written(tmp_path, monkeypatch):
    voxels = np.random.default_rng(2).integers(0, 90, (3, 8, 9)).astype(np.int16)
    source = nifti_file(tmp_path / "ct.nii", voxels)
    labels = nifti_file(tmp_path / "labels.nii", (voxels > 60).astype(np.uint8))
    monkeypatch.setattr(slabs, "encoded_mask", lambda mask: encoded_mask(~mask))
    with pytest.raises(VerificationError, match="mask does not come back"):
        compress_volume(source, tmp_path / "ct.wsiv", VolumeConfig(roi=str(labels), rest_codec="jpegxl"))
    assert not (tmp_path / "ct.wsiv").exists()
