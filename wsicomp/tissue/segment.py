"""Reading a slide far out, and the protocol of those who find tissue on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from wsicomp.concurrency import ordered_map
from wsicomp.geometry import Region, Size
from wsicomp.slide import Level, Pixels, Slide
from wsicomp.stages import StageProgress
from wsicomp.tissue.mask import TissueMask

_SMALLEST_SIDE_PX = 1024
_LARGEST_SIDE_PX = 2048
_STRIP_PIXELS = 1 << 22


@dataclass(frozen=True)
class Overview:
    """A whole slide in one array: (rows, columns, 3) uint8 RGB of at most 2048 px a side.

    `scale_x` and `scale_y` are level-0 pixels an overview pixel; `slide` is the slide's level-0 size.
    """

    pixels: Pixels
    slide: Size
    scale_x: float
    scale_y: float


class Segmenter(Protocol):
    """Finds tissue."""

    def segment(self, slide: Slide, overview: Overview) -> TissueMask:
        """The tissue of a slide, without any margin.

        Raises:
            SlideReadError: a part of the slide that it needs cannot be read.
        """
        ...


def read_overview(slide: Slide, workers: int, progress: StageProgress) -> Overview:
    """The slide at 2048 px or less a side, box-averaged from the coarsest level of at least 1024 px.

    Memory: the overview of at most 12 MB and, for each worker, strips of about 4 Mpx.

    Raises:
        TileReadError: a tile of that level cannot be decoded.
    """
    levels = slide.info.levels
    number = _overview_level(levels)
    size, tile = levels[number].size, levels[number].tile
    factor = -(-max(size.width, size.height) // _LARGEST_SIDE_PX)
    rows_at_once = max(1, _STRIP_PIXELS // (size.width * tile.height * factor)) * tile.height * factor
    strips = [
        Region(0, y, size.width, min(rows_at_once, size.height - y))
        for y in range(0, size.height, rows_at_once)
    ]
    parts = []
    for part in ordered_map(
        lambda strip: _box_reduced(slide.read_region(number, strip), factor), strips, workers
    ):
        parts.append(part)
        progress(len(parts), len(strips))
    largest = levels[0].size
    return Overview(
        np.concatenate(parts),
        largest,
        factor * largest.width / size.width,
        factor * largest.height / size.height,
    )


def _overview_level(levels: tuple[Level, ...]) -> int:
    large = [
        n for n, level in enumerate(levels) if max(level.size.width, level.size.height) >= _SMALLEST_SIDE_PX
    ]
    return large[-1] if large else 0


def _box_reduced(pixels: Pixels, factor: int) -> Pixels:
    if factor == 1:
        return pixels
    rows, columns = pixels.shape[:2]
    padded = cv2.copyMakeBorder(pixels, 0, -rows % factor, 0, -columns % factor, cv2.BORDER_REPLICATE)
    size = padded.shape[1] // factor, padded.shape[0] // factor
    return cv2.resize(padded, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
