"""Regions as arrays: the picture's very pixels, or those on white, for every kind of place."""

import numpy as np
import openslide
import pytest
from PIL import Image

import wsicomp
from wsicomp import ConversionConfig, SlideArgumentError, TileCache
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

PLAIN = {"segmenter": "threshold", "margin_um": 0}
OPTIONS = {
    "copy.svs": {"codec": "copy", "glass": "keep"},
    "packed.tiff": {"codec": "jpegxl", "lossless": True, **PLAIN},
    "empty.tiff": {"codec": "copy", "glass": "empty", **PLAIN},
}
PLACES = {
    "inside": ((300, 200), 0, (300, 200)),
    "between pixels": ((301, 203), 1, (200, 150)),
    "across the corner": ((1400, 1000), 0, (400, 300)),
    "left of and above": ((-100, -50), 0, (300, 200)),
    "left of a lower level": ((-101, -50), 1, (300, 200)),
    "wholly outside": ((-900, -900), 0, (100, 100)),
    "beyond": ((9000, 9000), 0, (100, 100)),
    "no level": ((0, 0), 7, (20, 10)),
    "nothing": ((0, 0), 0, (0, 5)),
    "one pixel": ((77, 78), 0, (1, 1)),
    "one column": ((77, 78), 0, (1, 600)),
    "one row": ((77, 78), 0, (600, 1)),
    "all": ((0, 0), 0, (1507, 1103)),
    "all of a lower level": ((0, 0), 1, (377, 276)),
}


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays")
    drawn = SyntheticSlide(Size(1507, 1103), seed=3, sections=1, tissue_fraction=0.2)
    write_slide(folder / "source.svs", drawn, SyntheticFormat(downsamples=(1, 4)))
    opened = {}
    for name, options in OPTIONS.items():
        wsicomp.convert_slide(folder / "source.svs", folder / name, ConversionConfig.of(**options))
        opened[name] = wsicomp.open_slide(folder / name)
    opened["source.svs"] = wsicomp.open_slide(folder / "source.svs")
    yield opened
    for slide in opened.values():
        slide.close()


def laid_on_white(picture):
    """As DeepZoom lays a picture on its background."""
    return Image.composite(picture, Image.new("RGB", picture.size, "white"), picture)


@pytest.mark.parametrize("name", [*OPTIONS, "source.svs"])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_an_array_has_the_pictures_pixels(slides, name, place):
    slide, shape = slides[name], (place[2][1], place[2][0])
    picture = slide.read_region(*place)
    for array, expected in (
        (slide.read_region(*place, as_array=True, channels=4), picture),
        (slide.read_region(*place, as_array=True), laid_on_white(picture)),
    ):
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.shape == (*shape, len(expected.getbands()))
        if array.size:
            assert np.array_equal(array, np.asarray(expected))


def test_absent_tiles_are_white_without_alpha_and_four_zeros_with_it(slides):
    slide = slides["empty.tiff"]
    colored = slide.read_region((0, 0), 0, slide.dimensions, as_array=True, channels=4)
    absent = colored[..., 3] == 0
    assert 0.02 < absent.mean() < 0.98
    assert not colored[absent].any()
    white = slide.read_region((0, 0), 0, slide.dimensions, as_array=True)
    assert (white[absent] == 255).all()
    assert np.array_equal(white[~absent], colored[~absent][:, :3])


def test_an_array_is_the_callers_own(slides):
    slide = slides["copy.svs"]
    before = slide.read_region((0, 0), 0, (256, 256), as_array=True, channels=4)
    expected = before.copy()
    before[:] = 7
    assert np.array_equal(slide.read_region((0, 0), 0, (256, 256), as_array=True, channels=4), expected)


def test_a_region_larger_than_openslides_canvases_is_one_array(slides):
    slide = slides["copy.svs"]
    array = slide.read_region((-2000, -1500), 0, (5000, 4200), as_array=True)
    assert (array[:1500] == 255).all()
    assert np.array_equal(
        array[1500:2603, 2000:3507], slide.read_region((0, 0), 0, (1507, 1103), as_array=True)
    )
    assert (array[2603:] == 255).all()


@pytest.mark.parametrize("name", ["copy.svs", "source.svs"])
@pytest.mark.parametrize("channels", [1, 5, None, "4"])
def test_other_channels_are_refused(slides, name, channels):
    with pytest.raises(SlideArgumentError, match="channels; expected 3 or 4"):
        slides[name].read_region((0, 0), 0, (5, 5), as_array=True, channels=channels)


def test_a_cache_of_bytes_holds_alpha_too(slides):
    slide = slides["copy.svs"]
    cache = TileCache(1 << 20)
    slide.set_cache(cache)
    tile = slide.read_region((0, 0), 0, (256, 256), as_array=True)
    assert cache.bytes == 256 * 256 * 4
    assert np.array_equal(tile, slide.read_region((0, 0), 0, (256, 256), as_array=True))
    slide.read_region((1300, 0), 0, (200, 200))
    assert cache.bytes == 256 * 256 * 4 + 256 * (1507 - 5 * 256) * 4


def test_the_source_is_openslides(slides):
    assert isinstance(slides["source.svs"], openslide.OpenSlide)
