"""Glass is smoothed only where that decides a colour."""

import numpy as np
import pytest

from tests.conftest import each_of
from wsicomp.conversion import glass_shades
from wsicomp.conversion.convert import plan_slide
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticSlide, write_slide
from wsicomp.tissue.bare_glass import BareGlass


@pytest.mark.parametrize(("size", "seed"), each_of([Size(600, 500), Size(3000, 2200)], [3, 4]))
def test_a_plan_is_the_same_as_with_glass_that_is_always_smoothed(size, seed, tmp_path, monkeypatch):
    write_slide(tmp_path / "slide.svs", SyntheticSlide(size, seed=seed, tissue_fraction=0.1))
    plan = plan_slide(tmp_path / "slide.svs")
    monkeypatch.setattr(glass_shades, "_inner", lambda level: np.ones_like(level.actions, np.bool_))
    assert plan_slide(tmp_path / "slide.svs").to_json() == plan.to_json()


def test_a_slide_without_an_area_of_glass_is_not_smoothed(tmp_path, monkeypatch):
    write_slide(tmp_path / "slide.svs", SyntheticSlide(Size(500, 400), seed=3))
    monkeypatch.setattr(BareGlass, "smoothed", None)
    assert len(plan_slide(tmp_path / "slide.svs").palette) == 1
