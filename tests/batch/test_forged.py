"""A batch that takes sources away meets targets that others made: no slide is lost to any of them."""

import hashlib
from contextlib import closing
from dataclasses import replace

import numpy as np
import openslide
import pytest

from tests.batch.trees import entries, run, sha256
from tests.drawn import forged, nights
from wsicomp import convert_slide
from wsicomp.batch.entry import State
from wsicomp.batch.proof import ProofJob
from wsicomp.formats.opening import open_tiff

pytestmark = pytest.mark.gate

QUARANTINE = ".wsicomp-quarantine"
NAMES = (
    "every tile blank",
    "one tile blank",
    "the small level blank",
    "a level left out",
    "without label and macro, and says so",
    "without a mask",
    "with another slide's name",
)


def proof(source, target, config=forged.COPIED, **changes):
    """The job by which a source may go, by a ledger that believes the target."""
    with closing(open_tiff(target)) as slide:
        stated = slide.provenance.plan.source.sha256
    job = ProofJob("slide.svs", source, target, stated, sha256(target), True, config, **changes)
    return job.run(lambda *_: None)


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    return forged.draw_two(tmp_path_factory.mktemp("forged"))


@pytest.mark.parametrize(
    "name", ["every tile blank", "painted over", "lost", "without a mask", "every tile empty"]
)
def test_a_forged_target_is_no_proof_whoever_looked_at_it(slides, tmp_path, name):
    source, other = slides
    target = tmp_path / "target.tiff"
    forged.forge(source, target, forged.FORGERIES[name], other)
    outcome = proof(source, target, forged.FORGERIES[name].config, released=True)
    assert outcome.state == "skipped", outcome
    assert "the target failed its check: " in outcome.error
    assert any(code in outcome.error for code in forged.FORGERIES[name].codes)


def test_a_remainder_that_rebuilds_another_slide_is_no_proof(slides, tmp_path):
    source, other = slides
    target = tmp_path / "target.tiff"
    forged.restorable_lie(source, target, other)
    outcome = proof(source, target)
    assert outcome.state == "skipped"
    assert "not-restorable" in outcome.error


def test_a_sound_target_by_other_choices_is_no_proof(slides, tmp_path):
    target = tmp_path / "target.tiff"
    convert_slide(slides[0], target, forged.POOR)
    assert proof(slides[0], target, forged.POOR).state == "done"
    outcome = proof(slides[0], target, forged.COPIED, released=True)
    assert outcome.state == "skipped"
    assert "the options of this run would make another conversion" in outcome.error


def _says_tissue(values, source):
    values["mask"]["tissue_fraction_with_margin"] = 0.25


def _first_row(value):
    def change(plan):
        levels = []
        for level in plan.levels:
            actions = level.actions.copy()
            actions[0] = value
            levels.append(replace(level, actions=actions))
        return replace(plan, levels=tuple(levels))

    return change


def _as_lettered(level, index, made):
    is_kept = level.plan.actions[index.row, index.column] == "C"
    return forged.MadeTile(level.slide.read_encoded_tile(index).data if is_kept else None)


def test_a_target_that_says_that_tissue_was_found_waits_for_a_person_all_the_same(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    target.mkdir()
    nights.draw_glass(source / "glass.svs", 1)
    forgery = forged.Forgery(forged.COPIED, (), _first_row("C"), _as_lettered, _says_tissue)
    forged.forge(source / "glass.svs", target / "glass.svs", forgery)
    outcome = proof(source / "glass.svs", target / "glass.svs")
    assert (outcome.state, outcome.facts) == (State.LOOK, ())
    assert "no tissue was found" in outcome.error
    run(source, target, forged.COPIED, delete_source=True, even_if_lossy=True, quarantine_days=0)
    (entry,) = entries(target).values()
    assert entry.adopted
    assert entry.state is State.LOOK
    assert (source / "glass.svs").exists()


def shown(path):
    with openslide.OpenSlide(path) as slide:
        return np.asarray(slide.read_region((0, 0), 0, slide.level_dimensions[0]).convert("RGB")).astype(int)


def test_no_source_is_lost_to_a_forged_target_under_a_batch_that_deletes(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    before = {}
    source.mkdir()
    target.mkdir()
    other = tmp_path / "other.svs"
    forged.draw_tissue(other, 99)
    for number, forgery in enumerate(forged.FORGERIES[name] for name in NAMES):
        path = source / f"{number}.svs"
        forged.draw_tissue(path, number)
        before[path.name] = path, shown(path), hashlib.sha256(path.read_bytes()).hexdigest()
        forged.forge(path, target / f"{number}.svs", forgery, other)
    result = run(source, target, forged.COPIED, delete_source=True, even_if_lossy=True, min_saving=0)
    assert result.converted == len(NAMES)
    for name, entry in entries(target).items():
        path, pixels, digest = before[name]
        assert entry.target == name, "which is where the forged one stood"
        assert not entry.adopted, "none of them was taken on"
        assert "what stood in its place was not its conversion and was replaced (" in entry.notes
        held = source / QUARANTINE / name
        kept = path if path.exists() else held
        assert sha256(kept) == digest
        tissue = pixels.max(-1) < 200
        assert np.array_equal(shown(target / name)[tissue], pixels[tissue])


@pytest.mark.parametrize("config", [forged.COPIED, forged.ENCODED, forged.EMPTIED], ids=lambda one: one.codec)
def test_an_honest_target_without_a_ledger_is_taken_on_again(tmp_path, config):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    forged.draw_tissue(source / "slide.svs")
    run(source, target, config, jobs=1)
    (target / ".wsicomp/ledger.sqlite").unlink()
    run(source, target, config, jobs=1)
    (entry,) = entries(target).values()
    assert entry.adopted
