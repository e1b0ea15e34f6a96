"""A model card's tables, as Markdown, from what `wsicomp evaluate tissue` wrote; the worst slides drawn."""

import csv
import statistics
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from usage import parser_of

from wsicomp.concurrency.threads import available_cores
from wsicomp.progress import no_progress
from wsicomp.tissue.overview import read_overview
from wsicomp.tissue.segmenters.unet import UnetSegmenter
from wsicomp.training.data.labels import IGNORED, TISSUE, open_truth
from wsicomp.training.data.slide_table import read_table
from wsicomp.training.tissue.report import COSTS, SCORES, SWEEP
from wsicomp.training.tissue.train import read_folds

METHODS = ("unet", "threshold")
AT = "2.5"
PANEL_PX = 480
GLASS_COLOR, FOUND, MISSED, FALSE, UNSCORED = (
    255,
    (205, 205, 205),
    (220, 40, 40),
    (40, 90, 230),
    (250, 235, 190),
)

Row = dict[str, str]


def read(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def means(scores: list[Row]) -> str:
    dices: dict[tuple[str, float], list[float]] = {}
    for score in scores:
        dices.setdefault((score["method"], float(score["magnification"])), []).append(float(score["dice"]))
    rows = [
        [method, f"{at:g}x", str(len(of)), f"{statistics.mean(of):.4f}", f"{min(of):.4f}"]
        for (method, at), of in sorted(
            dices.items(), key=lambda item: (METHODS.index(item[0][0]), item[0][1])
        )
    ]
    return table(["method", "at", "slides", "mean Dice", "worst"], rows)


def each(scores: list[Row], remarks: dict[str, str]) -> str:
    at = [score for score in scores if score["magnification"] == AT]
    threshold = {score["name"]: score["dice"] for score in at if score["method"] == "threshold"}
    unet = sorted((score for score in at if score["method"] == "unet"), key=lambda score: score["dice"])
    rows = [
        [
            s["name"],
            remarks[s["name"]],
            s["um_per_px"],
            s["dice"],
            s["recall"],
            s["precision"],
            threshold[s["name"]],
        ]
        for s in unet
    ]
    head = ["slide", "what is hard", "um per px", "Dice", "recall", "precision", "threshold's Dice"]
    return table(head, rows)


def tiles(costs: list[Row]) -> str:
    rows = []
    for cost in (cost for cost in costs if cost["method"] == "unet"):
        other = next(c for c in costs if (c["name"], c["method"]) == (cost["name"], "threshold"))
        rows.append([cost["name"], cost["remarks"], *tile_cells([cost], [other])])
    by_method = [[cost for cost in costs if cost["method"] == method] for method in METHODS]
    rows.append(["all", "", *tile_cells(*by_method)])
    head = ["slide", "on it", "inner tissue lost (by the mask alone)", "glass tiles", "kept (by the mask)"]
    return table([*head, "kept with the threshold (by its mask)"], rows)


def tile_cells(unet: list[Row], threshold: list[Row]) -> list[str]:
    def total(costs: list[Row], column: str) -> int:
        return sum(int(cost[column]) for cost in costs)

    inner, glass = total(unet, "inner_px"), total(unet, "glass_tiles")
    lost = [total(unet, column) / max(1, inner) for column in ("lost_px", "lost_by_mask_px")]
    cells = [f"{lost[0]:.3%} ({lost[1]:.3%})" if inner else "no tissue", str(glass)]
    for costs in (unet, threshold):
        kept = [total(costs, column) / max(1, glass) for column in ("kept_tiles", "kept_by_mask_tiles")]
        cells.append(f"{kept[0]:.0%} ({kept[1]:.0%})" if glass else "-")
    return cells


def brightness(sweep: list[Row]) -> str:
    added = sorted({int(point["added_grey_levels"]) for point in sweep})
    rows = []
    for method in METHODS:
        at = [
            [
                float(p["dice"])
                for p in sweep
                if p["method"] == method and int(p["added_grey_levels"]) == level
            ]
            for level in added
        ]
        rows.append([f"{method}, mean Dice", *(f"{statistics.mean(of):.3f}" for of in at)])
        rows.append([f"{method}, worst", *(f"{min(of):.3f}" for of in at)])
    return table(["grey levels added", *(f"{level:+d}" for level in added)], rows)


def draw_worst(scores: list[Row], costs: list[Row], slides: Path, folds: Path, target: Path) -> None:
    """The three slides with tissue that are lowest by Dice.

    Grey is tissue found, red tissue missed, blue glass taken for tissue, yellow does not score.
    """
    bare = {cost["name"] for cost in costs if cost["inner_px"] == "0"}
    unet = [s for s in scores if s["method"] == "unet" and s["magnification"] == AT and s["name"] not in bare]
    names = [s["name"] for s in sorted(unet, key=lambda s: s["dice"])[:3]]
    rows = {row.name: row for row in read_table(slides)}
    held_out = read_folds(folds)
    panels = []
    for name in names:
        truth = open_truth(rows[name])
        with closing(truth.slide):
            overview = read_overview(truth.slide, available_cores(), no_progress)
            segmenter = UnetSegmenter(held_out[rows[name].group])
            found = segmenter.segment(truth.slide, overview, available_cores(), no_progress).pixels
        labels = truth.labels
        shape = found.shape[::-1]
        labels = cv2.resize(labels, shape, interpolation=cv2.INTER_NEAREST)
        panel = np.full((*found.shape, 3), GLASS_COLOR, np.uint8)
        panel[found & (labels == TISSUE)] = FOUND
        panel[~found & (labels == TISSUE)] = MISSED
        panel[found & (labels != TISSUE)] = FALSE
        panel[labels == IGNORED] = UNSCORED
        panels.append(fit(panel))
    cv2.imwrite(str(target), np.hstack(panels)[..., ::-1])
    print(f"{target}: {', '.join(names)}")


def fit(panel: np.ndarray) -> np.ndarray:
    rows, columns = panel.shape[:2]
    scale = (PANEL_PX - 10) / max(rows, columns)
    small = cv2.resize(panel, (round(columns * scale), round(rows * scale)), interpolation=cv2.INTER_AREA)
    below, beside = PANEL_PX - small.shape[0], PANEL_PX - small.shape[1]
    return cv2.copyMakeBorder(small, 5, below - 5, 5, beside - 5, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path, help="what `wsicomp evaluate tissue` wrote")
    parser.add_argument(
        "--worst", nargs=3, type=Path, metavar=("TABLE", "FOLDS", "PNG"), help="draw the worst three"
    )
    options = parser.parse_args()
    scores, costs = read(options.folder / SCORES), read(options.folder / COSTS)
    print(means(scores))
    print(each(scores, {cost["name"]: cost["remarks"] for cost in costs}))
    print(tiles(costs))
    if (options.folder / SWEEP).exists():
        print(brightness(read(options.folder / SWEEP)))
    if options.worst:
        draw_worst(scores, costs, *options.worst)


if __name__ == "__main__":
    main()
