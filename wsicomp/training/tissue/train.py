"""Training of the tissue network from settings to exported files: once, or once for each fold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from wsicomp.errors import TrainingError
from wsicomp.files.inputs import check_file
from wsicomp.files.json_values import parsed_text
from wsicomp.files.tables import write_text
from wsicomp.training.data.patch_set import open_patch_set
from wsicomp.training.data.sampling import folds
from wsicomp.training.tissue.export import check_name, export
from wsicomp.training.tissue.fit import Epoch, fit
from wsicomp.training.tissue.settings import TrainingSettings

FOLDS = "folds.json"

OnEpoch = Callable[[str, Epoch, int], None]
"""Takes the run's name, an epoch that is done, and the largest number of epochs."""


def train_tissue(settings: TrainingSettings, folder: Path, name: str, on_epoch: OnEpoch) -> Path:
    """Train a network, or go on with the run in `folder`, and export it; return the manifest's path.

    Raises:
        TrainingError: no patch is left to learn from, or the folder holds another run.
    """
    check_name(name)
    fitted = fit(settings, folder, lambda epoch, most: on_epoch(folder.name, epoch, most))
    return export(fitted, settings, folder, name)


def cross_validate(
    settings: TrainingSettings, folder: Path, name: str, count: int, on_epoch: OnEpoch
) -> tuple[Path, ...]:
    """Train one network for each fold in `folder`/fold-N; return the manifests in the order of folds.

    The groups of the first patch set are dealt into folds. Each network holds out one fold, validates with
    the next, and learns from the rest and from all other patch sets. Splits and licences of the table do not
    count, because these networks are measured and not shipped. `folds.json` maps each group to the network
    that held it out.

    Raises:
        TrainingError: there are fewer than three folds, or fewer groups than folds.
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
    write_text(folder / FOLDS, json.dumps(held, indent=1) + "\n", overwrite=True)
    return tuple(manifests)


def read_folds(path: Path) -> dict[str, Path]:
    """Return, for each group, the path of the manifest of the network that held it out.

    Raises:
        TrainingError: the file cannot be read, or `cross_validate` did not write it.
    """
    check_file(path, TrainingError)
    try:
        held = parsed_text(path.read_text("utf-8"), dict[str, str])
        return {group: path.parent / manifest for group, manifest in held.items()}
    except (OSError, ValueError) as exc:
        raise TrainingError(f"cannot be read as folds ({type(exc).__name__})", path) from exc
