"""What is said of an archive when it is mounted, and which archives cannot be."""

import os
import shutil

import pytest

from tests.batch.trees import CONFIG, RESTORABLE, entries, run, write_slide
from tests.command_line import run_command
from tests.drawn.dicom_slide import Form, dicom_of
from tests.paths import FIXTURES
from tests.tiffs import write_tiff
from wsicomp import SlideReadError
from wsicomp.cli.mount import MountCommandOptions, mount_lines
from wsicomp.formats.packed.pack import pack_slide
from wsicomp.mount.archives import check_archive
from wsicomp.mount.slide_counts import NotShown, count_slides

OLDER = FIXTURES / "v050_written/jpegxl-restorable.tiff"


def lines(archive):
    return mount_lines(MountCommandOptions(archive=archive, mountpoint="m"))


def test_every_slide_of_a_ledger_is_shown_or_said_to_be_not(tmp_path):
    slides, archive = tmp_path / "slides", tmp_path / "archive"
    config = RESTORABLE.changed(keep_if_larger="keep")
    for number, name in enumerate(("a", "cut", "gone", "older")):
        write_slide(slides / f"{name}.svs", number)
    (slides / "broken.svs").write_bytes(b"II*\0 no slide")
    (slides / "table.csv").write_text("x")
    run(slides, archive, config, carry_others=True)
    assert entries(archive)["broken.svs"].state == "failed"
    shutil.copytree(archive, tmp_path / "whole")
    os.truncate(archive / "cut.svs.tiff", 5000)
    (archive / "gone.svs.tiff").unlink()
    shutil.copy(OLDER, archive / "older.svs.tiff")
    found = count_slides(archive)
    assert (found.shown, found.is_all) == (2, True)
    assert found.not_shown == {NotShown.OLDER: 1, NotShown.DAMAGED: 1, NotShown.MISSING: 1}
    first, second = lines(archive)
    assert first == f"Mounted 2 slides of {archive} at m"
    assert f"1 made by wsicomp 0.7 or before (wsicomp upgrade {archive})" in second
    assert f"1 missing (wsicomp verify {archive})" in second
    assert lines(tmp_path / "whole") == [f"Mounted 5 slides of {tmp_path / 'whole'} at m"]


def test_an_archive_of_nothing_restorable_says_so(tmp_path):
    write_slide(tmp_path / "slides/a.svs")
    assert lines(tmp_path / "slides") == [
        f"Mounted {tmp_path / 'slides'} at m",
        f"  nothing in {tmp_path / 'slides'} is restorable: it is shown as it is",
    ]
    run(tmp_path / "slides", tmp_path / "archive", CONFIG.changed(keep_if_larger="keep"))
    assert count_slides(tmp_path / "archive").not_shown == {NotShown.NOT_RESTORABLE: 1}


def test_a_pack_whose_names_another_has_is_not_counted_as_shown(tmp_path):
    archive = tmp_path / "archive"
    (archive / "sub").mkdir(parents=True)
    for number, target in enumerate(("a.wsipack", "b.wsipack", "sub/c.wsipack")):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}/p.isyntax").write_bytes(bytes([number]) * 5000)
        pack_slide(tmp_path / f"{number}/p.isyntax", archive / target)
    first, second = lines(archive)
    assert first == f"Mounted 2 slides of {archive} at m"
    assert "1 packed beside another of the same names" in second


def test_counting_ends_in_time(drawn, tmp_path):
    for number in range(100):
        shutil.copy(drawn / "archive/one.svs.tiff", tmp_path / f"{number}.svs.tiff")
    found = count_slides(tmp_path, limit_s=0.0)
    assert not found.is_all
    assert 0 < found.shown < 100


def test_one_file_has_to_be_a_slide(tmp_path):
    dicom = bytes(128) + b"DICM"
    bad = {
        "a.txt": dicom,
        "b.tif": b"text",
        "c.wsipack": b"PK",
        "d.svs": b"",
        "NOTES": b"text",
        "DICOMDIR": dicom,
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SlideReadError):
            check_archive(tmp_path / name)
        assert run_command("serve", tmp_path / name)[0] == 1
    write_slide(tmp_path / "e.svs")
    level = dicom_of(write_tiff(tmp_path / "x.svs", 200, 200), tmp_path, Form())
    for name in ("p.isyntax", "q.VSI", "IM0001", "1.2.840.55"):
        shutil.copy(level, tmp_path / name)
        check_archive(tmp_path / name)
    for path in (tmp_path / "e.svs", tmp_path, OLDER):
        check_archive(path)


@pytest.mark.parametrize(("mode", "name"), [(0o000, "x"), (0o111, "x"), (0o444, "x"), (0o000, "x/a.svs")])
def test_what_may_not_be_read_is_no_archive(tmp_path, mode, name):
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    write_slide(tmp_path / "x/a.svs")
    path = tmp_path / name
    path.chmod(mode)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        with pytest.raises(SlideReadError, match="Permission denied"):
            check_archive(path)
    finally:
        if is_root:
            os.seteuid(0)
        path.chmod(0o755)
