"""Conversions of earlier versions get the index of today in place, and ledgers learn of it."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import wsicomp
from tests.batch.trees import RESTORABLE, assert_agrees, entries, run, sha256
from tests.command_line import run_command
from tests.paths import FIXTURES
from wsicomp.batch import Ledger
from wsicomp.batch.upgrade import upgrade_folder
from wsicomp.conversion import upgrade as upgrade_module
from wsicomp.conversion.upgrade import upgrade_conversion
from wsicomp.errors import SlideReadError, SlideWriteError

OLD = FIXTURES / "v050_written"
NAMES = ("jpegxl-restorable.tiff", "copy-restorable.svs")


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copy(OLD / NAMES[0], tmp_path / "kept.tiff"))


@pytest.mark.parametrize("name", NAMES)
def test_the_source_is_read_at_random_afterwards(name, tmp_path):
    kept = Path(shutil.copy(OLD / name, tmp_path / name))
    os.utime(kept, ns=(10**18, 10**18))
    report = upgrade_conversion(kept)
    assert report.upgraded
    assert (report.bytes_before, report.bytes) == ((OLD / name).stat().st_size, kept.stat().st_size)
    data = (OLD / "source.svs").read_bytes()
    with wsicomp.open_original(kept) as file:
        file.seek(1000)
        assert file.read(5000) == data[1000:6000]
    assert wsicomp.verify(kept, OLD / "source.svs").problems == ()
    wsicomp.restore(kept, tmp_path / "back.svs")
    assert (tmp_path / "back.svs").read_bytes() == data
    assert kept.stat().st_mtime_ns == 10**18
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["back.svs", name])


def test_what_has_an_index_stays_untouched(old):
    upgrade_conversion(old)
    before = old.stat()
    assert not upgrade_conversion(old).upgraded
    assert (old.stat().st_ino, old.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_damaged_file_and_one_without_a_source_stay_as_they_are(old, tmp_path):
    data = bytearray(old.read_bytes())
    data[12_000] ^= 1
    old.write_bytes(data)
    with pytest.raises(SlideReadError):
        upgrade_conversion(old)
    assert old.read_bytes() == data
    shutil.copy(OLD / "jpegxl.tiff", tmp_path / "lossy.tiff")
    with pytest.raises(SlideReadError, match="does not hold its source"):
        upgrade_conversion(tmp_path / "lossy.tiff")


def test_one_that_would_not_rebuild_its_source_is_not_kept(old, monkeypatch):
    before = old.read_bytes()

    def fails(*_):
        raise SlideReadError("it rebuilds nothing")

    monkeypatch.setattr(upgrade_module, "restored_blocks", fails)
    with pytest.raises(SlideReadError, match="nothing"):
        upgrade_conversion(old)
    assert old.read_bytes() == before
    assert [path.name for path in old.parent.iterdir()] == ["kept.tiff"]


def test_a_disk_without_room_is_said_before_anything_is_written(old, monkeypatch):
    def full(*_):
        raise SlideWriteError("make room")

    monkeypatch.setattr(upgrade_module, "check_free_space", full)
    with pytest.raises(SlideWriteError, match="make room"):
        upgrade_conversion(old)


def test_a_file_that_is_replaced_meanwhile_is_not_overwritten(old, monkeypatch):
    def replaced(*_):
        (old.parent / "newer").write_bytes(b"newer")
        (old.parent / "newer").replace(old)
        return iter(())

    monkeypatch.setattr(upgrade_module, "restored_blocks", replaced)
    with pytest.raises(SlideReadError, match="changed while"):
        upgrade_conversion(old)
    assert old.read_bytes() == b"newer"


def test_a_link_is_not_upgraded(old):
    link = old.parent / "link.tiff"
    link.symlink_to(old)
    with pytest.raises(SlideWriteError, match="is a link"):
        upgrade_conversion(link)
    assert link.is_symlink()


@pytest.fixture
def tree(tmp_path):
    """A batch's tree, and its one conversion, in whose place stands one of an earlier version."""
    (tmp_path / "slides").mkdir()
    shutil.copy(OLD / "source.svs", tmp_path / "slides" / "source.svs")
    target = tmp_path / "archive"
    run(tmp_path / "slides", target, RESTORABLE)
    (entry,) = entries(target).values()
    kept = target / entry.target
    shutil.copy(OLD / NAMES[0], kept)
    facts = {"target_sha256": sha256(kept), "target_bytes": kept.stat().st_size}
    with Ledger(target) as ledger:
        ledger.put([replace(entry, **facts, target_mtime_ns=kept.stat().st_mtime_ns)])
    return target, kept


def test_the_ledger_of_a_tree_learns_of_it(tree):
    target, kept = tree
    code, out, _ = run_command("upgrade", target)
    assert (code, "1 of 1 restorable conversion upgraded" in out) == (0, True)
    assert_agrees(target)
    wsicomp.open_original(kept).close()
    assert not run(target.parent / "slides", target, RESTORABLE).converted


def test_a_tree_with_packed_slides_needs_nothing_for_them(tmp_path):
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "scan.ndpi").write_bytes(b"no slide" * 1000)
    shutil.copy(OLD / "source.svs", tmp_path / "slides")
    run(tmp_path / "slides", tmp_path / "archive", RESTORABLE)
    assert len(list((tmp_path / "archive").glob("*.wsipack"))) == 1
    code, out, err = run_command("upgrade", tmp_path / "archive")
    assert (code, err, "nothing to do for 1 restorable conversion" in out) == (0, "", True)


def test_a_run_that_was_stopped_before_the_ledger_knew_is_taken_up(tree):
    target, kept = tree
    upgrade_conversion(kept)
    (one,) = upgrade_folder(target)
    assert (one.upgraded, one.error) == (False, "")
    assert_agrees(target)


def test_a_conversion_of_another_source_than_the_ledgers_stays_as_it_is(tree):
    target, kept = tree
    with Ledger(target) as ledger:
        (entry,) = ledger.entries()
        ledger.put([replace(entry, source_sha256="0" * 64)])
    before = kept.read_bytes()
    (one,) = upgrade_folder(target)
    assert (one.upgraded, "another source" in one.error) == (False, True)
    assert kept.read_bytes() == before


def test_a_conversion_of_a_tree_is_not_upgraded_behind_its_ledger(tree):
    target, kept = tree
    code, _, err = run_command("upgrade", kept)
    assert (code, str(target) in err) == (1, True)


def test_a_folder_without_a_ledger_is_upgraded_but_for_what_is_damaged(tmp_path):
    for name in (*NAMES, "jpegxl.tiff", "source.svs"):
        shutil.copy(OLD / name, tmp_path / name)
    broken = bytearray((tmp_path / NAMES[0]).read_bytes())
    broken[12_000] ^= 1
    (tmp_path / "broken.tiff").write_bytes(broken)
    code, out, _ = run_command("upgrade", tmp_path, "--json")
    found = {one["file"]: one for one in json.loads(out)}
    assert code == 1
    assert {name for name, one in found.items() if one["upgraded"]} == set(NAMES)
    assert "damaged" in found["broken.tiff"]["error"]
    assert (tmp_path / "broken.tiff").read_bytes() == broken
