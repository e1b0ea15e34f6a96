"""Stratified samples, and the totals that they estimate, with 95 % intervals.

Units are grouped into strata of similar size by a figure that is known of all of them, and a few of each are
drawn. The measurements follow that figure, so that a regression on it removes most of their spread (Cochran,
Sampling Techniques, 1977, sections 5A.7, 7.10 and 5.4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.intp]
Floats = NDArray[np.float64]

LEAST_DRAWN = 10
SMALL = 12
"""A cell of so few units is drawn completely; low levels have few tiles, and each is different."""
NEARLY_ALL = 0.6
"""If this part of a cell would be drawn, all of it is: what a few units left out could be is unknown."""
_MOST_CLASSES = 4
_LEAST_FOR_SLOPE = 20
NORMAL_95 = 1.959963984540054
"""The two-sided 95 % point of the normal distribution."""


@dataclass(frozen=True)
class Stratum:
    """Units that are alike."""

    members: Numbers
    """The numbers of all units."""
    drawn: Numbers
    """The numbers of the drawn units."""
    cell: int
    """Their kind."""

    @property
    def is_census(self) -> bool:
        """Whether all units were drawn."""
        return len(self.drawn) == len(self.members)


@dataclass(frozen=True)
class Draw:
    """A stratified sample."""

    strata: tuple[Stratum, ...]
    """The strata."""
    known: Floats
    """(units,): the figure that is known of every unit, 0 where it is not."""

    @property
    def drawn(self) -> Numbers:
        """The numbers of all drawn units, in order."""
        return np.sort(np.concatenate([stratum.drawn for stratum in self.strata]))

    def part(self, wanted: Callable[[Stratum], bool]) -> Draw:
        """Return the sample of the strata for which `wanted` returns True."""
        return Draw(tuple(stratum for stratum in self.strata if wanted(stratum)), self.known)

    def halved(self, rng: np.random.Generator) -> Draw:
        """Return a sample of half of the drawn units of each stratum, but of small strata of as many."""

        def half(stratum: Stratum) -> Stratum:
            count = max(LEAST_DRAWN, -(-len(stratum.drawn) // 2))
            if stratum.is_census or count >= len(stratum.drawn):
                return stratum
            return replace(stratum, drawn=np.sort(rng.choice(stratum.drawn, count, replace=False)))

        return replace(self, strata=tuple(map(half, self.strata)))

    def weights(self) -> Floats:
        """Return (units,): the count of units for which each drawn unit stands, 0 for units not drawn."""
        found = np.zeros(len(self.known))
        for stratum in self.strata:
            found[stratum.drawn] = len(stratum.members) / len(stratum.drawn)
        return found


@dataclass(frozen=True)
class Estimate:
    """A total with its 95 % interval."""

    value: float
    """The total."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""

    def plus(self, known: float, within: float = 0.0) -> Estimate:
        """Return the estimate with something added that is known to `within` in either direction."""
        return Estimate(self.value + known, self.low + known - within, self.high + known + within)


def draw_strata(
    cells: Sequence[Numbers],
    known: Floats,
    count: int,
    rng: np.random.Generator,
    least: int = LEAST_DRAWN,
) -> Draw:
    """Draw about `count` units, from each cell by its share of the known figure, at least `least` of each.

    `cells` are the numbers of the units of each kind, `known` is (units,): a figure that is known of all
    units. A cell of `SMALL` units or fewer is drawn completely. So is a cell of which the part `NEARLY_ALL`
    would be drawn. The strata of a cell have equal shares of the figure, so that large units, which decide
    the total, are drawn more often.
    """
    weight = known if known.any() else np.ones(len(known))
    shares = [float(weight[cell].sum()) for cell in cells]
    whole = sum(shares) or 1.0
    strata: list[Stratum] = []
    for number, (cell, share) in enumerate(zip(cells, shares, strict=True)):
        wanted = max(least, round(count * share / whole))
        if len(cell) <= max(wanted / NEARLY_ALL, SMALL):
            strata.append(Stratum(cell, cell, number))
        else:
            strata += _cut(cell, weight, (wanted, least), number, rng)
    return Draw(tuple(strata), known.astype(np.float64))


def _cut(
    cell: Numbers, weight: Floats, how: tuple[int, int], number: int, rng: np.random.Generator
) -> list[Stratum]:
    """Return one cell as strata of equal weight, each with its part of the draw."""
    wanted, least = how
    classes = max(1, min(_MOST_CLASSES, wanted // least))
    ordered = cell[np.argsort(weight[cell], kind="stable")]
    shares = np.cumsum(weight[ordered])
    edges = np.searchsorted(shares, shares[-1] * np.arange(1, classes) / classes)
    strata = []
    for members in np.split(ordered, np.unique(edges)):
        if len(members):
            count = -(-wanted // classes)
            all_of_it = len(members) <= count / NEARLY_ALL
            drawn = members if all_of_it else rng.choice(members, count, replace=False)
            strata.append(Stratum(np.sort(members), np.sort(drawn), number))
    return strata


def total(draw: Draw, measured: Floats) -> Estimate:
    """Estimate the total over all units from the measurements of the drawn ones.

    `measured` is (units,), nan for units not drawn.
    """
    residuals, predicted = _without_slope(draw, measured)
    fitted = {stratum.cell: _slope_correction(draw, stratum.cell) for stratum in draw.strata}
    value, variance, freedom_parts = predicted, 0.0, 0.0
    for stratum in draw.strata:
        rest = residuals[stratum.drawn]
        size, count = len(stratum.members), len(stratum.drawn)
        value += size * float(rest.mean())
        if stratum.is_census:
            continue
        part = size * (size - count) * float(rest.var(ddof=1)) / count if count > 1 else 0.0
        part *= fitted[stratum.cell]
        variance += part
        freedom_parts += part * part / max(1, count - 1)
    freedom = variance**2 / freedom_parts if freedom_parts else np.inf
    reach = students_t(freedom) * float(np.sqrt(variance))
    return Estimate(value, value - reach, value + reach)


def ratio(draw: Draw, measured: Floats, base: Floats, known: tuple[float, float] = (0.0, 0.0)) -> Estimate:
    """Estimate the total of `measured` as a part of the total of `base`.

    Both are (units,), nan for units not drawn. The two numbers of `known` are added to the two totals.
    """
    below = total(draw, base).value + known[1]
    part = (total(draw, measured).value + known[0]) / below
    spread = total(draw, measured - part * base).plus(known[0] - part * known[1])
    return Estimate(part, part + spread.low / below, part + spread.high / below)


def _slope_correction(draw: Draw, cell: int) -> float:
    """Return by how much residuals from a fitted slope are too small: it costs a degree of freedom."""
    freedom = sum(len(stratum.drawn) - 1 for stratum in draw.strata if stratum.cell == cell)
    return freedom / (freedom - 1) if freedom > 1 else 1.0


def _without_slope(draw: Draw, measured: Floats) -> tuple[Floats, float]:
    """Return the residuals of `measured` after the regression on the known figure, and its fitted total.

    A cell with too few drawn units for a slope of its own takes that of all cells.
    """
    residuals = measured.copy()
    predicted = 0.0
    common = _slope(draw.strata, draw.known, measured)
    for cell in {stratum.cell for stratum in draw.strata}:
        strata = [stratum for stratum in draw.strata if stratum.cell == cell]
        few = sum(len(stratum.drawn) for stratum in strata) < _LEAST_FOR_SLOPE
        slope = common if few else _slope(strata, draw.known, measured)
        for stratum in strata:
            residuals[stratum.drawn] -= slope * draw.known[stratum.drawn]
            predicted += slope * float(draw.known[stratum.members].sum())
    return residuals, predicted


def _slope(strata: Sequence[Stratum], known: Floats, measured: Floats) -> float:
    """Return the combined regression coefficient within the strata; 0 where nothing is known."""
    across = along = 0.0
    for stratum in strata:
        x, y = known[stratum.drawn], measured[stratum.drawn]
        weight = len(stratum.members) ** 2 / len(stratum.drawn) / max(1, len(stratum.drawn) - 1)
        across += weight * float(((x - x.mean()) * (y - y.mean())).sum())
        along += weight * float(((x - x.mean()) ** 2).sum())
    return across / along if along else 0.0


def variance_of(low: float, high: float) -> float:
    """Return the variance of a figure that has this 95 % interval.

    Intervals by Student's t are wider than normal ones: of few units the variance is too large, never too
    small.
    """
    return ((high - low) / 2 / NORMAL_95) ** 2


def students_t(freedom: float) -> float:
    """Return the two-sided 95 % point of Student's t, within 0.5 %.

    Fewer than 3 degrees of freedom count as 3.

    Source: the expansion in 1 / degrees of freedom, Abramowitz and Stegun 26.7.5.
    """
    z, n = NORMAL_95, max(3.0, freedom)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / n**power for power, term in enumerate(terms, 1))
