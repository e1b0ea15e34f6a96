"""Intervals of paired differences over networks (seeds) and patients, and what they show.

Patients and seeds are both drawn again with replacement (the pigeonhole bootstrap: Owen 2007, which is wide
rather than narrow), and every draw gives a mean difference over all pairs. Drawing among few seeds would show
too little of their spread, by (n - 1) / n; weights are stretched by it (Rao and Wu 1988). One seed tells
nothing of others: its interval is over patients alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

_DRAWS = 10_000
LEVEL = 0.95
"""The coverage of intervals."""


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its interval."""

    mean: float
    """The mean over seeds and patients."""
    low: float
    """The lower end."""
    high: float
    """The upper end."""

    @property
    def width(self) -> float:
        """The distance of its ends."""
        return self.high - self.low


class Shown(StrEnum):
    """The finding that an interval of a difference of Dice allows."""

    NO_LOSS = "no loss"
    """No loss beyond the margin."""
    LOSS = "loss"
    """A loss beyond the margin."""
    SOME_LOSS = "some loss"
    """A loss, but not whether it is beyond the margin."""
    UNDECIDED = "undecided"
    """Neither."""


def mean_interval(values: NDArray[np.float64], seed: int = 1) -> MeanInterval:
    """Return the mean of `values`, (seeds, patients), and its 95 % interval.

    >>> found = mean_interval(np.zeros((3, 20)))
    >>> (found.mean, found.low, found.high)
    (0.0, 0.0, 0.0)
    """
    rng = np.random.default_rng(seed)
    seeds, patients = (_weights(count, rng) for count in values.shape)
    means = np.einsum("ds,sp,dp->d", seeds, values, patients, optimize=True)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return MeanInterval(float(values.mean()), float(low), float(high))


def _weights(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (draws, count) weights that sum to 1: how often each was drawn, stretched for few."""
    even = np.full((_DRAWS, count), 1 / count)
    if count == 1:
        return even
    drawn = rng.multinomial(count, even[0], _DRAWS) / count
    return np.asarray(even + (drawn - even) * np.sqrt(count / (count - 1)), np.float64)


def what_is_shown(difference: MeanInterval, margin: float) -> Shown:
    """Return what the interval of a difference, negative for a loss, shows."""
    if difference.low > -margin:
        return Shown.NO_LOSS
    if difference.high < -margin:
        return Shown.LOSS
    return Shown.SOME_LOSS if difference.high < 0 else Shown.UNDECIDED
