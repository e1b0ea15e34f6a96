"""Settings of a training run of the tissue network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from wsicomp.training.settings import RunSettings
from wsicomp.training.tissue.augment import REACHES, Augmentation

PRECISIONS = ("float32", "mixed_bfloat16")
LOSSES = ("dice", "dice+crossentropy")


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """The sizes of a U-Net, whose expanding blocks mirror the contracting ones.

    With the defaults it has 1,997,986 parameters, as many as the network of the method's study.
    """

    filters: tuple[int, ...] = (32, 32, 64, 128, 128)
    """Filters of the contracting blocks, from full size down."""
    bottom: int = 128
    """Filters of the block at the bottom."""
    normalised_expanding: int = 2
    """Expanding blocks with batch norm, counted from the output. All contracting blocks have it."""
    norm_momentum: float = 0.99
    """The share of the past in the running statistics of batch norm."""
    expanding_depth: int = 2
    """Convolutions of an expanding block, 1 or 2. All other blocks have two."""
    halvings: int = 0
    """Convolutions of stride 2 before the blocks, 0 to 2: the last has the first block's filters, another one
    half of them."""
    normalised_stem: bool = False
    """Whether batch norm and ReLU follow each of these convolutions."""
    mask_stride: int = 1
    """Pixels of the patch to a pixel of the network's output, a side: 1, 2 or 4; readers enlarge it."""

    @property
    def stride(self) -> int:
        """The pixels of the patch to a pixel of the first block, a side."""
        return 1 << self.halvings


@dataclass(frozen=True)
class TrainingSettings(RunSettings):
    """The settings of a run. The defaults are those of the method's study."""

    crop_px: int = 512
    """The side of a crop."""
    batch: int = 4
    """Crops at a time."""
    patches_per_epoch: int = 400
    """Crops of an epoch."""
    epochs: int = 300
    """The largest number of epochs."""
    patience: int = 20
    """Stop after so many epochs without a better validation Dice."""
    weight_decay: float = 0.004
    """The weight decay of the optimiser."""
    loss: str = "dice"
    """One of `LOSSES`."""
    precision: str = "float32"
    """One of `PRECISIONS`, in which training computes; variables and exported files are float32."""
    teacher: str = ""
    """The manifest of a network to learn from beside the labels; "" for none."""
    teacher_share: float = 0.5
    """The teacher's share of what is learnt where labels score. Where they do not, it teaches alone."""
    network: NetworkSettings = field(default_factory=NetworkSettings)
    """The network's sizes."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """How crops are changed."""

    def expectations(self) -> dict[str, bool]:
        """Return each expectation of the values, in words, and whether it holds."""
        network, augmentation = self.network, asdict(self.augmentation)
        depth = (1 << len(network.filters)) * network.stride
        chances = [value for name, value in augmentation.items() if name not in REACHES]
        return super().expectations() | {
            f"precision is one of {', '.join(PRECISIONS)}": self.precision in PRECISIONS,
            f"loss is one of {', '.join(LOSSES)}": self.loss in LOSSES,
            "network.filters are 1 to 6 blocks, and network.bottom is one, of 1 to 1024": (
                1 <= len(network.filters) <= 6
                and all(1 <= count <= 1024 for count in (*network.filters, network.bottom))
            ),
            "network.halvings is 0 to 2": 0 <= network.halvings <= 2,
            "network.expanding_depth is 1 or 2": network.expanding_depth in (1, 2),
            "network.mask_stride is 1, 2 or 4, and at most 2 to the number of halvings": (
                network.mask_stride in (1, 2, 4) and network.mask_stride <= network.stride
            ),
            "teacher_share is at most 1": self.teacher_share <= 1,
            "network.norm_momentum is below 1": network.norm_momentum < 1,
            f"crop_px is a multiple of {depth}, 64 to 512": (
                self.crop_px % depth == 0 and 64 <= self.crop_px <= 512
            ),
            "patches_per_epoch, epochs and patience are 1 or more": (
                min(self.patches_per_epoch, self.epochs, self.patience) >= 1
            ),
            "augmentation's probabilities are at most 1": max(chances) <= 1,
        }
