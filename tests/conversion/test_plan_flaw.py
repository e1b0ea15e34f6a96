"""A plan that has a conversion's digest has to be its plan: whatever else it says is told."""

from dataclasses import replace

import pytest

from tests.drawn import forged
from wsicomp.config import ConversionConfig
from wsicomp.conversion.prepare import plan_flaw, prepare
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.progress import Stages

CONFIGS = (
    forged.WHITE,
    forged.COPIED,
    forged.ENCODED,
    forged.EMPTIED,
    forged.KEPT,
    forged.PACKED,
    forged.RESTORABLE,
)


@pytest.mark.parametrize("config", [*CONFIGS, forged.WHITE.changed(levels="full")])
def test_the_plan_of_a_conversion_has_no_flaw(slide, config):
    plan = prepare(slide, config, Stages()).plan
    read = ConversionPlan.from_json(plan.to_json())
    assert plan_flaw(slide, plan.source.sha256, config, read) == ""


def test_every_other_word_of_a_plan_is_told(slide):
    config: ConversionConfig = forged.WHITE
    plan = prepare(slide, config, Stages()).plan
    worse = tuple(forged.other_recipes(level, options={"quality": 1}) for level in plan.levels)
    others = {
        "levels": worse,
        "images": (),
        "dropped": ("label",),
        "container": "tiff",
        "mpp": None,
        "objective_power": 40.0,
        "description": "Aperio|MPP = 0.1",
        "overview": True,
        "codec": "copy",
        "background": (1, 2, 3),
    }
    for name, value in others.items():
        told = plan_flaw(slide, plan.source.sha256, config, replace(plan, **{name: value}))
        assert told == f"plan-differs: file: its {name} is not what this conversion has"
    other = replace(plan, stated_config={**plan.stated_config, "quality": 1})
    told = plan_flaw(slide, plan.source.sha256, config, other)
    assert told == "plan-differs: file: its config is not what this conversion has"
    for name, value in (("from_level", 1), ("z", 1)):
        other = replace(plan, stated_config={**plan.stated_config, name: value})
        told = plan_flaw(slide, plan.source.sha256, config, other)
        assert told == "plan-differs: file: its config is not what this conversion has"
    assert "made from another file" in plan_flaw(slide, "0" * 64, config, plan)


def test_the_quality_that_another_version_took_by_itself_is_no_flaw_and_one_that_was_chosen_is(slide):
    pytest.importorskip("constriction")
    config = ConversionConfig.of(codec="he-compact", glass="keep")
    for options, quality, is_same in (({}, 4, True), ({"quality": 2}, 4, False)):
        chosen = config.changed(**options)
        plan = prepare(slide, chosen, Stages()).plan
        own = dict(plan.levels[0].recipes[0].options)
        levels = tuple(
            forged.other_recipes(level, options={**own, "quality": quality}) for level in plan.levels
        )
        told = plan_flaw(slide, plan.source.sha256, chosen, replace(plan, levels=levels))
        assert (told == "") is is_same
        lower = tuple(forged.other_recipes(level, options={**own, "min_ssim": 0.1}) for level in plan.levels)
        assert plan_flaw(slide, plan.source.sha256, chosen, replace(plan, levels=lower))
