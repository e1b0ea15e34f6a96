"""A trained network as a teacher: a smaller one learns what it finds beside the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wsicomp.slide import Pixels
from wsicomp.tissue.segmenters.unet import LiteRtNetwork
from wsicomp.tissue.segmenters.weights import load_weights
from wsicomp.tissue.white_balance import WhitePoint, white_balanced
from wsicomp.training.data.labels import IGNORED, TISSUE, Labels


class Teacher:
    """A network that teaches another one, with `share` of the say where labels score.

    Raises:
        WeightsError: the network is missing, differs from its manifest, or cannot run.
    """

    def __init__(self, manifest: Path, share: float) -> None:
        self._network, self._share = LiteRtNetwork(load_weights(manifest), 1), share

    def taught(self, pixels: Pixels, labels: Labels, light: WhitePoint) -> Labels:
        """Return what is to be learnt of a patch, (rows, columns) uint8: 0 glass to 255 tissue.

        `pixels` is (rows, columns, 3) uint8 RGB; the teacher sees them in even light, as conversions show
        them. Where labels do not score, it teaches alone; outside the box of those that do, which may be
        padding, nothing is learnt.
        """
        scores = labels != IGNORED
        found = self._network.tissue(white_balanced(pixels, light)) * TISSUE
        share = np.where(scores, np.float32(self._share), np.float32(1))
        taught: Labels = np.rint(found * share + labels * (1 - share)).astype(np.uint8)
        taught[taught == IGNORED] -= 1  # which would not be learnt
        for axis, lines in enumerate((scores.any(axis=1), scores.any(axis=0))):
            beyond = ~(np.logical_or.accumulate(lines) & np.logical_or.accumulate(lines[::-1])[::-1])
            np.moveaxis(taught, axis, 0)[beyond] = IGNORED
        return taught
