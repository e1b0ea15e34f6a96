"""The page for everyone: no serious fault of accessibility, keys alone, a focus that is seen, no motion."""

from functools import partial

import numpy as np
import pytest
from selenium.webdriver import ActionChains, Keys

from tests.conftest import each_of
from tests.viewer.browser import AXE, emulate, faults_of_accessibility, until, until_is
from tests.viewer.page import Page

pytestmark = pytest.mark.gate
PANELS = ("layers", "draw", "codecs")
VIEWS = ("side", "curtain", "difference")


CUT_OFF = """
const isScrolled = (e) => {
    while (e !== document.body && getComputedStyle(e).overflowX === 'visible') e = e.parentElement;
    return e !== document.body && e.scrollWidth > e.clientWidth;
};
const isOutside = (e) => e.offsetParent && e.getBoundingClientRect().right > innerWidth + 1;
return [...document.querySelectorAll('button, input, select, label, h2, p')]
    .filter((e) => isOutside(e) && !isScrolled(e.parentElement)).map((e) => e.outerHTML);
"""
"""What ends right of the window, and cannot be scrolled there."""
FOCUSED = """
const e = document.activeElement;
const name = e.id || e.getAttribute('aria-label') || e.value || e.textContent.trim();
return e === document.body ? null : [name, e.tagName];
"""
"""What has the focus."""
MARKED = """
const e = document.activeElement;
const isMarked = (style) => style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1.5;
return [e, e.nextElementSibling, e.closest('label')].some((each) => each && isMarked(getComputedStyle(each)));
"""
"""Whether what has the focus, or what stands for it, is marked."""
MOVING = """
const isLong = (text) => text.split(',').some((each) => parseFloat(each) > 0.02);
const isMoving = (style) => isLong(style.transitionDuration) || isLong(style.animationDuration);
return [...document.querySelectorAll('*')].filter((e) => isMoving(getComputedStyle(e))).length;
"""


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: scripts/browser")
@pytest.mark.parametrize(("width", "scheme"), each_of((1280, 400), ("light", "dark")))
def test_axe_finds_no_serious_fault(browser, viewer, width, scheme):
    emulate(browser, width, 800, prefers_color_scheme=scheme)
    page = Page(browser, viewer)
    found = {}
    for view in VIEWS:
        page.run("panes.setView(arguments[0])", view)
        page.wait()
        found[view] = faults_of_accessibility(browser)
    for panel in PANELS[1:]:
        browser.execute_script("document.getElementById(arguments[0]).click()", f"tab-{panel}")
        page.wait()
        found[panel] = faults_of_accessibility(browser)
    page.press("?")
    until(page.find("#help").is_displayed, "the list of keys")
    found["help"] = faults_of_accessibility(browser)
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_nothing_is_cut_off_at_the_side(browser, viewer):
    page = Page(browser, viewer)
    for width in (400, 720, 1010, 1190):
        emulate(browser, width, 800)
        until_is(partial(browser.execute_script, "return innerWidth"), width, "the window's width")
        for panel in PANELS:
            browser.execute_script("document.getElementById(arguments[0]).click()", f"tab-{panel}")
            page.wait()
            assert browser.execute_script(CUT_OFF) == [], (width, panel)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.execute_script("return wsicomp.panes.shown[0].picture.clientHeight") > 100


def test_tab_reaches_all_controls_and_each_shows_that_it_has_the_focus(page):
    unseen, names = [], []
    for _ in range(60):
        ActionChains(page.driver, duration=0).send_keys(Keys.TAB).perform()
        focused = page.driver.execute_script(FOCUSED)
        if focused is None or focused in names:
            break
        names.append(focused)
        if not page.driver.execute_script(MARKED):
            unseen.append(focused)
    assert unseen == []
    reached = {name for name, _ in names}
    for wanted in (
        "side",
        "Zoom out",
        "Fit",
        "1:1",
        "20x",
        "go-to",
        "panel-switch",
        "Keys and help",
        "tab-layers",
    ):
        assert wanted in reached, sorted(reached)


def frames_of(page, script):
    """The scales that the picture has in the frames after a script."""
    watch = """
    const [done, code] = [arguments[1], arguments[0]];
    const scales = [];
    const look = () => {
        scales.push(wsicomp.panes.place.scale);
        if (scales.length < 40) requestAnimationFrame(look); else done(scales);
    };
    new Map([['zoom', () => wsicomp.panes.zoomBy(2)], ['fit', () => wsicomp.panes.fit()]]).get(code)();
    requestAnimationFrame(look);
    """
    return np.array(page.driver.execute_async_script(watch, script))


def test_motion_is_left_out_where_less_is_wanted(browser, viewer):
    emulate(browser, 1010, 560, prefers_reduced_motion="reduce")
    page = Page(browser, viewer)
    page.go(1024, 768, 0.5)
    assert set(frames_of(page, "zoom").tolist()) == {1.0}
    assert browser.execute_script(MOVING) == 0


def test_motion_is_smooth_elsewhere(browser, viewer):
    emulate(browser, 1010, 560, prefers_reduced_motion="no-preference")
    page = Page(browser, viewer)
    page.go(1024, 768, 0.5)
    scales = frames_of(page, "zoom")
    assert len(np.unique(scales)) > 3
    assert (np.diff(scales) >= -1e-9).all()
    page.wait()
    assert page.place.scale == pytest.approx(1)
