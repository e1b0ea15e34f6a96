"""What a training run of the tissue network is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from wsicomp.training.settings import RunSettings
from wsicomp.training.tissue.augment import REACHES, Augmentation

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
class TrainingSettings(RunSettings):
    """A whole run. With its defaults, that of the method's study.

    Validation decides when to stop: after `patience` epochs without a better one. An epoch draws
    `patches_per_epoch` crops. `precision` is that of training alone: variables and what is exported are
    float32.
    """

    crop_px: int = 512
    batch: int = 4
    patches_per_epoch: int = 400
    epochs: int = 300
    patience: int = 20
    weight_decay: float = 0.004
    loss: str = "dice"
    precision: str = "float32"
    network: NetworkSettings = field(default_factory=NetworkSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def expectations(self) -> dict[str, bool]:
        """What is expected of the values, in words, and whether it holds."""
        network, augmentation = self.network, asdict(self.augmentation)
        depth = 1 << (len(network.filters) + network.halved)
        chances = [value for name, value in augmentation.items() if name not in REACHES]
        return super().expectations() | {
            f"precision is one of {', '.join(PRECISIONS)}": self.precision in PRECISIONS,
            f"loss is one of {', '.join(LOSSES)}": self.loss in LOSSES,
            "network.filters are 1 to 6 blocks, and network.bottom is one, of 1 to 1024": (
                1 <= len(network.filters) <= 6
                and all(1 <= count <= 1024 for count in (*network.filters, network.bottom))
            ),
            "network.norm_momentum is below 1": network.norm_momentum < 1,
            f"crop_px is a multiple of {depth}, 64 to 512": (
                self.crop_px % depth == 0 and 64 <= self.crop_px <= 512
            ),
            "patches_per_epoch, epochs and patience are 1 or more": (
                min(self.patches_per_epoch, self.epochs, self.patience) >= 1
            ),
            "augmentation's probabilities are at most 1": max(chances) <= 1,
        }
