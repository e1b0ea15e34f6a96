"""Sources of several files are taken away whole or not at all, whatever changes or dies meanwhile."""

import os
import random
import shutil
import signal
import subprocess
from contextlib import suppress

import openslide
import pytest

from tests.batch.test_kills import OPTIONS, start
from tests.batch.test_packed import SOLE, restore, state_of
from tests.batch.trees import RESTORABLE, entries, run, sha256
from tests.conftest import trial_size
from tests.drawn import scanner_slides, vendor_tiffs
from tests.drawn.dicom_slide import Form, dicom_of
from tests.tiffs import write_tiff
from wsicomp.batch import verify_files
from wsicomp.batch.companions import finish_steps, unfinished_files
from wsicomp.batch.ledger import Ledger
from wsicomp.batch.outcomes import Companions
from wsicomp.batch.proof import ProofJob
from wsicomp.batch.quarantine import delete_from_quarantine, move_to_quarantine
from wsicomp.batch.source_records import read_steps
from wsicomp.batch.worklist import Trees
from wsicomp.errors import KeptError
from wsicomp.files.folders import Folder

pytestmark = pytest.mark.gate

QUARANTINE = ".wsicomp-quarantine"
DELETE = {"delete_source": True, "min_saving": 0}
MANY = ("deep/m.mrxs", "series/level-0-0.dcm", "v.vms")


@pytest.fixture(scope="module")
def drawn(kept_tree, tmp_path_factory):
    """The tree without its SVS, which gains nothing and stays."""
    folder = tmp_path_factory.mktemp("packed")
    fresh(kept_tree, folder)
    (folder / "source/plain.svs").unlink()
    (folder / "archive/plain.svs.tiff").unlink()
    with Ledger(folder / "archive") as ledger:
        ledger.drop(["plain.svs"])
    return folder


@pytest.fixture
def trees(drawn, tmp_path):
    return fresh(drawn, tmp_path)


def fresh(drawn, folder):
    """Copies of a source tree and its archive."""
    for name in ("source", "archive"):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(drawn / name, folder / name)
    with Ledger(folder / "archive") as ledger:
        ledger.note("source", str(folder / "source"))
    return folder / "source", folder / "archive"


def files(folder):
    """SHA-256 of all files of a tree by their paths, records in quarantine left out."""
    return {
        str(path.relative_to(folder)): sha256(path)
        for path in folder.rglob("*")
        if path.is_file() and not str(path.relative_to(folder)).startswith((f"{QUARANTINE}/.", "."))
    }


def held(source):
    return files(source / QUARANTINE)


def proof(trees, name, **changes):
    """The outcome of the job that the coordinator gives for a slide."""
    entry, where = entries(trees[1])[name], Trees(*trees)
    digests = entry.source_sha256, entry.target_sha256
    place = where.place_of(entry)
    job = ProofJob(name, place, where.target_of(entry), *digests, False, RESTORABLE, **changes)
    return job.run(lambda *_: None)


def test_all_files_of_each_slide_go_come_back_by_hand_and_go_for_good(trees, tmp_path):
    source, archive = trees
    before, whole = files(source), state_of(source)
    result = run(source, archive, RESTORABLE, **DELETE)
    assert (result.quarantined, result.kept, result.failures) == (5, 0, 0), kept(archive)
    assert (files(source), held(source)) == ({}, before)
    assert {path.name for path in source.iterdir()} == {"a", "deep", "series", QUARANTINE}
    assert not list((source / "deep").iterdir())
    assert (source / QUARANTINE / "deep/m/empty").is_dir()
    again = run(source, archive, RESTORABLE, **DELETE)
    assert (again.converted, again.failures, again.deleted, again.is_good) == (0, 0, 0, True)
    put_back_by_hand(source)
    result = run(source, archive, RESTORABLE)
    assert (result.converted, result.failures) == (0, 0)
    removals = {name: entry.removal for name, entry in entries(archive).items()}
    assert {removals[name] for name in MANY} == {""}
    result = run(source, archive, RESTORABLE, **DELETE, quarantine_days=0)
    assert (result.quarantined, result.deleted) == (5, 5), kept(archive)
    assert files(source) == held(source) == {}
    assert not [path for path in (source / QUARANTINE).rglob("*") if path.is_file()]
    assert not (source / QUARANTINE / "deep/m").exists()
    assert run(source, archive, RESTORABLE, **DELETE).is_good
    assert restore(archive, tmp_path / "again").is_good
    assert files(tmp_path / "again") == before
    there = state_of(tmp_path / "again")
    assert {name: there[name] for name in there if "/" in name or name.startswith("v")} == {
        name: whole[name] for name in whole if "/" in name or name.startswith("v")
    }


def put_back_by_hand(source):
    """Move all that is in quarantine to where it was, as a person does."""
    records = shutil.ignore_patterns(".days", ".steps")
    shutil.copytree(source / QUARANTINE, source, dirs_exist_ok=True, ignore=records)
    shutil.rmtree(source / QUARANTINE)


def kept(archive):
    return {name: entry.kept_because for name, entry in entries(archive).items() if entry.kept_because}


def more(folder):
    (folder / "deep/m/more.dat").write_bytes(b"more")


def less(folder):
    (folder / "deep/m/Data0001.dat").unlink()


def other(folder):
    path = folder / "deep/m/Index.dat"
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(0, status.st_mtime_ns))


def folder_more(folder):
    (folder / "deep/m/new").mkdir()


def folder_less(folder):
    (folder / "deep/m/empty").rmdir()


CHANGES = {
    more: "the slide has m/more.dat, which it has not",
    less: "the slide lacks m/Data0001.dat, which it has",
    other: "the slide's m/Index.dat is another file",
    folder_more: "the slide has m/new/, which it has not",
    folder_less: "the slide lacks m/empty/, which it has",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_slide_that_is_not_all_of_its_pack_and_nothing_else_stays(trees, change):
    source, _ = trees
    change(source)
    outcome = proof(trees, "deep/m.mrxs")
    assert outcome.state == "skipped"
    assert outcome.error == f"its packed slide is not all of it: {CHANGES[change]}"


@pytest.mark.parametrize("change", [other, less])
@pytest.mark.parametrize("step", [move_to_quarantine, delete_from_quarantine])
def test_what_changes_between_proof_and_step_keeps_all_files(trees, step, change):
    source, archive = trees
    if step is delete_from_quarantine:
        run(source, archive, RESTORABLE, **DELETE)
    entry = entries(archive)["deep/m.mrxs"]
    folder = source if step is move_to_quarantine else source / QUARANTINE
    proved = proof(trees, "deep/m.mrxs")
    assert proved.state == "done", proved.error
    change(folder)
    before = files(source), held(source)
    with pytest.raises(KeptError, match=r"m/(Index|Data0001)\.dat changed after|cannot be read"):
        step(entry, Trees(*trees), proved.facts, proved.companions)
    assert (files(source), held(source)) == before


def test_a_damaged_pack_keeps_its_slide(trees):
    source, archive = trees
    target = archive / SOLE["v.vms"]
    data = bytearray(target.read_bytes())
    data[len(data) // 2] ^= 1
    target.write_bytes(data)
    assert proof(trees, "v.vms").error == "the target is not the file that was written"
    entry = entries(archive)["v.vms"]
    job = ProofJob("v.vms", source / "v.vms", target, entry.source_sha256, sha256(target), False, RESTORABLE)
    assert "its packed slide is not all of it" in job.run(lambda *_: None).error


def test_a_file_that_cannot_be_moved_puts_all_back(trees):
    source, archive = trees
    before = files(source)
    in_the_way = source / QUARANTINE / "v_map2.jpg"
    in_the_way.parent.mkdir()
    in_the_way.write_bytes(b"of an earlier night")
    result = run(source, archive, RESTORABLE, **DELETE)
    assert (result.quarantined, result.kept) == (4, 1)
    there = files(source)
    assert {name: there[name] for name in there} == {
        name: before[name] for name in before if name.startswith("v")
    }
    assert in_the_way.read_bytes() == b"of an earlier night"
    assert "a file of its name is in quarantine already" in kept(archive)["v.vms"]
    assert not read_steps(source)


def test_links_among_or_to_its_files_keep_a_slide(trees, tmp_path):
    source, archive = trees
    (tmp_path / "elsewhere").mkdir()
    shutil.move(source / "v_map2.jpg", tmp_path / "elsewhere")
    (source / "v_map2.jpg").symlink_to(tmp_path / "elsewhere/v_map2.jpg")
    assert "v_map2.jpg: it is a link" in proof(trees, "v.vms").error
    shutil.move(source / "deep/m", tmp_path / "elsewhere/m")
    (source / "deep/m").symlink_to(tmp_path / "elsewhere/m")
    assert "m is a link or no file" in proof(trees, "deep/m.mrxs").error
    (source / "deep/m").unlink()
    shutil.move(tmp_path / "elsewhere/m", source / "deep/m")
    (source / "deep/m/link").symlink_to(tmp_path)
    assert "m/link is a link or no file" in proof(trees, "deep/m.mrxs").error
    (source / "link.dcm").symlink_to(source / "series/level-0-1.dcm")
    run(source, archive, RESTORABLE, **DELETE)
    assert kept(archive)["series/level-0-0.dcm"] == "a link in the tree leads to its file level-0-1.dcm"
    assert (source / "series/level-0-0.dcm").exists()


def test_files_that_two_slides_share_stay_with_both(tmp_path):
    source, archive = tmp_path / "source", tmp_path / "archive"
    source.mkdir()
    scanner_slides.vms(source / "v.vms")
    shutil.copy(source / "v.vms", source / "w.vms")
    before = files(source)
    result = run(source, archive, RESTORABLE, **DELETE)
    assert (result.converted, result.quarantined, result.kept) == (2, 0, 2)
    assert kept(archive) == {
        "v.vms": "it shares files with the slide w.vms",
        "w.vms": "it shares files with the slide v.vms",
    }
    assert files(source) == before


def test_an_scn_goes_for_good_and_comes_back_as_it_was(tmp_path):
    source, archive, opened = tmp_path / "source", tmp_path / "archive", tmp_path / "again/b/s.scn"
    (source / "b").mkdir(parents=True)
    svs = write_tiff(tmp_path / "x.svs", 300, 200, photometric="ycbcr", subsampling=(2, 1))
    vendor_tiffs.leica(source / "b/s.scn", svs, (64, 64))
    before = state_of(source)
    result = run(source, archive, RESTORABLE, **DELETE, quarantine_days=0)
    assert (result.converted, result.deleted, result.failures) == (1, 1, 0), kept(archive)
    assert [path.name for path in archive.rglob("*.scn*") if path.suffix != ".jpg"] == ["s.scn.wsipack"]
    assert files(source) == {}
    assert [one.is_sound for one in verify_files([archive]).files] == [True]
    assert restore(archive, tmp_path / "again").is_good
    assert state_of(tmp_path / "again")["b/s.scn"] == before["b/s.scn"]
    with openslide.OpenSlide(opened) as slide:
        assert slide.properties["openslide.vendor"] == "leica"
        assert slide.read_region((64, 64), 0, (300, 200)).getextrema()[3] == (255, 255)


def test_a_slide_stays_while_a_file_that_it_names_is_missing(tmp_path):
    source, archive = tmp_path / "source", tmp_path / "archive"
    source.mkdir()
    scanner_slides.mrxs(source / "m.mrxs")
    scanner_slides.vms(source / "v.vms")
    for name in ("m/Data0001.dat", "v_map2.jpg"):
        (source / name).rename(tmp_path / name.rpartition("/")[2])
    before = files(source)
    result = run(source, archive, RESTORABLE, **DELETE)
    assert (result.converted, result.quarantined, result.kept) == (2, 0, 2)
    assert kept(archive) == {
        "m.mrxs": "named by the slide and not there: m/Data0001.dat; put it there, and run again",
        "v.vms": "named by the slide and not there: v_map2.jpg; put it there, and run again",
    }
    assert files(source) == before
    (tmp_path / "Data0001.dat").rename(source / "m/Data0001.dat")
    result = run(source, archive, RESTORABLE, **DELETE)
    assert (result.converted, result.quarantined) == (1, 1), kept(archive)
    assert kept(archive).keys() == {"v.vms"}


def test_two_slides_of_olympus_that_share_a_folder_stay_with_it(tmp_path):
    source, archive = tmp_path / "source", tmp_path / "archive"
    (source / "_a_/stack1").mkdir(parents=True)
    (source / "_a_/stack1/frame_t.ets").write_bytes(bytes(9000))
    for name in ("a.vsi", "a.VSI"):
        (source / name).write_bytes(name.encode() * 9)
    before = files(source)
    result = run(source, archive, RESTORABLE, **DELETE, include=("*.vsi", "*.VSI"))
    assert (result.converted, result.quarantined) == (2, 0)
    assert kept(archive) == {
        "a.VSI": "it shares files with the slide a.vsi",
        "a.vsi": "it shares files with the slide a.VSI",
    }
    (source / "a.VSI").unlink()
    assert run(source, archive, RESTORABLE, **DELETE, include=("*.vsi",), retry_failed=True).quarantined == 1
    assert held(source).keys() == before.keys() - {"a.VSI"}
    assert not (source / "_a_").exists()


def test_a_file_that_is_a_slide_of_its_own_stays(tmp_path):
    source, archive = tmp_path / "source", tmp_path / "archive"
    source.mkdir()
    scanner_slides.vms(source / "v.vms")
    svs = write_tiff(tmp_path / "own.svs", 300, 200)
    index = source / "v.vms"
    index.write_text(f"{index.read_text()}Extra=own.svs\r\n")
    shutil.move(svs, source / "own.svs")
    run(source, archive, RESTORABLE, **DELETE, exclude=("own.svs",))
    assert not (source / "own.svs").exists(), "nobody says that it is a slide"
    shutil.rmtree(archive)
    put_back_by_hand(source)
    run(source, archive, RESTORABLE, **DELETE)
    assert kept(archive)["v.vms"] == "its file own.svs is a slide of its own"


def test_of_two_series_in_a_folder_each_goes_by_itself(tmp_path):
    source, archive = tmp_path / "source", tmp_path / "archive"
    source.mkdir()
    svs = write_tiff(tmp_path / "x.svs", 300, 200, photometric="ycbcr", subsampling=(2, 1))
    for name in ("one", "two"):
        dicom_of(svs, tmp_path / name, Form(parts=2))
        for path in (tmp_path / name).iterdir():
            shutil.move(path, source / f"{name} {path.name}")
    before = files(source)
    assert run(source, archive, RESTORABLE).converted == 2
    result = run(source, archive, RESTORABLE, **DELETE)
    assert result.quarantined == 2
    assert held(source) == before
    parts = sorted((source / QUARANTINE).glob("one *"))
    for path in parts:
        shutil.move(path, source / path.name)
    result = run(source, archive, RESTORABLE)
    assert (result.failures, result.converted) == (0, 0)
    removals = {entry.removal for entry in entries(archive).values() if entry.source.startswith("one")}
    assert removals == {""}
    assert run(source, archive, RESTORABLE, **DELETE).quarantined == 1
    assert held(source) == before
    shutil.copy(source / QUARANTINE / parts[-1].name, source / parts[0].name)
    assert run(source, archive, RESTORABLE).failures == 1, "another slide by this name"
    (source / parts[0].name).unlink()
    assert restore(archive, tmp_path / "again").is_good
    assert files(tmp_path / "again") == before


def killed(action, step):
    """Whether a process that does something died by kill -9 before its change number `step` to the disk."""
    process = os.fork()
    if process:
        return os.WIFSIGNALED(os.waitpid(process, 0)[1])
    changes = 0

    def counted(real):
        def change(*arguments, **options):
            nonlocal changes
            if changes == step:
                os.kill(os.getpid(), signal.SIGKILL)
            changes += 1
            return real(*arguments, **options)

        return change

    for name in ("unlink", "rmdir", "mkdir", "rename", "link"):
        setattr(os, name, counted(getattr(os, name)))
    Folder.move = counted(Folder.move)
    try:
        action()
    finally:
        os._exit(0)


def killed_one_by_one(base, folder, name, take):
    """Yield the trees of a slide after `take` was killed at one of its steps, then those after all of it."""
    for step in trial_size(range(0, 60, 6), range(100)):
        trees = fresh(base, folder)
        entry, proved = entries(trees[1])[name], proof(trees, name)
        assert proved.state == "done", proved.error
        is_killed = killed(lambda: take(entry, Trees(*trees), proved.facts, proved.companions), step)  # noqa: B023
        yield trees, is_killed
        if not is_killed:
            return


def own_files(before, name):
    return {one for one in before if one.split("/")[0] == name.split("/")[0]}


@pytest.mark.parametrize("name", [MANY[0], pytest.param(MANY[1], marks=pytest.mark.slow)])
def test_a_move_killed_at_any_step_loses_nothing_and_is_finished_by_the_next_run(drawn, tmp_path, name):
    before, kills = files(drawn / "source"), 0
    own = own_files(before, name)
    for trees, is_killed in killed_one_by_one(drawn, tmp_path, name, move_to_quarantine):
        source, archive = trees
        kills += is_killed
        here, there = files(source), held(source)
        assert here.keys().isdisjoint(there)
        assert here | there == before
        assert name not in here or own <= here.keys(), "half a slide stands in its place"
        assert name in here or own - there.keys() <= unfinished_files(source)
        if trial_size(there.keys() == own - {"deep/m/Slidedat.ini"}, True):
            result = run(source, archive, RESTORABLE, **DELETE, include=(name, "*.dcm"))
            assert (result.converted, result.failures) == (0, 0)
        finish_steps(source, Silent())
        here, there = files(source), held(source)
        assert here | there == before
        assert name in here or own <= there.keys(), "it is all in quarantine"
        assert not read_steps(source)
    assert kills >= 3


class Silent:
    """A log that nobody reads."""

    info = warning = error = print


@pytest.mark.parametrize("name", [MANY[0], pytest.param(MANY[1], marks=pytest.mark.slow)])
def test_a_deletion_killed_at_any_step_is_finished_and_the_pack_still_has_all(drawn, tmp_path, name):
    (tmp_path / "base").mkdir()
    run(*fresh(drawn, tmp_path / "base"), RESTORABLE, **DELETE, include=(name, "*.dcm"))
    before, kills, finished = files(drawn / "source"), 0, 0
    own = own_files(before, name)
    for trees, is_killed in killed_one_by_one(tmp_path / "base", tmp_path, name, delete_from_quarantine):
        source, archive = trees
        kills += is_killed
        left = own & held(source).keys()
        assert name in left or not left
        if trial_size(not finished and len(left) in (1, 2), True):
            run(source, archive, RESTORABLE, **DELETE, include=(name, "*.dcm"), quarantine_days=0)
            assert not own & held(source).keys()
            assert entries(archive)[name].removal == "deleted"
            assert not read_steps(source)
            assert not (source / QUARANTINE / name).with_suffix("").exists()
            finished += 1
    assert kills >= 2
    assert finished
    assert restore(archive, tmp_path / "again").is_good
    assert files(tmp_path / "again") == before


def test_a_slide_without_companions_writes_no_step(trees):
    assert Companions().bytes == 0
    assert proof(trees, "a/b.ndpi").companions == Companions()


def packs(archive):
    return {name: digest for name, digest in files(archive).items() if name.endswith(".wsipack")}


@pytest.mark.slow
def test_runs_killed_at_random_moments_lose_no_file_and_make_no_slide_of_a_rest(drawn, tmp_path):
    source, archive = fresh(drawn, tmp_path)
    before, made = files(source), packs(archive)
    moments, kills = random.Random(27), 0
    for _ in range(trial_size(8, 30)):
        options = ("--preset", "archive-lossless", "--delete-source-after-verify", "--min-saving", "0")
        process = start(source, archive, *options, "--quarantine-days", "0", own=OPTIONS[4:])
        with suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0.5, 6))
        kills += process.poll() is None
        process.kill()
        process.wait()
        here, there = files(source), held(source)
        assert here.keys().isdisjoint(there)
        assert (here | there).items() <= before.items()
        assert packs(archive) == made
        if not here and not there:
            shutil.rmtree(source)
            restore(archive, source)
    assert kills > 3
    result = run(source, archive, RESTORABLE, **DELETE, quarantine_days=0)
    assert (result.failures, result.converted) == (0, 0)
    assert files(source) == held(source) == {}
    assert packs(archive) == made
    assert restore(archive, tmp_path / "again").is_good
    assert files(tmp_path / "again") == before
