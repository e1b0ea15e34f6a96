"""A rectangle becomes the outline of what it holds, by a network that these tests draw themselves."""

import threading
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import Point, box, shape

from tests.tissue.segmenters.test_sam import DarkInBox, picture
from wsicomp import ConfigError, MissingExtraError
from wsicomp.formats.picture import PictureSlide
from wsicomp.tissue.segmenters.sam import base
from wsicomp.viewer.pictures.views import Rectangle
from wsicomp.viewer.session import why_no_outline
from wsicomp.viewer.what_if import outlines
from wsicomp.viewer.what_if.outlines import outline_rectangle


@pytest.fixture
def network(monkeypatch):
    fake = DarkInBox()
    monkeypatch.setattr(outlines, "_network", lambda: fake)
    return fake


def slide_of(*boxes, rows=900, columns=1500):
    return PictureSlide(Path("picture.png"), picture(rows, columns, boxes), 1.0)


def agreement(first, second):
    return first.intersection(second).area / first.union(second).area


def test_the_outline_lies_in_level_0_pixels_around_what_the_rectangle_holds(network):
    found = outline_rectangle(
        slide_of((640, 320, 300, 200), (100, 600, 200, 200)), Rectangle(620, 300, 340, 240)
    )
    assert found.geometry["type"] == "Polygon"
    outline = shape(found.geometry)
    assert outline.is_valid
    assert agreement(outline, box(640, 320, 940, 520)) > 0.95
    assert "dark" in found.source


def test_several_pieces_become_a_multi_polygon(network):
    found = outline_rectangle(
        slide_of((600, 300, 100, 200), (800, 300, 100, 200)), Rectangle(580, 280, 340, 240)
    )
    outline = shape(found.geometry)
    assert (outline.geom_type, len(outline.geoms)) == ("MultiPolygon", 2)
    assert agreement(outline, box(600, 300, 700, 500).union(box(800, 300, 900, 500))) > 0.9


def test_an_outline_has_few_points_and_stays_near_what_was_found(network):
    rows, columns = np.mgrid[:900, :1500]
    pixels = np.full((900, 1500, 3), 240, np.uint8)
    pixels[np.hypot(rows - 450, columns - 700) < 150] = 60
    found = outline_rectangle(PictureSlide(Path("picture.png"), pixels, 1.0), Rectangle(540, 290, 320, 320))
    outline = shape(found.geometry)
    assert outline.is_valid
    assert len(outline.exterior.coords) < 120  # a staircase has 800
    assert agreement(outline, Point(700, 450).buffer(150)) > 0.97


def test_a_hole_stays_a_hole(network):
    pixels = picture(900, 1500, [(600, 300, 300, 300)])
    pixels[400:500, 700:800] = 240
    found = outline_rectangle(PictureSlide(Path("picture.png"), pixels, 1.0), Rectangle(590, 290, 320, 320))
    (hole,) = shape(found.geometry).interiors
    assert hole.envelope.area == pytest.approx(100 * 100, rel=0.1)


def test_a_rectangle_is_cut_at_the_edge_of_the_slide(network):
    outline_rectangle(slide_of((0, 0, 200, 200)), Rectangle(-500, -300, 700, 500))
    (prompt,) = network.prompts
    assert np.allclose(prompt[0, :2], 0)


def test_nothing_found_is_said(network):
    found = outline_rectangle(slide_of(), Rectangle(10, 10, 50, 50))
    assert found.geometry == {"type": "MultiPolygon", "coordinates": []}
    assert any("nothing was outlined" in note for note in found.notes)


@pytest.mark.parametrize("place", [(1500, 0), (0, 900), (-100, 0), (0, -1e9)])
def test_a_rectangle_outside_the_slide_is_refused(network, place):
    with pytest.raises(ConfigError, match="outside the slide's 1500 x 900 px"):
        outline_rectangle(slide_of(), Rectangle(*place, 50, 50))


def test_one_outline_is_made_at_a_time(network, monkeypatch):
    running, most, make = [], [], network.embed

    def embed(pixels):
        running.append(1)
        most.append(len(running))
        threading.Event().wait(0.02)
        running.pop()
        return make(pixels)

    monkeypatch.setattr(network, "embed", embed)
    slide = slide_of((600, 300, 300, 200))
    threads = [
        threading.Thread(target=outline_rectangle, args=(slide, Rectangle(590, 290, 320, 220)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_what_is_missing_is_said_with_what_to_install(monkeypatch):
    monkeypatch.setattr(base, "find_spec", lambda name: None if name == "torch" else name)
    assert "pip install 'wsicomp[sam]'" in why_no_outline()
    outlines._network.cache_clear()
    with pytest.raises(MissingExtraError):
        outline_rectangle(slide_of(), Rectangle(0, 0, 50, 50))


def test_nothing_is_missing_where_all_modules_are_there(monkeypatch):
    monkeypatch.setattr(base, "find_spec", lambda name: name)
    assert why_no_outline() == ""
