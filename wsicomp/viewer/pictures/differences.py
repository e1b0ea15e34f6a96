"""How two slides that show the same differ, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from wsicomp.codecs.quality import LEAST_SIDE_PX, psnr, ssim
from wsicomp.geometry import Region, TileIndex
from wsicomp.slide import Pixels
from wsicomp.viewer.pictures.shown_slide import ShownSlide
from wsicomp.viewer.pictures.views import SlideView


@dataclass(frozen=True, slots=True)
class ViewLikeness:
    """How alike two slides are in a view."""

    ssim: float | None
    """SSIM, at most 1; None where a side has less than 11 px."""
    psnr: float
    """PSNR in dB; infinite where every pixel is the same."""
    most: int
    """The largest difference of a sample, in grey levels."""


def difference_tile(first: ShownSlide, second: ShownSlide, index: TileIndex) -> Pixels:
    """Return |first - second| of a tile of `first`, (rows, columns, 3) uint8, cut at the level's edge.

    Where `second` has a level of the same size, its very pixels are taken; else it is drawn in that size.

    Raises:
        LookupError: `first` has no such tile.
        TileReadError: a tile under it cannot be decoded.
    """
    region = first.tile_region(index)
    return np.asarray(cv2.absdiff(first.read(index.level, region), alike(first, second, index.level, region)))


def alike(first: ShownSlide, second: ShownSlide, level: int, region: Region) -> Pixels:
    """Return what `second` shows in a region of a level of `first`, (rows, columns, 3) uint8 RGB.

    Raises:
        TileReadError: a tile under it cannot be decoded.
    """
    size = first.levels[level].size
    for number, own in enumerate(second.levels):
        if own.size == size:
            return second.read(number, region)
    scale_x, scale_y = second.info.size.width / size.width, second.info.size.height / size.height
    x, y = region.x * scale_x, region.y * scale_y
    return second.read_scaled(x, y, region.width * scale_x, region.height * scale_y, region.size)


def likeness_of_view(first: ShownSlide, second: ShownSlide, view: SlideView) -> ViewLikeness:
    """Return how alike two slides are in a view of the first one.

    Raises:
        TileReadError: a tile under it cannot be decoded.
    """
    level = first.number_of(view.level)
    one = first.read(level, view.region)
    other = alike(first, second, level, view.region)
    is_large = min(one.shape[:2]) >= LEAST_SIDE_PX
    most = int(np.max(cv2.absdiff(one, other)))
    return ViewLikeness(ssim(one, other) if is_large else None, psnr(one, other), most)
