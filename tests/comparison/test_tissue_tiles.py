"""Which tiles of a slide are tissue."""

import numpy as np

from wsicomp.comparison.tissue_tiles import edge_tiles, tissue_tiles
from wsicomp.geometry import Size, TileGrid
from wsicomp.slide import Level
from wsicomp.tissue.mask import TissueMask


class _Level:
    """As much of a level's plan as is asked for."""

    def __init__(self, number, size, tile):
        self.number = number
        self.tile = tile
        self.grid = TileGrid(size, tile)
        self._level = Level(size, tile, 1.0)

    def as_level(self, slide):
        return self._level


def test_tissue_tiles_are_half_tissue_or_where_those_are_few_have_any():
    size = Size(2048, 1024)
    level = _Level(0, size, Size(256, 256))
    pixels = np.zeros((64, 128), np.bool_)
    pixels[:, :40] = True  # two columns of tiles, and half of the third
    wide = tissue_tiles([level], size, TissueMask(pixels, size, 16, 16, "test"))
    assert {index.column for index in wide} == {0, 1, 2}
    assert len(wide) == 12
    pixels[:] = False
    pixels[:4, :4] = True
    few = tissue_tiles([level], size, TissueMask(pixels, size, 16, 16, "test"))
    assert [str(index) for index in few] == ["level 0 tile (0, 0)"]


def test_tiles_with_less_tissue_are_edge_tiles():
    size = Size(2048, 1024)
    level = _Level(0, size, Size(256, 256))
    pixels = np.zeros((64, 128), np.bool_)
    pixels[:, :20] = True  # a column of tiles, and a quarter of the second
    mask = TissueMask(pixels, size, 16, 16, "test")
    assert {index.column for index in tissue_tiles([level], size, mask)} == {0}
    assert {index.column for index in edge_tiles([level], size, mask)} == {1}


def test_tiles_that_show_too_little_for_ms_ssim_do_not_count():
    size = Size(256 + 175, 256)
    level = _Level(0, size, Size(256, 256))
    mask = TissueMask(np.ones((16, 27), np.bool_), size, 16, 16, "test")
    assert [index.column for index in tissue_tiles([level], size, mask)] == [0]
