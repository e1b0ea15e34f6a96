"""Regions as arrays, of pictures too: with alpha, or laid on white."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsicomp.openslide_api.errors import SlideArgumentError
from wsicomp.slide import Pixels, Rgba

RGB, RGBA = 3, 4
"""The counts of channels that an array may have."""


def check_channels(channels: object) -> None:
    """Refuse another count of channels than an array may have.

    Raises:
        SlideArgumentError: `channels` is not 3 or 4.
    """
    if channels not in (RGB, RGBA):
        raise SlideArgumentError(f"`channels={channels!r}`; expected 3 or 4")


def array_of(picture: Image.Image, channels: int) -> NDArray[np.uint8]:
    """Return an RGBA picture as an array of its own, (rows, columns, channels) uint8."""
    region = np.array(picture, np.uint8).reshape(picture.height, picture.width, RGBA)
    return region if channels == RGBA else on_white(region)


def on_white(region: Rgba) -> Pixels:
    """Return a region as RGB, laid on white where it is transparent.

    >>> on_white(np.array([[[10, 20, 30, 255], [0, 0, 0, 0]]], np.uint8)).tolist()
    [[[10, 20, 30], [255, 255, 255]]]
    """
    if not region.size:
        return np.empty((*region.shape[:2], RGB), np.uint8)
    pixels = np.asarray(cv2.cvtColor(region, cv2.COLOR_RGBA2RGB), np.uint8)
    partly = region[..., 3] != 255
    if partly.any():
        part = region[partly].astype(np.uint32)
        colors, opacity = part[:, :3], part[:, 3:]
        # Pillow's rounding, as in DeepZoom's tiles.
        sums = colors * opacity + 255 * (255 - opacity) + 128
        pixels[partly] = (sums + (sums >> 8)) >> 8
    return pixels
