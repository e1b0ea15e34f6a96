"""What counts as a piece of tissue that must not be lost."""

import cv2
import numpy as np

LEAST_UM = 50


def has_large_piece(tissue, mpp):
    """Whether some connected piece is at least 50 um across."""
    _, _, boxes, _ = cv2.connectedComponentsWithStats(tissue.astype(np.uint8))
    return bool((boxes[1:, 2:4].max(axis=1, initial=0) * mpp >= LEAST_UM).any())
