"""Settings of a study, read from a TOML file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from wsicomp.training.settings import check_expectations, filled_settings

KINDS = ("volumes", "slides")
ROWS = ("uncompressed", "all")
MODALITIES = ("MR", "CT")


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """Settings of the split: patients are dealt by a seed, and none is in two parts."""

    seed: int = 1
    """The seed by which patients are dealt; the same for all networks of a study."""
    test_share: float = 0.25
    """The share of patients that test."""
    validation_share: float = 0.1
    """The share of patients that validate: they show how far a network has learnt, and choose none."""
    numbers_of_patient: int = 1
    """How many consecutive numbers in file names are one patient: with 2 these are 1 and 2, 3 and 4.
    1 takes every file for a patient of its own."""
    patients: str = ""
    """A CSV table with columns `name` (file name) and `patient`, in place of numbers; "" for none."""


@dataclass(frozen=True, slots=True)
class CodingSettings:
    """Settings by which voxels become samples of JPEG 2000."""

    modality: str = "MR"
    """`MR`: values have no scale, a volume is brought to its own range. `CT`: values are Hounsfield units."""
    bits: int = 12
    """Bits of a sample, where 8 do not hold a volume's values; compression is counted from them."""


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """A network and its training, the same for every row."""

    filters: tuple[int, ...] = (16, 32, 64)
    """Filters of the U-Net's blocks, from half the size of a slice down."""
    steps: int = 1200
    """Steps of training, however many cases a row has."""
    batch: int = 32
    """Slices of a step."""
    crop_px: tuple[int, ...] = (48, 40)
    """Rows and columns of a crop to learn from, multiples of 2 to the number of filters."""
    learning_rate: float = 3e-3
    """The learning rate at the beginning; it falls to a hundredth along a cosine."""
    weight_decay: float = 1e-4
    """The weight decay of the optimiser (AdamW)."""
    brightness: float = 0.1
    """The standard deviation of a random gain and of a random offset, in standard deviations of a volume."""
    report_steps: int = 200
    """Steps between two points of the curve."""


@dataclass(frozen=True)
class StudySettings:
    """The settings of a study; the defaults are for the 196 hippocampus volumes on one core."""

    kind: str = "volumes"
    """One of `KINDS`."""
    data: str = ""
    """The folder with `images` and `labels`, or a patch set of slides; counted from the config's folder."""
    rates: tuple[int, ...] = (1, 5, 20, 100)
    """How many times smaller; 1 is not compressed."""
    rows: str = "uncompressed"
    """One of `ROWS`: train on uncompressed data alone, or on the data of every rate."""
    few_shot: tuple[int, ...] = (20,)
    """Rates at which all data, compressed, compete with as many bytes of uncompressed data."""
    seeds: int = 3
    """Networks of a row: each has another start, another order, and another choice of few cases."""
    margin: float = 0.01
    """The loss of Dice that does not count."""
    network: str = ""
    """Slides: the manifest of the network of the row "uncompressed"; "" for the one that ships."""
    training: str = ""
    """Slides, rows "all": the TOML settings by which the tissue network is trained."""
    split: SplitSettings = field(default_factory=SplitSettings)
    """Who trains and who tests."""
    coding: CodingSettings = field(default_factory=CodingSettings)
    """How voxels are coded."""
    learning: LearningSettings = field(default_factory=LearningSettings)
    """The network of volumes and its training."""

    def expectations(self) -> dict[str, bool]:
        """Return each expectation of the values, in words, and whether it holds."""
        split, learning = self.split, self.learning
        stride = 1 << len(learning.filters)
        return {
            f"kind is one of {', '.join(KINDS)}": self.kind in KINDS,
            f"rows is one of {', '.join(ROWS)}": self.rows in ROWS,
            "data names a folder with images and labels, or a patch set": bool(self.data),
            "rates begin with 1, rise, and are 2 to 8 of 1 to 1000": (
                2 <= len(self.rates) <= 8
                and self.rates[0] == 1
                and list(self.rates) == sorted(set(self.rates))
                and self.rates[-1] <= 1000
            ),
            "few_shot names rates over 1, and slides have none": (
                set(self.few_shot) <= set(self.rates[1:]) and not (self.kind == "slides" and self.few_shot)
            ),
            "seeds is 1 to 20": 1 <= self.seeds <= 20,
            "seeds is 1 where slides are tested by a network that is there": (
                self.seeds == 1 or self.kind != "slides" or self.rows == "all"
            ),
            "margin is over 0 and under 1": 0 < self.margin < 1,
            "split.test_share and split.validation_share are over 0, together under 1": (
                min(split.test_share, split.validation_share) > 0
                and split.test_share + split.validation_share < 1
            ),
            "split.seed is 0 or more, split.numbers_of_patient 1 or more": (
                split.seed >= 0 and split.numbers_of_patient >= 1
            ),
            f"coding.modality is one of {', '.join(MODALITIES)}": self.coding.modality in MODALITIES,
            "coding.bits is 8 to 16": 8 <= self.coding.bits <= 16,
            "learning.filters are 2 to 6 blocks of 1 to 512": (
                2 <= len(learning.filters) <= 6 and all(1 <= count <= 512 for count in learning.filters)
            ),
            f"learning.crop_px is two multiples of {stride}, to 1024": (
                len(learning.crop_px) == 2
                and all(side % stride == 0 and 0 < side <= 1024 for side in learning.crop_px)
            ),
            "learning.steps, learning.report_steps and learning.batch are 1 or more, the batch to 1024": (
                min(learning.steps, learning.report_steps, learning.batch) >= 1 and learning.batch <= 1024
            ),
        }


def load_study(path: Path, data: Path | None = None) -> StudySettings:
    """Read the settings of a study.

    `data` stands for the data that the file names. Paths in the file count from its folder.

    Raises:
        TrainingError: the file cannot be read, or a setting is unknown, of the wrong type or out of range.
    """
    settings = filled_settings(path, StudySettings)
    if data is not None:
        settings = replace(settings, data=str(data.absolute()))
    check_expectations(settings.expectations(), path)

    def beside(name: str) -> str:
        return str(path.absolute().parent / name) if name else ""

    return replace(
        settings,
        data=beside(settings.data),
        network=beside(settings.network),
        training=beside(settings.training),
        split=replace(settings.split, patients=beside(settings.split.patients)),
    )


def number_in(name: str) -> int | None:
    """Return the last number of a file's name, None where it has none.

    >>> number_in("hippocampus_042"), number_in("head")
    (42, None)
    """
    found = re.findall(r"\d+", name)
    return int(found[-1][:18]) if found else None
