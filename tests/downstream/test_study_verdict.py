"""What a study tells of scores that are made up, so that the answer is known."""

import json

import numpy as np
import pytest

from wsicomp.downstream.bootstrap import Shown
from wsicomp.downstream.learning import LearningPoint
from wsicomp.downstream.study_report import write_study
from wsicomp.downstream.study_results import RateFigures, StudyFindings, StudyRow, TrainedNetwork
from wsicomp.downstream.study_verdict import (
    conclusions_of,
    few_shot_text,
    few_shots,
    headline_of_learning,
    losses_of_learning,
    losses_of_testing,
    matrix,
    patient_dices,
)

_RATES = (1, 20, 100)
_LOSS = {1: 0.0, 20: 0.002, 100: 0.2}
_CASES = {f"case_{number}": f"P{number // 2}" for number in range(40)}


def _network(row: StudyRow, seed: int, base: float) -> TrainedNetwork:
    rng = np.random.default_rng(seed)
    ease = dict(zip(_CASES, rng.normal(0, 0.02, len(_CASES)), strict=True))
    scores = {
        str(rate): {
            case: (base + ease[case] - _LOSS[rate], base + ease[case] - _LOSS[rate] - 0.1) for case in _CASES
        }
        for rate in _RATES
    }
    size = 1000 if row == StudyRow(1) else 50
    point = LearningPoint(100, 0.3, 0.8)
    return TrainedNetwork("0" * 64, row, seed, 3 if row.is_few else 60, size, 9.0, 8.0, (point,), scores)


@pytest.fixture(scope="module")
def found():
    rows = ((StudyRow(1), 0.9), (StudyRow(20), 0.89), (StudyRow(20, is_few=True), 0.7))
    networks = tuple(_network(row, seed, base) for row, base in rows for seed in (1, 2, 3))
    rates = tuple(RateFigures(rate, 1000, 1000 // rate, None if rate == 1 else 40.0) for rate in _RATES)
    facts = (("Test", "made up"),)
    return StudyFindings("volumes", "40 <volumes>", 0.01, rates, networks, _CASES, facts, "now")


def test_dice_is_the_mean_over_classes_and_a_patient_s_cases(found):
    table = patient_dices(found, StudyRow(1), 1)
    assert table.shape == (3, 20)
    first = next(network for network in found.networks if network.row == StudyRow(1))
    two = [first.scores["1"][case] for case in ("case_0", "case_1")]
    assert table[0, 0] == pytest.approx(np.mean(two))


def test_paired_losses_are_exact_where_all_cases_lose_the_same(found):
    small, large = losses_of_testing(found)
    assert small.difference.mean == pytest.approx(-0.002)
    assert small.difference.width == pytest.approx(0, abs=1e-12)
    assert (small.shown, large.shown) == (Shown.NO_LOSS, Shown.LOSS)
    cells = matrix(found)
    assert len(cells) == 9
    assert cells[0].dice.mean - cells[2].dice.mean == pytest.approx(0.2)


def test_few_and_all_are_told_apart_in_the_same_bytes(found):
    (only,) = few_shots(found)
    assert only.difference.mean == pytest.approx(0.19)
    assert only.part == pytest.approx(0.05)
    assert few_shot_text(only).startswith(
        "All cases compressed 20 times teach more than 3 uncompressed cases"
    )


def test_rates_that_were_not_learnt_are_not_claimed(found):
    assert (
        headline_of_learning(found, losses_of_learning(found)) == "A loss beyond 0.01 is shown at 20 times."
    )
    without = StudyFindings(**{**found.__dict__, "rates": (*found.rates[:1], RateFigures(5, 9, 2, 3.0))})
    assert headline_of_learning(without, losses_of_learning(without)) == ""


def test_the_page_stands_alone_and_holds_what_was_found(found, tmp_path):
    page = write_study(found, conclusions_of(found), tmp_path).read_text()
    assert "40 &lt;volumes&gt;" in page
    assert "Up to 20 times no loss beyond 0.01 Dice (95 %); at 20 times a smaller one is shown" in page
    assert "src=" not in page
    assert "http" not in page.replace("http-equiv", "")
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["rates"][1]["achieved"] == 20
    assert len(results["networks"]) == 9
    assert {path.name for path in tmp_path.iterdir()} == {
        "index.html",
        "results.json",
        "rates.csv",
        "matrix.csv",
        "cases.csv",
    }
