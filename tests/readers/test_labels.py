"""Images beside the levels: of odd kinds, like a level, or like a label; as drawn and as OpenSlide shows."""

import json

import numpy as np
import openslide
import pytest
import tifffile

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
    return convert_slide(source, target, ConversionConfig(**{"glass": "keep", "workers": 1} | options))


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


def shown_levels(path):
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
    found = shown_levels(path)
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
