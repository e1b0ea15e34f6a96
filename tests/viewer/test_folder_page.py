"""The page of a folder of slides, as people use it."""

from contextlib import closing

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.batch.trees import run, write_tree
from tests.viewer.browser import emulate, faults_of_accessibility, until
from tests.viewer.served import serving_session
from wsicomp.viewer.folder.archive_slides import show_archive
from wsicomp.viewer.session import Session

CARDS = "return [...document.querySelectorAll('#cards .name')].map(each => each.textContent)"
FOCUSED = "return document.activeElement.dataset.entry"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    write_tree(folder / "slides", 6)
    (folder / "slides/a/broken.tif").write_bytes(b"no slide")
    run(folder / "slides", folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def address(archive):
    with closing(Session()) as session:
        show_archive(session, archive)
        with serving_session(session) as server:
            yield server.address


def open_list(browser, address, query=""):
    browser.get(address + query)
    return until(lambda: browser.execute_script(CARDS), "cards")


def press(browser, *keys):
    ActionChains(browser).send_keys(*keys).perform()


def test_the_list_has_a_card_for_each_slide_and_says_what_was_saved(browser, address):
    names = open_list(browser, address)
    assert names == sorted(names)
    assert len(names) == 7
    totals = browser.find_element("id", "totals").text
    assert totals.startswith("7 slides; ")
    assert "saved" in totals or "larger" in totals
    pictures = browser.find_elements("css selector", "#cards img")
    until(lambda: all(each.get_property("naturalWidth") for each in pictures), "pictures")
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_the_list_is_searched_and_filtered_and_the_address_keeps_it(browser, address):
    open_list(browser, address)
    press(browser, "/")
    press(browser, "slide 4")
    until(lambda: browser.execute_script(CARDS) == ["b/slide 4.svs"], "one card")
    assert "find=slide+4" in browser.current_url
    browser.refresh()
    assert until(lambda: browser.execute_script(CARDS), "cards") == ["b/slide 4.svs"]
    open_list(browser, address)
    browser.find_element("css selector", "[data-state=failed]").click()
    until(lambda: browser.execute_script(CARDS) == ["a/broken.tif"], "the failed slide")
    assert "unreadable" in browser.find_element("css selector", "#cards .outcome").text


def test_a_card_opens_beside_its_source_and_the_way_leads_on_and_back(browser, address):
    open_list(browser, address, "?find=.svs")
    browser.find_element("css selector", "#cards a[data-entry]").click()
    until(lambda: len(browser.find_elements("css selector", ".pane-title h2")) >= 2, "two panes")
    first = browser.find_element("id", "title").text
    assert "1 of 6" in browser.find_element("id", "entry").text
    until(lambda: browser.execute_script("return window.wsicomp?.panes.place != null"), "the pictures")
    press(browser, Keys.PAGE_DOWN)
    until(lambda: browser.find_element("id", "title").text not in ("", first, "wsicomp view"), "the next")
    until(lambda: "2 of 6" in browser.find_element("id", "entry").text, "its place")
    browser.find_element("css selector", "#entry .back").click()
    assert len(until(lambda: browser.execute_script(CARDS), "cards")) == 6


def test_a_failed_slide_says_why(browser, address):
    open_list(browser, address, "?state=failed")
    browser.find_element("css selector", "#cards a").click()
    nothing = until(lambda: browser.find_elements("id", "nothing"), "the sentence")
    assert "Neither" in nothing[0].text
    sentences = [each.text for each in browser.find_elements("css selector", "#entry .sentence")]
    assert len(sentences) == 1
    assert sentences[0].startswith("It was not converted: not a whole-slide image")


def test_keys_alone_lead_through_the_list(browser, address):
    open_list(browser, address)
    press(browser, "/", Keys.ESCAPE, Keys.TAB, Keys.TAB)
    first = browser.execute_script(FOCUSED)
    press(browser, Keys.ARROW_RIGHT)
    second = browser.execute_script(FOCUSED)
    assert (int(first), int(second)) == (1, 2)
    press(browser, Keys.ARROW_LEFT, Keys.ENTER)
    until(lambda: browser.find_elements("id", "entry"), "the slide")


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")]
)
def test_the_list_is_accessible_and_fits(browser, address, width, scheme):
    emulate(browser, width=width, prefers_color_scheme=scheme)
    open_list(browser, address)
    assert faults_of_accessibility(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    places = browser.execute_script(
        "return [...document.querySelectorAll('#folder *')].map(e => e.getBoundingClientRect().right)"
    )
    assert max(places) <= width
