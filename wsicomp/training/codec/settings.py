"""What a codec training run is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from wsicomp.codecs.neural import ARCHITECTURES
from wsicomp.training.settings import RunSettings

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
class CodecSettings(RunSettings):
    """A whole run. With its defaults, that of the method's study for factorised priors at quality 7.

    It takes `iterations` batches; at least `least_tissue` of a crop is tissue. `begin_with` is another run's
    folder, whose network is begun with as far as the two overlap; of more latents than this run has, those
    are taken that spread the farthest. `step_range` trains one network for many qualities: the quantisation
    step of each crop is drawn between 1 / step_range and step_range, and its distortion weighs 1 / step^2 as
    much. `precision` is that of the first `precision_share` of the run, the rest is in float32. Every
    `report_every` iterations the run is measured and saved. A factorised prior is exported with `tables` of
    symbols in all, by channel and by one of `classes` that the encoder chooses for each place, and with steps
    from `exported_range` (at least `step_range`) to 1 / exported_range, of which the one next to `usual_step`
    is taken unless told otherwise.
    """

    iterations: int = 850_000
    report_every: int = 1000
    begin_with: str = ""
    precision: str = "float32"
    precision_share: float = 0.9
    step_range: float = 1.0
    least_tissue: float = 0.4
    classes: int = 1
    tables: int = 192
    exported_range: float = 1.0
    usual_step: float = 1.0
    network: CodecNetwork = field(default_factory=CodecNetwork)
    distortion: Distortion = field(default_factory=Distortion)
    augmentation: CodecAugmentation = field(default_factory=CodecAugmentation)

    def expectations(self) -> dict[str, bool]:
        """What is expected of the values, in words, and whether it holds."""
        network, distortion = self.network, self.distortion
        is_factorized = network.architecture == ARCHITECTURES[0]
        multiple = 16 if is_factorized else 64
        least_px = max(_SSIM_PX * (distortion.ssim > 0), _MS_SSIM_PX * (distortion.ms_ssim > 0))
        return super().expectations() | {
            f"network.architecture is one of {', '.join(ARCHITECTURES)}": (
                network.architecture in ARCHITECTURES
            ),
            f"network.nonlinearity is one of {', '.join(NONLINEARITIES)}": (
                network.nonlinearity in NONLINEARITIES
            ),
            "network.channels and network.latents are 4 to 512": (
                _within((network.channels, network.latents), 4, 512)
            ),
            "network.groups add up to network.latents": sum(network.groups) in (0, network.latents),
            "network.widths are three, of 4 to 512, of bmshj2018-factorized": (
                not sum(network.widths)
                or (is_factorized and len(network.widths) == 3 and _within(network.widths, 4, 512))
            ),
            "only bmshj2018-factorized takes a network.nonlinearity or a step_range": (
                is_factorized or (network.nonlinearity == "gdn" and self.step_range == 1)
            ),
            f"precision is one of {', '.join(PRECISIONS)}": self.precision in PRECISIONS,
            "precision_share and least_tissue are at most 1": (
                max(self.precision_share, self.least_tissue) <= 1
            ),
            "step_range and exported_range are 1 to 4": (
                1
                <= min(self.step_range, self.exported_range)
                <= max(self.step_range, self.exported_range)
                <= 4
            ),
            "usual_step is above 0": self.usual_step > 0,
            f"crop_px is a multiple of {multiple}, {multiple} to 512": (
                self.crop_px % multiple == 0 and multiple <= self.crop_px <= 512
            ),
            f"crop_px is {_SSIM_PX} or more with distortion.ssim, {_MS_SSIM_PX} with distortion.ms_ssim": (
                self.crop_px >= least_px
            ),
            "classes is 1 to 64, and tables 2 to 1024": (
                1 <= self.classes <= 64 and 2 <= self.tables <= 1024
            ),
            "distortion has a weight": max(asdict(distortion).values()) > 0,
            "iterations and report_every are 1 or more": min(self.iterations, self.report_every) >= 1,
            "learning_rate is above 0": self.learning_rate > 0,
            "augmentation's probabilities are at most 1": max(asdict(self.augmentation).values()) <= 1,
        }


def _within(values: tuple[int, ...], least: int, most: int) -> bool:
    return least <= min(values) <= max(values) <= most
