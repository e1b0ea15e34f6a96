"""Slides that are no pair are told apart, on the page and by the command."""

import re
import socket
import webbrowser
from contextlib import closing

import pytest

from tests.command_line import run_command
from tests.viewer.browser import until
from tests.viewer.page import Page
from tests.viewer.served import serving
from wsicomp.cli import view as view_command
from wsicomp.errors import ConfigError
from wsicomp.formats.opening import open_reader
from wsicomp.viewer.notebook import view
from wsicomp.viewer.pairing import ANOTHER_SHAPE, ANOTHER_SOURCE, doubt_of
from wsicomp.viewer.server import ViewerServer
from wsicomp.viewer.session import Session


@pytest.fixture(scope="module")
def another(pair, tmp_path_factory):
    """The same slide with some bytes more, as another scan of the same size would be."""
    path = tmp_path_factory.mktemp("another") / "another.svs"
    path.write_bytes(pair.source.read_bytes() + b"more")
    return path


def doubt(first, second):
    with closing(open_reader(first)) as one, closing(open_reader(second)) as other:
        return doubt_of(one, other)


def test_a_conversion_is_that_of_its_source_alone(pair, another):
    assert doubt(pair.source, pair.converted) == ""
    assert doubt(pair.converted, pair.source) == ""
    assert doubt(pair.converted, pair.converted) == ""
    assert doubt(another, pair.converted) == ANOTHER_SOURCE


def test_conversions_of_two_slides_are_told_apart(pair, another, tmp_path):
    made, again = tmp_path / "made.svs", tmp_path / "again.svs"
    assert run_command("convert", another, made, "--glass", "keep", "--quiet")[0] == 0
    assert doubt(pair.converted, made) == ANOTHER_SOURCE
    assert run_command("convert", pair.converted, again, "--glass", "keep", "--quiet")[0] == 0
    assert doubt(pair.source, again) == ""


def test_a_slide_of_other_proportions_is_told(pair, slide_of_other_shape):
    assert doubt(pair.source, slide_of_other_shape) == ANOTHER_SHAPE
    assert doubt(slide_of_other_shape, pair.converted) == ANOTHER_SHAPE


@pytest.fixture(scope="module")
def slide_of_other_shape(tmp_path_factory):
    folder = tmp_path_factory.mktemp("square")
    assert run_command("dataset", "draw", folder, "--count", 1, "--size", 512, "--quiet")[0] == 0
    return next(folder.rglob("*.svs"))


def test_the_title_tells_it_and_says_nothing_of_bytes_saved(browser, pair, another):
    with serving(another, pair.converted) as server:
        page = Page(browser, server)
        until(
            lambda: re.search("SSIM [01]", page.find(".pane-title .doubt ~ .likeness").text), "the likeness"
        )
        assert page.find(".fact.doubt").text == ANOTHER_SOURCE
        assert not page.driver.find_elements("css selector", ".fact.saved, .fact.larger")


def test_the_command_notes_it_on_stderr(pair, another, monkeypatch):
    monkeypatch.setattr(ViewerServer, "serve_forever", stopped)
    code, said, noted = run_command("view", another, pair.converted, "--no-browser")
    assert (code, noted) == (0, f"note: {pair.converted.name}: {ANOTHER_SOURCE}\n")
    assert said.startswith("http://127.0.0.1:")


def stopped(*_):
    raise KeyboardInterrupt


def test_a_mask_or_outlines_that_are_not_there_are_refused_at_once(pair, tmp_path):
    for name in ("--mask", "--annotations"):
        code, _, said = run_command("view", pair.source, name, tmp_path / "absent.geojson", "--no-browser")
        assert (code, "absent.geojson: no such file" in said) == (2, True)
    with pytest.raises(ConfigError, match="no such file"):
        view(pair.source, mask=tmp_path / "absent.png")


def test_a_server_of_all_addresses_prints_this_machines_name():
    with closing(Session()) as session, ViewerServer(session, "0.0.0.0") as server:
        assert server.address.startswith(f"http://{socket.gethostname()}:")


@pytest.mark.parametrize("screen", ["", ":0"])
def test_where_no_browser_opens_it_is_said(screen, monkeypatch, capsys):
    monkeypatch.setattr(view_command.sys, "platform", "linux")
    for name in view_command._SCREENS:
        monkeypatch.delenv(name, raising=False)
    if screen:
        monkeypatch.setenv("DISPLAY", screen)
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    view_command._open_browser("http://127.0.0.1/")
    assert len(opened) == bool(screen)
    assert "no browser was found here" in capsys.readouterr().err
