"""Crops of tissue from patch sets, turned and coloured at random, for a codec to learn from."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.slide import Pixels
from wsicomp.training.codec.settings import CodecAugmentation, CodecSettings
from wsicomp.training.data.labels import IGNORED, TISSUE, Labels
from wsicomp.training.data.patch_set import Patch
from wsicomp.training.data.sampling import PatchSamples, Random, epoch_patches

Crops = NDArray[np.float32]
"""(crops, rows, columns, 3) RGB from 0 to 1."""

TILE_PX = 256
_MOST_IGNORED = 0.1
_TRIES = 20
_KEPT_BYTES = 2 << 30


class CropSource:
    """Crops of a run's patches.

    Memory: the patches that were read, up to 2 GiB.
    """

    def __init__(self, samples: PatchSamples, settings: CodecSettings) -> None:
        self._samples, self._settings = samples, settings
        self._patches: dict[int, tuple[Pixels, Labels]] = {}

    def batches(self, report: int) -> Iterator[Crops]:
        """Yield the batches between two reports, (items, rows, columns, 3) float32 RGB from 0 to 1.

        The same seed and the same number of the report give the same batches.
        """
        settings = self._settings
        rng = np.random.default_rng([settings.seed, report])
        count = settings.batch * settings.report_every
        chosen = epoch_patches(self._samples.learning, count, settings.power_weights, rng)
        for start in range(0, count, settings.batch):
            crops = [self.crop(patch, rng) for patch in chosen[start : start + settings.batch]]
            yield np.stack([augmented_crop(crop, settings.augmentation, rng) for crop in crops])

    def validation(self) -> list[Pixels]:
        """Return the validation crops, (rows, columns, 3) uint8 RGB each, without augmentation.

        The same seed gives the same crops.
        """
        rng = np.random.default_rng([self._settings.seed, 1 << 30])
        return [self.crop(patch, rng) for patch in self._samples.validation]

    def tiles(self) -> Iterator[Pixels]:
        """Yield the patches to learn from as tiles, (rows, columns, 3) uint8 RGB, without augmentation.

        Tiles of glass are among them; tiles in which too little scores are not.
        """
        for patch in self._samples.learning:
            pixels, labels = self._read(patch)
            for row in range(0, pixels.shape[0], TILE_PX):
                for column in range(0, pixels.shape[1], TILE_PX):
                    place = slice(row, row + TILE_PX), slice(column, column + TILE_PX)
                    if (labels[place] == IGNORED).mean() <= _MOST_IGNORED:
                        yield pixels[place]

    def crop(self, patch: Patch, rng: Random) -> Pixels:
        """Return a crop of a patch with enough tissue, or the best one of some tries.

        It is (rows, columns, 3) uint8 RGB.
        """
        pixels, labels = self._read(patch)
        side = self._settings.crop_px
        best, most = (slice(0, side), slice(0, side)), -1.0
        for _ in range(_TRIES):
            row, column = rng.integers(0, pixels.shape[0] - side + 1, 2)
            place = slice(row, row + side), slice(column, column + side)
            found = float((labels[place] == TISSUE).mean() - (labels[place] == IGNORED).mean() / 2)
            if found > most:
                best, most = place, found
            if most >= self._settings.least_tissue:
                break
        return pixels[best]

    def _read(self, patch: Patch) -> tuple[Pixels, Labels]:
        found = self._patches.get(patch.number)
        if found is None:
            found = self._samples.read(patch)
            if len(self._patches) * (found[0].nbytes + found[1].nbytes) < _KEPT_BYTES:
                self._patches[patch.number] = found
        return found


def augmented_crop(crop: Pixels, chances: CodecAugmentation, rng: Random) -> NDArray[np.float32]:
    """Return a crop turned, flipped, coloured and blurred, each by its probability.

    It is (rows, columns, 3) float32 RGB from 0 to 1.
    """
    picture = crop
    if rng.random() < chances.turn:
        picture = np.rot90(picture, rng.integers(4))
    picture = picture[:, ::-1] if rng.random() < chances.flip else picture
    picture = picture[::-1] if rng.random() < chances.flip else picture
    result = np.ascontiguousarray(picture).astype(np.float32) / 255
    if rng.random() < chances.color:
        result = _colored(result, rng)
    if rng.random() < chances.blur:
        result = np.asarray(cv2.GaussianBlur(result, (0, 0), rng.uniform(0.3, 1.2)), np.float32)
    return result


def _colored(picture: NDArray[np.float32], rng: Random) -> NDArray[np.float32]:
    """Change saturation, contrast, brightness and white, as other stains and scanners do."""
    grey = picture.mean(2, keepdims=True)
    picture = np.clip(grey + (picture - grey) * rng.uniform(0.5, 1.5), 0, 1)
    white = rng.uniform(0.8, 1.2) * rng.uniform(0.9, 1.1, 3)
    return np.asarray(np.clip(picture ** np.exp(rng.uniform(-0.25, 0.25)) * white, 0, 1), np.float32)
