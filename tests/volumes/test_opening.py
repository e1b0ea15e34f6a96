"""A volume's format is told by its first bytes, and no damage to a file does more than end with an error."""

import random

import nibabel
import nrrd
import numpy as np
import pytest

from tests.conftest import SIZE
from wsicomp.errors import UnsupportedVolumeError, VolumeReadError
from wsicomp.volumes.formats.opening import open_volume_source

DAMAGES = 1500 if SIZE == "full" else 120
KINDS = ["a.nii", "2.nii.gz", "raw.nrrd", "gzip.nrrd", "bzip2.nrrd", "ascii.nrrd"]


def drawn(folder, name):
    """Write 20 x 16 x 10 voxels in one of the kinds of files."""
    voxels = np.random.default_rng(0).integers(-1000, 1000, (20, 16, 10)).astype("i2")
    path = folder / name
    if name.endswith(".nrrd"):
        place = {"space": "LPS", "space directions": np.diag([1, 2, 3.0]), "space origin": [1, 2, 3]}
        nrrd.write(str(path), voxels, {"encoding": path.stem, **place})
    else:
        kind = nibabel.Nifti2Image if name.startswith("2") else nibabel.Nifti1Image
        nibabel.save(kind(voxels, np.diag([1, 2, 3, 1])), path)
    return path, voxels


def damaged(data, drawing):
    """Change a few bytes, often in the header, and sometimes cut the end off."""
    data = bytearray(data)
    for _ in range(drawing.choice((1, 1, 2, 5))):
        place = drawing.randrange(min(len(data), drawing.choice((400, len(data)))))
        digit = ord(drawing.choice("0123456789-. \n:"))
        data[place] = drawing.choice((0, 255, digit, data[place] ^ (1 << drawing.randrange(8))))
    return data[: drawing.randrange(len(data))] if drawing.random() < 0.2 else data


@pytest.mark.parametrize("name", KINDS)
def test_the_name_of_a_file_does_not_matter(name, tmp_path):
    path, voxels = drawn(tmp_path, name)
    volume = open_volume_source(str(path.rename(tmp_path / "image.dcm")))
    assert volume.info.format == ("NRRD" if name.endswith(".nrrd") else "NIfTI")
    assert (np.stack([*volume.slices()]) == voxels.T).all()


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_is_read_or_refused_in_one_line(name, tmp_path):
    path, _ = drawn(tmp_path, name)
    whole, drawing, refused = path.read_bytes(), random.Random(1), 0
    for number in range(DAMAGES):
        path.write_bytes(damaged(whole, drawing))
        try:
            volume = open_volume_source(path)
            [*volume.slices()]
            if number % 10 == 0:
                volume.frame()
        except VolumeReadError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017 - most are refused, none may do anything else
    assert refused


@pytest.mark.parametrize("data", [b"hello", b"\x1f\x8b\x08bad", b"NRRD", bytes(400), b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_volume_is_refused_with_what_is_taken(data, tmp_path):
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.raises(UnsupportedVolumeError, match="no volume that is known here; NIfTI"):
        open_volume_source(tmp_path / "a.nii")


def test_no_file_an_empty_one_and_an_empty_path_are_refused(tmp_path):
    (tmp_path / "empty").touch()
    for path, message in (
        ("", "an empty path"),
        (tmp_path / "no", "no such file"),
        (tmp_path / "empty", "empty"),
    ):
        with pytest.raises(VolumeReadError, match=message):
            open_volume_source(path)
