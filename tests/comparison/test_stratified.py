import numpy as np
import pytest
from scipy import stats

from wsicomp.comparison.stratified import draw_strata, ratio, students_t, total, variance_of


def test_students_t_is_scipys():
    for freedom in (3, 3.5, 4, 7, 12.2, 60, 1e9):
        assert students_t(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=5e-3)
    assert students_t(0.5) == students_t(3)


def test_the_variance_of_an_interval_is_that_of_the_normal_one_or_more():
    reach = stats.norm.ppf(0.975) * 3
    assert variance_of(10 - reach, 10 + reach) == pytest.approx(9)
    assert variance_of(10 - students_t(9) * 3, 10 + students_t(9) * 3) > 9


def population(seed, known=True):
    """Sizes of tiles, which go along with sizes that are known; two kinds, and a few units apart."""
    rng = np.random.default_rng(seed)
    x = rng.gamma(2, 5000, 1500)
    y = 0.7 * x + rng.normal(0, 500, 1500) + rng.gamma(0.5, 800, 1500)
    cells = [np.arange(0, 900), np.arange(900, 1490), np.arange(1490, 1500)]
    return cells, x if known else np.zeros(1500), y, rng


def drawn_of(draw, values):
    seen = np.full(len(values), np.nan)
    seen[draw.drawn] = values[draw.drawn]
    return seen


@pytest.mark.parametrize("known", [True, False])
def test_the_interval_holds_the_total_as_often_as_it_says(known):
    held = 0
    for seed in range(200):
        cells, x, y, rng = population(seed, known)
        draw = draw_strata(cells, x, 120, rng)
        estimate = total(draw, drawn_of(draw, y))
        held += estimate.low <= y.sum() <= estimate.high
    assert 184 <= held <= 198  # 95 % of 200, and two standard errors


@pytest.mark.parametrize("known", [True, False])
def test_the_interval_of_half_a_sample_holds_as_often(known):
    held = 0
    for seed in range(200):
        cells, x, y, rng = population(seed, known)
        draw = draw_strata(cells, x, 120, rng)
        half = draw.halved(rng)
        assert set(half.drawn.tolist()) <= set(draw.drawn.tolist())
        assert len(half.drawn) < 0.75 * len(draw.drawn)
        estimate = total(half, drawn_of(draw, y))
        held += estimate.low <= y.sum() <= estimate.high
    assert 181 <= held <= 199  # 95 % of 200, and three standard errors


def test_what_is_known_takes_the_spread_away():
    cells, x, y, rng = population(1)
    informed = draw_strata(cells, x, 120, rng)
    blind = draw_strata(cells, np.zeros(len(x)), 120, rng)
    widths = [
        estimate.high - estimate.low
        for estimate in (total(informed, drawn_of(informed, y)), total(blind, drawn_of(blind, y)))
    ]
    assert widths[0] < 0.35 * widths[1]


def test_a_multiple_of_what_is_known_is_exact():
    cells, x, _, rng = population(2)
    draw = draw_strata(cells, x, 60, rng)
    estimate = total(draw, drawn_of(draw, 1.5 * x))
    assert estimate.value == pytest.approx(1.5 * x.sum())
    assert estimate.high - estimate.low == pytest.approx(0, abs=1e-3)


def test_small_cells_are_drawn_whole_and_speak_for_themselves():
    cells, x, y, rng = population(3)
    draw = draw_strata(cells, x, 60, rng)
    assert set(range(1490, 1500)) <= set(draw.drawn.tolist())
    weights = draw.weights()
    assert weights[1490:].tolist() == [1.0] * 10
    assert weights.sum() == pytest.approx(1500)
    everything = draw_strata(cells, x, 10_000, rng)
    estimate = total(everything, y)
    assert (estimate.low, estimate.high) == pytest.approx((y.sum(), y.sum()))


def test_a_ratio_is_surer_than_its_parts():
    cells, x, y, rng = population(4, known=False)
    draw = draw_strata(cells, x, 120, rng)
    double = drawn_of(draw, 2 * y)
    part = ratio(draw, double, drawn_of(draw, y))
    assert (part.low, part.value, part.high) == pytest.approx((2, 2, 2))
    with_known = ratio(draw, double, drawn_of(draw, y), (100.0, 50.0))
    assert with_known.value == pytest.approx(2)


def test_of_two_units_both_are_drawn():
    draw = draw_strata([np.arange(2)], np.array([5.0, 7.0]), 1, np.random.default_rng(0))
    assert draw.drawn.tolist() == [0, 1]
