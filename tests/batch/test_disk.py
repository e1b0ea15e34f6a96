"""Disks that are full, refuse, or go away: clean failures, taken up again when it is mended."""

import os
import re
import shutil
import subprocess
import threading
import time

import pytest

from tests.batch.trees import HOOKS, assert_agrees, entries, files, run, write_slide, write_tree
from wsicomp.batch.entry import Entry, State
from wsicomp.batch.ledger import Ledger
from wsicomp.cli import main
from wsicomp.errors import LedgerError, WsicompError

pytestmark = pytest.mark.gate


def mount(folder, *options):
    """Whether this machine lets a test mount a small disk."""
    folder.mkdir(exist_ok=True)
    command = ["mount", *options, folder]
    return shutil.which("mount") and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path):
    """A disk of 3 MB."""
    folder = tmp_path / "disk"
    if os.geteuid() != 0 or not mount(folder, "-t", "tmpfs", "-o", "size=3m", "tmpfs"):
        pytest.skip("mounting a small disk needs rights that this process has not")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Six slides; no test changes them."""
    folder = tmp_path_factory.mktemp("drawn")
    write_tree(folder, 6, side=1200)
    return folder


@pytest.fixture
def source(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "source")


@pytest.mark.gate
def test_a_full_disk_fails_cleanly_and_the_rest_follows_when_there_is_room(disk, tmp_path):
    source = tmp_path / "larger"
    write_tree(source, 3, side=1800)
    run(source, tmp_path / "undisturbed")
    target = disk / "target"
    target.mkdir()
    need = sum(path.stat().st_size for path in (tmp_path / "undisturbed").rglob("*.svs"))
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free
    # It fills in the midst of the second slide, which is removed again: the ledger has room to note that.
    ballast.write_bytes(bytes(free - need * 3 // 6 - 330_000))
    result = run_into_full(source, target)
    assert not result.is_good
    assert not list(target.rglob("*.partial"))
    ballast.unlink()
    assert run_into_full(source, target).is_good
    assert files(target) == files(tmp_path / "undisturbed")
    assert_agrees(target)


def run_into_full(source, target):
    """A run that believes that there is room, as when others fill the disk meanwhile."""
    real = shutil.disk_usage
    shutil.disk_usage = lambda path: real(path)._replace(free=10**12)
    try:
        return run(source, target, jobs=1)
    finally:
        shutil.disk_usage = real


def test_the_guard_keeps_back_what_may_not_fit(source, disk):
    target = disk / "target"
    target.mkdir()
    (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 1_500_000))
    result = run(source, target)
    assert result.no_room == 6
    assert not list(target.rglob("*.svs"))


def test_a_run_without_room_says_how_much_is_needed_and_how_much_there_is(source, disk, capsys):
    (disk / "target").mkdir()
    arguments = ["batch", str(source), str(disk / "target"), "--segmenter", "threshold", "--jobs", "1"]
    assert main(arguments) == 1
    said = capsys.readouterr().out
    assert "6 not begun: too little space on the disk" in said
    found = r"needs 2\.\d+ MB; the disk has [23](\.\d+)? MB free, of which --min-free keeps 1 GB\n"
    assert re.search(found, said)
    main([*arguments, "--min-free", "0"])
    assert "converted" in capsys.readouterr().out


def test_a_ledger_on_a_full_disk_says_so(disk):
    (disk / ".wsicomp").mkdir()
    with Ledger(disk) as ledger:
        (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free))
        many = [Entry(f"{number}.svs", f"{number}.svs", error="x" * 1000) for number in range(100)]
        with pytest.raises(LedgerError, match="its disk is full; make room and run again"):
            ledger.put(many)


def test_a_ledger_that_cannot_be_written_ends_the_run_in_one_line(source, disk):
    target = disk / "target"
    target.mkdir()
    (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free))
    with pytest.raises(WsicompError) as told:
        run(source, target)
    assert isinstance(told.value, LedgerError)
    assert "No space left on device" in str(told.value)
    (disk / "ballast").unlink()
    assert run_into_full(source, target).converted > 0


@pytest.mark.gate
def test_a_target_that_turns_read_only_fails_cleanly_and_it_goes_on_later(source, disk):
    subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
    target = disk / "target"
    result = run(source, target, callbacks=Turner(target), jobs=1)
    try:
        assert (result.converted, result.failed) == (2, 4)
        assert {entry.cause for entry in entries(target).values()} == {"", "target not writable"}
        assert not list(target.rglob("*.partial"))
        with pytest.raises(WsicompError, match="Read-only"):
            run(source, target)
    finally:
        subprocess.run(["umount", "-l", target], check=True)
    assert run(source, target).is_good
    assert_agrees(target)


class Turner:
    """Makes a tree read-only after two slides; what is open for writing already stays so."""

    def __init__(self, target):
        self._target, self._left = target, 2

    def on_progress(self, snapshot):
        pass

    def on_slide_done(self, entry):
        self._left -= 1
        if self._left == 0:
            assert mount(self._target, "--bind", self._target)
            assert mount(self._target, "-o", "remount,ro,bind")


@pytest.mark.gate
def test_a_source_that_vanishes_fails_and_is_taken_up_when_it_is_back(source, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HOOKS))
    monkeypatch.setenv("WSICOMP_SLOW_S", "2")
    write_slide(source / "Z/slow.svs")
    target = tmp_path / "target"
    away = tmp_path / "away"
    mover = threading.Thread(target=move_when_begun, args=(source, away, target))
    mover.start()
    result = run(source, target, jobs=1)
    mover.join()
    assert result.failures > 0
    found = entries(target)
    assert {entry.cause for entry in found.values() if entry.state is State.FAILED} == {"source gone"}
    assert not list(target.rglob("*.partial"))
    away.rename(source)
    again = run(source, target)
    assert again.is_good
    assert len(entries(target)) == 7
    assert_agrees(target)


def move_when_begun(source, away, target):
    """Move the tree away while the first slide, which is slow, is at work."""
    while not (target / ".wsicomp/ledger.sqlite").exists():
        time.sleep(0.01)
    time.sleep(1.5)
    source.rename(away)
