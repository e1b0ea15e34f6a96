"""A view of a slide as a codec would store it: the bytes and the pixels that a conversion has."""

from contextlib import closing

import numpy as np
import pytest

from tests.comparison.drawn import draw_slide
from tests.conftest import REAL_SLIDES, is_small
from tests.drawn.bombs import large_tiles
from wsicomp import ConfigError, ConversionConfig
from wsicomp.codecs.quality import psnr, ssim
from wsicomp.codecs.spec_text import codec_values
from wsicomp.conversion.convert import convert_slide
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Region
from wsicomp.viewer.pictures.views import SlideView
from wsicomp.viewer.what_if.codec_dials import codec_dials, codec_text
from wsicomp.viewer.what_if.playground import encode_view

REGION = Region(100, 60, 700, 500)
CODECS = ["jpeg:60", "jpegxl:2", "jpeg2000:34", "webp:70", "jpegxl-lossless", "jpeg-lossless", "none"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_slide(tmp_path_factory.mktemp("drawn") / "slide.svs")


@pytest.fixture
def slide(drawn):
    with closing(open_reader(drawn)) as opened:
        yield opened


def converted(source, target, codec):
    config = ConversionConfig.of(**codec_values(codec_text(codec)), glass="keep", verify=False, workers=2)
    convert_slide(source, target, config)
    return closing(open_reader(target))


def stored(slide, index):
    columns = slide.info.levels[index.level].grid.columns
    return int(slide.tile_ranges(index.level)[index.row * columns + index.column, 1])


@pytest.mark.parametrize("codec", CODECS)
def test_a_view_has_the_bytes_and_the_pixels_that_a_conversion_stores(drawn, slide, tmp_path, codec):
    found = encode_view(slide, SlideView(0, REGION), codec)
    with converted(drawn, tmp_path / "small.tiff", codec) as made:
        assert [tile.bytes for tile in found.tiles] == [stored(made, tile.index) for tile in found.tiles]
        assert np.array_equal(found.pixels, made.read_region(0, REGION))


@pytest.mark.slow
@pytest.mark.slides
@pytest.mark.parametrize("path", list(filter(is_small, REAL_SLIDES)), ids=lambda path: path.name)
@pytest.mark.parametrize("codec", ["jpeg:60", "jpegxl-lossless"])
def test_a_view_of_a_real_slide_has_what_a_conversion_stores(path, codec, tmp_path):
    with closing(open_reader(path)) as slide, converted(path, tmp_path / "small.tiff", codec) as made:
        size = slide.info.levels[0].size
        region = Region(size.width // 3, size.height // 3, min(400, size.width // 2), size.height // 3)
        found = encode_view(slide, SlideView(0, region), codec)
        assert [tile.bytes for tile in found.tiles] == [stored(made, tile.index) for tile in found.tiles]
        assert np.array_equal(found.pixels, made.read_region(0, region))


def test_figures_are_of_the_region_alone(slide):
    found = encode_view(slide, SlideView(0, REGION), "jpeg:40")
    source = slide.read_region(0, REGION)
    assert (found.ssim, found.psnr) == (ssim(source, found.pixels), psnr(source, found.pixels))
    assert found.bits_per_pixel == pytest.approx(8 * found.bytes / (700 * 500))
    assert found.psnr is not None


def test_a_tile_counts_by_the_part_of_it_that_is_in_sight(slide):
    tile = slide.info.levels[0].tile
    whole, half = Region(0, 0, tile.width, tile.height), Region(0, 0, tile.width, tile.height // 2)
    of_whole, of_half = (encode_view(slide, SlideView(0, each), "jpeg:70") for each in (whole, half))
    assert of_whole.bytes == of_whole.tiles[0].bytes == of_half.tiles[0].bytes
    assert of_half.bytes == round(of_whole.bytes / 2)
    assert of_half.source_bytes == round(of_whole.source_bytes / 2)


def test_tiles_at_the_edge_count_by_their_part_inside_the_level(slide):
    size = slide.info.levels[1].size
    found = encode_view(slide, SlideView(1, Region(0, 0, size.width, size.height)), "jpeg:70")
    assert [tile.share for tile in found.tiles] == [1] * slide.info.levels[1].grid.count
    assert found.source_bytes == int(slide.tile_ranges(1)[:, 1].sum())


@pytest.mark.parametrize("codec", ["jpegxl-lossless", "jpeg-lossless", "none"])
def test_a_codec_without_loss_shows_the_source(slide, codec):
    found = encode_view(slide, SlideView(0, REGION), codec)
    assert np.array_equal(found.pixels, slide.read_region(0, REGION))
    assert (found.ssim, found.psnr) == (1, None)


def test_a_view_too_narrow_for_ssim_has_none(slide):
    found = encode_view(slide, SlideView(0, Region(5, 5, 10, 40)), "jpeg:70")
    assert found.ssim is None
    assert found.pixels.shape == (40, 10, 3)


def test_a_view_that_is_too_large_is_refused(slide):
    with pytest.raises(ConfigError, match="expected at most 1500000 px"):
        encode_view(slide, SlideView(0, Region(0, 0, 1500, 1001)), "jpeg:70")


def test_a_view_over_tiles_that_are_too_large_is_refused(tmp_path):
    large_tiles(tmp_path / "slide.tif")
    view = SlideView(0, Region(4000, 4000, 200, 200))
    slide = open_reader(tmp_path / "slide.tif")
    with closing(slide), pytest.raises(ConfigError, match="look at a smaller part"):
        encode_view(slide, view, "jpeg:70")


def test_a_neural_codec_is_decoded_by_its_model(slide):
    found = encode_view(slide, SlideView(0, Region(256, 256, 256, 256)), "he-compact:3")
    assert found.ssim >= 0.95  # what its guard asks for
    assert 0 < found.bytes < found.source_bytes


def test_every_codec_that_is_offered_has_a_text_that_is_taken_at_both_ends_of_its_slider():
    for codec in codec_dials():
        if codec.is_available and codec.slider:
            for value in (codec.slider.least, codec.slider.default, codec.slider.most):
                values = codec_values(codec_text(f"{codec.name}:{value:g}"))
                assert values[codec.slider.option] == value
        elif codec.is_available:
            ConversionConfig.of(**codec_values(codec_text(codec.name)))


def test_what_a_codec_takes_by_itself_is_the_sliders_default():
    sliders = {codec.name: codec.slider for codec in codec_dials() if codec.slider}
    assert {name: slider.default for name, slider in sliders.items()} == {
        "jpeg": 90,
        "jpegxl": 1,
        "jpeg2000": 37,
        "webp": 90,
        "he-compact": 1,
        "he-fine": 1,
    }
    assert [name for name, slider in sliders.items() if not slider.high_is_fine] == ["jpegxl"]


def test_a_codec_without_a_model_is_named_with_the_reason():
    codec = next(each for each in codec_dials() if each.name == "mbt2018-mean")
    assert not codec.is_available
    assert "no model ships" in codec.reason
    with pytest.raises(ConfigError, match="no model ships"):
        codec_text("mbt2018-mean:7")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "jpg:60",
        "copy",
        "jpeg:",
        "jpeg:0",
        "jpeg:101",
        "jpeg:60.5",
        "jpeg:nan",
        "jpeg:inf",
        "jpeg:1e999",
        "jpeg:-1",
        "jpeg:60:70",
        "jpeg:60+effort=3",
        "jpegxl:1+effort=10",
        "jpegxl:0.01",
        "jpegxl:nan",
        "jpeg2000:12x",
        "none:5",
        "jpeg-lossless:5",
        "he-compact:0",
        "he-compact:12",
        "bmshj2018-factorized@/etc/passwd",
        "he-compact@model.safetensors:3",
        "jpeg:" + "9" * 100_000,
    ],
)
def test_what_is_no_offered_codec_or_out_of_its_range_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        codec_text(text)
    assert len(str(caught.value)) < 400
