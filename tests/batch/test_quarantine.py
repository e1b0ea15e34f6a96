"""Taking sources away: only what is proved to be replaced, and no trick loses a byte."""

import math
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace

import pytest

from tests import tiffs
from tests.batch.trees import CONFIG, RESTORABLE, entries, files, run, sha256
from tests.batch.trees import write_slide as write_small
from tests.drawn.nights import draw_tissue
from wsicomp import restore_slide
from wsicomp.batch import BatchOptions, Entry, Ledger, read_report
from wsicomp.batch.proof import ProofJob, file_fingerprint
from wsicomp.batch.quarantine import move_to_quarantine, reason_to_keep
from wsicomp.batch.worklist import Trees
from wsicomp.cli import main
from wsicomp.cli.batch_texts import result_text
from wsicomp.errors import ConfigError, KeptError
from wsicomp.text.paths import as_text

pytestmark = pytest.mark.gate

QUARANTINE = ".wsicomp-quarantine"
DELETE = {"delete_source": True}


def write_slide(path, number=0):
    """A slide whose conversion saves enough for its source to go."""
    draw_tissue(path, number)
    return path


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Three slides, and their conversions; nothing of it is changed."""
    folder = tmp_path_factory.mktemp("drawn")
    for number in range(3):
        write_slide(folder / "source" / "abc"[number] / f"slide {number}.svs", number)
    assert run(folder / "source", folder / "target", RESTORABLE).converted == 3
    return folder


@pytest.fixture
def trees(drawn, tmp_path):
    """A copy of the slides, and where their conversions would be."""
    return shutil.copytree(drawn / "source", tmp_path / "source"), tmp_path / "target"


@pytest.fixture
def converted(drawn, tmp_path):
    """A copy of the slides and of their conversions, whose ledger knows of it."""
    source, target = (shutil.copytree(drawn / name, tmp_path / name) for name in ("source", "target"))
    with Ledger(target) as ledger:
        ledger.note("source", as_text(source))
    return source, target


def slides(folder):
    return {
        str(path.relative_to(folder)): sha256(path) for path in folder.rglob("*.svs") if not path.is_symlink()
    }


def proof(trees, name="a/slide 0.svs", **changes):
    """The job that the coordinator gives for a slide."""
    source, target = trees
    entry = entries(target)[name]
    job = ProofJob(
        name,
        source / entry.source,
        target / entry.target,
        entry.source_sha256,
        entry.target_sha256,
        even_if_lossy=False,
        config=RESTORABLE,
    )
    return replace(job, **changes).run(lambda *_: None)


def test_a_restorable_source_goes_into_quarantine_and_comes_back_from_its_target(trees, tmp_path):
    source, target = trees
    before = slides(source)
    result = run(source, target, RESTORABLE, **DELETE)
    assert (result.converted, result.quarantined, result.deleted, result.is_good) == (3, 3, 0, True)
    assert slides(source / QUARANTINE) == before
    assert slides(source) == {f"{QUARANTINE}/{name}": digest for name, digest in before.items()}
    for entry in entries(target).values():
        assert entry.removal == "quarantined"
        restore_slide(target / entry.target, tmp_path / "again.svs", overwrite=True)
        assert sha256(tmp_path / "again.svs") == before[entry.source]
    again = run(source, target, RESTORABLE, **DELETE)
    assert (again.converted, again.failures, again.deleted) == (0, 0, 0)


@pytest.mark.gate
def test_it_is_deleted_after_its_days_if_it_is_proved_once_more(trees):
    source, target = trees
    run(source, target, RESTORABLE, **DELETE)
    damaged = target / entries(target)["a/slide 0.svs"].target
    good = damaged.read_bytes()
    damaged.write_bytes(good[:-9] + bytes(9))
    os.utime(damaged, ns=(0, entries(target)["a/slide 0.svs"].target_mtime_ns))
    result = run(source, target, RESTORABLE, **DELETE, quarantine_days=0)
    assert result.deleted == 2
    assert list(slides(source / QUARANTINE)) == ["a/slide 0.svs"]
    found = entries(target)
    assert [found[name].removal for name in sorted(found)] == ["quarantined", "deleted", "deleted"]
    assert found["a/slide 0.svs"].kept_because == "the target is not the file that was written"
    result = run(source, target, RESTORABLE, recheck=True)
    assert result.failures == 1
    assert (
        f"its source is in {source / QUARANTINE / 'a/slide 0.svs'}" in entries(target)["a/slide 0.svs"].error
    )


def test_a_source_that_is_put_back_from_quarantine_is_a_source_again(trees):
    source, target = trees
    run(source, target, RESTORABLE, **DELETE)
    (source / QUARANTINE / "a/slide 0.svs").rename(source / "a/slide 0.svs")
    assert run(source, target, RESTORABLE).converted == 0
    assert entries(target)["a/slide 0.svs"].removal == ""


def test_a_kill_between_move_and_ledger_is_found_out(converted):
    source, target = converted
    (source / QUARANTINE / "a").mkdir(parents=True)
    (source / "a/slide 0.svs").rename(source / QUARANTINE / "a/slide 0.svs")
    assert run(source, target, RESTORABLE).is_good
    assert entries(target)["a/slide 0.svs"].removal == "quarantined"


@pytest.mark.gate
def test_lossy_conversions_take_nothing_away_unless_told_so_twice(trees):
    source, target = trees
    before = slides(source)
    with pytest.raises(ConfigError, match="`even_if_lossy=True`"):
        run(source, target, **DELETE)
    with pytest.raises(ConfigError, match="needs `delete_source=True`"):
        BatchOptions(even_if_lossy=True)
    with pytest.raises(ConfigError, match="leave `verify=False` out"):
        run(source, target, CONFIG.changed(verify=False), **DELETE, even_if_lossy=True)
    run(source, target)
    assert "cannot restore it" in proof(trees).error
    assert slides(source) == before
    assert run(source, target, **DELETE, even_if_lossy=True).quarantined == 3
    assert slides(source / QUARANTINE) == before


def test_what_was_converted_without_verify_stays(trees):
    source, target = trees
    run(source, target, CONFIG.changed(verify=False))
    assert run(source, target, **DELETE, even_if_lossy=True).quarantined == 0
    assert len(slides(source)) == 3


def test_a_source_with_damaged_tiles_stays_even_if_told_twice(trees):
    source, target = trees
    tiffs.damage_tile(source / "a/slide 0.svs", 5)
    config = CONFIG.changed(codec="jpeg", glass="keep")
    assert run(source, target, config, **DELETE, even_if_lossy=True).quarantined == 2
    assert "1 damaged tile in it: keep it" in entries(target)["a/slide 0.svs"].kept_because
    assert (source / "a/slide 0.svs").exists()


def test_a_link_and_what_it_leads_to_stay(trees, tmp_path):
    source, target = trees
    kept = write_slide(tmp_path / "elsewhere/kept.svs", 50)
    (source / "link.svs").symlink_to(kept)
    result = run(source, target, RESTORABLE, **DELETE)
    assert (result.converted, result.quarantined) == (4, 3)
    assert (source / "link.svs").is_symlink()
    assert kept.exists()
    assert "it is a link" in entries(target)["link.svs"].kept_because


def test_what_a_link_of_the_tree_leads_to_stays(trees):
    source, target = trees
    (source / "link.svs").symlink_to(source / "a/slide 0.svs")
    assert run(source, target, RESTORABLE, **DELETE).quarantined == 2
    assert (source / "a/slide 0.svs").exists()
    assert entries(target)["a/slide 0.svs"].kept_because == "a link in the tree leads to it"
    assert run(source, target, RESTORABLE, **DELETE).is_good


@pytest.mark.gate
def test_a_folder_that_became_a_link_is_not_followed(converted, tmp_path):
    source, target = converted
    (source / "a").rename(tmp_path / "a")
    (source / "a").symlink_to(tmp_path / "a")
    entry = entries(target)["a/slide 0.svs"]
    facts = proof(converted).facts
    with pytest.raises(KeptError, match="a folder on the way"):
        move_to_quarantine(entry, Trees(source, target), facts)
    run(source, target, RESTORABLE, **DELETE)
    assert (tmp_path / "a/slide 0.svs").exists()


def test_a_target_that_changed_since_its_verify_keeps_the_source(converted):
    _, target = converted
    entry = entries(target)["a/slide 0.svs"]
    path = target / entry.target
    good = path.read_bytes()
    for at in (20, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert proof(converted).error == "the target is not the file that was written"
    path.write_bytes(good)
    assert proof(converted).state == "done"


def test_what_changes_between_proof_and_move_stays(converted):
    source, target = converted
    entry, where = entries(target)["a/slide 0.svs"], Trees(source, target)
    facts = proof(converted).facts
    other = write_slide(source / "other.svs", 99)
    for changed in (source / entry.source, target / entry.target):
        before = changed.read_bytes()
        shutil.copy(other, changed)
        with pytest.raises(KeptError, match="changed after they were compared"):
            move_to_quarantine(entry, where, facts)
        assert changed.read_bytes() == other.read_bytes()
        changed.write_bytes(before)
    assert not (source / QUARANTINE).exists()


def test_a_source_that_was_exchanged_is_not_taken_for_the_one_that_was_converted(converted):
    source, target = converted
    path = source / "a/slide 0.svs"
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run(source, target, RESTORABLE, **DELETE).quarantined == 2
    assert path.read_bytes() == bytes(data)
    assert entries(target)["a/slide 0.svs"].kept_because == "the source is not the file that was converted"


def test_nothing_in_quarantine_is_overwritten(converted):
    source, target = converted
    held = source / QUARANTINE / "a/slide 0.svs"
    held.parent.mkdir(parents=True)
    held.write_bytes(b"of an earlier night")
    assert run(source, target, RESTORABLE, **DELETE).quarantined == 2
    assert held.read_bytes() == b"of an earlier night"
    assert (source / "a/slide 0.svs").exists()


def test_a_target_that_is_its_source_is_no_reason_to_delete_it(converted):
    source, target = converted
    path = target / entries(target)["a/slide 0.svs"].target
    path.unlink()
    path.hardlink_to(source / "a/slide 0.svs")
    digest = sha256(path)
    assert (
        proof(converted, target_sha256=digest, source_sha256=digest).error
        == "source and target are the same file"
    )


def test_a_slide_of_many_files_is_not_taken_apart(converted):
    source, _ = converted
    path = source / "a/slide 0.svs"
    index = path.with_suffix(".vms")
    path.unlink()
    (source / "a/part.jpg").write_bytes(b"part")
    index.write_bytes(b"ImageFile=part.jpg\n")
    assert proof(converted, source=index, source_sha256=sha256(index)).error == (
        "the slide consists of several files, which are kept together"
    )


def test_a_verify_that_fails_late_keeps_the_source(converted, monkeypatch):
    from wsicomp.batch import proof as proving

    real = proving.verify_slide

    def fails_at_the_end(*arguments):
        found = real(*arguments)
        from wsicomp.verification.problems import Problem

        return replace(found, problems=(Problem("tiles-changed", "level 0", "late"),))

    monkeypatch.setattr(proving, "verify_slide", fails_at_the_end)
    outcome = proof(converted)
    assert (outcome.state, outcome.facts) == ("skipped", ())
    assert "failed its check" in outcome.error


def test_the_proof_lets_other_programs_look_at_all_edges(converted, monkeypatch):
    from wsicomp.verification import verify

    seen = []
    sound = verify.PixelCheck
    monkeypatch.setattr(verify, "PixelCheck", lambda *arguments: seen.append(arguments) or sound(*arguments))
    assert proof(converted).state == "done"
    ((_, source_slide, thorough),) = seen
    assert thorough
    assert source_slide is not None


def test_which_file_tells_a_file_from_its_copy(tmp_path):
    (tmp_path / "a").write_bytes(b"same")
    shutil.copy2(tmp_path / "a", tmp_path / "b")
    assert file_fingerprint(tmp_path / "a") != file_fingerprint(tmp_path / "b")
    for wrong in (tmp_path, tmp_path / "gone"):
        with pytest.raises(KeptError):
            file_fingerprint(wrong)


def test_all_that_is_on_the_disk_is_accounted_for(trees):
    source, target = trees
    run(source, target, RESTORABLE, **DELETE)
    assert files(target) == {entry.target: entry.target_sha256 for entry in entries(target).values()}


def test_a_new_slide_by_the_name_of_one_that_was_taken_away_does_not_cost_its_conversion(trees):
    source, target = trees
    run(source, target, RESTORABLE, **DELETE, quarantine_days=0)
    before = files(target)
    write_slide(source / "a/slide 0.svs", 90)
    result = run(source, target, RESTORABLE)
    assert (result.converted, result.failures) == (0, 1)
    assert files(target) == before
    assert entries(target)["a/slide 0.svs/"].cause == "name taken"
    (source / "a/slide 0.svs").rename(source / "a/slide 0 again.svs")
    result = run(source, target, RESTORABLE)
    assert (result.converted, result.failures) == (1, 0)
    damaged = target / "a/slide 0.svs.tiff"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert run(source, target, RESTORABLE).failures == 1
    write_slide(source / "a/slide 0.svs", 91)
    before = files(target)
    assert not run(source, target, RESTORABLE).is_good
    assert files(target) == before


def test_what_this_run_excludes_stays(converted):
    source, target = converted
    result = run(source, target, RESTORABLE, **DELETE, exclude=("b/*",))
    assert result.quarantined == 2
    assert (source / "b/slide 1.svs").exists()
    result = run(source, target, RESTORABLE, **DELETE, quarantine_days=0, exclude=("a/*",))
    assert (result.quarantined, result.deleted) == (1, 2)
    assert (source / QUARANTINE / "a/slide 0.svs").exists()


def test_a_kill_between_deletion_and_ledger_is_found_out(trees):
    source, target = trees
    run(source, target, RESTORABLE, **DELETE)
    (source / QUARANTINE / "a/slide 0.svs").unlink()
    assert run(source, target, RESTORABLE, **DELETE).is_good
    assert entries(target)["a/slide 0.svs"].removal == "deleted"


def test_a_quarantine_that_is_a_link_takes_nothing(trees, tmp_path):
    source, target = trees
    (tmp_path / "elsewhere").mkdir()
    (source / QUARANTINE).symlink_to(tmp_path / "elsewhere")
    assert run(source, target, RESTORABLE, **DELETE).quarantined == 0
    assert len(slides(source)) == 3
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_proof_that_was_killed_is_tried_again_by_the_next_run(converted, monkeypatch):
    source, target = converted
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/nonexistent/python")
        assert run(source, target, RESTORABLE, **DELETE).quarantined == 0
    assert run(source, target, RESTORABLE, **DELETE).quarantined == 3


def test_a_source_stays_that_saves_too_little_or_is_smaller_than_its_conversion(trees):
    source, target = trees
    write_small(source / "a/larger.svs", side=48)
    result = run(source, target, RESTORABLE, **DELETE, min_saving=20)
    found = entries(target)
    assert (result.quarantined, result.kept) == (0, 4)
    assert len(slides(source)) == 4
    assert "  4 sources stay: their conversions save too little, or nothing" in result_text(result, target)
    for name in ("a/slide 0.svs", "b/slide 1.svs", "c/slide 2.svs"):
        saved = math.floor(found[name].saved * 10_000) / 100
        assert found[name].kept_because == f"saved {saved:g} %, under 20 %"
    assert found["a/larger.svs"].target_bytes > found["a/larger.svs"].source_bytes
    assert "its conversion is larger than the source (" in found["a/larger.svs"].kept_because
    assert {entry.kept_because for entry in read_report(target).kept} == {
        entry.kept_because for entry in found.values()
    }
    result = run(source, target, RESTORABLE, **DELETE, min_saving=0)
    assert (result.quarantined, result.kept) == (3, 1), "asked anew, without --retry-failed"
    assert (source / "a/larger.svs").exists()
    result = run(source, target, RESTORABLE, **DELETE, min_saving=20, quarantine_days=0)
    assert (result.deleted, len(slides(source / QUARANTINE))) == (0, 3), "nor is it deleted from there"
    assert run(source, target, RESTORABLE, **DELETE, quarantine_days=0).deleted == 3


def test_what_is_saved_is_by_the_files_and_not_by_the_ledger(converted):
    source, target = converted
    with closing(sqlite3.connect(target / ".wsicomp/ledger.sqlite")) as database, database:
        database.execute("UPDATE slides SET source_bytes = source_bytes * 1000")
    result = run(source, target, RESTORABLE, **DELETE, min_saving=99)
    assert (result.quarantined, result.kept) == (0, 3)
    for entry in entries(target).values():
        assert entry.kept_because.endswith("under 99 %")
        assert (source / entry.source).exists()


@pytest.mark.parametrize(
    ("source_bytes", "target_bytes", "min_saving", "why"),
    [
        (1000, 970, 3, ""),
        (1000, 971, 3, "saved 2.9 %, under 3 %"),
        (10**6, 970_001, 3, "saved 2.99 %, under 3 %"),
        (1000, 1000, 0, ""),
        (1000, 1000, 3, "saved 0 %, under 3 %"),
        (1000, 1001, 0, "its conversion is larger than the source (0.1 % larger)"),
        (1000, 994, 0.6, ""),
        (1000, 0, 100, ""),
    ],
)
def test_what_is_saved_is_counted_to_the_byte(source_bytes, target_bytes, min_saving, why):
    entry = Entry("x", "x", source_bytes=source_bytes, target_bytes=target_bytes)
    assert reason_to_keep(entry, min_saving)[1] == why


@pytest.mark.parametrize("value", [-1, 100.5, float("nan"), "3", True])
def test_a_least_saving_that_is_none_is_refused(value):
    with pytest.raises(ConfigError, match="min_saving"):
        BatchOptions(min_saving=value)


def test_the_least_saving_comes_from_the_command_line_or_a_preset(trees, tmp_path, capsys):
    source, target = trees
    preset = tmp_path / "mine.toml"
    preset.write_text(
        'codec = "jpegxl"\nlossless = true\nglass = "keep"\nrestorable = true\nmin_saving = 50.0\n'
    )
    options = ["batch", str(source), str(target), "--preset", str(preset), "--jobs", "2", "--min-free", "0"]
    assert main([*options, "--delete-source-after-verify"]) == 0
    assert "3 sources that were to go and stay" in capsys.readouterr().out
    assert main([*options, "--delete-source-after-verify", "--dry-run"]) == 0
    assert "would stay, as under 50 % were saved: 3" in capsys.readouterr().out
    assert main([*options, "--delete-source-after-verify", "--min-saving", "2.5%"]) == 0
    assert "3 sources moved into quarantine" in capsys.readouterr().out
    preset.write_text('min_saving = "much"\n')
    assert main(options) == 2
    assert "mine.toml: line 1: min_saving is 'much', expected float" in capsys.readouterr().err
    assert main([*options[:3], "--min-saving", "101"]) == 2
    assert "min-saving is 101.0, expected 0 to 100" in capsys.readouterr().err
