"""Comparisons with regions: each codec beside theirs, by class, and what keeping all would take."""

import csv
import json
import shlex
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.comparison.drawn import BASE, drawn_bytes, quick
from wsicomp.cli import main
from wsicomp.comparison import ComparisonOptions, Status, compare_slides
from wsicomp.comparison.charts import family_colors
from wsicomp.comparison.codec_specs import COARSE_CODECS, DEFAULT_CODECS, parse_codecs
from wsicomp.comparison.convert_command import convert_command
from wsicomp.comparison.full_files import with_classes
from wsicomp.errors import ConfigError, MaskError
from wsicomp.formats.opening import open_converted
from wsicomp.verification.region_checks import found_classes


@pytest.fixture
def slide(tmp_path):
    path = tmp_path / "slide.svs"
    path.write_bytes(drawn_bytes())
    mask = np.zeros((130, 150), np.uint8)
    mask[40:80, 50:90] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return path


def with_regions(slide, codecs="copy,jpeg:40,jpegxl:1.0", **regions):
    base = BASE.changed(**{"roi": slide.with_name("mask.png"), **regions})
    return quick(codecs, glass=("keep", "blank"), crops=False, base=base)


def test_each_codec_that_can_stand_beside_regions_is_a_row_by_class(slide, tmp_path):
    found = compare_slides([slide], tmp_path / "out", with_regions(slide))
    rows = {(row.codec, row.glass): row for row in found.rows}
    made = [key for key, row in rows.items() if row.status is Status.DONE]
    assert [codec for codec, glass in made if glass == "blank"] == ["copy", "roi copy + jpeg:40"]

    row, all_kept = rows["roi copy + jpeg:40", "blank"], rows["copy", "blank"]
    outside, region = row.classes
    assert (outside.name, outside.is_exact, region.codec, region.is_exact) == ("", False, "copy", True)
    assert 0.5 < outside.least_ssim <= outside.mean_ssim < 1
    assert row.quality.least_ssim <= outside.least_ssim
    assert row.quality.least_ssim in (
        outside.least_ssim,
        rows["roi copy + jpeg:40", "keep"].quality.least_ssim,
    )
    assert row.target_bytes < all_kept.target_bytes
    assert found.slides[0].bytes_of_all(row) == all_kept.target_bytes
    assert rows["copy", "keep"].classes == ()

    refused = rows["roi copy + jpegxl:1.0", "blank"]
    assert refused.status is Status.UNAVAILABLE
    assert "cannot stand beside the regions' tiles" in refused.reason
    assert ("roi copy + jpegxl:1.0", refused.reason) in found.missing


def test_a_file_of_a_row_has_the_bytes_of_its_classes(slide, tmp_path, monkeypatch):
    """The command that is quoted makes the very file, and its classes are those of the tables."""
    monkeypatch.chdir(tmp_path)
    words = ["compare", "slide.svs", "--out", "out", "--roi", "mask.png", "--sample", "whole"]
    words += ["--codecs", "jpeg:40", "--glass", "blank", "--segmenter", "threshold", "--min-ssim", "0.3"]
    assert main(words) == 0
    results = json.loads((tmp_path / "out/results.json").read_text())
    told = results["recommendation"]
    assert told["codec"] == "roi copy + jpeg:40"
    command = shlex.split(told["command"])
    assert main(command[1:]) == 0

    with (tmp_path / "out/classes.csv").open() as file:
        table = list(csv.DictReader(file))
    path = tmp_path / command[3]
    assert {int(line["target_bytes"]) for line in table} == {path.stat().st_size}
    with closing(open_converted(path)) as made:
        classes = found_classes(made, None, 1)
    assert [int(line["class_bytes"]) for line in table] == [each.bytes for each in classes]
    assert [int(line["class_tiles"]) for line in table] == [each.tiles for each in classes]
    assert [line["class_is_exact"] for line in table] == ["False", "True"]
    assert int(table[0]["bytes_of_all"]) > path.stat().st_size

    markdown, page = ((tmp_path / "out" / name).read_text() for name in ("results.md", "index.html"))
    for text in (markdown, page):
        assert "region label 1" in text
        assert "outside of regions" in text
    assert "copy for all tissue takes" in markdown


@pytest.mark.gate
def test_regions_packed_without_loss_stand_beside_coarser_jpeg_xl(slide, tmp_path):
    options = with_regions(slide, "copy,jpegxl:2+effort=1", roi_codec="jpegxl-lossless")
    found = compare_slides([slide], tmp_path / "out", options)
    assert found.slides[0].kept_by == "jpegxl-lossless"
    done = {row.codec for row in found.rows if row.status is Status.DONE}
    assert done == {"jpeg:90", "jpegxl-lossless", "roi jpegxl-lossless + jpegxl:2+effort=1"}
    (row, *_) = found.slides[0].by_class
    assert [each.is_exact for each in row.classes] == [False, True]


@pytest.mark.gate
def test_tissue_as_it_is_found_is_a_region_of_several_slides(slide, tmp_path):
    other = tmp_path / "other.svs"
    other.write_bytes(slide.read_bytes())
    found = compare_slides([slide, other], tmp_path / "out", with_regions(slide, "jpeg:20", roi="tissue"))
    assert [slide.error for slide in found.slides] == ["", ""]
    for each in found.slides:
        assert {row.classes[1].name for row in each.by_class} == {"tissue"}
        assert all(row.classes[1].is_exact for row in each.by_class)
        command = convert_command(["a.svs", "b.svs"], False, "svs", each.by_class[0].options)
        assert command.startswith("wsicomp batch . ")
        assert "--roi tissue --roi-codec copy --tissue-codec jpeg:20 --glass keep" in command


def test_what_regions_cannot_do_is_said_in_a_line(slide):
    for choices, message in [
        ({"sample": 200}, "`roi` needs `sample` to be whole"),
        ({"target_ssim": 0.95}, "`target_ssim` is of all tissue"),
        ({"like": "jpeg:90"}, "`like` is of all tissue"),
    ]:
        with pytest.raises(ConfigError, match=message):
            ComparisonOptions(base=BASE.changed(roi=slide.with_name("mask.png")), **choices)
    with pytest.raises(ConfigError, match="leave `tissue_codec` out"):
        with_regions(slide, tissue_codec="jpeg:30")


def test_without_a_list_of_codecs_coarse_ones_are_compared_beside_regions(slide):
    options = ComparisonOptions(base=BASE.changed(roi=slide.with_name("mask.png")))
    labels = [spec.label for spec in options.specs]
    assert labels[:2] == ["copy", "roi copy + jpeg:30"]
    assert [spec.label for spec in options.codecs] == [*COARSE_CODECS]
    assert ComparisonOptions(base=BASE).specs == parse_codecs(",".join(DEFAULT_CODECS))


def test_a_file_of_regions_is_of_one_slide(slide, tmp_path):
    other = tmp_path / "other.svs"
    other.write_bytes(slide.read_bytes())
    for sources in ([slide, other], [tmp_path]):
        with pytest.raises(ConfigError, match="of one slide"):
            compare_slides(sources, tmp_path / "out", with_regions(slide))
    assert not (tmp_path / "out").exists()


def test_a_file_of_regions_has_to_be_there(slide, tmp_path):
    slide.with_name("mask.png").unlink()
    with pytest.raises(MaskError, match=r"mask\.png"):
        compare_slides([slide], tmp_path / "out", with_regions(slide))
    assert not (tmp_path / "out").exists()


def test_each_curve_has_a_colour_of_its_own(slide, tmp_path):
    """No row with regions is of a codec's own family."""
    options = replace(with_regions(slide, "jpeg:40,webp:50"), curve_tiles=2, glass=("keep",))
    found = compare_slides([slide], tmp_path / "out", options, formats=())
    curves = {point.codec for point in found.slides[0].curves}
    assert curves == {"jpeg", "webp"}
    colours = family_colors(found.slides)
    assert len({colours[family] for family in curves}) == 2


def test_several_slides_have_regions_each_of_its_own_file(slide, tmp_path):
    regions = tmp_path / "regions"
    (regions / "b").mkdir(parents=True)
    (tmp_path / "slides/b").mkdir(parents=True)
    for name in ("one", "b/two", "b/three"):
        (tmp_path / "slides" / f"{name}.svs").write_bytes(slide.read_bytes())
    whole = np.ones((13, 15), np.uint8)
    Image.fromarray(whole).save(regions / "one.png")
    slide.with_name("mask.png").rename(regions / "b/two.png")
    options = replace(with_regions(slide, "jpeg:20", roi=regions), glass=("keep",), min_ssim=0.2)
    found = compare_slides([tmp_path / "slides"], tmp_path / "out", options)
    slides = {each.slide: each for each in found.slides}
    assert "no three.geojson with the regions of this slide" in slides["b/three.svs"].error
    assert [each.name for each in slides["b/two.svs"].by_class[0].classes] == ["", "label 1"]
    (all_kept,) = slides["one.svs"].by_class
    assert [each.tiles for each in all_kept.classes] == [0, 40]
    command = convert_command(found.sources, True, "svs", slides["b/two.svs"].by_class[0].options)
    assert f"--roi {regions} --roi-codec copy" in command


def test_the_least_ssim_of_a_row_is_the_least_of_its_classes_too(slide, tmp_path):
    """Painted glass leaves other tiles to measure than tissue does."""
    found = compare_slides([slide], tmp_path / "out", replace(with_regions(slide, "jpeg:20"), min_ssim=0.1))
    (summed,) = [each for each in found.summary if (each.codec, each.glass) == ("roi copy + jpeg:20", "keep")]
    (row,) = [each for each in found.slides[0].by_class if each.glass == "keep"]
    pale = replace(row.classes[0], least_ssim=0.25)
    assert summed.worst_ssim <= row.classes[0].least_ssim
    assert with_classes(row.quality, (pale,)).least_ssim == 0.25
    assert with_classes(row.quality, (replace(pale, least_ssim=1.0),)) == row.quality
    assert with_classes(row.quality, (row.classes[1],)) == row.quality
