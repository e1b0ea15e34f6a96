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
