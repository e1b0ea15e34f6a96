"""What a training run is told: one TOML file, checked once."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from wsicomp.errors import TrainingError
from wsicomp.training.augment import Augmentation

SCHEDULES = ("constant", "cosine")
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
    `crop_px`, in proportion to `power_weights` (equal where it is empty).
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
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise TrainingError(f"cannot be read ({exc.strerror})", path) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise TrainingError(f"not TOML ({exc})", path) from exc
    try:
        network = _filled(NetworkSettings, values.pop("network", {}), "network.")
        augmentation = _filled(Augmentation, values.pop("augmentation", {}), "augmentation.")
        values["patches"] = [Path(name) for name in values.get("patches", [])]
        settings: TrainingSettings = _filled(
            TrainingSettings, values | {"network": network, "augmentation": augmentation}, ""
        )
        _check(settings)
    except TrainingError as exc:
        raise TrainingError(exc.message, path) from exc
    except (TypeError, ValueError, AttributeError) as exc:
        raise TrainingError(f"a setting of the wrong kind ({exc})", path) from exc
    return settings


def _filled(kind: Any, values: Mapping[str, Any], prefix: str) -> Any:
    known = {entry.name: entry for entry in fields(kind)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise TrainingError(f"unknown setting {prefix}{unknown[0]}; known are {', '.join(known)}")
    default = kind()
    given = {}
    for name, value in values.items():
        like = getattr(default, name)
        if isinstance(like, bool) != isinstance(value, bool):
            raise TrainingError(f"{prefix}{name} is {value!r}, expected {type(like).__name__}")
        given[name] = tuple(value) if isinstance(like, tuple) else value
        if isinstance(like, int | float) and not isinstance(value, int | float):
            raise TrainingError(f"{prefix}{name} is {value!r}, expected a number")
        if isinstance(like, int) and not isinstance(value, int):
            raise TrainingError(f"{prefix}{name} is {value!r}, expected a whole number")
    return kind(**given)


def _check(settings: TrainingSettings) -> None:
    depth = 1 << (len(settings.network.filters) + settings.network.halved)
    wrong = {
        "patches names no patch set; make one with `wsicomp dataset build`": not settings.patches,
        f"schedule is {settings.schedule!r}, expected one of {', '.join(SCHEDULES)}": settings.schedule
        not in SCHEDULES,
        f"loss is {settings.loss!r}, expected one of {', '.join(LOSSES)}": settings.loss not in LOSSES,
        f"crop_px is {settings.crop_px}, expected a multiple of {depth}, 64 to 512": settings.crop_px % depth
        != 0
        or not 64 <= settings.crop_px <= 512,
        "batch, patches_per_epoch, epochs and patience are 1 or more": min(
            settings.batch, settings.patches_per_epoch, settings.epochs, settings.patience
        )
        < 1,
        "learning_rate and weight_decay are not negative": min(settings.learning_rate, settings.weight_decay)
        < 0,
        "network.filters are 1 to 6 blocks of 1 to 1024": not 1 <= len(settings.network.filters) <= 6
        or not all(1 <= count <= 1024 for count in (*settings.network.filters, settings.network.bottom)),
        "power_weights are not negative, and not all 0": bool(settings.power_weights)
        and (min(settings.power_weights.values()) < 0 or not any(settings.power_weights.values())),
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise TrainingError(message)
