"""The protocol of a study's data, volumes or slides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from wsicomp.downstream.study_results import RateFigures, StudyRow, TrainedNetwork
from wsicomp.progress import StageProgress


class StudyMaterial(Protocol):
    """Cases that can be compressed, learnt from and tested on."""

    @property
    def title(self) -> str:
        """The data's description in a few words."""

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Facts that a reader has to know: name and text."""

    @property
    def digest(self) -> str:
        """SHA-256 of all that a network may see, and of how it is coded and dealt."""

    @property
    def patients(self) -> Mapping[str, str]:
        """The patient of each test case, by its name."""

    def figures(self, rate: int, progress: StageProgress) -> RateFigures:
        """Compress the cases and return what comes of it.

        Raises:
            TrainingError: the cases cannot be coded.
        """

    def train(
        self, row: StudyRow, seed: int, key: str, network: Path, progress: StageProgress
    ) -> TrainedNetwork:
        """Train a network and write it to `network`; it has no scores yet.

        Raises:
            TrainingError: nothing can be learnt.
            SlideWriteError: the network cannot be written.
        """

    def scores(self, network: Path, rate: int, progress: StageProgress) -> Mapping[str, tuple[float, ...]]:
        """Return the Dice of each class on each test case at `rate`, by the case's name.

        Raises:
            TrainingError: the network is damaged.
        """
