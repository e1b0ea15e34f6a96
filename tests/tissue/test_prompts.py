"""Where a person points: options, files of points, and what does not lie on the slide."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.command_line import run_command
from wsicomp import ConfigError, ConversionConfig
from wsicomp.formats.picture import PictureSlide
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticSlide, write_slide
from wsicomp.tissue.prompts import Box, Point, Prompt, read_points, read_prompt

INFO = PictureSlide(Path("a.png"), np.zeros((300, 500, 3), np.uint8), 1.0).info


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "a.svs"
    write_slide(path, SyntheticSlide(Size(600, 500), seed=2))
    return path


def prompt_of(**choices):
    return read_prompt(ConversionConfig.of(segmenter="sam", **choices).prompts)


def test_a_box_is_where_it_begins_and_how_large_it_is():
    assert prompt_of(box="10,20.5,30,40") == Prompt(Box(10, 20.5, 40, 60.5))


def test_a_point_and_a_grid_are_told_apart():
    assert prompt_of(prompt="10, 20") == Prompt(points=(Point(10, 20),))
    assert prompt_of(prompt="grid").is_grid


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"box": "1,2,3"}, "expected the numbers X,Y,W,H"),
        ({"box": "1,2,3,nan"}, "expected the numbers X,Y,W,H"),
        ({"box": "1,2,0,4"}, "a width and a height over 0"),
        ({"box": "1,2,3,-4"}, "a width and a height over 0"),
        ({"prompt": "middle"}, "expected the numbers X,Y"),
        ({"box": "1,2,3,4", "prompt": "1,2"}, "`box` and `prompt` both say where to look"),
        ({}, "give `box`, `prompt` or `points`"),
    ],
)
def test_a_prompt_that_says_nothing_clear_is_refused(choices, message):
    with pytest.raises(ConfigError, match=message):
        ConversionConfig.of(segmenter="sam", **choices)


@pytest.mark.parametrize("choices", [{"box": "1,2,3,4"}, {"prompt": "grid"}, {"sam_weights": "sam.pth"}])
def test_a_prompt_that_no_segmenter_would_use_is_refused(choices):
    with pytest.raises(ConfigError, match="is for Segment Anything"):
        ConversionConfig.of(**choices)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt(Box(500, 0, 510, 10)), "box 500,0,10,10 lies outside the slide's 500 x 300 px"),
        (Prompt(Box(-20, -20, -10, -10)), "lies outside"),
        (Prompt(Box(-1, 0, 10, 10)), "reaches past"),
        (Prompt(Box(0, 290, 10, 301)), "reaches past"),
        (Prompt(points=(Point(1, 1), Point(1, 300))), "point 1,300 lies outside"),
        (Prompt(points=(Point(-1, 1),)), "point -1,1 lies outside"),
    ],
)
def test_what_does_not_lie_on_the_slide_is_refused(prompt, message):
    with pytest.raises(ConfigError, match=message):
        prompt.on(INFO)


def test_a_box_may_be_the_whole_slide():
    assert Prompt(Box(0, 0, 500, 300)).on(INFO) == Prompt(Box(0, 0, 500, 300))


@pytest.mark.parametrize(
    "text",
    [
        "x,y,label\n1,2,1\n3,4.5,0\n",
        "1 2 1\n\n3 4.5 0",
        "\ufeffx;y;label\r\n1;2;1\r\n3;4.5;0\r\n",
        "1\t2\t1\n3\t4.5\t0",
    ],
)
def test_points_are_read_from_tables(tmp_path, text):
    (tmp_path / "points.csv").write_text(text, "utf-8")
    assert read_points(tmp_path / "points.csv") == (Point(1, 2), Point(3, 4.5, is_inside=False))


def test_a_label_may_be_left_out_of_a_table(tmp_path):
    (tmp_path / "points.txt").write_text("1,2\n-3,4")
    assert read_points(tmp_path / "points.txt") == (Point(1, 2), Point(-3, 4))


def feature(kind, places, **properties):
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": places}, "properties": properties}


def test_points_are_read_from_geojson(tmp_path):
    features = [
        feature("Point", [1, 2]),
        feature("MultiPoint", [[3, 4], [5, 6]], classification={"name": "Negative"}),
        feature("Point", [7, 8], label=0),
    ]
    content = {"type": "FeatureCollection", "features": features}
    (tmp_path / "points.geojson").write_text(json.dumps(content))
    found = read_points(tmp_path / "points.geojson")
    assert found == (Point(1, 2), Point(3, 4, False), Point(5, 6, False), Point(7, 8, False))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "x,y", "0 points, none of them inside"),
        ("a.csv", "1,2,0", "1 points, none of them inside"),
        ("a.csv", "1,2,2", "no points"),
        ("a.csv", "1", "no points"),
        ("a.csv", "nan,1", "no points|none of them"),
        ("a.csv", "1,2\n" * 1001, "1001 points, expected at most 1000"),
        ("a.json", "[1, 2]", "no points"),
        ("a.json", json.dumps(feature("Polygon", [[[1, 2]]])), "no points"),
        ("a.json", json.dumps(feature("Point", ["Smith", 2])), "no points"),
        ("a.json", "[" * 100_000, "no points"),
    ],
)
def test_a_file_without_points_is_refused_without_its_text(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_points(tmp_path / name)
    assert "Smith" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--box", "700,0,10,10"], "lies outside the slide's 600 x 500 px"),
        (["--box", "1,2,3,4", "--prompt", "5,6"], "--box and --prompt both say where to look"),
        (["--prompt", "10,500"], "point 10,500 lies outside"),
        (["--points", "nowhere.csv"], "no such file"),
        ([], "give --box, --prompt or --points"),
    ],
)
def test_a_wrong_prompt_is_one_line_and_writes_nothing(slide, tmp_path, words, message):
    target = tmp_path / "region.png"
    code, _, error = run_command("segment", slide, target, "--segmenter", "sam", *words)
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_conversion_does_not_take_a_region_for_all_tissue(slide, tmp_path):
    words = ["--segmenter", "sam", "--box", "10,10,100,100"]
    code, _, error = run_command("convert", slide, tmp_path / "b.svs", *words)
    assert code == 2
    assert "all other tissue would be taken for glass" in error
    assert not list(tmp_path.iterdir())
