"""The page of a comparison of volumes, opened from its folder: slices, windows, differences, keys."""

import numpy as np
import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.support.select import Select

from tests.viewer.browser import emulate, faults_of_accessibility, pixels_of
from tests.volumes.comparison.drawn import voxels, write_page

pytestmark = pytest.mark.gate
SOURCE = voxels()
MASK = np.zeros(SOURCE.shape, bool)
MASK[:, 5:15, 6:18] = True
FOUND = np.where(MASK, SOURCE, SOURCE + np.int16(3))


@pytest.fixture
def shown(browser, tmp_path):
    """The numbers of the slices that the page shows."""
    picker = write_page(tmp_path, SOURCE, FOUND, MASK)
    browser.get((tmp_path / "index.html").as_uri())
    wait(browser)
    return picker.numbers


def wait(browser):
    browser.execute_async_script("wsicompViewer.ready.then(arguments[0])")


def part(browser, name):
    return browser.find_element("id", name)


def choose(browser, name, text):
    Select(part(browser, name)).select_by_visible_text(text)
    wait(browser)


def picture(browser, name):
    """The grey of each voxel of a pane: (rows, columns)."""
    found = pixels_of(browser, part(browser, f"picture-{name}"))
    assert (found[..., :1] == found[..., 1:3]).all()
    return found[..., 0]


def is_windowed(grey, slice_, level, width):
    """Whether a slice is drawn in a window, but for how halves are rounded."""
    expected = np.clip((slice_.astype(float) - (level - width / 2)) * 255 / width, 0, 255)
    return np.abs(grey - expected).max() < 0.51


def press(browser, *keys):
    ActionChains(browser, duration=0).send_keys(*keys).perform()
    wait(browser)


def test_slices_are_shown_in_their_window_and_a_difference_is_black_where_voxels_are_equal(browser, shown):
    here = SOURCE[shown[2]]
    assert is_windowed(picture(browser, "source"), here, 40, 400)
    assert not picture(browser, "difference").any()
    assert "came back exactly" in part(browser, "viewer-state").text
    choose(browser, "choose-candidate", "hevc:20")
    choose(browser, "choose-window", "Lung")
    choose(browser, "choose-amplification", "32 times")
    assert is_windowed(picture(browser, "source"), here, -600, 1500)
    assert is_windowed(picture(browser, "found"), FOUND[shown[2]], -600, 1500)
    apart = picture(browser, "difference")
    assert ((apart > 0) == ~MASK[0]).all()
    assert set(apart[~MASK[0]]) == {round(40 + 3 * 32 * 215 / 1500)}
    assert "differ" in part(browser, "viewer-state").text
    assert pixels_of(browser, part(browser, "outline-found"))[..., 3].any()
    part(browser, "choose-slice").send_keys(Keys.END)
    wait(browser)
    assert is_windowed(picture(browser, "source"), SOURCE[-1], -600, 1500)
    part(browser, "window-level").clear()
    part(browser, "window-level").send_keys("100", Keys.TAB)
    wait(browser)
    assert is_windowed(picture(browser, "source"), SOURCE[-1], 100, 1500)


def test_keys_and_dragging_do_the_same_and_a_phone_has_room(browser, shown):
    emulate(browser, 400, 800, prefers_color_scheme="dark")
    press(browser, "n", Keys.ARROW_LEFT, "w", "]", "o")
    assert part(browser, "choose-candidate").get_attribute("value") == "1"
    assert is_windowed(picture(browser, "source"), SOURCE[shown[1]], -600, 1500)
    assert part(browser, "choose-amplification").get_attribute("value") == "16"
    assert not pixels_of(browser, part(browser, "outline-found"))[..., 3].any()
    press(browser, "p", "n", "n")
    assert part(browser, "choose-candidate").get_attribute("value") == "0", "what has no file is left out"
    pane = part(browser, "pane-source")
    ActionChains(browser, duration=0).drag_and_drop_by_offset(pane, 20, -10).perform()
    wait(browser)
    level, width = (
        float(part(browser, f"window-{each}").get_attribute("value")) for each in ("level", "width")
    )
    assert level > -600
    assert width > 1500
    assert is_windowed(picture(browser, "source"), SOURCE[shown[1]], level, width)
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert faults_of_accessibility(browser) == []
