"""Slides drawn from simulated archives, and what is estimated from them."""

import numpy as np
import pytest

from tests.comparison.archives import HARD, KINDS, coverage, giants
from tests.conftest import trial_size
from wsicomp.comparison.archive_sample import GIANTS, draw_archive, estimate_total, rough_range


def rng():
    return np.random.default_rng(3)


def seen_of(sample, values):
    seen = np.full(len(values), np.nan)
    seen[sample.drawn] = values[sample.drawn]
    return seen


@pytest.mark.gate
@pytest.mark.parametrize("count", [20, 50])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_intervals_of_95_percent_hold_so_often(kind, count):
    held, width = coverage(kind, count, archives=trial_size(150, 1000), draws=4)
    assert 0.92 <= held <= 0.98
    assert 0.01 < width < 0.25


def test_all_slides_and_only_so_many_are_drawn_once():
    sizes = np.exp(rng().normal(0, 1.2, 60)) * 1e6
    kinds = [(".svs", ".ndpi", ".tif")[number % 3] for number in range(60)]
    for count in (2, 3, 7, 20, 59, 60, 100):
        sample = draw_archive(sizes, kinds, count, rng())
        assert len(set(sample.drawn.tolist())) == len(sample.drawn) == min(count, 60)
        members = np.concatenate([group.members for group in sample.groups])
        assert sorted(members.tolist()) == list(range(60))


def test_a_slide_is_drawn_as_often_as_its_bytes_say():
    sizes, random = np.array([1.0, 2, 3, 4, 5, 5]), rng()
    often = np.zeros(6)
    for _ in range(4000):
        often[draw_archive(sizes, [".svs"] * 6, 3, random).drawn] += 1 / 4000
    assert often == pytest.approx(3 * sizes / 20, abs=0.03)


def test_giants_are_measured_and_those_beyond_the_draw_are_named():
    sizes, kinds, _ = giants(rng())
    few, more = (draw_archive(sizes, kinds.tolist(), count, rng()) for count in (5, 20))
    assert set(range(6)) <= set(more.drawn.tolist())
    assert not more.unmeasured
    (left,) = few.unmeasured
    assert (left.name, len(left.members)) == (GIANTS, 3)
    assert sizes[left.members].max() <= sizes[np.intersect1d(few.drawn, np.arange(6))].min()


def test_kinds_of_files_that_nobody_drew_are_named():
    sizes = np.full(40, 1e6)
    kinds = [".svs"] * 25 + [".ndpi"] * 10 + [".tif"] * 4 + [".mrxs"]
    sample = draw_archive(sizes, kinds, 5, rng())
    assert [(group.name, len(group.members)) for group in sample.unmeasured] == [(".tif", 4), (".mrxs", 1)]
    assert sample.bytes_of(sample.measured) == 35e6


@pytest.mark.parametrize("count", [2, 5, 12, 20])
@pytest.mark.parametrize("kind", [*KINDS, *HARD], ids=lambda kind: kind.__name__)
def test_no_estimate_goes_beyond_the_ratios_that_were_measured(kind, count):
    random = rng()
    for _ in range(20):
        sizes, kinds, parts = kind(random)
        sample = draw_archive(sizes, kinds.tolist(), count, random)
        seen = seen_of(sample, parts * sizes)
        least, most = rough_range(sample, seen)
        found = estimate_total(sample, seen)
        near = 1e-9 * sizes.sum()
        assert least - near <= found.low <= found.value <= found.high <= most + near
        whole = sample.bytes_of(sample.measured)
        assert parts[sample.drawn].min() - 1e-9 <= found.value / whole <= parts[sample.drawn].max() + 1e-9
        assert sample.is_rough or count > 9


def test_a_whole_archive_is_counted_and_as_unsure_as_its_slides():
    sizes = np.array([100.0, 20, 30, 1])
    sample = draw_archive(sizes, [".svs"] * 4, 9, rng())
    saved = np.array([10.0, -5, 3, 0.5])
    counted = estimate_total(sample, saved)
    assert (counted.low, counted.value, counted.high) == (8.5, 8.5, 8.5)
    assert not sample.is_rough
    unsure = estimate_total(sample, saved, np.array([4.0, 0, 0, 0]))
    assert (unsure.low, unsure.high) == pytest.approx((8.5 - 1.96 * 2, 8.5 + 1.96 * 2), abs=1e-3)


def test_one_slide_that_stands_for_its_kind_takes_the_spread_of_all():
    sizes = np.array([1.0] * 30 + [90, 10, 10, 10])
    kinds = [".svs"] * 30 + [".ndpi"] * 4
    saved = np.r_[np.tile([0.1, 0.5], 15), 30, 3, 3, 3]
    sample = draw_archive(sizes, kinds, 14, rng())
    assert sum(len(group.drawn) == 1 for group in sample.groups) <= 1
    found = estimate_total(sample, seen_of(sample, saved))
    assert found.low < found.value < found.high
