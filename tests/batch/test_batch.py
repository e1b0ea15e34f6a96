"""A tree of slides: each is done once, and what could not be done is known."""

import errno
import json
import os
import shutil
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from tests import tiffs
from tests.batch.trees import (
    CONFIG,
    HOOKS,
    RESTORABLE,
    assert_agrees,
    entries,
    files,
    run,
    write_slide,
    write_tree,
)
from tests.conftest import SLIDES
from wsicomp.batch import BatchOptions, Stop, plan_batch
from wsicomp.batch.entry import State
from wsicomp.batch.ledger import Ledger
from wsicomp.batch.monitoring import is_running, lock_tree, read_heartbeat
from wsicomp.batch.outcomes import outcome_of_error
from wsicomp.batch.throttle import rate_limited
from wsicomp.conversion.convert import convert_slide
from wsicomp.errors import ConfigError, LedgerError, SlideReadError, SlideWriteError
from wsicomp.files.atomic import open_locked, partial_path
from wsicomp.formats.identity import file_sha256


@pytest.fixture
def trees(tmp_path):
    write_tree(tmp_path / "source", 6)
    return tmp_path / "source", tmp_path / "target"


@pytest.fixture
def hooked(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HOOKS))


class Seen:
    """Callbacks that remember."""

    def __init__(self, at_end=None):
        self.snapshots, self.slides, self._at_end = [], [], at_end

    def on_progress(self, snapshot):
        self.snapshots.append(snapshot)

    def on_slide_done(self, entry):
        self.slides.append(entry)
        if self._at_end:
            self._at_end(entry)


def test_every_slide_is_converted_as_convert_does_it(trees):
    source, target = trees
    before = files(source)
    result = run(source, target)
    assert (result.why, result.converted, result.failures, result.is_good) == ("finished", 6, 0, True)
    assert files(source) == before
    assert_agrees(target)
    alone = target.parent / "alone.svs"
    for entry in entries(target).values():
        report = convert_slide(source / entry.source, alone, CONFIG.changed(overwrite=True))
        assert alone.read_bytes() == (target / entry.target).read_bytes()
        assert (entry.digest, entry.source_sha256) == (report.digest, report.source_sha256)
        assert entry.source_bytes == (source / entry.source).stat().st_size
        assert entry.verified


@pytest.mark.gate
def test_jobs_workers_and_order_change_no_byte(trees, tmp_path):
    source, target = trees
    run(source, target, jobs=1, workers=2)
    other = tmp_path / "other"
    for path in sorted((path for path in source.rglob("*.svs")), reverse=True):
        run(source, other, jobs=3, workers=1, include=(str(path.relative_to(source)),))
    assert files(target) == files(other)


def test_a_rerun_does_what_is_missing_or_changed_and_nothing_else(trees):
    source, target = trees
    run(source, target)
    first = entries(target)
    assert run(source, target).converted == 0
    assert entries(target) == first
    (target / "a/slide 0.svs").unlink()
    write_slide(source / "b/slide 1.svs", 77)
    write_slide(source / "new/slide.svs", 8)
    seen = Seen()
    assert run(source, target, callbacks=seen).converted == 3
    assert sorted(entry.source for entry in seen.slides) == [
        "a/slide 0.svs",
        "b/slide 1.svs",
        "new/slide.svs",
    ]
    assert_agrees(target)
    assert entries(target)["c/slide 2.svs"] == first["c/slide 2.svs"]


def test_a_source_that_was_only_touched_is_not_converted_again(trees):
    source, target = trees
    run(source, target)
    os.utime(source / "a/slide 0.svs")
    result = run(source, target)
    assert (result.converted, result.adopted) == (0, 1)
    assert run(source, target).adopted == 0


@pytest.mark.gate
def test_other_choices_replace_what_they_made_and_leave_no_other_name(trees):
    source, target = trees
    run(source, target)
    result = run(source, target, CONFIG.changed(codec="jpegxl"), reconvert=True)
    assert result.converted == 6
    assert sorted(files(target)) == sorted(f"{name}.tiff" for name in files(source))
    assert_agrees(target)
    assert run(source, target, CONFIG.changed(codec="jpegxl")).converted == 0


def test_recheck_finds_one_changed_byte(trees):
    source, target = trees
    run(source, target)
    damaged = target / "a/slide 0.svs"
    good = damaged.read_bytes()
    status = damaged.stat()
    damaged.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    os.utime(damaged, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run(source, target).converted == 0
    assert run(source, target, recheck=True).converted == 1
    assert damaged.read_bytes() == good
    assert_agrees(target)


def test_a_target_that_looks_changed_is_looked_into_without_being_told(trees):
    source, target = trees
    run(source, target)
    os.utime(target / "a/slide 0.svs")
    (target / "b/slide 1.svs").write_bytes(b"not what was written")
    assert run(source, target).converted == 1
    assert_agrees(target)


@pytest.mark.gate
def test_a_damaged_target_without_source_is_a_failure_and_stays(trees):
    source, target = trees
    run(source, target)
    (source / "a/slide 0.svs").unlink()
    assert run(source, target).is_good
    good = (target / "a/slide 0.svs").read_bytes()
    (target / "a/slide 0.svs").write_bytes(b"damaged")
    result = run(source, target)
    assert (result.failed, result.failures) == (1, 1)
    for _ in range(2):
        assert entries(target)["a/slide 0.svs"].cause == "target damaged"
        assert "its source is gone" in entries(target)["a/slide 0.svs"].error
        assert (target / "a/slide 0.svs").read_bytes() == b"damaged"
        assert run(source, target).failures == 1
    (target / "a/slide 0.svs").write_bytes(good)
    assert run(source, target).is_good
    assert_agrees(target)


def test_a_failed_reconversion_leaves_the_one_before(trees):
    source, target = trees
    run(source, target)
    before = files(target)
    (source / "a/slide 0.svs").write_bytes(b"no slide any more")
    assert run(source, target).failures == 1
    assert files(target) == before
    found = entries(target)["a/slide 0.svs"]
    assert (found.state, found.target_sha256) == (State.FAILED, before["a/slide 0.svs"])
    assert found.target_bytes == (target / found.target).stat().st_size


@pytest.mark.gate
def test_targets_that_no_ledger_knows_are_taken_on_if_they_are_what_would_be_made(trees):
    source, target = trees
    run(source, target)
    before = files(target)
    shutil.rmtree(target / ".wsicomp")
    result = run(source, target)
    assert (result.converted, result.adopted) == (0, 6)
    assert files(target) == before
    assert_agrees(target)


def test_a_file_of_others_is_not_replaced_unless_told(trees):
    source, target = trees
    (target / "a").mkdir(parents=True)
    (target / "a/slide 0.svs").write_bytes(b"of another")
    result = run(source, target)
    assert (result.converted, result.failed, result.is_good) == (5, 1, False)
    assert entries(target)["a/slide 0.svs"].cause == "target exists"
    assert (target / "a/slide 0.svs").read_bytes() == b"of another"
    result = run(source, target, CONFIG.changed(overwrite=True), retry_failed=True)
    assert result.is_good
    assert_agrees(target)


@pytest.mark.gate
def test_what_fails_by_itself_is_tried_again_only_when_told(trees):
    source, target = trees
    (source / "bad.svs").write_bytes(b"no slide at all")
    tiffs.write_tiff(
        source / "sixteen.tif", pixels=tiffs.picture(200, 150).astype("uint16"), compression=None, svs=False
    )
    result = run(source, target)
    assert (result.converted, result.failed, result.skipped, result.is_good) == (6, 1, 1, False)
    found = entries(target)
    assert (found["bad.svs"].state, found["bad.svs"].cause) == (State.FAILED, "unreadable")
    assert "expected a TIFF" in found["bad.svs"].error
    assert str(source) not in found["bad.svs"].error
    assert "SlideReadError" in found["bad.svs"].trace
    assert (found["sixteen.tif"].state, found["sixteen.tif"].cause) == (State.SKIPPED, "unsupported")
    again = run(source, target)
    assert (again.failed, again.failures) == (0, 1)
    assert run(source, target, retry_failed=True).failed == 1
    assert entries(target)["bad.svs"].attempts == 2
    write_slide(source / "bad.svs", 9)
    assert run(source, target).converted == 1


@pytest.mark.gate
def test_a_slide_that_kills_or_hangs_its_process_costs_itself_alone(trees, hooked):
    source, target = trees
    for name in ("abort.svs", "segfault.svs", "hang.svs"):
        write_slide(source / name)
    result = run(source, target, stall_minutes=0.25)
    assert (result.converted, result.failed) == (6, 3)
    found = entries(target)
    assert {
        name: (found[name].cause, found[name].attempts) for name in ("abort.svs", "segfault.svs", "hang.svs")
    } == {
        "abort.svs": ("crash", 3),
        "segfault.svs": ("crash", 3),
        "hang.svs": ("hang", 1),
    }
    assert "signal 11 (Segmentation fault)" in found["segfault.svs"].error
    assert "Fatal Python error: Segmentation fault" in found["segfault.svs"].trace
    assert "no progress for 15 s" in found["hang.svs"].error
    assert_agrees(target)


@pytest.mark.gate
def test_asked_once_a_run_finishes_the_slides_at_hand(trees):
    source, target = trees
    stop = Stop()
    seen = Seen(at_end=lambda _: stop.requests or stop.request())
    result = run(source, target, stop=stop, callbacks=seen, jobs=1)
    assert (result.why, result.converted, result.waiting) == ("stopped", 1, 5)
    assert_agrees(target)
    assert run(source, target).converted == 5


@pytest.mark.gate
def test_asked_twice_it_drops_them_cleanly(trees, hooked, monkeypatch):
    source, target = trees
    monkeypatch.setenv("WSICOMP_SLOW_S", "60")
    write_slide(source / "a/slow.svs")
    stop = Stop()
    stop.request()
    stop.requests = 0

    class Impatient(Seen):
        def on_progress(self, snapshot):
            if "a/slow.svs" in snapshot.running:
                stop.requests = 2

    begin = time.monotonic()
    result = run(source, target, stop=stop, callbacks=Impatient(), jobs=1)
    assert time.monotonic() - begin < 30
    assert result.why == "stopped"
    assert entries(target)["a/slow.svs"].state is State.WAITING
    assert_agrees(target)


def test_no_slide_begins_after_its_time_or_too_many_failures(trees):
    source, target = trees
    past = datetime.now().astimezone() - timedelta(seconds=1)
    result = run(source, target, until=past)
    assert (result.why, result.converted, result.waiting, result.is_good) == ("until", 0, 6, True)
    for number in range(5):
        (source / f"A{number}.svs").write_bytes(b"no slide")
    result = run(source, target, jobs=1, max_failures=2)
    assert (result.why, result.failed, result.converted, result.is_good) == ("2 failures", 2, 0, False)


def test_no_slide_begins_without_room_on_the_disk(trees):
    source, target = trees
    free = shutil.disk_usage(source).free / 1e9 + 1
    result = run(source, target, min_free=free)
    assert (result.no_room, result.waiting, result.is_good) == (6, 6, False)
    assert result.no_room_needs_bytes < 3_000_000
    assert result.no_room_free_bytes < result.min_free * 1e9
    assert run(source, target).converted == 6


@pytest.mark.gate
def test_a_limited_rate_takes_its_time(trees, tmp_path):
    (tmp_path / "4 MB").write_bytes(bytes(4_000_000))
    told = []
    begin = time.monotonic()
    file_sha256(tmp_path / "4 MB", partial(rate_limited(lambda *stage: told.append(stage), 4e6), "read"))
    assert time.monotonic() - begin >= 0.99
    assert told[-1] == ("read", 4_000_000, 4_000_000)
    assert run(*trees, limit_rate=50).converted == 6


def test_the_tree_is_held_alone(trees):
    source, target = trees
    target.mkdir()
    with lock_tree(target):
        assert is_running(target)
        with pytest.raises(LedgerError, match="another batch is at work there"):
            run(source, target)
    assert not is_running(target)
    assert run(source, target).is_good


def test_a_ledger_is_of_one_source_tree(trees, tmp_path):
    source, target = trees
    run(source, target)
    moved = source.rename(tmp_path / "moved")
    with pytest.raises(ConfigError, match="`source_moved=True`"):
        run(moved, target)
    assert run(moved, target, source_moved=True).converted == 0
    assert run(moved, target).converted == 0


def test_a_tree_that_is_suddenly_empty_is_not_believed(trees):
    source, target = trees
    run(source, target)
    shutil.rmtree(source)
    with pytest.raises(SlideReadError, match="is no folder"):
        run(source, target)
    source.mkdir()
    with pytest.raises(ConfigError, match="is it mounted"):
        run(source, target)
    assert_agrees(target)


def test_trees_must_not_overlap_and_choices_must_fit(trees):
    source, target = trees
    for here, there in ((source, source), (source, source / "inside"), (source / "a", source)):
        with pytest.raises(ConfigError, match="overlap"):
            run(here, there)
    with pytest.raises(ConfigError, match="of one slide"):
        run(source, target, CONFIG.changed(mask=source / "mask.png"))
    with pytest.raises(ConfigError, match="jobs is 0"):
        BatchOptions(jobs=0)
    assert not target.exists()


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(trees):
    source, target = trees
    survey, inventory = plan_batch(source, target, CONFIG)
    assert (len(survey.due), len(inventory.slides)) == (6, 6)
    assert not target.exists()
    run(source, target)
    before = sorted((path, path.stat().st_mtime_ns) for path in target.rglob("*"))
    (source / "a/slide 0.svs").unlink()
    write_slide(source / "new.svs")
    survey, _ = plan_batch(source, target, CONFIG)
    assert [entry.source for entry in survey.due] == ["new.svs"]
    assert sorted((path, path.stat().st_mtime_ns) for path in target.rglob("*")) == before


def test_what_killed_runs_left_is_swept(trees):
    source, target = trees
    run(source, target)
    entry = entries(target)["a/slide 0.svs"]
    path = target / entry.target
    path.unlink()
    partial_path(path).write_bytes(b"half")
    with Ledger(target) as ledger:
        ledger.put([replace(entry, state=State.RUNNING)])
    assert run(source, target).converted == 1
    assert_agrees(target)


def test_callbacks_see_every_slide_and_the_heartbeat_says_the_end(trees):
    source, target = trees
    seen = Seen()
    run(source, target, callbacks=seen)
    assert sorted(entry.source for entry in seen.slides) == sorted(entries(target))
    last = seen.snapshots[-1]
    total = sum(path.stat().st_size for path in source.rglob("*.svs"))
    assert (last.state, last.done, last.waiting) == ("ended: finished", 6, 0)
    assert (last.done_bytes, last.total_bytes) == (total, total)
    beat = read_heartbeat(target)
    assert (beat["state"], beat["pid"], beat["done"]) == ("ended: finished", os.getpid(), 6)
    log = (target / ".wsicomp/batch.log").read_text()
    assert log.count(": done after") == 6


def test_the_log_names_no_patient(tmp_path):
    description = "Aperio\r\n200x150|AppMag = 20|MPP = 0.5|Patient = Jane Doe"
    (tmp_path / "source").mkdir()
    tiffs.write_tiff(tmp_path / "source/1.svs", description=description)
    (tmp_path / "source/2.svs").write_bytes(b"Jane Doe")
    run(tmp_path / "source", tmp_path / "target")
    for path in (tmp_path / "target/.wsicomp").glob("*"):
        if path.is_file():
            assert b"Jane" not in path.read_bytes(), path


@pytest.mark.gate
def test_a_source_that_changes_meanwhile_is_not_kept_and_the_one_before_stays(trees, hooked, monkeypatch):
    source, target = trees
    path = write_slide(source / "changing.svs")
    result = run(source, target)
    assert (result.converted, result.failed) == (6, 1)
    assert entries(target)["changing.svs"].cause == "source changed"
    assert not (target / "changing.svs").exists()
    monkeypatch.delenv("PYTHONPATH")
    assert run(source, target).converted == 1
    before = files(target)
    monkeypatch.setenv("PYTHONPATH", str(HOOKS))
    write_slide(path, 42)
    assert run(source, target).failed == 1
    assert files(target) == before


@pytest.mark.gate
def test_two_changes_of_mind_leave_the_targets_of_the_first(trees):
    source, target = trees
    run(source, target)
    before = files(target)
    stop = Stop()
    stop.request()
    assert run(source, target, CONFIG.changed(codec="jpegxl"), stop=stop, reconvert=True).waiting == 6
    result = run(source, target)
    assert (result.adopted, result.is_good) == (6, True)
    assert files(target) == before
    assert_agrees(target)
    run(source, target, CONFIG.changed(codec="jpegxl"), reconvert=True)
    assert_agrees(target)


def test_a_target_of_a_slide_that_is_no_more_is_not_given_to_another(trees):
    source, target = trees
    both = ("*.bif", "*.tiff")
    write_slide(source / "x.svs", 59).rename(source / "x.bif")
    run(source, target, include=both)
    (source / "x.bif").unlink()
    write_slide(source / "x.bif.tiff", 60)
    result = run(source, target, CONFIG.changed(overwrite=True), include=both)
    assert result.converted == 1
    assert_agrees(target)
    assert len(files(target)) == 2


def test_a_link_in_the_target_tree_leads_nowhere(trees):
    source, target = trees
    target.mkdir()
    (target / "a").symlink_to(source / "a")
    shutil.copy(source / "a/slide 0.svs", source / "a/x.bif")
    shutil.copy(source / "a/slide 3.svs", source / "a/x.bif.tiff")
    before = files(source)
    result = run(source, target, CONFIG.changed(overwrite=True), include=("*.bif", "*.tiff", "*.svs"))
    assert (result.converted, result.failed) == (4, 4)
    assert "is a link" in entries(target)["a/x.bif"].error
    assert files(source) == before


@pytest.mark.gate
def test_what_somebody_put_in_a_targets_place_is_moved_aside_unharmed(trees):
    source, target = trees
    run(source, target)
    before = files(target)
    (target / "a/slide 0.svs").write_bytes(b"annotated by hand")
    assert run(source, target).converted == 1
    assert files(target) == before
    aside = target / ".wsicomp/aside/a/slide 0.svs"
    assert aside.read_bytes() == b"annotated by hand"
    notes = entries(target)["a/slide 0.svs"].notes.splitlines()
    assert f"a file that was not written there by this batch stood in its place, and is now {aside}" in notes
    (target / "a/slide 0.svs").write_bytes(b"again")
    write_slide(source / "a/slide 0.svs", 70)
    assert run(source, target).converted == 1
    assert (target / ".wsicomp/aside/a/slide 0.svs.1").read_bytes() == b"again"
    assert_agrees(target)


def test_a_slide_of_any_name_may_fail(trees):
    source, target = trees
    (source / os.fsdecode(b"bad \xff.svs")).write_bytes(b"no slide")
    assert run(source, target).failed == 1
    assert entries(target)["bad \\xff.svs"].cause == "unreadable"


@pytest.mark.gate
def test_nobody_watching_is_no_reason_to_stop(trees):
    source, target = trees

    class Gone(Seen):
        def on_slide_done(self, entry):
            raise BrokenPipeError

    assert run(source, target, callbacks=Gone()).is_good


def test_a_machine_that_starts_no_processes_ends_the_run_and_fails_no_slide(trees, monkeypatch):
    source, target = trees
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/nonexistent/python")
        result = run(source, target)
    assert (result.why, result.failed, result.waiting) == ("no process can be started for a slide", 0, 6)
    assert run(source, target).converted == 6


def test_a_slide_that_is_taken_away_is_no_failure(trees):
    source, target = trees
    (source / "bad.svs").write_bytes(b"no slide")
    assert not run(source, target).is_good
    (source / "bad.svs").unlink()
    assert run(source, target).is_good
    found = entries(target)["bad.svs"]
    assert (found.state, found.cause) == (State.SKIPPED, "source gone")


def test_what_stands_in_the_way_is_looked_at_every_time(trees):
    source, target = trees
    (target / "a").mkdir(parents=True)
    (target / "a/slide 0.svs").write_bytes(b"of another")
    assert run(source, target).failed == 1
    (target / "a/slide 0.svs").unlink()
    assert run(source, target).converted == 1


def test_a_slide_of_many_files_is_asked_for_by_the_one_that_opens_it(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a").mkdir(parents=True)
    for name in ("a.mrxs", "a/Data0000.dat", "a/Slidedat.ini"):
        (source / name).write_bytes(b"[GENERAL]")
    assert run(source, target, include=("*",)).failed == 1
    (found,) = entries(target).values()
    assert (found.source, found.cause, found.source_bytes) == ("a.mrxs", "unreadable", 27)


@pytest.mark.slides
def test_a_dicom_series_is_converted_once_whichever_of_its_files_are_asked_for(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name in ("1.dcm", "2.dcm", "3.dcm"):
        shutil.copy(SLIDES / "camelyon_overview_jpeg.dcm", source / name)
    (source / "dangling.dcm").symlink_to("nothing.dcm")
    config = CONFIG.changed(codec="jpeg")
    result = run(source, target, config, exclude=("1.dcm",))
    assert (result.converted, result.skipped, result.failed) == (1, 1, 1)
    assert entries(target)["3.dcm"].error == "it is a file of the slide 2.dcm"
    (source / "dangling.dcm").unlink()
    assert run(source, target, config, exclude=("1.dcm",)).is_good


@pytest.mark.gate
def test_a_target_that_another_process_writes_is_left_to_it_and_tried_by_the_next_run(trees):
    source, target = trees
    (target / "a").mkdir(parents=True)
    with open_locked(partial_path(target / "a/slide 0.svs")):
        result = run(source, target)
        assert (result.converted, result.failed) == (5, 1)
        assert entries(target)["a/slide 0.svs"].cause == "target being written"
        assert partial_path(target / "a/slide 0.svs").exists()
    assert run(source, target).converted == 1
    assert_agrees(target)


@pytest.mark.parametrize(
    ("raised", "behind", "cause"),
    [
        (SlideReadError("no"), None, "unreadable"),
        (SlideReadError("no"), PermissionError(errno.EACCES, "denied"), "source not reached"),
        (SlideReadError("no"), OSError(errno.EIO, "input/output"), "source not reached"),
        (SlideWriteError("no"), OSError(errno.EROFS, "read-only"), "target not writable"),
        (SlideWriteError("no"), OSError(errno.ENOSPC, "full"), "disk full"),
        (PermissionError(errno.EACCES, "denied"), None, "target not writable"),
        (MemoryError(), None, "out of memory"),
        (ValueError("a bug"), None, "internal error"),
    ],
)
def test_a_failure_has_the_cause_that_says_what_to_do(tmp_path, raised, behind, cause):
    path = write_slide(tmp_path / "a.svs")
    raised.__cause__ = behind
    assert outcome_of_error(raised, path).cause == cause
    if isinstance(raised, SlideReadError):
        assert outcome_of_error(raised, tmp_path / "gone.svs").cause == "source gone"


def test_a_restorable_archive_restores(trees, tmp_path):
    from wsicomp import restore_slide

    source, target = trees
    run(source, target, RESTORABLE)
    for entry in entries(target).values():
        assert entry.restorable
        restore_slide(target / entry.target, tmp_path / "again.svs", overwrite=True)
        assert (tmp_path / "again.svs").read_bytes() == (source / entry.source).read_bytes()


def test_the_whole_report_of_a_slide_is_in_the_ledger(trees):
    source, target = trees
    run(source, target)
    with Ledger(target, read_only=True) as ledger:
        report = ledger.report("a/slide 0.svs")
    assert json.dumps(report["levels"]) != "[]"
    assert report["target_bytes"] == (target / "a/slide 0.svs").stat().st_size
