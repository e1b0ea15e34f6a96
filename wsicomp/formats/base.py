"""What every reader promises: the `Slide` protocol, and what holds for readers of pixels alone.

It must not know how a file is parsed, what tissue is, or what will be written.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import SlideReadError
from wsicomp.geometry import Mpp, Region, TileIndex
from wsicomp.provenance import Provenance
from wsicomp.slide import EncodedTile, Pixels, SlideInfo


class Slide(Protocol):
    """An open slide. Every method may be called from several threads at once."""

    @property
    def info(self) -> SlideInfo:
        """What the file says of itself."""
        ...

    @property
    def provenance(self) -> Provenance | None:
        """What a file of ours says of its own making; None for any other slide."""
        ...

    @property
    def is_by_openslide(self) -> bool:
        """Whether OpenSlide reads its pixels, so that there is nothing to compare with OpenSlide's."""
        ...

    def read_encoded_tile(self, index: TileIndex) -> EncodedTile:
        """A tile's bytes, untouched; empty bytes where the file stores none.

        Raises:
            SlideReadError: this reader has no encoded tiles, or the file ends before the tile does.
        """
        ...

    def read_tile(self, index: TileIndex) -> Pixels:
        """A whole tile's pixels.

        An edge tile too has the level's tile size; what lies outside is whatever the file stores. A tile
        that the file does not store shows what OpenSlide shows there, on white.

        Raises:
            DamagedTileError: it decodes only in part; the error holds what there is.
            TileReadError: the tile cannot be decoded.
        """
        ...

    def read_tile_eighth(self, index: TileIndex) -> Pixels:
        """The means of a tile's blocks of 8 x 8 pixels, in as many rows and columns as they fill.

        Raises:
            TileReadError: the tile cannot be decoded.
        """
        ...

    def read_region(self, level: int, region: Region) -> Pixels:
        """The pixels of a rectangle that lies inside the level, in the level's own pixels.

        Raises:
            TileReadError: a tile that it touches cannot be decoded.
        """
        ...

    def tile_ranges(self, level: int) -> NDArray[np.int64]:
        """(tiles, 2): offset and byte count of each tile in raster order; no rows of pixels alone."""
        ...

    def content_key(self, level: int, region: Region) -> bytes | None:
        """Equal for regions of a level that show the same; None where that is not known."""
        ...

    def is_exact(self, level: int) -> bool:
        """Whether every pixel of a level is its own, and none one that OpenSlide interpolated."""
        ...

    def is_turned_by_openslide(self, level: int) -> bool:
        """Whether OpenSlide turns each tile of a level within itself."""
        ...

    def shows_absent_white(self, level: int) -> bool:
        """Whether a level's tiles without bytes are white, and not drawn from the next larger level."""
        ...

    def stored_tile(self, index: TileIndex) -> EncodedTile:
        """A tile as the file stores it, packed or not.

        Raises:
            SlideReadError: as `read_encoded_tile`.
        """
        ...

    def openslide_name(self, name: str) -> str | None:
        """Under which name OpenSlide shows an associated image; None where it does not, or that is unsure."""
        ...

    @property
    def openslide_mpp(self) -> Mpp | None:
        """The scale that OpenSlide reads from the file."""
        ...

    def close(self) -> None:
        """Close the file; nothing can be read afterwards."""
        ...


class PixelsOnly:
    """What holds for a slide of which a reader has pixels and no stored tiles."""

    _info: SlideInfo
    provenance: Provenance | None = None
    is_by_openslide = False

    @property
    def info(self) -> SlideInfo:
        """What the file says of itself."""
        return self._info

    def read_encoded_tile(self, index: TileIndex) -> EncodedTile:
        """Refuse.

        Raises:
            SlideReadError: always; there are pixels alone.
        """
        raise SlideReadError("has no encoded tiles that can be copied", self._info.path, str(index))

    def stored_tile(self, index: TileIndex) -> EncodedTile:
        """Refuse, as `read_encoded_tile`."""
        return self.read_encoded_tile(index)

    def tile_ranges(self, level: int) -> NDArray[np.int64]:  # noqa: ARG002
        """No rows: nobody knows where tiles are stored."""
        return np.empty((0, 2), np.int64)

    def content_key(self, level: int, region: Region) -> None:  # noqa: ARG002
        """None: nobody knows which tiles are stored in one place."""
        return

    def is_exact(self, level: int) -> bool:  # noqa: ARG002
        """Whether every pixel of a level is its own."""
        return True

    def is_turned_by_openslide(self, level: int) -> bool:  # noqa: ARG002
        """Whether OpenSlide turns each tile within itself: not those that it shows."""
        return False

    def shows_absent_white(self, level: int) -> bool:  # noqa: ARG002
        """Whether tiles without bytes are white: nobody knows of any."""
        return False

    def openslide_name(self, name: str) -> str | None:
        """The name of an associated image, which is OpenSlide's own."""
        return name

    @property
    def openslide_mpp(self) -> Mpp | None:
        """The scale that OpenSlide reads from the file."""
        return self._info.mpp
