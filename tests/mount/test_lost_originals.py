"""A conversion that is damaged or replaced never stands under the name of its original with other bytes."""

import errno
import os

import pytest

from tests.batch.trees import RESTORABLE, entries, run, write_slide
from tests.paths import FIXTURES
from wsicomp.formats.originals.unit_cache import UnitCache
from wsicomp.mount.held_originals import held_originals, open_held
from wsicomp.mount.open_files import OpenFiles
from wsicomp.mount.tree import ArchiveTree


@pytest.fixture
def trees(tmp_path):
    """Slides of which one keeps its name when it is converted, and their archive."""
    write_slide(tmp_path / "slides/same.tif")
    write_slide(tmp_path / "slides/other.svs", 1)
    run(tmp_path / "slides", tmp_path / "archive", RESTORABLE.changed(keep_if_larger="keep"))
    assert (tmp_path / "archive/same.tif").exists()
    return tmp_path / "slides", tmp_path / "archive"


def read(archive, name):
    """The bytes of a shown file, or the number of the error."""
    tree = ArchiveTree(archive, held_originals)
    files = OpenFiles(tree, lambda path: open_held(path, UnitCache()))
    try:
        number, _ = files.open(name)
        return files.read(number, 0, tree.find(name).bytes + 10)
    except OSError as exc:
        return exc.errno or errno.EIO
    finally:
        files.close_all()


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def without_magic(path):
    path.write_bytes(bytes(4) + path.read_bytes()[4:])


def replaced(path):
    write_slide(path, 7)


def older(path):
    path.write_bytes((FIXTURES / "v050_written/jpegxl-restorable.tiff").read_bytes())


@pytest.mark.parametrize("damage", [cut, without_magic, replaced, older])
def test_the_original_is_there_and_reading_it_is_an_error(trees, damage):
    slides, archive = trees
    assert read(archive, "same.tif") == (slides / "same.tif").read_bytes()
    damage(archive / "same.tif")
    tree = ArchiveTree(archive, held_originals)
    assert tree.find("same.tif").bytes == (slides / "same.tif").stat().st_size
    assert read(archive, "same.tif") == errno.EIO


@pytest.mark.parametrize("damage", [cut, without_magic, replaced])
def test_the_original_keeps_its_name_where_the_conversion_has_another(trees, damage):
    _, archive = trees
    damage(archive / "other.svs.tiff")
    tree = ArchiveTree(archive, held_originals)
    assert "other.svs" in tree.children("")
    assert read(archive, "other.svs") == errno.EIO


def test_an_original_whose_index_is_damaged_keeps_its_name_without_a_ledger(trees, tmp_path):
    _, archive = trees
    data = bytearray((archive / "other.svs.tiff").read_bytes())
    place = data.rindex(b"\x28\xb5\x2f\xfd")  # the last column of the index
    data[place + 6] ^= 1
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/other.svs.tiff").write_bytes(data)
    assert set(ArchiveTree(tmp_path / "alone", held_originals).children("")) == {"other.svs"}
    assert read(tmp_path / "alone", "other.svs") == errno.EIO


def test_a_cut_conversion_is_told_of_where_no_ledger_knows_it(trees, tmp_path, caplog):
    _, archive = trees
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/x.tif").write_bytes((archive / "same.tif").read_bytes())
    cut(tmp_path / "alone/x.tif")
    ArchiveTree(tmp_path / "alone", held_originals).children("")
    assert "x.tif" in caplog.text


@pytest.fixture
def kept(tmp_path):
    """Files that a batch leaves as they are, under names that a Windows share takes; and their archive."""
    write_slide(tmp_path / "slides/a:b.tif", side=16)
    (tmp_path / "slides/p:q").mkdir()
    (tmp_path / "slides/p:q/notes?.csv").write_text("x,y\n")
    os.utime(tmp_path / "slides/p:q/notes?.csv", ns=(10**18, 10**18))
    run(tmp_path / "slides", tmp_path / "archive", RESTORABLE, carry_others=True)
    found = entries(tmp_path / "archive")["a:b.tif"]
    assert found.source_sha256 == found.target_sha256
    return tmp_path / "slides", tmp_path / "archive"


def test_what_a_batch_left_as_it_was_has_its_name(kept):
    slides, archive = kept
    assert not (archive / "a:b.tif").exists()
    tree = ArchiveTree(archive, held_originals)
    assert set(tree.children("")) >= {"a:b.tif", "p:q"}
    assert not any("~" in name and name.endswith(".tif") for name in tree.children(""))
    for name in ("a:b.tif", "p:q/notes?.csv"):
        assert read(archive, name) == (slides / name).read_bytes()
    assert tree.find("p:q/notes?.csv").mtime_ns == 10**18


@pytest.mark.parametrize("name", ["a:b.tif", "p:q/notes?.csv"])
def test_a_file_that_is_not_as_the_batch_left_it_is_an_error(kept, name):
    slides, archive = kept
    (path,) = archive.rglob(f"*{name[-4:]}")
    cut(path)
    assert ArchiveTree(archive, held_originals).find(name).bytes == (slides / name).stat().st_size
    assert read(archive, name) == errno.EIO
