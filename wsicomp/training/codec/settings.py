"""Settings of a codec training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from wsicomp.codecs.neural import ARCHITECTURES
from wsicomp.training.settings import RunSettings

NONLINEARITIES = ("gdn", "gdn1", "relu")
PRECISIONS = ("float32", "bfloat16")
_SSIM_PX, _MS_SSIM_PX = 32, 192


@dataclass(frozen=True, slots=True)
class CodecNetwork:
    """An architecture of CompressAI and its sizes."""

    architecture: str = "bmshj2018-factorized"
    """The architecture's name."""
    channels: int = 192
    """Channels of the transforms."""
    latents: int = 320
    """Channels of the latents."""
    nonlinearity: str = "gdn"
    """Of bmshj2018-factorized: one of `NONLINEARITIES`."""
    widths: tuple[int, ...] = (0,)
    """Of bmshj2018-factorized: channels of its three hidden layers from full size down; 0 for `channels`."""
    groups: tuple[int, ...] = (0,)
    """Of elic2022-chandelier: channels of each group of latents; 0 for the architecture's own."""

    @property
    def hidden(self) -> tuple[int, ...]:
        """The channels of each hidden layer of bmshj2018-factorized."""
        return self.widths if sum(self.widths) else (self.channels,) * 3


@dataclass(frozen=True, slots=True)
class Distortion:
    """The weights of the distortion. The loss is bits per pixel plus the weighted distortion."""

    mse: float = 0.0932
    """The weight of the mean squared error in grey levels: CompressAI's lambda."""
    ssim: float = 0.0
    """The weight of 1 - SSIM."""
    ms_ssim: float = 0.0
    """The weight of 1 - MS-SSIM."""
    color: float = 0.0
    """The weight of the mean squared error, in grey levels, of the means of blocks of 16 x 16 px."""


@dataclass(frozen=True, slots=True)
class CodecAugmentation:
    """The probability of each change to a crop."""

    flip: float = 0.5
    """Flip left and right."""
    turn: float = 0.0
    """Turn by a multiple of 90 degrees."""
    color: float = 0.5
    """Change brightness, contrast, saturation and white."""
    blur: float = 0.5
    """Blur slightly."""


@dataclass(frozen=True)
class CodecSettings(RunSettings):
    """The settings of a codec run. The defaults are the method's study for factorised priors at quality 7."""

    iterations: int = 850_000
    """Batches in all."""
    report_every: int = 1000
    """Iterations between two reports; each report measures and saves the run."""
    begin_with: str = ""
    """The folder of another run, whose network this one begins with, as far as the two overlap."""
    precision: str = "float32"
    """One of `PRECISIONS`, for the first `precision_share` of the run; the rest is in float32."""
    precision_share: float = 0.9
    """The part of the run that `precision` holds for, in [0, 1]."""
    step_range: float = 1.0
    """Train one network for many qualities: draw each crop's quantisation step from 1 / step_range to
    step_range, and weight its distortion by 1 / step^2."""
    least_tissue: float = 0.4
    """The least part of a crop that is tissue."""
    classes: int = 1
    """Of a factorised prior: classes of places, of which the encoder chooses one for each place."""
    tables: int = 192
    """Of a factorised prior: tables of symbols in all, which channels and classes share."""
    exported_range: float = 1.0
    """Of a factorised prior: export steps from exported_range, or step_range if larger, to its inverse."""
    usual_step: float = 1.0
    """The exported step next to this one is the model's default."""
    network: CodecNetwork = field(default_factory=CodecNetwork)
    """The network's architecture and sizes."""
    distortion: Distortion = field(default_factory=Distortion)
    """The weights of the distortion."""
    augmentation: CodecAugmentation = field(default_factory=CodecAugmentation)
    """How crops are changed."""

    def expectations(self) -> dict[str, bool]:
        """Return each expectation of the values, in words, and whether it holds."""
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
