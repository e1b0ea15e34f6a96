"""What a training run is told: one TOML file, checked once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from wsicomp.errors import TrainingError
from wsicomp.training.augment import REACHES, Augmentation
from wsicomp.training.toml import load_toml

SCHEDULES = ("constant", "cosine")
PRECISIONS = ("float32", "mixed_bfloat16")
LOSSES = ("dice", "dice+crossentropy")


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """How wide a U-Net is: filters of its contracting blocks, from full size down, and of its bottom.

    The expanding blocks mirror the contracting ones. Batch norm stands in every contracting block, at the
    bottom, and in the `normalised_expanding` expanding blocks nearest to the output; `norm_momentum` is the
    share of the past in its running statistics. `halved` lets all blocks work on half the pixels a side,
    between a convolution of stride 2 and an enlargement by 2. With its defaults the network has 1,997,986
    parameters, the count of the method's study.
    """

    filters: tuple[int, ...] = (32, 32, 64, 128, 128)
    bottom: int = 128
    normalised_expanding: int = 2
    norm_momentum: float = 0.99
    halved: bool = False


@dataclass(frozen=True)
class TrainingSettings:
    """A whole run. With its defaults, that of the method's study.

    `patches` are patch sets. Sources of `validation_groups` decide when to stop and are not learnt from.
    Neither are those of `held_out_groups`, with `spare_test` those of split "test", and with `licensed_only`
    those whose table says that weights may not train on them. An epoch draws `patches_per_epoch` crops of
    `crop_px`, in proportion to `power_weights` (equal where it is empty). `precision` is that of training
    alone: variables and what is exported are float32.
    """

    patches: tuple[Path, ...] = ()
    validation_groups: tuple[str, ...] = ()
    held_out_groups: tuple[str, ...] = ()
    spare_test: bool = True
    licensed_only: bool = True
    seed: int = 1
    crop_px: int = 512
    batch: int = 4
    patches_per_epoch: int = 400
    epochs: int = 300
    patience: int = 20
    learning_rate: float = 1e-4
    schedule: str = "constant"
    weight_decay: float = 0.004
    loss: str = "dice"
    precision: str = "float32"
    power_weights: Mapping[str, float] = field(default_factory=dict)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain


def load_settings(path: Path) -> TrainingSettings:
    """A training run's TOML file; its paths count from where the command runs.

    Raises:
        TrainingError: it cannot be read, or a setting is unknown or out of its range.
    """
    settings = load_toml(path, TrainingSettings)
    settings = replace(settings, patches=tuple(Path(name) for name in settings.patches))
    try:
        _check(settings)
    except TrainingError as exc:
        raise TrainingError(exc.message, path) from exc
    return settings


def _check(settings: TrainingSettings) -> None:
    network, augmentation = settings.network, asdict(settings.augmentation)
    depth = 1 << (len(network.filters) + network.halved)
    weights = settings.power_weights.values()
    counts = (settings.batch, settings.patches_per_epoch, settings.epochs, settings.patience)
    chances = [value for name, value in augmentation.items() if name not in REACHES]
    expected = {
        "patches names at least one patch set; make one with `wsicomp dataset build`": bool(settings.patches),
        f"schedule is one of {', '.join(SCHEDULES)}": settings.schedule in SCHEDULES,
        f"precision is one of {', '.join(PRECISIONS)}": settings.precision in PRECISIONS,
        f"loss is one of {', '.join(LOSSES)}": settings.loss in LOSSES,
        "network.filters are 1 to 6 blocks, and network.bottom is one, of 1 to 1024": (
            1 <= len(network.filters) <= 6
            and all(1 <= count <= 1024 for count in (*network.filters, network.bottom))
        ),
        "network.norm_momentum is below 1": network.norm_momentum < 1,
        f"crop_px is a multiple of {depth}, 64 to 512": (
            settings.crop_px % depth == 0 and 64 <= settings.crop_px <= 512
        ),
        "batch, patches_per_epoch, epochs and patience are 1 or more": min(counts) >= 1,
        "seed is 0 or more": settings.seed >= 0,
        "power_weights are not all 0": not weights or any(weights),
        "augmentation's probabilities are at most 1": max(chances) <= 1,
    }
    for message, holds in expected.items():
        if not holds:
            raise TrainingError(f"expected: {message}")
