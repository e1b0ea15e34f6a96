"""Several recipes in one level: regions of another quality, written, read back, verified and measured."""

import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

import wsicomp
from tests.drawn import forged
from wsicomp.codecs.quality import fidelity
from wsicomp.codecs.registry import create_codec
from wsicomp.conversion.convert import write_pyramid
from wsicomp.conversion.prepare import prepare
from wsicomp.conversion.report import describe_conversion
from wsicomp.formats.converted.writer import PyramidWriter
from wsicomp.formats.opening import open_converted, open_reader
from wsicomp.geometry import Region
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, Recipe, TileAction
from wsicomp.progress import Stages, no_progress
from wsicomp.verification.verify import verify_slide

CONFIG = forged.COPIED.changed(codec="jpegxl", distance=1.0, effort=1, glass="keep")
FINE, COARSE = {"distance": 0.5, "effort": 1}, {"distance": 6.0, "effort": 1}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipes") / "slide.svs"
    forged.draw_tissue(path)
    return path


def encoded_by(codec, options):
    made = create_codec(codec, options)
    return Recipe(codec, made.config(), made.encoding, made.encoding, TileAction.ENCODE)


def halved(level, recipes):
    """The left half of a level by the first recipe, the right half by the second."""
    chosen = np.zeros(level.actions.shape, np.uint8)
    chosen[:, chosen.shape[1] // 2 :] = 1
    actions = np.array([recipe.action.value for recipe in recipes])[chosen]
    return replace(level, recipes=tuple(recipes), chosen=chosen, actions=actions)


def write(source, target, config, recipes):
    """Convert by a plan whose largest level has two recipes; returns the plan that was written."""
    with closing(open_reader(source)) as slide:
        prepared = prepare(slide, config, Stages())
        levels = (halved(prepared.plan.levels[0], recipes), *prepared.plan.levels[1:])
        prepared = replace(prepared, plan=replace(prepared.plan, levels=levels))
        with PyramidWriter(target, prepared.plan, slide.info.icc_profile, overwrite=True) as writer:
            write_pyramid(writer, slide, prepared, config, no_progress)
            writer.commit()
    return prepared.plan


def verified(target, source, is_fresh=False):
    with closing(open_reader(source)) as slide:
        sha256 = prepare(slide, CONFIG, Stages()).plan.source.sha256
        return verify_slide(target, slide, sha256, 1, no_progress, is_fresh=is_fresh)


def psnr_of_halves(target, source):
    with closing(open_reader(target)) as made, closing(open_reader(source)) as slide:
        size = slide.info.size
        halves = (Region(x, 0, size.width // 2, size.height) for x in (0, size.width // 2))
        return [fidelity(slide.read_region(0, half), made.read_region(0, half)).psnr for half in halves]


def test_two_distances_in_one_level_are_written_read_back_verified_and_seen(source, tmp_path):
    target = tmp_path / "target.tiff"
    recipes = [encoded_by("jpegxl", FINE), encoded_by("jpegxl", COARSE)]
    plan = write(source, target, CONFIG, recipes)
    with closing(open_reader(target)) as made:
        assert made.provenance is not None
        found = made.provenance.plan
        assert json.dumps(found.to_json(), sort_keys=True) == json.dumps(plan.to_json(), sort_keys=True)
        assert [recipe.options["distance"] for recipe in found.levels[0].recipes] == [0.5, 6.0]
        assert made.info.levels[0].encoding == recipes[0].encoding
    for is_fresh in (True, False):
        assert verified(target, source, is_fresh).problems == ()
    fine, coarse = psnr_of_halves(target, source)
    assert fine > coarse + 5, "the halves are of the quality that their recipes ask"


def test_a_tile_is_held_to_its_own_recipe_and_not_to_that_of_its_neighbours(source, tmp_path):
    """A coarse half that says it is fine is told: no tolerance is a level's."""
    target = tmp_path / "target.tiff"
    fine, coarse = encoded_by("jpegxl", FINE), encoded_by("jpegxl", {"distance": 15.0, "effort": 1})
    write(source, target, CONFIG, [fine, coarse])
    assert verified(target, source).problems == ()
    forged._edit(target, lambda values: values["plan"]["levels"][0].update(further_recipes=[fine.to_json()]))
    places = {problem.place for problem in verified(target, source).problems}
    assert places, "tiles are worse than their recipe makes them"
    assert all("(2," in place or "(3," in place for place in places)


def test_each_recipe_of_a_guarded_codec_has_figures_of_its_own(source, tmp_path):
    target = tmp_path / "target.svs"
    config = forged.GUARDED.changed(glass="keep")
    write(source, target, config, [encoded_by("jpeg2000", {"psnr": psnr}) for psnr in (44.0, 30.0)])
    with closing(open_reader(target)) as made:
        record = made.provenance.levels[0]
    fine, coarse = record.guarded_by_recipe
    assert fine.least_psnr > coarse.mean_psnr
    assert record.guarded.tiles == fine.tiles + coarse.tiles == 16
    assert record.guarded.least_psnr == coarse.least_psnr
    with closing(open_converted(target)) as made:
        report = describe_conversion(source, target, made.provenance, None, Stages()).to_json()
    assert [recipe["options"]["psnr"] for recipe in report["levels"][0]["recipes"]] == [44.0, 30.0]
    assert [recipe["guarded"]["tiles"] for recipe in report["levels"][0]["recipes"]] == [8, 8]
    assert "recipes" not in report["levels"][1], "one recipe is told as it always was"
    for is_fresh in (True, False):
        assert verified(target, source, is_fresh).problems == ()


def test_tiles_that_come_back_byte_for_byte_stand_beside_encoded_ones(source, tmp_path):
    target = tmp_path / "target.tiff"
    with closing(open_reader(source)) as slide:
        packed = prepare(slide, forged.PACKED, Stages()).plan.levels[0].recipes[0]
        write(source, target, CONFIG, [packed, encoded_by("jpegxl", COARSE)])
        with closing(open_reader(target)) as made:
            assert made.info.levels[0].encoding is None, "its tiles come back in several ways"
            for index in made.info.levels[0].grid.raster(0):
                is_same = made.read_encoded_tile(index) == slide.read_encoded_tile(index)
                assert is_same == (index.column < 2)
    again = wsicomp.convert_slide(target, tmp_path / "again.tiff", CONFIG)
    assert (again.levels[0].encoded, again.levels[0].copied) == (16, 0), "it is a source by its pixels"
    for is_fresh in (True, False):
        assert verified(target, source, is_fresh).problems == ()


def test_a_plan_of_one_recipe_is_the_json_that_it_always_was(source):
    with closing(open_reader(source)) as slide:
        level = prepare(slide, CONFIG, Stages()).plan.levels[0].to_json()
    expected = "number size tile source_level reduction codec options encoding shown actions"
    assert list(level) == expected.split()


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe_rows": ["2a2b"] * 3},
        {"recipe_rows": ["2a2c"] * 4},
        {"recipe_rows": ["2a1b"] * 4},
        {"further_recipes": []},
        {"further_recipes": [encoded_by("jpegxl", FINE).to_json()] * 26},
        {"further_recipes": [encoded_by("jpeg", {}).to_json()]},
        {"further_recipes": [{"codec": "jpegxl"}]},
    ],
)
def test_recipes_that_do_not_fit_their_level_are_refused(source, changes):
    with closing(open_reader(source)) as slide:
        plan = prepare(slide, CONFIG, Stages()).plan
    level = halved(plan.levels[0], [encoded_by("jpegxl", FINE), encoded_by("jpegxl", COARSE)])
    assert ConversionPlan.from_json(replace(plan, levels=(level,)).to_json()).levels[0].chosen is not None
    with pytest.raises((ValueError, KeyError)):
        LevelPlan.from_json({**level.to_json(), **changes})
