"""PNG files some rows at a time, where libraries decode the whole picture at once.

The compressed stream is unpacked piece by piece. Rows are stored as differences from their neighbours, so a
strip of them becomes a small PNG of its own, below the row that came before, which the library then decodes.

Source: PNG (ISO/IEC 15948) sections 5, 7, 9 and 10.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import MaskError
from wsicomp.geometry import Size
from wsicomp.regions.rows import BlockRows

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by colour type."""
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_STAND_IN = {1: (8, 0), 2: (8, 4), 3: (8, 2), 4: (8, 6), 6: (16, 2), 8: (16, 6)}
"""Depth and colour type of a PNG whose pixels have so many bytes."""
_STRIP_BYTES, _PIECE_BYTES = 1 << 21, 1 << 16
_MOST_ROW_BYTES = 1 << 26


@dataclass(frozen=True)
class _Header:
    size: Size
    depth: int
    colour: int
    interlaced: bool

    @property
    def samples(self) -> int:
        return _SAMPLES[self.colour]

    @property
    def row_bytes(self) -> int:
        return -(-self.size.width * self.samples * self.depth // 8)

    @property
    def pixel_bytes(self) -> int:
        return max(1, self.samples * self.depth // 8)


def png_rows(file: BinaryIO, path: Path) -> tuple[BlockRows, np.dtype[Any]]:
    """Return the rows of a PNG, and the type of their samples.

    A palette's indices are returned as they are, 1 bit of grey as bool, grey without its alpha; colours that
    are grey count as grey.

    Memory: some megabytes, at least three rows.

    Raises:
        MaskError: it is no PNG, interlaced, or in colours; while rows are read: it is damaged.
    """
    header = _header(file, path)
    if header.interlaced:
        raise MaskError("an interlaced PNG, which cannot be read by rows; save it without", path)
    if header.row_bytes > _MOST_ROW_BYTES:
        raise MaskError(f"a row of {header.size.width} px, expected at most {_MOST_ROW_BYTES} bytes", path)
    is_flag = header.depth == 1 and header.colour == 0
    dtype = np.dtype(np.bool_ if is_flag else np.uint16 if header.depth == 16 else np.uint8)
    return BlockRows(header.size, _blocks(file, header, path)), dtype


def _header(file: BinaryIO, path: Path) -> _Header:
    data = file.read(33)
    if len(data) < 33 or data[:8] != _SIGNATURE or data[12:16] != b"IHDR" or data[8:12] != b"\0\0\0\x0d":
        raise MaskError("not a PNG file, though its name says so", path)
    width, height, depth, colour, packing, filters, interlace = struct.unpack(">IIBBBBB", data[16:29])
    is_sound = depth in _DEPTHS.get(colour, ()) and width and height and not packing and not filters
    if not is_sound or interlace > 1 or zlib.crc32(data[12:29]) != int.from_bytes(data[29:33], "big"):
        raise MaskError("a PNG with a damaged header; export it again", path)
    return _Header(Size(width, height), depth, colour, bool(interlace))


def _packed(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield the picture's compressed bytes, piece by piece, each chunk checked by its sum."""
    while len(head := file.read(8)) == 8:
        left, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind != b"IDAT":
            if kind == b"IEND":
                return
            file.seek(left + 4, 1)
            continue
        crc = zlib.crc32(kind)
        while left:
            piece = file.read(min(left, _PIECE_BYTES))
            if not piece:
                return
            left, crc = left - len(piece), zlib.crc32(piece, crc)
            yield piece
        if int.from_bytes(file.read(4), "big") != crc:
            raise MaskError("a damaged PNG: a chunk differs from its checksum; export it again", path)


def _strips(file: BinaryIO, header: _Header, path: Path) -> Iterator[bytes]:
    """Yield the unpacked rows in strips, each row behind the number of its filter."""
    stride, rows_left = header.row_bytes + 1, header.size.height
    rows_at_once = max(1, _STRIP_BYTES // stride)
    unpacker, strip = zlib.decompressobj(), bytearray()
    for piece in _packed(file, path):
        data = piece
        while rows_left and data:
            wanted = min(rows_at_once, rows_left) * stride
            strip += unpacker.decompress(data, wanted - len(strip))
            data = unpacker.unconsumed_tail
            if len(strip) == wanted:
                yield bytes(strip)
                rows_left -= wanted // stride
                strip.clear()
    if rows_left:
        found = header.size.height - rows_left
        raise MaskError(f"a PNG that ends after {found} of {header.size.height} rows; export it again", path)


def _blocks(file: BinaryIO, header: _Header, path: Path) -> Iterator[NDArray[Any]]:
    before = bytes(header.row_bytes)
    try:
        for strip in _strips(file, header, path):
            rows = _unfiltered(strip, before, header)
            before = rows[-1].tobytes()
            yield _samples(rows, header, path)
    except (zlib.error, RuntimeError, ValueError) as exc:
        if isinstance(exc, MaskError):
            raise
        raise MaskError(f"a damaged PNG ({type(exc).__name__}); export it again", path) from exc


def _unfiltered(strip: bytes, before: bytes, header: _Header) -> NDArray[np.uint8]:
    """Return the bytes of rows, (rows, bytes), which are filtered in `strip`; `before` is the row above."""
    depth, colour = _STAND_IN[header.pixel_bytes]
    rows = len(strip) // (header.row_bytes + 1)
    size = struct.pack(">IIBBBBB", header.row_bytes // header.pixel_bytes, rows + 1, depth, colour, 0, 0, 0)
    packed = zlib.compress(b"\0" + before + strip, 0)
    png = _SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", size), (b"IDAT", packed), (b"IEND", b""))
    )
    pixels = np.asarray(imagecodecs.png_decode(png))
    octets = pixels.astype(">u2").view(np.uint8) if depth == 16 else pixels
    return octets.reshape(rows + 1, header.row_bytes)[1:]


def _samples(rows: NDArray[np.uint8], header: _Header, path: Path) -> NDArray[Any]:
    width = header.size.width
    if header.depth < 8:
        bits = np.unpackbits(rows, axis=1)[:, : width * header.depth].reshape(len(rows), width, header.depth)
        if header.depth == 1:
            return np.asarray(bits[..., 0].view(np.bool_) if header.colour == 0 else bits[..., 0])
        weights = (1 << np.arange(header.depth - 1, -1, -1)).astype(np.uint8)
        return np.asarray((bits * weights).sum(axis=2, dtype=np.uint8))
    values: NDArray[Any] = rows.view(">u2").astype(np.uint16) if header.depth == 16 else rows
    return one_sample(values.reshape(len(rows), width, header.samples), path)


def one_sample(values: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return one value for each pixel of (rows, columns, samples): 1 or 2 are grey, 3 or 4 red to blue.

    Raises:
        MaskError: pixels have a colour, so that there is no one value.
    """
    first = values[..., 0]
    if values.shape[2] >= 3 and not ((first == values[..., 1]).all() and (first == values[..., 2]).all()):
        raise MaskError("a picture in colours; expected labels as grey or palette, one value a pixel", path)
    return np.ascontiguousarray(first)
