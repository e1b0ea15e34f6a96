"""The directories of a TIFF as values: parsed by tifffile, then checked against the file before any trust.

Source: TIFF 6.0; BigTIFF; TIFF Technical Note 2 (JPEG).
"""

from __future__ import annotations

import gc
import logging
import os
import struct
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsicomp.codecs import can_decode, jpeg
from wsicomp.errors import SlideReadError, UnsupportedSlideError
from wsicomp.geometry import Mpp, Size, TileGrid
from wsicomp.readers.xmp import XMP_TAG
from wsicomp.slide import JPEG, RGB, YCBCR, TileEncoding

# What tifffile logs about a damaged file is said by our own error, in one line.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a TIFF or BigTIFF begins, in either order of bytes."""

MODEL_TAG = 65453
"""The tag of the first image that holds the decoder of neural tiles, as a safetensors file: private, ours."""

_MOST_DIRECTORIES = 1000
_MOST_MODEL_BYTES = 1 << 29
_SAMPLES = 16
_MANY_TILES = 50_000
_MICROMETRES = {2: 25400.0, 3: 10000.0}
"""Micrometres in a TIFF ResolutionUnit: 2 is inch, 3 is centimetre."""


class TiffFile:
    """An open TIFF read by position, so that threads never share an offset."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._closed = weakref.finalize(self, os.close, self._file)
        self.bytes = os.fstat(self._file).st_size

    def read(self, offset: int, count: int, place: str) -> bytes:
        """Bytes of the file.

        Raises:
            SlideReadError: it ends before them; `place` is what they are.
        """
        if not self._closed.alive:
            raise SlideReadError("the slide is closed", self.path, place)
        try:
            data = os.pread(self._file, count, offset) if count else b""
        except OSError as exc:
            raise SlideReadError(exc.strerror or str(exc), self.path, place) from exc
        if len(data) != count:
            raise SlideReadError(f"{len(data)} bytes, expected {count}", self.path, place)
        return data

    def close(self) -> None:
        """Close the file; reading afterwards is an error, closing again is none."""
        self._closed()


@dataclass(frozen=True)
class Directory:
    """One image of a TIFF. `tile` is None for one in strips of `rows_per_strip` rows.

    `ranges` is (tiles or strips, 2): offset and byte count of each in raster order, both 0 where nothing is
    stored. `mpp` is what X- and YResolution state. `model_range` is offset and byte count of a model.
    """

    size: Size
    tile: Size | None
    rows_per_strip: int
    encoding: TileEncoding
    samples: int
    bits: int
    planar: int
    depth: int
    subfile_type: int
    ranges: NDArray[np.int64] = field(repr=False)
    description: str = field(repr=False)
    software: str = field(repr=False)
    icc_profile: bytes | None = field(repr=False)
    xmp: bytes | None = field(repr=False)
    mpp: Mpp | None
    model_range: tuple[int, int] | None = None

    @property
    def is_rgb(self) -> bool:
        """Whether the samples are 8-bit RGB or YCbCr, interleaved."""
        return (
            self.samples == 3
            and self.bits == 8
            and self.planar == 1
            and self.encoding.photometric in (RGB, YCBCR)
        )

    @property
    def grid(self) -> TileGrid:
        """The tiles, or the strips as tiles as wide as the image."""
        return TileGrid(self.size, self.tile or Size(max(1, self.size.width), max(1, self.rows_per_strip)))


def read_directories(path: Path) -> tuple[Directory, ...]:
    """Every image in the main chain of a TIFF.

    Raises:
        SlideReadError: it cannot be parsed, its chain loops, or a tile would lie beyond the file's end.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) not in TIFF_MAGIC:
                raise UnsupportedSlideError("not a TIFF; expected an SVS or a tiled TIFF")
        with tifffile.TiffFile(path) as tiff:
            directories = tuple(_directory(page, tiff.filehandle.size) for page in _pages(tiff))
    except SlideReadError as exc:
        raise type(exc)(exc.message, path, exc.place) from exc
    except (
        tifffile.TiffFileError,
        OSError,
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
        struct.error,
    ) as exc:
        raise SlideReadError(f"damaged TIFF ({exc})", path) from exc

    del tiff
    if sum(len(directory.ranges) for directory in directories) > _MANY_TILES:
        # tifffile's objects refer to each other, so its copy of every offset would stay for long.
        gc.collect()
    return directories


def stored_encoding(file: TiffFile, directory: Directory, place: str) -> TileEncoding:
    """How tiles or strips are stored; JPEG states its subsampling itself, in the first one that is sound.

    Raises:
        SlideReadError: none of the first JPEG tiles has a sound header.
    """
    encoding = directory.encoding
    stored = directory.ranges[directory.ranges[:, 1] > 0][:_SAMPLES].tolist()
    if encoding.compression != JPEG or not stored:
        return encoding
    error: ValueError | None = None
    for offset, count in stored:
        try:
            subsampling = jpeg.frame_subsampling(file.read(offset, count, place))
        except ValueError as exc:
            error = error or exc
        else:
            return TileEncoding(
                JPEG, encoding.photometric, subsampling, encoding.predictor, encoding.jpeg_tables
            )
    raise SlideReadError(f"damaged JPEG ({error})", file.path, place) from error


def _pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    pages = [
        page for page in islice(tiff.pages, _MOST_DIRECTORIES + 1) if isinstance(page, tifffile.TiffPage)
    ]
    if len(pages) > _MOST_DIRECTORIES or len({page.offset for page in pages}) < len(pages):
        raise SlideReadError("the chain of directories loops or has no end")
    if not pages:
        raise SlideReadError("a TIFF without images")
    _require_end(tiff, pages[-1])
    return pages


def _require_end(tiff: tifffile.TiffFile, last: tifffile.TiffPage) -> None:
    """Hold the last directory to be the last: tifffile leaves out those that a file is cut off before."""
    file, form = tiff.filehandle, tiff.tiff
    file.seek(last.offset)
    (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    file.seek(last.offset + form.tagnosize + count * form.tagsize)
    (following,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
    if following:
        found = f"the next directory at byte {following} of {file.size} cannot be read"
        raise SlideReadError(f"{found}; the file is truncated or damaged")


def _directory(page: tifffile.TiffPage, file_bytes: int) -> Directory:
    size = Size(page.imagewidth, page.imagelength)
    tile = Size(page.tilewidth, page.tilelength) if page.is_tiled else None
    photometric = RGB if page.photometric is None else int(page.photometric)
    xmp = page.tags.valueof(XMP_TAG)
    return Directory(
        size=size,
        tile=tile,
        rows_per_strip=min(page.rowsperstrip, page.imagelength),
        encoding=TileEncoding(
            int(page.compression), photometric, predictor=int(page.predictor), jpeg_tables=page.jpegtables
        ),
        samples=page.samplesperpixel if page.photometric is not None else 0,
        bits=page.bitspersample,
        planar=int(page.planarconfig),
        depth=page.imagedepth,
        subfile_type=int(page.subfiletype),
        ranges=_ranges(page, file_bytes),
        description=_text(page),
        software=str(page.software),
        icc_profile=_icc_profile(page),
        xmp=xmp if isinstance(xmp, bytes) else None,
        mpp=_resolution(page),
        model_range=_model_range(page),
    )


def _ranges(page: tifffile.TiffPage, file_bytes: int) -> NDArray[np.int64]:
    """Checked for a tiled image; strips are checked by who wants them, for a slide is readable without."""
    counts = (len(page.dataoffsets), len(page.databytecounts))
    place = f"image of {page.imagewidth} x {page.imagelength} px"
    columns = -(-page.imagewidth // max(1, page.tilewidth))
    if page.is_tiled:
        rows = -(-page.imagelength // max(1, page.tilelength))
        if counts != (columns * rows, columns * rows):
            found = f"{counts[0]} tile offsets and {counts[1]} byte counts"
            raise SlideReadError(f"{found}, expected {columns} x {rows}", place=place)
    elif counts[0] != counts[1]:
        return np.empty((0, 2), np.int64)
    table = np.array([page.dataoffsets, page.databytecounts], np.uint64).T.reshape(-1, 2)
    table[table[:, 1] == 0] = 0
    beyond = np.flatnonzero(
        (table[:, 0] > file_bytes) | (table[:, 1] > file_bytes - np.minimum(table[:, 0], file_bytes))
    )
    if beyond.size and not page.is_tiled:
        return np.empty((0, 2), np.int64)
    if beyond.size:
        number = int(beyond[0])
        tile = f"tile ({number % columns}, {number // columns})"
        ends = f"ends at byte {int(table[number].sum())} of {file_bytes}; the file is truncated"
        raise SlideReadError(f"{tile} {ends}", place=place)
    return table.astype(np.int64)


def _text(page: tifffile.TiffPage) -> str:
    """The ImageDescription byte for byte, which Latin-1 alone carries through unchanged."""
    tag = page.tags.get(270)
    if tag is None or tag.dtype not in (1, 2, 7):
        return ""
    file = page.parent.filehandle
    file.seek(tag.valueoffset)
    return file.read(tag.count).rstrip(b"\0").decode("latin-1")


def _model_range(page: tifffile.TiffPage) -> tuple[int, int] | None:
    tag = page.tags.get(MODEL_TAG)
    if tag is None or tag.dtype not in (1, 7) or tag.count > _MOST_MODEL_BYTES:
        return None
    return tag.valueoffset, tag.count


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


def is_readable(directory: Directory) -> bool:
    """Whether its tiles or strips can be turned into pixels here."""
    return directory.is_rgb and can_decode(directory.encoding.compression)


def shown_levels(directories: Sequence[Directory]) -> list[Directory]:
    """The levels as OpenSlide's drivers choose them, largest first; the first directory is always one.

    Source: OpenSlide's aperio driver (every tiled image) and generic-tiff driver (the first, and tiled
    ones that are marked as reduced).
    """
    first = directories[0]
    is_aperio = first.description.startswith("Aperio")
    levels = [first] + [
        page for page in directories[1:] if page.tile is not None and (is_aperio or page.subfile_type & 1)
    ]
    return sorted(levels, key=lambda page: -page.size.width)
