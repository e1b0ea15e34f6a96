"""What a ledger or a heartbeat says leads nowhere but where a run's own would, and never to a traceback."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.batch.trees import RESTORABLE, entries, files, run
from tests.conftest import trial_size
from tests.drawn import ledgers
from tests.drawn.nights import draw_tissue
from wsicomp.batch import Ledger, read_report
from wsicomp.batch.monitoring import lock_tree, read_heartbeat
from wsicomp.cli import main
from wsicomp.errors import LedgerError, WsicompError
from wsicomp.files import atomic
from wsicomp.text.paths import as_text

pytestmark = pytest.mark.gate

CONVERT = (
    "--codec",
    "jpegxl",
    "--lossless",
    "--glass",
    "keep",
    "--restorable",
    "--jobs",
    "1",
    "--min-free",
    "0",
)
DELETE = ("--delete-source-after-verify", "--quarantine-days", "0")


@pytest.fixture(scope="module")
def first_night(tmp_path_factory):
    """Three slides and their conversions; nothing of it is changed."""
    folder = tmp_path_factory.mktemp("night")
    for number, name in enumerate(ledgers.SLIDES):
        draw_tissue(folder / "source" / name, number)
    assert run(folder / "source", folder / "target", RESTORABLE).converted == 3
    return folder


@pytest.fixture
def trees(first_night, tmp_path):
    """A copy of them, with its own times, and the ledger in one file."""
    shutil.copytree(first_night, tmp_path / "night")
    source, target = tmp_path / "night/source", tmp_path / "night/target"
    ledgers.edit(target, ("UPDATE facts SET value = ?", (as_text(source),)))
    return source, target


def told(capsys, *arguments):
    """The exit code of a command and what it says; a traceback would end the test."""
    code = main(["batch", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def readers(target, folder):
    """Every command that only reads a ledger."""
    yield "status", target
    yield "status", target, "--json"
    yield "report", target
    yield "report", target, "--json", "-"
    yield "report", target, "--html", folder / "r.html", "--overwrite"
    yield "report", target, "--csv", folder / "r.csv", "--overwrite"
    yield "accept", target
    yield "accept", target, ledgers.SLIDES[0]
    yield target.parent / "source", target, *CONVERT, *DELETE, "--dry-run"


def outside(target):
    """Every file that is not below the target tree."""
    folder = target.parent
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(target))
    return {str(path): path.read_bytes() for path in found}


@pytest.mark.gate
@pytest.mark.parametrize(
    "kind", ["PATHS_OUT", "WRONG_VALUES", "WRONG_SHAPES"], ids=["paths", "values", "shapes"]
)
def test_every_command_refuses_a_forged_ledger_in_a_line_that_says_how_to_rebuild_it(
    kind, trees, tmp_path, capsys
):
    source, target = trees
    good, before, targets = ledgers.ledger_of(target).read_bytes(), outside(target), files(target)
    for number, (name, edit) in enumerate(getattr(ledgers, kind).items()):
        ledgers.overwrite(target, good)
        edit(target)
        step = 3 if kind == "WRONG_VALUES" else trial_size(3, 1)
        commands = list(readers(target, tmp_path))[number % step :: step]
        for arguments in [*commands, (source, target, *CONVERT, *DELETE)]:
            if arguments == ("accept", target) and ("source tree" in name or "UTF-8" in name):
                continue  # which reads neither the path of that tree nor any slide but those to be looked at
            code, out, err = told(capsys, *arguments)
            assert (code, out, err.count("\n")) == (1, "", 1), (name, arguments, err)
            assert "wsicomp batch rebuild" in err, (name, arguments, err)
        assert (outside(target), files(target)) == (before, targets), name


@pytest.mark.gate
def test_a_flipped_bit_anywhere_ends_no_command_in_a_traceback(trees, tmp_path, capsys):
    _, target = trees
    good, before = ledgers.ledger_of(target).read_bytes(), outside(target)
    for seed in range(trial_size(15, 60)):
        ledgers.overwrite(target, good)
        ledgers.flip(target, seed, count=1 + seed % 3 * 8)
        try:
            with Ledger(target, read_only=True) as ledger:
                list(ledger.entries())
            read_report(target)
        except LedgerError as exc:
            assert "batch rebuild" in str(exc), seed  # noqa: PT017 - that it is one at all is the point
        code, _, err = told(capsys, target.parent / "source", target, *CONVERT, *DELETE, "--dry-run")
        said = (
            "other options than in" if code == 0 else "wsicomp: "
        )  # of days that the tree does not remember
        assert (code in (0, 1, 2), err.startswith(said), err.count("\n")) == (True, True, 1), (seed, err)
    assert outside(target) == before


def test_a_link_of_the_target_tree_leads_no_deletion_out_of_it(trees):
    source, target = trees
    ledgers.link_out(target)
    before = ledgers.sources(target)
    run(source, target, RESTORABLE)
    assert ledgers.sources(target) == before
    assert entries(target)[ledgers.SLIDES[0]].state == "done"


def test_a_stale_target_by_another_spelling_is_not_the_target_of_another_slide(trees):
    source, target = trees
    before = files(target)
    ledgers.alias(target)
    assert run(source, target, RESTORABLE).is_good
    assert files(target) == before


def test_a_stale_target_that_was_made_from_another_slide_stays(trees):
    source, target = trees
    (target / f"{ledgers.VICTIM}.tiff").rename(target / "only copy.tiff")
    status = (target / "only copy.tiff").stat()
    line = f"{status.st_size} {status.st_mtime_ns} only copy.tiff"
    ledgers.edit(
        target, ("UPDATE slides SET stale_target = ?, settings = '' WHERE source LIKE 'a/%'", (line,))
    )
    run(source, target, RESTORABLE)
    assert (target / "only copy.tiff").exists()
    assert "only copy.tiff stays" in entries(target)[ledgers.SLIDES[0]].notes


@pytest.mark.parametrize("name", ledgers.REPORTS)
def test_a_ledger_of_version_1_with_reports_of_another_shape_is_read_without_them(name, trees):
    _, target = trees
    ledgers.REPORTS[name](target)
    assert {entry.state for entry in entries(target).values()} <= {"done", "look"}
    with Ledger(target) as ledger:
        assert len(list(ledger.entries())) == 3
        if not name.startswith(("that are no numbers", "of huge", "without")):
            with pytest.raises(LedgerError, match=r"a report is not (a )?JSON"):
                ledger.report(ledgers.SLIDES[0])


def test_a_heartbeat_of_another_shape_is_told_and_not_shown(trees, capsys):
    _, target = trees
    for name, text in ledgers.HEARTBEATS.items():
        with lock_tree(target):
            ledgers.beat(target, text)
            code, out, err = told(capsys, "status", target)
            assert (code, err) == (0, ""), name
            assert "at work" in out, name
            assert "\x1b" not in out, name
            code, out, _ = told(capsys, "status", target, "--json")
            json.loads(out)
        assert code == 0, name
    ledgers.heartbeat_of(target).unlink()
    os.mkfifo(ledgers.heartbeat_of(target))
    assert read_heartbeat(target) is None


def test_a_ledger_is_rebuilt_from_the_targets_and_the_next_run_proves_each_anew(trees, capsys):
    source, target = trees
    before, targets, known = outside(target), files(target), entries(target)
    ledgers.cut(target, 0.5)
    damaged = ledgers.ledger_of(target).read_bytes()
    code, out, err = told(capsys, "rebuild", target)
    assert (code, err) == (0, "")
    assert "the ledger has 3 conversions" in out
    assert (outside(target), files(target)) == (before, targets)
    assert (target / ".wsicomp/ledger.sqlite.old-1").read_bytes() == damaged
    found = entries(target)
    for name, entry in known.items():
        for field in (
            "target",
            "source_sha256",
            "target_sha256",
            "target_bytes",
            "digest",
            "restorable",
            "tiles",
        ):
            assert getattr(found[name], field) == getattr(entry, field), field
        assert not found[name].verified
    result = run(source, target, RESTORABLE, delete_source=True)
    assert (result.converted, result.adopted, result.quarantined, result.is_good) == (0, 3, 3, True)
    assert files(target) == targets


def test_a_rebuilt_ledger_does_not_believe_a_damaged_target(trees, capsys):
    source, target = trees
    path = target / f"{ledgers.VICTIM}.tiff"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (target / "c/slide 2.svs.tiff").write_bytes(b"II*\0" + bytes(2000))
    (target / "notes.txt").write_text("of a person")
    ledgers.ledger_of(target).unlink()
    code, out, err = told(capsys, "rebuild", target)
    assert (code, err) == (1, "")
    assert out.startswith("c/slide 2.svs.tiff: ")
    assert "the ledger has 2 conversions, 1 that cannot be read" in out
    result = run(source, target, RESTORABLE, delete_source=True)
    assert (result.converted, result.adopted, result.quarantined, result.failed) == (2, 1, 3, 1)
    assert entries(target)["c/slide 2.svs.tiff"].cause == "target damaged"
    assert (target / "c/slide 2.svs.tiff").read_bytes() == b"II*\0" + bytes(2000), "it stays for who knows it"


def test_a_ledger_that_cannot_be_written_leaves_the_old_one_where_it_is(trees, capsys, monkeypatch):
    _, target = trees
    folder = target / ".wsicomp"
    with Ledger(target) as ledger:
        ledger.note("a", "b")
        wal = (folder / "ledger.sqlite-wal").read_bytes()
    (folder / "ledger.sqlite-wal").write_bytes(wal)
    ledgers.cut(target, 0.5)
    partial = folder / ".ledger.sqlite.wsicomp.partial"
    partial.mkdir()
    before = {path.name: path.read_bytes() for path in folder.glob("ledger.sqlite*")}
    assert sorted(before) == ["ledger.sqlite", "ledger.sqlite-wal"]

    def is_as_before():
        found = {path.name: path.read_bytes() for path in folder.glob("ledger.sqlite*")}
        found.pop("ledger.sqlite-shm", None)
        return found == before

    assert "no ledger can be written there" in told(capsys, "rebuild", target)[2]
    assert is_as_before()
    partial.rmdir()

    def full(*_):
        raise OSError(28, "No space left on device")

    for module, name in ((os, "fsync"), (atomic, "give_name")):
        with monkeypatch.context() as broken:
            broken.setattr(module, name, full)
            code, _, err = told(capsys, "rebuild", target)
        assert (code, err.count("\n")) == (1, 1), name
        assert "No space left" in err, name
        assert is_as_before(), name
    assert told(capsys, "rebuild", target)[0] == 0
    assert (folder / "ledger.sqlite.old-1").read_bytes() == before["ledger.sqlite"]
    assert (folder / "ledger.sqlite.old-1-wal").read_bytes() == wal
    assert len(entries(target)) == 3
    assert (folder / "ledger.sqlite").stat().st_nlink == 1


def test_a_rebuild_that_is_killed_leaves_one_ledger_at_least(trees):
    _, target = trees
    ledgers.cut(target, 0.5)
    damaged = ledgers.ledger_of(target).read_bytes()
    code = f"""if 1:
        import os
        from pathlib import Path
        from wsicomp.files import atomic
        from wsicomp.batch import rebuild_ledger
        atomic.give_name = lambda *_: os._exit(9)
        rebuild_ledger(Path({str(target)!r}))"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert ledgers.ledger_of(target).read_bytes() == damaged
    assert main(["batch", "rebuild", str(target)]) == 0
    assert len(entries(target)) == 3


def test_a_sound_ledger_is_not_rebuilt_unless_told(trees, capsys, tmp_path):
    _, target = trees
    before = entries(target)
    code, _, err = told(capsys, "rebuild", target)
    assert (code, err.count("\n")) == (1, 1)
    assert "rebuilds it all the same" in err
    assert entries(target) == before
    assert told(capsys, "rebuild", target, "--even-if-sound", "--json")[0] == 0
    with lock_tree(target):
        assert "another batch is at work" in told(capsys, "rebuild", target, "--even-if-sound")[2]
    assert "is no folder" in told(capsys, "rebuild", tmp_path / "nothing")[2]


def test_no_ledger_is_made_where_no_batch_has_been(trees, capsys, tmp_path):
    source, target = trees
    (tmp_path / "empty").mkdir()
    for folder in (source, tmp_path / "empty"):
        code, out, err = told(capsys, "rebuild", folder)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "holds no .wsicomp and no conversion; name the tree that a batch writes" in err
        assert not (folder / ".wsicomp").exists()
    (target / ".wsicomp/ledger.sqlite").unlink()
    assert (target / ".wsicomp/batch.log").exists()
    code, _, err = told(capsys, "status", target)
    assert (code, f"but a batch has written here; `wsicomp batch rebuild {target}` makes it anew" in err) == (
        1,
        True,
    )
    shutil.rmtree(target / ".wsicomp")
    assert "no batch has written here" in told(capsys, "status", target)[2]
    assert told(capsys, "rebuild", target)[0] == 0
    assert len(entries(target)) == 3


def test_targets_without_a_ledger_keep_their_own_names_where_two_could_be_of_one_slide(trees):
    _, target = trees
    ledgers.ledger_of(target).unlink()
    shutil.copy2(target / "a/slide 0.svs.tiff", target / "a/slide 0.svs")
    shutil.copy2(target / "a/slide 0.svs.tiff", target / "a/renamed.tiff")
    assert main(["batch", "rebuild", str(target)]) == 0
    found = entries(target)
    assert len(found) == 5
    assert {entry.target for entry in found.values()} == set(files(target))
    assert "a/renamed.tiff" in found


def test_a_ledger_that_was_begun_and_killed_is_none(trees):
    source, target = trees
    ledger = ledgers.ledger_of(target)
    ledger.rename(ledger.with_name(".ledger.sqlite.wsicomp.partial"))
    ledger.with_name("ledger.sqlite-wal").write_bytes(b"of another ledger" * 1000)
    assert run(source, target, RESTORABLE).adopted == 3
    assert not ledger.with_name(".ledger.sqlite.wsicomp.partial").exists()


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_what_lies_beside_a_ledger_ends_no_command_in_a_traceback(trees, tmp_path, capsys, end):
    _, target = trees
    beside = ledgers.ledger_of(target).with_name(f"ledger.sqlite{end}")
    for data in (b"", b"of nobody" * 5000):
        beside.write_bytes(data)
        for arguments in list(readers(target, tmp_path))[::4]:
            code, _, err = told(capsys, *arguments)
            assert (code, err.count("wsicomp: ")) in ((0, 0), (1, 1)), (arguments, err)
    assert len(entries(target)) == 3


@pytest.mark.gate
def test_what_is_written_into_a_ledger_while_it_is_open_is_told_as_well(trees):
    _, target = trees
    good = ledgers.ledger_of(target).read_bytes()
    for name, edit in {**ledgers.WRONG_VALUES, **ledgers.PATHS_OUT}.items():
        ledgers.overwrite(target, good)
        with Ledger(target) as ledger:
            assert len(list(ledger.entries())) == 3, name
            edit(target)
            try:
                list(ledger.entries())
                ledger.fact("source")
            except LedgerError as exc:
                assert "batch rebuild" in str(exc), name  # noqa: PT017 - any other error would end the test


def test_a_trigger_that_comes_while_the_ledger_is_open_changes_no_row(trees):
    _, target = trees
    with Ledger(target) as ledger:
        before = list(ledger.entries())
        ledgers.WRONG_SHAPES["a trigger"](target)
        with pytest.raises(LedgerError, match=r"its tables were changed while it was open.*batch rebuild"):
            ledger.put(before[:1])
        assert list(ledger.entries()) == before


def test_a_ledger_of_each_version_is_known_to_the_letter_also_when_it_was_upgraded(trees):
    _, target = trees
    good = ledgers.ledger_of(target).read_bytes()
    for version in (1, 2, 3, 4, 5):
        ledgers.overwrite(target, good)
        ledgers.as_version(target, version)
        assert len(entries(target)) == 3
        for _ in range(2):
            with Ledger(target) as ledger:
                assert len(list(ledger.entries())) == 3


def test_a_full_disk_is_no_reason_to_rebuild(trees):
    _, target = trees
    with Ledger(target, read_only=True) as ledger, pytest.raises(WsicompError) as refused:
        ledger.note("source", "/x")
    assert "rebuild" not in str(refused.value)
