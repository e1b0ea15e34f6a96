"""The page of a folder of slides, as people use it."""

from contextlib import closing

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.batch.trees import run, write_tree
from tests.conftest import each_of
from tests.viewer.browser import emulate, faults_of_accessibility, until, until_is
from tests.viewer.page import settle
from tests.viewer.served import serving_session
from wsicomp.viewer.folder.archive_slides import show_archive
from wsicomp.viewer.session import Session

CARDS = "return [...document.querySelectorAll('#cards .name')].map(each => each.textContent)"
FOCUSED = "return document.activeElement.dataset.entry"
TITLES = "return [...document.querySelectorAll('.pane-title h2')].filter((each) => each.textContent).length"


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
    totals = until(lambda: browser.find_element("id", "totals").text, "the totals")
    assert totals.startswith("7 slides; "), totals
    assert "saved" in totals or "larger" in totals
    pictures = browser.find_elements("css selector", "#cards img")
    until(lambda: all(each.get_property("naturalWidth") for each in pictures), "pictures")
    fits = "return document.documentElement.scrollWidth <= innerWidth"
    until(lambda: browser.execute_script(fits), "a list that fits")


def test_the_list_is_searched_and_filtered_and_the_address_keeps_it(browser, address):
    open_list(browser, address)
    press(browser, "/")
    press(browser, "slide 4")
    until_is(lambda: browser.execute_script(CARDS), ["b/slide 4.svs"], "the cards")
    until(lambda: "find=slide+4" in browser.current_url, "the search in the address")
    browser.refresh()
    until_is(lambda: browser.execute_script(CARDS), ["b/slide 4.svs"], "the cards")
    open_list(browser, address)
    browser.find_element("css selector", "[data-state=failed]").click()
    until_is(lambda: browser.execute_script(CARDS), ["a/broken.tif"], "the cards")
    outcome = browser.find_element("css selector", "#cards .outcome")
    until(lambda: "unreadable" in outcome.text, "what became of it")


def test_a_card_opens_beside_its_source_and_the_way_leads_on_and_back(browser, address):
    open_list(browser, address, "?find=.svs")
    browser.find_element("css selector", "#cards a[data-entry]").click()
    until(lambda: browser.execute_script(TITLES) >= 2, "two panes")
    settle(browser)
    first = browser.find_element("id", "title").text
    until(lambda: "1 of 6" in browser.find_element("id", "entry").text, "its place")
    press(browser, Keys.PAGE_DOWN)
    until(lambda: browser.find_element("id", "title").text not in ("", first, "wsicomp view"), "the next")
    until(lambda: "2 of 6" in browser.find_element("id", "entry").text, "its place")
    settle(browser)
    browser.find_element("css selector", "#entry .back").click()
    until_is(lambda: len(browser.execute_script(CARDS)), 6, "cards")


def test_a_failed_slide_says_why(browser, address):
    open_list(browser, address, "?state=failed")
    browser.find_element("css selector", "#cards a").click()
    nothing = until(lambda: browser.find_elements("id", "nothing"), "the sentence")
    until(lambda: "Neither" in nothing[0].text, "what there is")
    (sentence,) = until(lambda: browser.find_elements("css selector", "#entry .sentence"), "the reason")
    until(lambda: sentence.text.startswith("It was not converted: not a whole-slide image"), "its words")


def test_keys_alone_lead_through_the_list(browser, address):
    open_list(browser, address)
    press(browser, "/", Keys.ESCAPE, Keys.TAB, Keys.TAB)
    until_is(lambda: browser.execute_script(FOCUSED), "1", "the card with the focus")
    press(browser, Keys.ARROW_RIGHT)
    until_is(lambda: browser.execute_script(FOCUSED), "2", "the card with the focus")
    press(browser, Keys.ARROW_LEFT)
    until_is(lambda: browser.execute_script(FOCUSED), "1", "the card with the focus")
    press(browser, Keys.ENTER)
    until(lambda: browser.find_elements("id", "entry"), "the slide")


@pytest.mark.parametrize(("width", "scheme"), each_of((1280, 400), ("light", "dark")))
def test_the_list_is_accessible_and_fits(browser, address, width, scheme):
    emulate(browser, width=width, prefers_color_scheme=scheme)
    open_list(browser, address)
    until(lambda: browser.find_element("id", "totals").text, "the totals")
    assert faults_of_accessibility(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    places = browser.execute_script(
        "return [...document.querySelectorAll('#folder *')].map(e => e.getBoundingClientRect().right)"
    )
    assert max(places) <= width
