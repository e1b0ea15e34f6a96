"""Many files are checked at once: what is wrong with one does not hide another."""

import shutil

import pytest

from tests.batch.trees import CONFIG, RESTORABLE, run, write_slide, write_tree
from wsicomp.batch import BulkOptions, Stop, verify_files
from wsicomp.conversion.convert import convert_slide
from wsicomp.errors import ConfigError, LedgerError, SlideReadError

NAMES = ("a/slide 0.svs", "b/slide 1.svs", "c/slide 2.svs")


@pytest.fixture
def trees(tmp_path):
    source, archive = tmp_path / "source", tmp_path / "archive"
    write_tree(source, 3)
    assert run(source, archive, RESTORABLE).converted == 3
    return source, archive


def check(*paths, against=None, stop=None):
    return verify_files(paths, against, BulkOptions(jobs=2), stop=stop)


def target(archive, number):
    return archive / f"{NAMES[number]}.tiff"


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 200] = bytes(200)
    path.write_bytes(data)


def test_a_tree_of_good_files_is_sound(trees):
    _, archive = trees
    checked = check(archive)
    assert checked.is_sound
    assert [one.file for one in checked.files] == [str(target(archive, number)) for number in range(3)]
    assert all(one.found.has_provenance and one.found.tiles for one in checked.files)


def test_each_problem_is_that_of_its_file(trees):
    _, archive = trees
    damage(target(archive, 0))
    target(archive, 1).unlink()
    checked = check(archive)
    assert not checked.is_sound
    by_name = {one.file: one for one in checked.files}
    assert by_name[str(target(archive, 0))].found.problems
    assert "not there any more" in by_name[str(target(archive, 1))].error
    assert by_name[str(target(archive, 2))].is_sound


@pytest.mark.parametrize("with_sources", [False, True])
def test_a_conversion_of_another_source_than_the_ledgers_is_a_problem(trees, with_sources):
    source, archive = trees
    other = write_slide(archive.with_name("other.svs"), side=230)
    target(archive, 0).unlink()
    convert_slide(other, target(archive, 0), CONFIG)
    shutil.copyfile(source / NAMES[2], target(archive, 2))
    found = {one.file: one for one in check(archive, against=source if with_sources else None).files}
    for number in (0, 2):
        assert {one.code for one in found[str(target(archive, number))].found.problems} >= {"source-differs"}
    assert found[str(target(archive, 1))].is_sound
    if not with_sources:
        problems = [found[str(target(archive, number))].found.problems[0].message for number in (0, 2)]
        assert "is the conversion of another file than the ledger says" in problems[0]
        assert "holds no provenance" in problems[1]


def test_a_later_conversion_of_the_ledgers_source_is_sound(trees):
    source, archive = trees
    target(archive, 0).unlink()
    convert_slide(source / NAMES[0], target(archive, 0), CONFIG)
    assert check(archive).is_sound


def test_without_a_ledger_files_count_by_suffix_and_foreign_ones_are_passed_by(trees):
    _, archive = trees
    shutil.rmtree(archive / ".wsicomp")
    write_slide(archive / "foreign.tif")
    (archive / "notes.txt").write_text("no slide")
    (archive / ".hidden.tiff").write_bytes(b"nothing")
    checked = check(archive)
    assert (checked.is_sound, len(checked.files), checked.foreign) == (True, 3, 1)
    (archive / "zeros.tiff").write_bytes(bytes(1000))
    checked = check(archive)
    assert [one.file for one in checked.files if not one.is_sound] == [str(archive / "zeros.tiff")]


def test_a_foreign_file_that_is_named_is_checked(trees):
    source, archive = trees
    checked = check(source / NAMES[0], target(archive, 0), archive / "none.tiff")
    found = {one.file: one for one in checked.files}
    assert found[str(source / NAMES[0])].is_sound
    assert not found[str(source / NAMES[0])].found.has_provenance
    assert found[str(target(archive, 0))].is_sound
    assert "no such file" in found[str(archive / "none.tiff")].error


def test_a_file_that_is_named_twice_is_checked_once(trees):
    _, archive = trees
    assert len(check(archive, target(archive, 0)).files) == 3


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_tree_is_compared_with_the_tree_of_its_sources(trees, is_lost):
    source, archive = trees
    if is_lost:
        shutil.rmtree(archive / ".wsicomp")
    assert check(archive, against=source).is_sound
    write_slide(source / NAMES[0], side=230)
    (source / NAMES[1]).unlink()
    found = {one.file: one for one in check(archive, against=source).files}
    assert found[str(target(archive, 0))].found.problems
    assert "no such file" in found[str(target(archive, 1))].error
    assert found[str(target(archive, 2))].is_sound


def test_what_cannot_be_checked_is_refused(trees, tmp_path):
    source, archive = trees
    with pytest.raises(ConfigError, match="`against` goes with one file"):
        check(archive, source, against=source)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SlideReadError, match="holds no file that wsicomp could have written"):
        check(tmp_path / "empty")
    (archive / ".wsicomp/ledger.sqlite").write_bytes(b"no ledger")
    with pytest.raises(LedgerError):
        check(archive)


def test_a_stop_says_how_many_were_not_finished(trees):
    _, archive = trees
    stop = Stop()
    stop.request()
    checked = check(archive, stop=stop)
    assert (checked.why, checked.unfinished, checked.is_sound) == ("stopped", 3, False)
