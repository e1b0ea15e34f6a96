"""Real labelled sections made into slides: no tile with true tissue of 50 um or more is ever blanked."""

import pytest
from PIL import Image

import wsicomp
from tests.conftest import SLIDES
from tests.labelled import labelled_rows, make_slide
from tests.tissue.pieces import has_large_piece
from wsicomp import ConversionConfig
from wsicomp.plan.level_plan import TileAction

pytestmark = pytest.mark.gate

SECTIONS = SLIDES.parent / "sections"
ROWS = labelled_rows(SECTIONS)
FINDERS = ("unet", "threshold", "blind mask")
SECTIONS_AND_FINDERS = [
    pytest.param(
        row,
        finder,
        id=f"{row['name']}-{finder}",
        marks=() if number % 4 == 0 and finder == FINDERS[number // 4 % 3] else pytest.mark.slow,
    )
    for number, row in enumerate(ROWS)
    for finder in FINDERS
]
"""At the gate every fourth section, by one finder after another."""
GLASS, TISSUE = 0, 255


def blanked_tissue(plan, labels, mpp):
    """(tiles of 50 um of tissue that the plan blanks, tiles blanked, tiles of glass alone)."""
    level = plan.levels[0]
    lost = blank = glass = 0
    for index in level.grid.raster(0):
        region = level.grid.region(index.column, index.row)
        part = labels[region.y : region.y + region.height, region.x : region.x + region.width]
        is_blank = level.actions[index.row, index.column] == TileAction.BLANK.value
        blank += is_blank
        glass += bool((part == GLASS).all())
        lost += is_blank and has_large_piece(part == TISSUE, mpp)
    return lost, blank, glass


@pytest.mark.slides
@pytest.mark.parametrize(("row", "finder"), SECTIONS_AND_FINDERS)
def test_no_tile_with_tissue_of_a_real_section_is_blanked(row, finder, tmp_path):
    path, labels, mpp = make_slide(SECTIONS, row, tmp_path)
    config = ConversionConfig() if finder == "blind mask" else ConversionConfig.of(segmenter=finder)
    if finder == "blind mask":
        nothing = tmp_path / "nothing.png"
        Image.new("L", labels.shape[::-1]).save(nothing)
        config = ConversionConfig.of(mask=nothing)
    plan = wsicomp.plan_slide(path, config)
    lost, _, _ = blanked_tissue(plan, labels, mpp)
    assert lost == 0
