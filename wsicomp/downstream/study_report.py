"""The files of a finished study: results.json, tables, and one page that needs no other file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsicomp.downstream.study_charts import dice_chart, heat_of, row_name
from wsicomp.downstream.study_results import StudyFindings
from wsicomp.downstream.study_verdict import MatrixCell, StudyConclusions, few_shot_text, trained_rows
from wsicomp.files.tables import write_rows, write_text
from wsicomp.text.html import rendered

PAGE, RESULTS, MATRIX, CASES, RATES = "index.html", "results.json", "matrix.csv", "cases.csv", "rates.csv"

PUBLISHED = (
    (
        "AMOS (CT, 15 organs), learnt and tested at the rate",
        (".87", ".87", ".87", ".87", ".86", ".80", ".78", ".74"),
    ),
    ("learnt from uncompressed, nnU-Net", (".971", "", ".971", ".970", ".969", ".946", "", "")),
    ("learnt from uncompressed, Swin UNETR", (".614", "", ".614", ".614", ".614", ".603", "", "")),
)
"""Published Dice at `PUBLISHED_RATES`, of other data and larger networks; "" where none is given."""
PUBLISHED_RATES = (1, 2, 5, 10, 20, 50, 70, 100)


def write_study(found: StudyFindings, told: StudyConclusions, folder: Path) -> Path:
    """Write results, tables and page into the study's folder, over earlier ones; return the page's path.

    Raises:
        SlideWriteError: a file cannot be written.
    """
    write_text(folder / RESULTS, json.dumps(_results(found, told), indent=1), overwrite=True)
    write_rows(folder / RATES, _rate_table(found), overwrite=True)
    write_rows(folder / MATRIX, _matrix_table(told.matrix), overwrite=True)
    write_rows(folder / CASES, _case_table(found), overwrite=True)
    write_text(folder / PAGE, study_page(found, told), overwrite=True)
    return folder / PAGE


def study_page(found: StudyFindings, told: StudyConclusions) -> str:
    """Return the page of a study."""
    means = [cell.dice.mean for cell in told.matrix]
    return rendered(
        "wsicomp.downstream",
        "study.html.j2",
        {"row": row_name},
        found=found,
        verdict=told.verdict,
        learnt_verdict=told.learnt_verdict,
        tested=told.tested,
        learnt=told.learnt,
        few=[(each, few_shot_text(each)) for each in told.few],
        rows=trained_rows(found),
        cells={(cell.row, cell.rate): cell for cell in told.matrix},
        heat={(cell.row, cell.rate): heat_of(cell.dice.mean, min(means), max(means)) for cell in told.matrix},
        chart=dice_chart(told.matrix),
        networks=found.networks,
        published=PUBLISHED,
        published_rates=PUBLISHED_RATES,
        seeds=len({network.seed for network in found.networks}),
        test_patients=len(set(found.patients.values())),
    )


def _results(found: StudyFindings, told: StudyConclusions) -> dict[str, Any]:
    """Return what the study found and what follows from it, as JSON values."""
    return {
        "verdict": told.verdict,
        "verdict_of_learning": told.learnt_verdict,
        "margin": found.margin,
        "made": found.made,
        "data": found.title,
        "facts": dict(found.facts),
        "rates": [asdict(each) | {"achieved": each.achieved} for each in found.rates],
        "tested_at_a_rate": [asdict(each) for each in told.tested],
        "learnt_and_tested_at_a_rate": [asdict(each) for each in told.learnt],
        "few_shot": [asdict(each) | {"verdict": few_shot_text(each)} for each in told.few],
        "matrix": [asdict(cell) for cell in told.matrix],
        "networks": [asdict(network) for network in found.networks],
        "patients": dict(found.patients),
    }


def _rate_table(found: StudyFindings) -> list[tuple[object, ...]]:
    head = ("rate", "achieved", "source_bytes", "coded_bytes", "psnr_db")
    return [
        head,
        *(
            (
                each.rate,
                f"{each.achieved:.3f}",
                each.source_bytes,
                each.coded_bytes,
                "" if each.psnr_db is None else f"{each.psnr_db:.3f}",
            )
            for each in found.rates
        ),
    ]


def _matrix_table(cells: Sequence[MatrixCell]) -> list[tuple[object, ...]]:
    classes = [f"dice_of_class_{number}" for number in range(1, len(cells[0].by_class) + 1)]
    rows: list[tuple[object, ...]] = [("learnt_from", "tested_at", "dice", "low", "high", *classes)]
    for cell in cells:
        ends = (cell.dice.mean, cell.dice.low, cell.dice.high, *cell.by_class)
        rows.append((cell.row.name, cell.rate, *(f"{value:.5f}" for value in ends)))
    return rows


def _case_table(found: StudyFindings) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [
        ("learnt_from", "seed", "tested_at", "case", "patient", "class", "dice")
    ]
    for network in found.networks:
        for rate, scores in network.scores.items():
            for case, dices in scores.items():
                named = (network.row.name, network.seed, rate, case, found.patients[case])
                rows += [(*named, number, f"{dice:.5f}") for number, dice in enumerate(dices, 1)]
    return rows
