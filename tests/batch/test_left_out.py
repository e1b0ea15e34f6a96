"""A tree is kept whole: slides that nothing here reads are packed, too, and what is left out is told."""

import json

import pytest

from tests.batch.test_packed import restore, state_of
from tests.batch.trees import CONFIG, RESTORABLE, entries, run
from tests.command_line import run_command
from tests.drawn import scanner_slides
from tests.drawn.dicom_slide import Form, dicom_of
from tests.tiffs import write_tiff
from wsicomp.batch import read_report, write_html

PACKED = {
    "a/scan.isyntax": "a/scan.isyntax.wsipack",
    "a/x.vsi": "a/x.vsi.wsipack",
    "dicom/1.2.840.55": "dicom/1.2.840.55.wsipack",
    "v.vms": "v.vms.wsipack",
}
LEFT_OUT = (
    "6 files: 2 without suffix, 1 .dat, 1 .ini, 1 .txt, 1 .xml; MRXS folders whose .mrxs is missing: orphan"
)


@pytest.fixture
def source(tmp_path):
    """Slides that OpenSlide does not read, a DICOM series without suffixes, and files that are no slides."""
    source = tmp_path / "source"
    for name in ("a/_x_/stack1", "dicom", "orphan"):
        (source / name).mkdir(parents=True)
    (source / "a/scan.isyntax").write_bytes(b"<DataObject>" + bytes(9000))
    (source / "a/x.vsi").write_bytes(b"II" + bytes(500))
    (source / "a/_x_/stack1/frame_t.ets").write_bytes(b"SIS\0" + bytes(9000))
    scanner_slides.vms(source / "v.vms")
    dicom_of(write_tiff(tmp_path / "x.svs", 200, 200), source / "dicom", Form(parts=2))
    (source / "dicom/level-0-0.dcm").rename(source / "dicom/1.2.840.55")
    (source / "dicom/level-0-1.dcm").rename(source / "dicom/IM0002")
    (source / "b.txt").write_bytes((source / "dicom/IM0002").read_bytes())
    (source / "a/README").write_bytes(bytes(128) + b"DICX")
    (source / "dicom/DICOMDIR").write_bytes(bytes(128) + b"DICM")
    for name in ("orphan/Data0000.dat", "orphan/Slidedat.ini", "notes.xml"):
        (source / name).write_bytes(b"words")
    return source


def test_slides_that_nothing_here_reads_are_kept_whole_and_come_back(source, tmp_path):
    archive = tmp_path / "archive"
    result = run(source, archive, RESTORABLE)
    found = entries(archive)
    assert {one.source: one.target for one in found.values() if one.is_converted} == PACKED
    assert (result.failures, result.left_out, result.left_out_what) == (0, 6, LEFT_OUT)
    assert found["dicom/IM0002"].cause == "part of another"
    assert "orphan.mrxs is not beside it" in found["orphan/"].error
    assert restore(archive, tmp_path / "again").is_good
    slides = {name: state for name, state in state_of(source).items() if (tmp_path / "again" / name).exists()}
    packed = {name for name, (content, *_) in slides.items() if content}
    assert {"a/_x_/stack1/frame_t.ets", "a/scan.isyntax", "dicom/IM0002", "v_map2.jpg"} <= packed
    assert {name: state_of(tmp_path / "again")[name] for name in packed} == {
        name: slides[name] for name in packed
    }
    assert (run(source, archive, RESTORABLE).converted, entries(archive).keys()) == (0, found.keys())


def test_what_is_left_out_is_told_at_the_end_in_json_and_in_the_report(source, tmp_path):
    archive = tmp_path / "archive"
    options = ("--preset", "archive-lossless", "--min-free", 0, "--jobs", 1)
    _, said, _ = run_command("batch", source, archive, *options, "--dry-run", "--estimate", 0)
    assert f"left out, as no slides: {LEFT_OUT}; --carry-others copies them" in said
    _, said, _ = run_command("batch", source, archive, *options)
    assert f"left out, as no slides: {LEFT_OUT}; --carry-others copies them" in said
    _, said, _ = run_command("batch", source, archive, "--json", "--min-free", 0)
    assert json.loads(said.splitlines()[-1])["left_out_what"] == LEFT_OUT
    assert LEFT_OUT in run_command("batch", "report", archive)[1]
    assert read_report(archive).left_out == LEFT_OUT
    write_html(archive, tmp_path / "page.html")
    assert f"Left out, as no slides: {LEFT_OUT}" in (tmp_path / "page.html").read_text()
    lost = "MRXS folders whose .mrxs is missing: orphan"
    _, said, _ = run_command(
        "batch", source, archive, *options, "--carry-others", "--dry-run", "--estimate", 0
    )
    assert f"  left out, as no slides: {lost}\n" in said
    _, said, _ = run_command("batch", source, archive, *options, "--carry-others")
    assert f"  left out, as no slides: {lost}\n" in said
    assert "6 files carried as they are" in said
    assert read_report(archive).left_out == lost
    result = run(source, archive, RESTORABLE, exclude=("*.txt", "orphan/*", "README"))
    assert result.left_out_what == "2 files: 1 without suffix, 1 .xml"


def test_sources_without_suffix_go_by_series_and_others_stay(source, tmp_path):
    options = {"delete_source": True, "quarantine_days": 0, "min_saving": 0}
    result = run(source, tmp_path / "archive", RESTORABLE, **options)
    assert (result.deleted, result.failures) == (len(PACKED), 0)
    there = sorted(str(path.relative_to(source)) for path in source.rglob("*") if path.is_file())
    there = [name for name in there if not name.startswith(".")]
    assert there == [
        "a/README",
        "b.txt",
        "dicom/DICOMDIR",
        "notes.xml",
        "orphan/Data0000.dat",
        "orphan/Slidedat.ini",
    ]
    again = run(source, tmp_path / "archive", RESTORABLE, **options)
    assert (again.converted, again.failures, again.left_out) == (0, 0, 6)


def test_a_batch_that_converts_leaves_out_what_nothing_here_reads(source, tmp_path):
    (source / "v.vms").unlink()
    result = run(source, tmp_path / "archive", CONFIG)
    assert {one.source for one in entries(tmp_path / "archive").values() if one.is_converted} == {
        "dicom/1.2.840.55"
    }
    assert "1 .isyntax" in result.left_out_what
    assert "1 .vsi" in result.left_out_what
