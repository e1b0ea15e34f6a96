"""What a viewer shows of a slide: which level, and which part of it."""

import math
from pathlib import Path

import pytest

from wsicomp import ConfigError
from wsicomp.geometry import Region, Size
from wsicomp.slide import Level, SlideInfo
from wsicomp.viewer.pictures.views import Rectangle, SlideView, view_of

SIZES = (Size(16_000, 12_000), Size(4000, 3000), Size(1000, 750))
LEVELS = tuple(Level(size, Size(256, 256), 16_000 / size.width) for size in SIZES)
INFO = SlideInfo(Path("slide.svs"), "aperio", LEVELS, None, None, None, "", {}, {})


@pytest.mark.parametrize(
    ("width", "level"),
    [(600, 0), (1200, 0), (2400, 0), (2401, 1), (4800, 1), (9600, 1), (9601, 2), (16_000, 2)],
)
def test_the_level_is_the_finest_whose_pixels_are_half_a_screen_pixel_wide(width, level):
    assert view_of(INFO, Rectangle(0, 0, width, 100), 1200).level == level


def test_the_region_is_in_pixels_of_the_level_and_covers_every_pixel_that_is_touched():
    view = view_of(INFO, Rectangle(401.5, 803, 4797, 3193), 1200)
    assert view == SlideView(1, Region(100, 200, 1200, 799))
    assert view.rectangle(INFO) == Rectangle(400, 800, 4800, 3196)


def test_a_rectangle_that_reaches_past_the_slide_is_cut_at_its_edge():
    assert view_of(INFO, Rectangle(-500, 11_900, 1000, 1000), 1000).region == Region(0, 11_900, 500, 100)


def test_a_view_of_too_many_pixels_is_cut_to_its_middle():
    view = view_of(INFO, Rectangle(1000, 1000, 2000, 1000), 1000, most_px=500_000)
    assert view == SlideView(0, Region(1500, 1250, 1000, 500), 0.25)


@pytest.mark.parametrize("at", [(16_000, 0), (0, 12_000), (-10, 0), (0, -10), (1e8, 0)])
def test_a_rectangle_outside_the_slide_is_refused(at):
    with pytest.raises(ConfigError, match="outside the slide's 16000 x 12000 px"):
        view_of(INFO, Rectangle(*at, 10, 10), 100)


@pytest.mark.parametrize(
    "sides",
    [
        (math.nan, 0, 1, 1),
        (0, math.inf, 1, 1),
        (0, 0, 0, 1),
        (0, 0, 1, -1),
        (0, 0, math.nan, 1),
        (1e300, 0, 1, 1),
    ],
)
def test_what_is_no_rectangle_is_refused(sides):
    with pytest.raises(ConfigError, match="expected x, y, width and height"):
        Rectangle(*sides)


@pytest.mark.parametrize("screen_px", [0, -5, math.nan, math.inf, 1e9])
def test_what_is_no_width_of_a_screen_is_refused(screen_px):
    with pytest.raises(ConfigError, match="expected 1 to"):
        view_of(INFO, Rectangle(0, 0, 10, 10), screen_px)
