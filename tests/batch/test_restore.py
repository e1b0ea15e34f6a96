"""A tree of conversions gives every source back, byte for byte, by the name that it had."""

import os
import re
import resource
import shutil

import pytest

from tests.batch.trees import CONFIG, HOOKS, RESTORABLE, files, run, sha256, write_slide, write_tree
from tests.command_line import run_command
from wsicomp.batch import BatchRestoreOptions, BulkOptions, Stop, restore_batch, verify_files
from wsicomp.batch.bulk_jobs import RestoreJob
from wsicomp.conversion.convert import convert_slide
from wsicomp.errors import ConfigError, LedgerError, SlideReadError
from wsicomp.formats.packed.pack import pack_slide

NAMES = ("a/slide 0.svs", "b/slide 1.svs", "c/slide 2.svs")


@pytest.fixture
def trees(tmp_path):
    source, archive = tmp_path / "source", tmp_path / "archive"
    write_tree(source, 3)
    assert run(source, archive, RESTORABLE).converted == 3
    return source, archive, tmp_path / "again"


def restore(archive, target, callbacks=None, stop=None, **options):
    """With two jobs, and no demands on the disk."""
    chosen = BatchRestoreOptions(**{"jobs": 2, "min_free": 0} | options)
    return restore_batch(archive, target, chosen, callbacks, stop)


def states(restored):
    return {entry.source: (entry.state, entry.cause) for entry in restored.problems}


def test_every_source_comes_back_by_its_name_and_a_rerun_does_what_is_missing(trees):
    source, archive, again = trees
    restored = restore(archive, again)
    assert restored.is_good
    assert (restored.restored, restored.found) == (3, 0)
    assert restored.bytes == sum(path.stat().st_size for path in source.rglob("*.svs"))
    assert files(again) == files(source)
    assert {path.name for path in again.iterdir()} == {"a", "b", "c"}
    (again / NAMES[1]).unlink()
    kept = (again / NAMES[0]).stat()
    restored = restore(archive, again)
    assert (restored.is_good, restored.restored, restored.found) == (True, 1, 2)
    assert files(again) == files(source)
    assert (again / NAMES[0]).stat().st_ino == kept.st_ino


def test_the_ledger_knows_names_that_the_targets_do_not_tell(tmp_path):
    source, archive = tmp_path / "source", tmp_path / "archive"
    for name in ("a.tif", "A.tif", "CON.svs", "what?.svs", "end./b.svs", os.fsdecode(b"\xff.svs")):
        write_slide(source / name, len(name))
    run(source, archive, RESTORABLE)
    assert restore(archive, tmp_path / "again").is_good
    assert files(tmp_path / "again") == files(source)


def test_without_a_ledger_the_targets_say_the_names(trees):
    source, archive, again = trees
    shutil.rmtree(archive / ".wsicomp")
    (archive / "notes.txt").write_text("no slide")
    (archive / "renamed.tiff").hardlink_to(archive / f"{NAMES[0]}.tiff")
    (archive / f"{NAMES[0]}.tiff").unlink()
    assert restore(archive, again).is_good
    assert set(files(again)) == {"slide 0.svs", *NAMES[1:]}
    (archive / "zeros.tiff").write_bytes(bytes(1000))
    write_slide(archive / "foreign.tif")
    found = states(restore(archive, again))
    assert set(found) == {"zeros.tiff", "foreign.tif"}
    assert found["foreign.tif"] == ("skipped", "not written by wsicomp")
    assert sha256(again / "slide 0.svs") == sha256(source / NAMES[0])


def test_two_targets_that_state_one_name_both_come_back(tmp_path):
    archive = tmp_path / "archive"
    archive.mkdir()
    for number in range(2):
        source = write_slide(tmp_path / str(number) / "a.svs", side=200 + number)
        convert_slide(source, archive / f"{number}.tiff", RESTORABLE)
    restored = restore(archive, tmp_path / "again")
    assert restored.is_good
    made = files(tmp_path / "again")
    assert "a.svs" in made
    assert set(made.values()) == {sha256(tmp_path / str(number) / "a.svs") for number in range(2)}


def test_what_does_not_hold_its_source_is_named_and_can_be_left_out(trees):
    source, archive, again = trees
    write_slide(source / "lossy/d.svs", 9)
    run(source, archive, CONFIG, include=("lossy/*",))
    restored = restore(archive, again)
    assert not restored.is_good
    assert states(restored) == {"lossy/d.svs": ("skipped", "not restorable")}
    assert "codec copy" in restored.problems[0].error
    assert restored.restored == 3
    assert not (again / "lossy").exists()
    assert restore(archive, again, exclude=("lossy/*",)).is_good
    assert restore(archive, again, include=("a/*",)).found == 1
    shutil.copytree(source / "lossy", again / "lossy", dirs_exist_ok=True)
    assert restore(archive, again).is_good, "the very file is there already"


def test_another_file_in_the_way_stays_without_overwrite(trees):
    source, archive, again = trees
    other = again / NAMES[0]
    other.parent.mkdir(parents=True)
    other.write_bytes(b"mine")
    restored = restore(archive, again)
    assert states(restored) == {NAMES[0]: ("failed", "target exists")}
    assert (restored.restored, other.read_bytes()) == (2, b"mine")
    other.write_bytes(bytes((source / NAMES[0]).stat().st_size))
    assert states(restore(archive, again)) == {NAMES[0]: ("failed", "target exists")}
    assert restore(archive, again, overwrite=True).is_good
    assert files(again) == files(source)


def test_a_damaged_target_fails_alone_and_leaves_nothing(trees):
    source, archive, again = trees
    path = archive / f"{NAMES[0]}.tiff"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    (archive / f"{NAMES[1]}.tiff").unlink()
    restored = restore(archive, again)
    assert states(restored).keys() == set(NAMES[:2])
    assert states(restored)[NAMES[1]] == ("failed", "target missing")
    assert files(again) == {NAMES[2]: sha256(source / NAMES[2])}
    assert not list(again.rglob("*.partial"))


def test_a_sources_own_file_in_a_conversions_place_comes_back_too(tmp_path):
    source, archive, again = tmp_path / "source", tmp_path / "archive", tmp_path / "again"
    write_slide(source / "a.tif", side=40)
    run(source, archive, CONFIG.changed(codec="jpeg", quality=100, glass="keep"))
    assert files(archive) == files(source), "a conversion of so few pixels is larger"
    assert restore(archive, again).is_good
    assert files(again) == files(source)
    assert verify_files([archive], source, BulkOptions(jobs=1)).is_sound
    (archive / "a.tif").write_bytes((archive / "a.tif").read_bytes()[:-1] + b"x")
    assert states(restore(archive, tmp_path / "other"))["a.tif"][0] != "done"
    assert not verify_files([archive], None, BulkOptions(jobs=1)).is_sound


def test_slides_that_the_batch_did_not_convert_are_named(trees):
    source, archive, again = trees
    (source / "broken.svs").write_bytes(b"no slide")
    run(source, archive, RESTORABLE)
    restored = restore(archive, again)
    assert states(restored) == {"broken.svs": ("skipped", "not converted")}
    assert restored.restored == 3


def test_a_target_of_another_slide_than_the_ledger_says_is_not_taken_for_it(trees, tmp_path):
    _, archive, again = trees
    other = write_slide(tmp_path / "other.svs", side=250)
    convert_slide(other, archive / f"{NAMES[0]}.tiff", RESTORABLE.changed(overwrite=True))
    assert states(restore(archive, again)) == {NAMES[0]: ("failed", "target of another slide")}
    assert not (again / NAMES[0]).exists()


def test_no_link_in_the_new_tree_is_followed(trees, tmp_path):
    _, archive, again = trees
    outside = tmp_path / "outside"
    outside.mkdir()
    again.mkdir()
    (again / "a").symlink_to(outside)
    (again / "b").mkdir()
    (again / NAMES[1]).symlink_to(outside / "file")
    restored = restore(archive, again, overwrite=True)
    assert set(states(restored)) == set(NAMES[:2])
    assert not list(outside.iterdir())


def test_trees_that_cannot_be_are_refused(trees, tmp_path):
    _, archive, again = trees
    with pytest.raises(ConfigError, match="overlap"):
        restore(archive, archive / "again")
    with pytest.raises(ConfigError, match="is no folder"):
        restore(archive, archive / f"{NAMES[0]}.tiff")
    with pytest.raises(SlideReadError, match="is no folder"):
        restore(tmp_path / "none", again)
    with pytest.raises(SlideReadError, match="3 conversions, none of them asked for"):
        restore(archive, again, include=("z*",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SlideReadError, match="no conversion"):
        restore(tmp_path / "empty", again)
    (archive / ".wsicomp/ledger.sqlite").write_bytes(b"no ledger")
    with pytest.raises(LedgerError, match="rebuild"):
        restore(archive, again)
    assert not again.exists()


def test_a_stop_leaves_the_rest_to_a_rerun(trees):
    source, archive, again = trees
    stop = Stop()
    stop.request()
    restored = restore(archive, again, stop=stop)
    assert (restored.why, restored.unfinished, restored.is_good) == ("stopped", 3, False)
    assert not files(again)
    assert restore(archive, again).is_good
    assert files(again) == files(source)


def test_too_little_space_begins_nothing(trees):
    _, archive, again = trees
    restored = restore(archive, again, min_free=1e6)
    assert (restored.no_room, restored.unfinished, restored.is_good) == (3, 3, False)
    assert not files(again)
    code, out, _ = run_command("batch", "restore", archive, again, "--min-free", "1e6")
    assert code == 1
    assert re.search(
        r"the smallest of these needs \d\S* [kM]?B; the disk has .* --min-free keeps 1e\+06 GB", out
    )


@pytest.mark.parametrize("is_pack", [False, True])
def test_a_disk_that_fills_while_a_source_is_restored_leaves_nothing_half_written(
    trees, monkeypatch, is_pack
):
    """The disk takes less than a file, and says so only then."""
    source, archive, again = trees
    (conversion,) = archive.glob(f"{NAMES[0]}.tiff")
    if is_pack:
        conversion = archive / "two.wsipack"
        (source / "a/slide 0.mrxs").write_bytes(b"opens the slide")
        (source / "a/slide 0").mkdir()
        shutil.copy(source / NAMES[0], source / "a/slide 0/Data0000.dat")
        pack_slide(source / "a/slide 0.mrxs", conversion)
    again.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.chdir(again)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        code, out, err = run_command("restore", conversion, again / "whole")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "cannot be written (File too large)" in err
    assert list(again.rglob("*")) == []


def test_a_crash_and_a_hang_cost_one_file_each(trees, monkeypatch):
    source, archive, again = trees
    shutil.rmtree(archive / ".wsicomp")
    for name, word in zip(NAMES, ("segfault", "hang"), strict=False):
        (archive / f"{name}.tiff").rename((archive / name).with_name(f"{word}.tiff"))
    monkeypatch.setenv("PYTHONPATH", str(HOOKS))
    restored = restore(archive, again, stall_minutes=0.15)
    assert states(restored) == {NAMES[0]: ("failed", "crash"), NAMES[1]: ("failed", "hang")}
    assert files(again) == {NAMES[2]: sha256(source / NAMES[2])}


def test_a_folder_that_becomes_a_link_while_its_slide_is_restored_is_not_followed(trees, monkeypatch):
    _, archive, again = trees
    outside = again.with_name("outside")
    outside.mkdir()
    again.mkdir()
    make_place = RestoreJob._make_place

    def then_swap(job):
        make_place(job)
        job.target.parent.rmdir()
        job.target.parent.symlink_to(outside)

    monkeypatch.setattr(RestoreJob, "_make_place", then_swap)
    job = RestoreJob(NAMES[0], archive / f"{NAMES[0]}.tiff", archive, again / NAMES[0], again, 1)
    outcome = job.run(lambda *_: None)
    assert outcome.state == "failed"
    assert "link" in outcome.error
    assert not list(outside.iterdir())
