"""Agreement of a mask with labels: Dice, IoU, recall, precision; and the tissue that is certain."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.training.data.labels import GLASS, IGNORED, TISSUE, Labels

BORDER_UM = 20.0
"""Two annotators differ on tissue that is nearer to its border than this."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Counts of pixels that score."""

    hit: int
    """Tissue that was found."""
    false: int
    """Glass that was taken for tissue."""
    missed: int
    """Tissue that was not found."""
    glass: int
    """All glass."""

    @property
    def dice(self) -> float:
        """Dice in [0, 1], 2 hit / (2 hit + false + missed); 1 where there is no tissue and none was found."""
        return _share(2 * self.hit, 2 * self.hit + self.false + self.missed)

    @property
    def iou(self) -> float:
        """IoU in [0, 1], hit / (hit + false + missed); 1 where there is no tissue and none was found."""
        return _share(self.hit, self.hit + self.false + self.missed)

    @property
    def recall(self) -> float:
        """The part of tissue that was found, in [0, 1]; 1 where there is no tissue."""
        return _share(self.hit, self.hit + self.missed)

    @property
    def precision(self) -> float:
        """The part of the found pixels that is tissue, in [0, 1]; 1 where none was found."""
        return _share(self.hit, self.hit + self.false)

    @property
    def glass_cost(self) -> float:
        """The part of glass that was taken for tissue, in [0, 1]; 0 where there is no glass."""
        return self.false / self.glass if self.glass else 0.0


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def agreement(found: NDArray[np.bool_], labels: Labels) -> Agreement:
    """Compare a mask with labels of the same (rows, columns). Pixels that do not score are left out."""
    scored = labels != IGNORED
    tissue = labels == TISSUE
    return Agreement(
        hit=int((found & tissue).sum()),
        false=int((found & scored & ~tissue).sum()),
        missed=int((~found & tissue).sum()),
        glass=int((labels == GLASS).sum()),
    )


def inner_tissue(labels: Labels, mpp: float) -> NDArray[np.bool_]:
    """Return tissue farther than `BORDER_UM` from glass and from pixels that do not score.

    It is (rows, columns) bool, in the shape of `labels`; `mpp` is the labels' um per px.
    """
    tissue = np.ascontiguousarray(labels == TISSUE).view(np.uint8)
    if not tissue.any():
        return tissue.view(np.bool_)
    return np.asarray(cv2.distanceTransform(tissue, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * mpp > BORDER_UM)
