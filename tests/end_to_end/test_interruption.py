"""Killed at any moment, a run leaves no target that fails its check, and the next one succeeds."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import trial_size
from wsicomp.files.atomic import partial_path
from wsicomp.formats.identity import file_sha256
from wsicomp.geometry import Size
from wsicomp.progress import Stages
from wsicomp.synthetic import SyntheticSlide, write_slide
from wsicomp.verification.verify import verify_slide

pytestmark = pytest.mark.gate

KILLS = trial_size(3, 20)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("kill") / "source.svs"
    write_slide(path, SyntheticSlide(Size(*trial_size((1200, 1200), (4096, 4096))), seed=1))
    return path


def start(source, target):
    command = [sys.executable, "-m", "wsicomp", "convert", str(source), str(target), "--codec", "jpeg"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def is_good(path):
    with Stages().stage("verify") as progress:
        return verify_slide(path, None, None, 2, progress).problems == ()


def test_kills_at_random_moments_leave_no_bad_target(source, tmp_path):
    begin = time.monotonic()
    whole = start(source, tmp_path / "undisturbed.svs")
    assert whole.wait() == 0
    whole.stderr.close()
    length = time.monotonic() - begin
    expected = file_sha256(tmp_path / "undisturbed.svs")
    moments = random.Random(20)
    killed = 0
    for number in range(KILLS):
        target = tmp_path / f"{number}.svs"
        process = start(source, target)
        time.sleep(length * moments.uniform(0.1, 0.8))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        process.stderr.close()
        assert not target.exists() or is_good(target)
        if not target.exists():
            again = start(source, target)
            assert again.wait() == 0, again.stderr.read()
            again.stderr.close()
        assert file_sha256(target) == expected
    assert killed >= KILLS // 2
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_stop_leaves_nothing(source, tmp_path, number):
    target = tmp_path / "target.svs"
    process = start(source, target)
    while process.poll() is None and not partial_path(target).exists():
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, message = process.communicate()
    assert process.returncode == 130, message
    assert message == "wsicomp: interrupted; nothing half-written is left\n"
    assert list(tmp_path.iterdir()) == []
