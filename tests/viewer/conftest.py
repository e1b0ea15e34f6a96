"""One browser for the tests of a process, as it was when it started for each of them."""

import pytest

from tests.viewer import drawn
from tests.viewer.browser import complaints, emulate, missing, started
from tests.viewer.page import Page
from tests.viewer.served import serving

SMALL = 1010, 560


@pytest.fixture(scope="session")
def one_browser():
    if reason := missing():
        pytest.skip(reason)
    with started() as driver:
        yield driver


@pytest.fixture
def browser(one_browser, tmp_path):
    """A browser with one empty tab. What its console complains of fails a test; a failure is photographed."""
    emulate(one_browser)
    yield one_browser
    said = complaints(one_browser)
    first, *others = one_browser.window_handles
    for handle in others:
        one_browser.switch_to.window(handle)
        one_browser.close()
    one_browser.switch_to.window(first)
    one_browser.get("about:blank")
    assert said == []


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """A drawn slide and its conversion."""
    return drawn.pair_in(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="session")
def viewer(pair):
    """A server of the two."""
    with serving(pair.source, pair.converted, mask=pair.mask) as server:
        yield server


@pytest.fixture
def page(browser, viewer):
    """The page of the two, so small that its pixels are soon compared, without the mask over it."""
    emulate(browser, *SMALL)
    found = Page(browser, viewer)
    mask = found.find("#panel-layers section:first-of-type .layer-row input:checked")
    browser.execute_script("arguments[0].click()", mask)  # which leaves the focus where it is at first
    yield found
    browser.execute_script("sessionStorage.clear()")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.failed and "browser" in item.funcargs:
        picture = item.funcargs["tmp_path"] / "failure.png"
        item.funcargs["browser"].save_screenshot(str(picture))
        report.sections.append(("the page when it failed", str(picture)))
    return report
