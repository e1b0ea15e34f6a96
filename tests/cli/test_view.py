"""`wsicomp view` from its start to Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import closing, suppress

import pytest

from tests.command_line import run_command
from tests.drawn import forged
from wsicomp.viewer.server import ViewerServer
from wsicomp.viewer.session import Session

SLOW = (
    "mask/1",
    "tiles/1/0/1/1?form=exact",
    "playground/1?x=0&y=0&width=500&height=500&px=500&codec=jpegxl:1",
)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("view") / "slide.svs"
    forged.draw_tissue(path)
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_with_requests_at_work_and_says_nothing(slide, number):
    command = [sys.executable, "-m", "wsicomp", "view", slide, "--no-browser", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        address = json.loads(process.stdout.readline())["address"]

        def ask(what):
            with suppress(OSError):
                urllib.request.urlopen(address + what, timeout=20).read()

        threads = [threading.Thread(target=ask, args=(what,)) for what in SLOW]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
        for thread in threads:
            thread.join()


def test_what_cannot_be_shown_is_said_in_one_line(slide, tmp_path):
    (tmp_path / "note.txt").write_text("no slide")
    for arguments, code, text in (
        ([tmp_path / "gone.svs"], 1, "gone.svs"),
        ([tmp_path / "note.txt"], 1, "not a whole-slide image"),
        ([slide, slide, slide, slide, slide], 2, "5 slides; expected at most 4 side by side"),
        ([tmp_path, "--mask", slide], 2, "SLIDE is a folder"),
        ([slide, "--host", "nowhere.invalid"], 2, "nowhere.invalid"),
        ([slide, "--port", "70000"], 2, "--port"),
    ):
        found = run_command("view", *map(str, arguments), "--no-browser")
        assert (found[0], found[1]) == (code, ""), arguments
        assert text in found[2], found[2]
        assert found[2].count("\n") == 1


def test_a_port_that_is_in_use_is_said(slide):
    with closing(Session()) as session, ViewerServer(session) as server:
        port = str(server.server_port)
        code, _, error = run_command("view", str(slide), "--no-browser", "--port", port)
        assert code == 2
        assert f"port {port}" in error
