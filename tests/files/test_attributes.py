"""Mode, owner and times of files: kept by conversion, batch and restore, and never open to more people."""

import os
import stat
from pathlib import Path

import pytest

import wsicomp
from tests.command_line import run_command
from tests.drawn import forged
from wsicomp import ConversionConfig
from wsicomp.batch import BatchOptions, run_batch
from wsicomp.errors import ConfigError, SourceChangedError
from wsicomp.files.attributes import Attributes
from wsicomp.files.copying import copy_file

THEN_NS = 1_577_836_800_123_456_789
CONFIG = ConversionConfig.of(segmenter="threshold", overwrite=True)
RESTORABLE = forged.RESTORABLE.changed(overwrite=True)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source" / "slide.svs"
    path.parent.mkdir()
    forged.draw_tissue(path)
    os.utime(path, ns=(THEN_NS, THEN_NS))
    return path


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o440, 0o400, 0o600, 0o640, 0o644, 0o664])
def test_a_conversion_and_what_it_restores_have_the_mode_of_the_source(source, tmp_path, mode):
    source.chmod(mode)
    archive, again, audit = tmp_path / "a.tiff", tmp_path / "again.svs", tmp_path / "look.png"
    wsicomp.convert(source, tmp_path / "a.svs", CONFIG, audit=audit)
    wsicomp.convert(source, archive, RESTORABLE)
    wsicomp.restore(archive, again)
    assert {mode_of(path) for path in (tmp_path / "a.svs", audit, archive, again)} == {mode}
    assert again.read_bytes() == source.read_bytes()


def test_a_target_that_is_replaced_gets_the_mode_of_the_source(source, tmp_path):
    target = tmp_path / "a.svs"
    wsicomp.convert(source, target, CONFIG)
    source.chmod(0o440)
    wsicomp.convert(source, target, CONFIG)
    assert mode_of(target) == 0o440


def test_nobody_else_opens_a_target_while_it_is_written(source, tmp_path):
    source.chmod(0o640)
    seen = set()

    def look(stage, done, total):
        seen.update(mode_of(path) for path in tmp_path.glob(".*.partial"))

    wsicomp.convert(source, tmp_path / "a.svs", CONFIG, on_progress=look)
    assert seen == {0o600}


def test_a_batch_keeps_modes_of_targets_and_of_their_pictures(source, tmp_path):
    source.chmod(0o440)
    config = CONFIG.changed(keep_if_larger="keep")
    run_batch(source.parent, tmp_path / "out", config, BatchOptions(jobs=1))
    pictures = list((tmp_path / "out").rglob("*.jpg"))
    assert pictures
    assert {mode_of(path) for path in (tmp_path / "out" / "slide.svs", *pictures)} == {0o440}


def test_restore_gives_back_the_time_of_the_source(source, tmp_path):
    archive = tmp_path / "a.tiff"
    wsicomp.convert(source, archive, RESTORABLE)
    wsicomp.restore(archive, tmp_path / "again.svs")
    assert (tmp_path / "again.svs").stat().st_mtime_ns == THEN_NS
    assert archive.stat().st_mtime_ns > THEN_NS


def test_a_time_beyond_what_a_file_states_is_left_out(source, tmp_path):
    os.utime(source, (4_700_000_000, 4_700_000_000))  # in 2118
    wsicomp.convert(source, tmp_path / "a.tiff", RESTORABLE)
    wsicomp.restore(tmp_path / "a.tiff", tmp_path / "again.svs")
    assert (tmp_path / "again.svs").read_bytes() == source.read_bytes()


def test_what_names_nobody_keeps_no_time():
    with pytest.raises(ConfigError, match="tells when the slide was scanned"):
        CONFIG.changed(deidentify=True, keep_times=True)


def test_keep_times_carries_the_time_of_the_source(source, tmp_path):
    arguments = ("--segmenter", "threshold", "--keep-times")
    assert run_command("convert", source, tmp_path / "a.svs", *arguments)[0] == 0
    assert (tmp_path / "a.svs").stat().st_mtime_ns == THEN_NS


def test_a_conversion_without_names_says_no_time(source, tmp_path):
    wsicomp.convert(source, tmp_path / "a.svs", CONFIG.changed(deidentify=True))
    wsicomp.convert(source, tmp_path / "b.svs", CONFIG)
    assert str(THEN_NS).encode() not in (tmp_path / "a.svs").read_bytes()
    assert str(THEN_NS).encode() in (tmp_path / "b.svs").read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to others")
def test_root_gives_targets_to_the_owner_of_the_source(source, tmp_path):
    os.chown(source, 4321, 4322)
    wsicomp.convert(source, tmp_path / "a.svs", CONFIG)
    status = (tmp_path / "a.svs").stat()
    assert (status.st_uid, status.st_gid) == (4321, 4322)


def test_a_group_that_cannot_be_given_opens_the_file_to_nobody_new(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    path = tmp_path / "file"
    path.write_bytes(b"")
    monkeypatch.setattr(os, "fchown", refuse)
    others = path.stat().st_gid + 1
    for mode, expected in ((0o640, 0o600), (0o664, 0o644), (0o660, 0o600), (0o644, 0o644), (0o440, 0o400)):
        with path.open("r+b") as file:
            Attributes(mode, path.stat().st_uid, others).give(file.fileno())
        assert mode_of(path) == expected


def test_a_copy_is_a_file_of_its_own(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(os.urandom(100_000))
    copy_file(source, target)
    before = target.read_bytes()
    with source.open("r+b") as file:
        file.write(b"changed")
    assert target.read_bytes() == before
    assert not target.samefile(source)


def no_copy(*_):
    raise OSError(18, "EXDEV")


@pytest.mark.parametrize("by", [None, no_copy, lambda *_: 0], ids=["system", "no system", "an end at once"])
def test_a_copy_is_whole_whatever_the_system_can(tmp_path, monkeypatch, by):
    if by is not None:
        monkeypatch.setattr(os, "copy_file_range", by)
    source = tmp_path / "a"
    source.write_bytes(os.urandom(3_000_000))
    copy_file(source, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == source.read_bytes()


def test_a_copy_of_other_bytes_than_expected_is_not_kept(tmp_path):
    source = tmp_path / "a"
    source.write_bytes(b"other")
    with pytest.raises(SourceChangedError, match="changed while it was copied"):
        copy_file(source, tmp_path / "b", sha256="0" * 64)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert Path(source).read_bytes() == b"other"
