"""The viewer's page as a person has it: the mouse, the keys, and what is drawn on each pane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.viewer.browser import pixels_of, until
from wsicomp.geometry import Region

STILL = """
const done = arguments[0];
const panes = window.wsicomp?.panes;
const isStill = () => {
    if (!panes?.place || !panes.shown.every((pane) => pane.isLoaded)) return false;
    const [now, then] = [panes.place, panes.target];
    const isNear = (name) => Math.abs(now[name] - then[name]) < 1e-3 * Math.abs(then[name]) + 1e-3;
    return ['x', 'y', 'scale'].every(isNear);
};
requestAnimationFrame(() => requestAnimationFrame(() => done(isStill())));
"""
"""Whether all tiles are there and no motion is under way, once what was asked before is drawn."""
BUTTONS = """
const isMeant = (each) => each.textContent.trim() === arguments[0] && each.offsetParent;
return [...document.querySelectorAll('button')].filter(isMeant);
"""
PLACE = "const {x, y, scale} = wsicomp.panes.place; return [x, y, scale, wsicomp.panes.view];"


@dataclass(frozen=True)
class Place:
    """The level-0 pixel in the middle, screen pixels a level-0 pixel, and the view."""

    x: float
    y: float
    scale: float
    view: str


def settle(driver: Any) -> None:
    """Wait until nothing moves on the viewer's page and every tile in sight is drawn."""
    until(lambda: driver.execute_async_script(STILL), "the pictures are complete and still")


class Page:
    """The viewer's page in a tab of a browser."""

    def __init__(self, driver: Any, server: Any, fragment: str = "") -> None:
        self.driver = driver
        self.driver.get(server.address + fragment)
        self.wait()

    def wait(self) -> None:
        """Wait until nothing moves and every tile in sight is drawn."""
        settle(self.driver)

    def run(self, script: str, *arguments: object) -> Any:
        """What a script returns; `panes` stands for those of the page."""
        return self.driver.execute_script(f"const panes = wsicomp.panes; {script}", *arguments)

    @property
    def place(self) -> Place:
        """What is in sight."""
        return Place(*self.driver.execute_script(PLACE))

    def go(self, x: float, y: float, scale: float) -> None:
        """Bring a level-0 pixel to the middle, at once."""
        self.run("panes.moveTo({x: arguments[0], y: arguments[1], scale: arguments[2]}, true)", x, y, scale)
        self.wait()

    def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is; then wait."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver, duration=0).send_keys(*keys).perform()
        self.wait()

    def find(self, selector: str) -> Any:
        """The one element that a CSS selector names."""
        (found,) = self.driver.find_elements("css selector", selector)
        return found

    def button(self, text: str) -> Any:
        """The one visible button with this text."""
        (found,) = self.driver.execute_script(BUTTONS, text)
        return found

    def pane(self, index: int) -> Any:
        """The element of the picture of a pane in sight."""
        return self.run("return panes.shown[arguments[0]].picture", index)

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """What is drawn on a pane in sight, without layers: (rows, columns, 3) RGB."""
        canvas = self.run("return panes.shown[arguments[0]].viewer.drawer.canvas", index)
        return pixels_of(self.driver, canvas)[..., :3]

    def overlay(self, index: int) -> NDArray[np.uint8]:
        """What the layers draw on a pane in sight: (rows, columns, 4) RGBA."""
        return pixels_of(self.driver, self.run("return panes.shown[arguments[0]].overlay", index))

    def seen(self, index: int) -> NDArray[np.uint8]:
        """What a person sees of a pane, layers and filters with it: (rows, columns, 3) RGB."""
        data = np.frombuffer(self.pane(index).screenshot_as_png, np.uint8)
        return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]

    def at_full_size(
        self, index: int, left: float, top: float, margin: int = 8
    ) -> tuple[Region, slice, slice]:
        """Show level 0 pixel by pixel, with a level-0 pixel near the top left corner of a pane.

        Returns the region of level 0 that the pane then shows, less a margin, and its rows and columns there.
        """
        width, height = self.run(
            "const {width, height} = panes.shown[arguments[0]]; return [width, height]", index
        )
        self.go(left + width / 2, top + height / 2, 1)
        side_x, side_y = int(width) - 2 * margin, int(height) - 2 * margin
        region = Region(int(left) + margin, int(top) + margin, side_x, side_y)
        return region, slice(margin, margin + side_y), slice(margin, margin + side_x)
