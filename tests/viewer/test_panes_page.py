"""The pictures of the page in a browser: they move as one, show the very pixels, and obey the keys."""

from contextlib import closing

import numpy as np
import pytest
import tifffile
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

from tests import tiffs
from tests.comparison.drawn import draw_slide
from tests.viewer.browser import complaints, emulate, pixels_of, until, until_is, until_said
from tests.viewer.served import serving
from wsicomp import ConversionConfig
from wsicomp.conversion.convert import convert_slide
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import Region
from wsicomp.plan.level_plan import TileAction

SIZE = (1500, 1300)
READY = "return window.wsicomp?.panes.isLoaded === true"
STILL = """
const done = arguments[0];
const {panes} = window.wsicomp;
const answer = () => {
    const at = JSON.stringify(panes.shown.map(pane => pane.target));
    done(panes.isLoaded && at === JSON.stringify(panes.shown.map(pane => pane.place)) && panes.place);
};
// What was asked for is only known to be missing once it should have been drawn.
requestAnimationFrame(() => requestAnimationFrame(answer));
"""
PLACES = "return wsicomp.panes.shown.map(pane => pane.place)"
CANVAS = "#stage .pane:not([hidden]) .stand canvas"


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """A slide, one encoded anew, and one whose tissue was copied."""
    folder = tmp_path_factory.mktemp("drawn")
    source = draw_slide(folder / "slide.svs")
    chosen = {"segmenter": "threshold", "margin_um": 0.0, "verify": False}
    lossy, copied = folder / "lossy.svs", folder / "copied.svs"
    convert_slide(source, lossy, ConversionConfig.of(codec="jpeg", quality=30, **chosen))
    convert_slide(source, copied, ConversionConfig.of(codec="copy", glass="white", **chosen))
    return source, lossy, copied


@pytest.fixture(scope="module")
def server(slides):
    with serving(*slides) as server:
        yield server


@pytest.fixture
def visit(browser, server):
    """Opens the page, where an address's fragment leads."""

    def opened(fragment=""):
        browser.get("about:blank")
        browser.get(server.address + fragment)
        until(lambda: browser.execute_script(READY), "the first full view")
        return browser

    yield opened
    browser.get("about:blank")


@pytest.fixture
def page(visit):
    return visit()


def at_rest(page):
    """Where the pictures are once they stand still and are complete."""
    return until(lambda: page.execute_async_script(STILL), "pictures at rest")


def middle(page):
    place = at_rest(page)
    return place["x"], place["y"]


def press(page, *keys):
    ActionChains(page).send_keys(*keys).perform()


def until_view(page, view):
    until_is(lambda: page.execute_script("return wsicomp.panes.view"), view, "the view")


def picture(page, number):
    return page.find_elements("css selector", ".pane:not([hidden]) .picture")[number]


def look_at(page, left, top):
    """Show level-0 pixels one to one, with these in the top left corner, and return how many are in sight."""
    page.execute_script("wsicomp.panes.setPixels({icc: false, exact: true})")
    at_rest(page)
    width, height = page.execute_script("return [wsicomp.panes.lead.width, wsicomp.panes.lead.height]")
    page.execute_script(
        "wsicomp.panes.moveTo({x: arguments[0], y: arguments[1], scale: 1}, true)",
        left + width / 2,
        top + height / 2,
    )
    at_rest(page)
    return width, height


def pixels_in_sight(page, number, left, top, size):
    """What a picture shows of the slide, (rows, columns, 3), without what is beyond the slide's edge."""
    seen = pixels_of(page, page.find_elements("css selector", CANVAS)[number])
    assert seen.shape[1::-1] == size
    return seen[: SIZE[1] - top, : SIZE[0] - left, :3]


def stored(path, left, top, shape):
    with closing(open_reader(path)) as slide:
        return slide.read_region(0, Region(left, top, shape[1], shape[0]))


def test_pictures_move_as_one_whichever_is_moved(browser, visit):
    emulate(browser, prefers_reduced_motion="no-preference")
    page = visit()
    start = page.execute_script(PLACES)
    assert len(start) == 3
    assert all(place == pytest.approx(start[0]) for place in start)
    origin = ScrollOrigin.from_element(picture(page, 1), 60, -40)
    ActionChains(page).scroll_from_origin(origin, 0, -400).perform()
    until(lambda: page.execute_script(PLACES)[0]["scale"] > 1.2 * start[0]["scale"], "larger pictures")
    zoomed = at_rest(page)
    ActionChains(page).drag_and_drop_by_offset(picture(page, 2), -50, 30).perform()
    until(lambda: page.execute_script(PLACES)[0] != zoomed, "other places")
    moved = at_rest(page)
    assert moved["x"] == pytest.approx(zoomed["x"] + 50 / zoomed["scale"], abs=2 / zoomed["scale"])
    assert moved["y"] == pytest.approx(zoomed["y"] - 30 / zoomed["scale"], abs=2 / zoomed["scale"])
    assert all(place == pytest.approx(moved) for place in page.execute_script(PLACES))


def test_one_to_one_shows_the_very_pixels_of_each_slide(page, slides):
    left, top = 431, 288
    size = look_at(page, left, top)
    for number, path in enumerate(slides):
        seen = pixels_in_sight(page, number, left, top, size)
        assert np.array_equal(seen, stored(path, left, top, seen.shape))


def test_the_difference_is_that_of_the_pixels_and_black_where_a_tile_was_copied(page, slides):
    source, lossy, copied = slides
    press(page, "d")
    until_view(page, "difference")
    left, top = 300, 250
    for number, path in enumerate((lossy, copied), 1):
        page.execute_script("wsicomp.panes.choose(0, arguments[0])", number)
        seen = pixels_in_sight(page, 0, left, top, look_at(page, left, top))
        first, second = (stored(each, left, top, seen.shape).astype(np.int16) for each in (source, path))
        assert np.array_equal(seen, np.abs(first - second))
        assert seen.any()
    with closing(open_reader(copied)) as slide:
        plan = slide.provenance.plan.levels[0]
    rows, columns = np.nonzero(plan.actions == TileAction.COPY.value)
    regions = [plan.grid.region(column, row) for row, column in zip(rows, columns, strict=True)]
    inside = [each for each in regions if each.x >= left and each.y >= top]
    assert inside
    for each in inside:
        x, y = each.x - left, each.y - top
        assert not seen[y : y + each.height, x : x + each.width].any()


def test_the_difference_is_amplified_by_keys_from_1_to_32_times(page):
    press(page, "d", "[", "[", "[", "[")
    at_rest(page)
    stand = page.find_element("css selector", ".pane:not([hidden]) .stand")
    until_is(lambda: stand.value_of_css_property("filter"), "brightness(1)", "the filter")
    press(page, *"]]]]]]")
    until_is(lambda: stand.value_of_css_property("filter"), "brightness(32)", "the filter")
    slider = page.find_element("css selector", "input[aria-label=Amplification]")
    until_is(lambda: slider.get_attribute("aria-valuetext"), "32 times", "the slider's text")


def test_the_curtain_shows_one_slide_on_each_side_of_its_bar(page):
    def slide_at(share):
        return page.execute_script(
            """
            const box = document.getElementById('stage').getBoundingClientRect();
            const [x, y] = [box.left + arguments[0] * box.width, box.top + box.height / 2];
            const found = document.elementFromPoint(x, y);
            return wsicomp.panes.shown.findIndex(pane => pane.picture.contains(found));
            """,
            share,
        )

    press(page, "c")
    at_rest(page)
    until_is(lambda: [slide_at(0.4), slide_at(0.6)], [0, 1], "the slides")
    press(page, ".", ".", ".", ".")
    until_is(lambda: [slide_at(0.6), slide_at(0.8)], [0, 1], "the slides")
    bar = page.find_element("id", "curtain")
    until_is(lambda: bar.get_attribute("aria-valuenow"), "70", "the bar's place")
    width = page.find_element("id", "stage").size["width"]
    ActionChains(page).click_and_hold(bar).move_by_offset(-round(width / 2), 0).release().perform()
    until_is(lambda: [slide_at(0.1), slide_at(0.4)], [0, 1], "the slides")


def test_blink_shows_the_other_slide_at_the_press_of_a_key(page):
    def visible():
        return [
            each.value_of_css_property("visibility")
            for each in page.find_elements("css selector", ".pane:not([hidden]) .picture")
        ]

    press(page, "b")
    at_rest(page)
    until_is(visible, ["visible", "hidden"], "the pictures")
    press(page, "x")
    until_is(visible, ["hidden", "visible"], "the pictures")
    press(page, Keys.SPACE)
    until_is(visible, ["visible", "hidden"], "the pictures")
    press(page, "x")
    spoken = page.find_element("id", "spoken")
    until_is(lambda: spoken.get_attribute("textContent"), "Shown: lossy.svs", "what is spoken")


def test_every_view_and_motion_has_a_key(page):
    for key, view in zip("cbdis", ("curtain", "blink", "difference", "single", "side"), strict=True):
        press(page, key)
        until_view(page, view)
    press(page, "1")
    until_is(lambda: at_rest(page)["scale"], 1, "the scale")
    start = at_rest(page)
    press(page, Keys.ARROW_RIGHT)
    until(lambda: at_rest(page)["x"] > start["x"], "a place further right")
    right = at_rest(page)
    assert right["y"] == start["y"]
    press(page, Keys.ARROW_DOWN)
    until(lambda: at_rest(page)["y"] > right["y"], "a place further down")
    press(page, "-")
    until(lambda: at_rest(page)["scale"] < 1, "smaller pictures")
    press(page, "g")
    until_is(lambda: page.execute_script("return document.activeElement.id"), "go-to", "what has the focus")
    press(page, "700, 600", Keys.ENTER)
    until_is(lambda: middle(page), pytest.approx((700, 600)), "the place")
    press(page, "0")
    until_is(lambda: middle(page), (SIZE[0] / 2, SIZE[1] / 2), "the place")
    press(page, "i", "n")
    name = "return wsicomp.panes.shown[0].slide.name"
    until_is(lambda: page.execute_script(name), "lossy.svs", "the slide")
    press(page, "?")
    until(page.find_element("id", "help").is_displayed, "the list of keys")
    press(page, Keys.ESCAPE)
    until(lambda: not page.find_element("id", "help").is_displayed(), "no list of keys")
    press(page, "p")
    until(lambda: not page.find_element("id", "side").is_displayed(), "no panel")


def test_keys_that_are_typed_into_a_field_are_its_own(page):
    press(page, "g")
    press(page, "cbd")
    field = page.find_element("id", "go-to")
    until_is(lambda: field.get_attribute("value"), "cbd", "what was typed")
    until_view(page, "side")
    press(page, Keys.ESCAPE)
    press(page, "c")
    until_view(page, "curtain")


def test_a_place_outside_the_slide_is_refused_in_words(page):
    before = at_rest(page)
    press(page, "g")
    press(page, "1500, 20", Keys.ENTER)
    until_said(page, "Give x and y in pixels of level 0")
    assert at_rest(page) == before


def test_a_link_leads_to_a_place_and_follows_every_motion(visit):
    page = visit("#700,600,2,curtain")
    assert at_rest(page) == pytest.approx({"x": 700, "y": 600, "scale": 2})
    until_view(page, "curtain")
    press(page, "1", "b")
    until(lambda: page.current_url.endswith("#700,600,1,blink"), "the place in the address")


def test_an_address_that_names_no_place_shows_the_whole_slide(visit):
    page = visit("#1,2,0,side")
    assert middle(page) == (SIZE[0] / 2, SIZE[1] / 2)
    parse = """
        const [fragments, done] = arguments;
        import('./static/place.js').then(({parsePlace}) => done(fragments.map((each) => parsePlace(each))));
    """
    wrong = ["#", "#1,2", "#a,b,c,side", "#1,2,0,side", "#1,2,1e999,side", "#1,2,3,none"]
    *none, place = page.execute_async_script(parse, [*wrong, "#1,2,3,side"])
    assert none == [None] * len(wrong)
    assert place == {"x": 1, "y": 2, "scale": 3, "view": "side"}


def test_the_scale_bar_and_the_zoom_say_real_lengths(page):
    press(page, "i", "1")
    until_is(lambda: at_rest(page)["scale"], 1, "the scale")
    mpp, power = page.execute_script("return [wsicomp.panes.slide.mpp, wsicomp.panes.slide.objective_power]")
    until_is(lambda: page.find_element("id", "zoom").text, f"{power:g}x", "the zoom")
    length = float(page.find_element("css selector", "#scale .length").text.removesuffix(" um"))
    bar = page.find_element("css selector", "#scale .bar").size["width"]
    assert bar * mpp == pytest.approx(length, abs=mpp)


def test_pictures_keep_their_place_when_the_window_changes(page):
    press(page, "1")
    until_is(lambda: at_rest(page)["scale"], 1, "the scale")
    before = at_rest(page)
    emulate(page, width=900, height=700)
    until(lambda: page.execute_script("return wsicomp.panes.lead.width") < 300, "smaller pictures")
    assert at_rest(page) == pytest.approx(before)
    press(page, "0")
    at_rest(page)
    emulate(page)
    until(lambda: page.execute_script("return wsicomp.panes.lead.width") > 300, "larger pictures")
    at_rest(page)
    shown = "const {x, y, width, height} = wsicomp.panes.viewRegion(); return [x, y, width, height]"
    until_is(lambda: page.execute_script(shown), [0, 0, *SIZE], "what is in sight")


@pytest.mark.parametrize("key", ["0", "1"])
def test_pictures_are_as_they_were_after_a_window_without_room_for_them(page, key):
    press(page, key)
    before = at_rest(page)
    for width, height in ((240, 100), (120, 60), (1280, 800)):
        emulate(page, width=width, height=height)
        asked = "return innerHeight"
        until(lambda: page.execute_script(asked) == height, "the size")  # noqa: B023 -- asked at once
        page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))")
    assert at_rest(page) == pytest.approx(before)


def test_a_page_that_opens_without_room_shows_the_slide_once_there_is_some(browser, server):
    emulate(browser, width=240, height=60)
    browser.get(server.address)
    loaded = "return window.wsicomp?.panes.panes[0].viewer?.world.getItemCount() === 1"
    until(lambda: browser.execute_script(loaded), "tiles")
    emulate(browser)
    until(lambda: browser.execute_script(READY), "the first full view")
    width = "return wsicomp.panes.viewRegion().width"
    until_is(lambda: browser.execute_script(width), SIZE[0], "what is in sight")
    browser.get("about:blank")


def test_pictures_and_layers_take_the_pixels_of_another_screen(page):
    sizes = """
        dispatchEvent(new Event('resize'));
        const pane = wsicomp.panes.lead;
        return [pane.width, pane.overlay.width, pane.viewer.drawer.canvas.width];
    """
    width, *drawn = page.execute_script(sizes)
    assert drawn == [width, width]
    metrics = {"width": 1280, "height": 800, "deviceScaleFactor": 2, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    until(lambda: page.execute_script(sizes) == [width, 2 * width, 2 * width], "twice the pixels")


def test_the_scale_bar_of_pixels_that_are_not_square_is_right_across(browser, tmp_path):
    path = tmp_path / "high.tif"
    options = {"resolution": (40000, 10000), "resolutionunit": "CENTIMETER", "compression": "deflate"}
    with tifffile.TiffWriter(path) as file:
        file.write(tiffs.picture(900, 700), tile=(256, 256), photometric="rgb", **options)
    with serving(path) as server:
        browser.get(server.address)
        until(lambda: browser.execute_script(READY), "the first full view")
        slide, scale = browser.execute_script("return [wsicomp.panes.slide, wsicomp.panes.scale]")
        assert (slide["mpp_across"], slide["mpp"]) == pytest.approx((0.25, 0.5))
        length = browser.find_element("css selector", "#scale .length")
        text = until(lambda: length.text, "the length")
        bar = browser.find_element("css selector", "#scale .bar").size["width"]
        assert float(text.removesuffix(" um across")) == pytest.approx(bar / scale * 0.25, rel=0.02)
        browser.get("about:blank")


def test_nothing_glides_for_those_who_want_less_motion(browser, visit):
    emulate(browser, prefers_reduced_motion="no-preference")
    page = visit()
    emulate(page, prefers_reduced_motion="reduce")
    jumped = "const {panes} = wsicomp; panes.zoomTo(0.5); panes.zoomBy(2); return panes.scale"
    assert page.execute_script(jumped) == 1


def test_a_server_that_was_stopped_is_said_to_be_gone_until_it_answers(page):
    def set_offline(offline):
        speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        page.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": offline, **speed})

    notice = page.find_element("id", "gone")
    page.execute_cdp_cmd("Network.enable", {})
    set_offline(True)
    press(page, "i", "n", "1")
    until(lambda: "does not answer; was it stopped?" in notice.text, "the notice")
    set_offline(False)
    until(lambda: not notice.is_displayed(), "no notice")
    at_rest(page)
    assert [each for each in complaints(page) if "to load" not in each] == []


def test_two_tabs_show_places_of_their_own(page, visit):
    press(page, "1")
    until_is(lambda: at_rest(page)["scale"], 1, "the scale")
    first = page.current_window_handle
    page.switch_to.new_window("tab")
    visit("#200,300,2,single")
    until_view(page, "single")
    page.get("about:blank")
    page.switch_to.window(first)
    assert at_rest(page)["scale"] == 1
    until_view(page, "side")
