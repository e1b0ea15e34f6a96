"""Sizes, regions and tile grids of a slide: frozen, in integer pixels, without I/O.

Everything here is arithmetic. It must not know files, codecs or masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels; the opposite order of a NumPy shape."""

    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns), the order of an array."""
        return self.height, self.width

    def reduced(self, downsample: int) -> Size:
        """The size after box reduction by a whole number, partial boxes dropped, at least 1 x 1."""
        return Size(max(1, self.width // downsample), max(1, self.height // downsample))

    def __str__(self) -> str:
        return f"{self.width} x {self.height}"


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in the pixels of one level; `x` and `y` are its upper left corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def size(self) -> Size:
        """The extent of the rectangle."""
        return Size(self.width, self.height)


@dataclass(frozen=True, slots=True, order=True)
class TileIndex:
    """A cell of a level's tile grid."""

    level: int
    column: int
    row: int

    def __str__(self) -> str:
        return f"level {self.level} tile ({self.column}, {self.row})"


@dataclass(frozen=True, slots=True)
class Mpp:
    """Micrometres per pixel along x and y."""

    x: float
    y: float

    @property
    def mean(self) -> float:
        """The mean of both directions, for distances without one."""
        return (self.x + self.y) / 2


@dataclass(frozen=True, slots=True)
class TileGrid:
    """The tiles that cover a level: all of one size, the last column and row reach past the edge."""

    size: Size
    tile: Size

    @property
    def columns(self) -> int:
        """Tiles in a row."""
        return -(-self.size.width // self.tile.width)

    @property
    def rows(self) -> int:
        """Tiles in a column."""
        return -(-self.size.height // self.tile.height)

    @property
    def count(self) -> int:
        """Tiles in all."""
        return self.columns * self.rows

    def region(self, column: int, row: int) -> Region:
        """The tile's rectangle in this level's pixels, cut at the level's edge."""
        x, y = column * self.tile.width, row * self.tile.height
        width = min(self.tile.width, self.size.width - x)
        height = min(self.tile.height, self.size.height - y)
        return Region(x, y, width, height)

    def under(self, region: Region) -> tuple[slice, slice]:
        """The rows and columns of the tiles that a rectangle of this level touches."""
        rows = slice(region.y // self.tile.height, -(-(region.y + region.height) // self.tile.height))
        columns = slice(region.x // self.tile.width, -(-(region.x + region.width) // self.tile.width))
        return rows, columns

    def raster(self, level: int) -> Iterator[TileIndex]:
        """Every tile, row by row from the top: the order in which a TIFF lists them."""
        for row in range(self.rows):
            for column in range(self.columns):
                yield TileIndex(level, column, row)


def parts_of_tiles(block: Region, tile: Size) -> Iterator[Region]:
    """The parts of a block that lie in one tile each."""
    for top in range(block.y // tile.height * tile.height, block.y + block.height, tile.height):
        for left in range(block.x // tile.width * tile.width, block.x + block.width, tile.width):
            x, y = max(left, block.x), max(top, block.y)
            right, bottom = (
                min(left + tile.width, block.x + block.width),
                min(top + tile.height, block.y + block.height),
            )
            yield Region(x, y, right - x, bottom - y)
