"""The tables of a factorised prior, counted over latents, for each class of places.

Training finds one density for each channel. But glass, fat and dense nuclei differ, and one table for all of
them costs bits. So places are sorted into classes with their own distributions: hard expectation maximisation
by code length. Then the distributions of all channels and classes are merged into few tables: vector
quantisation by code length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.neural.entropy import PRECISION, ClassedTables, SymbolTables
from wsicomp.errors import TrainingError

Counts = NDArray[np.float64]

_REACH = 127
"""The largest magnitude of a symbol."""
_WIDTH = 2 * _REACH + 1
_TOTAL = 1 << PRECISION
_ROUNDS = 12
_PLACES = 60_000
"""The most places that classes are found on; tables are counted over all places."""
_SHARED = 20.0
"""The weight of the distribution over all classes in that of each class, in places."""
_LEAST_COUNT = 0.01
_RARE = 0.25
"""The ends of a table leave out symbols that together occur less often than this in 2^16."""


class Classes:
    """The class of each place of latents (places, channels) at a step of 1: `labels`, below `count`.

    Raises:
        TrainingError: there are fewer than 16 places for each class.
    """

    def __init__(self, latents: NDArray[np.float32], count: int, seed: int) -> None:
        if len(latents) < 16 * count:
            raise TrainingError(f"{len(latents)} places to count, expected {16 * count} or more")
        rng = np.random.default_rng([seed, 5])
        some = _symbols(latents[rng.permutation(len(latents))[:_PLACES]], 1.0)
        energy = np.log(np.abs(some).sum(1) + 1.0)
        labels = np.digitize(energy, np.quantile(energy, np.linspace(0, 1, count + 1)[1:-1]))
        for _ in range(_ROUNDS):
            lengths = _class_lengths(some, labels, count)
            labels = _nearest(some, lengths)
        self.count = count
        self.labels = _nearest(_symbols(latents, 1.0), lengths)


def classed_tables(
    latents: NDArray[np.float32], classes: Classes, step: float, count: int, seed: int
) -> ClassedTables:
    """Return at most `count` tables for latents, (places, channels), quantised by the step size `step`."""
    symbols = _symbols(latents, step)
    everywhere = _histograms(symbols)
    everywhere /= len(symbols)
    found = [
        _histograms(symbols[classes.labels == label]) + _SHARED * everywhere for label in range(classes.count)
    ]
    channels = symbols.shape[1]
    tables, of = _merged(np.concatenate(found), count, seed)
    frequencies, offsets = zip(*(frequency_table(table) for table in tables), strict=True)
    kinds = None
    if classes.count > 1:
        shares = np.bincount(classes.labels, minlength=classes.count) + 1.0
        frequency = np.append(_frequencies(shares / shares.sum(), _TOTAL - 1), 1)
        kinds = SymbolTables((frequency.astype(np.int32),), np.zeros(1, np.int32))
    own = SymbolTables(frequencies, np.array(offsets, np.int32))
    return ClassedTables(own, of.reshape(classes.count, channels), kinds)


def _symbols(latents: NDArray[np.float32], step: float) -> NDArray[np.int16]:
    return np.asarray(np.clip(np.rint(latents / step), -_REACH, _REACH), np.int16)


def _histograms(symbols: NDArray[np.int16]) -> Counts:
    """Return (channels, _WIDTH): how often each symbol occurs."""
    channels = symbols.shape[1]
    flat = symbols.astype(np.int32) + _REACH + np.arange(channels, dtype=np.int32) * _WIDTH
    return np.bincount(flat.ravel(), minlength=channels * _WIDTH).reshape(channels, _WIDTH).astype(np.float64)


def _bits(counts: Counts) -> Counts:
    """Return the code length of each symbol in its row."""
    likely = counts + _LEAST_COUNT
    return np.asarray(-np.log2(likely / likely.sum(-1, keepdims=True)))


def _class_lengths(symbols: NDArray[np.int16], labels: NDArray[Any], count: int) -> Counts:
    """Return (classes, 1 + channels * _WIDTH): bits of the class itself, then of each channel's symbols."""
    everywhere = _histograms(symbols) / len(symbols)
    own = -np.log2((np.bincount(labels, minlength=count) + 1.0) / (len(labels) + count))
    rows = [
        _bits(_histograms(symbols[labels == label]) + _SHARED * everywhere).ravel() for label in range(count)
    ]
    return np.concatenate([own[:, None], np.stack(rows)], axis=1)


def _nearest(symbols: NDArray[np.int16], lengths: Counts) -> NDArray[np.intp]:
    """Return the class in which each place has the shortest code."""
    channels = symbols.shape[1]
    at = symbols.astype(np.int32) + _REACH + 1 + np.arange(channels, dtype=np.int32) * _WIDTH
    costs = np.stack([row[0] + row[at].sum(1) for row in lengths.astype(np.float32)])
    return np.asarray(costs.argmin(0))


def _merged(histograms: Counts, count: int, seed: int) -> tuple[Counts, NDArray[np.int32]]:
    """Merge distributions into at most `count` (tables, _WIDTH); return them, and the one for each."""
    rng = np.random.default_rng([seed, 6])
    spread = (histograms * np.abs(np.arange(_WIDTH) - _REACH)).sum(1) / histograms.sum(1)
    labels = np.digitize(spread, np.quantile(spread, np.linspace(0, 1, count + 1)[1:-1]))
    for _ in range(2 * _ROUNDS):
        sums = np.zeros((count, _WIDTH))
        np.add.at(sums, labels, histograms)
        empty = np.flatnonzero(sums.sum(1) == 0)
        if len(empty):  # a table without distributions restarts from a random one
            sums[empty] = histograms[rng.integers(0, len(histograms), len(empty))]
        labels = (histograms @ _bits(sums).T).argmin(1)
    taken, of = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(taken), _WIDTH))
    np.add.at(sums, of, histograms)
    return sums / sums.sum(1, keepdims=True), of.astype(np.int32)


def frequency_table(likely: Counts) -> tuple[NDArray[np.int32], int]:
    """Return the frequencies of the symbols that are worth one, and the first of these symbols.

    The last frequency is for all other symbols.

    `likely` has the probabilities of the symbols from -n to n, (2 n + 1,).
    """
    rare = _RARE / _TOTAL
    start = min(int((np.cumsum(likely) < rare).sum()), len(likely) // 2)
    end = max(len(likely) - int((np.cumsum(likely[::-1]) < rare).sum()), len(likely) // 2 + 1)
    kept = likely[start:end]
    return _frequencies(np.append(kept, max(0.0, 1 - kept.sum())), _TOTAL), start - len(likely) // 2


def _frequencies(likely: Counts, total: int) -> NDArray[np.int32]:
    """Return whole numbers from 1 that add up to `total`, as near to proportion as they can be."""
    found = np.maximum(1, np.floor(likely * (total - len(likely)))).astype(np.int64)
    found[np.argmax(found)] += total - found.sum()
    return np.asarray(found, np.int32)
