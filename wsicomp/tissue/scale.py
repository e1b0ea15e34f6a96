"""Read a slide at a wanted scale: choose a level, and average blocks of its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from wsicomp.errors import ConfigError
from wsicomp.formats.base import Slide
from wsicomp.formats.stated_scale import MPP_AT_1X, plausible_mpp, power_of
from wsicomp.geometry import Region, Size
from wsicomp.slide import Pixels, SlideInfo
from wsicomp.tissue.mask import MOST_MASK_PIXELS

ASSUMED_MPP = 0.5
"""The um per px assumed for level 0 if the file states neither mpp nor objective power: a 20x scan's."""

_TOLERANCE = 0.1
_NEARLY = 1.15
_FINEST_MPP = 0.25
_STRIP_PX = 4_000_000
_BLOCK_PX = 512


@dataclass(frozen=True, slots=True)
class ReadingScale:
    """A reduced picture of the slide: each pixel is the mean of `factor` x `factor` pixels of one level."""

    level: int
    """The level that is read."""
    factor: int
    """The side of a block in the level's pixels, 1 or more."""
    size: Size
    """The picture's size; its last row and column may come from partial blocks."""
    mpp: float
    """The picture's um per px."""
    assumption: str | None = None
    """What was assumed about the scale, in words; None if the file states it."""

    @property
    def magnification(self) -> float:
        """The magnification as on a microscope: 10 at 1 um per px."""
        return MPP_AT_1X / self.mpp

    def reaches(self, magnification: float) -> bool:
        """Return whether the picture is at least as fine as a magnification, within 15 %."""
        return self.magnification * _NEARLY >= magnification


def stated_mpp(info: SlideInfo) -> tuple[float, str | None]:
    """Return um per level-0 pixel, and in words what was assumed about it, or None.

    It is the file's mpp if that is plausible, else 10 / objective power, else 0.5.
    """
    mpp = plausible_mpp(info)
    if mpp is not None:
        return mpp, None
    power = power_of(info.objective_power)
    if power is not None:
        mpp = MPP_AT_1X / power
        return mpp, f"level 0 had {mpp:g} um per px, by its objective power of {power:g}"
    why = "states no scale" if info.mpp is None else f"states {info.mpp.mean:.4g} um, which no slide has"
    return ASSUMED_MPP, f"level 0 had {ASSUMED_MPP:g} um per px, as at 20x: the source {why}"


def margin_in_px(info: SlideInfo, margin_um: float) -> float:
    """Return a margin in level-0 pixels.

    Without a plausible mpp, 0.25 um per px is taken: it gives the widest margin that the slide can need.
    """
    return margin_um / (plausible_mpp(info) or _FINEST_MPP)


def choose_scale(info: SlideInfo, mpp: float) -> ReadingScale:
    """Return the coarsest reading scale within 10 % of `mpp`, else the one nearest to it.

    A slide coarser than `mpp` is read as it is: nothing is ever enlarged.
    """
    at_level_0, assumption = stated_mpp(info)
    best: tuple[float, ReadingScale] | None = None
    for number, level in reversed(tuple(enumerate(info.levels))):
        at_level = at_level_0 * level.downsample
        factor = max(1, round(mpp / at_level))
        size = Size(-(-level.size.width // factor), -(-level.size.height // factor))
        deviation = abs(factor * at_level / mpp - 1)
        if best is None or deviation < best[0]:
            best = deviation, ReadingScale(number, factor, size, factor * at_level, assumption)
        if best[0] <= _TOLERANCE:
            break
    assert best is not None, "a slide has a level"
    return best[1]


def check_mask_size(scale: ReadingScale) -> None:
    """Refuse a scale at which the mask would be larger than any slide needs.

    Raises:
        ConfigError: the mask would have more than 2^27 pixels.
    """
    if scale.size.width * scale.size.height > MOST_MASK_PIXELS:
        found = f"a mask of {scale.size} px at {scale.magnification:.3g}x"
        raise ConfigError(f"{found}, expected at most 2^27 px; take a lower magnification")


def read_scaled(slide: Slide, scale: ReadingScale, region: Region) -> Pixels:
    """Return a region of the scaled picture, (rows, columns, 3) uint8 RGB.

    `region` is in pixels of the scaled picture.

    Memory: the result, and at most about 4 million pixels of the level at a time (at least one row of
    blocks).

    Raises:
        TileReadError: a tile of the level cannot be decoded.
    """
    level = slide.info.levels[scale.level].size
    factor = scale.factor
    left, right = region.x * factor, min((region.x + region.width) * factor, level.width)
    rows_at_once = max(1, _STRIP_PX // ((right - left) * factor))
    pixels = np.empty((region.height, region.width, 3), np.uint8)
    for row in range(0, region.height, rows_at_once):
        count = min(rows_at_once, region.height - row)
        top = (region.y + row) * factor
        bottom = min(top + count * factor, level.height)
        part = slide.read_region(scale.level, Region(left, top, right - left, bottom - top))
        pixels[row : row + count] = box_reduced(part, factor)
    return pixels


def block_side(tile_px: int, factor: int) -> int:
    """Return the side in pixels of blocks in which a level is read: whole boxes of `factor` pixels.

    Blocks are of whole tiles as well, unless that makes them far larger.

    >>> block_side(256, 8), block_side(240, 8), block_side(256, 15)
    (512, 480, 1020)
    """
    whole = math.lcm(tile_px, factor)
    if whole > max(2 * _BLOCK_PX, tile_px):
        return factor * max(1, 2 * _BLOCK_PX // factor)
    return whole * max(1, _BLOCK_PX // whole)


def box_reduced(pixels: Pixels, factor: int) -> Pixels:
    """Return the mean of each block of `factor` x `factor` pixels, (rows, columns, 3) uint8 RGB.

    Partial blocks at the right and lower edge are filled up with the edge's pixels.

    >>> box_reduced(np.full((5, 4, 3), 7, np.uint8), 2).shape
    (3, 2, 3)
    """
    if factor == 1:
        return pixels
    below, beside = (-side % factor for side in pixels.shape[:2])
    if below or beside:
        pixels = cv2.copyMakeBorder(pixels, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    size = pixels.shape[1] // factor, pixels.shape[0] // factor
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
