"""Aperio SVS and generic tiled TIFF, tile by tile as the file stores them.

tifffile parses the directories; every size, count and offset is then checked here against the file
before anything trusts it. Tiles are read with positioned reads, so threads never share a file offset.

Source: OpenSlide's aperio and generic-tiff drivers for what is a level.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from wsicomp.codecs import can_decode, decode_tile, decode_tile_eighth, jpeg
from wsicomp.codecs.reduce import eighth
from wsicomp.errors import SlideReadError, TileReadError, UnsupportedSlideError
from wsicomp.geometry import Mpp, Region, Size, TileIndex
from wsicomp.readers import aperio, xmp
from wsicomp.slide import (
    JPEG,
    RGB,
    YCBCR,
    AssociatedImage,
    EncodedTile,
    Level,
    Pixels,
    SlideInfo,
    TileEncoding,
)

# What tifffile logs about a damaged file is said by our own error, in one line.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_MOST_DIRECTORIES = 1000
_LARGEST_TILE_PX = 4096
_SAMPLES = 16
_LARGEST_ASSOCIATED_BYTES = 1 << 28
_REDUCED_IMAGE = 1
_MICROMETRES = {2: 25400.0, 3: 10000.0}
"""Micrometres in a TIFF ResolutionUnit: 2 is inch, 3 is centimetre."""


class TiffSlide:
    """A tiled TIFF: the levels that OpenSlide's driver would show, as encoded tiles and as pixels.

    `provenance` is the JSON text that wsicomp writes into its files, None in others.
    """

    def __init__(self, path: Path) -> None:
        try:
            with tifffile.TiffFile(path) as tiff:
                pages = _pages(tiff)
                tiled = _level_pages(pages)
                self.provenance = xmp.unwrap(tiled[0].tags.valueof(xmp.XMP_TAG))
                self._tables = [_tile_table(page, tiff.filehandle.size) for page in tiled]
                self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
                try:
                    self._info = self._describe(path, pages, tiled)
                except BaseException:
                    os.close(self._file)
                    raise
        except SlideReadError as exc:
            raise type(exc)(exc.message, path, exc.place) from exc
        except (tifffile.TiffFileError, OSError, ValueError, TypeError, LookupError, ArithmeticError) as exc:
            raise SlideReadError(f"damaged TIFF ({exc})", path) from exc

        # tifffile's objects refer to each other, so its copy of every offset would stay for long.
        del tiff, pages, tiled
        gc.collect()

    @property
    def info(self) -> SlideInfo:
        """What the file says of itself, in its tags and its ImageDescription."""
        return self._info

    def tile_ranges(self, level: int) -> NDArray[np.int64]:
        """(tiles, 2): offset and byte count of each tile of a level in raster order; 0 and 0 for no tile."""
        return self._tables[level]

    def read_encoded_tile(self, index: TileIndex) -> EncodedTile:
        """A tile's bytes, untouched; empty where the file stores none."""
        level = self._info.levels[index.level]
        assert level.encoding is not None
        offset, count = self._tables[index.level][index.row * level.grid.columns + index.column].tolist()
        data = os.pread(self._file, count, offset) if count else b""
        if len(data) != count:
            raise SlideReadError(f"{len(data)} bytes, expected {count}", self._info.path, str(index))
        return EncodedTile(data, level.encoding, level.tile)

    def read_tile(self, index: TileIndex) -> Pixels:
        """A whole tile's pixels, beyond the level's edge as the file stores them."""
        return self._decode(index, decode_tile)

    def read_tile_eighth(self, index: TileIndex) -> Pixels:
        """The means of a tile's blocks of 8 x 8 pixels."""
        return self._decode(index, decode_tile_eighth)

    def _decode(self, index: TileIndex, decoder: Callable[[EncodedTile], Pixels]) -> Pixels:
        tile = self.read_encoded_tile(index)
        try:
            if tile.data:
                return decoder(tile)
        except (ValueError, RuntimeError) as exc:
            raise TileReadError(f"the tile does not decode ({exc})", self._info.path, str(index)) from exc
        absent = self._absent_tile(index)
        return absent if decoder is decode_tile else eighth(absent)

    def _absent_tile(self, index: TileIndex) -> Pixels:
        """White; in an SVS what the next larger level shows there, as OpenSlide's aperio driver has it."""
        level = self._info.levels[index.level]
        pixels = np.full((*level.tile.shape, 3), 255, np.uint8)
        if index.level and self._info.vendor == "aperio":
            region = level.grid.region(index.column, index.row)
            larger = self._info.levels[index.level - 1].size
            scale_x, scale_y = larger.width / level.size.width, larger.height / level.size.height
            left, top = int(region.x * scale_x), int(region.y * scale_y)
            right, bottom = (
                int((region.x + region.width) * scale_x),
                int((region.y + region.height) * scale_y),
            )
            if not 0 < (right - left) * (bottom - top) <= _LARGEST_TILE_PX**2:
                raise TileReadError("no bytes, and too much to draw it from", self._info.path, str(index))
            part = self.read_region(index.level - 1, Region(left, top, right - left, bottom - top))
            pixels[: region.height, : region.width] = cv2.resize(
                part, (region.width, region.height), interpolation=cv2.INTER_AREA
            )
        return pixels

    def read_region(self, level: int, region: Region) -> Pixels:
        """The pixels of a rectangle; every tile that it touches is decoded once."""
        tile = self._info.levels[level].tile
        pixels = np.empty((*region.size.shape, 3), np.uint8)
        for row in range(region.y // tile.height, -(-(region.y + region.height) // tile.height)):
            for column in range(region.x // tile.width, -(-(region.x + region.width) // tile.width)):
                x, y = column * tile.width - region.x, row * tile.height - region.y
                source = self.read_tile(TileIndex(level, column, row))[max(0, -y) :, max(0, -x) :]
                target = pixels[max(0, y) : y + tile.height, max(0, x) : x + tile.width]
                target[:] = source[: target.shape[0], : target.shape[1]]
        return pixels

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _describe(
        self, path: Path, pages: Sequence[tifffile.TiffPage], tiled: Sequence[tifffile.TiffPage]
    ) -> SlideInfo:
        first = tiled[0]
        description = _text(first)
        is_aperio = description.startswith("Aperio")
        fields = aperio.parse_fields(description) if is_aperio else {}
        images, omitted = self._associated_images(pages, is_aperio)
        unseen = sum(page.is_tiled for page in pages) - len(tiled)
        if unseen:
            omitted += (f"{unseen} tiled images that OpenSlide does not show",)
        return SlideInfo(
            path=path,
            vendor="aperio" if is_aperio else "generic-tiff",
            levels=tuple(self._level(page, number, tiled) for number, page in enumerate(tiled)),
            mpp=aperio.mpp(fields) if is_aperio else _resolution(first),
            objective_power=aperio.objective_power(fields),
            icc_profile=_icc_profile(first),
            description=description,
            properties={f"aperio.{key}": value for key, value in fields.items()},
            associated_images=images,
            omitted=omitted,
        )

    def _level(self, page: tifffile.TiffPage, number: int, tiled: Sequence[tifffile.TiffPage]) -> Level:
        size = Size(page.imagewidth, page.imagelength)
        largest = tiled[0]
        downsample = (largest.imagewidth / size.width + largest.imagelength / size.height) / 2
        table = self._tables[number]
        samples = [
            os.pread(self._file, count, offset)
            for offset, count in table[table[:, 1] > 0][:_SAMPLES].tolist()
        ]
        return Level(
            size,
            Size(page.tilewidth, page.tilelength),
            downsample,
            _encoding(page, samples, f"level {number}"),
            int(table[:, 1].sum()),
            tuple(np.flatnonzero(table[:, 1] == 0).tolist()),
        )

    def _associated_images(
        self, pages: Sequence[tifffile.TiffPage], is_aperio: bool
    ) -> tuple[dict[str, AssociatedImage], tuple[str, ...]]:
        """The label, macro and thumbnail, and which images in strips are none of them or not readable."""
        images: dict[str, AssociatedImage] = {}
        omitted = []
        for number, page in enumerate(pages):
            if page.is_tiled:
                continue
            position = number if is_aperio else -1
            name = aperio.associated_name(_text(page), int(page.subfiletype), position)
            image = None if name is None or name in images else self._associated(page)
            if name is not None and image is not None:
                images[name] = image
            else:
                omitted.append(f"{name or 'an image'} of {page.imagewidth} x {page.imagelength} px in strips")
        return images, tuple(omitted)

    def _associated(self, page: tifffile.TiffPage) -> AssociatedImage | None:
        """An image in strips, None if it is not sound 8-bit RGB."""
        counts = (len(page.dataoffsets), len(page.databytecounts))
        rows_per_strip = min(page.rowsperstrip, page.imagelength)
        sound = (
            min(page.imagewidth, page.imagelength) > 0
            and _is_rgb(page)
            and page.planarconfig == 1
            and can_decode(int(page.compression))
        )
        if not sound or rows_per_strip < 1 or counts != (-(-page.imagelength // rows_per_strip),) * 2:
            return None
        end = os.fstat(self._file).st_size
        ranges = tuple(zip(page.dataoffsets, page.databytecounts, strict=True))
        total = sum(count for _, count in ranges)
        if total > _LARGEST_ASSOCIATED_BYTES or any(
            not 0 < count <= end - offset for offset, count in ranges
        ):
            return None
        strips = tuple(os.pread(self._file, count, offset) for offset, count in ranges)
        try:
            encoding = _encoding(page, strips, "image in strips")
            for strip in strips if encoding.compression == JPEG else ():
                jpeg.frame_subsampling(strip)
        except (SlideReadError, ValueError):
            return None
        size = Size(page.imagewidth, page.imagelength)
        return AssociatedImage(size, encoding, rows_per_strip, strips, _icc_profile(page), _text(page))


def _pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    pages = [
        page for page in islice(tiff.pages, _MOST_DIRECTORIES + 1) if isinstance(page, tifffile.TiffPage)
    ]
    if len(pages) > _MOST_DIRECTORIES or len({page.offset for page in pages}) < len(pages):
        raise SlideReadError("the chain of directories loops or has no end")
    if not pages:
        raise SlideReadError("a TIFF without images")
    return pages


def _level_pages(pages: Sequence[tifffile.TiffPage]) -> list[tifffile.TiffPage]:
    first = pages[0]
    if not first.is_tiled:
        raise UnsupportedSlideError("the first image is stored in strips, expected tiles")
    is_aperio = _text(first).startswith("Aperio")
    levels = [first] + [
        page for page in pages[1:] if page.is_tiled and (is_aperio or int(page.subfiletype) & _REDUCED_IMAGE)
    ]
    for number, page in enumerate(levels):
        _check_page(page, f"level {number}")
    return sorted(levels, key=lambda page: -page.imagewidth)


def _check_page(page: tifffile.TiffPage, place: str) -> None:
    if not _is_rgb(page) or page.planarconfig != 1:
        found = f"{page.samplesperpixel} samples of {page.bitspersample} bits, photometric {page.photometric}"
        raise UnsupportedSlideError(
            f"{found}; expected 3 interleaved samples of 8 bits, RGB or YCbCr", place=place
        )
    if not can_decode(int(page.compression)):
        raise UnsupportedSlideError(f"unknown TIFF compression {int(page.compression)}", place=place)
    if page.imagedepth != 1:
        raise UnsupportedSlideError(f"{page.imagedepth} focal planes, expected 1", place=place)
    sides = (page.tilewidth, page.tilelength)
    if min(page.imagewidth, page.imagelength) < 1 or not all(1 <= side <= _LARGEST_TILE_PX for side in sides):
        found = f"{page.imagewidth} x {page.imagelength} px in tiles of {sides[0]} x {sides[1]} px"
        raise UnsupportedSlideError(f"{found}; expected tiles of 1 to {_LARGEST_TILE_PX} px", place=place)


def _is_rgb(page: tifffile.TiffPage) -> bool:
    return bool(
        page.samplesperpixel == 3
        and page.bitspersample == 8
        and page.photometric is not None
        and int(page.photometric) in (RGB, YCBCR)
    )


def _tile_table(page: tifffile.TiffPage, file_bytes: int) -> NDArray[np.int64]:
    """(tiles, 2): offset and byte count of each, both 0 for a tile without bytes."""
    columns = -(-page.imagewidth // page.tilewidth)
    rows = -(-page.imagelength // page.tilelength)
    counts = (len(page.dataoffsets), len(page.databytecounts))
    place = f"image of {page.imagewidth} x {page.imagelength} px"
    if counts != (columns * rows, columns * rows):
        found = f"{counts[0]} tile offsets and {counts[1]} byte counts"
        raise SlideReadError(f"{found}, expected {columns} x {rows}", place=place)
    table = np.array([page.dataoffsets, page.databytecounts], np.uint64).T
    table[table[:, 1] == 0] = 0
    beyond = np.flatnonzero(
        (table[:, 0] > file_bytes) | (table[:, 1] > file_bytes - np.minimum(table[:, 0], file_bytes))
    )
    if beyond.size:
        number = int(beyond[0])
        tile = f"tile ({number % columns}, {number // columns})"
        ends = f"ends at byte {int(table[number].sum())} of {file_bytes}; the file is truncated"
        raise SlideReadError(f"{tile} {ends}", place=place)
    return table.astype(np.int64)


def _encoding(page: tifffile.TiffPage, samples: Sequence[bytes], place: str) -> TileEncoding:
    """How tiles or strips are stored; JPEG states its subsampling itself, in the first one that is sound."""
    compression = int(page.compression)
    subsampling = (1, 1)
    if compression == JPEG and samples:
        subsampling = _subsampling(samples, place)
    return TileEncoding(
        compression, int(page.photometric or RGB), subsampling, int(page.predictor), page.jpegtables
    )


def _subsampling(samples: Sequence[bytes], place: str) -> tuple[int, int]:
    error: ValueError | None = None
    for stream in samples:
        try:
            return jpeg.frame_subsampling(stream)
        except ValueError as exc:
            error = error or exc
    raise SlideReadError(f"damaged JPEG ({error})", place=place) from error


def _text(page: tifffile.TiffPage) -> str:
    """The ImageDescription byte for byte, which Latin-1 alone carries through unchanged."""
    tag = page.tags.get(270)
    if tag is None or tag.dtype not in (1, 2, 7):
        return ""
    file = page.parent.filehandle
    file.seek(tag.valueoffset)
    return file.read(tag.count).rstrip(b"\0").decode("latin-1")


def _icc_profile(page: tifffile.TiffPage) -> bytes | None:
    value = page.tags.valueof(34675)
    return value if isinstance(value, bytes) and value else None


def _resolution(page: tifffile.TiffPage) -> Mpp | None:
    unit = _MICROMETRES.get(int(page.tags.valueof(296, default=2)))
    values = [page.tags.valueof(code) for code in (282, 283)]
    if unit is None or not all(value and value[0] > 0 and value[1] > 0 for value in values):
        return None
    mpp_x, mpp_y = (unit * denominator / numerator for numerator, denominator in values)
    return Mpp(mpp_x, mpp_y)
