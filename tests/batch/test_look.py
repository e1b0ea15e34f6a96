"""A slide in which hardly anything was found: a person looks at it before its source may go."""

import csv
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.batch.trees import CONFIG, RESTORABLE, entries, run, sha256
from tests.drawn import ledgers
from tests.drawn.levels import z_stack
from tests.drawn.nights import draw_glass, draw_speck, draw_tissue
from wsicomp.batch import accept_slides, plan_batch, read_report, slides_to_review, write_csv, write_html
from wsicomp.batch.acceptance import picture_of
from wsicomp.batch.entry import HELD_FOR_SAVING, Entry, State
from wsicomp.batch.ledger import Ledger
from wsicomp.batch.ledger_files import audit_path, review_picture_path
from wsicomp.batch.monitoring import lock_tree
from wsicomp.batch.proof import ProofJob
from wsicomp.batch.quarantine import delete_from_quarantine, move_to_quarantine
from wsicomp.batch.target_jobs import PictureJob
from wsicomp.batch.worklist import Trees
from wsicomp.cli import main
from wsicomp.conversion.convert import convert_slide
from wsicomp.conversion.review import kept_and_painted, removed_area, review_reason_by
from wsicomp.conversion.settings import past_settings
from wsicomp.errors import KeptError, LedgerError, SlideWriteError
from wsicomp.geometry import Size
from wsicomp.plan.level_plan import LevelPlan, Recipe, TileAction
from wsicomp.slide import JPEG, YCBCR, TileEncoding
from wsicomp.text.paths import as_text

pytestmark = pytest.mark.gate

QUARANTINE = ".wsicomp-quarantine"
DELETE = {"delete_source": True, "even_if_lossy": True}
GLASS, SPECK, TISSUE = "b/all glass.svs", "c/speck.svs", "a/tissue.svs"
ENCODING = TileEncoding(JPEG, YCBCR)
FAST = ("--segmenter", "threshold", "--margin-um", "0", "--jobs", "2", "--min-free", "0")


def draw(source):
    draw_tissue(source / TISSUE)
    draw_glass(source / GLASS)
    draw_speck(source / SPECK)


@pytest.fixture
def trees(tmp_path):
    draw(tmp_path / "source")
    return tmp_path / "source", tmp_path / "target"


@pytest.fixture(scope="module")
def first_night(tmp_path_factory):
    """The trees after a run."""
    folder = tmp_path_factory.mktemp("first")
    draw(folder / "source")
    run(folder / "source", folder / "target")
    return folder


@pytest.fixture
def night(first_night, tmp_path):
    """A copy of them, with its own times."""
    shutil.copytree(first_night, tmp_path / "night")
    source, target = tmp_path / "night/source", tmp_path / "night/target"
    with Ledger(target) as ledger:
        ledger.note("source", as_text(source))
    return source, target


@pytest.fixture(scope="module")
def morning(tmp_path_factory):
    """A tree after a run that was to take sources away; nothing of it is changed."""
    folder = tmp_path_factory.mktemp("morning")
    draw(folder / "source")
    result = run(folder / "source", folder / "target", **DELETE)
    return folder / "source", folder / "target", result


def command(capsys, *arguments):
    code = main(["batch", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def held(source):
    """The sources that are where they were."""
    return sorted(name for name in (GLASS, SPECK, TISSUE) if (source / name).exists())


SETTINGS_OF_050 = next(
    digest for digest, settings in past_settings(CONFIG).items() if settings.software == "wsicomp 0.5.0"
)


def version_1(target):
    """Make a ledger what version 1 of it was, as wsicomp 0.5.0 wrote it."""
    new = {"notes", "model", "removed_area", "look", "accepted", "accepted_source", "accepted_target"}
    new |= {"tissue", "least_ssim", "opens_in"}
    path = target / ".wsicomp/ledger.sqlite"
    with sqlite3.connect(path) as database:
        for name in (*new, "kept_cause", "quarantine_age", "quarantine_runs", "quarantine_seen"):
            database.execute(f"ALTER TABLE slides DROP COLUMN {name}")
        database.execute("UPDATE slides SET state = 'done' WHERE state = 'look'")
        for source, text in database.execute("SELECT * FROM reports").fetchall():
            report = json.loads(text)
            if report["look"]:
                report["notes"].pop()
            del report["look"], report["removed_area"]
            database.execute("UPDATE reports SET report = ? WHERE source = ?", (json.dumps(report), source))
        database.execute("DROP TABLE settings")
        database.execute("DROP TABLE carried")
        database.execute("UPDATE slides SET settings = ? WHERE settings <> ''", (SETTINGS_OF_050,))
        database.execute("PRAGMA user_version = 1")
    database.close()
    return path


def test_without_tissue_or_with_over_98_percent_gone_it_is_a_state_of_its_own(morning):
    _, target, result = morning
    found = entries(target)
    assert {name: entry.state for name, entry in found.items()} == {
        GLASS: State.LOOK,
        SPECK: State.LOOK,
        TISSUE: State.DONE,
    }
    assert found[GLASS].look.startswith("no tissue was found")
    assert found[SPECK].look.startswith("over 98 % of its area went")
    assert found[SPECK].removed_area == 63 / 64
    assert (found[GLASS].removed_area, found[TISSUE].removed_area) == (1, 0.25)
    assert (result.look, result.converted, result.failures, result.is_good) == (2, 3, 0, True)
    assert all(found[name].verified for name in found)


def test_its_source_stays_whatever_the_flags_and_that_is_said(morning):
    source, target, result = morning
    assert (result.quarantined, result.deleted, result.kept) == (1, 0, 2)
    assert held(source) == [GLASS, SPECK]
    assert all("until somebody has looked" in entries(target)[name].kept_because for name in (GLASS, SPECK))


def test_it_comes_first_in_table_json_page_and_list(morning, tmp_path, capsys):
    _, target, _ = morning
    write_csv(target, tmp_path / "slides.csv")
    with (tmp_path / "slides.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == [GLASS, SPECK, TISSUE]
    assert rows[0]["state"] == "look"
    assert rows[0]["look"] == entries(target)[GLASS].look
    values = read_report(target).to_json()
    assert next(iter(values)) == "look"
    assert [entry["source"] for entry in values["look"]] == [GLASS, SPECK]
    assert next(iter(values["states"])) == "look"
    write_html(target, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.index("Look at 2 slides") < page.index("slides done")
    assert page.index(GLASS) < page.index(SPECK) < page.index(TISSUE)
    for name in (GLASS, SPECK):
        assert values["pictures"][name] in page
    code, out, _ = command(capsys, "report", target)
    assert code == 0
    assert out.splitlines()[1].startswith(f"  look at it, {GLASS}: no tissue was found")
    code, out, _ = command(capsys, "status", target)
    assert out.splitlines()[0] == f"{target}: 2 look, 1 done"


def test_a_night_with_slides_to_look_at_says_so_first_and_is_no_failure(trees, capsys):
    code, out, err = command(capsys, *trees, *FAST)
    assert code == 0
    assert out.splitlines()[0].startswith("look at 2 of these slides")
    assert f"{GLASS}: look at it: no tissue was found" in err
    code, out, _ = command(capsys, *trees, *FAST, "--json")
    assert (code, json.loads(out.splitlines()[-1])["look"]) == (0, 2)


def test_its_large_picture_is_there_and_shows_what_went(morning):
    _, target, _ = morning
    for look in slides_to_review(target):
        assert look.picture == review_picture_path(target, look.entry.source)
        with Image.open(look.picture) as picture:
            red, _, blue = picture.convert("RGB").getpixel((10, 10))
        assert blue - red > 50, "glass that went is shaded blue"
    assert not review_picture_path(target, TISSUE).exists()
    assert picture_of(target, entries(target)[TISSUE]) == audit_path(target, TISSUE)


def test_run_again_it_is_neither_converted_again_nor_forgotten(night):
    before = entries(night[1])
    again = run(*night)
    assert (again.converted, again.adopted, again.look) == (0, 0, 2)
    assert run(*night, recheck=True, retry_failed=True).converted == 0
    assert entries(night[1]) == before


def test_accepted_it_is_done_and_its_source_goes_by_the_next_run(night):
    source, target = night
    before = entries(target)[GLASS]
    (look,) = accept_slides(target, [GLASS])
    assert (look.is_new, look.picture) == (True, review_picture_path(target, GLASS))
    entry = entries(target)[GLASS]
    assert entry.state is State.DONE
    assert (entry.accepted_source, entry.accepted_target) == (before.source_sha256, before.target_sha256)
    assert entry.accepted_source == sha256(source / GLASS)
    assert entry.accepted_target == sha256(target / GLASS)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", entry.accepted)
    assert held(source) == [TISSUE, GLASS, SPECK], "accepting takes nothing away by itself"
    result = run(*night, **DELETE)
    assert (result.quarantined, result.kept) == (2, 1)
    assert held(source) == [SPECK]
    assert sha256(source / QUARANTINE / GLASS) == before.source_sha256
    assert run(*night, **DELETE, quarantine_days=0).deleted == 2
    assert held(source) == [SPECK]


def test_a_source_that_was_kept_for_want_of_a_look_goes_after_it_without_further_words(night):
    source, target = night
    run(*night, **DELETE)
    accept_slides(target, [GLASS, SPECK])
    assert {entry.kept_because for entry in entries(target).values()} == {""}
    assert run(*night, **DELETE).quarantined == 2
    assert held(source) == []


FORGED_ACCEPTANCE = (
    "UPDATE slides SET state = 'done', accepted = '2026-01-01T00:00:00+00:00', "
    "accepted_source = source_sha256, accepted_target = target_sha256, kept_because = '', kept_cause = ''"
)


def test_the_ledgers_word_that_somebody_looked_moves_no_source(night, capsys):
    source, target = night
    ledgers.edit(target, FORGED_ACCEPTANCE)
    options = ("--dry-run", *FAST, "--delete-source-after-verify", "--even-if-lossy")
    assert "as nobody has looked: 2" in command(capsys, source, target, *options)[1]
    result = run(*night, **DELETE)
    assert (result.quarantined, result.look) == (1, 2)
    assert held(source) == [GLASS, SPECK]
    ledgers.edit(target, FORGED_ACCEPTANCE, "UPDATE slides SET look = ''")
    assert run(*night, **DELETE, retry_failed=True).quarantined == 0
    assert held(source) == [GLASS, SPECK]
    assert {entries(target)[name].state for name in (GLASS, SPECK)} == {State.LOOK}
    accept_slides(target, [GLASS])
    assert run(*night, **DELETE).quarantined == 1


def test_the_ledgers_word_that_somebody_looked_deletes_nothing_in_quarantine(night):
    source, target = night
    for name in (GLASS, SPECK):
        (source / QUARANTINE / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).rename(source / QUARANTINE / name)
    run(*night)
    ledgers.edit(target, FORGED_ACCEPTANCE)
    assert run(*night, **DELETE, quarantine_days=0).deleted == 1
    assert (source / QUARANTINE / GLASS).exists()
    accept_slides(target, [GLASS])
    assert run(*night, **DELETE, quarantine_days=0).deleted == 1
    assert not (source / QUARANTINE / GLASS).exists()


def test_an_acceptance_stands_in_the_source_tree_and_outlives_the_ledger(night):
    source, target = night
    accept_slides(target, [GLASS])
    (path,) = (source / QUARANTINE / ".accepted").iterdir()
    entry = entries(target)[GLASS]
    assert json.loads(path.read_text()) == {
        "source_sha256": sha256(source / GLASS),
        "target_sha256": sha256(target / GLASS),
        "accepted": entry.accepted,
    }
    (target / ".wsicomp/ledger.sqlite").unlink()
    assert main(["batch", "rebuild", str(target)]) == 0
    result = run(*night, **DELETE)
    assert (result.quarantined, result.look) == (2, 1)
    assert held(source) == [SPECK]


@pytest.mark.gate
def test_where_the_source_tree_cannot_be_written_that_is_said_and_the_source_stays(night, capsys):
    source, target = night
    (source / QUARANTINE).write_text("in the way")
    code, out, _ = command(capsys, "accept", target, GLASS)
    assert code == 0
    assert "until somebody who may write in the source tree accepts it" in out
    assert entries(target)[GLASS].is_accepted
    (source / QUARANTINE).unlink()
    assert run(*night, **DELETE).quarantined == 1
    assert held(source) == [GLASS, SPECK]
    ledgers.edit(target, FORGED_ACCEPTANCE)
    assert "until somebody" not in command(capsys, "accept", target, GLASS)[1]
    assert run(*night, **DELETE).quarantined == 1


def test_an_acceptance_is_written_only_where_the_slide_is(night, tmp_path):
    source, target = night
    with Ledger(target) as ledger:
        ledger.note("source", as_text(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    (look,) = accept_slides(target, [GLASS])
    assert look.unwritten
    assert not list((tmp_path / "elsewhere").iterdir())
    (tmp_path / "elsewhere" / GLASS).parent.mkdir()
    (tmp_path / "elsewhere" / GLASS).write_bytes(b"another")
    status = (source / GLASS).stat()
    (tmp_path / "elsewhere" / GLASS).write_bytes(bytes(status.st_size))
    os.utime(tmp_path / "elsewhere" / GLASS, ns=(0, status.st_mtime_ns))
    with pytest.raises(KeptError, match="the source changed since it was converted"):
        accept_slides(target, [GLASS])
    assert not (tmp_path / "elsewhere" / QUARANTINE).exists()


def test_an_acceptance_survives_what_changes_nothing(night):
    source, target = night
    accept_slides(target, [GLASS])
    before = (source / GLASS).stat().st_mtime_ns
    os.utime(source / GLASS)
    assert run(*night).adopted == 1
    os.utime(source / GLASS, ns=(before, before))  # a conversion states it
    (target / GLASS).unlink()
    assert run(*night).converted == 1
    assert entries(target)[GLASS].state is State.DONE
    assert entries(target)[GLASS].is_accepted


def test_another_source_voids_it(night):
    source, target = night
    accept_slides(target, [GLASS])
    draw_glass(source / GLASS, seed=5)
    result = run(*night, **DELETE)
    assert (source / GLASS).exists()
    assert (result.converted, result.look) == (1, 2)
    entry = entries(target)[GLASS]
    assert (entry.state, entry.accepted, entry.accepted_source) == (State.LOOK, "", "")


def test_where_a_new_source_cannot_be_converted_the_pictures_of_the_old_target_stay(night):
    source, target = night
    pictures = [audit_path(target, GLASS), review_picture_path(target, GLASS)]
    (source / GLASS).write_bytes((source / GLASS).read_bytes()[:1000])
    assert run(*night).failed == 1
    assert (target / GLASS).exists()
    assert all(picture.exists() for picture in pictures)


def test_another_source_of_the_same_size_and_time_is_not_taken_for_the_one_that_was_looked_at(night):
    source, target = night
    accept_slides(target, [GLASS])
    status = (source / GLASS).stat()
    data = bytearray((source / GLASS).read_bytes())
    data[-1] ^= 1
    (source / GLASS).write_bytes(data)
    os.utime(source / GLASS, ns=(status.st_atime_ns, status.st_mtime_ns))
    run(*night, **DELETE)
    assert (source / GLASS).read_bytes() == bytes(data)


def test_another_target_voids_it(night):
    source, target = night
    accept_slides(target, [GLASS])
    result = run(*night, CONFIG.changed(codec="jpeg", quality=70), reconvert=True, **DELETE)
    assert (source / GLASS).exists()
    assert (result.look, entries(target)[GLASS].accepted) == (2, "")
    accept_slides(target, [GLASS])
    status = (target / GLASS).stat()
    data = (target / GLASS).read_bytes()
    (target / GLASS).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(target / GLASS, ns=(status.st_atime_ns, status.st_mtime_ns))
    run(*night, CONFIG.changed(codec="jpeg", quality=70), reconvert=True, **DELETE)
    assert (source / GLASS).exists()


def test_what_changed_since_it_was_made_cannot_be_accepted(night):
    source, target = night
    before = entries(target)
    draw_glass(source / GLASS, seed=5)
    with pytest.raises(KeptError, match="the source changed since it was converted"):
        accept_slides(target, [GLASS])
    os.utime(target / SPECK)
    with pytest.raises(KeptError, match="not the file that was written"):
        accept_slides(target, [SPECK])
    assert entries(target) == before


def test_an_unknown_slide_is_told_and_then_nothing_is_accepted(night, capsys, tmp_path):
    _, target = night
    code, _, err = command(capsys, "accept", target, GLASS, "no such.svs")
    assert (code, err.count("\n")) == (1, 1)
    assert "has no slide no such.svs" in err
    assert entries(target)[GLASS].state is State.LOOK
    (tmp_path / "empty").mkdir()
    code, _, err = command(capsys, "accept", tmp_path / "empty", GLASS)
    assert code == 1
    assert "no batch has written here" in err
    assert list((tmp_path / "empty").iterdir()) == []
    code, _, err = command(capsys, "accept", tmp_path / "nowhere" / GLASS)
    assert code == 1
    assert "is in no tree that a batch wrote" in err


def test_accepting_what_is_done_or_accepted_already_changes_nothing(night, capsys):
    _, target = night
    code, out, _ = command(capsys, "accept", target, TISSUE)
    assert code == 0
    assert out == f"{TISSUE}: is done and needs no look; nothing was changed\n"
    assert command(capsys, "accept", target, GLASS)[0] == 0
    once = entries(target)
    code, out, _ = command(capsys, "accept", target, GLASS)
    assert code == 0
    assert f"was accepted before, {once[GLASS].accepted}" in out
    assert entries(target) == once


def test_what_has_no_conversion_cannot_be_accepted(night):
    source, target = night
    (source / "bad.svs").write_bytes(b"no slide")
    run(*night)
    with pytest.raises(KeptError, match=r"bad\.svs: is failed, and has no conversion to look at"):
        accept_slides(target, ["bad.svs"])


def test_accept_lists_what_waits_and_says_where_its_picture_is(night, capsys):
    _, target = night
    code, out, _ = command(capsys, "accept", target)
    assert code == 0
    assert str(review_picture_path(target, GLASS)) in out
    assert f"wsicomp batch accept {target} 'b/all glass.svs'" in out
    listed = json.loads(command(capsys, "accept", target, "--json")[1])
    assert [one["source"] for one in listed] == [GLASS, SPECK]
    assert listed[0]["picture"] == str(review_picture_path(target, GLASS))
    code, out, _ = command(capsys, "accept", target, GLASS, SPECK)
    assert code == 0
    assert all(str(review_picture_path(target, name)) in out for name in (GLASS, SPECK))
    assert "no slide waits" in command(capsys, "accept", target)[1]


def test_a_slide_is_named_as_listed_or_by_either_path(night, monkeypatch, capsys):
    source, target = night
    assert accept_slides(target, [str(source / GLASS)])[0].entry.source == GLASS
    monkeypatch.chdir(target)
    assert accept_slides(target, [SPECK, str(target / SPECK)])[0].is_new
    run(source, target, CONFIG.changed(codec="jpegxl"), reconvert=True)
    conversion = f"{GLASS}.tiff"
    assert not accept_slides(target, [TISSUE])[0].is_new
    code, out, _ = command(capsys, "accept", conversion)
    assert code == 0, "the tree is found from the conversion"
    assert out.startswith(f"{GLASS}: accepted (")


def test_a_name_that_may_be_two_slides_is_refused(tmp_path, monkeypatch):
    draw_glass(tmp_path / "source/x.svs")
    draw_glass(tmp_path / "source/x.svs.tiff", seed=2)
    target = tmp_path / "target"
    run(tmp_path / "source", target, CONFIG.changed(codec="jpegxl"))
    targets = {entry.target: name for name, entry in entries(target).items()}
    both = next(name for name in targets if name in entries(target) and targets[name] != name)
    monkeypatch.chdir(target)
    with pytest.raises(LedgerError, match="may be one of"):
        accept_slides(target, [both])


@pytest.mark.gate
def test_odd_names_are_accepted_as_listed_and_as_they_are(tmp_path, capsys):
    source, target = tmp_path / "source", tmp_path / "target"
    names = [b"two  spaces.svs", b"-dash.svs", b"ber\xff.svs", b"back\\slash.svs", b"line\n.svs"]
    paths = [source / os.fsdecode(name) for name in names]
    draw_glass(paths[0])
    for path in paths[1:]:
        shutil.copy(paths[0], path)
    run(source, target)
    listed = {look.entry.source for look in slides_to_review(target)}
    assert listed == {as_text(path.relative_to(source)) for path in paths}
    for path in paths:
        assert command(capsys, "accept", target, "--", as_text(path.relative_to(source)))[0] == 0
        assert "was accepted before" in command(capsys, "accept", target, path)[1]
    assert run(source, target, **DELETE).quarantined == len(paths)


def test_while_a_batch_is_at_work_nothing_is_accepted(night):
    _, target = night
    with lock_tree(target), pytest.raises(LedgerError, match="another batch is at work there"):
        accept_slides(target, [GLASS])
    assert entries(target)[GLASS].state is State.LOOK


def test_a_tree_that_cannot_be_written_is_told_in_one_line(night, monkeypatch):
    _, target = night
    lock = target / ".wsicomp/lock"
    lock.unlink()
    lock.mkdir()
    with pytest.raises(SlideWriteError, match="lock: is a folder, which is not ours") as told:
        accept_slides(target, [GLASS])
    assert "\n" not in str(told.value)
    assert entries(target)[GLASS].state is State.LOOK
    assert len(slides_to_review(target)) == 2


def test_a_folder_called_accept_is_converted_by_its_path(trees, monkeypatch, capsys, tmp_path):
    source, target = trees
    monkeypatch.chdir(tmp_path)
    source.rename("accept")
    assert command(capsys, "./accept", target, *FAST)[0] == 0
    assert len(entries(target)) == 3


def test_neither_move_nor_deletion_nor_proof_goes_without_a_look(night):
    source, target = night
    entry, where = entries(target)[GLASS], Trees(source, target)
    job = ProofJob(
        GLASS, source / GLASS, target / GLASS, entry.source_sha256, entry.target_sha256, True, CONFIG
    )
    outcome = job.run(lambda *_: None)
    assert (outcome.state, outcome.facts, outcome.error) == (State.LOOK, (), entry.look)
    proved = replace(job, released=True).run(lambda *_: None)
    assert proved.state is State.DONE
    for step in (move_to_quarantine, delete_from_quarantine):
        with pytest.raises(KeptError, match="nobody has looked"):
            step(entry, where, proved.facts)
    assert (source / GLASS).exists()


def test_a_ledger_that_does_not_know_better_is_set_right_by_the_proof(night):
    source, target = night
    with Ledger(target) as ledger:
        ledger.put([replace(entries(target)[GLASS], state=State.DONE, look="", removed_area=0)])
    run(*night, **DELETE)
    assert (source / GLASS).exists()
    entry = entries(target)[GLASS]
    assert (entry.state, entry.look.split(",")[0]) == (State.LOOK, "no tissue was found")


def test_a_ledger_of_version_1_is_read_as_it_is_and_upgraded_by_the_next_run(night):
    source, target = night
    before = entries(target)
    path = version_1(target)
    bytes_before = path.read_bytes()
    assert {name: entry.state for name, entry in entries(target).items()} == {
        name: entry.state for name, entry in before.items()
    }
    assert [entry.source for entry in read_report(target).look] == [GLASS, SPECK]
    assert len(plan_batch(source, target, CONFIG)[0].to_review) == 2
    assert path.read_bytes() == bytes_before, "who only reads changes nothing"
    review_picture_path(target, GLASS).unlink()
    result = run(*night, **DELETE)
    assert (result.converted, result.look) == (0, 2)
    assert held(source) == [GLASS, SPECK]
    found = entries(target)
    for name, entry in before.items():
        for field in ("notes", "look", "removed_area", "model", "state", "target_sha256"):
            assert getattr(found[name], field) == getattr(entry, field)
    assert review_picture_path(target, GLASS).is_file(), "the picture that was lacking is drawn"


@pytest.mark.gate
def test_what_an_old_version_put_into_quarantine_is_not_deleted_before_a_look(night):
    source, target = night
    accept_slides(target, [GLASS, SPECK])
    assert run(*night, **DELETE).quarantined == 3
    version_1(target)
    shutil.rmtree(source / QUARANTINE / ".accepted")
    review_picture_path(target, GLASS).unlink()
    result = run(*night, **DELETE, quarantine_days=0)
    assert result.deleted == 1
    assert {path.name for path in (source / QUARANTINE).rglob("*.svs")} == {"all glass.svs", "speck.svs"}
    assert review_picture_path(target, GLASS).is_file()
    accept_slides(target, [GLASS])
    assert run(*night, **DELETE, quarantine_days=0).deleted == 1
    assert {path.name for path in (source / QUARANTINE).rglob("*.svs")} == {"speck.svs"}


def test_an_upgrade_that_is_killed_leaves_the_old_ledger(night, monkeypatch):
    _, target = night
    version_1(target)
    from wsicomp.batch import ledger_schema

    with monkeypatch.context() as broken:
        broken.setattr(ledger_schema, "review_reason_by", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Ledger(target)
    with sqlite3.connect(target / ".wsicomp/ledger.sqlite") as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        assert "look" not in {name for _, name, *_ in database.execute("PRAGMA table_info(slides)")}
    database.close()
    assert run(*night).look == 2


@pytest.mark.gate
def test_a_conversion_that_a_killed_run_or_convert_left_is_looked_at_too(trees, tmp_path):
    source, target = trees
    (target / "b").mkdir(parents=True)
    (target / "c").mkdir()
    for name in (GLASS, SPECK):
        convert_slide(source / name, target / name, CONFIG)
    result = run(*trees, **DELETE)
    assert (result.adopted, result.converted, result.look) == (2, 1, 2)
    assert held(source) == [GLASS, SPECK]
    found = entries(target)
    assert [found[name].removed_area for name in (GLASS, SPECK)] == [1, 63 / 64]
    run(source, tmp_path / "other")
    assert found[SPECK].notes == entries(tmp_path / "other")[SPECK].notes
    with Image.open(review_picture_path(target, SPECK)) as picture:
        assert picture.width == 1024
        red, _, blue = picture.convert("RGB").getpixel((10, 10))
        assert blue - red > 50
        red, _, blue = picture.convert("RGB").getpixel((450, 450))
        assert red > blue - 30, "the speck's own tile stays as it is"
    assert audit_path(target, SPECK).is_file()


@pytest.mark.gate
def test_a_kill_between_acceptance_and_deletion_loses_neither(night):
    source, target = night
    code = f"""if 1:
        import os
        from pathlib import Path
        from wsicomp.batch import acceptance
        acceptance.Ledger.__exit__ = lambda *_: os._exit(9)
        acceptance.accept_slides(Path({str(target)!r}), [{GLASS!r}])"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert entries(target)[GLASS].is_accepted
    assert run(*night).look == 1
    assert run(*night, **DELETE).quarantined == 2
    assert held(source) == [SPECK]


@pytest.mark.gate
def test_glass_that_is_kept_needs_no_look(trees):
    result = run(*trees, RESTORABLE, delete_source=True, min_saving=1)
    assert result.look == 0
    assert result.quarantined >= 2  # of the smallest an archive may save nothing
    assert {entry.look for entry in entries(trees[1]).values()} == {""}
    assert {entry.kept_cause for entry in entries(trees[1]).values()} <= {"", HELD_FOR_SAVING}


def test_a_restorable_conversion_would_be_listed_and_needs_no_release():
    entry = Entry("x", "x", State.LOOK, look="no tissue was found", restorable=True)
    assert not entry.needs_release
    assert entry.converted_state is State.LOOK
    assert replace(entry, restorable=False).needs_release


def test_an_acceptance_without_digests_is_none():
    entry = Entry("x", "x", State.LOOK, look="no tissue was found", accepted="2026-01-01T00:00:00+00:00")
    assert not entry.is_accepted
    seen = replace(entry, source_sha256="1", target_sha256="2", accepted_source="1", accepted_target="2")
    assert seen.is_accepted
    for name in ("source_sha256", "target_sha256"):
        assert not replace(seen, **{name: "3"}).is_accepted


def test_a_dry_run_says_what_waits_to_be_looked_at_and_what_would_stay(night, capsys):
    source, target = night
    options = ("--dry-run", *FAST, "--delete-source-after-verify", "--even-if-lossy")
    code, out, _ = command(capsys, source, target, *options)
    assert code == 0
    assert out.startswith(f"{GLASS}: look at it: no tissue was found")
    assert "sources that would stay, as nobody has looked: 2" in out
    values = json.loads(command(capsys, source, target, *options, "--json")[1])
    assert [look["source"] for look in values["look"]] == [GLASS, SPECK]


def test_other_choices_that_find_tissue_end_the_state(night):
    _, target = night
    run(*night, CONFIG.changed(glass="keep"), reconvert=True)
    assert {entry.state for entry in entries(target).values()} == {State.DONE}
    assert not review_picture_path(target, GLASS).exists()


def test_convert_says_so_in_its_last_note_and_in_json(tmp_path, capsys):
    draw_speck(tmp_path / "speck.svs")
    draw_glass(tmp_path / "glass.svs")
    words = {"speck": "over 98 % of its area went", "glass": "no tissue was found"}
    for name, begins in words.items():
        arguments = ["convert", tmp_path / f"{name}.svs", tmp_path / f"small {name}.svs"]
        options = ["--segmenter", "threshold", "--margin-um", "0"]
        assert main([*map(str, arguments), *options, "--dry-run"]) == 0
        assert "over 98 % of its area went" in capsys.readouterr().out.splitlines()[-1]
        assert main([*map(str, arguments), *options]) == 0
        last = capsys.readouterr().out.splitlines()[-1]
        assert last.startswith(f"  note: {begins}")
        assert last.endswith("look at the target before the source goes")
        assert main([*map(str, arguments), *options, "--overwrite", "--json", "-"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["look"].startswith(begins)
        assert report["notes"][-1].startswith(begins)
        assert report["removed_area"] == {"speck": 63 / 64, "glass": 1}[name]


def test_area_is_counted_in_pixels_and_never_over_estimates_what_stays():
    assert removed_area(0.2, 0, None) is None, "glass was kept"
    assert removed_area(0.01, 0, 0.001) == 0.99
    assert removed_area(0, 0.05, 0.004) == 1 - 0.004, "of painted tiles only the mask is sure to stay"
    assert removed_area(0.01, 0.05, 0.04) == pytest.approx(0.96)
    assert removed_area(0.01, 0.05, 1.0) == pytest.approx(0.94)
    assert removed_area(1, 0, 0) == 0
    assert review_reason_by(0.5, 0.98) == ""
    assert "(98.0 %" in review_reason_by(0.5, 0.98001)
    assert "(99.9 %" in review_reason_by(0.5, 0.99999), "it is not rounded up"
    assert review_reason_by(0, 0) == "no tissue was found, and nothing of its level 0 was taken out"
    assert (
        review_reason_by(0, 0.3) == "no tissue was found, and everything that looks like glass was taken out"
    )
    assert review_reason_by(None, None) == ""
    actions = np.array([list("BCM"), list("ZBC")])
    recipe = Recipe("copy", {}, ENCODING, ENCODING, TileAction.COPY)
    level = LevelPlan(0, Size(130, 70), Size(64, 64), 0, 1, (recipe,), actions)
    kept, painted = kept_and_painted(level)
    assert kept == (64 * 64 + 2 * 6) / (130 * 70)
    assert painted == 2 * 64 / (130 * 70)


def test_the_picture_of_a_focal_plane_is_drawn_from_the_plane_that_was_kept(tmp_path):
    z_stack(tmp_path / "stack.svs")
    convert_slide(tmp_path / "stack.svs", tmp_path / "plane.svs", CONFIG.changed(z=1, glass="keep"))
    paths = [tmp_path / name for name in ("stack.svs", "plane.svs", "look.jpg", "audit.jpg")]
    found = PictureJob("stack.svs", *paths, 1).run(lambda *_: None)
    assert (found.state, found.error) == (State.DONE, "")
    assert paths[2].is_file()
    assert paths[3].is_file()
