"""A packed slide is opened as its original, through a private mount or from a temporary folder."""

import gc
import logging
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import openslide
import pytest

import wsicomp
from tests import tiffs
from tests.mount.conftest import why_no_mount
from wsicomp import SlideAccessError
from wsicomp.openslide_api import packed as packed_module

WAYS = [
    pytest.param("mount", marks=pytest.mark.skipif(bool(why_no_mount()), reason=why_no_mount() or "-")),
    "folder",
]


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    tiffs.write_tiff(folder / "slide.svs", 700, 500)
    config = wsicomp.ConversionConfig.preset("archive-lossless")
    wsicomp.convert(folder / "slide.svs", folder / "slide.wsipack", config)
    return folder


@pytest.fixture(params=WAYS)
def way(request, tmp_path, monkeypatch):
    """How files are shown, in a temporary folder that must be empty in the end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if request.param == "folder":
        monkeypatch.setattr(packed_module, "_mounted", lambda *_: (None, "no FUSE"))
    yield request.param
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_it_shows_what_openslide_shows_of_the_original(slides, way):
    with (
        wsicomp.open_slide(slides / "slide.wsipack") as shown,
        openslide.OpenSlide(slides / "slide.svs") as slide,
    ):
        assert dict(shown.properties) == dict(slide.properties)
        assert shown.level_dimensions == slide.level_dimensions
        for level in range(slide.level_count):
            region = (100, 50), level, (300, 200)
            assert np.array_equal(shown.read_region(*region), slide.read_region(*region))
        assert shown.read_region((0, 0), 0, (9, 9), as_array=True).shape == (9, 9, 3)


def test_one_that_is_not_closed_leaves_nothing(slides, way):
    shown = wsicomp.open_slide(slides / "slide.wsipack")
    del shown


def test_its_files_are_said_to_be_written_out(slides, monkeypatch, caplog):
    monkeypatch.setattr(packed_module, "_mounted", lambda *_: (None, "no FUSE"))
    with caplog.at_level(logging.WARNING), wsicomp.open_slide(slides / "slide.wsipack"):
        assert "no FUSE" in caplog.text


def test_where_there_is_no_room_either_it_is_refused(slides, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(packed_module, "_mounted", lambda *_: (None, "no FUSE"))
    monkeypatch.setattr(packed_module, "_SHARE_OF_DISK", 1 << 60)
    with pytest.raises(SlideAccessError, match="restore it"):
        wsicomp.open_slide(slides / "slide.wsipack")
    assert list(tmp_path.iterdir()) == []


def test_a_pack_of_no_slide_and_a_damaged_one_are_refused(way, tmp_path_factory):
    folder = tmp_path_factory.mktemp("none")
    (folder / "notes.bin").write_bytes(b"notes" * 1000)
    config = wsicomp.ConversionConfig.preset("archive-lossless")
    wsicomp.convert(folder / "notes.bin", folder / "notes.wsipack", config)
    with pytest.raises(SlideAccessError, match=r"notes\.wsipack"):
        wsicomp.open_slide(folder / "notes.wsipack")
    data = (folder / "notes.wsipack").read_bytes()
    (folder / "notes.wsipack").write_bytes(data[:-100])
    with pytest.raises(SlideAccessError, match=r"notes\.wsipack"):
        wsicomp.open_slide(folder / "notes.wsipack")


@pytest.mark.skipif(bool(why_no_mount()), reason=why_no_mount() or "-")
def test_a_program_that_is_killed_leaves_no_mount(slides, tmp_path, monkeypatch):
    code = "import sys, wsicomp; slide = wsicomp.open_slide(sys.argv[1]); print('open', flush=True); input()"
    program = subprocess.Popen(
        [sys.executable, "-c", code, slides / "slide.wsipack"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert program.stdout.readline() == b"open\n"
    (place,) = tmp_path.glob("*/files")
    assert os.path.ismount(place)
    program.kill()
    program.communicate()
    deadline = time.monotonic() + 30
    while os.path.ismount(place):
        assert time.monotonic() < deadline, "the mount outlives its program"
        time.sleep(0.05)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    wsicomp.open_slide(slides / "slide.wsipack").close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_program_wrote_out_is_taken_away_by_the_next(slides, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(packed_module, "_mounted", lambda *_: (None, "no FUSE"))
    shown = packed_module.shown_files(slides / "slide.wsipack", 1000)
    with wsicomp.open_slide(slides / "slide.wsipack"):
        assert (shown.folder / "slide.svs").exists()
    os.close(shown.lock)  # as the system does when its process ends
    wsicomp.open_slide(slides / "slide.wsipack").close()
    assert list(tmp_path.iterdir()) == []
