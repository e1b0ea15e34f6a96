"""Simulated archives: the sizes of their slides, the kinds of their files, and what a codec saves of each."""

from collections.abc import Callable

import numpy as np

from wsicomp.comparison.archive_sample import draw_archive, estimate_total, rough_range

SLIDES = 300
_MEDIAN_BYTES = 1e9


def _sizes(rng, spread):
    return np.exp(rng.normal(0, spread, SLIDES)) * _MEDIAN_BYTES


def alike(rng):
    """One scanner, one stain."""
    return _sizes(rng, 0.5), np.full(SLIDES, ".svs"), rng.normal(0.35, 0.05, SLIDES)


def vendors(rng):
    """Three kinds of files that save very different parts."""
    kind = rng.choice(3, SLIDES, p=(0.6, 0.3, 0.1))
    parts = np.array([0.15, 0.45, 0.7])[kind] + rng.normal(0, 0.05, SLIDES)
    return _sizes(rng, 0.6) * np.array([1, 0.7, 2])[kind], np.array([".svs", ".ndpi", ".tif"])[kind], parts


def heavy(rng):
    """Sizes from a hundredth of the median to a hundred times as much."""
    return _sizes(rng, 1.5), np.full(SLIDES, ".svs"), rng.normal(0.35, 0.1, SLIDES)


def giants(rng):
    """Six slides hold half of the bytes, and each saves another part."""
    sizes, kinds, parts = _sizes(rng, 0.5), np.full(SLIDES, ".svs"), rng.normal(0.4, 0.1, SLIDES)
    sizes[:6] = sizes[6:].sum() / 6 * rng.uniform(0.8, 1.2, 6)
    parts[:6] = rng.uniform(0.05, 0.7, 6)
    return sizes, kinds, parts


def by_size(rng):
    """The larger a slide, the less it saves."""
    sizes = _sizes(rng, 1.0)
    return (
        sizes,
        np.full(SLIDES, ".svs"),
        0.4 - 0.1 * np.log(sizes / _MEDIAN_BYTES) + rng.normal(0, 0.06, SLIDES),
    )


def refused(rng):
    """One slide of five cannot be converted and saves nothing."""
    parts = np.where(rng.random(SLIDES) < 0.2, 0, rng.normal(0.45, 0.08, SLIDES))
    return _sizes(rng, 0.5), np.full(SLIDES, ".svs"), parts


def two_sorts(rng):
    """Slides full of tissue beside slides of nearly nothing but glass, which no name tells apart."""
    parts = np.where(rng.random(SLIDES) < 0.35, rng.normal(0.15, 0.04, SLIDES), rng.normal(0.6, 0.06, SLIDES))
    return _sizes(rng, 0.5), np.full(SLIDES, ".svs"), parts


def rarely_refused(rng):
    """One slide of twenty saves nothing; a draw of 20 often has none of these."""
    parts = np.where(rng.random(SLIDES) < 0.05, 0, rng.normal(0.45, 0.08, SLIDES))
    return _sizes(rng, 0.5), np.full(SLIDES, ".svs"), parts


KINDS: tuple[Callable, ...] = (alike, vendors, heavy, giants, by_size, refused, two_sorts)
HARD: tuple[Callable, ...] = (rarely_refused,)


def coverage(kind: Callable, count: int, archives: int, draws: int, seed: int = 1) -> tuple[float, float]:
    """Return how often intervals hold the total, and their median width as a part of the archive's bytes.

    Of each of so many archives so many samples of `count` slides are drawn. Of fewer slides than an interval
    needs these are rough ranges, of the groups that were measured.
    """
    rng = np.random.default_rng(seed)
    held, widths = [], []
    for _ in range(archives):
        sizes, kinds, parts = kind(rng)
        saved = sizes * np.minimum(parts, 0.95)
        for _ in range(draws):
            sample = draw_archive(sizes, kinds.tolist(), count, rng)
            seen = np.full(SLIDES, np.nan)
            seen[sample.drawn] = saved[sample.drawn]
            truth = sum(saved[group.members].sum() for group in sample.measured)
            estimate = estimate_total(sample, seen)
            low, high = rough_range(sample, seen) if sample.is_rough else (estimate.low, estimate.high)
            held.append(low <= truth <= high)
            widths.append((high - low) / sizes.sum())
    return float(np.mean(held)), float(np.median(widths))
