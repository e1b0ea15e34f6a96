"""TIFF and OME-TIFF files some rows at a time: a row of tiles, or a strip. Of a pyramid the largest level."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from wsicomp.codecs import plain
from wsicomp.errors import MaskError
from wsicomp.formats.tiff.ome import is_ome, parse_ome
from wsicomp.geometry import Mpp, Size
from wsicomp.regions.png_rows import one_sample
from wsicomp.regions.rows import ArrayRows, BlockRows, SampleRows

_MOST_BLOCK_BYTES = 1 << 27
_BUFFER_BYTES = 1 << 22
_MINISWHITE, _SEPARATE = 0, 2
_JPEG = (7,)
_BY_TIFFFILE = (*_JPEG, 33003, 33005, 34712)
"""TIFF Compressions of JPEG and of JPEG 2000, which tifffile decodes."""
_WHOLE_BYTES = 8


def tiff_rows(
    tiff: tifffile.TiffFile, path: Path, may_be_lossy: bool
) -> tuple[SampleRows, np.dtype[Any], Mpp | None]:
    """Return the rows of the largest picture, the type of its samples, and its um per px in OME-XML.

    The file stays open while rows are read, and its directories have been checked. Unless it `may_be_lossy`,
    JPEG is refused: it changes labels.

    Memory: about twice a row of tiles, or a strip.

    Raises:
        MaskError: the file holds several pictures of that size, colours, or tiles too large for memory.
    """
    number, page = _largest(tiff, path)
    dtype = np.dtype(page.dtype)
    if page.compression in _JPEG and not may_be_lossy:
        raise MaskError("labels stored as JPEG, which changes them; save them with deflate or LZW", path)
    if page.compression not in (*plain.COMPRESSIONS, *_BY_TIFFFILE):
        raise MaskError(f"TIFF compression {int(page.compression)}; save it with deflate, LZW or none", path)
    if page.ndim > 3 or page.imagedepth > 1 or (page.samplesperpixel > 1 and page.planarconfig == _SEPARATE):
        raise MaskError("a picture of several planes, expected one value a pixel", path)
    return _rows(page, path), dtype, _stated(tiff, number)


def _largest(tiff: tifffile.TiffFile, path: Path) -> tuple[int, Any]:
    pages: list[tuple[int, Any]] = [(number, tiff.pages.get(number)) for number in range(len(tiff.pages))]
    areas = [page.imagewidth * page.imagelength for _, page in pages]
    largest = [each for each, area in zip(pages, areas, strict=True) if area == max(areas)]
    number, page = largest[0]
    if len(largest) > 1:
        found = f"{len(largest)} pictures of {page.imagewidth} x {page.imagelength} px"
        raise MaskError(f"{found}, expected one plane with a value for each class", path)
    if page.dtype is None or not page.imagewidth or not page.imagelength or not page.dataoffsets:
        raise MaskError("a TIFF without samples of a known type", path)
    return number, page


def _stated(tiff: tifffile.TiffFile, number: int) -> Mpp | None:
    text = tiff.pages.first.description
    if not is_ome(text):
        return None
    document = parse_ome(text.encode("utf-8").decode("latin-1"))
    image = document and document.of_page(number)
    return image.mpp if image else None


def _rows(page: Any, path: Path) -> SampleRows:
    size = Size(page.imagewidth, page.imagelength)
    if page.is_memmappable and not (page.is_tiled or page.samplesperpixel > 1):
        shape = size.shape
        order = page.parent.byteorder + page.dtype.char
        return ArrayRows(np.memmap(path, order, "r", page.dataoffsets[0], shape))
    height = page.tilelength if page.is_tiled else min(page.rowsperstrip, size.height)
    width = max(size.width, page.tilewidth if page.is_tiled else 0)
    block_bytes = height * width * page.samplesperpixel * np.dtype(page.dtype).itemsize
    if block_bytes > _MOST_BLOCK_BYTES:
        found = f"{'tiles' if page.is_tiled else 'strips'} of {height} rows of {size.width} px"
        raise MaskError(
            f"{found}, expected at most {_MOST_BLOCK_BYTES} bytes; save it in tiles of 512 px", path
        )
    return BlockRows(size, _read(page, path))


def _read(page: Any, path: Path) -> Iterator[NDArray[Any]]:
    try:
        for block in _tile_rows(page) if page.is_tiled else _strips(page):
            yield _one_plane(block, page, path)
    except MaskError:
        raise
    except (ValueError, TypeError, RuntimeError, IndexError, OSError, MemoryError) as exc:
        raise MaskError(f"a damaged TIFF ({type(exc).__name__}); export it again", path) from exc
    raise MaskError("a TIFF with fewer strips or tiles than its size needs; export it again", path)


def _segments(page: Any) -> Iterator[Any]:
    """Yield what `page.segments` does; whatever is packed without loss is unpacked as slides are.

    imagecodecs, which tifffile calls, ends the process over damaged LZW.
    """
    if page.compression in _BY_TIFFFILE:
        yield from page.segments(maxworkers=1, buffersize=_BUFFER_BYTES)
        return
    compression, page.compression = int(page.compression), 1  # tifffile has the predictor left to undo
    columns = page.tilewidth if page.is_tiled else page.imagewidth
    row_bytes = -(-columns * page.samplesperpixel * page.bitspersample // _WHOLE_BYTES)
    for data, index in page.parent.filehandle.read_segments(
        page.dataoffsets, page.databytecounts, buffersize=_BUFFER_BYTES, flat=True
    ):
        rows = (
            page.tilelength
            if page.is_tiled
            else min(page.rowsperstrip, page.imagelength - index * page.rowsperstrip)
        )
        samples = data and plain.unpacked(compression, data, rows * row_bytes)
        yield page.decode(samples or None, index, _fullsize=page.is_tiled)


def _strips(page: Any) -> Iterator[NDArray[Any]]:
    for data, _, (_, height, width, samples) in _segments(page):
        if data is None:
            yield np.zeros((height, width, samples), page.dtype)
        else:
            yield data[0, :height, :width]


def _tile_rows(page: Any) -> Iterator[NDArray[Any]]:
    """Yield rows of tiles, (rows, columns, samples); tiles without bytes are 0."""
    shape = page.tilelength, page.imagewidth, page.samplesperpixel
    row = np.zeros(shape, page.dtype)
    for data, (_, _, y, x, _), _ in _segments(page):
        if data is not None:
            tile = data[0, :, : page.imagewidth - x]
            row[: len(tile), x : x + tile.shape[1]] = tile
        if x + page.tilewidth >= page.imagewidth:
            yield row[: min(page.tilelength, page.imagelength - y)]
            row = np.zeros(shape, page.dtype)


def _one_plane(block: NDArray[Any], page: Any, path: Path) -> NDArray[Any]:
    plane = one_sample(block, path)
    is_inverted = page.photometric == _MINISWHITE and page.bitspersample == 1
    return np.asarray(plane == 0 if is_inverted else plane)
