"""The protocol of an open slide, and what holds for every reader that has pixels alone.

It knows nothing of how a file is parsed, what tissue is, or what will be written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.pixels import eighth
from wsicomp.errors import SlideReadError
from wsicomp.geometry import Mpp, Region, TileIndex
from wsicomp.plan.provenance import Provenance
from wsicomp.slide import EncodedTile, Pixels, SlideInfo

if TYPE_CHECKING:
    from wsicomp.formats.openslide import OpenSlideFile


class Slide(Protocol):
    """An open slide. Every method may be called from several threads at once."""

    @property
    def info(self) -> SlideInfo:
        """The facts that the file states: levels, scale, texts, associated images."""

    @property
    def provenance(self) -> Provenance | None:
        """The record of how wsicomp wrote the file; None for any other slide."""

    def read_encoded_tile(self, index: TileIndex) -> EncodedTile:
        """Return a tile's bytes unchanged, with their encoding; empty bytes where the file stores none.

        Raises:
            SlideReadError: this reader has no encoded tiles, or the file ends before the tile does.
        """

    def read_tile(self, index: TileIndex) -> Pixels:
        """Return a whole tile's pixels, (rows, columns, 3) uint8 RGB.

        An edge tile has the level's tile size too; beyond the level's edge it holds what the file stores. A
        tile without bytes shows what OpenSlide shows there, on white.

        Raises:
            DamagedTileError: the tile decodes only in part; the error holds the decoded part.
            TileReadError: the tile cannot be decoded.
        """

    def read_tile_eighth(self, index: TileIndex) -> Pixels:
        """Return a tile at an eighth of its size, (rows, columns, 3) uint8 RGB.

        Each pixel is the mean of a block of 8 x 8 pixels. Rows and columns are the tile's, divided by 8 and
        rounded up.

        Raises:
            TileReadError: the tile cannot be decoded.
        """

    def read_region(self, level: int, region: Region) -> Pixels:
        """Return the pixels of a region, (rows, columns, 3) uint8 RGB.

        `region` is in the level's own pixels and lies inside the level.

        Raises:
            TileReadError: a tile under the region cannot be decoded.
        """

    def tile_ranges(self, level: int) -> NDArray[np.int64]:
        """Return (tiles, 2): offset and byte count of each tile, in raster order.

        Return no rows where the reader has pixels alone.
        """

    def content_key(self, level: int, region: Region) -> bytes | None:
        """Return a key that is equal for regions of a level that show the same.

        `region` is in the level's own pixels. Return None where the reader cannot tell.
        """

    def is_exact(self, level: int) -> bool:
        """Return whether every pixel of a level is stored in the file, and not interpolated by OpenSlide."""

    def is_by_openslide(self, level: int) -> bool:
        """Return whether OpenSlide decodes a level's pixels, none of them interpolated.

        Then a comparison with OpenSlide says nothing.
        """

    def is_redrawn_by_openslide(self, level: int) -> bool:
        """Return whether OpenSlide shows something else than a level's stored tiles.

        It turns each tile within itself by the level's Orientation, and draws the levels of an SVS anew
        below a level that lacks tiles.
        """

    def shows_absent_white(self, level: int) -> bool:
        """Return whether tiles without bytes are white, and not drawn from the next larger level."""

    def stored_tile(self, index: TileIndex) -> EncodedTile:
        """Return a tile as the file stores it, packed or not.

        Raises:
            SlideReadError: this reader has no encoded tiles, or the file ends before the tile does.
        """

    def openslide_name(self, name: str) -> str | None:
        """Return the name of an associated image in OpenSlide.

        Return None where OpenSlide does not show the image, or may not.
        """

    @property
    def openslide_mpp(self) -> Mpp | None:
        """The um per px that OpenSlide reads from the file; None where it reads none."""

    def shown(self) -> OpenSlideFile:
        """Return the file as it is open in OpenSlide, the same at each call; closing the slide closes it.

        Raises:
            SlideReadError: OpenSlide does not open it.
        """

    def close(self) -> None:
        """Close the file; nothing can be read afterwards."""


class PixelsOnly(ABC):
    """The common part of readers of pixels: tiles from `read_region`, and answers about stored tiles."""

    _info: SlideInfo
    provenance: Provenance | None = None

    @property
    def info(self) -> SlideInfo:
        """The facts that the file states: levels, scale, texts, associated images."""
        return self._info

    @abstractmethod
    def read_region(self, level: int, region: Region) -> Pixels:
        """Return the pixels of a rectangle inside a level, given in that level's own pixels."""

    def read_tile(self, index: TileIndex) -> Pixels:
        """Return a whole tile's pixels; white beyond the level's edge."""
        level = self._info.levels[index.level]
        region = level.grid.region(index.column, index.row)
        pixels = self.read_region(index.level, region)
        if region.size == level.tile:
            return pixels
        tile = np.full((*level.tile.shape, 3), 255, np.uint8)
        tile[: region.height, : region.width] = pixels
        return tile

    def read_tile_eighth(self, index: TileIndex) -> Pixels:
        """Return the means of a tile's blocks of 8 x 8 pixels."""
        return eighth(self.read_tile(index))

    def read_encoded_tile(self, index: TileIndex) -> EncodedTile:
        """Refuse: the reader has pixels and no encoded tiles.

        Raises:
            SlideReadError: always.
        """
        raise SlideReadError("has no encoded tiles that can be copied", self._info.path, str(index))

    def stored_tile(self, index: TileIndex) -> EncodedTile:
        """Refuse: the reader has pixels and no encoded tiles.

        Raises:
            SlideReadError: always.
        """
        return self.read_encoded_tile(index)

    def tile_ranges(self, level: int) -> NDArray[np.int64]:  # noqa: ARG002
        """Return no rows, (0, 2): the places of tiles in the file are not known."""
        return np.empty((0, 2), np.int64)

    def content_key(self, level: int, region: Region) -> bytes | None:  # noqa: ARG002
        """Return None: the places of tiles in the file are not known."""
        return None

    def is_exact(self, level: int) -> bool:  # noqa: ARG002
        """Return True: every pixel of a level is stored in the file."""
        return True

    def is_by_openslide(self, level: int) -> bool:  # noqa: ARG002
        """Return False: the pixels are not OpenSlide's."""
        return False

    def is_redrawn_by_openslide(self, level: int) -> bool:  # noqa: ARG002
        """Return False: OpenSlide shows no other tiles than the reader knows."""
        return False

    def shows_absent_white(self, level: int) -> bool:  # noqa: ARG002
        """Return False: the reader knows no tiles without bytes."""
        return False

    def shown(self) -> OpenSlideFile:
        """Refuse: the pixels are not those of a file that OpenSlide opens.

        Raises:
            SlideReadError: always.
        """
        raise SlideReadError("is not open in OpenSlide", self._info.path)

    def openslide_name(self, name: str) -> str | None:
        """Return `name`, which is OpenSlide's own."""
        return name

    @property
    def openslide_mpp(self) -> Mpp | None:
        """The um per px that OpenSlide reads from the file; None where it reads none."""
        return self._info.mpp
