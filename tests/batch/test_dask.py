"""A Dask cluster does what one machine does, also when a worker dies in the middle of a slide."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from tests.batch.trees import HOOKS, RESTORABLE, assert_agrees, entries, files, run, write_slide, write_tree
from wsicomp.batch import BatchRestoreOptions, BulkOptions, State, Stop, restore_batch, verify_files
from wsicomp.errors import ConfigError

pytestmark = pytest.mark.gate

pytest.importorskip("distributed", reason="the extra distributed is not installed")


@contextmanager
def process(*command, **environment):
    """A Dask process on loopback; with all that it started, it ends with the block."""
    started = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + command[0], *command[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextmanager
def started_scheduler(file):
    """A scheduler, which writes where it is into a file."""
    options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    with process("dask_scheduler", *options) as started:
        while not file.exists():
            time.sleep(0.05)
        yield started


@contextmanager
def started_workers(file):
    """Two workers of one thread each: their scheduler's address, and their processes."""
    options = ("--scheduler-file", str(file))
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                process(
                    "dask_worker",
                    *(
                        "--nthreads",
                        "1",
                        "--no-nanny",
                        "--no-dashboard",
                        "--local-directory",
                        str(file.parent),
                    ),
                    *options,
                    PYTHONPATH=str(HOOKS),
                    WSICOMP_SLOW_S="4",
                )
            )
            for _ in range(2)
        ]
        from distributed import Client

        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        yield address, workers


@pytest.fixture
def scheduler(tmp_path):
    with started_scheduler(tmp_path / "scheduler.json") as started:
        yield started


@pytest.fixture
def cluster(scheduler, tmp_path):
    """A cluster of which a test may kill anything."""
    with started_workers(tmp_path / "scheduler.json") as started:
        yield started


@pytest.fixture(scope="module")
def lasting_cluster(tmp_path_factory):
    """A cluster for all tests that kill nothing of it."""
    file = tmp_path_factory.mktemp("cluster") / "scheduler.json"
    with started_scheduler(file), started_workers(file) as started:
        yield started


def test_a_cluster_restores_and_checks_what_it_converted(lasting_cluster, tmp_path):
    address, _ = lasting_cluster
    source, target, again = (tmp_path / name for name in ("source", "target", "again"))
    write_tree(source, 3)
    assert run(source, target, RESTORABLE, scheduler=address).converted == 3
    assert verify_files([target], source, BulkOptions(scheduler=address)).is_sound
    restored = restore_batch(target, again, BatchRestoreOptions(scheduler=address, min_free=0))
    assert (restored.is_good, restored.restored) == (True, 3)
    assert files(again) == files(source)


def test_a_crash_on_a_worker_costs_the_slide_and_not_the_worker(lasting_cluster, tmp_path):
    address, workers = lasting_cluster
    source, target = tmp_path / "source", tmp_path / "target"
    write_tree(source, 4)
    write_slide(source / "segfault.svs")
    result = run(source, target, scheduler=address)
    assert (result.converted, result.failed) == (4, 1)
    assert entries(target)["segfault.svs"].error.startswith(
        f"its process was killed by signal {signal.SIGSEGV:d}"
    )
    assert [worker.poll() for worker in workers] == [None, None]


def test_a_worker_that_is_killed_in_the_middle_of_a_slide_changes_nothing(cluster, tmp_path):
    address, workers = cluster
    source, target = tmp_path / "source", tmp_path / "target"
    write_tree(source, 6)
    for name in ("slow 1.svs", "slow 2.svs"):
        write_slide(source / name)
    run(source, tmp_path / "here")

    class Killer:
        """Kills the first worker while it has a slide."""

        killed = 0

        def on_progress(self, snapshot):
            if not self.killed and len([name for name in snapshot.running if "slow" in name]) == 2:
                (worker,) = psutil.Process(workers[0].pid).children()
                workers[0].kill()
                psutil.wait_procs([worker], 10)
                assert not worker.is_running(), "a worker process ends with its worker"
                self.killed += 1

        def on_slide_done(self, entry):
            pass

    killer = Killer()
    result = run(source, target, callbacks=killer, scheduler=address, jobs=None)
    assert killer.killed == 1
    assert (result.converted + result.adopted, result.failures) == (8, 0)
    assert files(target) == files(tmp_path / "here")
    assert_agrees(target)

    def told(path):
        return {name: (e.state, e.digest, e.target_sha256) for name, e in entries(path).items()}

    assert told(target) == told(tmp_path / "here")


@pytest.mark.slow
def test_stopped_twice_the_workers_drop_what_they_have(cluster, tmp_path):
    address, _ = cluster
    source, target = tmp_path / "source", tmp_path / "target"
    for number in range(4):
        write_slide(source / f"slow {number}.svs")
    stop = Stop()

    class Impatient:
        def on_progress(self, snapshot):
            if snapshot.running:
                stop.requests = 2

        def on_slide_done(self, entry):
            pass

    assert run(source, target, callbacks=Impatient(), stop=stop, scheduler=address).why == "stopped"
    assert {entry.state for entry in entries(target).values()} == {State.WAITING}
    assert_agrees(target)
    assert run(source, target, scheduler=address).converted == 4


def test_a_scheduler_that_does_not_answer_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("wsicomp.batch.executors._ANSWER_S", 1)
    write_tree(tmp_path / "source", 1)
    with pytest.raises(ConfigError, match="no Dask scheduler answers"):
        run(tmp_path / "source", tmp_path / "target", scheduler="tcp://127.0.0.1:9")


@pytest.mark.parametrize("address", ["", "nowhere", "tcp://a:b:c"])
def test_what_is_no_address_is_told_before_a_client_is_made(address, tmp_path, monkeypatch):
    monkeypatch.setattr("distributed.Client", None)
    write_tree(tmp_path / "source", 1)
    with pytest.raises(ConfigError, match=r"no Dask scheduler answers at .*address"):
        run(tmp_path / "source", tmp_path / "target", scheduler=address)


@pytest.mark.slow
def test_a_cluster_that_is_gone_ends_the_run_and_what_it_had_waits(cluster, tmp_path, scheduler):
    address, workers = cluster
    source, target = tmp_path / "source", tmp_path / "target"
    for number in range(4):
        write_slide(source / f"slow {number}.svs")

    class Killer:
        def on_progress(self, snapshot):
            if snapshot.running and scheduler.poll() is None:
                for process in (scheduler, *workers):
                    process.kill()

        def on_slide_done(self, entry):
            pass

    result = run(source, target, callbacks=Killer(), scheduler=address)
    assert (result.why, result.is_good) == ("the cluster is gone", False)
    assert {entry.state for entry in entries(target).values()} == {State.WAITING}
    assert_agrees(target)
    assert run(source, target).converted == 4
