"""A tree of every vendor's slides is kept whole: packed, restored, found again, and proved byte for byte."""

import filecmp
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from tests.batch.conftest import draw_strips
from tests.batch.trees import CONFIG, RESTORABLE, entries, run, sha256, write_slide
from tests.drawn import scanner_slides
from tests.drawn.jpegs import jpeg
from wsicomp.batch import BatchRestoreOptions, rebuild_ledger, restore_batch, verify_files
from wsicomp.batch.ledger import Ledger
from wsicomp.formats.opening import open_tiff
from wsicomp.formats.packed.container import PackedSlide

pytestmark = pytest.mark.gate

SOLE = {
    "a/b.ndpi": "a/b.ndpi.wsipack",
    "deep/m.mrxs": "deep/m.mrxs.wsipack",
    "series/level-0-0.dcm": "series/level-0-0.dcm.wsipack",
    "strips.tif": "strips.tif.wsipack",
    "v.vms": "v.vms.wsipack",
}
"""The packed slides of the tree by their sources."""


def state_of(folder):
    """Kind, bytes, time and mode of all that is in a tree, hidden folders and a batch's options left out."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if not name.startswith((".wsicomp", "wsicomp.toml")):
            status = path.stat()
            content = sha256(path) if path.is_file() else ""
            found[name] = content, status.st_mtime_ns, status.st_mode
    return found


def restore(archive, target, **options):
    return restore_batch(archive, target, BatchRestoreOptions(**{"jobs": 2, "min_free": 0} | options))


@pytest.fixture
def trees(kept_tree, tmp_path):
    """A source tree and its archive, which a test may change."""
    shutil.copytree(kept_tree, tmp_path, dirs_exist_ok=True)
    with Ledger(tmp_path / "archive") as ledger:
        ledger.note("source", str(tmp_path / "source"))
    return tmp_path / "source", tmp_path / "archive"


def test_every_slide_of_a_mixed_tree_is_kept_restorable(kept_tree):
    source, archive = kept_tree / "source", kept_tree / "archive"
    found = entries(archive)
    targets = {one.source: one.target for one in found.values() if one.is_converted}
    assert targets == SOLE | {"plain.svs": targets["plain.svs"]}
    assert not targets["plain.svs"].endswith(".wsipack")
    assert all(entry.restorable for entry in found.values() if entry.is_converted)
    assert found["series/level-0-1.dcm"].cause == "part of another"
    series = sum(path.stat().st_size for path in (source / "series").iterdir())
    assert found["series/level-0-0.dcm"].source_bytes == series
    again = run(source, archive, RESTORABLE)
    assert (again.converted, again.adopted, again.failures, again.is_good) == (0, 0, 0, True)


def test_restored_folders_are_the_source_s_with_times_and_modes_and_are_found_again(kept_tree, tmp_path):
    source, archive = kept_tree / "source", kept_tree / "archive"
    restored = restore(archive, tmp_path / "again")
    assert (restored.restored, restored.found) == (6, 0), restored.problems
    there, before = state_of(tmp_path / "again"), state_of(source)
    for name in ("a", "deep", "series"):  # not slides' own: the restored tree made them
        there[name] = before[name]
    assert there == before
    assert restore(archive, tmp_path / "again").found == 6
    assert state_of(tmp_path / "again").keys() == before.keys()


def test_what_a_killed_restore_left_out_is_added_and_what_is_there_stays(kept_tree, tmp_path):
    archive = kept_tree / "archive"
    again = tmp_path / "again"
    restore(archive, again)
    kept = {path: path.stat().st_ino for path in (again / "deep/m/Index.dat", again / "v_map2.jpg")}
    (again / "deep/m.mrxs").unlink()
    (again / "v.vms").unlink()
    restored = restore(archive, again)
    assert (restored.restored, restored.found) == (2, 4), restored.problems
    assert {path: path.stat().st_ino for path in kept} == kept
    (again / "deep/m/Index.dat").write_bytes(b"mine")
    (again / "v_map2.jpg").write_bytes(b"mine")
    restored = restore(archive, again)
    assert {entry.source for entry in restored.problems} == {"deep/m.mrxs", "v.vms"}
    assert {path.read_bytes() for path in kept} == {b"mine"}
    assert not list(again.rglob(".*"))


def test_without_a_ledger_the_packed_slides_say_their_names(trees, tmp_path):
    source, archive = trees
    shutil.rmtree(archive / ".wsicomp")
    (archive / "deep/m.mrxs.wsipack").rename(archive / "deep/renamed.wsipack")
    assert restore(archive, tmp_path / "again").is_good
    assert state_of(tmp_path / "again").keys() == state_of(source).keys()
    rebuilt = rebuild_ledger(archive)
    assert {entry.source for entry in rebuilt.entries} >= SOLE.keys() - {"deep/m.mrxs"}
    assert not rebuilt.damaged
    (archive / "deep/renamed.wsipack").rename(archive / "deep/m.mrxs.wsipack")
    shutil.rmtree(archive / ".wsicomp")
    rebuild_ledger(archive)
    result = run(source, archive, RESTORABLE)
    assert (result.adopted, result.converted, result.failures) == (6, 0, 0)


@pytest.mark.parametrize("name", ["deep/m.mrxs", "strips.tif"])
def test_a_packed_slide_that_is_there_is_taken_on_only_if_it_is_this_very_slide_s(trees, name):
    source, archive = trees
    target = archive / SOLE[name]
    good = target.read_bytes()
    shutil.rmtree(archive / ".wsicomp")
    target.write_bytes(good[: len(good) // 3] + bytes(50) + good[len(good) // 3 + 50 :])
    result = run(source, archive, RESTORABLE)
    assert (result.adopted, result.converted, result.failures) == (5, 1, 0)
    assert "was not its conversion and was replaced" in entries(archive)[name].notes
    assert target.read_bytes() == good


def test_the_packed_slide_of_another_slide_is_never_replaced(trees):
    source, archive = trees
    shutil.rmtree(archive / ".wsicomp")
    other = archive / SOLE["a/b.ndpi"]
    before = other.read_bytes()
    scanner_slides.ndpi(source / "a/b.ndpi", 640, 256, seed=9)
    assert run(source, archive, RESTORABLE.changed(overwrite=True)).failures == 1
    assert entries(archive)["a/b.ndpi"].cause == "target of another slide"
    assert other.read_bytes() == before


def test_a_changed_slide_is_packed_anew_and_its_earlier_pack_is_moved_aside(trees):
    source, archive = trees
    (source / "deep/m/more.dat").write_bytes(jpeg())
    result = run(source, archive, RESTORABLE)
    assert (result.converted, result.failures) == (1, 0)
    assert "stood in its place" in entries(archive)["deep/m.mrxs"].notes


def test_verify_rebuilds_every_byte_and_compares_with_the_sources(trees):
    source, archive = trees
    assert verify_files([archive]).is_sound
    assert verify_files([archive], source).is_sound
    damaged = archive / SOLE["v.vms"]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    (source / "deep/m/Index.dat").write_bytes(b"other")
    bad = {Path(one.file).name for one in verify_files([archive], source).files if not one.is_sound}
    assert bad == {"v.vms.wsipack", "m.mrxs.wsipack"}
    shutil.copy(archive / SOLE["a/b.ndpi"], archive / SOLE["strips.tif"])
    found = {Path(one.file).name: one for one in verify_files([archive]).files}
    assert "of another file than the ledger says" in str(found["strips.tif.wsipack"].found.problems[0])


def test_a_tiff_that_can_stay_one_again_keeps_its_packed_slide_and_a_lossy_batch_does_not(trees):
    source, archive = trees
    write_slide(source / "strips.tif")
    assert run(source, archive, RESTORABLE).failures == 0
    assert entries(archive)["strips.tif"].target == "strips.tif.wsipack"
    result = run(source, archive, CONFIG, reconvert=True, include=("*.tif", "*.svs"))
    assert result.failures == 0
    assert entries(archive)["strips.tif"].target == "strips.tif"
    assert not (archive / "strips.tif.wsipack").exists()
    with closing(open_tiff(archive / "strips.tif")) as slide:
        assert slide.provenance is not None


def test_the_conversion_of_an_earlier_tiff_stays_beside_the_packed_slide_of_a_new_one(tmp_path):
    source, archive = tmp_path / "source", tmp_path / "archive"
    write_slide(source / "kept.tif")
    earlier = sha256(source / "kept.tif")
    assert run(source, archive, RESTORABLE).converted == 1
    before = sha256(archive / "kept.tif")
    draw_strips(source / "kept.tif")
    assert run(source, archive, RESTORABLE).converted == 1
    entry = entries(archive)["kept.tif"]
    assert entry.target == "kept.tif.wsipack"
    assert "kept.tif stays: it was not made from this slide as it is now" in entry.notes
    assert sha256(archive / "kept.tif") == before
    assert run(source, archive, RESTORABLE).converted == 0
    assert restore(archive, tmp_path / "again").restored == 2
    assert filecmp.cmp(tmp_path / "again/kept.tif", source / "kept.tif", shallow=False)
    assert sha256(tmp_path / "again/kept.tif~") == earlier


def test_each_name_of_a_hard_link_has_a_packed_slide_that_states_it(tmp_path):
    source, archive = tmp_path / "source", tmp_path / "archive"
    source.mkdir()
    scanner_slides.ndpi(source / "a.ndpi", 512, 256)
    (source / "b.ndpi").hardlink_to(source / "a.ndpi")
    assert run(source, archive, RESTORABLE).converted == 2
    for name in ("a.ndpi", "b.ndpi"):
        with PackedSlide(archive / f"{name}.wsipack") as packed:
            assert packed.manifest.opens == name


def test_files_of_packed_slides_are_not_carried_and_other_files_are(trees):
    source, archive = trees
    (source / "deep/notes.txt").write_text("about m.mrxs")
    result = run(source, archive, RESTORABLE, carry_others=True)
    assert (result.carried, result.failures) == (1, 0)
    assert not (archive / "deep/m").exists()
    assert not list(archive.glob("v*.jpg"))
    result = run(source, archive, RESTORABLE, carry_others=True, delete_source=True, min_saving=0)
    assert result.quarantined >= 5
    assert run(source, archive, RESTORABLE, carry_others=True).carried == 0
    assert (archive / "deep/notes.txt").exists()


def test_a_packed_slide_has_its_source_s_time_where_that_is_asked_for(tmp_path):
    source, archive = tmp_path / "source", tmp_path / "archive"
    source.mkdir()
    slide = scanner_slides.vms(source / "v.vms")
    os.utime(slide, ns=(0, 10**18))
    assert run(source, archive, RESTORABLE.changed(keep_times=True)).converted == 1
    assert (archive / "v.vms.wsipack").stat().st_mtime_ns == 10**18
    assert run(source, archive, RESTORABLE.changed(keep_times=True)).converted == 0
