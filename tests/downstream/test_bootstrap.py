"""Intervals of paired differences: known cases, SciPy, and coverage."""

import numpy as np
import pytest
from scipy import stats

from wsicomp.downstream.bootstrap import MeanInterval, Shown, mean_interval, what_is_shown
from wsicomp.downstream.study_verdict import DiceDifference, headline


def test_one_seed_gives_the_interval_of_a_mean_over_patients():
    values = np.random.default_rng(1).normal(-0.01, 0.03, (1, 200))
    found = mean_interval(values)
    low, high = stats.t.interval(0.95, 199, values.mean(), stats.sem(values[0]))
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=3e-4)


def test_it_is_that_of_scipy_s_bootstrap_with_many_patients():
    values = np.random.default_rng(2).exponential(0.02, (1, 80))
    theirs = stats.bootstrap((values[0],), np.mean, n_resamples=9999, method="percentile", rng=3)
    found = mean_interval(values)
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=5e-4)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=5e-4)


def test_seeds_that_differ_widen_the_interval_as_their_own_spread_does():
    effects = np.array([-0.02, 0.0, 0.02])
    values = np.repeat(effects[:, None], 50, axis=1)
    found = mean_interval(values)
    # All drawn seeds alike is the widest draw: 1 in 9 of 27. Its end is stretched by the root of 3 / 2.
    assert found.high == pytest.approx(0.02 * np.sqrt(1.5), rel=1e-6)
    assert found.low == pytest.approx(-found.high)


def test_seeds_and_patients_together_cover_the_truth():
    rng = np.random.default_rng(4)
    held = 0
    for number in range(100):
        seeds, patients = rng.normal(0, 0.01, (8, 1)), rng.normal(0, 0.02, (1, 30))
        found = mean_interval(seeds + patients + rng.normal(0, 0.02, (8, 30)), number)
        held += found.low <= 0 <= found.high
    assert 87 <= held <= 100


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (-0.009, 0.002, Shown.NO_LOSS),
        (-0.009, -0.001, Shown.NO_LOSS),
        (-0.02, 0.001, Shown.UNDECIDED),
        (-0.02, -0.001, Shown.SOME_LOSS),
        (-0.03, -0.011, Shown.LOSS),
    ],
)
def test_what_an_interval_shows(low, high, shown):
    assert what_is_shown(MeanInterval((low + high) / 2, low, high), 0.01) is shown


def test_a_loss_within_the_margin_is_said():
    small = DiceDifference(20, MeanInterval(-0.006, -0.009, -0.004), Shown.NO_LOSS)
    none = DiceDifference(5, MeanInterval(0, -0.001, 0.001), Shown.NO_LOSS)
    assert (
        headline([none, small], 0.01)
        == "Up to 20 times no loss beyond 0.01 Dice (95 %); at 20 times a smaller one is shown."
    )
    assert headline([none], 0.01, is_gapless=False) == "At 5 times no loss beyond 0.01 Dice (95 %)."


def _losses(*shown):
    ends = {
        Shown.NO_LOSS: (-0.005, 0.005),
        Shown.LOSS: (-0.1, -0.05),
        Shown.SOME_LOSS: (-0.02, -0.002),
        Shown.UNDECIDED: (-0.02, 0.01),
    }
    rates = (5, 20, 100)
    return [
        DiceDifference(rate, MeanInterval(0, *ends[each]), each)
        for rate, each in zip(rates, shown, strict=False)
    ]


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (
            (Shown.NO_LOSS, Shown.NO_LOSS, Shown.LOSS),
            "Up to 20 times no loss beyond 0.01 Dice (95 %); a loss beyond 0.01 is shown at 100 times.",
        ),
        (
            (Shown.NO_LOSS, Shown.UNDECIDED, Shown.LOSS),
            "Up to 5 times no loss beyond 0.01 Dice (95 %); a loss beyond 0.01 is shown at 100 times; "
            "at 20 times not decided: the interval is 0.030 wide.",
        ),
        (
            (Shown.SOME_LOSS, Shown.NO_LOSS),
            "At 5 times a loss is shown, but not whether it is beyond 0.01; "
            "at 20 times none is shown, behind a rate that failed.",
        ),
        (
            (Shown.LOSS, Shown.LOSS),
            "A loss beyond 0.01 is shown at 5 and 20 times.",
        ),
    ],
)
def test_the_verdict_in_words(shown, text):
    assert headline(_losses(*shown), 0.01) == text
