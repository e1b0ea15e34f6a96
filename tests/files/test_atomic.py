"""Folders of results: all of them or none, and nothing of what was there before."""

import pytest

import wsicomp
from tests import tiffs
from wsicomp import ConversionConfig
from wsicomp.errors import TargetExistsError
from wsicomp.files import atomic
from wsicomp.files.atomic import check_empty, completed, completed_files, partial_path
from wsicomp.formats.converted import writer


def test_files_appear_together_when_all_are_written(tmp_path):
    with completed_files(tmp_path / "a/new") as hidden:
        (hidden / "one.csv").write_text("1")
        assert not (tmp_path / "a/new/one.csv").exists()
    assert [path.name for path in (tmp_path / "a/new").iterdir()] == ["one.csv"]


def fail(folder):
    with completed_files(folder) as hidden:
        (hidden / "one.csv").write_text("1")
        raise KeyError


def test_a_failure_leaves_neither_files_nor_a_folder(tmp_path):
    with pytest.raises(KeyError):
        fail(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_does_not_count_and_is_cleared(tmp_path):
    (tmp_path / ".wsicomp.partial").mkdir()
    (tmp_path / ".wsicomp.partial/old.csv").write_text("0")
    check_empty(tmp_path, overwrite=False)
    with completed_files(tmp_path) as hidden:
        (hidden / "one.csv").write_text("1")
    assert [path.name for path in tmp_path.iterdir()] == ["one.csv"]
    with pytest.raises(TargetExistsError):
        check_empty(tmp_path, overwrite=False)


def test_the_longest_name_has_a_partial_too(tmp_path):
    target = tmp_path / ("ü" * 125 + ".tiff")
    with completed(target) as partial:
        partial.write_bytes(b"all")
    assert target.read_bytes() == b"all"
    assert partial_path(target) != partial_path(target.with_suffix(".tif"))


@pytest.mark.parametrize("step", ["_opened", "_hold"])
def test_ctrl_c_while_a_partial_file_comes_into_being_leaves_none(step, tmp_path, monkeypatch):
    whole = getattr(atomic, step)

    def interrupted(*arguments):
        made = whole(*arguments)
        if made is not None:
            made[0].close()
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic, step, interrupted)
    with pytest.raises(KeyboardInterrupt), atomic.completed(tmp_path / "target.txt") as path:
        path.write_text("never")
    assert not list(tmp_path.iterdir())


def test_ctrl_c_while_a_slide_is_begun_leaves_nothing(tmp_path, monkeypatch):
    source = tiffs.write_tiff(tmp_path / "source.svs", 200, 150)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "lock_note", interrupted)
    with pytest.raises(KeyboardInterrupt):
        wsicomp.convert_slide(source, tmp_path / "target.svs", ConversionConfig.of(glass="keep"))
    assert list(tmp_path.iterdir()) == [source]
