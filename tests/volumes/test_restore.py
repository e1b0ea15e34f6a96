"""What is restored takes the place of nothing that must stay, appears whole, and says what was lost."""

import json
import zipfile
from contextlib import closing

import nrrd
import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from tests.volumes.dicom_drawn import drawn_header, drawn_voxels, write_series
from tests.volumes.drawn_files import as_slices, drawn_array
from tests.volumes.nifti_files import nifti_file
from wsicomp.cli import main
from wsicomp.errors import SlideWriteError, TargetExistsError, VolumeReadError
from wsicomp.files.together import move_together
from wsicomp.volumes.compress import compress_volume
from wsicomp.volumes.compressed_volume import CompressedVolume
from wsicomp.volumes.config import VolumeConfig
from wsicomp.volumes.formats import writing
from wsicomp.volumes.formats.nrrd import open_nrrd, write_nrrd
from wsicomp.volumes.restore import restore_volume


def files_of(folder):
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def compressed(source, target, **options):
    compress_volume(source, target, VolumeConfig(**options))
    return target


@pytest.fixture
def pair(tmp_path):
    """A compressed NRRD whose header is in a file of its own, a.nhdr, beside a.raw."""
    (tmp_path / "in").mkdir()
    voxels = drawn_array(np.random.default_rng(3), "u1", (6, 5, 4))
    nrrd.write(str(tmp_path / "in/a.nhdr"), voxels, {"encoding": "raw"}, detached_header=True)
    (tmp_path / "out").mkdir()
    return compressed(tmp_path / "in/a.nhdr", tmp_path / "a.wsiv")


@pytest.fixture
def series(tmp_path):
    """A compressed DICOM series of 5 files."""
    return compressed(write_series(tmp_path / "in", drawn_voxels()), tmp_path / "a.wsiv")


def changed(container, **values):
    """Let a container state other values of its source's frame."""
    with zipfile.ZipFile(container) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    manifest = json.loads(entries["wsicomp.json"])
    manifest["source"]["values"] |= values
    entries["wsicomp.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(container, "w") as file:
        for name, data in entries.items():
            deflated = zipfile.ZIP_DEFLATED if name == "wsicomp.json" else zipfile.ZIP_STORED
            file.writestr(name, data, deflated)
    return container


@pytest.mark.parametrize("exact", [False, True])
def test_a_container_is_never_written_over_itself(tmp_path, exact):
    held = compressed(nifti_file(tmp_path / "a.nii", np.zeros((3, 4, 5), "i2")), tmp_path / "self.wsiv")
    before = files_of(tmp_path)
    with pytest.raises(SlideWriteError, match="is an input"):
        restore_volume(held, held, exact, overwrite=True)
    (tmp_path / "again.wsiv").symlink_to(held)
    with pytest.raises(SlideWriteError, match="is an input"):
        restore_volume(held, tmp_path / "again.wsiv", exact, overwrite=True)
    (tmp_path / "again.wsiv").unlink()
    assert files_of(tmp_path) == before


def test_a_dicom_file_of_the_containers_name_does_not_replace_it(tmp_path):
    names = [f"{number}.wsiv" for number in range(5)]
    held = compressed(write_series(tmp_path / "in", drawn_voxels(), names=names), tmp_path / "2.wsiv")
    before = held.read_bytes()
    with pytest.raises(SlideWriteError, match=r"2\.wsiv: exists, and is no DICOM file"):
        restore_volume(held, tmp_path, overwrite=True)
    assert held.read_bytes() == before
    assert sorted(files_of(tmp_path / "in")) == names
    assert {each.name for each in tmp_path.iterdir()} == {"in", "2.wsiv"}


@pytest.mark.parametrize("taken", ["a.nhdr", "a.raw"])
@pytest.mark.parametrize("exact", [False, True])
def test_a_target_that_exists_is_refused_before_a_slice_is_read(pair, tmp_path, taken, exact, monkeypatch):
    (tmp_path / "out" / taken).write_bytes(b"mine")
    monkeypatch.setattr("wsicomp.volumes.compressed_volume.CompressedVolume.read_slice", None)
    with pytest.raises(TargetExistsError, match="exists already"):
        restore_volume(pair, tmp_path / "out/a.nhdr", exact)
    assert files_of(tmp_path / "out") == {taken: b"mine"}


def test_only_the_pairs_own_voxels_are_replaced(pair, tmp_path):
    (tmp_path / "out/a.raw").write_bytes(b"of another")
    for header in (None, b"NRRD0004\ndata file: b.raw\n"):
        if header is not None:
            (tmp_path / "out/a.nhdr").write_bytes(header)
        with pytest.raises(TargetExistsError, match=r"a.raw: exists already, and the voxels of a.nhdr would"):
            restore_volume(pair, tmp_path / "out/a.nhdr", overwrite=True)
    (tmp_path / "out/a.nhdr").write_bytes((tmp_path / "in/a.nhdr").read_bytes())
    assert restore_volume(pair, tmp_path / "out/a.nhdr", overwrite=True).exact
    assert files_of(tmp_path / "out") == files_of(tmp_path / "in")


@pytest.mark.parametrize("name", [".bashrc", "../a.raw", "sub/a.raw", "other.raw", "a\\b", "a.nhdr\n", "é"])
def test_a_container_does_not_choose_which_file_is_written(pair, tmp_path, name):
    changed(pair, data_name=name)
    with pytest.raises(VolumeReadError, match="which no NRRD header names"):
        restore_volume(pair, tmp_path / "out/a.nhdr")
    assert not files_of(tmp_path / "out")


def test_a_nifti_has_no_second_file(tmp_path):
    held = compressed(nifti_file(tmp_path / "a.nii", np.zeros((3, 4, 5), "i2")), tmp_path / "a.wsiv")
    before = {each.name for each in tmp_path.iterdir()}
    with pytest.raises(VolumeReadError, match="which no NRRD header names"):
        restore_volume(changed(held, data_name="a.raw"), tmp_path / "b.nhdr")
    assert {each.name for each in tmp_path.iterdir()} == before


def test_a_pair_needs_the_name_of_a_header(pair, tmp_path):
    with pytest.raises(SlideWriteError, match=r"name a target that ends in \.nhdr"):
        restore_volume(pair, tmp_path / "out/a.nrrd")
    assert not files_of(tmp_path / "out")


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_integers_of_64_bits_come_back_from_a_text(tmp_path, dtype):
    bounds = np.iinfo(dtype)
    voxels = np.array([bounds.max, bounds.min, (1 << 53) + 1, bounds.max - 1], dtype).reshape(2, 2, 1)
    kind = {"i8": "int64", "u8": "uint64"}[dtype]
    text = f"NRRD0004\ntype: {kind}\ndimension: 3\nsizes: 2 2 1\nencoding: ascii\n\n"
    numbers = "".join(f"{int(each)}\n" for each in voxels.ravel("F"))
    (tmp_path / "a.nrrd").write_text(text + numbers)
    volume = open_nrrd(tmp_path / "a.nrrd")
    assert (np.stack([*volume.slices()]) == as_slices(voxels)).all()
    frame, info = volume.frame(), volume.info
    assert write_nrrd(frame, volume.slices(), info.shape, info.dtype, tmp_path / "b.nrrd").exact
    assert (tmp_path / "b.nrrd").read_text() == text + numbers


@pytest.mark.parametrize("values", [{"padding": (1 << 20) + 1}, {"members": [[0, 0]] * ((1 << 16) + 1)}])
def test_padding_and_members_are_bounded(tmp_path, values):
    held = compressed(nifti_file(tmp_path / "a.nii.gz", np.zeros((3, 4, 5), "i2")), tmp_path / "a.wsiv")
    with pytest.raises(VolumeReadError, match="the frame cannot be read"):
        restore_volume(changed(held, **values), tmp_path / "b.nii.gz")
    assert not (tmp_path / "b.nii.gz").exists()


@pytest.mark.parametrize("frames", [10**11, 0, -1, 2])
def test_files_must_have_as_many_frames_as_there_are_slices(series, tmp_path, frames):
    with zipfile.ZipFile(series) as file:
        files = json.loads(file.read("wsicomp.json"))["source"]["values"]["files"]
    files[0]["frames"] = frames
    with pytest.raises(VolumeReadError, match="not those of its voxels"):
        restore_volume(changed(series, files=files), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("exact", [False, True])
def test_a_series_is_written_into_a_folder_whose_parent_is_missing(series, tmp_path, exact):
    target = tmp_path / "more/than/one"
    assert restore_volume(series, target, exact).exact
    assert files_of(target) == files_of(tmp_path / "in")
    with pytest.raises(TargetExistsError, match="is not empty"):
        restore_volume(series, target, exact)


@pytest.mark.parametrize("kind", ["pair", "series"])
def test_what_appears_meanwhile_stays_and_nothing_else_is_left(kind, request, tmp_path, monkeypatch, capsys):
    held = request.getfixturevalue(kind)
    target = tmp_path / ("out/a.nhdr" if kind == "pair" else "out")
    last = max(each.name for each in (tmp_path / "in").iterdir())

    def taken(source, into, overwrite):
        into.mkdir(exist_ok=True)
        (into / last).write_bytes(b"mine")
        move_together(source, into, overwrite)

    monkeypatch.setattr(writing, "move_together", taken)
    assert main(["volume", "restore", str(held), str(target)]) == 1
    assert files_of(tmp_path / "out") == {last: b"mine"}
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.endswith(f"{last}: exists already; choose another name or --overwrite")
    assert {each.name for each in tmp_path.iterdir()} == {"in", "out", "a.wsiv"}


def test_what_was_replaced_is_there_again_if_a_later_file_cannot_be_moved(series, tmp_path):
    names = sorted(files_of(tmp_path / "in"))
    restore_volume(series, tmp_path / "out")
    before = files_of(tmp_path / "out")
    source = tmp_path / "made"
    source.mkdir()
    for name in names:
        (source / name).write_bytes(b"new")
    (tmp_path / "out" / names[-1]).unlink()
    (tmp_path / "out" / names[-1]).mkdir()
    with pytest.raises(SlideWriteError, match="is a directory"):
        move_together(source, tmp_path / "out", overwrite=True)
    (tmp_path / "out" / names[-1]).rmdir()
    assert files_of(tmp_path / "out") == {name: before[name] for name in names[:-1]}
    move_together(source, tmp_path / "out", overwrite=True)
    assert set(files_of(tmp_path / "out").values()) == {b"new"}


@pytest.mark.parametrize("options", [{"codec": "jpegxl", "quality": 70}, {"codec": "hevc", "quality": 40}])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_restored_dicom_with_loss_is_not_taken_for_its_source(tmp_path, options, syntax):
    source = tmp_path / "in"
    source.mkdir()
    for number, voxels in enumerate(drawn_voxels()):
        header = drawn_header(voxels, number)
        if syntax == ExplicitVRBigEndian:
            header.PixelData = voxels.byteswap().tobytes()
        header.file_meta.TransferSyntaxUID = syntax
        dcmwrite(source / f"{number}.dcm", header, enforce_file_format=True)
    held = compressed(source, tmp_path / "a.wsiv", **options)
    report = restore_volume(held, tmp_path / "out")
    assert (report.exact, report.voxels_exact) == (False, False)
    assert report.notes[0] == "the headers declare the loss, and images and series have new UIDs"
    with closing(CompressedVolume(held)) as volume:
        expected = [*volume.slices()]
    series = set()
    for number, voxels in enumerate(expected):
        before, after = (dcmread(folder / f"{number}.dcm") for folder in (source, tmp_path / "out"))
        assert np.array_equal(after.pixel_array, voxels)
        assert (after.LossyImageCompression, list(after.ImageType)) == ("01", ["DERIVED", "PRIMARY"])
        assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID != before.SOPInstanceUID
        assert after.SourceImageSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID
        assert after.PatientName == before.PatientName
        series.add(after.SeriesInstanceUID)
    assert len(series) == 1
    assert series != {before.SeriesInstanceUID}
