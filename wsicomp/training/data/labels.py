"""Labels of slides at any scale: glass, tissue, and what does not score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import MaskError, TrainingError
from wsicomp.formats.base import Slide
from wsicomp.formats.opening import open_reader
from wsicomp.formats.picture import SUFFIXES, open_picture
from wsicomp.geometry import Region, Size
from wsicomp.tissue.mask_reader import read_samples
from wsicomp.tissue.scale import ReadingScale
from wsicomp.training.data.slide_table import ALL_TISSUE, LabelledSlide

Labels: TypeAlias = NDArray[np.uint8]
"""(rows, columns) uint8: GLASS, TISSUE or IGNORED."""

GLASS, IGNORED, TISSUE = 0, 128, 255

UNSCORED_TARGET = 2
"""What `targets` has for pixels that do not score."""

UNKNOWN_MPP = 4.0
"""The um per px of a picture whose scale is unknown: such pictures are overviews."""

_BLOCK_PX = 8
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Truth:
    """A slide and its labels."""

    slide: Slide
    labels: Labels
    """The labels of the whole slide, at a scale of their own."""

    def at(self, scale: ReadingScale, region: Region) -> Labels:
        """Return the labels of a region of the picture at `scale`, (rows, columns) uint8.

        The region is in the scaled picture's pixels.

        A pixel is tissue where more than half of the scoring labels under it are. It does not score where
        half or more of the labels under it do not.
        """
        level = self.slide.info.levels[scale.level].size
        top, bottom = _covered(region.y, region.height, scale.factor / level.height, self.labels.shape[0])
        left, right = _covered(region.x, region.width, scale.factor / level.width, self.labels.shape[1])
        part = self.labels[top[0] : bottom[-1], left[0] : right[-1]]
        top, bottom, left, right = top - top[0], bottom - top[0], left - left[0], right - left[0]

        def count(value: int) -> NDArray[np.int32]:
            sums = cv2.integral((part == value).view(np.uint8))
            over, under = sums[top], sums[bottom]
            return np.asarray(under[:, right] - under[:, left] - over[:, right] + over[:, left])

        area = np.outer(bottom - top, right - left)
        tissue, ignored = count(TISSUE), count(IGNORED)
        labels = np.where(2 * tissue > area - ignored, TISSUE, GLASS).astype(np.uint8)
        labels[2 * ignored >= area] = IGNORED
        return labels


def _covered(first: int, count: int, share: float, labels: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first and past-the-last label under each of `count` pixels along an axis.

    A pixel spans the part `share` of the axis, which has `labels` labels, and covers at least one.
    """
    edges = np.floor(np.arange(first, first + count + 1) * (share * labels) + _ROUNDING).astype(np.intp)
    begin = np.minimum(edges[:-1], labels - 1)
    return begin, np.minimum(np.maximum(edges[1:], begin + 1), labels)


def targets(labels: Labels, stride: int = 1) -> NDArray[np.float32]:
    """Return the share of tissue as losses take it, 0 to 1, of each block of `stride` x `stride` labels.

    `labels` is (rows, columns); a value between glass and tissue is a probability. A block of which less than
    half scores becomes `UNSCORED_TARGET`.
    """
    size = labels.shape[1] // stride, labels.shape[0] // stride
    scores = (labels != IGNORED).astype(np.float32)
    tissue = labels.astype(np.float32) / TISSUE * scores
    if stride > 1:
        scores = np.asarray(cv2.resize(scores, size, interpolation=cv2.INTER_AREA), np.float32)
        tissue = np.asarray(cv2.resize(tissue, size, interpolation=cv2.INTER_AREA), np.float32)
    return np.where(scores >= 0.5, tissue / np.maximum(scores, 0.5), UNSCORED_TARGET).astype(np.float32)


def open_truth(row: LabelledSlide, tile_um: float | None = None) -> Truth:
    """Open the slide or picture of a row with its labels. The caller closes the slide.

    A picture has tiles of about `tile_um`, in whole blocks of 8 px, or of 256 px.

    Raises:
        SlideReadError: the slide or picture cannot be read.
        MaskError: the mask cannot be read, or does not fit the slide.
        TrainingError: the table states um per px of a slide, which states its own.
    """
    is_picture = row.image.suffix.lower() in SUFFIXES
    if row.mpp is not None and not is_picture:
        raise TrainingError("um_per_px is for pictures; a slide states its own, leave it out", row.image)
    slide: Slide = _picture(row, tile_um) if is_picture else open_reader(row.image)
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
    tile_px = None if tile_um is None else _BLOCK_PX * max(1, round(tile_um / mpp / _BLOCK_PX))
    return open_picture(row.image, mpp, tile_px)


def _read_labels(path: Path, slide: Size) -> Labels:
    """Read a mask file: 0 is glass, 128 among bytes does not score, all else is tissue."""
    samples = read_samples(path, slide)
    labels = np.where(samples != 0, TISSUE, GLASS).astype(np.uint8)
    if samples.dtype == np.uint8:
        labels[samples == IGNORED] = IGNORED
    return labels
