"""Killed at any moment, coordinator or workers or both: after the last rerun nothing shows of it."""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.batch.trees import HOOKS, assert_agrees, entries, files, worker_processes, write_slide, write_tree
from tests.conftest import slow_unless, trial_size
from tests.paths import ROOT
from wsicomp.batch.monitoring import read_heartbeat
from wsicomp.cli import main

pytestmark = pytest.mark.gate

KILLS = trial_size(3, 20)
ONE_SIGNAL_S = 0.6  # signals nearer than half a second are one
OPTIONS = ("--segmenter", "threshold", "--margin-um", "0", "--jobs", "2", "--min-free", "0")


def start(source, target, *options, own=OPTIONS, **settings):
    command = [sys.executable, "-m", "wsicomp", "batch", source, target, *own, *options]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, **(silent | settings))


def wait_until(is_so):
    """Wait for something that another process does; a minute is too long."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill(process, moment, whom):
    """Kill -9 the coordinator, one of its processes or all of them at a moment; how many died of it."""
    time.sleep(moment)
    found = worker_processes(process)
    while whom == "worker" and not found and process.poll() is None:
        time.sleep(0.01)
        found = worker_processes(process)
    victims = found if whom == "all" else found[:1] if whom == "worker" else []
    for victim in victims:
        victim.kill()
    if whom != "worker":
        process.kill()
        process.wait()
        psutil.wait_procs(found, 10)
        assert not [worker for worker in found if worker.is_running()], "a worker ends with its coordinator"
        return 1
    return len(victims)


def test_kills_at_random_moments_change_nothing(tmp_path):
    source, undisturbed, target = tmp_path / "source", tmp_path / "undisturbed", tmp_path / "target"
    write_tree(source, trial_size(8, 24), side=640)
    before = files(source)
    begin = time.monotonic()
    assert start(source, undisturbed).wait() == 0
    length = time.monotonic() - begin
    moments = random.Random(6)
    killed = {"coordinator": 0, "worker": 0, "all": 0}
    process = start(source, target)
    for number in range(KILLS):
        whom = ("coordinator", "worker", "all")[number % 3]
        killed[whom] += kill(process, moments.uniform(0.2, 0.25 * length), whom)
        if process.poll() is not None:
            if process.returncode == 0:
                for path in [path for path in target.rglob("*.svs") if moments.random() < 0.8]:
                    path.unlink()
            process = start(source, target)
    process.wait()
    assert start(source, target, "--retry-failed").wait() == 0
    assert min(killed.values()) >= 1
    assert files(target) == files(undisturbed)
    assert_agrees(target)
    assert files(source) == before
    assert {entry.state for entry in entries(target).values()} == {"done"}


@pytest.mark.slow
def test_no_slide_is_done_twice_without_cause(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    write_tree(source, 30, side=640)
    process = start(source, target)
    while len(list(target.rglob("*.svs"))) < 10:
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in target.rglob("*.svs")}
    assert start(source, target).wait() == 0
    assert {path: path.stat().st_mtime_ns for path in done} == done
    tried = [entry.attempts for entry in entries(target).values()]
    assert sum(tried) <= len(tried) + 2, "only the two at work were begun again"
    assert_agrees(target)


@pytest.mark.parametrize("number", slow_unless(signal.SIGINT.__eq__, [signal.SIGINT, signal.SIGTERM]))
def test_a_signal_finishes_what_is_at_hand_and_a_second_one_drops_it(tmp_path, number):
    source, target = tmp_path / "source", tmp_path / "target"
    write_tree(source, trial_size(14, 30), side=640)
    heeding = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL)}
    for times in (1, 2):
        process = start(source, target, **heeding)
        have = len(list(target.rglob("*.svs")))
        while len(list(target.rglob("*.svs"))) < have + 3:
            time.sleep(0.01)
        for _ in range(times):
            os.kill(process.pid, number)
            time.sleep(ONE_SIGNAL_S)
        ended = (130, -number) if times == 2 else (130,)  # the second may meet an interpreter that ends
        assert process.wait(30) in ended
        assert not list(target.rglob("*.partial"))
        states = [entry.state for entry in entries(target).values()]
        assert "running" not in states
        assert "waiting" in states
    assert start(source, target).wait() == 0
    assert_agrees(target)


def test_a_signal_is_answered_at_once_and_seen_by_status(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HOOKS), str(ROOT)]))
    monkeypatch.setenv("WSICOMP_SLOW_S", "600")
    source, target = tmp_path / "source", tmp_path / "target"
    write_tree(source, 3)
    for name in ("slow 1.svs", "slow 2.svs"):
        write_slide(source / name)
    told = ("--on-finish", 'echo "told: $WSICOMP_STATE $WSICOMP_EXIT_CODE $WSICOMP_WAITING"')
    heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    process = start(source, target, *told, **heeding, stdout=-1, stderr=-1, text=True)
    wait_until(lambda: len((read_heartbeat(target) or {"running": ()})["running"]) == 2)
    wait_until(lambda: len(files(target)) == 3)
    os.kill(process.pid, signal.SIGINT)
    wait_until(lambda: read_heartbeat(target)["state"] == "stopping")
    assert main(["batch", "status", str(target)]) == 0
    assert "stopping: it finishes 2 slides and begins no other" in capsys.readouterr().out
    time.sleep(ONE_SIGNAL_S)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = [line for line in err.splitlines() if not line.startswith(("a/", "b/", "c/"))]
    assert lines == [
        "wsicomp batch: finishing 2 slides; press again to drop them",
        "wsicomp batch: dropping 2 slides",
        "told: stopped 130 2",
    ]
    assert f"kept: every source, as it was, in {source}; 3 whole targets in {target}\n" in out
    assert not list(target.rglob("*.partial"))


@pytest.mark.slow
def test_nohup_means_that_the_run_goes_on_without_its_terminal(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    write_tree(source, 20, side=640)
    deaf = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    process = start(source, target, **deaf)
    while len(list(target.rglob("*.svs"))) < 3:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGHUP)
    assert process.wait() == 0
    assert {entry.state for entry in entries(target).values()} == {"done"}
