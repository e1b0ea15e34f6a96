"""What appeared under a target's name meanwhile is never replaced, and no partial file leads elsewhere."""

import errno
import os
from contextlib import suppress

import pytest

from tests import tiffs
from tests.drawn.planted import KINDS, facts, plant, write_victim
from wsicomp import ConversionConfig, convert_slide, restore_slide
from wsicomp.cli import main
from wsicomp.cli.text import write_json
from wsicomp.errors import SlideWriteError, TargetExistsError
from wsicomp.files import folders
from wsicomp.files.atomic import completed, completed_file, completed_files, partial_path, sweep_partial
from wsicomp.files.folders import opened_folder

CONFIG = ConversionConfig.of(codec="jpegxl", lossless=True, glass="keep", restorable=True, workers=1)
THEIRS = b"another's"
LAST = ("verify", "restore")


@pytest.fixture
def source(tmp_path):
    return tiffs.write_tiff(tmp_path / "source.svs")


@pytest.fixture
def victim(tmp_path):
    write_victim(tmp_path / "slides/victim.svs")
    return tmp_path / "slides/victim.svs"


def appearing(target):
    """A progress that has somebody else write the target, when it is nearly there."""
    return lambda stage, *_: stage in LAST and target.write_bytes(THEIRS)


def linking(target, victim):
    """A progress that has somebody else plant a link under the target's name."""
    return lambda stage, *_: stage in LAST and not target.is_symlink() and target.symlink_to(victim)


def name_by(monkeypatch, way):
    """Have the system name files only so: by its own call, by a link, or by a look and a rename."""
    if way != "rename":
        monkeypatch.setattr(folders, "_exclusive_rename", lambda: None)
    if way == "look":

        def refused(*_, **__):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refused)


WAYS = pytest.mark.parametrize("way", ["rename", "link", "look"])


@WAYS
def test_convert_replaces_nothing_that_appeared(source, tmp_path, monkeypatch, way):
    name_by(monkeypatch, way)
    target = tmp_path / "target.tiff"
    with pytest.raises(TargetExistsError, match="since a moment ago"):
        convert_slide(source, target, CONFIG, appearing(target))
    assert target.read_bytes() == THEIRS
    assert not list(tmp_path.glob(".*"))


@WAYS
def test_restore_replaces_nothing_that_appeared(source, tmp_path, monkeypatch, way):
    name_by(monkeypatch, way)
    convert_slide(source, tmp_path / "archive.tiff", CONFIG)
    target = tmp_path / "again.svs"
    with pytest.raises(TargetExistsError, match="since a moment ago"):
        restore_slide(tmp_path / "archive.tiff", target, workers=1, on_progress=appearing(target))
    assert target.read_bytes() == THEIRS
    restore_slide(tmp_path / "archive.tiff", target, True, 1, appearing(target))
    assert target.read_bytes() == source.read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("where", ["victim", "nowhere"])
def test_a_link_that_appeared_is_neither_replaced_nor_followed(source, tmp_path, victim, where):
    convert_slide(source, tmp_path / "archive.tiff", CONFIG)
    before, led = facts(victim), victim if where == "victim" else tmp_path / "nowhere"
    target = tmp_path / "again.svs"
    with pytest.raises(TargetExistsError):
        restore_slide(tmp_path / "archive.tiff", target, on_progress=linking(target, led))
    assert target.is_symlink()
    target = tmp_path / "more.tiff"
    with pytest.raises(TargetExistsError):
        convert_slide(source, target, CONFIG, linking(target, led))
    assert target.is_symlink()
    assert facts(victim) == before
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".geojson"])
def test_segment_replaces_no_mask_that_appeared(source, tmp_path, monkeypatch, capsys, suffix):
    from wsicomp.cli import segment

    target, find = tmp_path / f"mask{suffix}", segment.segment_slide

    def found(*arguments):
        target.write_bytes(THEIRS)
        return find(*arguments)

    monkeypatch.setattr(segment, "segment_slide", found)
    command = ["segment", str(source), str(target), "--segmenter", "threshold"]
    assert main(command) == 1
    assert "exists already" in capsys.readouterr().err
    assert target.read_bytes() == THEIRS
    assert main([*command, "--overwrite"]) == 0
    assert target.read_bytes() != THEIRS
    assert not list(tmp_path.glob(".*"))


def test_segment_and_convert_replace_no_picture_that_appeared(source, tmp_path, monkeypatch, capsys):
    from wsicomp.conversion import convert

    look, draw = tmp_path / "look.png", convert.audit_picture

    def drawn(*arguments):
        look.write_bytes(THEIRS)
        return draw(*arguments)

    monkeypatch.setattr(convert, "audit_picture", drawn)
    for command in (
        ["segment", str(source), str(tmp_path / "mask.png")],
        ["convert", str(source), str(tmp_path / "target.svs")],
    ):
        look.unlink(missing_ok=True)
        command += ["--segmenter", "threshold", "--audit", str(look)]
        assert main(command) == 1
        assert "look.png: exists already" in capsys.readouterr().err
        assert look.read_bytes() == THEIRS
        assert not (tmp_path / "target.svs").exists()


def test_a_report_replaces_nothing_that_appeared(source, tmp_path, monkeypatch, capsys):
    from wsicomp.cli import convert

    report, make = tmp_path / "report.json", convert.convert_slide

    def made(*arguments, **others):
        report.write_bytes(THEIRS)
        return make(*arguments, **others)

    monkeypatch.setattr(convert, "convert_slide", made)
    command = ["convert", str(source), str(tmp_path / "target.svs"), "--codec", "copy", "--glass", "keep"]
    assert main([*command, "--json", str(report)]) == 1
    assert "report.json: exists already" in capsys.readouterr().err
    assert report.read_bytes() == THEIRS


@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link"])
def test_json_is_written_through_no_link(tmp_path, victim, kind):
    before = facts(victim)
    path = plant(tmp_path / "report.json", kind, victim)
    with pytest.raises(TargetExistsError):
        write_json({"a": 1}, path)
    write_json({"a": 1}, path, overwrite=True)
    assert facts(victim) == before
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert not path.is_symlink()
    assert [file.name for file in victim.parent.iterdir()] == ["victim.svs"]


def test_files_of_a_folder_replace_nothing_that_appeared(tmp_path):
    def fill(folder, overwrite):
        with completed_files(folder, overwrite) as hidden:
            (hidden / "a.csv").write_text("ours")
            (folder / "a.csv").write_bytes(THEIRS)

    with pytest.raises(TargetExistsError, match=r"a\.csv cannot be written"):
        fill(tmp_path, False)
    assert (tmp_path / "a.csv").read_bytes() == THEIRS
    fill(tmp_path, True)
    assert (tmp_path / "a.csv").read_text() == "ours"


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "socket"])
def test_a_hidden_folder_that_was_planted_is_not_entered(tmp_path, victim, kind):
    before, out = facts(victim), tmp_path / "out"
    plant(out / ".wsicomp.partial", kind, victim.parent)

    def fill():
        with completed_files(out) as hidden:
            (hidden / "a.csv").write_text("ours")

    with pytest.raises(SlideWriteError, match=r"\.wsicomp\.partial: is "):
        fill()
    assert facts(victim) == before
    assert [file.name for file in victim.parent.iterdir()] == ["victim.svs"]


def test_a_hidden_folder_that_becomes_a_link_is_not_followed(tmp_path, victim):
    out = tmp_path / "out"

    def fill():
        with completed_files(out) as hidden:
            (out / ".wsicomp.partial").rename(out / "away")
            (out / ".wsicomp.partial").symlink_to(victim.parent)
            (hidden / "victim.svs").write_text("ours")

    before = facts(victim)
    with suppress(SlideWriteError):
        fill()
    assert facts(victim) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("write", [completed, completed_file])
def test_a_partial_file_that_was_planted_is_left_alone(tmp_path, victim, kind, write):
    before = facts(victim)
    path = plant(partial_path(tmp_path / "a.png"), kind, victim)

    def fill():
        with write(tmp_path / "a.png"):
            pytest.fail("nothing is to be written")

    with pytest.raises(SlideWriteError, match="which is not ours") as told:
        fill()
    assert str(told.value).startswith(str(path))
    sweep_partial(tmp_path / "a.png")
    assert os.path.lexists(path)
    assert facts(victim) == before


@pytest.mark.parametrize("kind", ["link", "hard link"])
def test_a_partial_file_that_is_planted_while_it_is_written_is_not_followed(tmp_path, victim, kind):
    before, partial = facts(victim), partial_path(tmp_path / "a.png")

    def fill():
        with completed(tmp_path / "a.png") as place:
            partial.unlink()
            plant(partial, kind, victim)
            place.write_bytes(b"ours")

    with pytest.raises(SlideWriteError, match="another run is writing it"):
        fill()
    assert facts(victim) == before
    assert not (tmp_path / "a.png").exists()


def test_a_folder_that_becomes_a_link_while_a_file_is_written_leads_nowhere(tmp_path, victim):
    (tmp_path / "a").mkdir()
    before = facts(victim)
    with completed_file(tmp_path / "a/victim.svs", overwrite=True) as file:
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "a").symlink_to(victim.parent)
        file.write(b"ours")
    assert facts(victim) == before
    assert (tmp_path / "b/victim.svs").read_bytes() == b"ours"


def test_a_killed_run_that_had_named_its_file_is_taken_up(tmp_path):
    """Where files are named by a second link, a kill may leave both names."""
    target = tmp_path / "a.png"
    target.write_bytes(b"whole")
    partial_path(target).hardlink_to(target)
    sweep_partial(target)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    partial_path(target).hardlink_to(target)
    with completed(target, overwrite=True) as place:
        place.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_folder_that_nobody_may_list_can_be_written_into(tmp_path):
    if not hasattr(os, "O_PATH"):
        pytest.skip("this system opens no folder without listing it")
    (tmp_path / "drop").mkdir(mode=0o300)
    with opened_folder(tmp_path / "drop", tmp_path) as folder:
        assert os.fstat(folder.descriptor).st_ino == (tmp_path / "drop").stat().st_ino
    with completed_file(tmp_path / "drop/a.png") as file:
        file.write(b"ours")
    assert (tmp_path / "drop/a.png").read_bytes() == b"ours"


@pytest.mark.parametrize("path", ["../out/a", "..", "a/../../out", "/elsewhere"])
def test_a_path_that_leaves_its_tree_is_refused(tmp_path, path):
    (tmp_path / "root/a").mkdir(parents=True)
    with (
        pytest.raises(SlideWriteError, match="does not lie in"),
        opened_folder(tmp_path / "root" / path, tmp_path / "root", make=True),
    ):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["root"]


def test_the_way_to_a_target_that_the_user_named_may_be_a_link(source, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "there")
    convert_slide(source, tmp_path / "here/target.tiff", CONFIG)
    restore_slide(tmp_path / "here/target.tiff", tmp_path / "here/again.svs")
    assert (tmp_path / "there/again.svs").read_bytes() == source.read_bytes()
