"""Sizes, regions and tile grids of a slide: frozen values in integer pixels.

Everything here is arithmetic. It must not know files, codecs or masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels: the opposite order of a NumPy shape."""

    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns), the order of an array."""
        return self.height, self.width

    def reduced(self, downsample: int) -> Size:
        """Return the size after box reduction by the whole number `downsample`, at least 1 x 1.

        Partial boxes are left out.

        >>> Size(1001, 600).reduced(4)
        Size(width=250, height=150)
        """
        return Size(max(1, self.width // downsample), max(1, self.height // downsample))

    def __str__(self) -> str:
        return f"{self.width} x {self.height}"


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in the pixels of one level."""

    x: int
    """The left edge."""
    y: int
    """The upper edge."""
    width: int
    """The number of columns."""
    height: int
    """The number of rows."""

    @property
    def size(self) -> Size:
        """Width and height."""
        return Size(self.width, self.height)


@dataclass(frozen=True, slots=True, order=True)
class TileIndex:
    """The place of a tile: a cell of a level's tile grid."""

    level: int
    """The level, 0 is the largest."""
    column: int
    """The tile's column in the level's grid, from 0."""
    row: int
    """The tile's row in the level's grid, from 0."""

    def __str__(self) -> str:
        return f"level {self.level} tile ({self.column}, {self.row})"


@dataclass(frozen=True, slots=True)
class Mpp:
    """Micrometres per pixel along x and y."""

    x: float
    y: float

    @property
    def mean(self) -> float:
        """The mean of x and y, for distances that have no direction."""
        return (self.x + self.y) / 2


@dataclass(frozen=True, slots=True)
class TileGrid:
    """The tiles that cover a level, all of one size.

    The last column and row may reach past the level's edge.

    >>> grid = TileGrid(Size(1000, 600), Size(256, 256))
    >>> grid.columns, grid.rows, grid.count
    (4, 3, 12)
    """

    size: Size
    """The level's size."""
    tile: Size
    """The size of a tile."""

    @property
    def columns(self) -> int:
        """The number of tiles in a row."""
        return -(-self.size.width // self.tile.width)

    @property
    def rows(self) -> int:
        """The number of tiles in a column."""
        return -(-self.size.height // self.tile.height)

    @property
    def count(self) -> int:
        """The number of all tiles."""
        return self.columns * self.rows

    def region(self, column: int, row: int) -> Region:
        """Return a tile's rectangle in the level's pixels, cut at the level's edge.

        >>> TileGrid(Size(1000, 600), Size(256, 256)).region(3, 0)
        Region(x=768, y=0, width=232, height=256)
        """
        x, y = column * self.tile.width, row * self.tile.height
        width = min(self.tile.width, self.size.width - x)
        height = min(self.tile.height, self.size.height - y)
        return Region(x, y, width, height)

    def under(self, region: Region) -> tuple[slice, slice]:
        """Return (rows, columns) of the tiles under a region, in the level's own pixels, as slices."""
        rows = slice(region.y // self.tile.height, -(-(region.y + region.height) // self.tile.height))
        columns = slice(region.x // self.tile.width, -(-(region.x + region.width) // self.tile.width))
        return rows, columns

    def tiles_under(self, level: int, region: Region) -> Iterator[TileIndex]:
        """Yield the tiles under a region, in the level's own pixels, row by row from the top."""
        rows, columns = self.under(region)
        for row in range(rows.start, rows.stop):
            for column in range(columns.start, columns.stop):
                yield TileIndex(level, column, row)

    def raster(self, level: int) -> Iterator[TileIndex]:
        """Yield every tile, row by row from the top: the order in which a TIFF lists them."""
        for row in range(self.rows):
            for column in range(self.columns):
                yield TileIndex(level, column, row)


def parts_of_tiles(block: Region, tile: Size) -> Iterator[Region]:
    """Yield the parts of a region that lie in one tile each, in raster order.

    `block` and the parts are in the pixels of one level, whose tiles have the size `tile`.
    """
    for top in range(block.y // tile.height * tile.height, block.y + block.height, tile.height):
        for left in range(block.x // tile.width * tile.width, block.x + block.width, tile.width):
            x, y = max(left, block.x), max(top, block.y)
            right, bottom = (
                min(left + tile.width, block.x + block.width),
                min(top + tile.height, block.y + block.height),
            )
            yield Region(x, y, right - x, bottom - y)
