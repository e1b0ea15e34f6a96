"""Regions as other programs decode them: OpenSlide, and for stored tiles Pillow, libtiff and others.

wsicomp's own decoders are not used here, for they are what is checked.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from wsicomp.errors import SlideReadError
from wsicomp.formats.base import Slide
from wsicomp.formats.level_pixels import WHOLE
from wsicomp.formats.openslide import OpenSlideFile
from wsicomp.geometry import Region, Size, TileIndex
from wsicomp.plan.level_plan import TileAction
from wsicomp.slide import (
    APERIO_JPEG2000_RGB,
    APERIO_JPEG2000_YCBCR,
    JPEG,
    JPEGXL,
    JPEGXL_DNG,
    RGB,
    WEBP,
    Pixels,
    TileEncoding,
)

_BY_LIBTIFF = (1, 5, 8, 32946, 50000)
SMALL_PX = 1 << 20
"""Levels of fewer pixels are read whole."""
_CANVAS_PX = 4096
_INTERPOLATED_PX = 128
"""The most pixels read of a region between pixels, for which OpenSlide needs ten times as long."""
_COD, _SOT = 0xFF52, 0xFF90
_SOS, _COLOR_MARKERS = 0xDA, (0xE0, 0xEE)


@dataclass(frozen=True)
class PlacedPixels:
    """Pixels, (rows, columns, 3) uint8, and their place on the level."""

    pixels: Pixels
    """The pixels."""
    x: float
    """The column of the first of them in the level; between two columns where OpenSlide interpolates."""
    y: float
    """The row of the first of them in the level."""

    @property
    def is_whole(self) -> bool:
        """Whether the pixels lie on whole pixels of the level, and are not interpolated between them."""
        return float(self.x).is_integer() and float(self.y).is_integer()

    def at(self, other: PlacedPixels) -> Pixels:
        """Return the part of these pixels that lies under `other`, interpolated as OpenSlide does.

        It is (rows, columns, 3) uint8 of the shape of `other`.
        """
        rows, columns = other.pixels.shape[:2]
        (top, lower), (left, right) = _split(other.y - self.y), _split(other.x - self.x)
        if not lower and not right:
            return self.pixels[top : top + rows, left : left + columns]
        part = self.pixels[top : top + rows + 1, left : left + columns + 1].astype(np.float32)
        part = np.pad(part, ((0, rows + 1 - len(part)), (0, columns + 1 - part.shape[1]), (0, 0)), "edge")
        part = part[:-1] * np.float32(1 - lower) + part[1:] * np.float32(lower)
        part = part[:, :-1] * np.float32(1 - right) + part[:, 1:] * np.float32(right)
        return np.asarray(np.rint(part), np.uint8)


def _split(offset: float) -> tuple[int, float]:
    whole = math.floor(offset + WHOLE)
    fraction = offset - whole
    return whole, 0.0 if abs(fraction) < WHOLE else fraction


class OpenSlideRegions:
    """Regions of a file as OpenSlide shows them. Levels are found by their size."""

    def __init__(self, file: OpenSlideFile) -> None:
        self._file = file
        sizes = file.sizes
        self._numbers = {size: number for number, size in enumerate(sizes) if sizes.count(size) == 1}

    def read(self, size: Size, region: Region) -> PlacedPixels | None:
        """Return as much of a region as OpenSlide reads in good time, on white, with its place.

        `size` is the size of the level, `region` is in its pixels. Return None where OpenSlide has no such
        level, or reads no pixel of the region.

        Raises:
            SlideReadError: OpenSlide cannot read the region.
        """
        number = self._numbers.get(size)
        if number is None:
            return None
        whole = self._whole_level(number, size)
        if whole is not None:
            part = whole[region.y : region.y + region.height, region.x : region.x + region.width]
            return PlacedPixels(part, region.x, region.y)
        downsample = self._file.downsamples[number]
        column = _start(downsample, region.x, region.width)
        row = _start(downsample, region.y, region.height)
        if column.count < 1 or row.count < 1:
            return None
        pixels = self._file.read(number, (column.location, row.location), Size(column.count, row.count))
        return PlacedPixels(pixels, column.at, row.at)

    def _whole_level(self, number: int, size: Size) -> Pixels | None:
        is_large = size.width * size.height > SMALL_PX or max(size.width, size.height) > _CANVAS_PX
        return None if is_large else self._file.whole(number)


@dataclass(frozen=True)
class _Start:
    """The start of a read along one side: in level 0, in the level, and the count of pixels that follow."""

    location: int
    at: float
    count: int


def _start(downsample: float, first: int, count: int) -> _Start:
    """Return a start at a whole pixel of the level near `first`, else at the first location behind it."""
    pixels = np.arange(first, first + max(1, count // 2))
    locations = np.rint(pixels * downsample)
    whole = np.flatnonzero(np.abs(locations / downsample - pixels) < WHOLE)
    if whole.size:
        skipped = int(whole[0])
        return _Start(int(locations[skipped]), float(first + skipped), count - skipped)
    location = math.ceil(first * downsample)
    at = location / downsample
    return _Start(location, at, min(_INTERPOLATED_PX, math.floor(first + count - 1 - at)))


class StoredRegions:
    """Regions of a TIFF whose stored tiles other libraries decode; packed JPEG after it is unpacked."""

    def __init__(self, slide: Slide) -> None:
        self._slide = slide

    def read(self, level: int, region: Region) -> PlacedPixels | None:
        """Return a region, in the level's own pixels.

        Return None where other libraries do not decode all of its tiles.
        """
        pixels = np.full((*region.size.shape, 3), 255, np.uint8)
        size = self._slide.info.levels[level].tile
        for row in range(region.y // size.height, -(-(region.y + region.height) // size.height)):
            for column in range(region.x // size.width, -(-(region.x + region.width) // size.width)):
                tile = self._tile(TileIndex(level, column, row))
                if tile is None:
                    return None
                x, y = column * size.width - region.x, row * size.height - region.y
                target = pixels[max(0, y) : y + size.height, max(0, x) : x + size.width]
                target[:] = tile[max(0, -y) :, max(0, -x) :][: target.shape[0], : target.shape[1]]
        return PlacedPixels(pixels, region.x, region.y)

    def _tile(self, index: TileIndex) -> Pixels | None:
        size = self._slide.info.levels[index.level].tile
        try:
            data, encoding = self._stored(index)
            pixels = decoded_by_others(data, encoding, size)
        except (SlideReadError, ValueError, RuntimeError, OSError, LookupError, EOFError, SyntaxError):
            return None
        return pixels if pixels is not None and pixels.shape == (*size.shape, 3) else None

    def _stored(self, index: TileIndex) -> tuple[bytes, TileEncoding]:
        tile = self._slide.stored_tile(index)  # refuses tiles in planes or with alpha
        provenance = self._slide.provenance
        plan = None if provenance is None else provenance.plan.levels[index.level]
        if plan is not None and plan.action(index) is TileAction.TRANSCODE:
            shown = plan.recipe(index).shown
            if shown.compression == JPEG != tile.encoding.compression:
                whole = bytes(imagecodecs.jpegxl_decode_jpeg(tile.data, numthreads=1))
                return whole, TileEncoding(JPEG, shown.photometric, shown.subsampling)
        return tile.data, tile.encoding


def decoded_by_others(data: bytes, encoding: TileEncoding, size: Size) -> Pixels | None:
    """Return a tile's pixels, (rows, columns, 3) uint8 RGB, without wsicomp's decoders.

    Return None where no other library decodes the tile.

    Raises:
        ValueError, RuntimeError, OSError: the library refuses the tile.
    """
    if encoding.compression in (JPEGXL, JPEGXL_DNG):
        return np.asarray(imagecodecs.jpegxl_decode(data, numthreads=1))
    if encoding.compression in (APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR):
        pixels = np.asarray(imagecodecs.jpeg2k_decode(data))
        is_rgb = encoding.compression == APERIO_JPEG2000_RGB or holds_rgb(data)
        return pixels if is_rgb else np.asarray(Image.fromarray(pixels, "YCbCr").convert("RGB"))
    if encoding.compression == WEBP:
        return _by_pillow(data, "WEBP")
    if encoding.compression == JPEG:
        return _by_pillow(_as_jpeg(data, encoding), "JPEG")
    is_known = encoding.compression in _BY_LIBTIFF
    if is_known and (encoding.compression > 1 or encoding.predictor == 1):
        return _by_pillow(_as_tiff(data, encoding, size), "TIFF")
    return None


def _by_pillow(data: bytes, name: str) -> Pixels:
    with Image.open(io.BytesIO(data), formats=(name,)) as image:
        return np.asarray(image.convert("RGB"))


def holds_rgb(codestream: bytes) -> bool:
    """Return whether a JPEG 2000 codestream decodes to RGB, though its TIFF says YCbCr.

    It does after a multi-component transform, and imagecodecs converts by itself where chroma is subsampled.

    Source: ITU-T T.800 annex A: SIZ (components from byte 42 on) and COD.
    """
    styles = (segment for marker, segment in _markers(codestream) if marker == _COD)
    return any(len(style) > 6 and style[6] == 1 for style in styles) or is_subsampled(codestream)


def is_subsampled(codestream: bytes) -> bool:
    """Return whether a JPEG 2000 codestream has components of different sizes."""
    return any(codestream[at] > 1 for at in (43, 44, 46, 47, 49, 50) if at < len(codestream))


def _markers(codestream: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the segments of the main header: marker, and its bytes from the length on."""
    at = 2
    while at + 4 <= len(codestream):
        marker, length = struct.unpack(">HH", codestream[at : at + 4])
        if marker == _SOT or length < 2:
            return
        yield marker, codestream[at + 2 : at + 2 + length]
        at += 2 + length


def _as_jpeg(data: bytes, encoding: TileEncoding) -> bytes:
    """Return a whole JPEG whose markers state what TIFF's photometric says: RGB, or YCbCr.

    libtiff would decode it too, but prints warnings about some streams.

    Source: TIFF Technical Note 2; ITU-T T.872 (Adobe's APP14, whose last byte is 0 for RGB, 1 for YCbCr).
    """
    tables = encoding.jpeg_tables or b""
    transform = b"\0" if encoding.photometric == RGB else b"\1"
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + transform
    return b"\xff\xd8" + adobe + tables[2:-2] + b"".join(_without_color_markers(data))


def _without_color_markers(stream: bytes) -> Iterator[bytes]:
    """Yield a JPEG stream without its SOI, JFIF and Adobe segments."""
    at = 2
    while at + 4 <= len(stream) and stream[at] == 0xFF and stream[at + 1] != _SOS:
        length = 1 if stream[at + 1] == 0xFF else 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if length > 1 and stream[at + 1] not in _COLOR_MARKERS:
            yield stream[at : at + length]
        at += length
    yield stream[at:]


def _as_tiff(data: bytes, encoding: TileEncoding, size: Size) -> bytes:
    """Return a TIFF of one strip with a tile's bytes, for libtiff to decode.

    Of an uncompressed tile, bytes behind the pixels are left out, as readers do.
    """
    if encoding.compression == 1:
        data = data[: math.prod(size.shape) * 3]
    stream = io.BytesIO()
    tifffile.imwrite(
        stream,
        iter([data]),
        shape=(*size.shape, 3),
        dtype=np.uint8,
        photometric=encoding.photometric,
        compression=encoding.compression,
        predictor=encoding.predictor,
        rowsperstrip=size.height,
        metadata=None,
    )
    return stream.getvalue()


@dataclass(frozen=True)
class Difference:
    """The difference of two pictures in grey levels: the largest, and the mean over all samples."""

    worst: int
    mean: float

    def __str__(self) -> str:
        return f"up to {self.worst} grey levels, {self.mean:.1f} in the mean"


def difference(first: Pixels, second: Pixels) -> Difference:
    """Return the difference of two pictures of one size, in grey levels.

    >>> import numpy as np
    >>> picture = np.zeros((8, 8, 3), np.uint8)
    >>> str(difference(picture, picture + 2))
    'up to 2 grey levels, 2.0 in the mean'
    """
    apart = cv2.absdiff(np.ascontiguousarray(first), np.ascontiguousarray(second))
    return Difference(int(apart.max()), float(cv2.norm(apart, cv2.NORM_L1)) / apart.size)
