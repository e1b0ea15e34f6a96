"""A browser without a window that shows the viewer's page, and what tests ask of it.

`scripts/browser` installs it. It reaches this machine alone: a page that loads anything from elsewhere fails.
One browser serves all tests of a process and starts with the first that needs it: xdist deals tests out to
whichever worker is free.
"""

from __future__ import annotations

import base64
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tests.paths import ROOT

INSTALLED = Path(os.environ.get("WSICOMP_BROWSER", ROOT / ".venv/browser")) / "node_modules"
AXE = INSTALLED / "axe-core/axe.min.js"
SIZE = (1280, 800)
LIMIT_S = 60.0
"""What an answer is waited for: more than a machine with much else to do needs."""
FIRST_PAUSE_S, LAST_PAUSE_S = 0.02, 0.2
"""Between two questions: what takes its time is not asked for all the while, which takes the page's time."""
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--force-color-profile=srgb",  # pixels of a canvas are then those of the tile
    "--force-device-scale-factor=1",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
AUDIT = """
const done = arguments[0];
axe.run(document, {resultTypes: ['violations']}).then(done, error => done({error: String(error)}));
"""
CANVAS = """
const canvas = arguments[0];
const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
let text = '';
for (let i = 0; i < data.length; i += 32768)
    text += String.fromCharCode.apply(null, data.subarray(i, i + 32768));
return [canvas.width, canvas.height, btoa(text)];
"""
Found = TypeVar("Found")


def missing() -> str:
    """Why no browser can be started here; nothing if one can."""
    absent = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    absent += [] if find_spec("selenium") else ["selenium"]
    return f"{' and '.join(absent)} not installed: scripts/browser, scripts/setup dev" if absent else ""


@contextmanager
def started() -> Iterator[Any]:
    """A browser (Selenium's `WebDriver`) that is ended with the block."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in (*ARGUMENTS, f"--window-size={SIZE[0]},{SIZE[1]}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=str(shutil.which("chromedriver")))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(LIMIT_S)
    try:
        yield driver
    finally:
        driver.quit()


def until(ask: Callable[[], Found], what: str, limit_s: float = LIMIT_S) -> Found:
    """The first answer that is true, asked again and again; `what` says in the error what did not come."""
    end, pause = time.monotonic() + limit_s, FIRST_PAUSE_S
    while not (found := ask()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s:g} s: {what}; last answer {found!r}")
        time.sleep(pause)
        pause = min(1.5 * pause, LAST_PAUSE_S)
    return found


def until_is(ask: Callable[[], Any], wanted: Any, what: str) -> None:
    """Wait until an answer equals what is wanted; `what` says in the error of what it is the answer."""
    answers: list[Any] = []

    def is_wanted() -> bool:
        answers[:] = [ask()]
        return bool(answers[0] == wanted)

    try:
        until(is_wanted, what)
    except AssertionError:
        assert answers[0] == wanted, what  # which pytest explains part by part
        raise


def until_said(driver: Any, words: str) -> None:
    """Wait until the page says something with these words in it, and shows it: messages fade in."""
    until(lambda: words in driver.find_element("id", "messages").text, f"the message {words!r}")


def pixels_of(driver: Any, canvas: Any) -> NDArray[np.uint8]:
    """What is drawn on a canvas: (rows, columns, 4) RGBA."""
    width, height, text = driver.execute_script(CANVAS, canvas)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


def complaints(driver: Any) -> list[str]:
    """Errors that the console got since the last call: refused scripts, failed requests, exceptions."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def emulate(driver: Any, width: int = SIZE[0], height: int = SIZE[1], **features: str) -> None:
    """Show pages at a size in px, and with CSS media features, as `prefers_color_scheme="dark"`.

    Unless features say otherwise, less motion is wanted: nothing glides or fades, so that tests
    need not wait for it.
    """
    features = {"prefers_reduced_motion": "reduce", **features}
    named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": named})
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def faults_of_accessibility(driver: Any) -> list[str]:
    """What axe-core calls serious or critical on the page as it is: the rule, and where."""
    driver.execute_script(AXE.read_text())
    found = driver.execute_async_script(AUDIT)
    if "error" in found:
        raise AssertionError(found["error"])
    return [
        f"{fault['id']}: {', '.join(' '.join(node['target']) for node in fault['nodes'])}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
