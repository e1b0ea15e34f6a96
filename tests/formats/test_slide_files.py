"""A slide is all of its files."""

import shutil
import struct

import pydicom
import pytest

from tests.conftest import SLIDES
from wsicomp.errors import SlideReadError
from wsicomp.formats.identity import file_sha256, slide_identity
from wsicomp.formats.slide_files import dicom_levels, slide_parts


def made(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(name.encode())


def test_a_file_of_most_formats_is_the_whole_slide(tmp_path):
    made(tmp_path, "a.svs", "b.svs", "a.txt")
    assert slide_parts(tmp_path / "a.svs") == (tmp_path / "a.svs",)
    assert slide_identity(tmp_path / "a.svs") == (5, file_sha256(tmp_path / "a.svs"))


def test_an_mrxs_slide_is_its_folder_too(tmp_path):
    made(tmp_path, "a.mrxs", "b.mrxs")
    made(tmp_path / "a", "Slidedat.ini", "Data0000.dat")
    before = slide_identity(tmp_path / "a.mrxs")
    assert [part.name for part in slide_parts(tmp_path / "a.mrxs")] == [
        "Data0000.dat",
        "Slidedat.ini",
        "a.mrxs",
    ]
    assert before[0] == len("a.mrxs" + "Slidedat.ini" + "Data0000.dat")
    (tmp_path / "a" / "Data0000.dat").write_bytes(b"data0000.dat")
    assert slide_identity(tmp_path / "a.mrxs") != before
    assert slide_parts(tmp_path / "b.mrxs") == (tmp_path / "b.mrxs",)


def test_an_index_names_its_files_and_none_elsewhere(tmp_path):
    made(tmp_path, "a.opt", "a.jpg", "other.jpg")
    index = tmp_path / "a.vms"
    index.write_text(
        "[Virtual Microscope Specimen]\nImageFile=a.jpg\nMapFile=../etc\nOptimisationFile=a.opt\n"
    )
    assert [part.name for part in slide_parts(index)] == ["a.jpg", "a.opt", "a.vms"]


@pytest.mark.slides
def test_a_dicom_slide_is_its_series(tmp_path):
    for name in ("1.dcm", "2.dcm"):
        shutil.copy(SLIDES / "camelyon_overview_jpeg.dcm", tmp_path / name)
    shutil.copy(SLIDES / "camelyon_overview_jp2k.dcm", tmp_path / "3.dcm")
    (tmp_path / "notes.dcm").write_bytes(bytes(128) + b"DICM and nothing that could be read")
    assert [part.name for part in slide_parts(tmp_path / "2.dcm")] == ["1.dcm", "2.dcm"]
    assert [part.name for part in slide_parts(tmp_path / "3.dcm")] == ["3.dcm"]
    assert [part.name for part in slide_parts(tmp_path / "notes.dcm")] == ["notes.dcm"]


def test_a_slide_that_is_gone_is_a_clean_error(tmp_path):
    with pytest.raises(SlideReadError, match=r"gone\.svs"):
        slide_parts(tmp_path / "gone.svs")


def damaged_dicom(path, name):
    """A DICOM file whose attribute of this name has a length that its type cannot have."""
    header = pydicom.Dataset()
    header.ImageType = ["DERIVED", "PRIMARY", "LABEL", "NONE"]
    header.SeriesInstanceUID = "1.2"
    header.TotalPixelMatrixColumns = header.TotalPixelMatrixRows = 7
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.file_meta.MediaStorageSOPInstanceUID = "1.2"
    header.save_as(path, enforce_file_format=True)
    data = bytearray(path.read_bytes())
    tag = pydicom.datadict.tag_for_keyword(name)
    at = data.index(struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"UL", 4))
    path.write_bytes(data[: at + 6] + struct.pack("<H", 3) + data[at + 8 : at + 11] + data[at + 12 :])


@pytest.mark.parametrize("kind", ["LABEL", "VOLUME"])
def test_a_damaged_file_is_no_level_and_hides_none(tmp_path, kind):
    damaged_dicom(tmp_path / "a.dcm", "TotalPixelMatrixColumns")
    data = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(data.replace(b"LABEL\\NONE ", f"{kind}\\NONE".encode().ljust(11)))
    assert dicom_levels(tmp_path / "a.dcm") == {}


def test_companions_are_found_whatever_the_case_of_their_names(tmp_path):
    (tmp_path / "abc").mkdir()
    (tmp_path / "abc/Data.dat").write_bytes(b"data")
    (tmp_path / "ABC.mrxs").write_bytes(b"index")
    assert [part.name for part in slide_parts(tmp_path / "ABC.mrxs")] == ["ABC.mrxs", "Data.dat"]
    (tmp_path / "a.vms").write_text("[Virtual Microscope Specimen]\nMapFile=a_map2.jpg\n")
    (tmp_path / "A_MAP2.jpg").write_bytes(b"map")
    assert {part.name for part in slide_parts(tmp_path / "a.vms")} == {"a.vms", "A_MAP2.jpg"}


def test_two_names_that_differ_in_case_alone_are_not_guessed_between(tmp_path):
    for name in ("abc", "Abc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Data.dat").write_bytes(b"data")
    (tmp_path / "ABC.mrxs").write_bytes(b"index")
    assert [part.name for part in slide_parts(tmp_path / "ABC.mrxs")] == ["ABC.mrxs"]
