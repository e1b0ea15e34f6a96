"""Stored tiles that are read many at once."""

from contextlib import closing

import pytest

from tests import tiffs
from wsicomp import ConversionConfig, convert_slide
from wsicomp.errors import SlideReadError
from wsicomp.formats.opening import open_reader
from wsicomp.formats.tiff.directories import TiffFile

FAR = 1 << 15
"""Bytes behind which a range is read by itself."""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "bytes").write_bytes(bytes(range(256)) * 512)
    with closing(TiffFile(tmp_path / "bytes")) as found:
        yield found


@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 10), (10, 5), (15, 1)],
        [(40, 4), (0, 4), (40, 4), (20, 0), (0, 0)],
        [(0, 100), (10, 5), (50, 80), (99, 1)],
        [(FAR, 8), (0, 8), (3 * FAR, 8)],
        [],
    ],
    ids=["one after another", "in any order", "over each other", "far apart", "none"],
)
def test_ranges_read_together_are_those_read_alone(file, ranges):
    assert file.read_many(ranges, "tiles") == [file.read(*one, "tile") for one in ranges]


@pytest.mark.parametrize("wrong", [(131_000, 1000), (-5, 3), (1 << 40, 1)])
def test_a_range_that_the_file_does_not_have_is_refused_among_others(file, wrong):
    with pytest.raises(SlideReadError):
        file.read_many([(0, 10), wrong], "tiles")


@pytest.mark.parametrize("is_converted", [False, True])
def test_tiles_read_together_are_those_read_alone(tmp_path, is_converted):
    path = tiffs.write_tiff(tmp_path / "source.svs", 400, 300)
    if is_converted:
        convert_slide(path, tmp_path / "target.svs", ConversionConfig.of(margin_um=0))
        path = tmp_path / "target.svs"
    with closing(open_reader(path)) as slide:
        for number, level in enumerate(slide.info.levels):
            tiles = list(level.grid.raster(number))
            assert slide.read_stored_tiles(tiles) == [slide.read_stored(tile) for tile in tiles]
