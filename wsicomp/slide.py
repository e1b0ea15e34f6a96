"""What a slide hands out, whoever reads it; the protocol of those who read is `wsicomp.formats.base.Slide`.

It must not know how a file is parsed, what tissue is, or what will be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Mpp, Size, TileGrid

Pixels: TypeAlias = NDArray[np.uint8]
"""(rows, columns, 3) uint8 RGB."""

JPEG = 7
"""TIFF Compression of JPEG tiles (TIFF Technical Note 2)."""
APERIO_JPEG2000_YCBCR = 33003
"""TIFF Compression of Aperio's JPEG 2000 tiles that hold YCbCr."""
APERIO_JPEG2000_RGB = 33005
"""TIFF Compression of Aperio's JPEG 2000 tiles that hold RGB."""

JPEGXL = 50002
"""TIFF Compression of JPEG XL tiles, as libtiff's registry and GDAL have it."""
JPEGXL_DNG = 52546
"""TIFF Compression of JPEG XL tiles by DNG 1.7; read, never written."""
WEBP = 50001
"""TIFF Compression of WebP tiles."""
NEURAL = 61453
"""TIFF Compression of neural tiles: private and ours (TIFF 6.0 leaves 32768 and up to anyone)."""

RGB = 2
"""TIFF PhotometricInterpretation of RGB samples."""
YCBCR = 6
"""TIFF PhotometricInterpretation of YCbCr samples."""

WHITE = (255, 255, 255)
"""The RGB colour of glass that has been taken out, unless the user asks for another."""


@dataclass(frozen=True, slots=True)
class TileEncoding:
    """How the tiles of a level are stored: all that turns their bytes into pixels.

    `compression`, `photometric` and `predictor` are the TIFF tags' values; `subsampling` is the
    horizontal and vertical chroma subsampling; `jpeg_tables` is the JPEGTables stream (tag 347).
    """

    compression: int
    photometric: int
    subsampling: tuple[int, int] = (1, 1)
    predictor: int = 1
    jpeg_tables: bytes | None = None


@dataclass(frozen=True, slots=True)
class EncodedTile:
    """A tile's bytes as the file holds them, with the size in pixels that they decode to."""

    data: bytes
    encoding: TileEncoding
    size: Size


@dataclass(frozen=True, slots=True)
class Level:
    """One picture of the pyramid. `encoding` is None, and `encoded_bytes` 0, where only pixels can be had.

    `encoded_bytes` is what its tiles take in the file, bytes that they share counted once, or a bound on it
    once they are unpacked. `absent` are the raster numbers of tiles for which the file
    stores no bytes, `blank` of those that are nothing but background. `form` says in words how tiles are
    stored that can be read and not copied, as "planar RGB".
    """

    size: Size
    tile: Size
    downsample: float
    encoding: TileEncoding | None = None
    encoded_bytes: int = 0
    absent: tuple[int, ...] = ()
    blank: tuple[int, ...] = ()
    form: str = ""

    @property
    def grid(self) -> TileGrid:
        """The tiles that cover the level."""
        return TileGrid(self.size, self.tile)


@dataclass(frozen=True, slots=True)
class AssociatedImage:
    """A label, macro or thumbnail, as encoded strips so that it can be carried on verbatim.

    `description` is its own ImageDescription, which may name a patient. `may_be` names what else it could be
    by other signs than those that gave it its name: who wants no label wants none of these either.
    """

    size: Size
    encoding: TileEncoding
    rows_per_strip: int
    strips: tuple[bytes, ...] = field(repr=False)
    icc_profile: bytes | None = field(default=None, repr=False)
    description: str = field(default="", repr=False)
    may_be: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plane:
    """A focal plane of a slide that has several. `offset` is where it lies, in the file's own words."""

    z: int
    size: Size
    offset: str | None = None

    def __str__(self) -> str:
        return f"z {self.z}" if self.offset is None else f"z {self.z} (OffsetZ {self.offset})"


@dataclass(frozen=True, slots=True)
class SlideInfo:
    """What a slide says of itself. `None` means that the file does not say.

    `description` is the TIFF ImageDescription of the largest level; `properties` are the vendor's
    fields as text. Both may name a patient. `omitted` says in words which images of the file are neither
    levels nor associated images, and so are not carried on. `background` is the RGB colour of blank tiles.
    `planes` are the focal planes of a slide that has several, of which the levels show `z`; of a conversion
    `z` is the one that was kept of its source's. `remarks` say what else a person should know of the file,
    above all where OpenSlide shows something else. `big` says that it is a BigTIFF.
    """

    path: Path
    vendor: str
    levels: tuple[Level, ...]
    mpp: Mpp | None
    objective_power: float | None
    icc_profile: bytes | None = field(repr=False)
    description: str = field(repr=False)
    properties: Mapping[str, str] = field(repr=False)
    associated_images: Mapping[str, AssociatedImage] = field(repr=False)
    omitted: tuple[str, ...] = ()
    background: tuple[int, int, int] = WHITE
    planes: tuple[Plane, ...] = ()
    z: int | None = None
    remarks: tuple[str, ...] = ()
    big: bool = False

    @property
    def size(self) -> Size:
        """The size of the largest level."""
        return self.levels[0].size
