"""The `Slide` protocol, which every reader follows, and the values that it returns.

This module must not know how a file is parsed, what tissue is, or what will be written.
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

Rgba: TypeAlias = NDArray[np.uint8]
"""(rows, columns, 4) uint8 RGBA."""

JPEG = 7
"""TIFF Compression of JPEG tiles (TIFF Technical Note 2)."""
APERIO_JPEG2000_YCBCR = 33003
"""TIFF Compression of Aperio's JPEG 2000 tiles that hold YCbCr."""
APERIO_JPEG2000_RGB = 33005
"""TIFF Compression of Aperio's JPEG 2000 tiles that hold RGB."""

JPEGXL = 50002
"""TIFF Compression of JPEG XL tiles, as libtiff's registry and GDAL have it."""
JPEGXL_DNG = 52546
"""TIFF Compression of JPEG XL tiles by DNG 1.7: we read it and never write it."""
WEBP = 50001
"""TIFF Compression of WebP tiles."""
NEURAL = 61453
"""TIFF Compression of neural tiles: private and ours (TIFF 6.0 leaves 32768 and up to anyone)."""

RGB = 2
"""TIFF PhotometricInterpretation of RGB samples."""
YCBCR = 6
"""TIFF PhotometricInterpretation of YCbCr samples."""

WHITE = (255, 255, 255)
"""The RGB colour of removed glass, unless the user asks for another one."""


@dataclass(frozen=True, slots=True)
class TileEncoding:
    """The encoding of a level's tiles: all that is needed to turn their bytes into pixels."""

    compression: int
    """TIFF Compression."""
    photometric: int
    """TIFF PhotometricInterpretation: `RGB` or `YCBCR`."""
    subsampling: tuple[int, int] = (1, 1)
    """Chroma subsampling (horizontal, vertical)."""
    predictor: int = 1
    """TIFF Predictor: 1 for none, 2 for horizontal differences."""
    jpeg_tables: bytes | None = None
    """The JPEGTables stream that JPEG tiles share (tag 347), None if there is none."""


@dataclass(frozen=True, slots=True)
class EncodedTile:
    """A tile's bytes as the file holds them."""

    data: bytes
    """The bytes; empty if the file stores none."""
    encoding: TileEncoding
    """How they are stored."""
    size: Size
    """The size in pixels that the bytes decode to."""


@dataclass(frozen=True, slots=True)
class Level:
    """A level: one picture of the pyramid."""

    size: Size
    """Width and height in pixels."""
    tile: Size
    """The size of a tile in pixels."""
    downsample: float
    """Level-0 size divided by this size, at least 1."""
    encoding: TileEncoding | None = None
    """How tiles are stored; None if the reader offers pixels only."""
    encoded_bytes: int = 0
    """Bytes of the level's tiles in the file, bytes that tiles share counted once; 0 if `encoding` is None.

    If tiles must be unpacked first, an upper bound of their unpacked bytes.
    """
    absent: tuple[int, ...] = ()
    """Raster numbers of the tiles for which the file stores no bytes."""
    blank: tuple[int, ...] = ()
    """Raster numbers of the tiles that are background only."""
    blank_shades: tuple[int, ...] = ()
    """For each of `blank` the index of its colour in the slide's palette; none where all are 0."""
    form: str = ""
    """How tiles are stored that can be read and not copied, in words ("planar RGB"); empty otherwise."""

    @property
    def grid(self) -> TileGrid:
        """The tiles that cover the level."""
        return TileGrid(self.size, self.tile)


@dataclass(frozen=True, slots=True)
class AssociatedImage:
    """A label, macro or thumbnail, as encoded strips that can be copied verbatim."""

    size: Size
    """Width and height in pixels."""
    encoding: TileEncoding
    """How the strips are stored."""
    rows_per_strip: int
    """Rows of pixels in each strip but the last."""
    strips: tuple[bytes, ...] = field(repr=False)
    """The strips' bytes, from the top."""
    icc_profile: bytes | None = field(default=None, repr=False)
    """The image's own ICC profile."""
    description: str = field(default="", repr=False)
    """The image's own ImageDescription, which may name a patient."""
    may_be: tuple[str, ...] = ()
    """Other names that the image could deserve ("label" for a macro that shows the label).

    A user who drops labels drops these images too.
    """


@dataclass(frozen=True, slots=True)
class Plane:
    """A focal plane of a slide that has several."""

    z: int
    """The number of the plane."""
    size: Size
    """Width and height in pixels."""
    offset: str | None = None
    """The focal position as the file states it."""

    def __str__(self) -> str:
        return f"z {self.z}" if self.offset is None else f"z {self.z} (OffsetZ {self.offset})"


@dataclass(frozen=True, slots=True)
class SlideInfo:
    """The metadata of a slide. `None` means that the file does not say."""

    path: Path
    """The slide's main file."""
    vendor: str
    """The vendor's name as OpenSlide spells it."""
    levels: tuple[Level, ...]
    """The levels, the largest first."""
    mpp: Mpp | None
    """Micrometres per level-0 pixel."""
    objective_power: float | None
    """40.0 for "40x"."""
    icc_profile: bytes | None = field(repr=False)
    """The ICC profile of level 0."""
    description: str = field(repr=False)
    """The TIFF ImageDescription of level 0, which may name a patient."""
    properties: Mapping[str, str] = field(repr=False)
    """The vendor's fields as text, which may name a patient."""
    associated_images: Mapping[str, AssociatedImage] = field(repr=False)
    """Label, macro and thumbnail by name."""
    omitted: tuple[str, ...] = ()
    """Images of the file that are neither levels nor associated images, in words. They are not copied."""
    palette: tuple[tuple[int, int, int], ...] = (WHITE,)
    """The RGB colours of blank tiles."""
    planes: tuple[Plane, ...] = ()
    """The focal planes of a slide that has several."""
    z: int | None = None
    """The focal plane that the levels show; of a converted slide, the one of its source that was kept."""
    left_out: tuple[Level, ...] = ()
    """The file's finer levels that are not among `levels`, the largest first."""
    from_level: int = 0
    """How many finer levels the slide has lost since it was scanned: those here, and in its conversions."""
    remarks: tuple[str, ...] = ()
    """What else a user should know of the file, above all where OpenSlide displays something else."""
    big: bool = False
    """Whether the file is a BigTIFF."""

    @property
    def size(self) -> Size:
        """The size of the largest level."""
        return self.levels[0].size

    @property
    def file_size(self) -> Size:
        """The size of the file's largest level, in whose pixels masks are drawn, be it left out or not."""
        return (*self.left_out, *self.levels)[0].size
