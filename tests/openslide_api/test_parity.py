"""`wsicomp.open_slide(converted)` against `openslide.OpenSlide(source)`: pixels, properties, DeepZoom."""

from itertools import product

import numpy as np
import openslide
import pytest
from openslide.deepzoom import DeepZoomGenerator

import wsicomp
from tests.conftest import REAL_SLIDES, is_small, slow_unless, trial_size
from wsicomp import ConversionConfig
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide
from wsicomp.synthetic.form import srgb_profile

WAYS = {
    "jpegxl": {"codec": "jpegxl", "lossless": True},
    "jpeg": {"codec": "jpeg", "lossless": True},
    "copy": {"codec": "copy"},
    "overview": {"codec": "jpegxl", "lossless": True, "overview": "jpeg"},
}
FORMS = {
    "svs 4:2:2": SyntheticFormat(icc_profile=srgb_profile()),
    "svs rgb": SyntheticFormat(photometric="rgb", tile_px=240, shared_tables=False),
    "tiff 4:2:0": SyntheticFormat("tiff", subsampling="420", downsamples=(1, 2, 4, 8)),
    "lzw": SyntheticFormat("tiff", compression="lzw", downsamples=(1, 4)),
    "no mpp": SyntheticFormat("tiff", states_mpp=False, downsamples=(1, 4)),
}
REGIONS = trial_size(10, 25)


def form_and_way():
    """All of them; at the gate, one form in each way, each form repacked, and lzw copied."""
    for form, way in product(FORMS, WAYS):
        is_gate = form == "svs 4:2:2" or way == "jpegxl" or (form, way) == ("lzw", "jpeg")
        yield pytest.param(form, way, marks=() if is_gate else pytest.mark.slow)


@pytest.fixture(scope="module")
def drawn(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("parity") / "source.svs"
    write_slide(
        path, SyntheticSlide(Size(*trial_size((1211, 907), (1811, 1307))), seed=8), FORMS[request.param]
    )
    return request.param, path


def converted(source, folder, way):
    target = folder / f"{way}.tiff"
    wsicomp.convert_slide(source, target, ConversionConfig.of(**WAYS[way], glass="keep"))
    return target


def assert_equal(source, target):
    rng = np.random.default_rng(0)
    with openslide.OpenSlide(source) as before, wsicomp.open_slide(target) as after:
        assert isinstance(after, wsicomp.WsicompSlide)
        assert after.level_dimensions == before.level_dimensions
        assert after.level_downsamples == before.level_downsamples
        assert after.dimensions == before.dimensions
        width, height = before.dimensions
        for _ in range(REGIONS):
            level = int(rng.integers(before.level_count))
            location = int(rng.integers(-400, width + 100)), int(rng.integers(-400, height + 100))
            size = tuple(rng.integers(1, 700, 2).tolist())
            assert_same(before, after, location, level, size)
        for level, (columns, rows) in enumerate(before.level_dimensions):
            if columns * rows < 10_000_000:
                assert_same(before, after, (0, 0), level, (columns + 5, rows + 5))
            assert_same(before, after, (width - 30, height - 30), level, (60, 60))
        for downsample in (0.5, 1, 1.9, 2, 3.99, 4, 5, 16, 17, 1000):
            best = before.get_best_level_for_downsample(downsample)
            assert after.get_best_level_for_downsample(downsample) == best
        assert_same_descriptions(before, after)
        assert_same_deepzoom(before, after, rng)


def assert_same(before, after, location, level, size):
    expected = np.asarray(before.read_region(location, level, size))
    found = after.read_region(location, level, size)
    assert found.mode == "RGBA"
    assert np.array_equal(np.asarray(found), expected), (location, level, size)


def assert_same_descriptions(before, after):
    assert dict(after.properties) == dict(before.properties)
    assert list(after.properties) == sorted(after.properties)
    assert set(after.associated_images) == set(before.associated_images)
    for name, image in before.associated_images.items():
        found = after.associated_images[name]
        assert found.mode == image.mode
        assert found.info == image.info
        assert np.array_equal(np.asarray(found), np.asarray(image))
    first, second = (slide.color_profile for slide in (before, after))
    assert (first and first.tobytes()) == (second and second.tobytes())
    thumbnails = [slide.get_thumbnail((300, 200)) for slide in (before, after)]
    assert np.array_equal(np.asarray(thumbnails[0]), np.asarray(thumbnails[1]))
    assert thumbnails[0].info == thumbnails[1].info


def assert_same_deepzoom(before, after, rng):
    first, second = (DeepZoomGenerator(slide, 254, 1, limit_bounds=True) for slide in (before, after))
    assert first.get_dzi("jpeg") == second.get_dzi("jpeg")
    for level, (columns, rows) in enumerate(first.level_tiles):
        for _ in range(min(6, columns * rows)):
            address = int(rng.integers(columns)), int(rng.integers(rows))
            tiles = [np.asarray(zoom.get_tile(level, address)) for zoom in (first, second)]
            assert np.array_equal(*tiles), (level, address)


@pytest.mark.parametrize(("drawn", "way"), [*form_and_way()], indirect=["drawn"])
def test_a_drawn_slide_is_the_same_after_conversion(drawn, way, tmp_path):
    form, source = drawn
    if form == "lzw" and way == "overview":
        with pytest.raises(wsicomp.ConfigError, match="cannot be lossless"):
            converted(source, tmp_path, way)
        return
    if form == "lzw" and way == "jpeg":
        way = "copy"  # which is what becomes of tiles that are no JPEG
    assert_equal(source, converted(source, tmp_path, way))


@pytest.mark.gate
@pytest.mark.slides
@pytest.mark.parametrize("way", ["jpegxl", pytest.param("jpeg", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "source",
    slow_unless(is_small, [path for path in REAL_SLIDES if path.suffix != ".dcm"]),
    ids=lambda path: path.name,
)
def test_a_real_slide_is_the_same_after_conversion(source, way, tmp_path):
    assert_equal(source, converted(source, tmp_path, way))


@pytest.mark.gate
def test_a_canvas_over_4096_px_is_cut_as_openslide_cuts_it(tmp_path):
    write_slide(
        tmp_path / "source.tiff",
        SyntheticSlide(Size(5203, 700), seed=2),
        SyntheticFormat("tiff", downsamples=(1, 2), subsampling="444"),
    )
    target = converted(tmp_path / "source.tiff", tmp_path, "jpegxl")
    with openslide.OpenSlide(tmp_path / "source.tiff") as before, wsicomp.open_slide(target) as after:
        for location, level in (((3, 1), 0), ((-5001, -3), 0), ((-6001, 3), 1)):
            assert_same(before, after, location, level, (9000, 300))
