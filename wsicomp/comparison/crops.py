"""Pieces of tissue at native pixels: the source, what a codec makes of it, and the difference amplified."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsicomp.codecs.tile_quality import TileFidelity
from wsicomp.comparison.results import Crop, SlideComparison
from wsicomp.geometry import Region, Size
from wsicomp.slide import Pixels

SIDE_PX = 160
TYPICAL, WORST = "typical", "worst"
LIKENESS = 0.95
"""The SSIM of which the page shows an example, where the user bounds none."""
AMPLIFIED = 8
"""How many times the difference is amplified, around middle grey."""

_BLUR_PX = 31


@dataclass(frozen=True)
class TileOfLevel:
    """A tile that was measured, and where it is in its level."""

    tile: TileFidelity
    """What was measured."""
    region: Region
    """Its rectangle in px of its level."""
    level_size: Size
    """Width and height of the level in px."""

    def place(self, x: int, y: int, width: int, height: int) -> tuple[float, float, float, float]:
        """Return a rectangle in the tile's own px as parts of the level's width and height."""
        whole, region = self.level_size, self.region
        left, top = (region.x + x) / whole.width, (region.y + y) / whole.height
        return left, top, width / whole.width, height / whole.height


def draw_crop(codec: str, kind: str, where: TileOfLevel, source: Pixels, decoded: Pixels) -> Crop:
    """Return a part of a tile, at most 160 px a side, as three lossless pictures.

    `source` and `decoded` are the whole tile, (rows, columns, 3) uint8 RGB each. `kind` is `TYPICAL` or
    `WORST`. Of the worst tile the part is where the two differ most; of the typical one it is the middle, for
    every codec.
    """
    before, after = source.astype(np.int16), decoded.astype(np.int16)
    error = np.abs(after - before).sum(axis=2).astype(np.float32)
    top, left = _worst_place(error) if kind == WORST else _corner(error, *(np.array(error.shape) // 2))
    part = np.s_[top : top + SIDE_PX, left : left + SIDE_PX]
    difference = np.clip(128 + AMPLIFIED * (after - before)[part], 0, 255).astype(np.uint8)
    pictures = (_url(source[part]), _url(decoded[part]), _url(difference))
    height, width = source[part].shape[:2]
    place = where.place(left, top, width, height)
    return Crop(codec, kind, str(where.tile.index), place, where.tile.ssim, *pictures)


def examples_of_loss(slides: Iterable[SlideComparison], ssim: float) -> tuple[Crop, ...]:
    """Return the piece of tissue whose tile comes nearest to this SSIM, and the one of the worst tile."""
    crops = [crop for slide in slides for crop in slide.crops]
    if not crops:
        return ()
    nearest = min(crops, key=lambda crop: abs(crop.ssim - ssim))
    worst = min(crops, key=lambda crop: crop.ssim)
    return (nearest,) if worst.ssim == nearest.ssim else (nearest, worst)


def _worst_place(error: NDArray[np.float32]) -> tuple[int, int]:
    """Return the upper left corner of the window around the largest error in one place."""
    smooth = cv2.blur(error, (_BLUR_PX, _BLUR_PX))
    row, column = np.unravel_index(int(smooth.argmax()), smooth.shape)
    return _corner(error, int(row), int(column))


def _corner(error: NDArray[np.float32], row: int, column: int) -> tuple[int, int]:
    """Return the upper left corner of the window around a pixel, inside of the tile."""
    return (
        int(np.clip(row - SIDE_PX // 2, 0, max(0, error.shape[0] - SIDE_PX))),
        int(np.clip(column - SIDE_PX // 2, 0, max(0, error.shape[1] - SIDE_PX))),
    )


def _url(pixels: Pixels) -> str:
    """Return pixels as a data URL of lossless WebP, which browsers show exactly."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "WEBP", lossless=True, quality=60)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
