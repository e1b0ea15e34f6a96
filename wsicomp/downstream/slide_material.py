"""Slides as the material of a study: patches of labelled sections, and the tissue network.

The row "uncompressed" is a network that is there, by default the one that ships, and takes no training. Rows
of other rates train the tissue network on patch sets whose patches were compressed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.downstream.jpeg2000_rates import mean_psnr, picture_at_rate, psnr_of
from wsicomp.downstream.learning import LearningPoint
from wsicomp.downstream.settings import StudySettings
from wsicomp.downstream.study_results import RateFigures, StudyRow, TrainedNetwork
from wsicomp.errors import TrainingError
from wsicomp.files.atomic import completed
from wsicomp.files.inputs import check_file, reading
from wsicomp.files.tables import write_text
from wsicomp.progress import StageProgress
from wsicomp.slide import Pixels
from wsicomp.text.figures import counted
from wsicomp.tissue.segmenters.unet import LiteRtNetwork, enlarged
from wsicomp.tissue.segmenters.weights import SHIPPED, Weights, load_weights
from wsicomp.tissue.white_balance import white_balanced
from wsicomp.training.data.labels import TISSUE
from wsicomp.training.data.patch_set import PATCH_PX, Patch, PatchSet, open_patch_set
from wsicomp.training.run_folder import reading_checkpoint
from wsicomp.training.settings import load_settings
from wsicomp.training.tissue.fit import Epoch, fit, load_network
from wsicomp.training.tissue.scores import Agreement, agreement
from wsicomp.training.tissue.settings import TrainingSettings

_POWER = 2.5
"""The magnification at which slides are segmented by default; coarser sources are taken at their own."""
_OVER = 0.5
_PEAK = 255.0

Segmentation = Callable[[Pixels], NDArray[np.float32]]
"""From white-balanced pixels to the probability of tissue, both of 512 x 512 px."""


class SlideMaterial:
    """The test sources of a patch set, and what trains networks for it.

    Memory: a patch at a time.

    Raises:
        TrainingError: the patch set cannot be read, has no source of split "test" with tissue, or rows of
            other rates lack the settings of training.
        WeightsError: the network cannot be read.
    """

    def __init__(self, settings: StudySettings, progress: StageProgress) -> None:
        self._settings = settings
        self._path = Path(settings.data)
        self._weights = _weights(settings)
        with open_patch_set(self._path) as patches:
            self._cases = dict(_cases(patches, progress))
            self._sources = patches.sources
        if len(self.patients) < 2:
            found = counted(len(self.patients), "patient")
            raise TrainingError(f'{found} of split "test" with tissue, expected 2 or more', self._path)

    @property
    def title(self) -> str:
        """The number of sections, and their scale."""
        return f"{counted(len(self._cases), 'test section')} at up to {_POWER:g}x, tissue and glass"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Test sections, coding and network."""
        patches = sum(map(len, self._cases.values()))
        sections = counted(len(self._cases), "section")
        patients = counted(len(set(self.patients.values())), "patient")
        return (
            (
                "Test",
                f"{sections} of {patients} or slides, {patches} patches of {PATCH_PX} px; only sections "
                "with tissue, since Dice says nothing of glass alone",
            ),
            ("JPEG 2000", "OpenJPEG, 9/7 wavelet and colour transform, to a rate; PSNR's peak is 255"),
            ("Before", "most sections were JPEG once; rates are counted from their pixels"),
            ("Network", "trained for each row and seed" if self._weights is None else self._weights.name),
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the patch set and of the network."""
        with reading(self._path, TrainingError), self._path.open("rb") as file:
            data = hashlib.file_digest(file, "sha256").hexdigest()
        facts = [data, "" if self._weights is None else self._weights.sha256, _POWER]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @property
    def patients(self) -> Mapping[str, str]:
        """The patient or slide of each test section."""
        return {self._sources[number].name: self._sources[number].group for number in self._cases}

    def figures(self, rate: int, progress: StageProgress) -> RateFigures:
        """Compress all test patches and return sizes and mean PSNR."""
        source, coded, psnrs = 0, 0, []
        with open_patch_set(self._path) as patches:
            for done, patch in enumerate(self._patches()):
                pixels, _ = patches.read(patch)
                found = picture_at_rate(pixels, rate)
                source, coded = source + pixels.size, coded + found.bytes
                psnrs.append(psnr_of(pixels, found.samples, _PEAK))
                progress(done + 1, sum(map(len, self._cases.values())))
        return RateFigures(rate, source, coded, mean_psnr(psnrs))

    def _patches(self) -> Iterator[Patch]:
        for some in self._cases.values():
            yield from some

    def train(
        self, row: StudyRow, seed: int, key: str, network: Path, progress: StageProgress
    ) -> TrainedNetwork:
        """Name the network that is there, or train one on patches at the row's rate."""
        if self._weights is not None:
            told = {"manifest": str(self._weights.manifest), "sha256": self._weights.sha256}
            write_text(network, json.dumps(told), overwrite=True)
            return TrainedNetwork(key, row, seed, len(self._weights.learnt_from), 0, 0.0, 0.0, ())
        run = network.with_name(f"{network.name}.run")
        clock, processors = time.monotonic(), time.process_time()
        own = load_settings(Path(self._settings.training), TrainingSettings)
        patches = network.with_name(f"rate-{row.rate}.h5")
        size = compressed_patch_set(self._path, patches, row.rate, progress)
        own = replace(own, patches=(patches,), seed=seed)
        fitted = fit(own, run, lambda epoch, most: progress(epoch.epoch, most))
        patches.unlink()
        write_text(network, json.dumps({"keras": f"{run.name}/{fitted.network.name}"}), overwrite=True)
        elapsed_s, cpu_s = time.monotonic() - clock, time.process_time() - processors
        curve = tuple(_point(epoch) for epoch in fitted.epochs)
        return TrainedNetwork(key, row, seed, len(fitted.learnt_from), size, elapsed_s, cpu_s, curve)

    def scores(self, network: Path, rate: int, progress: StageProgress) -> Mapping[str, tuple[float, ...]]:
        """Return the Dice of tissue on each test section."""
        tissue = _segmentation(network)
        found = {}
        with open_patch_set(self._path) as patches:
            for done, (number, some) in enumerate(self._cases.items()):
                source = self._sources[number]
                light = np.array(source.light, np.float32)
                parts = []
                for patch in some:
                    pixels, labels = patches.read(patch)
                    balanced = white_balanced(picture_at_rate(pixels, rate).samples, light)
                    parts.append(agreement(tissue(balanced) > _OVER, labels))
                found[source.name] = (_together(parts).dice,)
                progress(done + 1, len(self._cases))
        return found


def _weights(settings: StudySettings) -> Weights | None:
    """Return the network that is there; None where networks are trained."""
    if settings.rows == "all":
        if not settings.training:
            raise TrainingError('rows is "all": training has to name the settings of the tissue network')
        return None
    weights = load_weights(Path(settings.network) if settings.network else SHIPPED)
    if weights.patch_px != PATCH_PX:
        raise TrainingError(f"reads {weights.patch_px} px, expected {PATCH_PX}", weights.manifest)
    return weights


def _cases(patches: PatchSet, progress: StageProgress) -> Iterator[tuple[int, tuple[Patch, ...]]]:
    """Yield each test source with tissue, and its patches at the highest power up to 2.5."""
    for number, source in enumerate(patches.sources):
        progress(number + 1, len(patches.sources))
        own = [patch for patch in patches.patches if patch.source == number]
        if source.split != "test" or not own:
            continue
        powers = {patch.power for patch in own}
        power = max((each for each in powers if each <= _POWER), default=min(powers))
        chosen = tuple(patch for patch in own if patch.power == power)
        if any((patches.read(patch)[1] == TISSUE).any() for patch in chosen):
            yield number, chosen


def _together(parts: list[Agreement]) -> Agreement:
    return Agreement(
        sum(each.hit for each in parts),
        sum(each.false for each in parts),
        sum(each.missed for each in parts),
        sum(each.glass for each in parts),
    )


def _segmentation(network: Path) -> Segmentation:
    """Return the network that a file of the study names, ready to run."""
    check_file(network, TrainingError)
    with reading_checkpoint(network):
        named = json.loads(network.read_text("utf-8"))
        manifest, keras = named.get("manifest"), named.get("keras")
    if manifest is not None:
        return LiteRtNetwork(load_weights(Path(manifest)), 1).tissue
    model: Any = load_network(network.parent / str(keras))

    def tissue(pixels: Pixels) -> NDArray[np.float32]:
        return enlarged(np.asarray(model.predict_on_batch(pixels[None]))[0, ..., 1], len(pixels))

    return tissue


def compressed_patch_set(source: Path, target: Path, rate: int, progress: StageProgress) -> int:
    """Write a patch set whose patches were compressed `rate` times, and return the bytes that they took.

    Raises:
        SlideWriteError: it cannot be written.
        TrainingError: a patch cannot be coded.
    """
    import h5py

    size = 0
    with completed(target, overwrite=True) as partial:
        shutil.copyfile(source, partial)
        with h5py.File(partial, "r+", locking=False) as file:
            images = file["image"]
            for number in range(images.shape[0]):
                found = picture_at_rate(images[number], rate)
                size += found.bytes
                images[number] = found.samples
                progress(number + 1, images.shape[0])
    return size


def _point(epoch: Epoch) -> LearningPoint:
    return LearningPoint(epoch.epoch, epoch.loss, epoch.dice)
