"""The directories of a TIFF as values: parsed by tifffile, then checked against the file.

Source: TIFF 6.0; BigTIFF; TIFF Technical Note 2 (JPEG).
"""

from __future__ import annotations

import gc
import logging
import os
import struct
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsicomp.codecs import plain
from wsicomp.codecs.registry import can_decode
from wsicomp.concurrency.forks import fork_safe_property
from wsicomp.errors import SlideReadError, UnsupportedSlideError
from wsicomp.formats.tiff.tag_values import (
    checked_whole,
    first_number,
    icc_profile_of,
    image_description,
    jpeg_tables_of,
    model_range_of,
    resolution_mpp,
)
from wsicomp.formats.tiff.tags import MOST_DIRECTORIES, check_tags
from wsicomp.formats.tiff.xmp import XMP_TAG
from wsicomp.geometry import Mpp, Size, TileGrid
from wsicomp.slide import APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR, JPEG, RGB, YCBCR, TileEncoding

# What tifffile logs about a damaged file is said by our own error, in one line.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""The first four bytes of a TIFF or BigTIFF, in either order of bytes."""

_MANY_TILES = 50_000
_GAP_BYTES, _BLOCK_BYTES = 1 << 14, 1 << 20
"""The most bytes between two ranges that are read at once, and of all that is."""
_PHOTOMETRIC, _SAMPLE_FORMAT = 262, 339
_FILL_ORDER, _ORIENTATION = 266, 274
_LOW_BITS_FIRST = 2
_BY_OPENSLIDE = (JPEG, APERIO_JPEG2000_YCBCR, APERIO_JPEG2000_RGB)
_BITS_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

UNPARSED = (
    *(tifffile.TiffFileError, struct.error, OSError, ValueError, TypeError, LookupError, ArithmeticError),
    *(AttributeError, AssertionError, RuntimeError, MemoryError),
)
"""The errors that tifffile raises for a damaged file."""

PLANES = 2
"""TIFF's PlanarConfiguration of samples that are stored apart."""


class _Descriptor:
    """The number of an open file, which is closed when nothing refers to this any more."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self.number)


class TiffFile:
    """An open TIFF that is read by position, so that threads never share an offset."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: _Descriptor | None = _Descriptor(path)
        self.bytes = os.fstat(self._file.number).st_size

    def read(self, offset: int, count: int, place: object) -> bytes:
        """Return `count` bytes of the file from `offset` on; errors name them by `str(place)`.

        Raises:
            SlideReadError: the file ends before them, is closed, or cannot be read.
        """
        # Held until the end: if another thread closes it, no other file may take its number meanwhile.
        file = self._file
        if file is None:
            raise SlideReadError("the slide is closed", self.path, str(place))
        if count and (min(offset, count) < 0 or offset + count > self.bytes):
            raise SlideReadError(f"ends at byte {offset + count} of {self.bytes}", self.path, str(place))
        try:
            data = os.pread(file.number, count, offset) if count else b""
        except OSError as exc:
            raise SlideReadError(exc.strerror or str(exc), self.path, str(place)) from exc
        if len(data) != count:
            raise SlideReadError(f"{len(data)} bytes, expected {count}", self.path, str(place))
        return data

    def read_many(self, ranges: Iterable[tuple[int, int]], place: object) -> list[bytes]:
        """Return the bytes of (offset, count) ranges; those that lie together are read at once.

        Memory: twice their bytes.

        Raises:
            SlideReadError: one of them cannot be read.
        """
        ranges = list(ranges)
        found: dict[tuple[int, int], bytes] = {}
        for block in _blocks({one for one in ranges if one[1]}):
            start, end = block[0][0], max(offset + count for offset, count in block)
            data = self.read(start, end - start, place)
            found |= {one: data[one[0] - start : one[0] - start + one[1]] for one in block}
        return [found.get(one, b"") for one in ranges]

    def close(self) -> None:
        """Close the file, or let the last of the threads that read from it close it.

        Reading afterwards is an error, closing again is not.
        """
        self._file = None


def _blocks(ranges: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield (offset, count) ranges in lists of neighbours, in the order of the file."""
    block: list[tuple[int, int]] = []
    end = 0
    for offset, count in sorted(ranges):
        if block and (offset - end > _GAP_BYTES or offset + count - block[0][0] > _BLOCK_BYTES):
            yield block
            block = []
            end = 0
        block.append((offset, count))
        end = max(end, offset + count)
    if block:
        yield block


@dataclass(frozen=True)
class Directory:
    """A directory of a TIFF: one image, and its tags."""

    size: Size
    """Its size in pixels."""
    tile: Size | None
    """The size of its tiles; None for an image in strips."""
    rows_per_strip: int
    """The rows of a strip."""
    encoding: TileEncoding
    """The encoding that its tags state."""
    samples: int
    """The samples of a pixel; 0 where it states no photometric interpretation."""
    bits: int
    """The bits of a sample."""
    planar: int
    """TIFF's PlanarConfiguration: 1, or `PLANES`."""
    depth: int
    """The focal planes in one image, by TIFF's ImageDepth."""
    subfile_type: int
    """TIFF's NewSubfileType."""
    ranges: NDArray[np.int64] = field(repr=False)
    """(tiles or strips, 2): offset and byte count of each in raster order, both 0 where nothing is stored.

    With planes, all ranges of the first plane come first.
    """
    description: str = field(repr=False)
    """Its ImageDescription, the bytes as Latin-1."""
    software: str = field(repr=False)
    """Its Software tag."""
    icc_profile: bytes | None = field(repr=False)
    """Its ICC profile."""
    xmp: bytes | None = field(repr=False)
    """Its XMP packet."""
    mpp: Mpp | None
    """The um per px of its XResolution and YResolution."""
    model_range: tuple[int, int] | None = None
    """Offset and byte count of the neural model that it carries."""
    sample_format: int = 1
    """TIFF's SampleFormat: 1 is unsigned."""
    fill_order: int = 1
    """TIFF's FillOrder: 2 stores the lowest bit first."""
    orientation: int = 1
    """TIFF's Orientation: 1 is upright."""
    subs: tuple[Directory, ...] = field(default=(), repr=False)
    """The images of its SubIFDs, of the chains there, and of their own SubIFDs."""

    @fork_safe_property
    def is_rgb(self) -> bool:
        """Whether the samples are 8-bit RGB or YCbCr, interleaved."""
        return (
            self.samples == 3
            and self.bits == 8
            and self.planar == 1
            and self.encoding.photometric in (RGB, YCBCR)
        )

    @fork_safe_property
    def is_turned(self) -> bool:
        """Whether its bytes are stored with their lowest bit first, which JPEG and JPEG 2000 never are.

        Source: libtiff 4.7 `tif_read.c` turns all that no codec reads by itself (TIFF_NOBITREV, set by JPEG);
        OpenSlide decodes JPEG 2000 from the raw bytes.
        """
        return self.fill_order == _LOW_BITS_FIRST and self.encoding.compression not in _BY_OPENSLIDE

    @property
    def is_decoded_by_openslide(self) -> bool:
        """Whether OpenSlide decodes its tiles from their raw bytes, without libtiff."""
        return self.is_rgb and self.encoding.compression in _BY_OPENSLIDE

    def as_read(self, data: bytes) -> bytes:
        """Return the bytes of a tile or strip with their highest bit first."""
        return data.translate(_BITS_TURNED) if self.is_turned else data

    @property
    def is_plain_rgb(self) -> bool:
        """Whether the samples are 8-bit RGB in planes or with alpha, in a compression that can hold them."""
        return (
            (self.samples, self.planar) in ((3, PLANES), (4, 1), (4, PLANES))
            and self.bits == 8
            and self.encoding.photometric == RGB
            and self.encoding.compression in (JPEG, *plain.COMPRESSIONS)
        )

    @fork_safe_property
    def grid(self) -> TileGrid:
        """The grid of its tiles, or of its strips as tiles as wide as the image."""
        return TileGrid(self.size, self.tile or Size(max(1, self.size.width), max(1, self.rows_per_strip)))


def read_directories(path: Path) -> tuple[Directory, ...]:
    """Return every image in the main chain of a TIFF, each with the images of its SubIFDs.

    >>> [directory.size for directory in read_directories(Path("slide.svs"))]  # doctest: +SKIP

    Raises:
        SlideReadError: the file cannot be parsed, a chain loops, or a tile would lie beyond the file's end.
        UnsupportedSlideError: the file is not a TIFF.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) not in TIFF_MAGIC:
                raise UnsupportedSlideError("not a TIFF; expected an SVS or a tiled TIFF")
        check_tags(path)
        with tifffile.TiffFile(path) as tiff:
            directories = tuple(_with_subs(tiff))
    except SlideReadError as exc:
        raise type(exc)(exc.message, path, exc.place) from exc
    except UNPARSED as exc:
        raise SlideReadError(f"damaged TIFF ({exc})", path) from exc

    del tiff
    if sum(len(each.ranges) for one in directories for each in (one, *one.subs)) > _MANY_TILES:
        # tifffile's objects refer to each other, so its copy of every offset would stay for long.
        gc.collect()
    return directories


def _pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    pages = [page for page in islice(tiff.pages, MOST_DIRECTORIES + 1) if isinstance(page, tifffile.TiffPage)]
    if len({page.offset for page in pages}) < len(pages):
        raise SlideReadError("the chain of directories loops; the file is damaged")
    if len(pages) > MOST_DIRECTORIES:
        raise SlideReadError(f"{len(pages)} directories or more, expected at most {MOST_DIRECTORIES}")
    if not pages:
        raise SlideReadError(f"a TIFF without images{_cut_short(tiff)}")
    _require_end(tiff, pages[-1])
    return pages


def _cut_short(tiff: tifffile.TiffFile) -> str:
    """Return words on a file whose first directory lies beyond its end; "" for any other file."""
    file, form = tiff.filehandle, tiff.tiff
    file.seek(form.offsetsize)  # in a BigTIFF the link is as long as what stands before it, as in a TIFF
    (first,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
    if first < file.size:
        return ""
    return f", or it is cut short: its first directory is to stand at byte {first} of {file.size}"


def _with_subs(tiff: tifffile.TiffFile) -> Iterator[Directory]:
    file_bytes = tiff.filehandle.size
    pages = _pages(tiff)
    visited = {page.offset for page in pages}
    listed = {offset for page in pages for offset in page.subifds or ()}
    for page in pages:
        subs = tuple(directory_of(sub, file_bytes) for sub in _sub_pages(tiff, page, listed, visited))
        yield replace(directory_of(page, file_bytes), subs=subs)


def _sub_pages(
    tiff: tifffile.TiffFile, page: tifffile.TiffPage, listed: set[int], visited: set[int]
) -> list[tifffile.TiffPage]:
    """Return the images of a page's SubIFDs, of the chains there, and of their SubIFDs.

    `visited` grows by them. `listed` are the SubIFDs of all images: tifffile chains those that it lists, and
    a chain ends there.
    """
    subs: list[tifffile.TiffPage] = []
    offsets = _listed_subs(page)
    while offsets:
        offset = offsets.pop(0)
        if offset in visited or len(visited) >= MOST_DIRECTORIES:
            found = "a SubIFD leads back to another image, or there are too many"
            raise SlideReadError(f"{found}; the file is damaged")
        visited.add(offset)
        tiff.filehandle.seek(offset)
        sub = tifffile.TiffPage(tiff, (page.index, len(subs)))
        subs.append(sub)
        chained = _next_offset(tiff, offset)
        further = [] if not chained or chained in visited or chained in listed else [chained]
        offsets = [*further, *_listed_subs(sub), *offsets]
    return subs


def _listed_subs(page: tifffile.TiffPage) -> list[int]:
    """Return the offsets of a page's SubIFDs, without zeros.

    Raises:
        SlideReadError: there are more than a file can have images.
    """
    found = [offset for offset in page.subifds or () if offset]
    if len(found) > MOST_DIRECTORIES:
        raise SlideReadError(f"{len(found)} SubIFDs, expected at most {MOST_DIRECTORIES}")
    return found


def link_place(tiff: tifffile.TiffFile, offset: int) -> int:
    """Return the byte offset of the link to the next directory in the directory at `offset`."""
    file, form = tiff.filehandle, tiff.tiff
    file.seek(offset)
    (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    return int(offset + form.tagnosize + count * form.tagsize)


def _next_offset(tiff: tifffile.TiffFile, offset: int) -> int:
    """Return the offset of the directory behind the one at `offset`, 0 where there is none."""
    file, form = tiff.filehandle, tiff.tiff
    file.seek(link_place(tiff, offset))
    link = file.read(form.offsetsize)
    return int(struct.unpack(form.offsetformat, link)[0]) if len(link) == form.offsetsize else 0


def _require_end(tiff: tifffile.TiffFile, last: tifffile.TiffPage) -> None:
    """Check that the last directory is the last: tifffile leaves out those behind a file's end."""
    following = _next_offset(tiff, last.offset)
    if following:
        found = f"the next directory at byte {following} of {tiff.filehandle.size} cannot be read"
        raise SlideReadError(f"{found}; the file is truncated or damaged")


def directory_of(page: tifffile.TiffPage, file_bytes: int) -> Directory:
    """Return an image of an open TIFF, without its SubIFDs; `file_bytes` is the file's size.

    Raises:
        SlideReadError: its tags are not sound.
    """
    size = Size(checked_whole(page.imagewidth, "width"), checked_whole(page.imagelength, "height"))
    tile = None
    if page.is_tiled:
        tile = Size(
            checked_whole(page.tilewidth, "tiles' width"), checked_whole(page.tilelength, "tiles' height")
        )
    photometric = RGB if page.photometric is None else int(page.photometric)
    xmp = page.tags.valueof(XMP_TAG)
    return Directory(
        size=size,
        tile=tile,
        rows_per_strip=min(page.rowsperstrip, page.imagelength),
        encoding=TileEncoding(
            int(page.compression),
            photometric,
            predictor=int(page.predictor),
            jpeg_tables=jpeg_tables_of(page),
        ),
        samples=checked_whole(page.samplesperpixel, "count of samples") if _PHOTOMETRIC in page.tags else 0,
        bits=page.bitspersample,
        planar=int(page.planarconfig),
        depth=checked_whole(page.imagedepth, "depth"),
        subfile_type=int(page.subfiletype),
        ranges=_ranges(page, file_bytes),
        description=image_description(page),
        software=str(page.software),
        icc_profile=icc_profile_of(page),
        xmp=xmp if isinstance(xmp, bytes) else None,
        mpp=resolution_mpp(page),
        model_range=model_range_of(page),
        sample_format=int(first_number(page, _SAMPLE_FORMAT, 1)),
        fill_order=int(first_number(page, _FILL_ORDER, 1)),
        orientation=int(first_number(page, _ORIENTATION, 1)),
    )


def _ranges(page: tifffile.TiffPage, file_bytes: int) -> NDArray[np.int64]:
    """Return offsets and byte counts, checked for a tiled image; no rows for strips that are not sound."""
    counts = (len(page.dataoffsets), len(page.databytecounts))
    place = f"image of {page.imagewidth} x {page.imagelength} px"
    columns = -(-page.imagewidth // max(1, page.tilewidth))
    rows = -(-page.imagelength // max(1, page.tilelength))
    if page.is_tiled:
        planes = int(page.samplesperpixel) if int(page.planarconfig) == PLANES else 1
        if counts != (columns * rows * planes, columns * rows * planes):
            found = f"{counts[0]} tile offsets and {counts[1]} byte counts"
            of_each = f" of each of {planes} planes" if planes > 1 else ""
            raise SlideReadError(f"{found}, expected {columns} x {rows}{of_each}", place=place)
    elif counts[0] != counts[1]:
        return np.empty((0, 2), np.int64)
    table = np.array([page.dataoffsets, page.databytecounts]).T.reshape(-1, 2)
    if table.size and table.dtype.kind not in "iu":
        raise SlideReadError("offsets or byte counts that are no whole numbers", place=place)
    table = table.astype(np.uint64)
    table[table[:, 1] == 0] = 0
    beyond = np.flatnonzero(
        (table[:, 0] > file_bytes) | (table[:, 1] > file_bytes - np.minimum(table[:, 0], file_bytes))
    )
    if beyond.size and not page.is_tiled:
        return np.empty((0, 2), np.int64)
    if beyond.size:
        number = int(beyond[0]) % (columns * rows)
        tile = f"tile ({number % columns}, {number // columns})"
        ends = f"ends at byte {int(table[number].sum())} of {file_bytes}; the file is truncated"
        raise SlideReadError(f"{tile} {ends}", place=place)
    return table.astype(np.int64)


def distinct_bytes(ranges: NDArray[np.int64]) -> int:
    """Return the bytes that tiles or strips take in their file, shared bytes counted once."""
    ranges = ranges[ranges[:, 1] > 0]
    if len(np.unique(ranges[:, 0])) < len(ranges):
        ranges = np.unique(ranges, axis=0)
    return int(ranges[:, 1].sum())


def is_readable(directory: Directory) -> bool:
    """Return whether tiles or strips of a directory can be decoded here."""
    return directory.is_rgb and can_decode(directory.encoding.compression)


def openslide_levels(directories: Sequence[Directory]) -> list[Directory]:
    """Return the directories that OpenSlide's drivers take for levels, largest first.

    The first directory is always a level. The drivers read the main chain alone, and know neither focal
    planes nor tiled labels.

    Source: OpenSlide's aperio driver (every tiled image) and generic-tiff driver (the first, and tiled ones
    that are marked as reduced).
    """
    first = directories[0]
    is_aperio = first.description.startswith("Aperio")
    levels = [first] + [
        page for page in directories[1:] if page.tile is not None and (is_aperio or page.subfile_type & 1)
    ]
    return sorted(levels, key=lambda page: -page.size.width)
