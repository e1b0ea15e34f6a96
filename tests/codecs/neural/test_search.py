"""The search finds the coarsest step that the guard accepts, and tries few."""

import math

import pytest

from wsicomp.codecs.neural.search import Guard, StepSearch
from wsicomp.codecs.quality import Fidelity

SIZES = tuple(2 ** (number / 4) for number in range(5, -6, -1))
GUARD = Guard(0.95, 25.0, 6.0)


def searched(measured, guard=GUARD, coarsest=0, start=3):
    """The step that is taken, and those that were tried; `measured` gives the fidelity at each."""
    search, tried = StepSearch(SIZES, coarsest, start, guard), []
    while search.next is not None:
        tried.append(search.next)
        search.tell(measured(search.next))
    return search, tried


def tile(scale, power=1.0):
    """A tile whose 1 - SSIM is `scale` at a step of 1."""
    return lambda step: Fidelity(1 - scale * SIZES[step] ** power, 30.0, 1.0)


@pytest.mark.parametrize("start", range(len(SIZES)))
@pytest.mark.parametrize("power", [0.75, 0.9, 1.0, 1.3])
@pytest.mark.parametrize("scale", [0.001, 0.01, 0.021, 0.03, 0.045, 0.07, 0.09, 0.5])
def test_the_coarsest_step_that_passes_is_taken_wherever_the_search_begins(start, power, scale):
    measured = tile(scale, power)
    passing = [step for step in range(len(SIZES)) if GUARD.passes(measured(step))]
    search, tried = searched(measured, start=start)
    assert search.taken == min(passing, default=None)
    assert len(tried) == len(set(tried)) <= 6
    if passing:
        assert search.fidelity == measured(min(passing))


@pytest.mark.parametrize("start", [0, 5, 10])
def test_other_bounds_decide_as_well(start):
    def measured(step):
        return Fidelity(0.99, 40.0, 2.0 * SIZES[step] ** 2)

    passing = [step for step in range(len(SIZES)) if measured(step).color_shift <= 6]
    assert searched(measured, start=start)[0].taken == min(passing)


def test_nothing_coarser_than_was_allowed_is_tried():
    search, tried = searched(tile(0.001), coarsest=4, start=4)
    assert (search.taken, tried) == (4, [4])


def test_a_tile_as_its_neighbours_takes_one_or_two_trials():
    for scale in (0.02, 0.03, 0.04, 0.05):
        expected = searched(tile(scale))[0].taken
        assert len(searched(tile(scale), start=expected)[1]) <= 2


def test_an_exact_tile_takes_the_coarsest_step():
    search, tried = searched(lambda _: Fidelity(1.0, math.inf, 0.0))
    assert search.taken == 0
    assert tried == [3, 0]
