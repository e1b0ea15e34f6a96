"""What is said of files that are not there, of names, of failing disks and of missing locks."""

import errno
import fcntl
import os
import socket
import time
from pathlib import Path

import pytest

from tests import tiffs
from wsicomp import ConversionConfig, SlideReadError, SlideWriteError, convert_slide
from wsicomp.cli import main
from wsicomp.conversion.restore import restore_slide
from wsicomp.errors import TrainingError, WsicompError, printable
from wsicomp.files.atomic import completed_file, completed_files, open_locked, partial_path, sync_directory
from wsicomp.files.folders import Folder
from wsicomp.files.inputs import check_file

KEPT = {"codec": "jpegxl", "lossless": True, "glass": "keep", "restorable": True}


@pytest.fixture
def slide(tmp_path):
    folder = tmp_path / "slides"
    folder.mkdir()
    return tiffs.write_tiff(folder / "good.svs")


def convert(source, target, **choices):
    return convert_slide(source, target, ConversionConfig.of(**({"glass": "keep", "workers": 1} | choices)))


# Files that are not there

COMMANDS = {
    "info": ["info", "BAD"],
    "verify": ["verify", "BAD"],
    "verify against": ["verify", "GOOD", "--against", "BAD"],
    "convert": ["convert", "BAD", "TARGET"],
    "dry run": ["convert", "BAD", "TARGET", "--dry-run"],
    "mask": ["convert", "GOOD", "TARGET", "--mask", "BAD"],
    "weights": ["convert", "GOOD", "TARGET", "--weights", "BAD"],
    "preset": ["convert", "GOOD", "TARGET", "--preset", "BAD"],
    "restore": ["restore", "BAD", "TARGET"],
    "segment": ["segment", "BAD", "TARGET.png"],
    "compare": ["compare", "BAD", "--out", "TARGET"],
    "dataset": ["dataset", "build", "BAD", "TARGET.h5"],
    "evaluate": ["evaluate", "tissue", "BAD", "TARGET"],
}
BADS = {
    "missing": "no such file",
    "below a file": "no such file",
    "dangling link": "no such file",
    "directory": "is a directory, not a file",
    "pipe": "is a pipe, not a file",
    "socket": "is a socket, not a file",
    "device": "is a device, not a file",
    "empty": "is empty, 0 bytes",
    "loop of links": "Too many levels of symbolic links",
    "too long": "File name too long",
}

TAKE_FOLDERS = [("compare", "directory"), ("verify", "directory")]
NAME_A_BATCH = [("convert", "directory"), ("dry run", "directory")]
"""Commands of which the advice names the folder once more, as the source of a batch."""


def bad_path(kind, folder, good, monkeypatch):
    path = folder / "bad.png"
    if kind == "below a file":
        return good / "bad.png"
    if kind == "dangling link":
        path.symlink_to(folder / "nowhere")
    elif kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(folder)  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    elif kind == "device":
        path.symlink_to("/dev/null")
    elif kind == "empty":
        path.touch()
    elif kind == "loop of links":
        path.symlink_to(path)
    elif kind == "too long":
        return folder / f"{'x' * 300}.png"
    return path


def asked():
    """All commands with all kinds; at the gate, each with every third."""
    pairs = [(command, kind) for kind in BADS for command in COMMANDS if (command, kind) not in TAKE_FOLDERS]
    for number, pair in enumerate(pairs):
        is_few = number % 3 == 0 or pair in NAME_A_BATCH
        yield pytest.param(*pair, marks=() if is_few else pytest.mark.slow)


@pytest.mark.parametrize(("command", "kind"), [*asked()])
def test_every_command_says_what_a_file_is_in_the_same_words(
    command, kind, slide, tmp_path, capsys, monkeypatch
):
    bad = bad_path(kind, tmp_path, slide, monkeypatch)
    names = {"BAD": str(bad), "GOOD": str(slide)}
    arguments = [
        names.get(word, word.replace("TARGET", str(tmp_path / "target.svs"))) for word in COMMANDS[command]
    ]
    before = sorted(tmp_path.rglob("*"))
    assert main(arguments) == (2 if command == "preset" else 1)
    captured = capsys.readouterr()
    assert captured.out == ""
    said = captured.err
    assert said.startswith(f"wsicomp: {bad}: {BADS[kind]}")
    is_advised = (command, kind) in NAME_A_BATCH
    assert captured.err.count(str(bad)) == 1 + is_advised
    assert captured.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_training_s_settings_are_told_in_the_same_words(tmp_path):
    from wsicomp.training.settings import load_settings
    from wsicomp.training.tissue.settings import TrainingSettings

    for path, words in ((tmp_path / "no.toml", "no such file"), (tmp_path, "is a directory, not a file")):
        with pytest.raises(TrainingError, match=f"{path}: {words}"):
            load_settings(path, TrainingSettings)


def test_a_batch_of_no_folder_says_that_there_is_none(tmp_path, capsys):
    for name in ("nosuch.svs", "x" * 300):
        assert main(["batch", str(tmp_path / name), str(tmp_path / "out")]) == 1
        assert capsys.readouterr().err.startswith(f"wsicomp: {tmp_path / name}: is no folder (no such file)")
    assert main(["batch", "status", str(tmp_path / ("x" * 300))]) == 1
    assert "has no ledger" in capsys.readouterr().err


def test_a_file_that_is_closed_to_us_is_said_to_be(tmp_path, monkeypatch):

    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refused)
        with pytest.raises(SlideReadError, match="Permission denied"):
            check_file(tmp_path / "closed.svs")


def test_a_name_with_a_nul_is_no_file():
    with pytest.raises(SlideReadError, match="no such file"):
        check_file(Path("a\0b.svs"))


# Names that break lines or terminals

NAMES = {
    "line\nbreak.svs": r"line\nbreak.svs",
    "red\x1b[31m.svs": r"red\x1b[31m.svs",
    "bell\x07 and  spaces.svs": r"bell\x07 and  spaces.svs",
    os.fsdecode(b"\xff\xfe.svs"): r"\xff\xfe.svs",
    "line\u2028separator.svs": r"line\u2028separator.svs",
    "grüße 中.svs": "grüße 中.svs",
}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_no_name_breaks_a_line_or_a_terminal(name, tmp_path, capsys):
    target = (tmp_path / f"t{name}").with_suffix(".tiff")
    assert main(["info", str(tmp_path / name)]) == 1
    assert capsys.readouterr().err == f"wsicomp: {tmp_path}/{NAMES[name]}: no such file\n"
    tiffs.write_tiff(tmp_path / "plain.svs").rename(tmp_path / name)
    for command in (
        ["info", str(tmp_path / name)],
        [
            "convert",
            str(tmp_path / name),
            str(target),
            "--glass",
            "keep",
            *["--codec", "jpegxl", "--lossless", "--restorable"],
        ],
        ["verify", str(target), "--against", str(tmp_path / name)],
        ["restore", str(target), str(tmp_path / f"r{name}")],
    ):
        assert main(command) == 0
        out = capsys.readouterr().out
        assert all(line.isprintable() for line in out.split("\n"))
        assert NAMES[name].removesuffix(".svs") in out.split("\n")[0]


def test_a_message_is_one_line_whatever_it_quotes():
    error = WsicompError("two\nlines \x1b[0m", "a  b\n.svs", "tile\t1")
    assert str(error) == r"a  b\n.svs: tile 1: two lines \x1b[0m"
    assert printable("plain") == "plain"


# After the rename


def failing_fsync(number, of_folders):
    real = os.fsync

    def fsync(file):
        if os.path.isdir(f"/proc/self/fd/{file}") == of_folders:  # noqa: PTH112
            raise OSError(number, os.strerror(number))
        real(file)

    return fsync


@pytest.mark.parametrize(
    "number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EROFS, errno.EACCES, errno.EBADF]
)
def test_a_folder_that_cannot_be_flushed_at_all_is_no_failure(number, slide, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing_fsync(number, of_folders=True))
    convert(slide, tmp_path / "b.tiff", **KEPT)
    restore_slide(tmp_path / "b.tiff", tmp_path / "c.svs", workers=1)
    assert (tmp_path / "c.svs").read_bytes() == slide.read_bytes()


def test_a_folder_that_nobody_may_open_is_no_failure(tmp_path, monkeypatch):
    asked = []

    def refused(path, *_):
        asked.append(path)
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        patch.setattr(os, "fsync", lambda _: pytest.fail("nothing was opened that could be flushed"))
        sync_directory(tmp_path)
    assert asked == [tmp_path]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_after_the_rename_is_told_and_the_target_is_there(
    number, slide, tmp_path, monkeypatch
):
    convert(slide, tmp_path / "b.tiff", **KEPT)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing_fsync(number, of_folders=True))
        with pytest.raises(
            SlideWriteError, match="is there and complete, but may not survive a power cut"
        ) as caught:
            convert(slide, tmp_path / "d.tiff", **KEPT)
        assert "nothing" not in str(caught.value)
        with pytest.raises(SlideWriteError, match="is there and complete"):
            restore_slide(tmp_path / "b.tiff", tmp_path / "c.svs", workers=1)
    assert main(["verify", str(tmp_path / "d.tiff"), "--against", str(slide)]) == 0
    assert (tmp_path / "c.svs").read_bytes() == slide.read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("is_old", [False, True])
def test_a_rename_that_fails_says_what_is_there(is_old, slide, tmp_path, monkeypatch):

    target = tmp_path / "b.svs"
    if is_old:
        target.write_bytes(b"old")

    def refused(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "move", refused)
        words = "what was there before still is" if is_old else "nothing is left of it"
        with pytest.raises(SlideWriteError, match=words):
            convert(slide, target, overwrite=True)
    assert list(tmp_path.glob("*.svs")) == ([target] if is_old else [])
    assert not is_old or target.read_bytes() == b"old"
    assert not list(tmp_path.glob(".*"))


def test_a_disk_that_fails_before_the_rename_leaves_the_target_as_it_was(slide, tmp_path, monkeypatch):
    (tmp_path / "b.svs").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", failing_fsync(errno.EIO, of_folders=False))
    with pytest.raises(SlideWriteError, match="the target is as it was"):
        convert(slide, tmp_path / "b.svs", overwrite=True)
    assert (tmp_path / "b.svs").read_bytes() == b"old"
    assert not list(tmp_path.glob(".*"))


def test_a_target_gets_its_name_once_all_of_it_is_on_the_disk(slide, tmp_path, monkeypatch):
    was_there = []

    def slow(file):
        if not os.path.isdir(f"/proc/self/fd/{file}"):  # noqa: PTH112
            time.sleep(0.5)
            was_there.append((tmp_path / "b.svs").exists())

    monkeypatch.setattr(os, "fsync", slow)
    convert(slide, tmp_path / "b.svs", verify=False)
    assert was_there == [False]
    assert (tmp_path / "b.svs").exists()


def move_into(folder):
    with completed_files(folder) as hidden:
        for name in ("1.csv", "2.csv", "3.csv"):
            (hidden / name).write_text(name)


def test_files_that_moved_before_another_could_not_are_named(tmp_path):
    (tmp_path / "2.csv").mkdir()
    with pytest.raises(
        SlideWriteError, match=r"2\.csv cannot be written \(.*\); of this run 1\.csv are there already"
    ):
        move_into(tmp_path)
    assert (tmp_path / "1.csv").read_text() == "1.csv"


def test_an_audit_picture_is_not_left_of_a_source_that_changed(slide, tmp_path, monkeypatch):
    from wsicomp.conversion import convert as module

    stamps = iter(["before", "after"])
    monkeypatch.setattr(module, "stamp_of", lambda _: next(stamps))
    config = ConversionConfig.of(segmenter="threshold", workers=1)
    with pytest.raises(SlideReadError, match="nothing was written"):
        convert_slide(slide, tmp_path / "b.svs", config, audit=tmp_path / "look.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["slides"]


# File systems without locks


def failing_flock(number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    return flock


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL])
def test_a_file_system_without_locks_gets_a_note(number, slide, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fcntl, "flock", failing_flock(number))
    report = convert(slide, tmp_path / "b.tiff", **KEPT)
    assert any("no locks" in note for note in report.notes)
    assert any(
        "no locks" in note for note in restore_slide(tmp_path / "b.tiff", tmp_path / "c.svs", workers=1).notes
    )
    assert main(["restore", str(tmp_path / "b.tiff"), str(tmp_path / "d.svs")]) == 0
    assert main(["convert", str(slide), str(tmp_path / "e.svs"), "--glass", "keep"]) == 0
    assert capsys.readouterr().out.count("note: its file system has no locks") == 2
    assert not list(tmp_path.glob(".*"))


def test_a_file_system_with_locks_gets_none(slide, tmp_path):
    assert not any("locks" in note for note in convert(slide, tmp_path / "b.tiff", **KEPT).notes)
    assert restore_slide(tmp_path / "b.tiff", tmp_path / "c.svs", workers=1).notes == ()


def test_a_lock_that_fails_otherwise_leaves_no_empty_partial(slide, tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", failing_flock(errno.EIO))
    with pytest.raises(SlideWriteError, match="cannot be written"):
        convert(slide, tmp_path / "b.svs")
    assert not list(tmp_path.glob(".*"))


def test_a_partial_that_is_none_of_ours_is_left_alone(tmp_path):
    partial = partial_path(tmp_path / "b.svs")
    (tmp_path / "other").write_bytes(b"another's")
    partial.hardlink_to(tmp_path / "other")
    with pytest.raises(SlideWriteError, match="is not ours"):
        open_locked(partial)
    assert (tmp_path / "other").read_bytes() == b"another's"
    partial.unlink()
    os.mkfifo(partial)
    with pytest.raises(SlideWriteError):
        open_locked(partial)


def write_while_another_does(target):
    with completed_file(target) as file:
        file.write(b"mine")
        partial_path(target).unlink()
        partial_path(target).write_bytes(b"half of theirs")


def test_without_locks_a_run_never_renames_what_another_put_in_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", failing_flock(errno.ENOLCK))
    target = tmp_path / "b.svs"
    with pytest.raises(SlideWriteError, match="another run"):
        write_while_another_does(target)
    assert not target.exists()
    assert partial_path(target).read_bytes() == b"half of theirs"


def test_a_batch_says_why_it_needs_locks(slide, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fcntl, "flock", failing_flock(errno.ENOLCK))
    assert main(["batch", str(slide.parent), str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert "has no locks" in err
    assert "name a tree on one that has" in err
