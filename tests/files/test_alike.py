"""Folders that a batch, its quarantine or a restore makes are open to no more people than the source's."""

import os
import stat

import pytest

from tests.batch.trees import RESTORABLE, run, write_slide
from tests.drawn.nights import draw_tissue
from wsicomp.batch import BatchRestoreOptions, restore_batch
from wsicomp.errors import SlideWriteError
from wsicomp.files.alike import make_alike
from wsicomp.files.attributes import Attributes


def mode_of(path):
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.fixture
def source(tmp_path):
    """A tree with an open folder and one that is its user's alone, in which all files are open."""
    source = tmp_path / "s"
    write_slide(source / "open/one.svs", 1)
    write_slide(source / "priv/in/two.svs", 2)
    (source / "priv/names.csv").write_text("names")
    (source / "priv/in/names.csv").write_text("names")
    (source / "team").mkdir()
    (source / "team/notes.txt").write_text("notes")
    modes = {".": 0o755, "open": 0o755, "priv": 0o700, "priv/in": 0o755, "team": 0o2750}
    for name, mode in modes.items():
        (source / name).chmod(mode)
    return source


def modes(tree):
    return {name: mode_of(tree / name) for name in (".", "open", "priv", "priv/in", "team")}


def test_a_batch_and_its_restore_open_no_folder_to_more_people(source, tmp_path):
    archive, again = tmp_path / "new/a", tmp_path / "again"
    assert run(source, archive, RESTORABLE, carry_others=True).is_good
    assert modes(archive) == modes(source)
    assert mode_of(archive / ".wsicomp") == "0o755"
    options = BatchRestoreOptions(jobs=1, min_free=0)
    assert restore_batch(archive, again, options).is_good
    assert modes(again) == modes(source)


def test_a_closed_source_has_a_closed_target_and_ledger(source, tmp_path):
    source.chmod(0o700)
    new, made_before = tmp_path / "new", tmp_path / "before"
    made_before.mkdir(mode=0o755)
    for target in (new, made_before):
        assert run(source, target, include=("one.svs",)).is_good
        assert mode_of(target / ".wsicomp") == "0o700"
    assert (mode_of(new), mode_of(made_before)) == ("0o700", "0o755")


def test_a_conversion_alone_makes_its_folders_alike(source, tmp_path):
    os.link(source / "priv/in/two.svs", source / "team/same.svs")
    assert run(source, tmp_path / "a").is_good
    assert modes(tmp_path / "a") == modes(source)


def test_quarantine_is_as_closed_as_the_folders_of_its_files(source, tmp_path):
    for number, name in enumerate(("open/one.svs", "priv/in/two.svs")):
        draw_tissue(source / name, number)
    found = run(source, tmp_path / "a", RESTORABLE, delete_source=True)
    assert found.quarantined == 2
    held = source / ".wsicomp-quarantine"
    assert [mode_of(held / name) for name in ("open", "priv")] == ["0o755", "0o700"]


def test_what_is_moved_aside_lies_as_closed(source, tmp_path):
    target = tmp_path / "a"
    run(source, target)
    old = target / "priv/in/two.svs"
    old.write_bytes(b"something else")
    write_slide(source / "priv/in/two.svs", 3)
    run(source, target)
    assert (target / ".wsicomp/aside/priv/in/two.svs").read_bytes() == b"something else"
    assert mode_of(target / ".wsicomp/aside/priv") == "0o700"


def test_a_group_that_cannot_be_given_may_do_no_more_than_everybody(source, tmp_path, monkeypatch):
    (source / "priv").chmod(0o2775)
    there, real = Attributes.of_folder(source / "priv"), os.fchown
    monkeypatch.setattr(
        Attributes, "of_folder", lambda _: Attributes(there.mode, there.owner, there.group + 1)
    )
    monkeypatch.setattr(os, "fchown", lambda one, owner, group: real(one, owner, -1))
    make_alike(tmp_path / "a/b", tmp_path, [source, source / "priv"])
    assert mode_of(tmp_path / "a/b") == "0o755"


def test_its_user_can_always_work_in_it_and_what_is_there_stays(source, tmp_path):
    (source / "team").chmod(0o550)
    (tmp_path / "a").mkdir(mode=0o711)
    make_alike(tmp_path / "a/b/c", tmp_path, [source, source, source / "team"])
    assert [mode_of(tmp_path / name) for name in ("a", "a/b", "a/b/c")] == ["0o711", "0o750", "0o750"]
    make_alike(tmp_path / "gone", tmp_path, [source / "no such folder"])
    assert mode_of(tmp_path / "gone") == "0o700"


def test_no_link_is_followed_and_nothing_made_outside_the_root(source, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to(source)
    for path in ("link/new", "../out"):
        with pytest.raises(SlideWriteError):
            make_alike(tmp_path / "root" / path, tmp_path / "root", [source])
    assert not (source / "new").exists()
    assert not (tmp_path / "out").exists()
