"""Images beside the levels: of odd kinds, like a level, or like a label; as drawn and as OpenSlide shows."""

import json

import numpy as np
import openslide
import pytest
import tifffile

import wsicomp
from tests.drawn import labels as drawn
from wsicomp import ConversionConfig, convert_slide
from wsicomp.cli import main

SCAN = [drawn.second_of_a_label_s_type, drawn.reduced_in_strips, drawn.reduced_in_strips_of_a_sub_ifd]
NEARLY = [
    drawn.nearly_a_level,
    drawn.nearly_a_level_behind,
    drawn.smaller_than_a_level,
    drawn.nearly_a_level_in_generic,
]


def by_name(function):
    return function.__name__


def convert(source, target, **options):
    return convert_slide(source, target, ConversionConfig.of(**{"glass": "keep", "workers": 1} | options))


def images_of(path):
    """The images in strips of a target, by the names that their texts give them, as tifffile decodes them."""
    with tifffile.TiffFile(path) as tiff:
        pages = [page for one in tiff.pages for page in (one, *(one.pages or ()))]
        return {
            page.description.splitlines()[1].split()[0]: page.asarray() for page in pages if not page.is_tiled
        }


def shown_images(path):
    with openslide.OpenSlide(path) as slide:
        return {name: np.asarray(image.convert("RGB")) for name, image in slide.associated_images.items()}


def openslide_levels(path):
    with openslide.OpenSlide(path) as slide:
        return [
            np.asarray(slide.read_region((0, 0), number, size).convert("RGB"))
            for number, size in enumerate(slide.level_dimensions)
        ]


def says(path, capsys):
    capsys.readouterr()
    assert main(["info", "--json", str(path)]) == 0
    return json.loads(capsys.readouterr().out)


def assert_same(found, truth):
    assert found.keys() == truth.keys()
    for name, pixels in truth.items():
        np.testing.assert_array_equal(found[name], pixels, err_msg=name)


def assert_levels(path, truth):
    found = openslide_levels(path)
    assert len(found) == len(truth)
    for one, other in zip(found, truth, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_verified(target, source):
    assert main(["verify", str(target), "--against", str(source)]) == 0


@pytest.mark.parametrize("draw", SCAN, ids=by_name)
def test_an_image_that_shows_the_scan_is_the_thumbnail_whatever_its_type(draw, tmp_path, capsys):
    source, target = tmp_path / "s.svs", tmp_path / "t.svs"
    truth = draw(source)
    report = convert(source, target)
    assert_same(images_of(target), truth.images)
    assert_levels(target, truth.levels)
    assert any("it is taken for the thumbnail" in note for note in report.notes)
    assert list(says(source, capsys)["associated_images"]) == ["thumbnail"]
    assert_verified(target, source)


@pytest.mark.parametrize("draw", SCAN, ids=by_name)
@pytest.mark.parametrize("options", [{"deidentify": True}, {"label": False}], ids=["deidentify", "no-label"])
def test_what_has_a_label_s_type_goes_where_no_label_is_wanted_though_it_may_show_the_scan(
    draw, options, tmp_path
):
    draw(tmp_path / "s.svs")
    report = convert(tmp_path / "s.svs", tmp_path / "t.svs", **options)
    assert not images_of(tmp_path / "t.svs")
    assert "thumbnail" in report.dropped


def test_a_label_s_type_in_a_generic_tiff_is_a_label_where_it_cannot_show_the_scan(tmp_path):
    truth = drawn.label_in_generic(tmp_path / "s.tif")
    convert(tmp_path / "s.tif", tmp_path / "t.tif")
    assert_same(images_of(tmp_path / "t.tif"), truth.images)


@pytest.mark.parametrize("draw", NEARLY, ids=by_name)
def test_of_two_images_of_nearly_one_size_the_whole_number_ratio_is_the_level(draw, tmp_path, capsys):
    source, target = tmp_path / "s.tif", tmp_path / "t.tif"
    truth = draw(source)
    report = convert(source, target)
    assert_levels(target, truth.levels)
    assert_same(images_of(target), truth.images)
    height, width = truth.images["thumbnail"].shape[:2]
    assert any(f"tiled thumbnail of {width} x {height} px for a level" in note for note in report.notes)
    assert_verified(target, source)


def test_what_is_nearly_of_a_level_s_size_is_named_where_the_file_has_a_thumbnail(tmp_path):
    truth = drawn.nearly_a_level_beside_a_thumbnail(tmp_path / "s.svs")
    report = convert(tmp_path / "s.svs", tmp_path / "t.svs")
    assert_levels(tmp_path / "t.svs", truth.levels)
    assert_same(images_of(tmp_path / "t.svs"), truth.images)
    (note,) = [note for note in report.notes if note.startswith("not carried on")]
    assert "264 x 198 px in tiles, nearly of one size with the level of 256 x 192 px" in note


def test_a_tiled_thumbnail_of_nearly_a_level_s_size_goes_where_no_label_is_wanted(tmp_path):
    truth = drawn.nearly_a_level(tmp_path / "s.svs")
    convert(tmp_path / "s.svs", tmp_path / "t.svs", deidentify=True)
    assert not images_of(tmp_path / "t.svs")
    assert_levels(tmp_path / "t.svs", truth.levels)


@pytest.mark.parametrize("kind", drawn.KINDS)
def test_a_label_of_any_kind_that_openslide_shows_is_carried_as_it_shows_it(kind, tmp_path, capsys):
    source, target = tmp_path / "s.svs", tmp_path / "t.svs"
    truth = drawn.label_of(kind)(source)
    report = convert(source, target, codec="jpeg")
    assert_same(images_of(target), truth.images)
    assert_same(shown_images(target), truth.images)
    assert_same(shown_images(source), truth.images)
    assert any("label of 160 x 144 px" in note and "as OpenSlide shows it" in note for note in report.notes)
    assert not says(source, capsys)["omitted"]
    assert_verified(target, source)


def test_a_macro_of_an_odd_kind_is_carried_as_openslide_shows_it(tmp_path):
    truth = drawn.label_of("grey", "macro")(tmp_path / "s.svs")
    convert(tmp_path / "s.svs", tmp_path / "t.svs", codec="jpeg")
    assert_same(shown_images(tmp_path / "t.svs"), truth.images)


@pytest.mark.parametrize("draw", [drawn.label_of("palette"), drawn.marked()], ids=["palette", "turned"])
def test_a_label_of_an_odd_kind_goes_where_none_is_wanted(draw, tmp_path):
    draw(tmp_path / "s.svs")
    convert(tmp_path / "s.svs", tmp_path / "t.svs", codec="jpeg", label=False)
    assert list(images_of(tmp_path / "t.svs")) == ["thumbnail"]
    convert(tmp_path / "s.svs", tmp_path / "d.svs", codec="jpeg", deidentify=True)
    assert "label" not in images_of(tmp_path / "d.svs")


def test_a_label_that_neither_openslide_nor_we_read_is_named_with_the_reason(tmp_path, capsys):
    drawn.label_of("grey", svs=False)(tmp_path / "s.tif")
    (text,) = says(tmp_path / "s.tif", capsys)["omitted"]
    assert text.startswith("label of 160 x 144 px in strips, which is grayscale")
    assert text.endswith("which OpenSlide does not show")


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_label_stands_as_openslide_turns_it_by_its_orientation(orientation, tmp_path, capsys):
    source, target = tmp_path / "s.svs", tmp_path / "t.svs"
    truth = drawn.marked(orientation)(source)
    report = convert(source, target, codec="jpeg")
    assert_same(images_of(target), truth.images)
    assert_same(shown_images(target), shown_images(source))
    assert_same(shown_images(target), truth.images)
    is_told = any("label" in note and f"Orientation {orientation}" in note for note in report.notes)
    assert is_told or orientation == 5, "libtiff shows 5 as it is stored"
    assert_verified(target, source)


def test_a_macro_of_jpeg_is_turned_as_openslide_shows_it(tmp_path):
    drawn.marked(4, "macro", compression="jpeg", predictor=None)(tmp_path / "s.svs")
    convert(tmp_path / "s.svs", tmp_path / "t.svs", codec="jpeg")
    assert_same(shown_images(tmp_path / "t.svs"), shown_images(tmp_path / "s.svs"))


def test_a_label_of_a_generic_tiff_is_turned_though_openslide_does_not_show_it(tmp_path):
    truth = drawn.marked(3, svs=False)(tmp_path / "s.tif")
    convert(tmp_path / "s.tif", tmp_path / "t.tif")
    assert_same(images_of(tmp_path / "t.tif"), truth.images)


@pytest.mark.parametrize("compression", [None, "lzw", "deflate"])
@pytest.mark.parametrize("svs", [True, False], ids=["svs", "generic"])
def test_a_label_whose_bits_are_reversed_is_carried_the_right_way_round(compression, svs, tmp_path):
    truth = drawn.bits_reversed(compression, svs)(tmp_path / "s.svs")
    convert(tmp_path / "s.svs", tmp_path / "t.svs", codec="jpeg")
    assert_same(images_of(tmp_path / "t.svs"), truth.images)
    if svs:
        assert_same(shown_images(tmp_path / "s.svs"), truth.images)


@pytest.mark.parametrize("draw", [drawn.label_of("grey"), drawn.marked()], ids=["grey", "turned"])
def test_a_source_whose_label_is_carried_as_pixels_is_restored(draw, tmp_path):
    source, target, back = tmp_path / "s.svs", tmp_path / "t.tif", tmp_path / "back.svs"
    draw(source)
    convert(source, target, codec="jpegxl", lossless=True, restorable=True)
    wsicomp.restore_slide(target, back)
    assert back.read_bytes() == source.read_bytes()


def test_a_label_that_openslide_shows_otherwise_than_the_source_s_is_a_problem(tmp_path, capsys):
    source, target = tmp_path / "s.svs", tmp_path / "t.svs"
    drawn.marked(1)(source)
    convert(source, target, codec="jpeg")
    drawn.turn_last_image(target)
    capsys.readouterr()
    assert main(["verify", str(target), "--against", str(source)]) == 1
    assert "associated-differs: label: OpenSlide shows another picture" in capsys.readouterr().out
