"""The baseline segmenter: tissue is what is far from white.

It needs no training. It fails on dark glass and pale tissue.
"""

from __future__ import annotations

import cv2
import numpy as np

from wsicomp.formats.base import Slide
from wsicomp.progress import StageProgress
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overview import Overview

_DISTANCE = 85
_CLOSING_RADIUS_PX = 9
_ROWS_AT_ONCE = 64


class ThresholdSegmenter:
    """Tissue is every pixel over 85 from white in RGB distance, then closed with a disc of radius 9 px.

    Source: the colour-distance baseline of the method's published comparison with the U-Net.
    """

    def check(self, slide: Slide) -> None:
        """Do nothing: every slide has a mask at the overview's scale."""

    def segment(
        self,
        slide: Slide,
        overview: Overview,
        workers: int,
        progress: StageProgress,
    ) -> TissueMask:
        """Return the tissue at the overview's scale."""
        rows, columns = overview.pixels.shape[:2]
        tissue = np.empty((rows, columns), np.bool_)
        for top in range(0, rows, _ROWS_AT_ONCE):
            absorbed = 255 - overview.pixels[top : top + _ROWS_AT_ONCE].astype(np.int32)
            tissue[top : top + _ROWS_AT_ONCE] = (absorbed * absorbed).sum(axis=2) > _DISTANCE**2
        side = 2 * _CLOSING_RADIUS_PX + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        closed = cv2.morphologyEx(tissue.view(np.uint8), cv2.MORPH_CLOSE, disc).view(np.bool_)
        progress(1, 1)
        return TissueMask(closed, overview.slide, overview.scale_x, overview.scale_y, "threshold")
