"""What is said where nothing can be mounted: one line each, on every system."""

import sys

import pytest

from tests.command_line import run_command
from wsicomp.mount import mounting
from wsicomp.mount.mount_table import NOT_MOUNTED, last_line


@pytest.fixture
def places(tmp_path):
    for name in ("archive", "place"):
        (tmp_path / name).mkdir()
    return tmp_path / "archive", tmp_path / "place"


def test_a_system_without_fuse_is_told_in_a_line(places, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(mounting, "require", lambda *_: None)
    monkeypatch.setattr(mounting, "mounted_at", lambda _: None)
    monkeypatch.setattr(mounting, "_DEVICE", tmp_path / "fuse")
    code, out, err = run_command("mount", *places)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{tmp_path / 'fuse'} cannot be opened: this system has no FUSE, or does not allow it" in err


def test_another_system_than_linux_is_told_in_a_line(places, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    for command in (("mount", *places), ("unmount", places[1])):
        code, out, err = run_command(*command)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "on Linux" in err


def test_a_missing_library_is_told_with_the_command_that_brings_it(places, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("wsicomp.extras.find_spec", lambda _: None)
    code, _, err = run_command("mount", *places)
    assert code == 1
    assert "pip install 'wsicomp[mount]'" in err


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (b"", "it does not say why"),
        (b"/usr/bin/fusermount3: not allowed\n", "not allowed"),
        (
            b"fusermount3: option allow_other is not allowed\n/m: cannot be mounted\n",
            "option allow_other is not allowed",
        ),
        (b"/m: cannot be mounted\n", "/m: cannot be mounted"),
        (b"one\n\n/a: no such folder\n", "/a: no such folder"),
    ],
)
def test_a_server_that_ends_says_why_in_its_last_line(said, line):
    assert last_line(said, without=NOT_MOUNTED) == line
