"""Nothing in a target tree leads a batch out of it: no link, no pipe, no second name of a file."""

import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.batch.trees import CONFIG, RESTORABLE, entries, run, sha256, write_slide
from tests.drawn.nights import draw_tissue
from tests.drawn.planted import KINDS, facts, plant, write_journal, write_victim
from wsicomp.batch import Ledger, rebuild_ledger
from wsicomp.batch.api import check_apart
from wsicomp.batch.entry import Entry, State
from wsicomp.batch.jobs import ConversionJob
from wsicomp.batch.ledger_files import FOLDER, audit_path, review_picture_path
from wsicomp.batch.monitoring import Heartbeat, Snapshot, is_running, lock_tree, open_log, read_heartbeat
from wsicomp.batch.options import BatchOptions
from wsicomp.batch.proof import ProofJob
from wsicomp.batch.quarantine import delete_from_quarantine, move_to_quarantine
from wsicomp.batch.runner import Run, remove_partial_files
from wsicomp.batch.target_jobs import PictureJob, RecheckJob, unscaled_audit_path
from wsicomp.batch.worklist import Trees, Worklist
from wsicomp.cli import main
from wsicomp.errors import ConfigError, KeptError, LedgerError, SlideWriteError, WsicompError
from wsicomp.files.atomic import partial_path

pytestmark = pytest.mark.gate

IN_PLACE = ("lock", "batch.log", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm")
"""What is written in place: a second name would be written too."""
RENAMED = ("heartbeat.json", "batch.log.1", "note.txt", "audits", "aside")
NOTHING_TO_DO = Worklist(frozenset(), (), (), (), (), (), ())
SNAPSHOT = Snapshot("running", *[0] * 10, None)


@pytest.fixture
def trees(tmp_path):
    write_slide(tmp_path / "source/a/slide.svs")
    return tmp_path / "source", tmp_path / "target"


@pytest.fixture
def victim(trees):
    write_victim(trees[0] / "victim.svs")
    return trees[0] / "victim.svs"


def planted_names():
    for name in (*IN_PLACE, *RENAMED):
        for kind in KINDS:
            is_fine = name in RENAMED and kind == "hard link"
            is_file = name in (*IN_PLACE, "heartbeat.json", "batch.log.1")
            if not is_fine and (kind != "folder" or is_file):
                yield name, kind
    for kind in KINDS:
        yield partial_path(Path("heartbeat.json")).name, kind


@pytest.mark.parametrize(("name", "kind"), [*planted_names()])
def test_what_was_planted_in_the_ledgers_folder_ends_the_run_in_one_line(trees, victim, name, kind):
    before, others = facts(victim), sorted(path.name for path in trees[0].iterdir())
    path = plant(trees[1] / FOLDER / name, kind, victim)
    with pytest.raises(WsicompError) as told:
        run(*trees)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)
    assert facts(victim) == before
    assert sorted(path.name for path in trees[0].iterdir()) == others
    assert os.path.lexists(path)


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
def test_a_folder_of_the_ledger_that_is_none_is_not_entered(trees, victim, tmp_path, kind):
    (tmp_path / "elsewhere").mkdir()
    trees[1].mkdir()
    plant(trees[1] / FOLDER, kind, tmp_path / "elsewhere")
    with pytest.raises(SlideWriteError, match=r"target/\.wsicomp: a folder on the way is"):
        run(*trees)
    assert not list((tmp_path / "elsewhere").iterdir())
    assert read_heartbeat(trees[1]) is None
    assert not is_running(trees[1])


def test_a_journal_that_was_planted_deletes_no_source(trees, victim):
    before = facts(victim)
    (trees[1] / FOLDER).mkdir(parents=True)
    Ledger(trees[1]).__exit__()
    journal = write_journal(trees[1] / FOLDER / "ledger.sqlite", victim)
    with pytest.raises(
        LedgerError, match="sqlite-journal: is a rollback journal, which wsicomp never leaves"
    ):
        Ledger(trees[1])
    assert main(["batch", "status", str(trees[1])]) == 0
    assert facts(victim) == before
    assert journal.exists()


def test_a_new_ledger_needs_no_journal_and_logs_ahead(trees):
    (trees[1] / FOLDER).mkdir(parents=True)
    with Ledger(trees[1]) as ledger:
        ledger.put([Entry("a", "b")])
        assert sorted(path.name for path in (trees[1] / FOLDER).iterdir()) == [
            "ledger.sqlite",
            "ledger.sqlite-shm",
            "ledger.sqlite-wal",
        ]
    with closing(sqlite3.connect(trees[1] / FOLDER / "ledger.sqlite")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_ledger_that_is_swapped_while_it_is_opened_is_not_written(trees, monkeypatch):
    (trees[1] / FOLDER).mkdir(parents=True)
    path = trees[1] / FOLDER / "ledger.sqlite"
    Ledger(trees[1]).__exit__()
    shutil.copy(path, path.with_name("other"))
    connect = sqlite3.connect

    def connect_elsewhere(*arguments, **options):
        """SQLite opens what has the name in this moment."""
        path.rename(path.with_name("mine"))
        path.with_name("other").rename(path)
        database = connect(*arguments, **options)
        database.execute("PRAGMA user_version").fetchone()
        path.rename(path.with_name("other"))
        path.with_name("mine").rename(path)
        return database

    monkeypatch.setattr(sqlite3, "connect", connect_elsewhere)
    with pytest.raises(LedgerError, match="put there while it was opened"):
        Ledger(trees[1])


@pytest.mark.parametrize("name", ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"])
def test_a_linked_ledger_is_not_read_either(trees, victim, name, capsys):
    before = facts(victim)
    (trees[1] / FOLDER).mkdir(parents=True)
    Ledger(trees[1]).__exit__()
    (trees[1] / FOLDER / name).unlink(missing_ok=True)
    plant(trees[1] / FOLDER / name, "link", victim)
    for command in ("status", "report", "accept"):
        assert main(["batch", command, str(trees[1])]) == 1
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert f"{FOLDER}/{name}: is a link" in err
    assert facts(victim) == before


def test_a_lock_that_is_a_link_shows_nothing_of_what_it_leads_to(trees, tmp_path):
    (tmp_path / "secret").write_text("a name")
    plant(trees[1] / FOLDER / "lock", "link", tmp_path / "secret")
    with pytest.raises(SlideWriteError, match=r"/lock: is a link") as told, lock_tree(trees[1]):
        pass
    assert "a name" not in str(told.value)
    assert (tmp_path / "secret").read_text() == "a name"


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_that_is_planted_in_the_midst_of_a_run_is_not_followed(trees, victim, kind):
    before = facts(victim)
    with lock_tree(trees[1]) as folder, open_log(folder) as log:
        plant(folder / "batch.log", kind, victim)
        log.info("a line")
    assert facts(victim) == before


@pytest.fixture
def others(tmp_path):
    """A folder of somebody else, with files by the names of ours; what is in it."""
    folder = tmp_path / "others"
    folder.mkdir()
    ends = ("", "-wal", "-shm", "-journal", *(f".{number}" for number in range(1, 7)))
    for name in [f"ledger.sqlite{end}" for end in ends] + [f"batch.log{end}" for end in ends]:
        (folder / name).write_bytes(name.encode())
    return folder


def swap(folder, others):
    """Have the folder's name lead to another one, as somebody can in the midst of a run."""
    folder.rename(folder.with_name("was"))
    folder.symlink_to(others)
    return folder.with_name("was")


def names(folder):
    return {path.name: facts(path) for path in folder.iterdir()}


def test_a_log_is_turned_over_in_its_own_folder_whatever_has_the_name_of_that(trees, others):
    before = names(others)
    with lock_tree(trees[1]) as folder, open_log(folder) as log:
        log.info("first")
        was = swap(folder, others)
        for number in range(7):
            os.truncate(was / "batch.log", 6_000_000)
            log.info("line %d", number)
    assert names(others) == before
    assert sorted(path.name for path in was.glob("batch.log*")) == [
        "batch.log",
        *(f"batch.log.{number}" for number in range(1, 6)),
    ]
    assert "line 6" in (was / "batch.log").read_text()


def test_a_ledger_is_moved_aside_in_its_own_folder_alone(trees, others):
    before = names(others)
    run(*trees)
    ledger = trees[1] / FOLDER / "ledger.sqlite"
    ledger.write_bytes(b"damaged")

    def told(*_):
        if not (trees[1] / FOLDER).is_symlink():
            swap(trees[1] / FOLDER, others)

    with pytest.raises(SlideWriteError, match="a folder on the way is a link"):
        rebuild_ledger(trees[1], on_progress=told)
    assert names(others) == before
    assert (trees[1] / "was/ledger.sqlite").read_bytes() == b"damaged"


def test_a_ledger_is_closed_without_a_word_to_the_files_of_others(trees, others):
    before = names(others)
    (trees[1] / FOLDER).mkdir(parents=True)
    with Ledger(trees[1]) as ledger:
        ledger.put([Entry("a", "b")])
        was = swap(trees[1] / FOLDER, others)
        ledger.put([Entry("c", "d")])
    assert names(others) == before
    (trees[1] / FOLDER).unlink()
    was.rename(trees[1] / FOLDER)
    assert sorted(entries(trees[1])) == ["a", "c"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_heartbeat_that_is_planted_in_the_midst_of_a_run_is_not_followed(trees, victim, kind):
    before = facts(victim)
    with lock_tree(trees[1]) as folder:
        heartbeat = Heartbeat(folder)
        plant(partial_path(folder / "heartbeat.json"), kind, victim)
        heartbeat.beat(SNAPSHOT, now=True)
        assert read_heartbeat(trees[1]) is None
        path = partial_path(folder / "heartbeat.json")
        path.rmdir() if kind == "folder" else path.unlink()
        if kind != "folder":
            plant(folder / "heartbeat.json", kind, victim)
        heartbeat.beat(SNAPSHOT, now=True)
        assert read_heartbeat(trees[1])["state"] == "running"
    assert facts(victim) == before


@pytest.mark.parametrize("kind", ["link", "pipe", "socket", "folder"])
def test_a_heartbeat_and_a_lock_that_are_no_files_are_not_read(trees, tmp_path, kind):
    (tmp_path / "told").write_text(json.dumps({"state": "running"}))
    plant(trees[1] / FOLDER / "heartbeat.json", kind, tmp_path / "told")
    plant(trees[1] / FOLDER / "lock", kind, tmp_path / "told")
    assert read_heartbeat(trees[1]) is None
    assert not is_running(trees[1])


# Of one slide


def job(trees, source="a/slide.svs", target="a/slide.svs", config=CONFIG, **changes):
    """The job that the coordinator gives for a slide."""
    here, there = trees
    there.mkdir(exist_ok=True)
    found = ConversionJob(
        source,
        here / source,
        there / target,
        there,
        BatchOptions().selection(here, config),
        config.changed(workers=1),
        audit_path(there, source),
        review_picture_path(there, source),
        there / FOLDER / "aside" / target,
    )
    return replace(found, **changes)


def pictures(trees):
    audit = audit_path(trees[1], "a/slide.svs")
    return unscaled_audit_path(audit), audit, review_picture_path(trees[1], "a/slide.svs")


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_that_were_planted_are_not_written_through(trees, victim, kind):
    before, others = facts(victim), sorted(path.name for path in trees[0].iterdir())
    large, small, look = pictures(trees)
    for number, paths in enumerate(([large, small, look], [partial_path(small)], [partial_path(large)])):
        for path in paths:
            plant(path, kind, victim)
        outcome = job(trees, target=f"{number}.svs").run(lambda *_: None)
        assert outcome.state is State.DONE or kind == "folder" or "which is not ours" in outcome.error
        assert facts(victim) == before
        assert sorted(path.name for path in trees[0].iterdir()) == others


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_picture_goes_through_no_folder_that_is_a_link(trees, tmp_path, depth):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    large = pictures(trees)[0]
    folder = (large.parents[2], large.parents[1], large.parents[0])[depth - 1]
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(elsewhere)
    outcome = job(trees).run(lambda *_: None)
    assert (outcome.state, outcome.cause) == (State.FAILED, "target not writable")
    assert f"{folder}: a folder on the way is a link" in outcome.error
    assert not list(elsewhere.iterdir())
    assert not (trees[1] / "a/slide.svs").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_or_its_partial_that_was_planted_is_left_alone(trees, victim, kind):
    before, others = facts(victim), sorted(path.name for path in trees[0].iterdir())
    target = trees[1] / "a/slide.svs"
    for path in (target, partial_path(target)):
        plant(path, kind, victim)
        outcome = job(trees, config=RESTORABLE).run(lambda *_: None)
        assert outcome.state is State.FAILED
        assert outcome.error.startswith(str(path))
        assert facts(victim) == before
        assert sorted(path.name for path in trees[0].iterdir()) == others
        remove_partial_files(Entry("a/slide.svs", "a/slide.svs"), Trees(*trees))
        assert os.path.lexists(path)
        path.rmdir() if kind == "folder" else path.unlink()


def test_a_folder_that_becomes_a_link_while_tiles_are_written_leads_nowhere(trees, victim):
    source, target = trees
    outside = {path.name: sha256(path) for path in (source / "a").iterdir()}

    def swap(stage, done, total):
        if stage == "write" and not (target / "a").is_symlink():
            (target / "a").rename(target / "was a")
            (target / "a").symlink_to(source / "a")

    outcome = job(trees, config=RESTORABLE).run(swap)
    assert (target / "a").is_symlink()
    assert {path.name: sha256(path) for path in (source / "a").iterdir()} == outside
    written = target / "was a/slide.svs"
    assert outcome.state is not State.DONE or outcome.target_sha256 == sha256(written)


@pytest.mark.parametrize("kind", ["link", "hard link"])
def test_a_partial_that_becomes_a_link_while_tiles_are_written_is_not_followed(trees, victim, kind):
    before = facts(victim)
    partial = partial_path(trees[1] / "a/slide.svs")

    def swap(stage, done, total):
        if stage == "write" and done == 1:
            partial.unlink()
            plant(partial, kind, victim)

    outcome = job(trees, config=RESTORABLE).run(swap)
    assert outcome.state is State.FAILED
    assert facts(victim) == before
    assert not (trees[1] / "a/slide.svs").exists()


@pytest.mark.parametrize("depth", [1, 2])
def test_what_is_moved_aside_goes_through_no_link(trees, tmp_path, depth):
    target = trees[1] / "a/slide.svs"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"somebody's")
    (tmp_path / "elsewhere").mkdir()
    place = trees[1] / FOLDER / ("aside", "aside/a")[depth - 1]
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "elsewhere")
    outcome = job(trees, config=RESTORABLE, ours=(1, 1)).run(lambda *_: None)
    assert f"{place}: a folder on the way is a link" in outcome.error
    assert target.read_bytes() == b"somebody's"
    assert not list((tmp_path / "elsewhere").iterdir())


def test_what_is_moved_aside_takes_no_name_that_is_taken(trees):
    target, aside = trees[1] / "a/slide.svs", trees[1] / FOLDER / "aside/a"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"second")
    aside.mkdir(parents=True)
    (aside / "slide.svs").write_bytes(b"first")
    assert job(trees, config=RESTORABLE, ours=(1, 1)).run(lambda *_: None).state is State.DONE
    assert [path.read_bytes() for path in sorted(aside.iterdir())] == [b"first", b"second"]


@pytest.mark.parametrize("kind", ["link", "folder on the way"])
def test_a_target_behind_a_link_is_none_that_was_written(trees, tmp_path, kind):
    target = trees[1] / "a/slide.svs"
    (tmp_path / "a").mkdir()
    write_slide(tmp_path / "a/slide.svs")
    trees[1].mkdir()
    if kind == "link":
        plant(target, "link", tmp_path / "a/slide.svs")
    else:
        (trees[1] / "a").symlink_to(tmp_path / "a")
    outcome = RecheckJob("s", target, sha256(target), trees[1]).run(lambda *_: None)
    assert outcome.state is State.FAILED
    assert "is a link" in outcome.error


def test_a_stale_target_is_not_deleted_through_a_folder_that_is_a_link(trees, victim):
    source, target = trees
    target.mkdir()
    (target / "old").symlink_to(source)
    status = victim.stat()
    entry = Entry("s", "t", stale_target=f"{status.st_size} {status.st_mtime_ns} old/victim.svs")
    log, ledger = [], SimpleNamespace(entries=lambda *_: iter(()))
    scheduler = SimpleNamespace(
        trees=Trees(source, target),
        ledger=ledger,
        options=BatchOptions(),
        log=SimpleNamespace(warning=lambda *words: log.append(words[0] % words[1:])),
    )
    Run(scheduler, CONFIG, NOTHING_TO_DO)._without_stale(entry, {entry.stale_target})
    assert victim.exists()
    assert "a folder on the way is a link" in log[0]


def test_what_a_killed_run_left_is_not_swept_through_a_link(trees, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in (
        partial_path(elsewhere / "slide.svs"),
        unscaled_audit_path(elsewhere / pictures(trees)[1].name),
    ):
        path.write_bytes(b"another run's")
    trees[1].mkdir()
    (trees[1] / "a").symlink_to(elsewhere)
    pictures(trees)[1].parents[1].mkdir(parents=True)
    pictures(trees)[1].parent.symlink_to(elsewhere)
    remove_partial_files(Entry("a/slide.svs", "a/slide.svs"), Trees(*trees))
    assert len(list(elsewhere.iterdir())) == 2


def test_a_planted_picture_is_not_shown(trees, tmp_path, capsys):
    write_slide(tmp_path / "source/a/slide.svs")
    (trees[1] / FOLDER).mkdir(parents=True)
    looks = Entry("a/slide.svs", "a/slide.svs", State.LOOK, look="no tissue was found")
    with Ledger(trees[1]) as ledger:
        ledger.put([looks])
    (tmp_path / "secret.jpg").write_bytes(b"another patient")
    page = tmp_path / "page.html"
    for kind in ("link", "dangling link", "pipe", "folder"):
        for path in pictures(trees)[1:]:
            plant(path, kind, tmp_path / "secret.jpg")
        assert main(["batch", "report", str(trees[1]), "--html", str(page), "--overwrite"]) == 0
        assert "base64" not in page.read_text()
        assert main(["batch", "accept", str(trees[1])]) == 0
        assert "there is no picture of what was removed yet" in capsys.readouterr().out
        for path in pictures(trees)[1:]:
            path.rmdir() if kind == "folder" else path.unlink()


def test_a_report_never_takes_the_ledgers_place(trees, capsys):
    (trees[1] / FOLDER).mkdir(parents=True)
    Ledger(trees[1]).__exit__()
    ledger = trees[1] / FOLDER / "ledger.sqlite"
    before = facts(ledger)
    for option in ("--csv", "--html", "--json"):
        assert main(["batch", "report", str(trees[1]), option, str(ledger), "--overwrite"]) == 1
        assert "an input is never overwritten" in capsys.readouterr().err
    assert facts(ledger) == before


def test_a_picture_for_a_person_is_drawn_through_no_link(trees, tmp_path):
    target = trees[1] / "a/slide.svs"
    assert (
        job(trees, config=RESTORABLE.changed(keep_if_larger="keep")).run(lambda *_: None).state is State.DONE
    )
    (tmp_path / "elsewhere").mkdir()
    pictures(trees)[1].parents[1].mkdir(parents=True)
    pictures(trees)[1].parent.symlink_to(tmp_path / "elsewhere")
    _, audit, look = pictures(trees)
    done = PictureJob("s", trees[0] / "a/slide.svs", target, look, audit, 1, trees[1]).run(lambda *_: None)
    assert "a folder on the way is a link" in done.error
    assert not list((tmp_path / "elsewhere").iterdir())


# Taking sources away


@pytest.fixture
def proved(tmp_path):
    """A tree whose one slide was converted and proved."""
    trees = tmp_path / "source", tmp_path / "target"
    (tmp_path / "source/a").mkdir(parents=True)
    draw_tissue(tmp_path / "source/a/slide.svs")
    outcome = job(trees, config=RESTORABLE).run(lambda *_: None)
    entry = Entry(
        "a/slide.svs",
        "a/slide.svs",
        State.DONE,
        source_sha256=sha256(trees[0] / "a/slide.svs"),
        target_sha256=outcome.target_sha256,
        restorable=True,
    )
    paths = trees[0] / "a/slide.svs", trees[1] / "a/slide.svs"
    proof = ProofJob("s", *paths, entry.source_sha256, entry.target_sha256, False, RESTORABLE).run(
        lambda *_: None
    )
    assert proof.state is State.DONE, proof.error
    write_victim(trees[0] / "victim.svs")
    return Trees(*trees), entry, proof.facts


@pytest.mark.parametrize("depth", ["quarantine", "folder in it", "target's folder"])
def test_no_source_goes_by_a_folder_that_is_a_link(proved, tmp_path, depth):
    trees, entry, proof = proved
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    quarantine = trees.source / ".wsicomp-quarantine"
    if depth == "quarantine":
        quarantine.symlink_to(elsewhere)
    elif depth == "folder in it":
        quarantine.mkdir()
        (quarantine / "a").symlink_to(elsewhere)
    else:
        (trees.target / "a").rename(elsewhere / "a")
        (trees.target / "a").symlink_to(elsewhere / "a")
    with pytest.raises(KeptError, match="a folder on the way is a link"):
        move_to_quarantine(entry, trees, proof)
    assert (trees.source / "a/slide.svs").exists()
    assert not list(elsewhere.glob("*.svs"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_in_quarantine_that_is_taken_is_left_alone(proved, kind):
    trees, entry, proof = proved
    victim = trees.source / "victim.svs"
    before = facts(victim)
    place = plant(trees.quarantine_of(entry), kind, victim)
    with pytest.raises(KeptError, match="in quarantine already"):
        move_to_quarantine(entry, trees, proof)
    assert (trees.source / "a/slide.svs").exists()
    assert os.path.lexists(place)
    assert facts(victim) == before


def test_what_took_the_place_of_a_quarantined_source_is_not_deleted(proved):
    trees, entry, proof = proved
    victim = trees.source / "victim.svs"
    entry = move_to_quarantine(entry, trees, proof)
    place = trees.quarantine_of(entry)
    for kind in ("link", "hard link"):
        place.unlink()
        plant(place, kind, victim)
        with pytest.raises(KeptError):
            delete_from_quarantine(entry, trees, proof)
        assert os.path.lexists(place)


# Trees that are one


def bound(here, there):
    """Show a folder by another name as well, as mounts do."""
    there.mkdir(parents=True, exist_ok=True)
    return subprocess.run(["mount", "--bind", here, there], capture_output=True, check=False).returncode == 0


@pytest.fixture
def bind():
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a folder needs rights that this process has not")
    places = []

    def bind(here, there):
        if not bound(here, there):
            pytest.skip("mounting a folder needs rights that this process has not")
        places.append(there)
        return there

    yield bind
    for place in reversed(places):
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize(
    "case",
    ["the same", "inside", "deep inside", "around", "hidden inside", "in a folder of the target"],
)
def test_trees_that_a_mount_shows_twice_are_refused(tmp_path, trees, victim, bind, case):
    source, target, before = *trees, facts(victim)
    if case == "the same":
        bind(source, target)
    elif case == "inside":
        bind(source / "a", target)
    elif case == "deep inside":
        write_slide(source / "a/b/c/slide.svs")
        bind(source / "a/b/c", target)
    elif case == "around":
        target = tmp_path
        source = bind(source, tmp_path.parent / f"{tmp_path.name} elsewhere")
    elif case == "hidden inside":
        (source / ".wsicomp-quarantine/a").mkdir(parents=True)
        bind(source / ".wsicomp-quarantine/a", target)
    else:
        bind(source / "a", target / "x/y")
    with pytest.raises(ConfigError, match=r"overlap, for .* is the same folder as"):
        run(source, target, CONFIG.changed(overwrite=True))
    assert facts(victim) == before
    assert not (trees[0] / FOLDER).exists()


def test_folders_are_told_by_device_and_inode_alone(tmp_path, trees, monkeypatch):
    """As a mount would, where a test may mount nothing."""
    source, target = trees
    (target / "x").mkdir(parents=True)
    same, lstat = (source / "a").lstat(), os.lstat

    def shown(path, **options):
        return same if os.fspath(path) == os.fspath(target / "x") else lstat(path, **options)

    check_apart(source, target)
    monkeypatch.setattr(os, "lstat", shown)
    with pytest.raises(ConfigError, match=r"target/x is the same folder as .*source/a"):
        check_apart(source, target)


def test_a_clean_run_beside_all_this_is_good(trees):
    """What is refused above is not what a batch leaves itself."""
    for _ in range(2):
        assert run(*trees, jobs=1).is_good
    assert entries(trees[1])["a/slide.svs"].is_converted
