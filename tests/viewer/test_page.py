"""What a person sees of the page, held against what others decode and count.

The slide and its conversion are read by tifffile, and seen as the browser paints the window.
"""

import json
import signal
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tifffile
from openslide import OpenSlide
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from shapely.geometry import Polygon, box

from tests.command_line import run_command
from tests.conftest import REAL_SLIDES
from tests.viewer import drawn
from tests.viewer.browser import complaints, until, until_is, until_said
from tests.viewer.page import Page
from tests.viewer.served import serving

pytestmark = pytest.mark.gate
MIDDLE = (1024, 768)
LIKENESS = ".pane:not([hidden]) .likeness"


@pytest.fixture(scope="module")
def levels(pair):
    """Level 0 of the slide and of its conversion, decoded by tifffile: (rows, columns, 3) uint8 RGB."""
    return [tifffile.imread(path, key=0) for path in (pair.source, pair.converted)]


def exact(page):
    """Let tiles come as PNG of the very pixels."""
    page.run("panes.setPixels({icc: false, exact: true})")
    page.wait()


def box_of(page):
    """Where level 0 lies on a pane: (left, top, right, bottom) in its pixels."""
    script = """
    const pane = panes.shown[0];
    const [from, to] = [pane.toScreen(0, 0), pane.toScreen(panes.slide.width, panes.slide.height)];
    return [from.x, from.y, to.x, to.y];
    """
    return [round(value) for value in page.run(script)]


def test_the_whole_slide_is_in_sight_at_first_beside_its_conversion(page, levels, pair):
    assert page.driver.title.startswith(pair.source.name)
    assert page.place.view == "side"
    assert [
        each.text for each in page.driver.find_elements("css selector", ".pane-title h2") if each.text
    ] == [
        pair.source.name,
        pair.converted.name,
    ]
    left, top, right, bottom = box_of(page)
    for index, level in enumerate(levels):
        shown = page.pixels(index)
        assert 0 <= left < right <= shown.shape[1]
        assert 0 <= top < bottom <= shown.shape[0]
        assert right - left > 0.9 * shown.shape[1] or bottom - top > 0.9 * shown.shape[0]
        expected = cv2.resize(level, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        off = cv2.blur(shown[top:bottom, left:right], (9, 9)).astype(int) - cv2.blur(expected, (9, 9))
        assert np.abs(off[8:-8, 8:-8]).mean() < 3


def test_titles_say_what_was_saved(page, pair):
    saved = 1 - pair.converted.stat().st_size / pair.source.stat().st_size
    wanted = f"{abs(saved) * 100:.1f} % saved"
    until(lambda: wanted in page.find(".fact.saved").text, wanted)


def test_level_0_is_shown_pixel_by_pixel_in_both_panes(page, levels):
    exact(page)
    for x, y in ((0, 0), (700, 600), (1200, 900)):
        region, rows, columns = page.at_full_size(0, x, y)
        for index, level in enumerate(levels):
            shown = page.pixels(index)[rows, columns]
            expected = level[region.y : region.y + region.height, region.x : region.x + region.width]
            inside = shown[: expected.shape[0], : expected.shape[1]]
            assert np.array_equal(inside, expected)


def test_jpeg_tiles_pass_through_and_are_decoded_by_the_browser(page, levels):
    region, rows, columns = page.at_full_size(0, 600, 500)
    for index, level in enumerate(levels):
        off = np.abs(
            page.pixels(index)[rows, columns].astype(int)
            - level[region.y : region.y + region.height, region.x : region.x + region.width]
        )
        assert off.mean() < 1.5  # another interpolation of the colours


def test_the_wheel_zooms_both_to_the_pointer(page):
    page.go(*MIDDLE, 0.5)
    before = page.place
    under = """
    const pane = panes.shown[1];
    const {x, y} = pane.toSlide(pane.width / 2 + 100, pane.height / 2 - 80);
    return [x, y];
    """
    held = page.run(under)
    origin = ScrollOrigin.from_element(page.pane(1), 100, -80)
    ActionChains(page.driver).scroll_from_origin(origin, 0, -240).perform()
    until(lambda: page.place.scale > before.scale * 1.1, "zoomed")
    page.wait()
    assert page.run(under) == pytest.approx(held, abs=4)
    places = page.run("return panes.shown.map(({place}) => [place.x, place.y, place.scale])")
    assert np.ptp(places, axis=0).max() < 1e-6


def test_left_of_the_curtain_is_the_first_slide_and_right_of_it_the_second(page):
    page.press("c")
    page.go(*MIDDLE, 1)
    for dx in (0, 150, -330):
        if dx:
            ActionChains(page.driver, duration=20).drag_and_drop_by_offset(
                page.find("#curtain"), dx, 0
            ).perform()
            page.wait()
        share = page.run("return panes.curtain")
        first, second, seen = page.pixels(0), page.pixels(1), page.seen(0)
        bar = round(share * first.shape[1])
        rows = slice(80, 300)  # clear of what lies over the picture
        assert 60 < bar < first.shape[1] - 60
        assert np.array_equal(seen[rows, 30 : bar - 30], first[rows, 30 : bar - 30])
        assert np.array_equal(seen[rows, bar + 30 : -30], second[rows, bar + 30 : -30])
        assert (first != second).any()


def test_a_key_blinks_between_the_two(page):
    page.press("b")
    page.go(1300, 768, 1)
    first, second = page.pixels(0)[80:300, 30:-30], page.pixels(1)[80:300, 30:-30]
    seen = []
    for _ in range(3):
        seen.append(page.seen(0)[80:300, 30:-30])
        page.press("x")
    assert [np.array_equal(each, first) for each in seen] in ([True, False, True], [False, True, False])
    assert all(np.array_equal(each, first) or np.array_equal(each, second) for each in seen)


def test_the_difference_is_exact_and_black_where_tiles_are_copied(page, levels):
    page.press("d")
    differ = cv2.absdiff(*levels)
    assert not differ[:, : drawn.COPIED.stop * drawn.TILE].any()
    for x, y in ((0, 0), (0, 700), (900, 300), (1250, 800)):
        region, rows, columns = page.at_full_size(0, x, y)
        expected = differ[region.y : region.y + region.height, region.x : region.x + region.width]
        shown = page.pixels(0)[rows, columns][: expected.shape[0], : expected.shape[1]]
        assert np.array_equal(shown, expected)
        copied = max(0, drawn.COPIED.stop * drawn.TILE - region.x)
        assert not shown[:, :copied].any()
        assert shown[:, copied:].any()


def test_the_difference_is_amplified_and_black_stays_black(page, levels):
    page.press("d")
    region, rows, columns = page.at_full_size(0, 200, 300)
    expected = cv2.absdiff(*levels)[region.y : region.y + region.height, region.x : region.x + region.width]
    area = (slice(80, 300), slice(30, -200))
    for keys, factor in (("", 8), ("]", 16), ("]]", 32), ("[[[[[", 1)):
        page.press(*keys)
        until_is(lambda: page.find(".dial output").text, f"{factor}x", "the dial")
        seen = page.seen(0)[rows, columns][area].astype(int)
        wanted = np.minimum(expected[area].astype(int) * factor, 255)
        assert np.abs(seen - wanted).max() <= 1
        assert not seen[wanted == 0].any()


def test_a_server_that_is_gone_is_told(browser, pair):
    command = [sys.executable, "-m", "wsicomp", "view", pair.source, pair.converted, "--no-browser", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            page = Page(browser, SimpleNamespace(**json.loads(process.stdout.readline())))
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()
    page.run("panes.moveTo({x: 500, y: 500, scale: 2}, true)")
    until(lambda: "does not answer" in page.find("#gone").text, "the notice")
    until(page.find("#gone").is_displayed, "the notice in sight")
    browser.get("about:blank")
    assert [said for said in complaints(browser) if "to load" not in said] == []


def test_a_view_of_two_slides_says_where_there_is_only_one(browser, pair):
    with serving(pair.source) as server:
        page = Page(browser, server)
        for key in "scbd":
            page.run("document.getElementById('messages').textContent = ''")
            page.press(key)
            until_said(browser, "only one slide")
        assert page.run("return panes.view") == "single"


def test_a_damaged_tile_is_marked_where_it_lies(browser, pair, tmp_path):
    damaged = tmp_path / "damaged.svs"
    data = bytearray(pair.source.read_bytes())
    with tifffile.TiffFile(pair.source) as tiff:
        page = tiff.pages[0]
        offset, count = page.dataoffsets[2 * 8 + 3], page.databytecounts[2 * 8 + 3]
    data[offset : offset + count] = bytes(count)
    damaged.write_bytes(data)
    with serving(damaged) as server:
        page = Page(browser, server)
        page.go(3.5 * 256, 2.5 * 256, 1)
        shown = page.pixels(0)
        rows, columns = shown.shape[:2]
        tile = shown[rows // 2 - 128 : rows // 2 + 128, columns // 2 - 128 : columns // 2 + 128]
        assert (tile[1, 5:-5] == (200, 0, 0)).all()
        assert (tile[20, 100] == 255).all()
        assert (shown[rows // 2 - 140, columns // 2] != 255).any()


def switch(page, name):
    """Switch a layer by its name, or the box of a row of the legend."""
    script = """
    const isNamed = (each) => each.textContent.trim() === arguments[0];
    [...document.querySelectorAll('label')].find(isNamed).querySelector('input').click();
    """
    page.run(script, name)


def legend(page):
    """The rows of the legend: for each name the count of the level in sight, and that of all levels."""
    rows = page.driver.find_elements("css selector", ".legend tbody tr")
    cells = [[cell.text for cell in row.find_elements("css selector", "th, td")] for row in rows]
    return {name.strip(): (int(here), int(total)) for name, here, total in cells}


def color_of(page, name):
    script = """
    const isNamed = (each) => each.textContent.includes(arguments[0]);
    const row = [...document.querySelectorAll('.legend tr')].find(isNamed);
    return getComputedStyle(row.querySelector('.swatch')).backgroundColor.match(/\\d+/g).map(Number);
    """
    return tuple(page.run(script, name))


def drawn_over(page, index, x, y):
    """What layers draw over the middle of a tile of level 0: RGBA."""
    at = page.run("return panes.shown[arguments[0]].toScreen(arguments[1], arguments[2])", index, x, y)
    return tuple(int(value) for value in page.overlay(index)[int(at["y"]), int(at["x"])])


def is_drawn_over(page, index, x, y):
    return drawn_over(page, index, x, y)[3] > 0


def test_each_tile_has_the_colour_of_what_became_of_it(page, pair):
    switch(page, "What became of tiles")
    until(lambda: legend(page), "the legend")
    for columns, name in (
        (drawn.COPIED, "exact for a region"),
        (drawn.ENCODED, "encoded"),
        (drawn.WHITE, "blank glass"),
    ):
        for column in (columns[0], columns[-1]):
            x, y = (column + 0.5) * drawn.TILE, 2.5 * drawn.TILE
            page.go(x, y, 1)
            until(partial(is_drawn_over, page, 1, x, y), "the colour of the tile")
            *rgb, alpha = drawn_over(page, 1, x, y)
            names = ("encoded", "painted") if name == "encoded" else (name,)
            assert any(np.allclose(rgb, color_of(page, each), atol=3) for each in names)
            assert alpha == pytest.approx(0.45 * 255, abs=2)
            assert drawn_over(page, 0, x, y)[3] == 0  # the source has no outcomes
    switch(page, "blank glass")
    until(lambda: not is_drawn_over(page, 1, x, y), "no colour over blank glass")


def test_the_tissue_mask_is_that_of_the_conversion(page):
    switch(page, "Tissue")
    page.go(6 * drawn.TILE, 700, 0.75)
    until(lambda: page.overlay(0).any(), "the mask")
    at = round(page.run("return panes.shown[0].toScreen(arguments[0], 0).x", 6 * drawn.TILE))
    for index in (0, 1):
        over = page.overlay(index)
        assert over[:, : at - 8, 3].all()
        assert not over[:, at + 8 :, 3].any()


def test_a_mask_that_was_named_is_shown_at_once(browser, viewer):
    page = Page(browser, viewer)
    until(lambda: page.overlay(0).any(), "the mask")
    tissue, margin = page.driver.find_elements(
        "css selector", "#panel-layers section:first-of-type input[type=checkbox]"
    )
    until_is(lambda: (tissue.is_selected(), margin.is_selected()), (True, False), "the boxes")


def said_of_likeness(page):
    return [each.text for each in page.driver.find_elements("css selector", LIKENESS)]


def test_likeness_in_sight_is_told_and_exact_where_tiles_are_copied(page):
    until(lambda: any(each.startswith("SSIM 0.") for each in said_of_likeness(page)), "a figure")
    page.go(256, 600, 2)
    until(lambda: any(each.startswith("exact") for each in said_of_likeness(page)), "that it is exact")


def draw_polygon(page, points):
    """Click a polygon's points and close it by Enter."""
    page.find("input[name=tool][value=polygon]").click()
    pane = page.pane(0)
    width, height = pane.size["width"], pane.size["height"]
    chain = ActionChains(page.driver, duration=10)
    for x, y in points:
        at = page.run("return panes.shown[0].toScreen(arguments[0], arguments[1])", x, y)
        chain.move_to_element_with_offset(
            pane, round(at["x"] - width / 2), round(at["y"] - height / 2)
        ).click().pause(0.45)
    chain.send_keys(Keys.ENTER).perform()


def test_a_polygon_that_is_drawn_on_glass_and_saved_keeps_its_tiles_as_a_mask(page, pair, tmp_path):
    page.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    page.find("#tab-draw").click()
    page.go(1792, 768, 0.3)
    outline = [(1850, 300), (1980, 330), (2000, 1000), (1870, 700)]
    draw_polygon(page, outline)
    page.button("Save as GeoJSON").click()
    (saved,) = until(lambda: [each for each in tmp_path.glob("*.geojson") if each.stat().st_size], "the file")
    (feature,) = json.loads(saved.read_text())["features"]
    ring = feature["geometry"]["coordinates"][0]
    assert np.abs(np.array(ring[:-1]) - outline).max() <= 2 / page.place.scale
    target = tmp_path / "masked.svs"
    code, _, said = run_command("convert", pair.source, target, "--mask", saved, "--margin-um", 0, "--quiet")
    assert code == 0, said
    with tifffile.TiffFile(pair.source) as before, tifffile.TiffFile(target) as after:
        same = [one == other for one, other in zip(tiles_of(before), tiles_of(after), strict=True)]
    wanted = touched(ring)
    # Left of the last column lies tissue, which the guard keeps in spite of a mask.
    assert wanted[:, -1].tolist() == [False, True, True, True, False, False]
    assert np.reshape(same, wanted.shape)[:, -1].tolist() == wanted[:, -1].tolist()


def tiles_of(tiff):
    page = tiff.pages[0]
    file = tiff.filehandle
    found = []
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        found.append(file.read(count))
    return found


def touched(ring):
    """Which tiles of level 0 a polygon touches, by Shapely: (rows, columns) bool."""
    polygon = Polygon(ring)
    rows, columns = drawn.SIZE.height // drawn.TILE, drawn.SIZE.width // drawn.TILE
    corners = [[(c * drawn.TILE, r * drawn.TILE) for c in range(columns)] for r in range(rows)]
    return np.array(
        [
            [polygon.intersection(box(x, y, x + drawn.TILE, y + drawn.TILE)).area > 0 for x, y in row]
            for row in corners
        ]
    )


@pytest.mark.slides
def test_a_real_slide_is_shown_pixel_by_pixel_as_openslide_reads_it(browser):
    path = min((each for each in REAL_SLIDES if each.suffix == ".svs"), key=lambda each: each.stat().st_size)
    with OpenSlide(path) as slide, serving(path) as server:
        page = Page(browser, server)
        exact(page)
        left, top = (side // 2 for side in slide.dimensions)
        region, rows, columns = page.at_full_size(0, left, top)
        expected = slide.read_region((region.x, region.y), 0, (region.width, region.height))
        assert np.array_equal(page.pixels(0)[rows, columns], np.asarray(expected)[..., :3])
