"""What a codec training run is told: one TOML file, checked once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from wsicomp.errors import TrainingError
from wsicomp.training.toml import load_toml

ARCHITECTURES = ("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "elic2022-chandelier")
NONLINEARITIES = ("gdn", "gdn1", "relu")
PRECISIONS = ("float32", "bfloat16")
_SSIM_PX, _MS_SSIM_PX = 32, 192


@dataclass(frozen=True, slots=True)
class CodecNetwork:
    """An architecture of CompressAI: channels of its transforms, and of its latents.

    `nonlinearity` is that of the factorised one, and `widths` the channels of its three hidden layers, from
    full size down, where they are not all `channels`. `groups` are the channels of each group of latents of
    elic2022-chandelier, whose own are taken where it is empty.
    """

    architecture: str = "bmshj2018-factorized"
    channels: int = 192
    latents: int = 320
    nonlinearity: str = "gdn"
    widths: tuple[int, ...] = (0,)
    groups: tuple[int, ...] = (0,)

    @property
    def hidden(self) -> tuple[int, ...]:
        """The channels of each hidden layer of the factorised one."""
        return self.widths if sum(self.widths) else (self.channels,) * 3


@dataclass(frozen=True, slots=True)
class Distortion:
    """What a bit per pixel is weighed against, added up; the loss is bits per pixel plus this.

    `mse` weighs the mean squared error in grey levels (CompressAI's lambda), `ssim` and `ms_ssim` weigh 1
    minus those, `color` the mean squared error, in grey levels, of the means of blocks of 16 x 16 px.
    """

    mse: float = 0.0932
    ssim: float = 0.0
    ms_ssim: float = 0.0
    color: float = 0.0


@dataclass(frozen=True, slots=True)
class CodecAugmentation:
    """Probabilities: flips and quarter turns, colour (brightness, contrast, saturation, white), blur."""

    flip: float = 0.5
    turn: float = 0.0
    color: float = 0.5
    blur: float = 0.5


@dataclass(frozen=True)
class CodecSettings:
    """A whole run. With its defaults, that of the method's study for factorised priors at quality 7.

    Which sources are learnt from is as for the tissue network. A run takes `batch` crops of `crop_px` from
    `patches` in each of `iterations`, in proportion to `power_weights`; at least `least_tissue` of a crop is
    tissue. `begin_with` is another run's folder, whose network is begun with as far as its tensors have the
    same shapes. `step_range` trains one network for many qualities: the quantisation step of each crop is
    drawn between 1 / step_range and step_range, and its distortion weighs 1 / step^2 as much. `precision` is
    that of the first `precision_share` of the run, the rest is in float32. Every `report_every` iterations
    the run is measured and saved. A factorised prior is exported with `tables` of symbols in all, by channel
    and by one of `classes` that the encoder chooses for each place.
    """

    patches: tuple[Path, ...] = ()
    validation_groups: tuple[str, ...] = ()
    held_out_groups: tuple[str, ...] = ()
    spare_test: bool = True
    licensed_only: bool = True
    seed: int = 1
    crop_px: int = 256
    batch: int = 8
    iterations: int = 850_000
    report_every: int = 1000
    learning_rate: float = 1e-4
    schedule: str = "constant"
    begin_with: str = ""
    precision: str = "float32"
    precision_share: float = 0.9
    step_range: float = 1.0
    least_tissue: float = 0.4
    classes: int = 1
    tables: int = 192
    power_weights: Mapping[str, float] = field(default_factory=dict)
    network: CodecNetwork = field(default_factory=CodecNetwork)
    distortion: Distortion = field(default_factory=Distortion)
    augmentation: CodecAugmentation = field(default_factory=CodecAugmentation)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain


def load_codec_settings(path: Path) -> CodecSettings:
    """A codec training run's TOML file; its paths count from where the command runs.

    Raises:
        TrainingError: it cannot be read, or a setting is unknown or out of its range.
    """
    settings = load_toml(path, CodecSettings)
    settings = replace(settings, patches=tuple(Path(name) for name in settings.patches))
    try:
        _check(settings)
    except TrainingError as exc:
        raise TrainingError(exc.message, path) from exc
    return settings


def _check(settings: CodecSettings) -> None:
    network, distortion = settings.network, settings.distortion
    is_factorized = network.architecture == ARCHITECTURES[0]
    multiple = 16 if is_factorized else 64
    weights = settings.power_weights.values()
    expected = {
        "patches names at least one patch set; make one with `wsicomp dataset build`": bool(settings.patches),
        f"network.architecture is one of {', '.join(ARCHITECTURES)}": network.architecture in ARCHITECTURES,
        f"network.nonlinearity is one of {', '.join(NONLINEARITIES)}": network.nonlinearity in NONLINEARITIES,
        "network.channels and network.latents are 4 to 1024": (
            all(4 <= count <= 1024 for count in (network.channels, network.latents))
        ),
        "network.groups add up to network.latents": sum(network.groups) in (0, network.latents),
        "network.widths are three, of 4 to 1024, of bmshj2018-factorized": (
            not sum(network.widths)
            or (
                is_factorized
                and len(network.widths) == 3
                and 4 <= min(network.widths) <= max(network.widths) <= 1024
            )
        ),
        "only bmshj2018-factorized takes a network.nonlinearity or a step_range": (
            is_factorized or (network.nonlinearity == "gdn" and settings.step_range == 1)
        ),
        "precision is float32 or bfloat16": settings.precision in PRECISIONS,
        "schedule is constant or cosine": settings.schedule in ("constant", "cosine"),
        "precision_share and least_tissue are at most 1": max(settings.precision_share, settings.least_tissue)
        <= 1,
        "step_range is 1 to 4": 1 <= settings.step_range <= 4,
        f"crop_px is a multiple of {multiple}, {multiple} to 512": (
            settings.crop_px % multiple == 0 and multiple <= settings.crop_px <= 512
        ),
        f"crop_px is {_SSIM_PX} or more with distortion.ssim, {_MS_SSIM_PX} with distortion.ms_ssim": (
            settings.crop_px >= max(_SSIM_PX * (distortion.ssim > 0), _MS_SSIM_PX * (distortion.ms_ssim > 0))
        ),
        "classes is 1 to 64, and tables 2 to 1024": (
            1 <= settings.classes <= 64 and 2 <= settings.tables <= 1024
        ),
        "distortion has a weight": max(asdict(distortion).values()) > 0,
        "batch, iterations and report_every are 1 or more": (
            min(settings.batch, settings.iterations, settings.report_every) >= 1
        ),
        "learning_rate is above 0": settings.learning_rate > 0,
        "seed is 0 or more": settings.seed >= 0,
        "power_weights are not all 0": not weights or any(weights),
        "augmentation's probabilities are at most 1": max(asdict(settings.augmentation).values()) <= 1,
    }
    for message, holds in expected.items():
        if not holds:
            raise TrainingError(f"expected: {message}")
