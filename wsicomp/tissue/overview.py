"""Read a whole slide into a small picture, the overview."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from wsicomp.concurrency.threads import ordered_map
from wsicomp.errors import DamagedTileError, TileReadError
from wsicomp.files.limits import workers_for
from wsicomp.formats.base import Slide
from wsicomp.formats.resample import read_decodable
from wsicomp.geometry import Region, Size, TileGrid
from wsicomp.progress import StageProgress
from wsicomp.slide import Level, Pixels
from wsicomp.tissue.scale import ReadingScale, block_side, box_reduced

_SMALLEST_SIDE_PX = 1024
_LARGEST_SIDE_PX = 2048
_KEY_BYTES = 16
_TISSUE = (200, 120, 170)


@dataclass(frozen=True)
class Overview:
    """A whole slide in one picture of at most 2048 px a side."""

    pixels: Pixels
    """(rows, columns, 3) uint8 RGB."""
    slide: Size
    """The size of level 0."""
    scale_x: float
    """Level-0 pixels in the width of an overview pixel."""
    scale_y: float
    """Level-0 pixels in the height of an overview pixel."""
    read_at: tuple[int, int] | None = None
    """(level, factor): each pixel is the mean of `factor` x `factor` pixels of this level, all of them read.

    None where a part could not be read, or the pixels were changed.
    """

    def scaled(self, scale: ReadingScale, region: Region) -> Pixels | None:
        """Return a region of a scaled picture of the slide, (rows, columns, 3) uint8 RGB.

        It is what `read_scaled` returns or, where the overview is finer, within a grey level of it. Return
        None where the overview does not show the picture. `region` is in pixels of the scaled picture.
        """
        if self.read_at is None or self.read_at[0] != scale.level or scale.factor % self.read_at[1]:
            return None
        by = scale.factor // self.read_at[1]
        rows, columns = (
            slice(start * by, (start + length) * by)
            for start, length in ((region.y, region.height), (region.x, region.width))
        )
        return box_reduced(self.pixels[rows, columns], by)


def read_overview(slide: Slide, workers: int, progress: StageProgress) -> Overview:
    """Return the slide at 2048 px or less a side: box averages of the coarsest level of at least 1024 px.

    Parts that cannot be decoded get the colour of tissue, so that they are kept.

    Memory: the overview of at most 12 MB and, for each worker, two blocks of about 512 x 512 px or a tile.

    Raises:
        TileReadError: no tile of any level can be decoded.
    """
    error: TileReadError | None = None
    for number in range(_overview_level(slide.info.levels), -1, -1):
        try:
            return _read_level(slide, number, workers, progress)
        except TileReadError as exc:
            error = exc  # no tile of it is sound, so the next larger level is tried
    assert error is not None, "a slide has a level"
    raise error


def _read_level(slide: Slide, number: int, workers: int, progress: StageProgress) -> Overview:
    levels = slide.info.levels
    size = levels[number].size
    factor = 1
    while max(size.width, size.height) > factor * _LARGEST_SIDE_PX:
        factor *= 2
    pixels = np.empty((-(-size.height // factor), -(-size.width // factor), 3), np.uint8)
    blocks = list(_blocks(levels[number], factor))
    twins = _twins(slide, number, blocks)
    read = [block for block in blocks if block not in twins]

    failures: list[TileReadError] = []

    def reduced(block: Region) -> Pixels:
        return box_reduced(_read(slide, number, block, failures), factor)

    with closing(ordered_map(reduced, read, workers_for(blocks[0].size, workers))) as parts:
        for done, (block, part) in enumerate(zip(read, parts, strict=True), 1):
            _within(pixels, block, factor)[:] = part
            progress(done, len(read))
    for block, twin in twins.items():
        _within(pixels, block, factor)[:] = _within(pixels, twin, factor)
    lost = [failure for failure in failures if not isinstance(failure, DamagedTileError)]
    if len(lost) == len(read):
        raise lost[0]
    scale_x = factor * levels[0].size.width / size.width
    scale_y = factor * levels[0].size.height / size.height
    read_at = None if failures else (number, factor)
    return Overview(pixels, levels[0].size, scale_x, scale_y, read_at)


def _twins(slide: Slide, level: int, blocks: list[Region]) -> dict[Region, Region]:
    """Return, for each block with the same content as an earlier one, the first such block."""
    first: dict[bytes, Region] = {}
    twins = {}
    for block in blocks:
        key = slide.content_key(level, block)
        if key is not None:
            twin = first.setdefault(hashlib.blake2b(key, digest_size=_KEY_BYTES).digest(), block)
            if twin is not block:
                twins[block] = twin
    return twins


def _within(pixels: Pixels, block: Region, factor: int) -> Pixels:
    """Return the part of an overview that shows a block, as a view."""
    top, left = block.y // factor, block.x // factor
    return pixels[top : -(-(block.y + block.height) // factor), left : -(-(block.x + block.width) // factor)]


def _read(slide: Slide, level: int, block: Region, failures: list[TileReadError]) -> Pixels:
    """Return a block, tile by tile if it cannot be read as a whole; add what is wrong to `failures`."""
    try:
        return read_decodable(slide, level, block, _TISSUE)
    except DamagedTileError as exc:
        failures.append(exc)
        pixels: Pixels = exc.pixels
        return pixels
    except TileReadError as exc:
        failures.append(exc)
        return np.full((*block.size.shape, 3), _TISSUE, np.uint8)


def _blocks(level: Level, factor: int) -> Iterator[Region]:
    """Yield regions that cover a level, of whole boxes and, unless they are far larger, whole tiles."""
    width, height = (block_side(side, factor) for side in (level.tile.width, level.tile.height))
    grid = TileGrid(level.size, Size(width, height))
    return (grid.region(index.column, index.row) for index in grid.raster(0))


def _overview_level(levels: tuple[Level, ...]) -> int:
    large = [
        n for n, level in enumerate(levels) if max(level.size.width, level.size.height) >= _SMALLEST_SIDE_PX
    ]
    return large[-1] if large else 0
