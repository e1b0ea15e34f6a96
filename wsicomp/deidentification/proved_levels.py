"""Finds levels that show something else than the next larger level does.

Somebody may have written on a smaller level alone, or left a name there that was blacked out above.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency.threads import ordered_map
from wsicomp.errors import TileReadError
from wsicomp.formats.base import Slide
from wsicomp.formats.lower_levels import LowerLevels
from wsicomp.geometry import Region, Size, TileIndex
from wsicomp.slide import Pixels

_EIGHTH = 8
_WINDOW_PX = 16
_STRAY = ((16, 64), (32, 20))
"""Grey levels beyond the surroundings, and the most pixels of a window of 16 x 16 that may be further beyond.

Measured on `TCGA-CR-7395`, two breast sections and a biopsy, whose smaller levels are point samples and JPEG
at worst: at most 25 and 7.
"""


def unproved_levels(slide: Slide, workers: int) -> frozenset[int]:
    """Return the numbers of the levels that show something else than the next larger proved level.

    Level 0 is taken as it is, unless finer levels are left out, by which it is proved too.

    Memory: a row of tiles of both levels for each worker, the larger at an eighth.

    Raises:
        SlideReadError: a level cannot be read.
    """
    if isinstance(slide, LowerLevels):
        whole = unproved_levels(slide.whole, workers)
        return frozenset(number - slide.first for number in whole if number >= slide.first)
    found: set[int] = set()
    above = 0
    for number in range(1, len(slide.info.levels)):
        bands = _bands(slide, number, above)
        with closing(ordered_map(partial(_is_alike, slide, number, above), bands, workers)) as verdicts:
            is_proved = all(verdicts)
        if is_proved:
            above = number
        else:
            found.add(number)
    return frozenset(found)


def _bands(slide: Slide, number: int, above: int) -> Iterator[range]:
    """Yield rows of tiles of the larger level, as many at once as a tile of the smaller one is high."""
    level, larger = slide.info.levels[number], slide.info.levels[above]
    rows = max(1, round(level.tile.height * larger.size.height / level.size.height / larger.tile.height))
    for first in range(0, larger.grid.rows, rows):
        yield range(first, min(first + rows, larger.grid.rows))


def _is_alike(slide: Slide, number: int, above: int, rows: range) -> bool:
    """Return whether a level shows in a band what the larger one shows.

    Parts that cannot be read count as alike.
    """
    level, larger = slide.info.levels[number].size, slide.info.levels[above].size
    truth, is_known = _eighths(slide, above, rows)
    across, down = level.width / larger.width, level.height / larger.height
    top = min(level.height - 1, round(rows.start * slide.info.levels[above].tile.height * down))
    height, width = (
        max(1, round(side * _EIGHTH * ratio))
        for side, ratio in zip(truth.shape[:2], (down, across), strict=True)
    )
    region = Region(0, top, min(width, level.width), min(height, level.height - top))
    smaller, is_read = _read(slide, number, region)
    size = min(truth.shape[1], smaller.shape[1]), min(truth.shape[0], smaller.shape[0])
    first, second = (cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in (truth, smaller))
    known = cv2.resize(is_known & 1, size, interpolation=cv2.INTER_NEAREST)
    known &= cv2.resize(is_read & 1, size, interpolation=cv2.INTER_NEAREST)
    return not _strays(first, second, known.astype(np.bool_))


def _strays(truth: Pixels, smaller: Pixels, known: NDArray[np.bool_]) -> bool:
    """Return whether the smaller level is somewhere darker or lighter than all true pixels around."""
    square = np.ones((3, 3), np.uint8)
    under = cv2.subtract(cv2.erode(truth, square), smaller)
    over = cv2.subtract(smaller, cv2.dilate(truth, square))
    beyond = np.where(known, np.maximum(under, over).max(axis=-1), 0)
    for grey, most in _STRAY:
        stray = (beyond > grey).astype(np.float32)
        window = cv2.boxFilter(
            stray, -1, (_WINDOW_PX, _WINDOW_PX), normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        if window.max() > most + 0.5:
            return True
    return False


def _eighths(slide: Slide, number: int, rows: range) -> tuple[Pixels, NDArray[np.uint8]]:
    """Return rows of tiles reduced to their means of 8 x 8 px, and which pixels could be read."""
    level = slide.info.levels[number]
    tile = Size(*(-(-side // _EIGHTH) for side in (level.tile.width, level.tile.height)))
    shape = len(rows) * tile.height, level.grid.columns * tile.width
    picture, known = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
    for row in rows:
        for column in range(level.grid.columns):
            place = np.s_[(row - rows.start) * tile.height :, column * tile.width :]
            try:
                pixels = slide.read_tile_eighth(TileIndex(number, column, row))
            except TileReadError:
                continue
            picture[place][: tile.height, : tile.width] = pixels
            known[place][: tile.height, : tile.width] = 1
    height = min(level.size.height - rows.start * level.tile.height, len(rows) * level.tile.height)
    inside = np.s_[: max(1, height // _EIGHTH), : max(1, level.size.width // _EIGHTH)]
    return picture[inside], known[inside]


def _read(slide: Slide, number: int, region: Region) -> tuple[Pixels, NDArray[np.uint8]]:
    """Return a band of a level, and which pixels could be read."""
    try:
        return slide.read_region(number, region), np.ones(region.size.shape, np.uint8)
    except TileReadError:
        pass
    picture, known = np.zeros((*region.size.shape, 3), np.uint8), np.zeros(region.size.shape, np.uint8)
    step = slide.info.levels[number].tile.width
    for left in range(0, region.width, step):
        part = Region(region.x + left, region.y, min(step, region.width - left), region.height)
        try:
            picture[:, left : left + step] = slide.read_region(number, part)
        except TileReadError:
            continue
        known[:, left : left + step] = 1
    return picture, known
