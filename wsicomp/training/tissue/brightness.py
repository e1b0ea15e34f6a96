"""Slides with grey levels added to every pixel, as a lamp or a camera does."""

from __future__ import annotations

import numpy as np

from wsicomp.formats.base import PixelsOnly, Slide
from wsicomp.geometry import Region, TileIndex
from wsicomp.slide import Pixels


def brightened(pixels: Pixels, added: int) -> Pixels:
    """Return pixels, uint8 in the same shape, plus `added` grey levels, cut off at 0 and 255."""
    return np.clip(pixels.astype(np.int16) + added, 0, 255).astype(np.uint8)


class BrightenedSlide(PixelsOnly):
    """Another slide's pixels plus `added` grey levels, cut off at 0 and 255."""

    def __init__(self, slide: Slide, added: int) -> None:
        self._slide, self._added, self._info = slide, added, slide.info

    def read_tile(self, index: TileIndex) -> Pixels:
        """Return a whole tile's pixels, (rows, columns, 3) uint8 RGB, brightened."""
        return brightened(self._slide.read_tile(index), self._added)

    def read_tile_eighth(self, index: TileIndex) -> Pixels:
        """Return a tile at an eighth of its size, (rows, columns, 3) uint8 RGB, brightened."""
        return brightened(self._slide.read_tile_eighth(index), self._added)

    def read_region(self, level: int, region: Region) -> Pixels:
        """Return the brightened pixels of a region in the level's own pixels, (rows, columns, 3) uint8."""
        return brightened(self._slide.read_region(level, region), self._added)

    def close(self) -> None:
        """Close the slide behind it."""
        self._slide.close()
