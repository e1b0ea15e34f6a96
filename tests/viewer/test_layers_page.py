"""Layers over the pictures in a browser: they lie where they belong, and count what the report counts."""

import json
from functools import partial

import numpy as np
import pytest
from selenium.webdriver import ActionChains

from tests.comparison.drawn import draw_slide
from tests.viewer.browser import pixels_of, until, until_is
from tests.viewer.page import settle
from tests.viewer.served import serving
from wsicomp import ConversionConfig
from wsicomp.conversion.convert import convert_slide

SIZE = (1500, 1300)
SQUARE = [[400, 300], [1000, 300], [1000, 900], [400, 900], [400, 300]]
OVERLAYS = ".pane:not([hidden]) .overlay"


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A slide, its conversion with the tissue encoded anew, and the report of it."""
    folder = tmp_path_factory.mktemp("drawn")
    source, target = draw_slide(folder / "slide.svs", tissue=0.15, tile_px=128), folder / "lossy.svs"
    config = ConversionConfig.of(codec="jpeg", quality=30, segmenter="threshold", margin_um=20, verify=False)
    return source, target, convert_slide(source, target, config).to_json()


@pytest.fixture(scope="module")
def outlines(tmp_path_factory):
    geometry = {"type": "Polygon", "coordinates": [SQUARE]}
    properties = {"name": "square", "classification": {"name": "Tumor", "color": [0, 0, 250]}}
    path = tmp_path_factory.mktemp("outlines") / "square.geojson"
    feature = {"type": "Feature", "geometry": geometry, "properties": properties}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


@pytest.fixture(scope="module")
def address(converted, outlines):
    source, target, _ = converted
    with serving(source, target, annotations=(outlines,)) as server:
        yield server.address


@pytest.fixture
def page(browser, address):
    browser.get(address)
    settle(browser)
    yield browser
    browser.get("about:blank")


def switch(page, name):
    page.find_element("xpath", f"//label[normalize-space()='{name}']/input").click()


def drawn(page, number):
    """What the layers draw over a picture: (rows, columns, 4)."""
    return pixels_of(page, page.find_elements("css selector", OVERLAYS)[number])


def is_outlined(page, number, x, y):
    """Whether a line of the square's blue passes a level-0 pixel of a picture."""
    place = page.execute_script(
        "return wsicomp.panes.shown[arguments[0]].toScreen(arguments[1], arguments[2])", number, x, y
    )
    column, row = round(place["x"]), round(place["y"])
    near = drawn(page, number)[row - 2 : row + 3, column - 2 : column + 3].astype(int)
    return bool(((near[..., 2] > 200) & (near[..., 0] < 120) & (near[..., 3] > 0)).any())


def legend(page):
    """The rows of the legend: name, count of the level in sight, count of all."""
    rows = page.execute_script(
        "return [...document.querySelectorAll('.legend tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return {name: (int(here.replace(",", "")), int(total.replace(",", ""))) for name, here, total in rows}


CHOOSE_LEVEL = """
const list = [...document.querySelectorAll('.legend select')].at(-1);
list.value = arguments[0];
list.dispatchEvent(new Event('change', {bubbles: true}));
"""


def test_the_legend_counts_what_the_report_counts_for_each_level_and_for_the_one_in_sight(page, converted):
    levels = converted[2]["levels"]
    named = {"encoded": "encoded", "painted": "whitened", "blank glass": "blank"}

    def expected(number):
        totals = {name: sum(level[of] for level in levels) for name, of in named.items()}
        return {name: (levels[number][of], totals[name]) for name, of in named.items() if totals[name]}

    switch(page, "What became of tiles")
    page.execute_script("wsicomp.panes.zoomTo(1)")
    until(lambda: legend(page) == expected(0), "the counts of level 0")
    page.execute_script("wsicomp.panes.zoomTo(0.2)")
    page.execute_script(CHOOSE_LEVEL, "in sight")
    until(lambda: legend(page) == expected(1), "the counts of level 1")
    page.execute_script(CHOOSE_LEVEL, "0")
    until(lambda: legend(page) == expected(0), "the counts of level 0 again")
    page.execute_script("wsicomp.panes.zoomTo(1)")
    page.execute_script(CHOOSE_LEVEL, "1")
    until(lambda: legend(page) == expected(1), "the counts of level 1 again")
    assert expected(0) != expected(1)


def test_tiles_that_went_are_marked_on_the_conversion_alone(page, converted):
    blank = converted[2]["levels"][0]["blank"]
    switch(page, "Tiles that went")
    page.execute_script("wsicomp.panes.zoomTo(0.3)")
    switch(page, "square.geojson")
    until(lambda: np.count_nonzero(drawn(page, 1)[..., 3]) > 0, "marked tiles")
    until(lambda: not drawn(page, 0)[..., 3].any(), "nothing over the source")
    settle(page)
    scale = page.execute_script("return wsicomp.panes.scale")
    level = page.execute_script("return wsicomp.session.slides[1].levels[0]")
    tile = level["tile_width"] * level["tile_height"]
    least, most = (blank - level["columns"] - level["rows"]) * tile, blank * tile * 1.02
    until(
        lambda: least < np.count_nonzero(drawn(page, 1)[..., 3]) / scale**2 < most,
        f"{least:.0f} to {most:.0f} px of level 0 that are marked",
    )


def test_a_code_that_is_switched_off_is_not_drawn(page):
    switch(page, "square.geojson")
    switch(page, "What became of tiles")
    everything = until(lambda: np.count_nonzero(drawn(page, 1)[..., 3]), "the tiles")
    # The legend is written anew when more is known of damage.
    click = "document.querySelectorAll('.legend tbody input')[arguments[0]].click()"
    until(lambda: len(legend(page)) > 1, "the legend")
    page.execute_script(click, 0)
    until(lambda: np.count_nonzero(drawn(page, 1)[..., 3]) < everything, "fewer tiles")
    for number in range(1, len(legend(page))):
        page.execute_script(click, number)
    until(lambda: not drawn(page, 1)[..., 3].any(), "no tiles")


def test_annotations_are_outlined_where_they_lie_in_their_colour(page):
    until(lambda: is_outlined(page, 0, 700, 300), "the upper side")
    for number in (0, 1):
        for x, y in ((400, 600), (1000, 600), (700, 900)):
            until(partial(is_outlined, page, number, x, y), f"the outline at {x}, {y} of picture {number}")
        assert not is_outlined(page, number, 700, 600)


def test_a_cell_too_small_for_lines_is_a_dot_and_what_has_no_numbers_is_left_out_and_counted(
    browser, converted, tmp_path
):
    path = tmp_path / "cells.geojson"
    ring = [[1200, 1100], [1206, 1100], [1206, 1106], [1200, 1106], [1200, 1100]]
    cell = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}
    cell["properties"] = {"classification": {"name": "Tumor", "colorRGB": 0x0000FA}}
    lost = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [0, None]]]}}
    path.write_text(json.dumps([cell, lost, {"type": "Feature", "geometry": None}]))
    with serving(converted[0], annotations=(path,)) as server:
        browser.get(server.address)
        settle(browser)
        words = "//*[contains(text(), '1 outline; 2 without')]"
        (note,) = until(lambda: browser.find_elements("xpath", words), "the note")
        until(note.is_displayed, "the note in sight")
        x, y = browser.execute_script("const {x, y} = wsicomp.panes.toScreen(1202, 1102); return [x, y]")
        until_is(lambda: list(drawn(browser, 0)[int(y), int(x), :3]), [0, 0, 250], "the colour of the cell")
        browser.get("about:blank")


def test_tissue_and_margin_are_asked_for_when_switched_on_and_told_apart(page):
    switch(page, "square.geojson")
    switch(page, "Tissue")
    tissue = until(lambda: np.count_nonzero(drawn(page, 0)[..., 3]), "the tissue")
    said = page.find_element("css selector", ".group .note")
    until(lambda: "% tissue" in said.text, "how much is tissue")
    note = said.text
    assert "margin 20" in note
    fraction = float(note.split(" %")[0]) / 100
    scale = page.execute_script("return wsicomp.panes.scale")
    assert tissue / scale**2 / (SIZE[0] * SIZE[1]) == pytest.approx(fraction, abs=0.02)
    switch(page, "Margin")
    until(lambda: np.count_nonzero(drawn(page, 0)[..., 3]) > tissue, "the margin")
    settle(page)
    both = np.count_nonzero(drawn(page, 0)[..., 3])
    switch(page, "Tissue")
    until(lambda: 0 < np.count_nonzero(drawn(page, 0)[..., 3]) not in (tissue, both), "the margin alone")


def test_opacity_and_the_key_for_all_layers_change_what_is_drawn(page):
    until(lambda: drawn(page, 0)[..., 3].max() == 255, "the outline")
    slider = page.find_element("css selector", "input[aria-label='Opacity of: square.geojson']")
    page.execute_script(
        "arguments[0].value = 40; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))", slider
    )
    until(lambda: 0 < drawn(page, 0)[..., 3].max() < 255, "a fainter outline")
    ActionChains(page).send_keys("l").perform()
    until(lambda: not drawn(page, 0)[..., 3].any(), "no outline")
    ActionChains(page).send_keys("l").perform()
    until(lambda: np.any(drawn(page, 0)[..., 3]), "the outline again")


def test_the_worst_tiles_lead_to_their_place_and_are_marked(page):
    page.find_element("css selector", "details summary").click()
    until(lambda: "tiles measured" in page.find_element("css selector", "details .note").text, "the list")
    rows = page.find_elements("css selector", ".worst button")
    ssims = [float(row.text.split()[1]) for row in rows]
    assert ssims == sorted(ssims)
    rows[0].click()
    where = rows[0].get_attribute("title")
    level, column, row = (int(word.split()[1]) for word in where.split(", "))
    shape = page.execute_script("return wsicomp.session.slides[1].levels[arguments[0]]", level)
    middle = [
        (index + 0.5) * side * shape["downsample"]
        for index, side in ((column, shape["tile_width"]), (row, shape["tile_height"]))
    ]
    place = "return [wsicomp.panes.place.x, wsicomp.panes.place.y]"
    tile_px = shape["tile_width"] * shape["downsample"]
    until(lambda: np.abs(np.subtract(page.execute_script(place), middle)).max() < tile_px / 2, "its place")
    until(lambda: (drawn(page, 1)[..., :3] == (0xD5, 0, 0)).all(-1).any(), "the mark")
