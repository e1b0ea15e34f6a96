"""Sampling: which sources train, validate and test, and which patches an epoch sees."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import TrainingError
from wsicomp.tissue.white_balance import WhitePoint
from wsicomp.training.data.patch_set import Patch, PatchSet, PatchSource, open_patch_set
from wsicomp.training.settings import RunSettings

Random = np.random.Generator


def epoch_patches(
    patches: Sequence[Patch], count: int, power_weights: Mapping[str, float], rng: Random
) -> list[Patch]:
    """Draw `count` patches: powers in proportion to their weights, each power's sources in turn.

    A source repeats no patch before it has given all of its patches. Small sources repeat sooner.

    Raises:
        TrainingError: no power of the patches has a weight.
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
    """Yield all patches again and again, shuffled, their sources taking turns."""
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
    """Return whether a run learns from a source: by its group, its split and its licence."""
    if settings.spare_test and source.split == "test":
        return False
    if settings.licensed_only and not source.may_train:
        return False
    return source.group not in (*settings.validation_groups, *settings.held_out_groups)


def folds(groups: Collection[str], count: int, seed: int) -> list[tuple[str, ...]]:
    """Return `count` folds of the groups, dealt by a seed; slides of one group stay together."""
    order = np.random.default_rng(seed).permutation(sorted(set(groups))).tolist()
    return [tuple(order[number::count]) for number in range(count)]


LabelledPixels = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""(rows, columns, 3) RGB, and (rows, columns) labels."""

_VALIDATION_PATCHES = 64


class PatchSamples:
    """The patches of several patch sets: `learning` to learn from, `validation` to validate with.

    Raises:
        TrainingError: the settings leave no patch to learn from, or none to validate with.
    """

    def __init__(self, sets: Sequence[PatchSet], settings: RunSettings) -> None:
        sources: list[PatchSource] = []
        self._read: list[Callable[[], LabelledPixels]] = []
        patches: list[Patch] = []
        for patch_set in sets:
            for patch in patch_set.patches:
                number = len(self._read)
                self._read.append(lambda patch=patch, patch_set=patch_set: patch_set.read(patch))  # type: ignore[misc]
                patches.append(Patch(number, patch.power, patch.source + len(sources)))
            sources += patch_set.sources
        self.sources = tuple(sources)
        self.learnt_from = tuple(source for source in sources if learns_from(settings, source))
        self.learning = [patch for patch in patches if learns_from(settings, sources[patch.source])]
        apart = [patch for patch in patches if sources[patch.source].group in settings.validation_groups]
        self.validation = _spread(apart, _VALIDATION_PATCHES, settings.seed)
        if not self.learning:
            raise TrainingError("no patch is left to learn from: all are test, validation or not licensed")
        if not self.validation:
            named = ", ".join(settings.validation_groups) or "none"
            raise TrainingError(f"no patch to validate with; validation_groups names {named}")

    def light(self, patch: Patch) -> WhitePoint:
        """Return the light of the patch's source."""
        return np.array(self.sources[patch.source].light, np.float32)

    def read(self, patch: Patch) -> LabelledPixels:
        """Return a patch, (512, 512, 3) uint8 RGB, and its labels, (512, 512) uint8.

        A label is 0 for glass, 255 for tissue, 128 for a pixel that does not score.

        Raises:
            TrainingError: the patch is damaged.
        """
        return self._read[patch.number]()


@contextmanager
def open_samples(settings: RunSettings) -> Iterator[PatchSamples]:
    """Open the patch sets of a run.

    Raises:
        TrainingError: a patch set cannot be read, or no patch is left to learn from or to validate with.
    """
    with ExitStack() as stack:
        yield PatchSamples([stack.enter_context(open_patch_set(path)) for path in settings.patches], settings)


def _spread(patches: Sequence[Patch], count: int, seed: int) -> list[Patch]:
    """Return at most `count` patches, spread over powers and sources as evenly as can be, by a seed."""
    order = np.random.default_rng([seed, 7]).permutation(len(patches)).tolist()
    turn: dict[tuple[float, int], int] = defaultdict(int)
    turns = []
    for number in order:
        key = patches[number].power, patches[number].source
        turns.append((turn[key], number))
        turn[key] += 1
    return [patches[number] for _, number in sorted(turns, key=itemgetter(0))[:count]]
