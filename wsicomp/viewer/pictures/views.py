"""What is in sight in a viewer: a rectangle of the slide, and the level that shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from wsicomp.errors import ConfigError
from wsicomp.geometry import Region, Size
from wsicomp.slide import SlideInfo

MOST_PX = 1_500_000
"""The most pixels of a view whose tiles are encoded or compared while a person waits."""
_LEAST_RATIO = 0.5
"""A viewer shows the finest level whose pixels are at least so many pixels wide on the screen."""
_MOST_SCREEN_PX = 100_000
_FARTHEST_PX = 1e9
"""No slide reaches so far from its corner."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle in level-0 pixels of a slide."""

    x: float
    """The left edge."""
    y: float
    """The upper edge."""
    width: float
    """The width, over 0."""
    height: float
    """The height, over 0."""

    def __post_init__(self) -> None:
        sides = (self.x, self.y, self.width, self.height)
        if not all(abs(side) <= _FARTHEST_PX for side in sides) or min(self.width, self.height) <= 0:
            found = ", ".join(f"{side:g}" for side in sides)
            raise ConfigError(
                f"rectangle {found}: expected x, y, width and height up to 1e9, the sides over 0"
            )


@dataclass(frozen=True, slots=True)
class SlideView:
    """A region of a level that a viewer shows."""

    level: int
    """The level."""
    region: Region
    """The region in that level's pixels."""
    share: float = 1.0
    """How much of what was asked for and lies on the slide it covers, at most 1."""

    def rectangle(self, info: SlideInfo) -> Rectangle:
        """Return the same place in level-0 pixels of the slide."""
        across, down = _steps(info, self.level)
        region = self.region
        return Rectangle(region.x * across, region.y * down, region.width * across, region.height * down)


def view_of(info: SlideInfo, rectangle: Rectangle, screen_px: float, most_px: int = MOST_PX) -> SlideView:
    """Return the level and the region by which a viewer shows a rectangle of a slide.

    `screen_px` is the width of the rectangle on the screen, in pixels. The level is the one that a viewer
    draws: the finest of which a pixel is at least half a pixel wide on the screen. The region is cut at the
    level's edge, and to its middle where it would have more than `most_px` pixels.

    >>> view = view_of(slide.info, Rectangle(0, 0, 4800, 3200), 1200)  # doctest: +SKIP
    >>> view.level, view.region  # doctest: +SKIP
    (1, Region(x=0, y=0, width=1200, height=800))

    Raises:
        ConfigError: the rectangle lies outside the slide, or `screen_px` is no width of a screen.
    """
    if not 1 <= screen_px <= _MOST_SCREEN_PX:
        raise ConfigError(f"a width of {screen_px:g} px on the screen, expected 1 to {_MOST_SCREEN_PX}")
    wanted = rectangle.width / screen_px
    fine = [n for n, level in enumerate(info.levels) if level.downsample >= _LEAST_RATIO * wanted]
    number = fine[0] if fine else len(info.levels) - 1
    whole = _on_level(info, rectangle, number)
    cut = _cut(whole, most_px)
    return SlideView(number, cut, cut.width * cut.height / (whole.width * whole.height))


def _on_level(info: SlideInfo, rectangle: Rectangle, number: int) -> Region:
    across, down = _steps(info, number)
    size = info.levels[number].size
    left, right = _span(rectangle.x / across, (rectangle.x + rectangle.width) / across, size.width)
    top, bottom = _span(rectangle.y / down, (rectangle.y + rectangle.height) / down, size.height)
    if left >= right or top >= bottom:
        place = f"{rectangle.x:g}, {rectangle.y:g} of {rectangle.width:g} x {rectangle.height:g} px"
        raise ConfigError(f"rectangle at {place} lies outside the slide's {info.size} px")
    return Region(left, top, right - left, bottom - top)


def _span(first: float, last: float, limit: int) -> tuple[int, int]:
    """Return the whole pixels that a span touches, within 0 and the limit."""
    return max(0, math.floor(min(first, limit))), min(limit, math.ceil(max(last, 0)))


def _steps(info: SlideInfo, number: int) -> tuple[float, float]:
    """Return the width and height of a level's pixel in level-0 pixels."""
    size: Size = info.levels[number].size
    return info.size.width / size.width, info.size.height / size.height


def _cut(region: Region, most_px: int) -> Region:
    """Return the middle of a region, of at most so many pixels and in its proportions."""
    by = math.sqrt(most_px / (region.width * region.height))
    if by >= 1:
        return region
    width, height = max(1, int(region.width * by)), max(1, int(region.height * by))
    return Region(
        region.x + (region.width - width) // 2, region.y + (region.height - height) // 2, width, height
    )
