"""A codec tried in a browser shows the pixels that a conversion would store, and says what they weigh."""

from contextlib import closing

import numpy as np
import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.support.ui import Select

from tests.comparison.drawn import draw_slide
from tests.viewer.browser import faults_of_accessibility, pixels_of, until, until_is
from tests.viewer.page import settle
from tests.viewer.served import serving
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Region
from wsicomp.viewer.pictures.views import SlideView
from wsicomp.viewer.what_if.playground import encode_view

MOVE = """
const slider = document.querySelector("#panel-codecs input[type=range]");
for (const value of arguments[0]) {
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
}
"""
INNER = slice(40, -4)
"""Inside the label and the frame that are drawn on the picture."""


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    return draw_slide(tmp_path_factory.mktemp("drawn") / "slide.svs")


@pytest.fixture(scope="module")
def address(slide):
    with serving(slide) as server:
        yield server.address


@pytest.fixture
def page(browser, address):
    """The page of a slide with its panel "Codecs" open, one to one."""
    browser.get(address)
    settle(browser)
    browser.execute_script("wsicomp.panes.moveTo({x: 700.25, y: 600.5, scale: 1}, true)")
    browser.find_element("id", "tab-codecs").click()
    until(lambda: browser.find_elements("id", "try-codec"), "the codecs")
    settle(browser)
    return browser


def figures(page, words=""):
    """What the panel says, once it is of the codec that was chosen and has these words."""
    settled = (
        "return !document.querySelector('.figures.stale') && document.querySelector('.figures').innerText"
    )
    return until(
        lambda: words in (found := page.execute_script(settled) or "") and found, f"figures: {words}"
    )


def choose(page, codec, *values):
    Select(page.find_element("css selector", "#panel-codecs select")).select_by_value(codec)
    page.execute_script(MOVE, values)


def overlay(page):
    return pixels_of(page, page.find_element("css selector", ".pane .overlay"))


@pytest.mark.parametrize(("codec", "value"), [("jpeg", 20), ("jpegxl", 3)])
def test_a_tried_codec_shows_what_a_conversion_would_store(page, slide, codec, value):
    choose(page, codec, value)
    said = figures(page, "SSIM")
    area = page.execute_script("return wsicomp.panes.viewRegion()")
    region = Region(*(area[name] for name in ("x", "y", "width", "height")))
    with closing(open_reader(slide)) as opened:
        found = encode_view(opened, SlideView(0, region), f"{codec}:{value}")
    seen = overlay(page)
    top = round(page.execute_script("return wsicomp.panes.toScreen(0, arguments[0]).y", region.y))
    left = round(page.execute_script("return wsicomp.panes.toScreen(arguments[0], 0).x", region.x))
    rows = min(seen.shape[0] - top, region.height)
    columns = min(seen.shape[1] - left, region.width)
    shown = seen[max(top, 0) : top + rows, max(left, 0) : left + columns, :3]
    wanted = found.pixels[max(-top, 0) : rows, max(-left, 0) : columns]
    assert shown.shape == wanted.shape
    assert np.array_equal(shown[INNER, INNER], wanted[INNER, INNER])
    assert f"SSIM {np.floor(found.ssim * 1000) / 1000:.3f}" in said
    assert f"{found.bytes / 1000:.3g} kB" in said


def test_only_the_last_of_a_sliders_places_is_made_and_all_that_were_tried_are_listed(page):
    choose(page, "jpeg", *range(90, 30, -1))
    assert figures(page, "JPEG q31")
    choose(page, "jpegxl-lossless")
    assert figures(page, "every pixel exact")
    tried = "return [...document.querySelectorAll('.tried tbody th')].map((each) => each.innerText).sort()"
    until_is(lambda: page.execute_script(tried), ["jpeg:31", "jpegxl-lossless"], "the list of the tried")
    page.find_element("xpath", "//button[text()='jpeg:31']").click()
    assert figures(page, "JPEG q31")
    assert faults_of_accessibility(page) == []


def test_a_held_key_shows_the_original_and_a_switch_ends_the_trial(page):
    choose(page, "jpeg", 10)
    figures(page, "SSIM")
    until(lambda: np.any(overlay(page)[..., 3]), "the view as JPEG")
    ActionChains(page).key_down("o").perform()
    until(lambda: not overlay(page).any(), "the original")
    ActionChains(page).key_up("o").perform()
    until(lambda: overlay(page).any(), "the view as JPEG again")
    page.find_element("id", "try-codec").click()
    until(lambda: not overlay(page).any(), "the original again")


def test_a_server_that_refuses_is_quoted(page):
    page.execute_script(
        "window.asked = fetch; window.fetch = address => asked(address.replace('codec=jpeg', 'codec=gone'))"
    )
    choose(page, "jpeg", 10)
    assert figures(page, "unknown codec")
    page.get_log("browser")
