"""Draw slides of an archive, and estimate totals over all its slides from what was measured of the drawn.

Giants are measured, never estimated. Of every other kind of file slides are drawn with chances in proportion
to their bytes, along a list sorted by size (systematic sampling; Cochran, Sampling Techniques, 1977, section
9A). The total of a kind is then its bytes times the mean of the measured ratios: no ratio beyond the measured
ones can come out. Slides of similar size are neighbours in the list, so that the spread comes from the
differences of neighbours (Wolter, Introduction to Variance Estimation, 2007, section 8.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wsicomp.comparison.stratified import NORMAL_95, Estimate, Floats, Numbers, students_t

GIANTS = "giant"
"""The name of the group of giants."""
LEAST_FOR_AN_INTERVAL = 10
"""So many drawn slides have to stand for others; fewer make a range."""

_GIANT_SHARE = 1 / 20
_GIANT_MEDIANS = 5
_LEAST_OF_A_KIND = 2


@dataclass(frozen=True)
class Group:
    """Slides of one kind of which some were drawn, or none."""

    name: str
    """The kind of their files, or `GIANTS`."""
    members: Numbers
    """The numbers of all its slides."""
    drawn: Numbers
    """The numbers of the drawn slides that stand for others, by their sizes."""
    chances: Floats
    """The chance of being drawn that each of these had, in (0, 1)."""
    certain: Numbers
    """The numbers of the slides that were bound to be drawn, and stand for themselves."""

    @property
    def is_measured(self) -> bool:
        """Whether any of its slides was drawn."""
        return len(self.drawn) + len(self.certain) > 0


@dataclass(frozen=True)
class ArchiveSample:
    """The slides that were drawn from an archive."""

    groups: tuple[Group, ...]
    """The groups; together they have every slide once."""
    sizes: Floats
    """(slides,): the bytes of each slide."""

    @property
    def drawn(self) -> Numbers:
        """The numbers of all drawn slides, in order."""
        return np.sort(np.concatenate([part for each in self.groups for part in (each.drawn, each.certain)]))

    @property
    def measured(self) -> tuple[Group, ...]:
        """The groups of which slides were drawn."""
        return tuple(group for group in self.groups if group.is_measured)

    @property
    def unmeasured(self) -> tuple[Group, ...]:
        """The groups of which no slide was drawn."""
        return tuple(group for group in self.groups if not group.is_measured)

    @property
    def standing(self) -> int:
        """How many drawn slides stand for others."""
        return sum(len(group.drawn) for group in self.groups)

    @property
    def is_rough(self) -> bool:
        """Whether so few slides stand for others that there is a range and no estimate."""
        return 0 < self.standing < LEAST_FOR_AN_INTERVAL

    def bytes_of(self, groups: Sequence[Group]) -> int:
        """Return the bytes of all slides of some groups."""
        return int(sum(self.sizes[group.members].sum() for group in groups))


def draw_archive(sizes: Floats, kinds: Sequence[str], count: int, rng: np.random.Generator) -> ArchiveSample:
    """Draw `count` slides: giants first, then of each kind of file in proportion to its bytes, at least two.

    `sizes` and `kinds` are (slides,). What the draw does not suffice for, the smaller giants and the kinds of
    few bytes, makes groups that are not measured. Two slides at least are left for what is no giant.
    """
    giants = _giants(sizes)
    rest = np.setdiff1d(np.arange(len(sizes)), giants)
    wanted = min(len(giants), max(1, count - min(_LEAST_OF_A_KIND, len(rest))))
    groups = [
        _group(GIANTS, giants[:wanted], sizes, wanted, rng),
        _group(GIANTS, giants[wanted:], sizes, 0, rng),
    ]
    names = np.array(kinds, object)
    cells = {name: rest[names[rest] == name] for name in dict.fromkeys(names[rest].tolist())}
    shares = {name: float(sizes[cell].sum()) for name, cell in cells.items()}
    ordered = sorted(cells, key=lambda name: -shares[name])
    counts = _counts(
        [len(cells[name]) for name in ordered], [shares[name] for name in ordered], count - wanted
    )
    groups += [
        _group(name, cells[name], sizes, part, rng) for name, part in zip(ordered, counts, strict=True)
    ]
    return ArchiveSample(tuple(group for group in groups if len(group.members)), sizes)


def _giants(sizes: Floats) -> Numbers:
    """Return the slides, largest first, that are far above the median and much of all but larger giants."""
    ordered = np.argsort(-sizes, kind="stable")
    with_smaller = np.cumsum(sizes[ordered][::-1])[::-1]
    large = (sizes[ordered] >= _GIANT_SHARE * with_smaller) & (
        sizes[ordered] >= _GIANT_MEDIANS * np.median(sizes)
    )
    return ordered[: len(ordered) if large.all() else int(np.argmin(large))]


def _counts(lengths: Sequence[int], shares: Sequence[float], count: int) -> list[int]:
    """Return how many slides of each kind are drawn, of kinds in the order of their shares.

    A kind whose bytes are not worth one slide of the draw has some as long as half of the draw is left.
    """
    counts: list[int] = []
    for length, share in zip(lengths, shares, strict=True):
        least = min(_LEAST_OF_A_KIND, length, count)
        taken = sum(counts) + least
        is_worth_it = not counts or share * count >= sum(shares) or taken <= count / 2
        counts.append(least if is_worth_it and taken <= count else 0)
    while sum(counts) < count:
        left = [place for place, length in enumerate(lengths) if counts[place] < length]
        if not left:
            break
        begun = [place for place in left if counts[place]] or left
        counts[max(begun, key=lambda place: shares[place] / (counts[place] + 0.5))] += 1
    return counts


def _group(name: str, members: Numbers, sizes: Floats, count: int, rng: np.random.Generator) -> Group:
    """Draw `count` of the members, by chances in proportion to their bytes."""
    none = np.zeros(0, np.intp)
    if count in (0, len(members)):
        return Group(name, members, none, np.zeros(0), members if count else none)
    ordered = members[np.argsort(sizes[members], kind="stable")]
    weights = np.maximum(sizes[ordered], 1.0)
    certain = 0
    while (
        certain < count
        and weights[-1 - certain] * (count - certain) >= weights[: len(weights) - certain].sum()
    ):
        certain += 1
    others, shares = ordered[: len(ordered) - certain], np.cumsum(weights[: len(ordered) - certain])
    left = count - certain
    places = np.searchsorted(
        shares, (rng.random() + np.arange(left)) * shares[-1] / max(1, left), side="right"
    )
    chances = left * weights[places] / shares[-1]
    return Group(name, members, others[places], chances, ordered[len(ordered) - certain :])


def estimate_total(sample: ArchiveSample, measured: Floats, unsure: Floats | None = None) -> Estimate:
    """Estimate the total over all slides of the measured groups, with its 95 % interval.

    `measured` is (slides,), nan for slides not drawn. `unsure` is the variance of each measurement, where it
    is an estimate itself. Neither the estimate nor the interval goes beyond what comes out if all slides
    of a group had the least or the most of the ratios that were measured there.
    """
    drawn = sample.drawn
    ratios = np.full(len(measured), np.nan)
    ratios[drawn] = measured[drawn] / np.maximum(sample.sizes[drawn], 1.0)
    value = low = high = variance = freedom_parts = within = 0.0
    for group in sample.measured:
        found = _estimate_group(group, sample.sizes, measured, ratios)
        value, low, high = value + found.value, low + found.low, high + found.high
        variance += found.variance
        freedom_parts += found.variance**2 / found.freedom
        if unsure is not None:
            within += float(unsure[group.certain].sum() + (unsure[group.drawn] / group.chances).sum())
    sure = NORMAL_95 * within**0.5
    reach = students_t(variance**2 / freedom_parts if freedom_parts else np.inf) * (variance + within) ** 0.5
    return Estimate(value, max(value - reach, low - sure), min(value + reach, high + sure))


def rough_range(sample: ArchiveSample, measured: Floats) -> tuple[float, float]:
    """Return the totals if the other slides of measured groups had the least, or the most, of the ratios."""
    drawn = sample.drawn
    ratios = measured[drawn] / np.maximum(sample.sizes[drawn], 1.0)
    rest = sample.bytes_of(sample.measured) - float(sample.sizes[drawn].sum())
    seen = float(measured[drawn].sum())
    return seen + rest * float(ratios.min()), seen + rest * float(ratios.max())


@dataclass(frozen=True)
class _OfGroup:
    """The total of one group."""

    value: float
    low: float
    high: float
    variance: float = 0.0
    freedom: float = 1.0


def _estimate_group(group: Group, sizes: Floats, measured: Floats, ratios: Floats) -> _OfGroup:
    seen = float(measured[group.certain].sum())
    if not len(group.drawn):
        return _OfGroup(seen, seen, seen)
    whole = float(sizes[group.members].sum() - sizes[group.certain].sum())
    left = whole - float(sizes[group.drawn].sum())
    own, count = ratios[group.drawn], len(group.drawn)
    every = own if count > 1 else ratios[~np.isnan(ratios)]  # one slide says nothing of its kind's spread
    seen_here = float(measured[group.drawn].sum())
    low, high = seen_here + left * float(every.min()), seen_here + left * float(every.max())
    value = float(np.clip(whole * float(own.mean()), low, high))
    if count > 1:
        unseen = 1 - (group.chances[1:] + group.chances[:-1]) / 2
        spread = float((unseen * np.diff(own) ** 2).sum()) / (2 * (count - 1))
        freedom = 2 * (count - 1) ** 2 / (3 * count - 4)
    else:
        spread, freedom = float((1 - group.chances[0]) * np.var(every)), 1.0
    return _OfGroup(seen + value, seen + low, seen + high, whole**2 * spread / count, freedom)
