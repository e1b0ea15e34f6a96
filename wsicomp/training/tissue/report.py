"""What was measured, as files: CSV tables, a robustness figure, a page of overlays."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from wsicomp.escaping import html_text, spreadsheet_cell
from wsicomp.training.tissue.evaluate import Evaluation, Score, SweepPoint, TileCost

SCORES, COSTS, SWEEP = "scores.csv", "tiles.csv", "brightness.csv"
PAGE, FIGURE = "index.html", "brightness.png"

STYLE = """\
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1280px; padding: 0 1em;
  color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
td, th { padding: .2em .8em; text-align: right }
td:first-child, th:first-child, td:nth-child(2) { text-align: left }
tr:nth-child(even) { background: #f4f4f4 }
figure { display: inline-block; margin: .6em; vertical-align: top }
figcaption { font-size: 13px; max-width: 400px }
figure img { width: 400px; border: 1px solid #ccc }
.true { color: #00963c } .found { color: #dc00a0 } .removed { color: #3a6fe0 }"""


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write everything into an existing folder, over what an earlier evaluation left there."""
    _write_csv(folder / SCORES, *_score_rows(evaluation.scores))
    _write_csv(folder / COSTS, *_cost_rows(evaluation.costs))
    if evaluation.sweep:
        rows = [(point.name, point.method, point.added, f"{point.dice:.4f}") for point in evaluation.sweep]
        _write_csv(folder / SWEEP, ("name", "method", "added_grey_levels", "dice"), rows)
        _draw_sweep(folder / FIGURE, evaluation.sweep)
    (folder / PAGE).write_text(_page(evaluation), "utf-8")


def summary(scores: Sequence[Score]) -> list[tuple[str, float, int, float, float, float]]:
    """(method, magnification, slides, mean Dice, its standard deviation, the worst) for each pair."""
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
    head = ("method", "magnification", "slides", "mean Dice", "deviation", "worst")
    means = [
        (m, f"{p:g}x", n, f"{mean:.4f}", f"{deviation:.4f}", f"{worst:.4f}")
        for m, p, n, mean, deviation, worst in summary(evaluation.scores)
    ]
    parts = [
        "<!doctype html><meta charset=utf-8><title>Tissue segmentation, measured</title>",
        f"<style>{STYLE}</style><h1>Tissue segmentation, measured</h1>",
        _table(head, means),
        '<p><span class="true">true outline</span>, <span class="found">outline found</span>, '
        '<span class="removed">tiles that a conversion would blank</span>; worst first.</p>',
        *_figures(evaluation),
        f'<h2>Brightness</h2><img src="{FIGURE}" alt="Dice over added grey levels">'
        if evaluation.sweep
        else "",
        "<h2>Pixels</h2>",
        _table(*_score_rows(evaluation.scores)),
        "<h2>Tiles</h2>",
        _table(*_cost_rows(evaluation.costs)),
    ]
    return "\n".join(parts) + "\n"


def _figures(evaluation: Evaluation) -> list[str]:
    first: dict[tuple[str, str], Score] = {}
    for score in evaluation.scores:
        first.setdefault((score.name, score.method), score)
    main = next(iter(evaluation.scores)).method
    names = sorted({name for name, _ in first}, key=lambda name: first[name, main].agreement.dice)
    figures = []
    for name in names:
        for (own, method), score in first.items():
            if own == name:
                caption = f"{html_text(name)}, {html_text(method)}: Dice {score.agreement.dice:.4f}"
                source = quote(f"{name}-{method}.jpg")
                figures.append(
                    f'<figure><img src="{source}" loading=lazy><figcaption>{caption}</figcaption></figure>'
                )
        figures.append("<br>")
    return figures


def _table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    def line(cells: Sequence[Any], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html_text(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line(names, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"
