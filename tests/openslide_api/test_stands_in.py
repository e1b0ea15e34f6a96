"""`wsicomp.open_slide` in OpenSlide's place: what it takes, what it returns and what it raises."""

import copy
import os
from ctypes import ArgumentError
from pathlib import Path

import numpy as np
import openslide
import pytest
from openslide.deepzoom import DeepZoomGenerator

import wsicomp
from tests.drawn.strangers import (
    PICTURES,
    profile_that_pillow_rewrites,
    write_picture,
    write_strangers,
)
from wsicomp import ConversionConfig, TileCache, WsicompSlide
from wsicomp.formats.openslide import OpenSlideSlide
from wsicomp.formats.tiff.quickhash import _computed
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

PLAIN = {"segmenter": "threshold", "margin_um": 0}
HASH = "openslide.quickhash-1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stands_in")
    form = SyntheticFormat(tile_px=64, downsamples=(1, 4), icc_profile=profile_that_pillow_rewrites())
    write_slide(
        folder / "source.svs", SyntheticSlide(Size(900, 700), seed=3, sections=1, tissue_fraction=0.2), form
    )
    for name, options in {
        "jpegxl.tiff": {"codec": "jpegxl", "lossless": True, "glass": "keep"},
        "packed white.tiff": {"codec": "jpegxl", "lossless": True, **PLAIN},
        "white.svs": {"codec": "copy", **PLAIN},
        "white.tiff": {"codec": "jpeg", "format": "tiff", **PLAIN},
    }.items():
        wsicomp.convert_slide(folder / "source.svs", folder / name, ConversionConfig.of(**options))
    return folder


@pytest.fixture
def both(folder):
    """OpenSlide on the source and ours on its conversion."""
    return openslide.open_slide(folder / "source.svs"), wsicomp.open_slide(folder / "jpegxl.tiff")


def error_of(function, *arguments):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what is asked
        function(*arguments)
    return caught.value


@pytest.mark.parametrize("name", ["source.svs", "jpegxl.tiff"])
@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
def test_a_path_of_every_kind_opens_by_place_and_by_name(folder, name, kind):
    path = kind(folder / name)
    with wsicomp.open_slide(path) as one, wsicomp.open_slide(filename=path) as other:
        assert one.dimensions == other.dimensions == (900, 700)
        assert repr(one) == f"{type(one).__name__}({path!r})"
        assert one.detect_format(path) == one.properties["openslide.vendor"] == "aperio"


@pytest.mark.parametrize("path", [None, 3, 3.5, ["a"]])
def test_what_is_no_path_is_an_argument_error(path):
    for function in (wsicomp.open_slide, WsicompSlide.detect_format):
        assert isinstance(error_of(function, path), (ArgumentError, TypeError))
        assert isinstance(error_of(function, path), type(error_of(openslide.open_slide, path)))


@pytest.mark.parametrize("name", ["missing.svs", "folder", "text.svs/x", "loop", "dangling", "x" * 300, ""])
def test_where_no_file_is_the_error_is_openslide_s_and_the_system_s(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.svs").write_text("hello")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("gone")
    path = str(tmp_path / name) if name else ""
    error = error_of(wsicomp.open_slide, path)
    system = error_of(openslide.open_slide, path)
    assert isinstance(error, type(system))
    assert isinstance(error, type(error_of(openslide.OpenSlide, path)))
    assert isinstance(error, wsicomp.SlideAccessError)
    assert not name or error.errno == system.errno
    assert WsicompSlide.detect_format(path) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.svs")
    assert isinstance(
        error_of(wsicomp.open_slide, tmp_path / "pipe.svs"), openslide.OpenSlideUnsupportedFormatError
    )
    assert WsicompSlide.detect_format(tmp_path / "pipe.svs") is None


def test_what_is_no_slide_and_no_picture_is_openslide_s_error_and_pillow_s(tmp_path):
    for path in write_strangers(tmp_path):
        error = error_of(wsicomp.open_slide, path)
        assert isinstance(error, type(error_of(openslide.OpenSlide, path))), path
        assert isinstance(error, wsicomp.SlideFormatError), path
        assert "\n" not in str(error)


def test_a_torso_of_our_own_file_is_an_error_as_openslide_s_or_where_it_has_none(folder, tmp_path):
    data = (folder / "jpegxl.tiff").read_bytes()
    path = tmp_path / "torso.tiff"
    for size in (4, 100, len(data) // 2, len(data) - 100):
        path.write_bytes(data[:size])
        error = error_of(wsicomp.open_slide, path)
        assert isinstance(error, wsicomp.SlideAccessError), size
        if openslide.OpenSlide.detect_format(path) is None:
            assert isinstance(error, type(error_of(openslide.OpenSlide, path))), size


def test_a_picture_that_names_our_program_is_a_picture(tmp_path):
    pixels = write_picture(tmp_path / "picture.png")
    with (tmp_path / "picture.png").open("ab") as file:
        file.write(b"wsicomp 0.5.0")
    with wsicomp.open_slide(tmp_path / "picture.png") as slide:
        assert np.array_equal(np.asarray(slide.read_region((0, 0), 0, (40, 30)))[..., :3], pixels)


@pytest.mark.parametrize("name", PICTURES)
def test_a_plain_picture_opens_as_openslide_opens_it(tmp_path, name):
    write_picture(tmp_path / name)
    path = tmp_path / name
    with openslide.open_slide(path) as theirs, wsicomp.open_slide(path) as ours:
        assert type(ours) is type(theirs) is openslide.ImageSlide
        shown = [np.asarray(slide.read_region((-2, 3), 0, (50, 40))) for slide in (theirs, ours)]
        assert np.array_equal(*shown)
        ours.set_cache(TileCache())
        assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("name", ["source.svs", "jpegxl.tiff", "white.svs"])
@pytest.mark.parametrize("kind", [TileCache, openslide.OpenSlideCache])
def test_every_slide_takes_either_cache(folder, name, kind):
    with wsicomp.open_slide(folder / name) as slide:
        expected = np.asarray(slide.read_region((0, 0), 0, (300, 200)))
        slide.set_cache(kind(1 << 20))
        assert np.array_equal(np.asarray(slide.read_region((0, 0), 0, (300, 200))), expected)
        for wrong in (None, 3, "64"):
            assert isinstance(error_of(slide.set_cache, wrong), TypeError)


def test_slides_that_are_given_one_openslide_cache_share_its_capacity(folder):
    cache = openslide.OpenSlideCache(1 << 20)
    slides = [wsicomp.open_slide(folder / name) for name in ("jpegxl.tiff", "white.svs")]
    for slide in slides:
        slide.set_cache(cache)
        slide.read_region((0, 0), 0, (900, 700))
    own = {id(slide._tiles.cache): slide._tiles.cache for slide in slides}
    assert len(own) == 1
    assert 0 < own.popitem()[1].bytes <= 1 << 20


@pytest.mark.parametrize("capacity", [-1, 1.3, None])
def test_a_cache_of_no_size_is_openslide_s_error(capacity):
    error = type(error_of(openslide.OpenSlideCache, capacity))
    assert isinstance(error_of(TileCache, capacity), error)


AFTER_CLOSE = {
    "close": lambda slide: slide.close(),
    "leave": lambda slide: slide.__exit__(None, None, None),
    "level_count": lambda slide: slide.level_count,
    "dimensions": lambda slide: slide.dimensions,
    "level_dimensions": lambda slide: slide.level_dimensions,
    "level_downsamples": lambda slide: slide.level_downsamples,
    "region": lambda slide: slide.read_region((0, 0), 0, (10, 10)),
    "no level": lambda slide: slide.read_region((0, 0), 9, (10, 10)),
    "thumbnail": lambda slide: slide.get_thumbnail((10, 10)),
    "best level": lambda slide: slide.get_best_level_for_downsample(2),
    "property": lambda slide: slide.properties["openslide.vendor"],
    "get": lambda slide: slide.properties.get("none"),
    "in": lambda slide: "none" in slide.properties,
    "len": lambda slide: len(slide.properties),
    "list": lambda slide: list(slide.properties),
    "repr": lambda slide: repr(slide.properties),
    "images": lambda slide: list(slide.associated_images),
    "image": lambda slide: slide.associated_images["label"],
    "no image": lambda slide: slide.associated_images["none"],
    "cache": lambda slide: slide.set_cache(openslide.OpenSlideCache(1000)),
    "zoom": lambda slide: DeepZoomGenerator(slide, 254, 1),
}


def test_a_closed_slide_raises_what_openslide_raises(both):
    for slide in both:
        slide.read_region((0, 0), 0, (10, 10))  # kept in the cache, and still not shown
        slide.close()
    for name, use in AFTER_CLOSE.items():
        theirs, ours = (error_of(use, slide) for slide in both)
        assert isinstance(theirs, ArgumentError), name
        assert isinstance(ours, type(theirs)), name
        assert isinstance(ours, wsicomp.SlideClosedError), name
    assert both[1].color_profile is not None
    assert repr(both[1]).startswith("WsicompSlide(")


def test_mappings_from_before_raise_after_close(both):
    kept = [(slide.properties, slide.associated_images) for slide in both]
    for slide in both:
        slide.close()
    for properties, images in kept:
        assert isinstance(error_of(properties.__getitem__, "openslide.vendor"), ArgumentError)
        assert isinstance(error_of(images.__getitem__, "label"), ArgumentError)


def test_mappings_are_as_openslide_s(both):
    theirs, ours = both
    assert dict(ours.properties) == dict(theirs.properties)
    assert repr(ours.properties) == repr(theirs.properties)
    assert ours.properties[b"openslide.vendor"] == theirs.properties[b"openslide.vendor"] == "aperio"
    assert ours.properties == theirs.properties
    assert list(ours.associated_images) == list(theirs.associated_images) == ["label", "macro", "thumbnail"]
    shown = [repr(slide.associated_images).split(" at 0x")[0] for slide in both]
    assert shown[0] == shown[1]
    assert repr(ours.associated_images).count("PIL.Image.Image") == 3
    for mapping in ("properties", "associated_images"):
        for key in ("none", b"none", 3):
            errors = [error_of(getattr(slide, mapping).__getitem__, key) for slide in both]
            assert isinstance(errors[1], type(errors[0])), (mapping, key)
    for slide in both:
        slide.close()


ARGUMENTS = {
    "floats": ((1.0, 2), 0, (5, 5)),
    "float level": ((1, 2), 0.0, (5, 5)),
    "no level": ((1, 2), None, (5, 5)),
    "float size": ((1, 2), 0, (5.0, 5)),
    "text": ("ab", 0, (5, 5)),
    "one number": ((1,), 0, (5, 5)),
    "negative": ((1, 2), 0, (-5, 5)),
    "negative of no level": ((1, 2), 9, (5, -5)),
    "endless": ((1, 2), 0, (2**40, 2**40)),
}


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
def test_a_wrong_argument_is_openslide_s_error(both, arguments):
    theirs, ours = (error_of(slide.read_region, *arguments) for slide in both)
    assert isinstance(ours, type(theirs))
    for slide in both:
        slide.close()


def test_numbers_of_every_type_do(both):
    for location, level, size in (
        (np.array([1, 2], np.int32), np.int64(1), np.array([7, 5], np.uint8)),
        ([True, 2], False, [7, 5]),
        ((1, 2, 3), 0, (7, 5, 3)),
        ((2**62, 0), 0, (7, 5)),
        ((0, 0), -1, (7, 0)),
    ):
        shown = [np.asarray(slide.read_region(location, level, size)) for slide in both]
        assert np.array_equal(*shown)
    for downsample in (-1, 0, 1, 3.99, 4, np.float32(4), np.int64(5), float("inf"), float("nan")):
        levels = [slide.get_best_level_for_downsample(downsample) for slide in both]
        assert levels[0] == levels[1], downsample
    for wrong in ("2", None):
        errors = [error_of(slide.get_best_level_for_downsample, wrong) for slide in both]
        assert isinstance(errors[1], type(errors[0]))
    for slide in both:
        slide.close()


def test_the_quickhash_without_a_changed_pixel_is_the_source_s(both):
    assert both[1].properties[HASH] == both[0].properties[HASH]
    for slide in both:
        slide.close()


@pytest.mark.parametrize("name", ["white.svs", "white.tiff"])
def test_the_quickhash_after_white_glass_is_the_one_that_openslide_makes_of_the_file(folder, name):
    with (
        openslide.OpenSlide(folder / name) as shown,
        openslide.OpenSlide(folder / "source.svs") as source,
        wsicomp.open_slide(folder / name) as ours,
    ):
        assert ours.properties[HASH] == shown.properties[HASH] != source.properties[HASH]
        # Where OpenSlide cannot open a file, it is made in the same way.
        assert _computed(ours._slide, folder / name) == shown.properties[HASH]


def test_what_openslide_does_not_open_has_a_quickhash_too(folder):
    with (
        openslide.OpenSlide(folder / "source.svs") as source,
        wsicomp.open_slide(folder / "packed white.tiff") as ours,
    ):
        assert len(ours.properties[HASH]) == 64
        assert ours.properties[HASH] != source.properties[HASH]


def test_the_format_of_a_file_of_ours_is_its_vendor(folder):
    for name in ("jpegxl.tiff", "packed white.tiff", "white.tiff", "white.svs"):
        with wsicomp.open_slide(folder / name) as slide:
            assert slide.detect_format(folder / name) == slide.properties["openslide.vendor"] == "aperio"


def test_the_profile_of_a_slide_that_openslide_reads_is_kept_byte_for_byte(folder):
    slide = OpenSlideSlide(folder / "source.svs")
    assert slide.info.icc_profile == profile_that_pillow_rewrites()
    slide.close()


def test_a_copy_is_a_slide_of_its_own(folder):
    with wsicomp.open_slide(folder / "jpegxl.tiff") as slide:
        other = copy.copy(slide)
    assert other.read_region((0, 0), 0, (5, 5)).size == (5, 5)
    other.close()


def test_a_chain_of_directories_that_ends_beyond_the_file_is_an_error(folder, tmp_path):
    data = bytearray((folder / "white.svs").read_bytes())
    with wsicomp.open_slide(folder / "white.svs") as slide:
        assert isinstance(slide._slide, TiffSlide)
    # The label's directory now names a next one that is not there.
    path = tmp_path / "cut.svs"
    place = last_link(folder / "white.svs")
    data[place : place + 4] = (len(data) + 1000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(wsicomp.SlideAccessError, match="next directory at byte"):
        wsicomp.open_slide(path)


def last_link(path):
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        return tiff.pages[-1].offset + 2 + 12 * len(tiff.pages[-1].tags)
