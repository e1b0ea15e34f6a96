"""Real labelled sections made into slides: no tile with true tissue of 50 um or more is ever blanked."""

import csv

import numpy as np
import pytest
from PIL import Image

import wsicomp
from tests import tiffs
from tests.conftest import SLIDES
from tests.tissue.pieces import has_large_piece
from wsicomp import ConversionConfig
from wsicomp.plan import TileAction

SECTIONS = SLIDES.parent / "sections"
GLASS, TISSUE = 0, 255
ASSUMED_MPP = 4.0
TILE = 64


def rows():
    if not (SECTIONS / "gt.tsv").exists():
        return []
    with (SECTIONS / "gt.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def make_slide(row, folder):
    """(SVS of the section, its labels, um per px); where the scale is unknown 4 um is taken."""
    mpp = float(row["um_per_px"] or ASSUMED_MPP)
    pixels = np.asarray(Image.open(SECTIONS / "images" / f"{row['name']}.webp").convert("RGB"))
    labels = np.asarray(Image.open(SECTIONS / "masks" / f"{row['name']}.png"))
    path = tiffs.write_tiff(
        folder / f"{row['name']}.svs",
        pixels=pixels,
        tile=(TILE, TILE),
        compressionargs={"level": 85},
        description=tiffs.DESCRIPTION.format(*pixels.shape[1::-1]).replace("MPP = 0.5", f"MPP = {mpp}"),
    )
    return path, labels, mpp


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
@pytest.mark.parametrize("row", rows(), ids=lambda row: row["name"])
@pytest.mark.parametrize("finder", ["unet", "threshold", "blind mask"])
def test_no_tile_with_tissue_of_a_real_section_is_blanked(row, finder, tmp_path):
    path, labels, mpp = make_slide(row, tmp_path)
    config = ConversionConfig() if finder == "blind mask" else ConversionConfig(segmenter=finder)
    if finder == "blind mask":
        nothing = tmp_path / "nothing.png"
        Image.new("L", labels.shape[::-1]).save(nothing)
        config = ConversionConfig(mask=nothing)
    plan = wsicomp.plan_slide(path, config)
    lost, _, _ = blanked_tissue(plan, labels, mpp)
    assert lost == 0
