"""The baseline: what is far from white is tissue. No training; it fails on dark glass and pale tissue."""

from __future__ import annotations

import cv2
import numpy as np

from wsicomp.slide import Slide
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.segment import Overview

_DISTANCE = 85
_CLOSING_RADIUS_PX = 9


class ThresholdSegmenter:
    """Euclidean RGB distance to white over 85 is tissue, then closing with a disc of radius 9 px.

    Source: the colour-distance baseline of the method's published comparison with the U-Net.
    """

    def segment(self, slide: Slide, overview: Overview) -> TissueMask:  # noqa: ARG002
        """The tissue at the overview's scale."""
        absorbed = 255 - overview.pixels.astype(np.int32)
        tissue = (absorbed**2).sum(axis=2) > _DISTANCE**2
        side = 2 * _CLOSING_RADIUS_PX + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        closed = cv2.morphologyEx(tissue.astype(np.uint8), cv2.MORPH_CLOSE, disc).astype(np.bool_)
        return TissueMask(closed, overview.slide, overview.scale_x, overview.scale_y, "threshold")
