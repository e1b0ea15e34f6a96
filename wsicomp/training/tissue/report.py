"""The files of a tissue evaluation: CSV tables, a figure of brightness, a page of overlays."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np

from wsicomp.text.escaping import spreadsheet_cell
from wsicomp.text.html import rendered
from wsicomp.training.tissue.evaluate import Evaluation, Score, SweepPoint, TileCost

SCORES, COSTS, SWEEP = "scores.csv", "tiles.csv", "brightness.csv"
PAGE, FIGURE = "index.html", "brightness.png"


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write tables, figure and page into an existing folder, over those of an earlier evaluation."""
    _write_csv(folder / SCORES, *_score_rows(evaluation.scores))
    _write_csv(folder / COSTS, *_cost_rows(evaluation.costs))
    if evaluation.sweep:
        rows = [(point.name, point.method, point.added, f"{point.dice:.4f}") for point in evaluation.sweep]
        _write_csv(folder / SWEEP, ("name", "method", "added_grey_levels", "dice"), rows)
        _draw_sweep(folder / FIGURE, evaluation.sweep)
    (folder / PAGE).write_text(_page(evaluation), "utf-8")


def summary(scores: Sequence[Score]) -> list[tuple[str, float, int, float, float, float]]:
    """Return (method, magnification, slides, mean Dice, its standard deviation, least Dice) over slides.

    There is a row for each method and magnification.
    """
    pairs = sorted({(score.method, score.magnification) for score in scores}, reverse=True)
    rows = []
    for method, magnification in pairs:
        dices = [s.agreement.dice for s in scores if (s.method, s.magnification) == (method, magnification)]
        mean, deviation = float(np.mean(dices)), float(np.std(dices))
        rows.append((method, magnification, len(dices), mean, deviation, min(dices)))
    return rows


def _score_rows(scores: Iterable[Score]) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
    names = (
        "name",
        "method",
        "magnification",
        "um_per_px",
        "dice",
        "iou",
        "recall",
        "precision",
        "glass_cost",
    )
    rows = []
    for score in scores:
        found = score.agreement
        shares = (found.dice, found.iou, found.recall, found.precision, found.glass_cost)
        rows.append(
            (
                score.name,
                score.method,
                f"{score.magnification:g}",
                f"{score.mpp:.4g}",
                *(f"{s:.4f}" for s in shares),
            )
        )
    return names, rows


def _cost_rows(costs: Iterable[TileCost]) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
    names = tuple(field.name for field in fields(TileCost))
    rows = [astuple(cost) for cost in costs]
    return names, rows


def _write_csv(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([spreadsheet_cell(cell) for cell in row] for row in rows)


def _draw_sweep(path: Path, sweep: Sequence[SweepPoint]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for method in dict.fromkeys(point.method for point in sweep):
        added = sorted({point.added for point in sweep})
        dices = [[p.dice for p in sweep if (p.method, p.added) == (method, level)] for level in added]
        axes.plot(added, [float(np.mean(values)) for values in dices], marker="o", label=f"{method}, mean")
        axes.fill_between(
            added, [min(values) for values in dices], [max(values) for values in dices], alpha=0.15
        )
    axes.set(
        xlabel="grey levels added to every pixel", ylabel="Dice (band: worst to best slide)", ylim=(0, 1.01)
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower center")
    figure.savefig(path, dpi=120)


def _page(evaluation: Evaluation) -> str:
    means = [
        (method, f"{power:g}x", count, f"{mean:.4f}", f"{deviation:.4f}", f"{worst:.4f}")
        for method, power, count, mean, deviation, worst in summary(evaluation.scores)
    ]
    return rendered(
        "wsicomp.training.tissue",
        "report.html.j2",
        {},
        means=means,
        slides=_pictures(evaluation.scores),
        chart=FIGURE if evaluation.sweep else "",
        scores=_score_rows(evaluation.scores),
        costs=_cost_rows(evaluation.costs),
    )


def _pictures(scores: Sequence[Score]) -> list[list[dict[str, str]]]:
    """Return each slide's pictures by all methods, the slides in order of the first method's Dice."""
    dices: dict[str, dict[str, float]] = {}
    for score in scores:
        dices.setdefault(score.name, {}).setdefault(score.method, score.agreement.dice)
    main = scores[0].method
    return [
        [
            {"file": f"{name}-{method}.jpg", "caption": f"{name}, {method}: Dice {dice:.4f}"}
            for method, dice in dices[name].items()
        ]
        for name in sorted(dices, key=lambda name: dices[name][main])
    ]
