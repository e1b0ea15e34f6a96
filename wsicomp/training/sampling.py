"""Which patches an epoch sees, and which sources train, validate and test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from wsicomp.errors import TrainingError
from wsicomp.training.patches import Patch, PatchSource
from wsicomp.training.run_settings import RunSettings

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
