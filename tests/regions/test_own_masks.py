"""What `wsicomp segment` writes is read as regions."""

from contextlib import closing

import numpy as np
import pytest

from tests.conftest import SLIDES
from tests.regions.slides import info, tiles_under
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Size
from wsicomp.regions.reader import read_regions
from wsicomp.regions.reading import RegionReading
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.mask_writer import SUFFIXES, write_mask

PIXELS = np.hypot(*np.ogrid[-30:30, -50:50]) < 22
PIXELS[28:34, 47:54] = False


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_written_mask_of_tissue_is_a_region(tmp_path, suffix):
    slide = info(Size(1000, 600))
    mask = TissueMask(PIXELS, slide.size, 10.0, 10.0, "drawn")
    write_mask(tmp_path / f"m{suffix}", mask, slide)
    regions = read_regions(tmp_path / f"m{suffix}", slide)
    found = regions.of_tiles(slide.levels[0]) > 0
    assert [each.name for each in regions.classes] == ["Tissue" if "json" in suffix else "label 255"]
    assert (found == tiles_under(PIXELS, slide.size, slide.levels[0])).all()


@pytest.mark.skipif(not (SLIDES / "breast_B4.svs").exists(), reason="needs breast_B4.svs")
def test_a_region_of_a_real_slide_keeps_its_place_on_every_level(tmp_path):
    with closing(open_reader(SLIDES / "breast_B4.svs")) as slide:
        size = slide.info.size
        pixels = np.zeros(size.shape, np.bool_)
        rows, columns = np.ogrid[: size.height, : size.width]
        pixels = (rows - 5000) ** 2 + (columns - 4000) ** 2 < 1203**2
        np.save(tmp_path / "m.npy", pixels)
        regions = read_regions(tmp_path / "m.npy", slide.info, RegionReading())
        for level in slide.info.levels:
            by_y, by_x = size.height / level.size.height, size.width / level.size.width
            found = regions.of_tiles(level) > 0
            for index in level.grid.raster(0):
                tile = level.grid.region(index.column, index.row)
                part = pixels[
                    int(tile.y * by_y + 1e-6) : int(np.ceil((tile.y + tile.height) * by_y - 1e-6)),
                    int(tile.x * by_x + 1e-6) : int(np.ceil((tile.x + tile.width) * by_x - 1e-6)),
                ]
                if part.any():
                    assert found[index.row, index.column], (level.size, index)
            assert found.mean() < 0.5
