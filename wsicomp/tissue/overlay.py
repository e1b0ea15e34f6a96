"""Drawing masks over pictures: outlines, shaded tiles, and marks that can be seen at any size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsicomp.atomic import completed
from wsicomp.slide import Level, Pixels

Color = tuple[int, int, int]


def resized(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask at another (rows, columns), nearest neighbour."""
    size = shape[1], shape[0]
    flags = np.ascontiguousarray(mask).view(np.uint8)
    return np.asarray(cv2.resize(flags, size, interpolation=cv2.INTER_NEAREST)).view(np.bool_)


def outlined(pixels: Pixels, mask: NDArray[np.bool_], color: Color, width_px: int = 2) -> Pixels:
    """A picture with the outline of a mask of any scale drawn on it."""
    flags = np.ascontiguousarray(resized(mask, pixels.shape[:2])).view(np.uint8)
    contours, _ = cv2.findContours(flags, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(pixels.copy(), contours, -1, color, width_px), np.uint8)


def shaded(pixels: Pixels, where: NDArray[np.bool_], color: Color, strength: float) -> Pixels:
    """A picture with a colour laid over part of it; `where` has the picture's (rows, columns)."""
    shade = pixels.copy()
    shade[where] = np.rint(pixels[where] * (1 - strength) + np.array(color) * strength).astype(np.uint8)
    return shade


PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""The suffixes of pictures, and how they are stored."""


def save_picture(pixels: Pixels, path: Path, overwrite: bool = False, root: Path | None = None) -> None:
    """Write a picture as its suffix says; it appears when it is complete.

    Raises:
        TargetExistsError: it is there, or came to be meanwhile, and `overwrite` is False.
        SlideWriteError: it cannot be written.
    """
    with completed(path, overwrite, root) as partial:
        Image.fromarray(pixels).save(partial, PICTURES[path.suffix.lower()], quality=90)


def tiles_to_pixels(tiles: NDArray[np.bool_], level: Level, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Flags of a level's tiles, (rows, columns) of its grid, over a picture of the level of that shape."""
    row, column = (
        ((np.arange(count) + 0.5) * pixels / count // tile).astype(np.intp)
        for count, pixels, tile in zip(shape, level.size.shape, level.tile.shape, strict=True)
    )
    return np.asarray(tiles[row[:, None], column])
