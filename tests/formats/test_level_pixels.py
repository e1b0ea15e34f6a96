"""Levels whose downsample is no whole number show their own pixels, where OpenSlide interpolates."""

import numpy as np
import openslide
import pytest

import wsicomp
from tests.drawn import pixels_only
from wsicomp import ConversionConfig
from wsicomp.errors import TileReadError
from wsicomp.formats.level_pixels import CANVAS_PX, LevelReads, exact_starts
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Region, Size, TileIndex

SIZES = [(1100, 800), (551, 401), (276, 201)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A DICOM slide with downsamples of 1.996 and 3.983, whose level 1 lacks every second column."""
    return pixels_only.dicom_pyramid(tmp_path_factory.mktemp("dicom") / "slide", SIZES, sparse_level=1)


def levels_of(slide):
    return [
        slide.read_region(number, Region(0, 0, level.size.width, level.size.height))
        for number, level in enumerate(slide.info.levels)
    ]


def tiles_of(slide, number):
    level = slide.info.levels[number]
    whole = np.empty((*level.size.shape, 3), np.uint8)
    for index in level.grid.raster(number):
        region = level.grid.region(index.column, index.row)
        part = slide.read_tile(index)[: region.height, : region.width]
        whole[region.y : region.y + region.height, region.x : region.x + region.width] = part
    return whole


def test_openslide_interpolates_there_tile_by_tile(drawn):
    path, levels = drawn
    with openslide.OpenSlide(path) as slide:
        tile = slide.read_region((round(256 * slide.level_downsamples[1]), 0), 1, (200, 200))
    assert np.abs(np.asarray(tile)[..., :3].astype(int) - levels[1][:200, 256:456]).max() > 20


def test_every_tile_of_every_level_is_its_own_pixels(drawn):
    path, levels = drawn
    slide = open_reader(path)
    assert [level.downsample.is_integer() for level in slide.info.levels] == [True, False, False]
    for number, pixels in enumerate(levels):
        assert slide.is_exact(number)
        assert (tiles_of(slide, number) == pixels).all(), number
    assert slide.info.omitted == ()
    slide.close()


def test_a_series_that_cannot_be_taken_apart_is_read_from_where_openslide_is_exact(drawn, monkeypatch):
    monkeypatch.setattr("wsicomp.formats.openslide.dicom_levels", lambda path: {})
    path, levels = drawn
    slide = open_reader(path)
    for number, pixels in enumerate(levels):
        assert slide.is_exact(number)
        assert (tiles_of(slide, number) == pixels).all(), number
    slide.close()


@pytest.mark.parametrize("lossless", [True, False])
def test_a_lossless_conversion_holds_the_levels_as_they_were_drawn(drawn, lossless, tmp_path):
    path, levels = drawn
    options = {"codec": "jpegxl", "lossless": True, "effort": 1} if lossless else {"codec": "none"}
    config = ConversionConfig.of(glass="keep", levels="source", workers=2, **options)
    report = wsicomp.convert_slide(path, tmp_path / "target.tiff", config)
    assert report.verified
    slide = open_reader(tmp_path / "target.tiff")
    for found, pixels in zip(levels_of(slide), levels, strict=True):
        assert (found == pixels).all()
    slide.close()


class Interpolating:
    """OpenSlide as it shows a level at a downsample: exact at whole pixels, else grey rubbish."""

    def __init__(self, size, downsample):
        chance = np.random.default_rng(1)
        self.pixels = chance.integers(0, 200, (*size.shape, 3), np.uint8)
        self.downsample = downsample
        self.read_px = 0

    def __call__(self, location, size):
        self.read_px += size.width * size.height
        x, y = (value / self.downsample for value in location)
        part = self.pixels[round(y) : round(y) + size.height, round(x) : round(x) + size.width]
        assert part.shape[:2] == size.shape
        is_exact = all(abs(value - round(value)) < 1 / 512 for value in (x, y))
        is_exact = is_exact and max(size.width, size.height) <= CANVAS_PX
        return part if is_exact else np.full_like(part, 255)


@pytest.mark.parametrize("downsample", [3.986, 1.998, 1.0007, 2.00005, 4.0003, 2.5, 16.013, 1.9999])
def test_whatever_the_downsample_each_pixel_in_reach_is_exact_and_read_few_times(downsample):
    size = Size(3000, 700)
    seen = Interpolating(size, downsample)
    reads = LevelReads(size, downsample, seen)
    assert reads.reach == size
    for y in range(0, size.height, 256):
        for x in range(0, size.width, 256):
            region = Region(x, y, min(256, size.width - x), min(256, size.height - y))
            expected = seen.pixels[y : y + region.height, x : x + region.width]
            assert (reads.read(region) == expected).all(), region
    assert seen.read_px < 5 * size.width * size.height


def test_what_no_start_reaches_is_known():
    size = Size(9000, 40)
    seen = Interpolating(size, 2.00005)
    reads = LevelReads(size, 2.00005, seen)
    start = int(exact_starts(2.00005, size.width)[-1])
    assert start < 100
    assert reads.reach == Size(start + CANVAS_PX, 40)
    across = Region(reads.reach.width - 10, 0, 20, 40)
    found = reads.read(across)
    assert (found[:, :10] == seen.pixels[:, across.x : across.x + 10]).all()
    assert (found[:, 10:] == 255).all()


def test_one_damaged_frame_does_not_take_the_others_with_it(tmp_path):
    path, levels = pixels_only.dicom_pyramid(tmp_path / "slide", [(800, 300)])
    slide = open_reader(path)
    data = path.read_bytes()
    path.write_bytes(data[: -256 * 256 * 3])  # of the last frame only the first rows are left
    with pytest.raises(TileReadError):
        slide.read_tile(TileIndex(0, 3, 1))
    assert (slide.read_tile(TileIndex(0, 0, 0)) == levels[0][:256, :256]).all()
    slide.close()


def test_a_colour_profile_is_carried_byte_for_byte(tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile += bytes(4)
    path, _ = pixels_only.dicom_pyramid(tmp_path / "slide", [(300, 300)], profile=profile)
    slide = open_reader(path)
    assert slide.info.icc_profile == profile
    slide.close()
