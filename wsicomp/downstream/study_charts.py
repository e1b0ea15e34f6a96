"""Positions of the curves of a study in units of its SVG; the page's template draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wsicomp.downstream.study_results import StudyRow
from wsicomp.downstream.study_verdict import MatrixCell

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 628, 12, 262


@dataclass(frozen=True)
class CurveMark:
    """A point of a curve with its interval."""

    x: float
    """Across."""
    y: float
    """Down."""
    low: float
    """The lower end of the interval, further down."""
    high: float
    """The upper end of the interval."""
    hint: str
    """The text that appears under the pointer."""


@dataclass(frozen=True)
class DiceCurve:
    """The Dice of one row over rates."""

    name: str
    """What it learnt from."""
    hue: int
    """The number of its colour."""
    points: str
    """The points of the line as SVG's "x,y x,y"."""
    marks: tuple[CurveMark, ...]
    """Its points."""


@dataclass(frozen=True)
class DiceChart:
    """Dice over rates, logarithmic."""

    across: tuple[tuple[float, str], ...]
    """Ticks of rates."""
    down: tuple[tuple[float, str], ...]
    """Ticks of Dice."""
    curves: tuple[DiceCurve, ...]
    """The curves."""
    width: int = WIDTH
    """Width of the chart."""
    height: int = HEIGHT
    """Height of the chart."""
    left: int = LEFT
    """Left edge of the plotted area."""
    right: int = RIGHT
    """Right edge of the plotted area."""
    bottom: int = BOTTOM
    """Lower edge of the plotted area."""


def row_name(row: StudyRow) -> str:
    """Return what networks of a row learnt from, in words."""
    if row.is_few:
        return f"few uncompressed (bytes of {row.rate} times)"
    return "uncompressed" if row.rate == 1 else f"{row.rate} times"


def dice_chart(cells: Sequence[MatrixCell]) -> DiceChart:
    """Return the curves of all rows; rates are spread logarithmically."""
    rates = sorted({cell.rate for cell in cells})
    least = min(cell.dice.low for cell in cells)
    most = max(cell.dice.high for cell in cells)
    step = 0.02 if most - least < 0.15 else 0.05 if most - least < 0.4 else 0.1
    floor, ceiling = math.floor(least / step) * step, math.ceil(most / step) * step

    def x(rate: float) -> float:
        return round(LEFT + 14 + (RIGHT - LEFT - 28) * math.log(rate) / math.log(rates[-1]), 1)

    def y(dice: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (dice - floor) / max(ceiling - floor, step), 1)

    rows = list(dict.fromkeys(cell.row for cell in cells))
    curves = []
    for hue, row in enumerate(rows):
        marks = tuple(
            CurveMark(
                x(cell.rate) + (hue - (len(rows) - 1) / 2) * 3,
                y(cell.dice.mean),
                y(cell.dice.low),
                y(cell.dice.high),
                f"learnt from {row_name(row)}, tested at {cell.rate} times: Dice {cell.dice.mean:.4f}, "
                f"{cell.dice.low:.4f} to {cell.dice.high:.4f}",
            )
            for cell in cells
            if cell.row == row
        )
        points = " ".join(f"{mark.x},{mark.y}" for mark in marks)
        curves.append(DiceCurve(row_name(row), hue % 10, points, marks))
    ticks = round((ceiling - floor) / step)
    heights = [round(floor + step * number, 4) for number in range(ticks + 1)]
    return DiceChart(
        tuple((x(rate), str(rate)) for rate in rates),
        tuple((y(height), f"{height:.2f}") for height in heights),
        tuple(curves),
    )


def heat_of(dice: float, least: float, most: float) -> float:
    """Return how full the colour of a cell is, 0 for the worst and 1 for the best."""
    return (dice - least) / (most - least) if most > least else 1.0
