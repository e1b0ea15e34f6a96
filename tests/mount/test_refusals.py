"""What is said where nothing can be mounted: one line each, on every system."""

import sys
from pathlib import Path

import pytest

from tests.command_line import run_command
from wsicomp.mount import mounting
from wsicomp.mount.refusals import plain_refusal


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
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"{tmp_path / 'fuse'} cannot be opened: this system has no FUSE, or does not allow it" in err


def test_another_system_than_linux_is_told_in_a_line(places, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    for command in (("mount", *places), ("unmount", places[1])):
        code, out, err = run_command(*command)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "on Linux" in err


def test_a_missing_library_is_told_with_the_command_that_brings_it(places, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("wsicomp.extras.find_spec", lambda _: None)
    code, _, err = run_command("mount", *places)
    assert code == 1
    assert "pip install 'wsicomp[mount]'" in err


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "it does not say why"),
        ("/usr/bin/fusermount3: something new\n\n", "something new"),
        (
            "fusermount3: option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf\n",
            "`allow_other` needs root",
        ),
        ("fuse: mount failed: Operation not permitted\n", "a container needs /dev/fuse"),
        ("/bin/fusermount3: failed to open /dev/fuse: Permission denied\n", "has no FUSE"),
        (
            "fuse: failed to exec fusermount3: No such file or directory\n",
            "install the system's package fuse3",
        ),
        ("fusermount3: user has no write access to mountpoint /m\n", "you may not write into this folder"),
        ("fusermount3: entry for /m not found in /etc/mtab\n", "the mount of another account"),
    ],
)
def test_what_fuse_says_is_told_in_our_words(said, told):
    assert told in plain_refusal(said, Path("/m"))


@pytest.mark.parametrize(
    "said",
    [
        "fusermount3: entry for {} not found in /etc/mtab\n",
        "fusermount3: failed to unmount {}: Operation not permitted\n",
        "umount: {}: must be superuser to unmount.\n",
    ],
)
@pytest.mark.parametrize("name", ["mountpoint", "too many FUSE", "dev/fuse", "my mount point"])
def test_the_words_of_a_path_are_no_reason(said, name, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for folder in ("real", "link"):
        told = plain_refusal(said.format(tmp_path / "real" / name), tmp_path / folder / name)
        assert "the mount of another account" in told
