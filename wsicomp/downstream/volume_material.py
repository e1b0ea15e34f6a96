"""Volumes as the material of a study."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from wsicomp.downstream.jpeg2000_rates import CodedSamples, mean_psnr, psnr_of, slices_at_rate
from wsicomp.downstream.labelled_volumes import (
    LabelledVolume,
    class_count,
    data_digest,
    deal_patients,
    read_labelled_volumes,
)
from wsicomp.downstream.learning import (
    Lesson,
    common_shape,
    dice_of,
    lesson,
    load_slice_unet,
    save_network,
    train_slice_unet,
)
from wsicomp.downstream.settings import StudySettings
from wsicomp.downstream.study_results import RateFigures, StudyRow, TrainedNetwork
from wsicomp.progress import StageProgress, no_progress
from wsicomp.text.figures import counted


class VolumeMaterial:
    """Volumes with labels, dealt into parts by patient.

    Memory: all voxels once more for every rate that was asked for.

    Raises:
        TrainingError: volumes, labels or patients are missing, too few, or do not fit together.
        VolumeReadError: a file is no volume, or is damaged.
    """

    def __init__(self, settings: StudySettings, progress: StageProgress) -> None:
        folder = Path(settings.data)
        self._settings = settings
        self._volumes = read_labelled_volumes(
            folder, settings.coding, settings.split, len(settings.rates), progress
        )
        self._parts = deal_patients([each.patient for each in self._volumes], settings.split, folder)
        self._classes = class_count(self._volumes) + 1
        stride = 1 << len(settings.learning.filters)
        self._shape = common_shape([each.samples.shape for each in self._volumes], stride)
        self._coded: dict[int, tuple[CodedSamples, ...]] = {}
        self.digest = self._digest()

    def _digest(self) -> str:
        facts = [data_digest(self._volumes), asdict(self._settings.coding), asdict(self._parts)]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @property
    def title(self) -> str:
        """The number of volumes, their modality and classes."""
        classes = "a class" if self._classes == 2 else f"{self._classes - 1} classes"
        return f"{counted(len(self._volumes), 'volume')}, {self._settings.coding.modality}, {classes}"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Split, coding, network and training."""
        learning, coding = self._settings.learning, self._settings.coding
        depths = sorted({each.bits for each in self._volumes})
        scale = (
            "Hounsfield units from -1024 to 3071; PSNR's peak is 4096"
            if coding.modality == "CT"
            else "values have no scale: a volume is brought to its own range, which is the peak of its PSNR"
        )
        return (
            ("Learning", self._part_text(self._parts.learning)),
            ("Validation", f"{self._part_text(self._parts.validation)}; shows how far a network has learnt"),
            ("Test", self._part_text(self._parts.test)),
            ("Samples", f"{' or '.join(map(str, depths))} bits; {scale}"),
            (
                "JPEG 2000",
                "OpenJPEG, 9/7 wavelet, to a rate; slices of a volume side by side in mosaics of up to "
                "512 x 512 px, every other one mirrored; sizes are those of whole streams, headers included",
            ),
            (
                "Network",
                f"2.5D U-Net: three neighbouring slices in, filters {', '.join(map(str, learning.filters))}",
            ),
            (
                "Training",
                f"{learning.steps} steps of {learning.batch} crops, AdamW, Dice + cross-entropy; "
                "the last network is taken; the same for every row",
            ),
        )

    @property
    def patients(self) -> Mapping[str, str]:
        """The patient of each test volume."""
        return {self._volumes[number].name: self._volumes[number].patient for number in self._parts.test}

    def _part_text(self, numbers: Sequence[int]) -> str:
        patients = {self._volumes[number].patient for number in numbers}
        return f"{counted(len(numbers), 'volume')} of {counted(len(patients), 'patient')}"

    def figures(self, rate: int, progress: StageProgress) -> RateFigures:
        """Compress all volumes and return sizes and mean PSNR."""
        coded = self._at(rate, progress)
        psnrs = [
            psnr_of(source.samples, found.samples, source.peak)
            for source, found in zip(self._volumes, coded, strict=True)
        ]
        return RateFigures(
            rate,
            sum(map(_plain_bytes, self._volumes)),
            sum(each.bytes for each in coded),
            mean_psnr(psnrs),
        )

    def _at(self, rate: int, progress: StageProgress) -> tuple[CodedSamples, ...]:
        if rate not in self._coded:
            coded = []
            for number, volume in enumerate(self._volumes):
                coded.append(slices_at_rate(volume.samples, volume.bits, rate))
                progress(number + 1, len(self._volumes))
            self._coded[rate] = tuple(coded)
        return self._coded[rate]

    def _lessons(self, numbers: Sequence[int], rate: int) -> list[Lesson]:
        coded, is_ct = self._at(rate, no_progress), self._settings.coding.modality == "CT"
        return [
            lesson(each.name, coded[number].samples, each.labels, self._shape, is_ct)
            for number, each in ((number, self._volumes[number]) for number in numbers)
        ]

    def train(
        self, row: StudyRow, seed: int, key: str, network: Path, progress: StageProgress
    ) -> TrainedNetwork:
        """Train a network on the volumes of a row."""
        numbers = self._few(row.rate, seed) if row.is_few else self._parts.learning
        coded = self._at(row.learnt_rate, no_progress)
        clock, processors = time.monotonic(), time.process_time()
        model, curve = train_slice_unet(
            self._lessons(numbers, row.learnt_rate),
            self._lessons(self._parts.validation, row.learnt_rate),
            self._classes,
            self._settings.learning,
            seed,
            progress,
        )
        save_network(model, network)
        elapsed_s, cpu_s = time.monotonic() - clock, time.process_time() - processors
        size = sum(coded[number].bytes for number in numbers)
        return TrainedNetwork(key, row, seed, len(numbers), size, elapsed_s, cpu_s, curve)

    def _few(self, rate: int, seed: int) -> tuple[int, ...]:
        """Return cases that take as many bytes without compression as all do at `rate`: at least one."""
        coded = self._at(rate, no_progress)
        left = sum(coded[number].bytes for number in self._parts.learning)
        chosen: list[int] = []
        for place in np.random.default_rng([seed, 2]).permutation(len(self._parts.learning)).tolist():
            number = self._parts.learning[place]
            left -= _plain_bytes(self._volumes[number])
            if chosen and left < 0:
                break
            chosen.append(number)
        return tuple(chosen)

    def scores(self, network: Path, rate: int, progress: StageProgress) -> Mapping[str, tuple[float, ...]]:
        """Return the Dice of each class on each test volume."""
        model: Any = load_slice_unet(network, self._settings.learning, self._classes)
        found = {}
        for number, each in enumerate(self._lessons(self._parts.test, rate)):
            found[each.name] = dice_of(model, each, self._classes)
            progress(number + 1, len(self._parts.test))
        return found


def _plain_bytes(volume: LabelledVolume) -> int:
    return (volume.samples.size * volume.bits + 7) // 8
