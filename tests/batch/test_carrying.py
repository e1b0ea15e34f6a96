"""What is no slide, or cannot be converted, is carried as it is, so that the archive is whole."""

import json
import os
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from tests.batch import trees as made
from tests.batch.trees import CONFIG, RESTORABLE, assert_agrees, entries, files, run, sha256, write_slide
from wsicomp.batch import (
    BatchRestoreOptions,
    Ledger,
    Stop,
    read_report,
    restore_batch,
    verify_files,
    write_html,
)
from wsicomp.batch.carried import Carried
from wsicomp.batch.carry_job import CarryJob
from wsicomp.batch.target_names import safe_target
from wsicomp.cli import main
from wsicomp.errors import ConfigError


@pytest.fixture
def trees(tmp_path):
    """A tree with a slide, a broken one, and other files."""
    source = tmp_path / "source"
    write_slide(source / "a/good.svs")
    (source / "a/bad.svs").write_bytes(b"no slide" * 1000)
    (source / "notes.txt").write_text("as they are")
    (source / "a/räume.xml").write_text("<a/>")
    (source / ".hidden").mkdir()
    (source / ".hidden/empty").write_bytes(b"")
    (source / "notes.txt").chmod(0o640)
    os.utime(source / "notes.txt", ns=(10**18, 10**18 + 7))
    return source, tmp_path / "target"


OTHERS = ["a/bad.svs", "notes.txt", "a/räume.xml", ".hidden/empty"]


def carry(trees, **choices):
    return run(*trees, **{"carry_others": True, "jobs": 1} | choices)


def carried(target):
    with Ledger(target, read_only=True) as ledger:
        return ledger.carried()


def test_others_and_failures_are_there_byte_for_byte_with_mode_and_time(trees):
    source, target = trees
    result = carry(trees)
    assert (result.converted, result.failed, result.carried, result.uncarried) == (1, 1, 4, 0)
    assert result.carried_bytes == sum((source / name).stat().st_size for name in OTHERS)
    for name in OTHERS:
        one, other = (source / name).stat(), (target / name).stat()
        assert (target / name).read_bytes() == (source / name).read_bytes()
        assert (one.st_mode, one.st_mtime_ns) == (other.st_mode, other.st_mtime_ns)
        assert (one.st_ino, other.st_nlink) != (other.st_ino, 2), "no hard link"
        assert carried(target)[name].sha256 == sha256(source / name)
    assert {record.why for record in carried(target).values()} == {"no slide", "not converted"}


def test_a_run_that_is_not_asked_to_carries_nothing(trees):
    assert run(*trees).carried == 0
    assert not (trees[1] / "notes.txt").exists()


def test_a_rerun_carries_what_is_new_or_changed_alone(trees):
    source, target = trees
    carry(trees)
    before = {name: (target / name).stat().st_ino for name in OTHERS}
    assert carry(trees).carried == 0
    (source / "notes.txt").write_text("changed")
    (source / "new.txt").write_text("new")
    (target / "a/räume.xml").unlink()
    assert carry(trees).carried == 3
    assert (target / "notes.txt").read_text() == "changed"
    assert (target / "a/räume.xml").read_text() == "<a/>"
    assert (target / "a/bad.svs").stat().st_ino == before["a/bad.svs"]
    (source / "new.txt").unlink()
    assert carry(trees).carried == 0
    assert (target / "new.txt").read_text() == "new", "the archive keeps what the source tree lost"


def test_recheck_finds_a_damaged_copy(trees):
    _, target = trees
    carry(trees)
    copy, status = target / "notes.txt", (target / "notes.txt").stat()
    copy.write_text("As they are")
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert carry(trees).carried == 0
    assert carry(trees, recheck=True).uncarried == 0
    assert copy.read_text() == "as they are"


def test_a_copy_that_became_another_file_is_moved_aside_and_carried_anew_by_recheck(trees):
    source, target = trees
    carry(trees)
    copy = target / "notes.txt"
    for damaged in ("cut", "overwritten"):
        copy.write_text(damaged)
        assert carry(trees).uncarried == 1
        assert copy.read_text() == damaged
        error = carried(target)["notes.txt"].error
        assert "is not what was carried there; `recheck=True` moves it aside" in error
        result = carry(trees, recheck=True)
        assert (result.uncarried, carried(target)["notes.txt"].error) == (0, "")
        assert copy.read_text() == (source / "notes.txt").read_text()
    aside = {path.name: path.read_text() for path in (target / ".wsicomp/aside").iterdir()}
    assert aside == {"notes.txt": "cut", "notes.txt.1": "overwritten"}
    assert "now " + str(target / ".wsicomp/aside/notes.txt") in (target / ".wsicomp/batch.log").read_text()


def test_a_copy_with_another_time_gives_way_to_its_changed_source(trees):
    source, target = trees
    carry(trees)
    (target / "notes.txt").touch()
    (source / "notes.txt").write_text("changed")
    assert carry(trees).uncarried == 0
    assert (target / "notes.txt").read_text() == "changed"
    assert not (target / ".wsicomp/aside").exists()


def test_slides_that_include_does_not_name_are_carried(trees):
    source, target = trees
    write_slide(source / "left.svs", 3)
    carry(trees, include=("good*",))
    assert sha256(target / "left.svs") == sha256(source / "left.svs")


@pytest.mark.parametrize("config", [CONFIG, CONFIG.changed(codec="jpegxl")])
def test_the_copy_of_a_slide_goes_once_it_is_converted(trees, config):
    source, target = trees
    carry(trees, config=config)
    assert (target / "a/bad.svs").exists()
    shutil.copy2(source / "a/good.svs", source / "a/other.svs")
    write_slide(source / "a/bad.svs", 5)
    run(source, target, config, jobs=1)
    entry = entries(target)["a/bad.svs"]
    assert entry.state == "done"
    assert sha256(target / entry.target) == entry.target_sha256
    assert "a/bad.svs" not in carried(target)
    assert (target / "a/bad.svs").exists() == (entry.target == "a/bad.svs")
    aside = [path.read_bytes() for path in (target / ".wsicomp").glob("aside/*/*")]
    replaced = entry.target == "a/bad.svs"
    assert aside == ([] if replaced else [b"no slide" * 1000]), "of the file as it was once"


def test_the_copy_of_the_same_slide_is_deleted_once_other_options_convert_it(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    write_slide(source / "slide.svs")
    refused = CONFIG.changed(codec="webp", format="svs")
    assert carry((source, target), config=refused).carried == 1
    assert sha256(target / "slide.svs") == sha256(source / "slide.svs")
    run(source, target, CONFIG.changed(codec="jpegxl"), jobs=1)
    assert sorted(made.files(target)) == ["slide.svs.tiff"]
    assert not list((target / ".wsicomp").glob("aside/*"))
    assert_agrees(target)


def test_a_copy_gives_way_to_conversions_and_options(trees):
    source, target = trees
    (source / "wsicomp.toml").write_text("mine")
    (source / "a/good.svs.tiff").write_bytes(b"not asked for")
    config = CONFIG.changed(codec="jpegxl")
    carry(trees, config=config, include=("*.svs",))
    assert entries(target)["a/good.svs"].target == "a/good.svs.tiff"
    for name in ("wsicomp.toml", "a/good.svs.tiff"):
        record = carried(target)[name]
        assert record.target != name
        assert (target / record.target).read_bytes() == (source / name).read_bytes()
    assert 'codec = "jpegxl"' in (target / "wsicomp.toml").read_text()


def test_a_new_slide_does_not_take_the_place_of_a_copy(trees):
    source, target = trees
    config = CONFIG.changed(codec="jpegxl")
    (source / "late.svs.tiff").write_bytes(b"not asked for")
    carry(trees, config=config, include=("*.svs",))
    write_slide(source / "late.svs", 3)
    carry(trees, config=config, include=("*.svs",))
    assert (target / "late.svs.tiff").read_bytes() == b"not asked for"
    assert entries(target)["late.svs"].state == "done"
    assert entries(target)["late.svs"].target != "late.svs.tiff"


def test_a_failed_slide_does_not_replace_its_earlier_conversion(trees):
    source, target = trees
    carry(trees)
    conversion = (target / "a/good.svs").read_bytes()
    (source / "a/good.svs").write_bytes(b"broken since")
    carry(trees)
    assert (target / "a/good.svs").read_bytes() == conversion
    record = carried(target)["a/good.svs"]
    assert record.target.startswith("a/good~")
    assert (target / record.target).read_bytes() == b"broken since"


def test_links_and_pipes_are_named_and_not_followed(trees, tmp_path):
    source, target = trees
    (tmp_path / "secret").write_text("outside")
    (source / "link.txt").symlink_to(tmp_path / "secret")
    (source / "bad link.svs").symlink_to(source / "a/bad.svs")
    os.mkfifo(source / "pipe")
    result = carry(trees)
    assert (result.carried, result.uncarried) == (4, 0)
    left = {record.source: record.error for record in read_report(target).uncarried}
    assert left == {
        "link.txt": "is a link, which is not carried",
        "bad link.svs": "is a link, which is not carried",
        "pipe": "is no regular file, which is not carried",
    }
    assert not (target / "link.txt").is_symlink()
    assert not (target / "link.txt").exists()


def test_a_planted_link_in_the_target_tree_is_not_followed(trees, tmp_path):
    _, target = trees
    outside = tmp_path / "outside"
    outside.mkdir()
    target.mkdir()
    (target / ".hidden").symlink_to(outside)
    result = carry(trees)
    assert (result.uncarried, result.is_good) == (1, False)
    assert not list(outside.iterdir())


def test_a_file_of_somebody_else_is_not_replaced_unless_it_is_the_same(trees):
    source, target = trees
    target.mkdir()
    (target / "notes.txt").write_text("somebody else's")
    (target / "a").mkdir()
    shutil.copy(source / "a/räume.xml", target / "a/räume.xml")
    result = carry(trees)
    assert (result.carried, result.uncarried, result.is_good) == (3, 1, False)
    assert (target / "notes.txt").read_text() == "somebody else's"
    assert "exists already and was not carried there" in carried(target)["notes.txt"].error


def test_what_is_carried_is_in_report_page_and_lines(trees, tmp_path, capsys):
    source, target = trees
    (source / "link.txt").symlink_to(source / "notes.txt")
    carry(trees)
    report = read_report(target)
    assert (report.carried_files, report.carried_bytes) == (4, 8000 + 11 + 4)
    assert report.to_json()["uncarried"][0]["source"] == "link.txt"
    write_html(target, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "Carried as they are: 4 files, 8.02 kB" in page
    assert "is a link, which is not carried" in page
    assert main(["batch", "report", str(target)]) == 0
    assert "carried as they are: 4 files" in capsys.readouterr().out


def test_names_are_not_carried_out_of_a_batch_that_leaves_them_out(trees):
    with pytest.raises(ConfigError, match="carry_others"):
        carry(trees, config=CONFIG.changed(deidentify=True))
    assert not trees[1].exists()


def test_slides_that_wait_or_were_not_listed_are_not_carried(trees, tmp_path):
    source, target = trees
    write_slide(source / "b/later.svs", 4)
    listing = tmp_path / "list"
    listing.write_text("a/good.svs\n")
    carry(trees, files_from=listing)
    assert sorted(carried(target)) == sorted(set(OTHERS) - {"a/bad.svs"})
    stop = Stop()
    stop.request()
    carry(trees, stop=stop)
    assert "b/later.svs" not in carried(target)


def test_the_files_of_a_slide_of_many_go_and_stay_with_it(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "m").mkdir(parents=True)
    (source / "m.mrxs").write_bytes(b"no slide")
    (source / "m/Data0000.dat").write_bytes(b"its data")
    carry((source, target))
    assert (target / "m/Data0000.dat").read_bytes() == b"its data"
    assert carried(target)["m.mrxs"].why == "not converted"


def test_nothing_of_a_batch_itself_is_carried(trees):
    source, _ = trees
    (source / ".wsicomp-quarantine").mkdir()
    (source / ".wsicomp-quarantine/x.svs").write_bytes(b"taken away")
    (source / ".wsicomp").mkdir()
    (source / ".wsicomp/ledger.sqlite").write_bytes(b"of another batch")
    (source / ".a.svs.wsicomp.partial").write_bytes(b"half")
    assert carry(trees).carried == 4


def test_a_file_that_changes_while_it_is_copied_is_carried_by_the_next_run(trees, monkeypatch):
    source, target = trees
    target.mkdir()
    job = CarryJob(
        "notes.txt", "notes.txt", "no slide", source / "notes.txt", source, target / "notes.txt", target
    )

    def grow(stage, *_):
        if stage == "checksum":
            (source / "notes.txt").write_text("no longer what was read")

    outcome = job.run(grow)
    assert (outcome.state, outcome.cause) == ("failed", "source changed")
    assert not list(target.iterdir())
    assert job.run(lambda *_: None).carried.sha256 == sha256(source / "notes.txt")


def test_a_copy_that_differs_from_its_source_is_not_kept(trees, monkeypatch):
    source, target = trees
    target.mkdir()
    wrong = iter([b"x" * (source / "notes.txt").stat().st_size, b""])
    monkeypatch.setattr(
        os, "copy_file_range", lambda one, other, _: os.write(other, next(wrong)), raising=False
    )
    job = CarryJob(
        "notes.txt", "notes.txt", "no slide", source / "notes.txt", source, target / "notes.txt", target
    )
    outcome = job.run(lambda *_: None)
    assert (outcome.state, outcome.cause) == ("failed", "source changed")
    assert not list(target.iterdir())


def test_where_the_system_copies_nothing_by_itself_the_copy_is_as_good(trees, monkeypatch):
    source, target = trees
    target.mkdir()
    monkeypatch.delattr(os, "copy_file_range", raising=False)
    job = CarryJob("a/bad.svs", "bad", "no slide", source / "a/bad.svs", source, target / "bad", target)
    assert job.run(lambda *_: None).carried == Carried(
        "a/bad.svs",
        "bad",
        "no slide",
        8000,
        (source / "a/bad.svs").stat().st_mtime_ns,
        sha256(source / "a/bad.svs"),
        (source / "a/bad.svs").stat().st_mtime_ns,
    )
    assert (target / "bad").read_bytes() == (source / "a/bad.svs").read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": "../out"},
        {"target": ".wsicomp/ledger.sqlite"},
        {"source": "/etc/passwd"},
        {"sha256": "no"},
        {"bytes": -1},
    ],
)
def test_a_forged_record_is_refused(trees, wrong, capsys):
    source, target = trees
    carry(trees)
    (record,) = (one for one in carried(target).values() if one.source == "notes.txt")
    database = sqlite3.connect(target / ".wsicomp/ledger.sqlite", isolation_level=None)
    database.execute(
        "UPDATE carried SET json = ? WHERE source = 'notes.txt'", (json.dumps(vars(record) | wrong),)
    )
    database.close()
    for command in (["report", str(target)], [str(source), str(target)]):
        assert main(["batch", *command]) == 1
        assert "the ledger is not what a batch wrote: carried file notes.txt" in capsys.readouterr().err
    assert main(["batch", "rebuild", str(target)]) == 0, "which that message advises"
    again = carry(trees)
    assert (again.uncarried, carried(target).keys()) == (0, set(OTHERS))


def test_restoring_and_checking_know_what_was_carried(trees, tmp_path):
    source, target = trees
    carry(trees, config=RESTORABLE.changed(keep_if_larger="keep"))
    again = tmp_path / "again"
    restored = restore_batch(target, again, BatchRestoreOptions(jobs=1))
    assert [(one.source, one.cause, one.error) for one in restored.problems] == []
    assert restored.restored == 5
    assert files(again) == files(source)
    assert (again / "notes.txt").stat().st_mtime_ns == (source / "notes.txt").stat().st_mtime_ns
    assert verify_files([target]).is_sound
    assert verify_files([target], against=source).is_sound
    (target / "notes.txt").write_text("as they were")
    (target / ".hidden/empty").unlink()
    found = {Path(one.file).name: one.error for one in verify_files([target]).files if not one.is_sound}
    assert found.keys() == {"notes.txt", "empty"}
    assert "is not the file that the batch found and copied" in found["notes.txt"]
    shutil.rmtree(again)
    problems = restore_batch(target, again, BatchRestoreOptions(jobs=1)).problems
    assert {entry.source for entry in problems} == {"notes.txt", ".hidden/empty"}
    assert not (again / "notes.txt").exists()


def test_carried_names_are_ones_that_a_windows_share_takes_and_restore_gives_their_own_back(tmp_path):
    source, target, again = (tmp_path / name for name in ("source", "target", "again"))
    names = ["CON/x.txt", "NUL", "a:b.txt", "dir./y.txt", "bad?.svs", "plain.txt"]
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    write_slide(source / "CON/one.svs")
    result = run(source, target, RESTORABLE, carry_others=True)
    assert (result.carried, result.uncarried) == (6, 0)
    there = {str(path.relative_to(target)) for path in target.rglob("*") if ".wsicomp" not in path.parts}
    assert not [name for name in there if safe_target(name) != name]
    records = carried(target)
    assert records["plain.txt"].target == "plain.txt"
    assert {Path(records["CON/x.txt"].target).parent.name} == {
        Path(entries(target)["CON/one.svs"].target).parent.name
    }
    assert run(source, target, RESTORABLE, carry_others=True).carried == 0
    assert restore_batch(target, again, BatchRestoreOptions(jobs=1, min_free=0)).is_good
    assert files(again) == files(source)


def test_a_copy_that_an_earlier_version_made_keeps_its_name(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    write_slide(source / "one.svs")
    (source / "a:b.txt").write_text("a")
    carry((source, target))
    with Ledger(target) as ledger:
        (record,) = ledger.carried().values()
        (target / record.target).rename(target / "a:b.txt")
        ledger.put_carried([replace(record, target="a:b.txt")])
    assert carry((source, target)).carried == 0
    assert (target / "a:b.txt").exists()


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be"])
def test_a_list_in_utf_16_names_slides(trees, tmp_path, codec):
    source, target = trees
    write_slide(source / "räume.svs", 2)
    listing, mark = tmp_path / "list", "" if codec == "utf-16" else "\ufeff"
    listing.write_bytes(f"{mark}räume.svs\r\n".encode(codec))
    assert run(source, target, files_from=listing).converted == 1
    assert list(entries(target)) == ["räume.svs"]
    listing.write_bytes(b"\xff\xfea")
    with pytest.raises(ConfigError, match="begins as UTF-16 and is none; write it as UTF-8"):
        run(source, target, files_from=listing)
