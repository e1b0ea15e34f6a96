"""Training the tissue network from settings to shipped files: once, or once a fold to see how it would do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from wsicomp.atomic import completed
from wsicomp.errors import TrainingError
from wsicomp.inputs import check_file
from wsicomp.training.data.patch_set import open_patch_set
from wsicomp.training.data.sampling import folds
from wsicomp.training.tissue.export import check_name, export
from wsicomp.training.tissue.fit import Epoch, fit
from wsicomp.training.tissue.settings import TrainingSettings

FOLDS = "folds.json"

OnEpoch = Callable[[str, Epoch, int], None]
"""Called with the run's name, an epoch that has ended, and the most that there can be."""


def train_tissue(settings: TrainingSettings, folder: Path, name: str, on_epoch: OnEpoch) -> Path:
    """Train or go on, and export; the manifest's path.

    Raises:
        TrainingError: nothing can be learnt, or the folder holds another run.
    """
    check_name(name)
    fitted = fit(settings, folder, lambda epoch, most: on_epoch(folder.name, epoch, most))
    return export(fitted, settings, folder, name)


def cross_validate(
    settings: TrainingSettings, folder: Path, name: str, count: int, on_epoch: OnEpoch
) -> tuple[Path, ...]:
    """One network a fold, each in `folder`/fold-N; the manifests, in the folds' order.

    The groups of the first patch set are dealt into folds; one is held out, the next validates, the rest and
    all other patch sets are learnt from. Splits and licences of the table count for nothing here: these
    networks are measured and not shipped. `folds.json` says which group was held out of which.

    Raises:
        TrainingError: fewer than three folds, or fewer groups than folds.
    """
    with open_patch_set(settings.patches[0]) as patches:
        groups = {source.group for source in patches.sources}
    if not 3 <= count <= len(groups):
        raise TrainingError(
            f"{count} folds of {len(groups)} groups, expected at least 3 and no more than groups",
            settings.patches[0],
        )
    dealt = folds(groups, count, settings.seed)
    manifests = []
    for number, held_out in enumerate(dealt):
        own = replace(
            settings,
            held_out_groups=held_out,
            validation_groups=dealt[(number + 1) % count],
            spare_test=False,
            licensed_only=False,
        )
        manifests.append(train_tissue(own, folder / f"fold-{number + 1}", name, on_epoch))
    held = {
        group: str(manifest.relative_to(folder))
        for group_names, manifest in zip(dealt, manifests, strict=True)
        for group in group_names
    }
    with completed(folder / FOLDS, overwrite=True) as partial:
        partial.write_text(json.dumps(held, indent=1) + "\n", "utf-8")
    return tuple(manifests)


def read_folds(path: Path) -> dict[str, Path]:
    """For each group the manifest of the network that never saw it.

    Raises:
        TrainingError: the file is not one that `cross_validate` wrote.
    """
    check_file(path, TrainingError)
    try:
        held = json.loads(path.read_text("utf-8"))
        return {str(group): path.parent / str(manifest) for group, manifest in held.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as exc:
        raise TrainingError(f"cannot be read as folds ({type(exc).__name__})", path) from exc
