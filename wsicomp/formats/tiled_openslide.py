"""Slides whose facts are OpenSlide's, and whose tiles are read as their files store them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.pixels import eighth, unchanged
from wsicomp.codecs.registry import decode_tile, decode_tile_eighth
from wsicomp.formats.decoding import decoded_tile, region_of_tiles
from wsicomp.formats.openslide import OpenSlideSlide
from wsicomp.formats.stored_tiles import FindTiles, StoredTiles
from wsicomp.formats.tiff.directories import distinct_bytes
from wsicomp.geometry import Region, TileIndex
from wsicomp.slide import EncodedTile, Level, Pixels


class TiledOpenSlideSlide(OpenSlideSlide):
    """A slide as OpenSlide shows it, on whose levels encoded tiles can be copied, if `find` finds them.

    Other levels are pixels alone; `Level.form` says why.

    Args:
        find: Finds the tiles of the levels. The slide closes their files.

    Raises:
        SlideReadError: OpenSlide cannot open the file.
    """

    def __init__(self, path: Path, find: FindTiles) -> None:
        self._find = find
        self._found: Sequence[StoredTiles | str] = ()
        self._tiles: dict[int, StoredTiles] = {}
        try:
            super().__init__(path)
        except BaseException:
            self._close_tiles()
            raise

    def _level(self, number: int) -> Level:
        level = super()._level(number)
        if not self._found:
            self._found = self._find(self._shown.path, self._shown.sizes)
        tiles = self._found[number]
        if isinstance(tiles, str):
            return replace(level, form=tiles)
        self._tiles[number] = tiles
        missing = tuple(np.flatnonzero(tiles.ranges[:, 1] == 0).tolist())
        return replace(
            level,
            tile=tiles.tile,
            encoding=tiles.encoding,
            encoded_bytes=distinct_bytes(tiles.ranges),
            absent=missing,
            blank=missing,  # OpenSlide shows them transparent, on white: no target needs holes for them
        )

    def read_encoded_tile(self, index: TileIndex) -> EncodedTile:
        """Return a tile's bytes unchanged, with their encoding; empty bytes where the file stores none.

        Raises:
            SlideReadError: the level's tiles cannot be copied, or the file ends before the tile does.
        """
        tiles = self._tiles.get(index.level)
        if tiles is None:
            return super().read_encoded_tile(index)
        level = self._info.levels[index.level]
        offset, count = tiles.ranges[index.row * level.grid.columns + index.column].tolist()
        return EncodedTile(tiles.file.read(offset, count, index), tiles.encoding, tiles.tile)

    def read_tile(self, index: TileIndex) -> Pixels:
        """Return a whole tile's pixels, (rows, columns, 3) uint8 RGB; beyond the level's edge as stored.

        A tile without bytes is white.

        Raises:
            DamagedTileError: the tile decodes only in part; the error holds the decoded part.
            TileReadError: the tile cannot be decoded.
        """
        if index.level not in self._tiles:
            return super().read_tile(index)
        return self._decoded(index, decode_tile, unchanged)

    def read_tile_eighth(self, index: TileIndex) -> Pixels:
        """Return the means of a tile's blocks of 8 x 8 pixels.

        Raises:
            TileReadError: the tile cannot be decoded.
        """
        if index.level not in self._tiles:
            return super().read_tile_eighth(index)
        return self._decoded(index, decode_tile_eighth, eighth)

    def _decoded(
        self,
        index: TileIndex,
        decoder: Callable[[EncodedTile], Pixels],
        alike: Callable[[Pixels], Pixels],
    ) -> Pixels:
        """Return what `decoder` makes of a tile; `alike` makes the same of the white pixels of none."""
        tile = self.read_encoded_tile(index)
        if not tile.data:
            return alike(np.full((*tile.size.shape, 3), 255, np.uint8))
        return decoded_tile(tile, self._info.path, index, decoder)

    def read_region(self, level: int, region: Region) -> Pixels:
        """Return the pixels of a region in the level's own pixels, (rows, columns, 3) uint8 RGB.

        Raises:
            DamagedTileError: a tile decodes only in part; the error holds the decoded part of the region.
            TileReadError: a tile cannot be decoded, or OpenSlide cannot read the region.
        """
        if level not in self._tiles:
            return super().read_region(level, region)
        return region_of_tiles(self._info.levels[level].grid, level, region, self.read_tile)

    def tile_ranges(self, level: int) -> NDArray[np.int64]:
        """Return (tiles, 2): offset and byte count of each tile, in raster order; no rows without tiles.

        The files of a level count as if they stood one behind another.
        """
        tiles = self._tiles.get(level)
        return super().tile_ranges(level) if tiles is None else tiles.ranges

    def content_key(self, level: int, region: Region) -> bytes | None:
        """Return a key that is equal for regions of a level made of the same stored bytes.

        Return None where the level has no encoded tiles.
        """
        tiles = self._tiles.get(level)
        if tiles is None:
            return None
        grid = self._info.levels[level].grid
        rows, columns = grid.under(region)
        touched = tiles.ranges.reshape(grid.rows, grid.columns, 2)[rows, columns]
        cut = (region.x % grid.tile.width, region.y % grid.tile.height, *region.size.shape)
        return repr(cut).encode() + touched.tobytes()

    def is_by_openslide(self, level: int) -> bool:
        """Return whether OpenSlide decodes a level's pixels, none of them interpolated."""
        return level not in self._tiles and super().is_by_openslide(level)

    def shows_absent_white(self, level: int) -> bool:
        """Return whether tiles without bytes are known, and white."""
        return level in self._tiles

    def close(self) -> None:
        """Close the files."""
        super().close()
        self._close_tiles()

    def _close_tiles(self) -> None:
        for tiles in self._found:
            if isinstance(tiles, StoredTiles):
                tiles.file.close()
