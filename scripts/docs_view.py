"""Draws the pictures of the viewer for the docs: each slide beside a conversion, view by view.

scripts/docs_view.py docs/images SLIDE...

Writes view-NAME-side.jpg, -curtain, -difference, -tiles and -codec for each slide, and view-tiles.jpg of the
first one. Needs `scripts/browser`.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.viewer.browser import started  # noqa: E402 - the checkout's own

_SIZE = (1200, 900)
_STILL_S = 3.0
_READY = """
const done = arguments[0];
const wait = () => (window.wsicomp ? window.wsicomp.ready.then(() => done(true)) : setTimeout(wait, 50));
wait();
"""
_CLICK = """
const [text, done] = arguments;
const click = () => {
  const named = [...document.querySelectorAll('label, [role=tab]')];
  const found = named.filter((each) => each.textContent.includes(text));
  found.length ? (found.at(-1).click(), done(true)) : setTimeout(click, 50);
};
click();
"""
_VIEWS = {
    "side": ("", ()),
    "curtain": ("c", ()),
    "difference": ("d", ()),
    "tiles": ("", ("What became",)),
    "codec": ("1", ("Codecs", "Show the view")),
}


@contextmanager
def viewed(slide: Path, converted: Path) -> Iterator[str]:
    """The address of a viewer of two slides."""
    command = [sys.executable, "-m", "wsicomp", "view", str(slide), str(converted), "--no-browser", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["address"]
        finally:
            process.terminate()


def pictures(browser: Any, address: str) -> Iterator[tuple[str, Image.Image]]:
    """Yield each view's name and picture."""
    for name, (keys, clicks) in _VIEWS.items():
        browser.get("about:blank")
        browser.get(address)
        browser.execute_async_script(_READY)
        if keys:
            ActionChains(browser).send_keys(keys).perform()
        for text in clicks:
            browser.execute_async_script(_CLICK, text)
        time.sleep(_STILL_S)
        yield name, Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")


def main() -> None:
    """Convert each slide and draw its views."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("slides", type=Path, nargs="+")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, started() as browser:
        browser.set_window_size(*_SIZE)
        browser.set_script_timeout(60)
        for slide in options.slides:
            small = Path(folder) / f"{slide.stem}-small.svs"
            convert = ["convert", str(slide), str(small), "--codec", "jpeg", "--quality", "50", "--quiet"]
            subprocess.run([sys.executable, "-m", "wsicomp", *convert], cwd=ROOT, check=True)
            with viewed(slide, small) as address:
                for name, picture in pictures(browser, address):
                    picture.save(options.folder / f"view-{slide.stem}-{name}.jpg", quality=80, optimize=True)
                    if name == "tiles" and slide == options.slides[0]:
                        picture.save(options.folder / "view-tiles.jpg", quality=80, optimize=True)


if __name__ == "__main__":
    main()
