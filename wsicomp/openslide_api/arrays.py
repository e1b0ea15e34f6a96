"""What regions as arrays have in common: with alpha, or laid on white."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsicomp.formats.openslide import on_white
from wsicomp.openslide_api.errors import SlideArgumentError

RGB, RGBA = 3, 4
"""The counts of channels that an array may have."""


def check_channels(channels: object) -> None:
    """Refuse another count of channels than an array may have.

    Raises:
        SlideArgumentError: `channels` is not 3 or 4.
    """
    if channels not in (RGB, RGBA):
        raise SlideArgumentError(f"an array of {channels!r} channels; expected 3 or 4")


def array_of(picture: Image.Image, channels: int) -> NDArray[np.uint8]:
    """Return an RGBA picture as an array of its own, (rows, columns, channels) uint8."""
    if not picture.width * picture.height:
        return np.empty((picture.height, picture.width, channels), np.uint8)
    region = np.array(picture, np.uint8)
    return region if channels == RGBA else on_white(region)
