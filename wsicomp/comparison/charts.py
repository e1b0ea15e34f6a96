"""Positions of everything in a chart, in units of its SVG; the page's template draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wsicomp.comparison.codec_specs import family_of
from wsicomp.comparison.results import Comparison, SlideComparison, SummaryRow
from wsicomp.comparison.tables import telling_rows
from wsicomp.text.figures import as_percent

PLOT_WIDTH, PLOT_HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 40
BAR_WIDTH, _BAR_LEFT, _BAR_RIGHT = 620, 125, 170
_BAR, _GAP = 15, 8
_BAR_TOP = 22.0
"""Room for the mark of the sources' size."""
_HUES = 10


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: its position and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """The curve of one codec."""

    name: str
    """The codec."""
    hue: int
    """The number of its colour."""
    points: str
    """The points of the line as SVG's "x,y x,y"."""
    marks: tuple[tuple[float, float, str], ...]
    """Position (x, y) and text of each measurement."""


@dataclass(frozen=True)
class Plot:
    """A chart of quality over size."""

    x: tuple[Tick, ...]
    """Ticks in bits per pixel, logarithmic."""
    y: tuple[Tick, ...]
    """Ticks in SSIM."""
    lines: tuple[Line, ...]
    """The curves."""
    width: int = PLOT_WIDTH
    """Width of the chart."""
    height: int = PLOT_HEIGHT
    """Height of the chart."""
    left: int = _LEFT
    """Left edge of the plotted area."""
    right: int = PLOT_WIDTH - _RIGHT
    """Right edge of the plotted area."""
    top: int = _TOP
    """Upper edge of the plotted area."""
    bottom: int = PLOT_HEIGHT - _BOTTOM
    """Lower edge of the plotted area."""


@dataclass(frozen=True)
class Bar:
    """The part of the sources' bytes that one row leaves."""

    glass: str
    """What became of glass."""
    y: float
    """Its upper edge."""
    length: float
    """Its length."""
    text: str
    """The text beside it."""
    hint: str
    """The text that appears under the pointer."""
    is_exact: bool
    """Whether tissue keeps every pixel."""
    is_chosen: bool
    """Whether it is recommended."""
    whisker: tuple[float, float] | None = None
    """The ends of the interval; None for a size that was counted."""


@dataclass(frozen=True)
class BarGroup:
    """The bars of one codec."""

    codec: str
    """The codec."""
    y: float
    """Its upper edge."""
    bars: tuple[Bar, ...]
    """Its bars."""


@dataclass(frozen=True)
class Bars:
    """The sizes of all conversions, as parts of the sources' size."""

    groups: tuple[BarGroup, ...]
    """The bars, codec by codec."""
    whole: float
    """Where the sources' size ends."""
    height: float
    """Height of the chart."""
    bar: int = _BAR
    """Height of a bar."""
    left: int = _BAR_LEFT
    """Where bars begin."""
    width: int = BAR_WIDTH
    """Width of the chart."""


def family_colors(slides: Sequence[SlideComparison]) -> dict[str, int]:
    """Return the number of a colour, from 0, for each family of codecs, the same on the whole page."""
    shown = [row.codec for slide in slides for row in slide.rows]
    shown += [point.codec for slide in slides for point in slide.curves]
    families = dict.fromkeys(map(family_of, shown))
    return {name: number % _HUES for number, name in enumerate(families)}


def rate_distortion(slide: SlideComparison, colors: Mapping[str, int]) -> Plot | None:
    """Return the chart of quality over size; None where no codec has a curve."""
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


def part_bars(found: Comparison, chosen: tuple[str, str]) -> Bars:
    """Return the chart of what remains of the sources' bytes; `chosen` is the recommended codec and glass.

    Empty glass is left out where it ties with blank glass.
    """
    rows: dict[str, list[SummaryRow]] = {}
    for row in telling_rows([row for row in found.summary if row.outcome is not None]):
        rows.setdefault(row.codec, []).append(row)
    ends = [end for some in rows.values() for row in some for end in (row.part, *(row.part_interval or ()))]
    scale = (BAR_WIDTH - _BAR_LEFT - _BAR_RIGHT) / max([1.0, *ends])
    groups, y = [], _BAR_TOP
    for codec, some in rows.items():
        bars = [
            _bar(row, y + place * _BAR, scale, (row.codec, row.glass) == chosen)
            for place, row in enumerate(some)
        ]
        groups.append(BarGroup(codec, y, tuple(bars)))
        y += len(bars) * _BAR + _GAP
    return Bars(tuple(groups), _BAR_LEFT + scale, y)


def _bar(row: SummaryRow, y: float, scale: float, is_chosen: bool) -> Bar:
    low, high = row.part_interval or (0.0, 0.0)
    text = f"{as_percent(row.part)} {row.glass}"
    assert row.outcome is not None, "it converts a slide"
    tissue = row.outcome.tissue_text(row.worst_ssim)
    return Bar(
        glass=row.glass,
        y=y,
        length=row.part * scale,
        text=f"{text}: recommended" if is_chosen else text,
        hint=f"{row.codec}, glass {row.glass}: {row.target_bytes} bytes, tissue {tissue}",
        is_exact=row.outcome.is_lossless,
        is_chosen=is_chosen,
        whisker=(low * scale, high * scale) if row.part_interval else None,
    )
