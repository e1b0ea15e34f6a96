"""A slide of several names is converted once, and each name has a whole target of its own."""

import os
import shutil

import pytest

from tests.batch.trees import CONFIG, RESTORABLE, assert_agrees, entries, files, run, sha256, write_slide
from wsicomp.batch import BatchRestoreOptions, jobs, restore_batch
from wsicomp.cli import main


@pytest.fixture
def trees(tmp_path):
    source = tmp_path / "source"
    write_slide(source / "a.tif")
    (source / "b").mkdir()
    for name in ("b/b.tif", "c.tif"):
        (source / name).hardlink_to(source / "a.tif")
    write_slide(source / "other.tif", side=210)
    return source, tmp_path / "target"


@pytest.fixture
def converted(monkeypatch):
    """What this process, in which jobs run, has converted."""
    seen = []
    run_here = jobs.ConversionJob._run

    def counted(job, on_progress):
        seen.append(job.name)
        return run_here(job, on_progress)

    monkeypatch.setattr(jobs.ConversionJob, "_run", counted)
    monkeypatch.setattr("wsicomp.batch.executors.run_job", lambda job, *_: job.run(lambda *_: None))
    return seen


def test_one_name_is_converted_and_the_others_get_copies(trees, converted):
    source, target = trees
    assert run(source, target).converted == 4
    assert sorted(converted) == ["a.tif", "other.tif"]
    assert_agrees(target)
    found, made = entries(target), files(target)
    assert made["a.tif"] == made["b/b.tif"] == made["c.tif"] != made["other.tif"]
    assert {path.stat().st_nlink for path in target.glob("**/*.tif")} == {1}
    for name in ("b/b.tif", "c.tif"):
        assert found[name].notes.splitlines()[-1].startswith("the same file as a.tif (a hard link)")
        assert (found[name].state, found[name].settings) == (found["a.tif"].state, found["a.tif"].settings)
        assert found[name].source_sha256 == sha256(source / "a.tif")
    assert "hard link" not in found["a.tif"].notes
    assert run(source, target).converted == 0


def test_a_dry_run_says_which_names_are_of_one_file(trees, capsys):
    source, target = trees
    assert main(["batch", str(source), str(target), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.count("copied from that of a.tif, the same file") == 2
    assert not target.exists()


def test_a_name_that_is_new_copies_what_is_finished(trees, converted):
    source, target = trees
    run(source, target)
    converted.clear()
    (source / "0.tif").hardlink_to(source / "c.tif")
    assert run(source, target).converted == 1
    assert not converted
    assert sha256(target / "0.tif") == sha256(target / "a.tif")


def test_other_options_convert_it_once_again(trees, converted):
    source, target = trees
    run(source, target)
    converted.clear()
    assert run(source, target, RESTORABLE, reconvert=True).converted == 4
    assert sorted(converted) == ["a.tif", "other.tif"]
    assert_agrees(target)


def test_every_name_comes_back(trees, tmp_path):
    source, target = trees
    run(source, target, RESTORABLE.changed(keep_if_larger="keep"))
    for again in ("with a ledger", "without"):
        restored = restore_batch(target, tmp_path / again, BatchRestoreOptions(jobs=2, min_free=0))
        assert restored.is_good
        assert files(tmp_path / again) == files(source)
        shutil.rmtree(target / ".wsicomp", ignore_errors=True)


def test_a_damaged_conversion_is_not_copied(trees, converted):
    source, target = trees
    run(source, target)
    converted.clear()
    (source / "0.tif").hardlink_to(source / "c.tif")
    for name in ("a.tif", "b/b.tif", "c.tif"):
        status = (target / name).stat()
        (target / name).write_bytes(bytes(status.st_size))
        os.utime(target / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    run(source, target)
    assert converted == ["0.tif"]
    assert entries(target)["0.tif"].target_sha256 == sha256(target / "0.tif")
    assert sha256(target / "0.tif") != sha256(target / "a.tif")


def test_a_foreign_file_in_a_copys_place_stays(trees):
    source, target = trees
    target.mkdir()
    (target / "c.tif").write_bytes(b"mine")
    result = run(source, target)
    assert (result.converted, result.failed) == (3, 1)
    assert (target / "c.tif").read_bytes() == b"mine"


def test_a_failed_first_name_does_not_hide_the_others(trees):
    source, target = trees
    (source / "x.svs").write_bytes(b"no slide")
    (source / "y.svs").hardlink_to(source / "x.svs")
    assert run(source, target).failed == 2
    assert {entries(target)[name].cause for name in ("x.svs", "y.svs")} == {"unreadable"}


def test_the_picture_of_what_went_is_copied(trees):
    source, target = trees
    run(source, target, CONFIG.changed(glass="white"))
    pictures = [path for path in (target / ".wsicomp/audits").rglob("*.jpg") if "look" not in path.name]
    assert len(pictures) == 4
