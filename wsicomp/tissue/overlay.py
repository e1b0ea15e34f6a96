"""Draw masks over pictures: outlines and shaded tiles."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsicomp.files.atomic import completed
from wsicomp.files.attributes import Attributes
from wsicomp.slide import Level, Pixels

Color = tuple[int, int, int]
"""RGB, each 0 to 255."""


def outlined(pixels: Pixels, mask: NDArray[np.bool_], color: Color, width_px: int = 2) -> Pixels:
    """Return a copy of the picture with the outline of a mask drawn on it.

    `mask` is (rows, columns) bool of any scale over the same area. `width_px` is the width of the line.
    """
    flags = np.ascontiguousarray(mask).view(np.uint8)
    flags = np.asarray(cv2.resize(flags, pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST))
    contours, _ = cv2.findContours(flags, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(pixels.copy(), contours, -1, color, width_px), np.uint8)


def shaded(pixels: Pixels, where: NDArray[np.bool_], color: Color, strength: float) -> Pixels:
    """Return the picture with a colour laid over the pixels that are True in `where`, (rows, columns) bool.

    `strength` is the colour's share, in [0, 1].
    """
    shade = pixels.copy()
    shade[where] = np.rint(pixels[where] * (1 - strength) + np.array(color) * strength).astype(np.uint8)
    return shade


PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""Suffixes of pictures, and their Pillow formats."""


def save_picture(
    pixels: Pixels,
    path: Path,
    overwrite: bool = False,
    root: Path | None = None,
    alike: Attributes | None = None,
) -> None:
    """Write a picture in the format of the suffix; the file appears when it is complete.

    `pixels` is (rows, columns, 3) uint8 RGB. Below `root` no folder may be a link; None allows links.
    It is open to the people of `alike`, by default to those of the umask.

    Raises:
        TargetExistsError: the file exists, or appeared meanwhile, and `overwrite` is False.
        SlideWriteError: the file cannot be written.
    """
    with completed(path, overwrite, root, alike) as partial:
        Image.fromarray(pixels).save(partial, PICTURES[path.suffix.lower()], quality=90)


def tiles_to_pixels(tiles: NDArray[np.bool_], level: Level, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return flags of a level's tiles as a mask over the whole level, in the given shape (rows, columns).

    `tiles` is (rows, columns) of the level's tile grid.
    """
    row, column = (
        ((np.arange(count) + 0.5) * pixels / count // tile).astype(np.intp)
        for count, pixels, tile in zip(shape, level.size.shape, level.tile.shape, strict=True)
    )
    return np.asarray(tiles[row[:, None], column])
