"""Read the scaled picture of a slide from its top down, each part of the slide once.

Patches overlap, and tiles lie across their borders: read patch by patch, a slide is decoded one and a half
times.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency.threads import ordered_map
from wsicomp.errors import TileReadError
from wsicomp.files.limits import workers_for
from wsicomp.formats.base import Slide
from wsicomp.geometry import Region, Size, TileGrid, TileIndex, parts_of_tiles
from wsicomp.slide import Pixels
from wsicomp.tissue.scale import ReadingScale, block_side, box_reduced


class ScaledRows:
    """The rows of a scaled picture that `regions` need, read ahead in threads. Close it after use.

    `regions` are in the scaled picture's pixels, row by row from the top. What none of them needs is never
    read.

    Memory: rows as high as the highest region and two blocks, as wide as the picture; and two blocks of at
    most about 1024 x 1024 px of the slide's level, or a tile, for each worker.
    """

    def __init__(self, slide: Slide, scale: ReadingScale, regions: Sequence[Region], workers: int) -> None:
        self._slide, self._scale = slide, scale
        tile = slide.info.levels[scale.level].tile
        sides = [block_side(side, scale.factor) // scale.factor for side in (tile.width, tile.height)]
        self._grid = TileGrid(scale.size, Size(*sides))
        self._is_wanted = self._wanted(regions)
        blocks = (TileIndex(0, column, row) for row, column in np.argwhere(self._is_wanted).tolist())
        level_block = Size(sides[0] * scale.factor, sides[1] * scale.factor)
        self._blocks = ordered_map(self._read, blocks, workers_for(level_block, workers))
        highest = max((region.height for region in regions), default=0)
        self._rows_held = -(-highest // sides[1]) + 1
        self._pixels = np.zeros((self._rows_held * sides[1], scale.size.width, 3), np.uint8)
        self._first = self._next = 0
        self._unread: list[Region] = []

    def close(self) -> None:
        """Stop reading ahead."""
        self._blocks.close()

    def read(self, region: Region) -> Pixels | None:
        """Return one of the regions, (rows, columns, 3) uint8 RGB; None if a tile under it cannot be read.

        No region may begin above an earlier one. The pixels are valid until the next call.
        """
        rows, _ = self._grid.under(region)
        self._drop_above(rows.start)
        while self._next < rows.stop:
            self._fill(self._next)
            self._next += 1
        if any(_overlap(self._on_level(region), unread) for unread in self._unread):
            return None
        top = region.y - self._first * self._grid.tile.height
        return self._pixels[top : top + region.height, region.x : region.x + region.width]

    def _wanted(self, regions: Sequence[Region]) -> NDArray[np.bool_]:
        wanted = np.zeros((self._grid.rows, self._grid.columns), np.bool_)
        for region in regions:
            wanted[self._grid.under(region)] = True
        return wanted

    def _drop_above(self, row: int) -> None:
        """Move the rows of blocks from `row` on to the top."""
        height = self._grid.tile.height
        for place in range(max(0, self._next - row)):  # one by one: together they would be copied twice
            to, at = place * height, (place + row - self._first) * height
            self._pixels[to : to + height] = self._pixels[at : at + height]
        self._first, self._next = row, max(row, self._next)

    def _fill(self, row: int) -> None:
        for column in np.flatnonzero(self._is_wanted[row]).tolist():
            block = self._grid.region(column, row)
            pixels, unread = next(self._blocks)
            top = (row - self._first) * self._grid.tile.height
            self._pixels[top : top + block.height, block.x : block.x + block.width] = pixels
            self._unread.extend(unread)

    def _read(self, index: TileIndex) -> tuple[Pixels, list[Region]]:
        """Return a block of the picture, and the parts of it that cannot be read, in the level's pixels."""
        part = self._on_level(self._grid.region(index.column, index.row))
        try:
            return box_reduced(self._slide.read_region(self._scale.level, part), self._scale.factor), []
        except TileReadError:
            pixels, unread = self._tile_by_tile(part)
            return box_reduced(pixels, self._scale.factor), unread

    def _tile_by_tile(self, part: Region) -> tuple[Pixels, list[Region]]:
        pixels = np.zeros((*part.size.shape, 3), np.uint8)
        unread: list[Region] = []
        for tile in parts_of_tiles(part, self._slide.info.levels[self._scale.level].tile):
            x, y = tile.x - part.x, tile.y - part.y
            try:
                pixels[y : y + tile.height, x : x + tile.width] = self._slide.read_region(
                    self._scale.level, tile
                )
            except TileReadError:
                unread.append(tile)
        return pixels, unread

    def _on_level(self, region: Region) -> Region:
        """Return a region of the picture in the pixels of the level that is read."""
        factor, size = self._scale.factor, self._slide.info.levels[self._scale.level].size
        x, y = region.x * factor, region.y * factor
        width, height = region.width * factor, region.height * factor
        return Region(x, y, min(width, size.width - x), min(height, size.height - y))


def _overlap(first: Region, second: Region) -> bool:
    return (
        first.x < second.x + second.width
        and second.x < first.x + first.width
        and first.y < second.y + second.height
        and second.y < first.y + first.height
    )
