"""What was made from another slide is never replaced, whatever the names and the ledger say."""

import re
import shutil

import pytest

from tests.batch.trees import CONFIG, RESTORABLE, assert_agrees, entries, files, run, sha256, write_slide
from tests.drawn import ledgers
from tests.drawn.nights import draw_tissue
from wsicomp import restore_slide
from wsicomp.batch import plan_batch, rebuild_ledger
from wsicomp.batch.entry import State
from wsicomp.conversion.convert import convert_slide
from wsicomp.text.paths import as_text

pytestmark = pytest.mark.gate

NAME = "a/slide.svs"
TARGET = f"{NAME}.tiff"
AGAIN = RESTORABLE.changed(overwrite=True)


@pytest.fixture(scope="module")
def first_night(tmp_path_factory):
    """A slide that was deleted after its proof, whose conversion is all that is left, and one beside it."""
    folder = tmp_path_factory.mktemp("night")
    draw_tissue(folder / "source" / NAME, 1)
    digest = sha256(folder / "source" / NAME)
    run(folder / "source", folder / "target", RESTORABLE, delete_source=True, quarantine_days=0)
    assert not (folder / "source" / NAME).exists()
    draw_tissue(folder / "source/a/kept.svs", 2)
    assert run(folder / "source", folder / "target", RESTORABLE).converted == 1
    return folder, digest


@pytest.fixture
def trees(first_night, tmp_path):
    """A copy of them, with its own times."""
    folder, digest = first_night
    shutil.copytree(folder, tmp_path / "night")
    source, target = tmp_path / "night/source", tmp_path / "night/target"
    ledgers.edit(target, ("UPDATE facts SET value = ?", (as_text(source),)))
    return source, target, digest


def comes_back(target, digest, folder):
    """Whether the slide that was deleted can be rebuilt from a file."""
    restore_slide(target, folder / "again.svs", overwrite=True)
    return sha256(folder / "again.svs") == digest


@pytest.mark.parametrize("loss", ["lost", "rebuilt", "emptied", "sound"])
def test_a_new_slide_by_the_name_of_a_deleted_one_never_costs_its_only_copy(trees, tmp_path, loss):
    source, target, digest = trees
    if loss in ("lost", "rebuilt"):
        shutil.rmtree(target / ".wsicomp")
    if loss == "rebuilt":
        rebuild_ledger(target)
    if loss == "emptied":
        ledgers.edit(target, "DELETE FROM slides")
    before = (target / TARGET).read_bytes()
    draw_tissue(source / NAME, 3)
    result = run(source, target, AGAIN)
    assert (result.converted, result.failures) == (0, 1)
    assert (target / TARGET).read_bytes() == before
    assert comes_back(target / TARGET, digest, tmp_path)
    if loss != "sound":
        entry = entries(target)[NAME]
        assert (entry.state, entry.cause) == (State.FAILED, "target of another slide")
        assert "made from another slide (slide.svs, SHA-256 " in entry.error
        assert "give this slide another name, or move that file" in entry.error
        (source / NAME).rename(source / "a/new.svs")
        assert run(source, target, RESTORABLE).converted == 1
        assert (target / TARGET).read_bytes() == before


def test_a_conversion_by_hand_is_replaced_only_if_it_is_of_this_slide(trees):
    source, target, _ = trees
    convert_slide(source / "a/kept.svs", target / "a/third.svs.tiff", RESTORABLE)
    write_slide(source / "a/fourth.svs", 5)
    convert_slide(source / "a/fourth.svs", target / "a/fourth.svs.tiff", CONFIG)
    draw_tissue(source / "a/third.svs", 4)
    before = files(target)
    result = run(source, target, AGAIN)
    assert (result.converted, result.failures) == (1, 1)
    after = files(target)
    assert [name for name in after if after[name] != before[name]] == ["a/fourth.svs.tiff"]


def test_a_slide_that_changed_is_converted_and_what_was_made_before_stays(trees, tmp_path):
    source, target, _ = trees
    digest, before = sha256(source / "a/kept.svs"), (target / "a/kept.svs.tiff").read_bytes()
    draw_tissue(source / "a/kept.svs", 6)
    assert run(source, target, RESTORABLE).converted == 1
    aside = target / ".wsicomp/aside/a/kept.svs.tiff"
    assert aside.read_bytes() == before
    assert comes_back(aside, digest, tmp_path)
    told = f"the conversion of an earlier slide by this name stood in its place, and is now {aside}"
    assert told in entries(target)["a/kept.svs"].notes.splitlines()
    assert_agrees(target)


def test_another_slides_conversion_in_a_targets_place_is_told_as_what_it_is(trees, tmp_path):
    source, target, _ = trees
    draw_tissue(tmp_path / "other.svs", 7)
    stranger = target / "a/kept.svs.tiff"
    convert_slide(tmp_path / "other.svs", stranger, CONFIG.changed(overwrite=True))
    assert run(source, target, RESTORABLE).converted == 1
    aside = target / ".wsicomp/aside/a/kept.svs.tiff"
    told = (
        rf"a conversion of another slide \(other\.svs, SHA-256 {sha256(tmp_path / 'other.svs')[:16]}\) "
        f"stood in its place, and is now {aside}"
    )
    assert re.search(told, entries(target)["a/kept.svs"].notes)


def test_a_slide_that_changed_and_is_converted_otherwise_leaves_what_was_made_before(trees):
    source, target, _ = trees
    before = (target / "a/kept.svs.tiff").read_bytes()
    draw_tissue(source / "a/kept.svs", 6)
    assert run(source, target, CONFIG.changed(codec="jpeg"), reconvert=True).converted == 1
    assert entries(target)["a/kept.svs"].target == "a/kept.svs"
    assert (target / "a/kept.svs.tiff").read_bytes() == before
    assert "stays: it was not made from this slide" in entries(target)["a/kept.svs"].notes


@pytest.mark.parametrize("damage", ["provenance", "directory", "cut"])
def test_a_damaged_conversion_of_nobody_knows_what_is_not_replaced(trees, damage):
    source, target, _ = trees
    shutil.rmtree(target / ".wsicomp")
    path = target / TARGET
    data = bytearray(path.read_bytes())
    if damage == "provenance":
        at = data.index(b"urn:wsicomp:") + 200
        data[at] ^= 1
    elif damage == "directory":
        at = int.from_bytes(data[4:8], "little")
        data[at : at + 40] = bytes(40)
    else:
        del data[len(data) // 2 :]
    path.write_bytes(data)
    draw_tissue(source / NAME, 3)
    run(source, target, AGAIN)
    assert path.read_bytes() == bytes(data)
    assert entries(target)[NAME].cause == "target of another slide"


def test_a_dry_run_reads_a_rebuilt_ledger(trees):
    source, target, _ = trees
    shutil.rmtree(target / ".wsicomp")
    rebuilt = rebuild_ledger(target)
    assert {entry.source for entry in rebuilt.entries} == {"a/kept.svs", NAME}
    survey, _ = plan_batch(source, target, RESTORABLE)
    assert [entry.source for entry in survey.due] == ["a/kept.svs"]
