"""The verdict on a study's scores: differences with intervals, the matrix, and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsicomp.downstream.bootstrap import MeanInterval, Shown, mean_interval, what_is_shown
from wsicomp.downstream.study_results import StudyFindings, StudyRow
from wsicomp.text.figures import counted


@dataclass(frozen=True)
class MatrixCell:
    """The Dice of the networks of one row at one rate."""

    row: StudyRow
    """What they learnt from."""
    rate: int
    """The rate of the test cases."""
    dice: MeanInterval
    """Dice over classes, seeds and patients."""
    by_class: tuple[float, ...]
    """The mean Dice of each class."""


@dataclass(frozen=True)
class DiceDifference:
    """A paired difference of Dice with its interval, and what it shows."""

    rate: int
    """The rate."""
    difference: MeanInterval
    """Negative for a loss."""
    shown: Shown
    """What the interval shows."""


@dataclass(frozen=True)
class FewShot:
    """All data compressed against few uncompressed, in as many bytes."""

    rate: int
    """The rate of all data."""
    cases: tuple[int, ...]
    """How many uncompressed cases took as many bytes, by seed."""
    part: float
    """Their bytes as a part of all uncompressed ones."""
    difference: MeanInterval
    """All, compressed, minus few, uncompressed; tested on uncompressed cases."""
    all_dice: MeanInterval
    """The Dice of networks that learnt from all, compressed."""
    few_dice: MeanInterval
    """The Dice of networks that learnt from few."""


def patient_dices(found: StudyFindings, row: StudyRow, rate: int) -> NDArray[np.float64]:
    """Return Dice, (seeds, patients): means over classes and over the cases of a patient."""
    patients = sorted(set(found.patients.values()))
    table = []
    for network in found.networks:
        if network.row != row:
            continue
        own: dict[str, list[float]] = {patient: [] for patient in patients}
        for case, dices in network.scores[str(rate)].items():
            own[found.patients[case]].append(float(np.mean(dices)))
        table.append([float(np.mean(own[patient])) for patient in patients])
    return np.array(table)


def trained_rows(found: StudyFindings) -> tuple[StudyRow, ...]:
    """Return the rows that have networks, in order: all data by rate, then few."""
    return tuple(sorted({network.row for network in found.networks}, key=lambda row: (row.is_few, row.rate)))


def matrix(found: StudyFindings) -> tuple[MatrixCell, ...]:
    """Return Dice of every row at every rate."""
    cells = []
    for row in trained_rows(found):
        for rate in (each.rate for each in found.rates):
            cases = [
                dices
                for network in found.networks
                if network.row == row
                for dices in network.scores[str(rate)].values()
            ]
            by_class = tuple(float(value) for value in np.mean(cases, axis=0))
            cells.append(MatrixCell(row, rate, mean_interval(patient_dices(found, row, rate)), by_class))
    return tuple(cells)


def losses_of_testing(found: StudyFindings) -> tuple[DiceDifference, ...]:
    """Return what networks that learnt from uncompressed data lose at each rate over 1."""
    return _losses(found, [(StudyRow(1), rate) for rate in _rates_over_1(found)])


def losses_of_learning(found: StudyFindings) -> tuple[DiceDifference, ...]:
    """Return what networks lose that learnt and are tested at a rate over 1, where it has a row."""
    known = trained_rows(found)
    pairs = [(StudyRow(rate), rate) for rate in _rates_over_1(found)]
    return _losses(found, [(row, rate) for row, rate in pairs if row in known])


def _rates_over_1(found: StudyFindings) -> list[int]:
    return [each.rate for each in found.rates if each.rate > 1]


def _losses(found: StudyFindings, pairs: Sequence[tuple[StudyRow, int]]) -> tuple[DiceDifference, ...]:
    base = patient_dices(found, StudyRow(1), 1)
    differences = []
    for row, rate in pairs:
        interval = mean_interval(patient_dices(found, row, rate) - base)
        differences.append(DiceDifference(rate, interval, what_is_shown(interval, found.margin)))
    return tuple(differences)


def few_shots(found: StudyFindings) -> tuple[FewShot, ...]:
    """Return the comparisons at equal bytes, tested on uncompressed cases."""
    compared = []
    for row in trained_rows(found):
        if not row.is_few:
            continue
        everything, few = patient_dices(found, StudyRow(row.rate), 1), patient_dices(found, row, 1)
        own = [network for network in found.networks if network.row == row]
        whole = next(network for network in found.networks if network.row == StudyRow(1))
        compared.append(
            FewShot(
                row.rate,
                tuple(network.cases for network in own),
                float(np.mean([network.bytes / whole.bytes for network in own])),
                mean_interval(everything - few),
                mean_interval(everything),
                mean_interval(few),
            )
        )
    return tuple(compared)


def headline(losses: Sequence[DiceDifference], margin: float, is_gapless: bool = True) -> str:
    """Return the verdict in a sentence; rates are judged in order, and the first that fails ends the claim.

    It says "up to" a rate only where all rates of the study below it were judged: `is_gapless`.

    >>> none = DiceDifference(5, MeanInterval(0.0, -0.002, 0.002), Shown.NO_LOSS)
    >>> headline([none], 0.01)
    'Up to 5 times no loss beyond 0.01 Dice (95 %).'
    """
    parts = []
    safe = _first_safe(losses)
    if safe:
        judged = [each.rate for each in losses if each.rate <= safe]
        where = f"up to {safe} times" if is_gapless else _listed(judged)
        parts.append(f"{where} no loss beyond {margin:g} Dice (95 %)")
    small = [each.rate for each in losses if each.rate <= (safe or 0) and each.difference.high < 0]
    if small:
        parts.append(f"{_listed(small)} a smaller one is shown")
    lost = [each.rate for each in losses if each.shown is Shown.LOSS]
    if lost:
        parts.append(f"a loss beyond {margin:g} is shown {_listed(lost)}")
    some = [each.rate for each in losses if each.shown is Shown.SOME_LOSS]
    if some:
        parts.append(f"{_listed(some)} a loss is shown, but not whether it is beyond {margin:g}")
    open_ = [each for each in losses if each.shown is Shown.UNDECIDED]
    parts += [
        f"at {each.rate} times not decided: the interval is {each.difference.width:.3f} wide"
        for each in open_
    ]
    later = [each.rate for each in losses if each.shown is Shown.NO_LOSS and each.rate > (safe or 0)]
    if later:
        parts.append(f"{_listed(later)} none is shown, behind a rate that failed")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "."


def _first_safe(losses: Sequence[DiceDifference]) -> int | None:
    """Return the highest rate up to which no rate fails: a fixed sequence keeps its 5 % over all of them."""
    safe = None
    for each in losses:
        if each.shown is not Shown.NO_LOSS:
            break
        safe = each.rate
    return safe


def headline_of_learning(found: StudyFindings, losses: Sequence[DiceDifference]) -> str:
    """Return the verdict on `losses_of_learning` in a sentence; "" where there are none."""
    if not losses:
        return ""
    is_gapless = [each.rate for each in losses] == _rates_over_1(found)
    return headline(losses, found.margin, is_gapless)


@dataclass(frozen=True)
class StudyConclusions:
    """All that follows from a study's scores; intervals take thousands of draws, so they are made once."""

    matrix: tuple[MatrixCell, ...]
    """Dice of every row at every rate."""
    tested: tuple[DiceDifference, ...]
    """Losses of networks that learnt from uncompressed data."""
    learnt: tuple[DiceDifference, ...]
    """Losses of networks that learnt and are tested at the same rate."""
    few: tuple[FewShot, ...]
    """Comparisons at equal bytes."""
    verdict: str
    """Of `tested`, in a sentence."""
    learnt_verdict: str
    """Of `learnt`; "" where there are none."""


def conclusions_of(found: StudyFindings) -> StudyConclusions:
    """Return what follows from a study's scores."""
    tested, learnt = losses_of_testing(found), losses_of_learning(found)
    return StudyConclusions(
        matrix(found),
        tested,
        learnt,
        few_shots(found),
        headline(tested, found.margin),
        headline_of_learning(found, learnt),
    )


def _listed(rates: Sequence[int]) -> str:
    return f"at {' and '.join(map(str, rates))} times"


def few_shot_text(each: FewShot) -> str:
    """Return in a sentence what is better in the same bytes."""
    ends = f"{each.difference.low:+.3f} to {each.difference.high:+.3f}, 95 %"
    few = f"{counted(round(float(np.mean(each.cases))), 'uncompressed case')} in as many bytes"
    told = f"All cases compressed {each.rate} times"
    if each.difference.low > 0:
        return f"{told} teach more than {few}: {each.difference.mean:+.3f} Dice ({ends})."
    if each.difference.high < 0:
        return f"{told} teach less than {few}: {each.difference.mean:+.3f} Dice ({ends})."
    return f"Not decided whether {told[0].lower()}{told[1:]} teach more than {few}: {ends}."
