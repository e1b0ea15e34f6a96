"""The baseline: what is far from white is tissue. No training; it fails on dark glass and pale tissue."""

from __future__ import annotations

import cv2
import numpy as np

from wsicomp.slide import Slide
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.segment import Overview

_DISTANCE = 85
_CLOSING_RADIUS_PX = 9
_SQUARES = np.minimum((255 - np.arange(256)) ** 2, 20_000).astype(np.uint16)
"""Squared distance to white by sample value, cut off past the threshold so that three fit 16 bits."""


class ThresholdSegmenter:
    """Euclidean RGB distance to white over 85 is tissue, then closing with a disc of radius 9 px.

    Source: the colour-distance baseline of the method's published comparison with the U-Net.
    """

    def segment(self, slide: Slide, overview: Overview) -> TissueMask:  # noqa: ARG002
        """The tissue at the overview's scale."""
        # One channel at a time, for an overview of 32-bit squares would be the largest thing in memory.
        distance = np.zeros(overview.pixels.shape[:2], np.uint16)
        for channel in range(3):
            distance += cv2.LUT(cv2.extractChannel(overview.pixels, channel), _SQUARES).astype(
                np.uint16, copy=False
            )
        tissue = distance > _DISTANCE**2
        side = 2 * _CLOSING_RADIUS_PX + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        closed = cv2.morphologyEx(tissue.view(np.uint8), cv2.MORPH_CLOSE, disc).view(np.bool_)
        return TissueMask(closed, overview.slide, overview.scale_x, overview.scale_y, "threshold")
