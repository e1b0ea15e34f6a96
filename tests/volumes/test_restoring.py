"""Where a restored file goes: all of it or nothing, and a name by which other programs open it."""

import gzip

import numpy as np
import pytest

from tests.volumes.dicom_drawn import drawn_voxels, write_series
from tests.volumes.nifti_files import nifti_file
from wsicomp.errors import ConfigError, SlideWriteError, TargetExistsError
from wsicomp.volumes.compress import compress_volume
from wsicomp.volumes.restore import restore_volume

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


@pytest.fixture
def plain(tmp_path):
    """A compressed volume, made from a plain .nii."""
    compress_volume(nifti_file(tmp_path / "a.nii", VOXELS), tmp_path / "a.wsiv")
    return tmp_path / "a.wsiv"


@pytest.fixture
def detached(tmp_path):
    """A compressed volume, made from a header and a file of voxels."""
    (tmp_path / "in").mkdir()
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 4 3\nendian: little\nencoding: raw\n"
    (tmp_path / "in/a.nhdr").write_text(f"{header}data file: a.raw\n")
    (tmp_path / "in/a.raw").write_bytes(VOXELS.astype("<i2").tobytes())
    compress_volume(tmp_path / "in/a.nhdr", tmp_path / "detached.wsiv")
    return tmp_path / "detached.wsiv"


@pytest.mark.parametrize("exact", [True, False])
def test_a_header_is_not_written_where_its_voxels_cannot_be(detached, tmp_path, exact):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.raw").write_text("of another volume")
    with pytest.raises(TargetExistsError, match=r"a\.raw: exists already"):
        restore_volume(detached, tmp_path / "out/b.nhdr", exact)
    with pytest.raises(TargetExistsError, match=r"a\.raw: exists already"):  # not the voxels of a b.nhdr
        restore_volume(detached, tmp_path / "out/b.nhdr", exact, overwrite=True)
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["a.raw"]
    (tmp_path / "out/b.nhdr").write_bytes((tmp_path / "in/a.nhdr").read_bytes())
    assert restore_volume(detached, tmp_path / "out/b.nhdr", exact, overwrite=True).exact
    assert (tmp_path / "out/a.raw").read_bytes() == (tmp_path / "in/a.raw").read_bytes()


@pytest.mark.parametrize("exact", [True, False])
def test_a_folder_or_a_missing_one_is_said_before_anything_is_read(plain, tmp_path, exact):
    with pytest.raises(SlideWriteError, match="is a directory; name a file"):
        restore_volume(plain, tmp_path, exact)
    with pytest.raises(SlideWriteError, match="does not exist; make it first"):
        restore_volume(plain, tmp_path / "none/a.nii", exact)
    with pytest.raises(SlideWriteError, match="an input is never overwritten"):
        restore_volume(plain, plain, exact, overwrite=True)


def test_a_name_by_which_others_would_not_open_the_file_is_noted(plain, tmp_path):
    assert restore_volume(plain, tmp_path / "again.nii").notes == ()
    (note,) = restore_volume(plain, tmp_path / "again.nii.gz").notes
    assert note.startswith("the file is NIfTI; most programs open it only by a name that ends in .nii")
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    compress_volume(tmp_path / "b.nii.gz", tmp_path / "b.wsiv")
    assert restore_volume(tmp_path / "b.wsiv", tmp_path / "b again.nii.gz").notes == ()
    (note,) = restore_volume(tmp_path / "b.wsiv", tmp_path / "b again.nii", exact=True).notes
    assert note.startswith(
        "the file is NIfTI, gzipped; most programs open it only by a name that ends in .nii.gz"
    )


def test_a_folder_of_dicom_files_has_any_name(tmp_path):
    source = write_series(tmp_path / "in", drawn_voxels())
    compress_volume(source, tmp_path / "a.wsiv")
    assert restore_volume(tmp_path / "a.wsiv", tmp_path / "out.nii").notes == ()


def test_a_name_that_is_not_ours_is_no_wish_for_dicom(tmp_path):
    source = nifti_file(tmp_path / "a.nii", VOXELS)
    with pytest.raises(
        ConfigError, match=r"only a DICOM series is written as DICOM; name a target that ends in"
    ):
        compress_volume(source, tmp_path / "small.nii.gz")
    assert [each.name for each in tmp_path.iterdir()] == ["a.nii"]


def test_what_will_not_come_back_byte_for_byte_is_said_before_the_source_is_thrown_away(tmp_path):
    source = nifti_file(tmp_path / "a.nii", VOXELS)
    assert compress_volume(source, tmp_path / "a.wsiv").notes == ()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(source.read_bytes(), 0))  # stored: nobody does
    (note,) = compress_volume(tmp_path / "b.nii.gz", tmp_path / "b.wsiv").notes
    assert note.startswith("restored, its bytes will differ from the source's: no program known here")
    restored = restore_volume(tmp_path / "b.wsiv", tmp_path / "b again.nii.gz")
    assert (restored.exact, restored.voxels_exact) == (False, True)
    voxels = drawn_voxels()
    folder = write_series(tmp_path / "in", voxels)
    compress_volume(folder, tmp_path / "encoded")
    notes = compress_volume(tmp_path / "encoded", tmp_path / "c.wsiv").notes
    assert any("differ from the source's: the source is compressed" in each for each in notes)
