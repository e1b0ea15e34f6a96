"""What is found in a tree, what its targets are called, and that any name comes through."""

import os

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsicomp.batch.entry import State
from wsicomp.batch.jobs import ConversionJob
from wsicomp.batch.target_names import assign_targets
from wsicomp.config import ConversionConfig
from wsicomp.formats.discovery import Selection, find_slides
from wsicomp.text.paths import as_path, as_text


def made(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"slide")


def dicom(path, modality="SM", sop_class="1.2.840.10008.5.1.4.1.1.77.1.6", series="1.2"):
    """The header of a DICOM file."""
    header = pydicom.Dataset()
    header.SOPClassUID, header.Modality, header.SeriesInstanceUID = sop_class, modality, series
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.file_meta.MediaStorageSOPInstanceUID = "1.2"
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)


def found(root, **globs):
    chosen = {name: tuple(values) for name, values in globs.items()}
    return [slide.source for slide in find_slides(Selection(root, **chosen)).slides]


def test_slides_are_found_by_their_names_and_hidden_files_are_not(tmp_path):
    made(tmp_path, "b.SVS", "a/x.ndpi", "a/notes.txt", "a/._x.ndpi", ".trash/y.svs")
    inventory = find_slides(Selection(tmp_path))
    assert [slide.source for slide in inventory.slides] == ["a/x.ndpi", "b.SVS"]
    assert inventory.others == 2


def test_globs_choose_by_name_and_by_path(tmp_path):
    made(tmp_path, "a/x.svs", "b/x.svs", "b/y.svs", "b/z.scan")
    assert found(tmp_path, include=["b/*"]) == ["b/x.svs", "b/y.svs", "b/z.scan"]
    assert found(tmp_path, exclude=["x.*"]) == ["b/y.svs"]
    assert found(tmp_path, include=["*.scan", "y*"], exclude=["*.svs"]) == ["b/z.scan"]


def test_links_to_files_are_slides_and_links_to_folders_are_told(tmp_path):
    made(tmp_path / "tree", "a/x.svs")
    made(tmp_path, "elsewhere/y.svs")
    (tmp_path / "tree/loop").symlink_to(tmp_path / "tree")
    (tmp_path / "tree/z.svs").symlink_to(tmp_path / "elsewhere/y.svs")
    (tmp_path / "tree/dangling.svs").symlink_to(tmp_path / "nothing")
    inventory = find_slides(Selection(tmp_path / "tree"))
    assert [(slide.source, slide.bytes) for slide in inventory.slides] == [
        ("a/x.svs", 5),
        ("dangling.svs", 0),
        ("z.svs", 5),
    ]
    assert inventory.links == ("loop",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_is_told(tmp_path):
    made(tmp_path, "closed/x.svs")
    (tmp_path / "closed").chmod(0)
    try:
        assert [name for name, _ in find_slides(Selection(tmp_path)).closed] == ["closed"]
    finally:
        (tmp_path / "closed").chmod(0o755)


def test_a_slide_of_many_files_is_one_and_changes_with_each(tmp_path):
    made(tmp_path, "a.mrxs", "a/Data0001.dat", "a/Slidedat.ini", "a/inside.tif")
    (before,) = find_slides(Selection(tmp_path)).slides
    assert (before.source, before.bytes) == ("a.mrxs", 20)
    (tmp_path / "a/Data0001.dat").write_bytes(b"longer than before")
    (after,) = find_slides(Selection(tmp_path)).slides
    assert after.stamp != before.stamp


def test_the_folder_of_a_vsi_slide_is_entered_where_that_slide_is_not_wanted(tmp_path):
    made(tmp_path, "x.VSI", "_X_/y.svs", "_X_/stack1/frame_t.ets")
    assert found(tmp_path) == ["_X_/y.svs"]
    assert found(tmp_path, exclude=["x.*"]) == ["_X_/y.svs"]
    inventory = find_slides(Selection(tmp_path, packs=True))
    assert [slide.source for slide in inventory.slides] == ["x.VSI"]
    assert inventory.left_out.files == 0


def test_only_regular_files_are_counted_as_left_out(tmp_path):
    made(tmp_path, "a.xml", "b.pdf")
    (tmp_path / "c.xml").symlink_to(tmp_path / "a.xml")
    (tmp_path / "d.xml").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "e.xml")
    assert str(find_slides(Selection(tmp_path)).left_out) == "2 files: 1 .pdf, 1 .xml"


def test_a_dicom_file_that_comes_changes_those_beside_it(tmp_path):
    made(tmp_path, "a/1.dcm", "a/2.dcm", "b/1.dcm")
    before = {slide.source: slide.stamp for slide in find_slides(Selection(tmp_path)).slides}
    made(tmp_path, "a/3.dcm")
    after = {slide.source: slide.stamp for slide in find_slides(Selection(tmp_path)).slides}
    assert {name for name in before if before[name] != after[name]} == {"a/1.dcm", "a/2.dcm"}


def test_dicom_without_suffix_is_a_slide_where_it_says_so(tmp_path):
    ct = "1.2.840.10008.5.1.4.1.1.2"
    dicom(tmp_path / "IM0001")
    dicom(tmp_path / "1.2.55", sop_class=ct)
    dicom(tmp_path / "class", modality="OT")
    dicom(tmp_path / "CT0001", "CT", ct)
    dicom(tmp_path / "CT0002.dcm", "CT", ct)
    (tmp_path / "broken").write_bytes(bytes(128) + b"DICM" + bytes(range(256)) * 20)
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert found(tmp_path) == ["1.2.55", "CT0002.dcm", "IM0001", "class"]


def test_a_file_without_suffix_that_cannot_be_read_is_tried(tmp_path, monkeypatch):
    made(tmp_path, "IM0001", "README")

    def refused(path):
        if path.name == "IM0001":
            raise PermissionError(13, "Permission denied")
        return False

    monkeypatch.setattr("wsicomp.formats.discovery.is_whole_slide", refused)
    assert found(tmp_path) == ["IM0001"]


def test_a_file_without_suffix_is_of_a_series_where_it_is_dicom(tmp_path):
    made(tmp_path, "scan", "x.dcm")
    dicom(tmp_path / "IM0001")
    (tmp_path / "again").hardlink_to(tmp_path / "scan")
    listed = frozenset({"scan", "again", "IM0001", "x.dcm"})

    def slides():
        return {slide.source: slide for slide in find_slides(Selection(tmp_path, listed=listed)).slides}

    before = slides()
    assert before["IM0001"].hard_link is None
    assert before["scan"].hard_link == before["again"].hard_link is not None
    assert before["IM0001"].stamp == before["x.dcm"].stamp != before["scan"].stamp
    dicom(tmp_path / "IM0001", series="1.2.3")
    assert {name for name, slide in slides().items() if slide.stamp != before[name].stamp} == {
        "IM0001",
        "x.dcm",
    }


def test_a_file_called_dcm_leads_its_series(tmp_path):
    for name in ("IM0001", "x.dcm", "IM0003"):
        dicom(tmp_path / name)
    target, picture = tmp_path / "archive/IM0001.wsipack", tmp_path / "picture.jpg"
    job = ConversionJob(
        *("IM0001", tmp_path / "IM0001", target, target.parent, Selection(tmp_path), ConversionConfig()),
        *(picture, picture, picture),
    )
    outcome = job.run(lambda *_: None)
    assert (outcome.state, outcome.error) == (State.SKIPPED, "it is a file of the slide x.dcm")


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_any_name_becomes_a_line_of_text_and_comes_back(name):
    path = os.fsdecode(name)
    text = as_text(path)
    assert text.isprintable()
    text.encode()
    assert os.fsencode(as_path(text)) == os.fsencode(as_path(as_text(as_path(text))))
    assert str(as_path(text)) == str(type(as_path(text))(path))


def targets(*names, known=None, **options):
    return assign_targets(names, ConversionConfig.of(**options), known or {})


def test_a_target_has_its_sources_name_where_the_suffix_fits():
    assert targets("a.svs", "b/c.ndpi", "d.tif", "e.mrxs") == {
        "a.svs": "a.svs",
        "b/c.ndpi": "b/c.ndpi.tiff",
        "d.tif": "d.tif",
        "e.mrxs": "e.mrxs.tiff",
    }
    assert targets("a.svs", codec="jpegxl") == {"a.svs": "a.svs.tiff"}
    assert targets("a.tif", format="svs") == {"a.tif": "a.tif.svs"}


def test_no_two_targets_are_one_on_any_file_system():
    names = ["A/x.svs", "a/x.svs", "caf\u00e9.svs", "cafe\u0301.svs", "y.ndpi", "y.ndpi.tiff", "Y.NDPI.TIFF"]
    chosen = targets(*names)
    folded = {os.path.normcase(target).casefold().replace("e\u0301", "\u00e9") for target in chosen.values()}
    assert len(folded) == len(names)
    assert chosen["A/x.svs"] == "A/x.svs"
    assert chosen["a/x.svs"].startswith("a/x~")


def test_a_target_keeps_its_name_when_another_slide_comes():
    before = targets("b/x.svs")
    after = targets("B/x.svs", "b/x.svs", known=before)
    assert after["b/x.svs"] == before["b/x.svs"] == "b/x.svs"
    assert after["B/x.svs"].startswith("B/x~")


def test_a_name_that_would_be_too_long_is_shortened_and_stays_apart():
    names = [f"{'ü' * 120}{number}.ndpi" for number in range(20, 22)]
    chosen = targets(*names)
    assert all(len(os.fsencode(target)) <= 255 for target in chosen.values())
    assert len(set(chosen.values())) == 2
