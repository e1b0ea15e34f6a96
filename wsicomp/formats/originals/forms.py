"""The forms in which pieces of an original are stored, and how each is unpacked.

A form must not know where a piece stands in the original.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import imagecodecs
from msgspec import Meta

from wsicomp.codecs.base import MOST_SHARED_BYTES
from wsicomp.codecs.jpegxl import Transcoder, rebuilt_stream
from wsicomp.codecs.jpegxl_stream import in_container, is_codestream
from wsicomp.files.limits import budget_bytes
from wsicomp.formats.originals.restart_intervals import IntervalRows, rectangle_bytes
from wsicomp.geometry import Size
from wsicomp.slide import JPEGXL, RGB, EncodedTile, TileEncoding

BLOCK_BYTES = 1 << 20
"""The most bytes of a block of bytes that are no picture."""
MOST_JPEG_BYTES = 1 << 26
"""The most bytes of a JPEG that is packed whole."""
_LEAST_TILE_BYTES, _BYTES_A_PIXEL = 1 << 16, 9
"""The most bytes that a packed tile unpacks to: samples and headers, or a JPEG with its comments."""
_MEMORY_A_PIXEL = 16
"""The memory for a pixel of a tile while it is unpacked."""
_PACKED = TileEncoding(JPEGXL, RGB)


@dataclass(frozen=True)
class UnitForm:
    """The form in which a unit is stored."""

    kind: Literal["stored", "zstd", "tile", "jpeg", "intervals"]
    """As it is; Zstandard; JPEG XL of a TIFF's tile, of a whole JPEG, or of some intervals of one."""
    encoding: TileEncoding | None = None
    """How the original stores the tile; None where it is no tile."""
    tile: Size | None = None
    """The tile's size in pixels; None where it is no tile."""
    rows: IntervalRows | None = None
    """How restart intervals are numbered; None where it holds none."""
    jbrd: Annotated[bytes, Meta(max_length=MOST_SHARED_BYTES)] | None = None
    """What rebuilds the JPEG where the stored bytes do not say it themselves; None where all do."""

    @property
    def most_bytes(self) -> int | None:
        """The most bytes that a unit of this form unpacks to; None: as many as are stored."""
        if self.kind == "stored":
            return None
        if self.kind == "zstd":
            return BLOCK_BYTES
        if self.tile is None:
            return MOST_JPEG_BYTES
        return max(_LEAST_TILE_BYTES, self.tile.width * self.tile.height * _BYTES_A_PIXEL)

    def check(self) -> None:
        """Check what a file states of the form.

        Raises:
            ValueError: tiles have no encoding that is repacked, or are too large for this machine; restart
                intervals have no numbers.
        """
        if self.kind == "intervals" and self.rows is None:
            raise ValueError("restart intervals without their numbers")
        if self.kind != "tile":
            return
        if self.encoding is None or self.tile is None or _TRANSCODER.encoding(self.encoding) is None:
            raise ValueError("tiles of an encoding that is not repacked")
        if not 0 < self.tile.width * self.tile.height * _MEMORY_A_PIXEL <= budget_bytes():
            raise ValueError(f"tiles of {self.tile} px, for which this machine has too little memory")

    def unpacked(self, data: bytes, length: int) -> bytes:
        """Return the `length` bytes that stored bytes unpack to.

        Raises:
            ValueError: they are damaged, or unpack to another length.
        """
        try:
            found = self._unpacked(data, length)
        except (RuntimeError, LookupError) as exc:  # every error of imagecodecs' libraries is of the former
            raise ValueError(str(exc)) from exc
        if len(found) != length:
            raise ValueError(f"{len(found)} bytes, expected {length}")
        return found

    def _unpacked(self, data: bytes, length: int) -> bytes:
        if self.kind == "stored":
            return data
        if self.kind == "zstd":
            return bytes(imagecodecs.zstd_decode(data, out=length))
        if self.jbrd is not None and is_codestream(data):
            data = in_container(data, self.jbrd)
        if self.kind == "jpeg":
            return rebuilt_stream(data, length)
        if self.rows is not None:
            return rectangle_bytes(rebuilt_stream(data, length), self.rows)
        assert self.encoding is not None, "it was checked"
        assert self.tile is not None, "it was checked"
        return _TRANSCODER.unpack(EncodedTile(data, _PACKED, self.tile), self.encoding).data


STORED, ZSTD, WHOLE_JPEG = UnitForm("stored"), UnitForm("zstd"), UnitForm("jpeg")
_TRANSCODER = Transcoder()
