"""Encoded tiles of a level that OpenSlide shows, wherever its vendor's files hold them.

This module must not know any vendor, nor what a tile is good for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Size
from wsicomp.slide import TileEncoding


class TileBytes(Protocol):
    """The file or files that hold tiles. Any thread may read from them."""

    @property
    def path(self) -> Path:
        """The file that errors name."""

    def read(self, offset: int, count: int, place: object) -> bytes:
        """Return the bytes of the tile in this range; errors name it by `str(place)`.

        Raises:
            SlideReadError: the file ends before them, is closed, or cannot be read.
        """

    def close(self) -> None:
        """Close the files; nothing can be read afterwards."""


@dataclass(frozen=True)
class StoredTiles:
    """The tiles of a level, as its files hold them."""

    file: TileBytes
    """The file or files."""
    tile: Size
    """The size of a tile in pixels."""
    encoding: TileEncoding
    """How tiles are stored."""
    ranges: NDArray[np.int64] = field(repr=False)
    """(tiles, 2): offset and byte count of each tile in raster order, both 0 where nothing is stored."""


FindTiles = Callable[[Path, Sequence[Size]], Sequence[StoredTiles | str]]
"""Returns the tiles of each level of a slide, by its path and the sizes of its levels in OpenSlide.

Where tiles cannot be copied it says in words what they are, as they go behind "they are": "JPEG tiles that
overlap".
"""


def no_tiles(_: Path, sizes: Sequence[Size]) -> list[StoredTiles | str]:
    """Return nothing for each level, of a vendor whose tiles are not looked for."""
    return [""] * len(sizes)
