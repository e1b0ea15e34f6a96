"""Opening labelled slides, and their labels at any scale: glass, tissue, and what does not score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import MaskError
from wsicomp.geometry import Region, Size
from wsicomp.readers import open_slide
from wsicomp.readers.picture import SUFFIXES, open_picture
from wsicomp.slide import Slide
from wsicomp.tissue.maskfile import read_samples
from wsicomp.tissue.scale import ReadingScale
from wsicomp.training.table import ALL_TISSUE, LabelledSlide

Labels: TypeAlias = NDArray[np.uint8]
"""(rows, columns) uint8: GLASS, TISSUE or IGNORED."""

GLASS, IGNORED, TISSUE = 0, 128, 255

UNSCORED_TARGET = 2

UNKNOWN_MPP = 4.0
"""The um per px taken for a picture of unknown scale: such pictures are made to be looked at whole."""

_SMALLEST_TILE_PX = 8


@dataclass(frozen=True)
class Truth:
    """A slide and its labels, which span the whole slide at a scale of their own."""

    slide: Slide
    labels: Labels

    def at(self, scale: ReadingScale, region: Region) -> Labels:
        """The labels of a region of a scaled picture, (rows, columns).

        A pixel is tissue if more than half of what scores under it is; it does not score if half of it
        does not.
        """
        level = self.slide.info.levels[scale.level].size
        across = self.labels.shape[1] * scale.factor / level.width
        down = self.labels.shape[0] * scale.factor / level.height
        left, right = region.x * across, min((region.x + region.width) * across, self.labels.shape[1])
        top, bottom = region.y * down, min((region.y + region.height) * down, self.labels.shape[0])
        window = (slice(int(top), max(int(top) + 1, round(bottom))),)
        part = self.labels[(*window, slice(int(left), max(int(left) + 1, round(right))))]
        tissue, ignored = (
            cv2.resize(
                (part == value).astype(np.float32),
                (region.width, region.height),
                interpolation=_method(across),
            )
            for value in (TISSUE, IGNORED)
        )
        labels = np.where(tissue * 2 > 1 - ignored, TISSUE, GLASS).astype(np.uint8)
        labels[ignored >= 0.5] = IGNORED
        return labels


def targets(labels: Labels) -> Labels:
    """Labels as the losses take them: 0 glass, 1 tissue, `UNSCORED_TARGET` what does not score."""
    target: Labels = (labels == TISSUE).astype(np.uint8)
    target[labels == IGNORED] = UNSCORED_TARGET
    return target


def _method(label_pixels_a_pixel: float) -> int:
    return cv2.INTER_AREA if label_pixels_a_pixel > 1 else cv2.INTER_LINEAR


def open_truth(row: LabelledSlide, tile_um: float | None = None) -> Truth:
    """The slide or picture of a row, and its labels; close the slide when done.

    A picture has tiles of `tile_um`, or of 256 px.

    Raises:
        SlideReadError: the slide or picture cannot be read.
        MaskError: the mask cannot be read, or does not fit it.
    """
    is_picture = row.image.suffix.lower() in SUFFIXES
    slide: Slide = _picture(row, tile_um) if is_picture else open_slide(row.image)
    try:
        if row.mask is None:
            value = TISSUE if row.everywhere == ALL_TISSUE else GLASS
            return Truth(slide, np.full((1, 1), value, np.uint8))
        return Truth(slide, _read_labels(row.mask, slide.info.size))
    except MaskError:
        slide.close()
        raise


def _picture(row: LabelledSlide, tile_um: float | None) -> Slide:
    mpp = row.mpp or UNKNOWN_MPP
    return open_picture(
        row.image, mpp, None if tile_um is None else max(_SMALLEST_TILE_PX, round(tile_um / mpp))
    )


def _read_labels(path: Path, slide: Size) -> Labels:
    """A mask file's labels: 0 is glass, 128 among bytes does not score, all else is tissue."""
    samples = read_samples(path, slide)
    labels = np.where(samples != 0, TISSUE, GLASS).astype(np.uint8)
    if samples.dtype == np.uint8:
        labels[samples == IGNORED] = IGNORED
    return labels
