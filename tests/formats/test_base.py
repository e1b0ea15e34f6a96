"""What every reader promises, whichever slide it reads."""

from contextlib import closing

import numpy as np
import pytest

import wsicomp
from tests.drawn import forged
from wsicomp.errors import SlideReadError, WsicompError
from wsicomp.formats.base import Slide
from wsicomp.formats.opening import open_converted, open_reader, open_tiff
from wsicomp.formats.openslide import OpenSlideSlide
from wsicomp.formats.picture import PictureSlide
from wsicomp.geometry import Region, TileIndex

READERS = ("tiff", "converted", "openslide", "picture")
WITH_TILES = ("tiff", "converted")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readers")
    forged.draw_tissue(folder / "slide.svs")
    wsicomp.convert_slide(folder / "slide.svs", folder / "target.tiff", forged.EMPTIED)
    return folder


def opened(reader, folder) -> Slide:
    if reader == "picture":
        return PictureSlide(folder / "picture.png", np.full((300, 200, 3), 90, np.uint8), 0.5)
    if reader == "openslide":
        return OpenSlideSlide(folder / "slide.svs")
    return open_reader(folder / {"tiff": "slide.svs", "converted": "target.tiff"}[reader])


@pytest.mark.parametrize("reader", READERS)
def test_it_says_what_it_is_without_being_asked_for_its_class(reader, folder):
    with closing(opened(reader, folder)) as slide:
        assert (slide.provenance is not None) == (reader == "converted")
        assert slide.is_by_openslide(0) == (reader == "openslide")
        ranges = slide.tile_ranges(0)
        assert ranges.shape == (slide.info.levels[0].grid.count if reader in WITH_TILES else 0, 2)
        assert slide.is_exact(0)
        assert not slide.is_redrawn_by_openslide(0)
        assert slide.openslide_mpp == slide.info.mpp


@pytest.mark.parametrize("reader", READERS)
def test_its_stored_tiles_are_those_of_its_file_or_there_are_none(reader, folder):
    index = TileIndex(0, 0, 1)
    with closing(opened(reader, folder)) as slide:
        if reader in WITH_TILES:
            offset, count = slide.tile_ranges(0)[index.row * slide.info.levels[0].grid.columns].tolist()
            stored = slide.info.path.read_bytes()[offset : offset + count]
            assert slide.stored_tile(index).data == stored != b""
        else:
            with pytest.raises(SlideReadError, match="no encoded tiles"):
                slide.stored_tile(index)


@pytest.mark.parametrize("reader", READERS)
def test_regions_with_one_key_show_the_same(reader, folder):
    with closing(opened(reader, folder)) as slide:
        grid = slide.info.levels[0].grid
        shown = {}
        for index in grid.raster(0):
            region = grid.region(index.column, index.row)
            key = slide.content_key(0, Region(region.x, region.y, region.width, region.height))
            assert (key is None) == (reader not in WITH_TILES) or reader == "converted"
            if key is not None:
                pixels = slide.read_region(0, region).tobytes()
                assert shown.setdefault(key, pixels) == pixels


def test_only_a_conversion_is_opened_as_one(folder):
    with closing(open_converted(folder / "target.tiff")) as made:
        assert made.provenance.plan.empties_glass
    with pytest.raises(WsicompError, match="wsicomp did not write it"):
        open_converted(folder / "slide.svs")
    with closing(open_tiff(folder / "slide.svs")) as source:
        assert source.provenance is None
