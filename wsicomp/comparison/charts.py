"""Where everything of a chart lies, in the units of its SVG; the page draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wsicomp.comparison.codec_specs import family_of
from wsicomp.comparison.results import Row, SlideComparison, Status

PLOT_WIDTH, PLOT_HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 40
BAR_WIDTH, _BAR_LEFT, _BAR_RIGHT = 640, 190, 120
_BAR, _GAP = 13, 12
_HUES = 10


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: where it is, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """A codec's curve. `hue` is the number of its colour, `points` the "x,y x,y" of the line."""

    name: str
    hue: int
    points: str
    marks: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class Plot:
    """Quality over size: `x` ticks are bits per pixel (logarithmic), `y` ticks are SSIM."""

    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    lines: tuple[Line, ...]
    width: int = PLOT_WIDTH
    height: int = PLOT_HEIGHT
    left: int = _LEFT
    right: int = PLOT_WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = PLOT_HEIGHT - _BOTTOM


@dataclass(frozen=True)
class Bar:
    """One file's size. `whisker` are the ends of its interval."""

    glass: str
    y: float
    length: float
    text: str
    hint: str
    whisker: tuple[float, float] | None = None


@dataclass(frozen=True)
class Group:
    """The bars of one codec; `reason` where it has none."""

    codec: str
    hue: int
    y: float
    bars: tuple[Bar, ...]
    reason: str = ""


@dataclass(frozen=True)
class Bars:
    """Every pyramid of a slide, as parts of the reference, which ends at `reference`."""

    groups: tuple[Group, ...]
    reference: float
    height: float
    bar: int = _BAR
    left: int = _BAR_LEFT
    width: int = BAR_WIDTH


def family_colors(slides: Sequence[SlideComparison]) -> dict[str, int]:
    """A colour's number for each family of codecs, the same on all of a page."""
    families = dict.fromkeys(family_of(row.codec) for slide in slides for row in slide.rows)
    return {name: number % _HUES for number, name in enumerate(families)}


def rate_distortion(slide: SlideComparison, colors: Mapping[str, int]) -> Plot | None:
    """Each codec's curve over its ladder; None where there is no curve."""
    if not slide.curves:
        return None
    rates = [point.bits_per_pixel for point in slide.curves]
    low, high = math.log2(min(rates) / 1.1), math.log2(max(rates) * 1.1)
    floor = min(0.95, max(0.5, math.floor(min(point.ssim for point in slide.curves) * 20) / 20))

    def across(rate: float) -> float:
        return _LEFT + (PLOT_WIDTH - _LEFT - _RIGHT) * (math.log2(rate) - low) / (high - low)

    def down(ssim: float) -> float:
        return (
            PLOT_HEIGHT - _BOTTOM - (PLOT_HEIGHT - _TOP - _BOTTOM) * (max(ssim, floor) - floor) / (1 - floor)
        )

    lines = []
    for name in dict.fromkeys(point.codec for point in slide.curves):
        points = sorted(
            (point for point in slide.curves if point.codec == name), key=lambda point: point.bits_per_pixel
        )
        marks = tuple(
            (
                round(across(point.bits_per_pixel), 1),
                round(down(point.ssim), 1),
                f"{name} {point.setting:g}: {point.bits_per_pixel:.2f} bits/px, SSIM {point.ssim:.4f}",
            )
            for point in points
        )
        lines.append(Line(name, colors.get(name, 0), " ".join(f"{x},{y}" for x, y, _ in marks), marks))
    step = 0.05 if 1 - floor > 0.12 else 0.02
    heights = [round(1 - step * number, 4) for number in range(int((1 - floor) / step + 1.001))]
    powers = [2**power for power in range(math.ceil(low), math.floor(high) + 1)]
    return Plot(
        tuple(Tick(across(rate), f"{rate:g}") for rate in powers),
        tuple(Tick(down(height), f"{height:.2f}") for height in heights),
        tuple(lines),
    )


def pyramids(slide: SlideComparison, colors: Mapping[str, int]) -> Bars:
    """Every file of a slide, beside the one written anew as JPEG of quality 90 with its glass."""
    base = slide.reference_bytes or 1
    parts = [(row.target_bytes_high or row.target_bytes or 0) / base for row in slide.rows]
    most = max([1.0, *parts])
    scale = (BAR_WIDTH - _BAR_LEFT - _BAR_RIGHT) / most
    rows: dict[str, list[Row]] = {}
    for row in slide.rows:
        rows.setdefault(row.codec, []).append(row)
    groups, y = [], 4.0
    for codec, ways in rows.items():
        done = [row for row in ways if row.status is Status.DONE]
        bars = []
        for place, row in enumerate(done):
            part = (row.target_bytes or 0) / base
            whisker = None
            if row.target_bytes_low is not None and row.target_bytes_high is not None:
                whisker = (row.target_bytes_low / base * scale, row.target_bytes_high / base * scale)
            text = f"{part:.1%}".replace("%", " %")
            hint = f"{codec}, glass {row.glass}: {row.target_bytes} bytes, {text} of JPEG q90"
            bars.append(Bar(row.glass, y + place * _BAR, part * scale, text, hint, whisker))
        reason = "" if bars else next((row.reason for row in ways), "")
        groups.append(Group(codec, colors.get(family_of(codec), 0), y, tuple(bars), reason))
        y += max(1, len(bars)) * _BAR + _GAP
    return Bars(tuple(groups), _BAR_LEFT + scale, y)
