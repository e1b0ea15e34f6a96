"""Block means for the formats that have no quicker way to them."""

from __future__ import annotations

import cv2
import numpy as np

from wsicomp.slide import Pixels


def eighth(pixels: Pixels) -> Pixels:
    """The means of blocks of 8 x 8 pixels, those at the right and lower edge of what there is."""
    rows, columns = -(-pixels.shape[0] // 8), -(-pixels.shape[1] // 8)
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
