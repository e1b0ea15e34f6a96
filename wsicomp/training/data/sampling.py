"""Which patches an epoch sees, and which sources train, validate and test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import TrainingError
from wsicomp.tissue.white_balance import Light
from wsicomp.training.data.patch_set import Patch, PatchSet, PatchSource
from wsicomp.training.settings import RunSettings

Random = np.random.Generator


def epoch_patches(
    patches: Sequence[Patch], count: int, power_weights: Mapping[str, float], rng: Random
) -> list[Patch]:
    """`count` patches: powers in proportion to their weights, each power's sources in turn.

    Within a source nothing is drawn twice before all of it was drawn once; small sources come round sooner.
    """
    by_power: dict[float, list[Patch]] = defaultdict(list)
    for patch in patches:
        by_power[patch.power].append(patch)
    powers = sorted(by_power)
    weights = np.array([power_weights.get(f"{power:g}", 0.0 if power_weights else 1.0) for power in powers])
    if not weights.any():
        raise TrainingError(f"power_weights has no weight for {', '.join(f'{power:g}' for power in powers)}")
    queues = {power: _endless(by_power[power], rng) for power in powers}
    chosen = rng.choice(len(powers), count, p=weights / weights.sum())
    return [next(queues[powers[number]]) for number in chosen]


def _endless(patches: Sequence[Patch], rng: Random) -> Iterator[Patch]:
    """All patches again and again, shuffled, their sources taking turns."""
    by_source: dict[int, list[Patch]] = defaultdict(list)
    for patch in patches:
        by_source[patch.source].append(patch)
    turns: dict[int, list[Patch]] = {}
    while True:
        for source in rng.permutation(list(by_source)).tolist():
            if not turns.get(source):
                own = by_source[source]
                turns[source] = [own[number] for number in rng.permutation(len(own)).tolist()]
            yield turns[source].pop()


def learns_from(settings: RunSettings, source: PatchSource) -> bool:
    """Whether a source is learnt from: not validated with, not held out, licensed where that is asked."""
    if settings.spare_test and source.split == "test":
        return False
    if settings.licensed_only and not source.may_train:
        return False
    return source.group not in (*settings.validation_groups, *settings.held_out_groups)


def folds(groups: Collection[str], count: int, seed: int) -> list[tuple[str, ...]]:
    """The groups dealt into `count` folds, seeded; a patient's slides stay together."""
    order = np.random.default_rng(seed).permutation(sorted(set(groups))).tolist()
    return [tuple(order[number::count]) for number in range(count)]


Crop = tuple[NDArray[np.uint8], NDArray[np.uint8]]
_VALIDATION_PATCHES = 64


class Samples:
    """The patches of several patch sets, told apart into those to learn from and those to validate with."""

    def __init__(self, sets: Sequence[PatchSet], settings: RunSettings) -> None:
        sources: list[PatchSource] = []
        self._read: list[Callable[[], Crop]] = []
        patches: list[Patch] = []
        for patch_set in sets:
            for patch in patch_set.patches:
                number = len(self._read)
                self._read.append(lambda patch=patch, patch_set=patch_set: patch_set.read(patch))  # type: ignore[misc]
                patches.append(Patch(number, patch.power, patch.source + len(sources)))
            sources += patch_set.sources
        self.sources = tuple(sources)
        self.learning = [patch for patch in patches if learns_from(settings, sources[patch.source])]
        apart = [patch for patch in patches if sources[patch.source].group in settings.validation_groups]
        self.validation = _spread(apart, _VALIDATION_PATCHES, settings.seed)
        if not self.learning:
            raise TrainingError("no patch is left to learn from: all are test, validation or not licensed")
        if not self.validation:
            named = ", ".join(settings.validation_groups) or "none"
            raise TrainingError(f"no patch to validate with; validation_groups names {named}")

    def light(self, patch: Patch) -> Light:
        """That of its source."""
        return np.array(self.sources[patch.source].light, np.float32)

    def read(self, patch: Patch) -> Crop:
        """Its pixels and labels."""
        return self._read[patch.number]()


def _spread(patches: Sequence[Patch], count: int, seed: int) -> list[Patch]:
    """At most `count` different patches, as many of each power and source as can be, the same for a seed."""
    order = np.random.default_rng([seed, 7]).permutation(len(patches)).tolist()
    turn: dict[tuple[float, int], int] = defaultdict(int)
    turns = []
    for number in order:
        key = patches[number].power, patches[number].source
        turns.append((turn[key], number))
        turn[key] += 1
    return [patches[number] for _, number in sorted(turns, key=itemgetter(0))[:count]]
