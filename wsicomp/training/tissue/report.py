"""The files of a tissue evaluation: CSV tables, a figure of brightness, a page of overlays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np

from wsicomp.files.tables import write_rows, write_text
from wsicomp.text.html import rendered
from wsicomp.training.tissue.evaluate import Evaluation, Score, SweepPoint, TileCost

SCORES, COSTS, SWEEP = "scores.csv", "tiles.csv", "brightness.csv"
PAGE, FIGURE = "index.html", "brightness.png"


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write tables, figure and page into an existing folder, over those of an earlier evaluation."""
    scores, costs = _score_table(evaluation.scores), _cost_table(evaluation.costs)
    write_rows(folder / SCORES, scores, overwrite=True)
    write_rows(folder / COSTS, costs, overwrite=True)
    if evaluation.sweep:
        rows = [(point.name, point.method, point.added, f"{point.dice:.4f}") for point in evaluation.sweep]
        write_rows(folder / SWEEP, [("name", "method", "added_grey_levels", "dice"), *rows], overwrite=True)
        _draw_sweep(folder / FIGURE, evaluation.sweep)
    means = [
        (method, f"{power:g}x", count, f"{mean:.4f}", f"{deviation:.4f}", f"{worst:.4f}")
        for method, power, count, mean, deviation, worst in summary(evaluation.scores)
    ]
    page = rendered(
        "wsicomp.training.tissue",
        "report.html.j2",
        {},
        means=means,
        slides=_pictures(evaluation.scores),
        chart=FIGURE if evaluation.sweep else "",
        scores=scores,
        costs=costs,
    )
    write_text(folder / PAGE, page, overwrite=True)


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


def _score_table(scores: Iterable[Score]) -> list[tuple[str, ...]]:
    """Return the rows of scores.csv, the head first."""
    shares = ("dice", "iou", "recall", "precision", "glass_cost")
    rows: list[tuple[str, ...]] = [("name", "method", "magnification", "um_per_px", *shares)]
    for score in scores:
        found = (f"{getattr(score.agreement, share):.4f}" for share in shares)
        rows.append((score.name, score.method, f"{score.magnification:g}", f"{score.mpp:.4g}", *found))
    return rows


def _cost_table(costs: Iterable[TileCost]) -> list[tuple[Any, ...]]:
    """Return the rows of tiles.csv, the head first."""
    return [tuple(field.name for field in fields(TileCost)), *map(astuple, costs)]


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
