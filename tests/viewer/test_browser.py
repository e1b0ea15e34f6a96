"""The browser of the tests sees exact pixels, tells what the console says, and reaches nothing outside."""

import base64

import cv2
import numpy as np

from tests.viewer.browser import complaints, emulate, pixels_of, until

DRAWN = """
const picture = new Image();
picture.onload = () => {
    const canvas = document.createElement('canvas');
    canvas.width = picture.width; canvas.height = picture.height;
    canvas.getContext('2d').drawImage(picture, 0, 0);
    document.body.append(canvas);
};
picture.src = arguments[0];
"""


def test_pixels_of_a_canvas_are_those_of_the_picture(browser):
    pixels = np.random.default_rng(3).integers(0, 256, (37, 61, 3), np.uint8)
    text = base64.b64encode(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()).decode()
    browser.execute_script(DRAWN, f"data:image/png;base64,{text}")
    (canvas,) = until(lambda: browser.find_elements("tag name", "canvas"), "a canvas")
    seen = pixels_of(browser, canvas)
    assert np.array_equal(seen[..., :3], pixels)
    assert (seen[..., 3] == 255).all()


def test_errors_of_a_page_are_told_once(browser):
    browser.execute_script("console.error('that went wrong'); console.log('fine');")
    (said,) = complaints(browser)
    assert "that went wrong" in said
    assert complaints(browser) == []


def test_nothing_outside_this_machine_is_reached(browser):
    answer = browser.execute_async_script(
        "fetch('http://example.org/').then(arguments[0], e => arguments[0]('no'))"
    )
    assert answer == "no"
    assert "ERR_NAME_NOT_RESOLVED" in "".join(complaints(browser))


def test_media_features_and_sizes_are_those_asked_for(browser):
    def matches(query):
        return browser.execute_script("return matchMedia(arguments[0]).matches", query)

    emulate(browser, width=400, prefers_color_scheme="dark")
    assert matches("(prefers-color-scheme: dark) and (prefers-reduced-motion: reduce) and (width: 400px)")
    emulate(browser, prefers_reduced_motion="no-preference")
    assert not matches("(prefers-color-scheme: dark)")
    assert not matches("(prefers-reduced-motion: reduce)")
