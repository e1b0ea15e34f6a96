"""Pixels that are costly to come by, kept for the tiles around them and for coarser levels.

A tile of a coarse level that a file lacks takes many tiles of a finer one, and a stored tile of 4096 px or a
strip as wide as the slide is decoded whole for each picture that shows a part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

import numpy as np
from cachetools import LRUCache

from wsicomp.errors import DamagedTileError
from wsicomp.geometry import Region, Size, TileGrid, parts_of_tiles
from wsicomp.slide import Pixels

KEPT_BYTES = 48 << 20
"""The most bytes that are kept of a slide's own level: one tile of 4096 px."""
KEPT_MADE_BYTES = 24 << 20
"""The most bytes that are kept of a level that is made here."""
_LOCKS = 8

ReadBlock = Callable[[int, Region], Pixels]
"""Returns the pixels of a block of a level."""
Place = tuple[int, int]
"""A block's column and row."""


class KeptBlocks:
    """Reads regions of a slide's levels block by block, and keeps the last blocks. Any thread may read.

    Each level keeps its own: the many blocks of a fine level do not push out those made of them. A damaged
    block is not kept. It does not know the slide: a slide that it knew would stay open, in a circle, until
    garbage is looked for.

    Args:
        kept_bytes: The most bytes that each level keeps.
    """

    def __init__(self, kept_bytes: Sequence[int]) -> None:
        self._blocks: list[LRUCache[Place, Pixels]] = [
            LRUCache(most, getsizeof=lambda pixels: pixels.nbytes) for most in kept_bytes
        ]
        self._lock = Lock()
        # A block waits for blocks of finer levels alone, so no two threads wait for each other.
        self._making = [[Lock() for _ in range(_LOCKS)] for _ in kept_bytes]

    def region(self, read: ReadBlock, number: int, grid: TileGrid, region: Region) -> Pixels:
        """Return a region of a level, (rows, columns, 3) uint8 RGB; the tiles of `grid` are the blocks.

        `read` returns the pixels of a block of a level, where it is not kept.

        Raises:
            DamagedTileError: a block decodes only in part; the error holds the decoded part of the region.
            TileReadError: a block cannot be decoded.
        """
        found = np.empty((*region.size.shape, 3), np.uint8)
        damage: DamagedTileError | None = None
        for part in parts_of_tiles(region, grid.tile):
            column, row = part.x // grid.tile.width, part.y // grid.tile.height
            whole = grid.region(column, row)
            try:
                pixels = self._block(read, number, (column, row), whole)
            except DamagedTileError as exc:
                pixels, damage = exc.pixels, exc
            rows = slice(part.y - whole.y, part.y - whole.y + part.height)
            columns = slice(part.x - whole.x, part.x - whole.x + part.width)
            y, x = part.y - region.y, part.x - region.x
            found[y : y + part.height, x : x + part.width] = pixels[rows, columns]
        if damage is not None:
            damage.pixels = found
            raise damage
        return found

    def _block(self, read: ReadBlock, number: int, place: Place, whole: Region) -> Pixels:
        blocks = self._blocks[number]
        with self._making[number][hash(place) % _LOCKS]:
            with self._lock:
                kept: Pixels | None = blocks.get(place)
            if kept is None:
                kept = read(number, whole)
                with self._lock:
                    blocks[place] = kept
            return kept


def may_be_kept(block: Size) -> bool:
    """Return whether a block of a slide's own is small enough to be kept."""
    return 3 * block.width * block.height <= KEPT_BYTES
