"""How a viewer ends: at once, whatever is at work, and with no slide closed that is read."""

import logging
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from tests.viewer.browser import until
from wsicomp.cli import main
from wsicomp.errors import SlideReadError
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide
from wsicomp.viewer.exchange import Request, Response
from wsicomp.viewer.layers.background import BackgroundWork
from wsicomp.viewer.routes import answer
from wsicomp.viewer.server import ViewerServer
from wsicomp.viewer.session import Session

TILE = Request(("tiles", "1", "0", "0", "0"))


@pytest.fixture
def slide(tmp_path):
    path = tmp_path / "Patient Jane.svs"
    write_slide(path, SyntheticSlide(Size(700, 500), seed=3), SyntheticFormat(downsamples=(1,)))
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_though_the_browser_was_started_in_the_foreground(slide, number, tmp_path):
    started = tmp_path / "started"
    code = f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(30)"
    command = [sys.executable, "-m", "wsicomp", "view", slide]
    environment = {**os.environ, "BROWSER": f"{sys.executable} -c {shlex.quote(code)} %s"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        try:
            assert process.stdout.readline().startswith("http://127.0.0.1:")
            until(started.exists, "the browser")
            process.send_signal(number)
            assert process.wait(15) == 0
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        assert process.stderr.read() == ""


def test_a_session_that_is_closed_waits_for_answers_and_gives_no_more(slide):
    session = Session()
    session.open(slide)
    begun, may_end = threading.Event(), threading.Event()
    closed = []

    def read():
        with session.in_use():
            begun.set()
            may_end.wait(30)
            closed.append(is_closed(session))

    reader = threading.Thread(target=read)
    reader.start()
    begun.wait(30)
    closer = threading.Thread(target=session.close)
    closer.start()
    may_end.set()
    reader.join()
    closer.join()
    assert closed == [False]
    assert is_closed(session)
    with pytest.raises(SlideReadError, match="the viewer has ended"), session.in_use():
        pass
    assert answer(session, "GET", TILE).status == 503


def test_a_slide_that_is_read_for_long_stays_open(slide):
    session = Session()
    session.open(slide)
    with ExitStack() as stack:
        stack.enter_context(session.in_use())
        session.close()
        assert not is_closed(session)
    session.close()
    assert is_closed(session)


def test_a_fault_is_logged_without_what_it_names(slide, caplog, capsys):
    def failing(*_):
        raise RuntimeError(slide)

    work = BackgroundWork(failing)
    with caplog.at_level(logging.INFO, "wsicomp.viewer"):
        work.start()
        work.wait()
    assert "RuntimeError" in caplog.text
    assert "Jane" not in caplog.text + capsys.readouterr().err


def test_what_is_asked_of_a_slide_that_was_released_is_not_begun(slide, tmp_path):
    converted = tmp_path / "small.svs"
    assert main(["convert", str(slide), str(converted), "--glass", "keep", "--quiet"]) == 0
    session = Session()
    session.open(slide, [converted])
    viewed = session.slides[2]
    begun = viewed.damage
    begun.start()
    viewed.release()
    assert viewed.damage is not begun
    viewed.damage.start()
    viewed.damage.wait(30)
    assert viewed.damage.to_json()["checked"] == 0
    viewed.worst.start()
    viewed.worst.wait(30)
    assert viewed.worst.to_json()["measured"] == 0
    session.close()


def test_parts_of_a_slide_are_made_once_for_all_threads(slide):
    session = Session()
    session.open(slide)
    viewed = session.slides[1]
    with ThreadPoolExecutor(8) as executor:
        found = list(executor.map(lambda _: viewed.tissue, range(64)))
    assert len(set(map(id, found))) == 1
    session.close()


def test_a_server_ends_though_all_it_answers_takes_long(slide, monkeypatch):
    may_end = threading.Event()

    def waiting(*_):
        may_end.wait(60)
        return Response(b"")

    monkeypatch.setattr("wsicomp.viewer.server.answer", waiting)
    monkeypatch.setattr("wsicomp.viewer.server._MOST_CONNECTIONS", 2)
    session = Session()
    session.open(slide)
    with ViewerServer(session) as server, ExitStack() as stack:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        for _ in range(4):
            address = "127.0.0.1", server.server_port
            connection = stack.enter_context(socket.create_connection(address, timeout=30))
            head = f"GET /{server.token}/ HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n"
            connection.sendall(head.encode())
        until(lambda: len(server._connections._answered) == 2, "two that are answered")
        ender = threading.Thread(target=server.shutdown)
        ender.start()
        ender.join(20)
        ended = not ender.is_alive()
        may_end.set()
        ender.join()
        thread.join()
    session.close()
    assert ended


def is_closed(session):
    """Whether the tiles of the slide of a session can be read no more."""
    shown = session.slides[1].shown
    try:
        shown.read(0, shown.levels[0].grid.region(0, 0))
    except (SlideReadError, ValueError, OSError):
        return True
    return False
