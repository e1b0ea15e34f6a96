"""A study's findings as data: sizes, networks, scores. JSON and the page are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wsicomp.downstream.learning import LearningPoint


@dataclass(frozen=True)
class RateFigures:
    """Sizes and PSNR of a rate on all cases."""

    rate: int
    """The rate that was asked for."""
    source_bytes: int
    """Bytes of all cases without compression, at their bit depth."""
    coded_bytes: int
    """Bytes of all streams."""
    psnr_db: float | None
    """The mean PSNR of cases; None where nothing is lost."""

    @property
    def achieved(self) -> float:
        """The ratio of source bytes to coded bytes."""
        return self.source_bytes / self.coded_bytes


@dataclass(frozen=True, order=True)
class StudyRow:
    """The data that networks learn from."""

    rate: int
    """All data at this rate, or as many bytes of uncompressed data as they take."""
    is_few: bool = False
    """Whether it is few uncompressed cases."""

    @property
    def name(self) -> str:
        """The name of its files, such as `rate-20` or `few-20`."""
        return f"{'few' if self.is_few else 'rate'}-{self.rate}"

    @property
    def learnt_rate(self) -> int:
        """The rate of the data that it learns from."""
        return 1 if self.is_few else self.rate


@dataclass(frozen=True)
class TrainedNetwork:
    """A network of one row and seed, and its Dice at every rate: what a file in `cells` holds."""

    key: str
    """SHA-256 of everything that it depends on."""
    row: StudyRow
    """What it learnt from."""
    seed: int
    """Its seed."""
    cases: int
    """Cases that it learnt from."""
    bytes: int
    """Bytes that they take: compressed, where they are."""
    elapsed_s: float
    """Seconds of training."""
    cpu_s: float
    """Seconds of processors for training."""
    curve: tuple[LearningPoint, ...]
    """How it learnt."""
    scores: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    """By rate, then by test case: the Dice of each class."""


@dataclass(frozen=True)
class StudyFindings:
    """All that a study measured."""

    kind: str
    """`volumes` or `slides`."""
    title: str
    """What the data are, in a few words."""
    margin: float
    """The loss of Dice that does not count."""
    rates: tuple[RateFigures, ...]
    """Sizes and PSNR."""
    networks: tuple[TrainedNetwork, ...]
    """Networks and their scores."""
    patients: Mapping[str, str]
    """The patient of each test case."""
    facts: tuple[tuple[str, str], ...]
    """What a reader has to know of data, split, network and training: name and text."""
    made: str
    """When and by which version."""
