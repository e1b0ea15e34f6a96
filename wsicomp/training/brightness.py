"""A slide with grey levels added to every pixel, as a lamp or a camera may do."""

from __future__ import annotations

import numpy as np

from wsicomp.geometry import Region, TileIndex
from wsicomp.slide import EncodedTile, Pixels, Slide, SlideInfo


class BrightenedSlide:
    """Another slide's pixels plus `added` grey levels, cut off at 0 and 255."""

    def __init__(self, slide: Slide, added: int) -> None:
        self._slide, self._added = slide, added

    @property
    def info(self) -> SlideInfo:
        """As of the slide behind it."""
        return self._slide.info

    def read_encoded_tile(self, index: TileIndex) -> EncodedTile:
        """The bytes of the slide behind it, as bright as they are."""
        return self._slide.read_encoded_tile(index)

    def read_tile(self, index: TileIndex) -> Pixels:
        """A tile's pixels, brightened."""
        return self._brightened(self._slide.read_tile(index))

    def read_tile_eighth(self, index: TileIndex) -> Pixels:
        """Block means, brightened."""
        return self._brightened(self._slide.read_tile_eighth(index))

    def read_region(self, level: int, region: Region) -> Pixels:
        """A region's pixels, brightened."""
        return self._brightened(self._slide.read_region(level, region))

    def close(self) -> None:
        """Close the slide behind it."""
        self._slide.close()

    def _brightened(self, pixels: Pixels) -> Pixels:
        return np.clip(pixels.astype(np.int16) + self._added, 0, 255).astype(np.uint8)
