"""Tiles stored as samples: uncompressed, LZW, deflate or Zstandard, with or without TIFF's predictor.

Source: TIFF 6.0 sections 13 and 14; TIFF Technical Note 1 (deflate); libtiff (Zstandard, 50000).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from wsicomp.codecs.base import EVERY_PROGRAM, CodecInfo, Compression, Program
from wsicomp.codecs.pixels import rgb
from wsicomp.geometry import Size
from wsicomp.slide import RGB, EncodedTile, Pixels, TileEncoding

DEFLATE, ZSTANDARD = 8, 50000
"""TIFF Compressions of zlib streams and of Zstandard streams."""


def _lzw_decoded(data: bytes, size: int) -> bytes:
    """Return the samples of an LZW stream, decoded by libtiff through Pillow; fewer if some are missing.

    imagecodecs 2026.1 reads and writes beyond its buffers if a stream is damaged, and ends the process.
    """
    stream = io.BytesIO()
    options: dict[str, Any] = {"rowsperstrip": 1, "compression": "lzw", "metadata": None}
    tifffile.imwrite(stream, iter([data]), shape=(1, size), dtype=np.uint8, photometric=1, **options)
    try:
        with Image.open(stream, formats=("TIFF",)) as image:
            return image.tobytes()
    except (OSError, SyntaxError, Image.DecompressionBombError) as exc:
        raise ValueError(f"damaged LZW ({exc})") from exc


_DECODERS: dict[int, Callable[[bytes, int], bytes | bytearray]] = {
    1: lambda data, size: data,  # noqa: ARG005
    5: _lzw_decoded,
    DEFLATE: lambda data, size: imagecodecs.zlib_decode(data, out=size),
    32946: lambda data, size: imagecodecs.zlib_decode(data, out=size),
    ZSTANDARD: lambda data, size: imagecodecs.zstd_decode(data, out=size),
}
_ENCODERS: dict[int, Callable[[bytes], bytes | bytearray]] = {
    1: bytes,
    5: imagecodecs.lzw_encode,
    DEFLATE: imagecodecs.zlib_encode,
    32946: imagecodecs.zlib_encode,
    ZSTANDARD: imagecodecs.zstd_encode,
}
COMPRESSIONS = tuple(_DECODERS)
"""TIFF Compressions that keep all samples unchanged."""
_HORIZONTAL = 2


def unpacked(compression: int, data: bytes, size: int) -> bytes:
    """Return the `size` bytes of samples in a tile or strip of one of `COMPRESSIONS`, its predictor in place.

    Raises:
        ValueError: the bytes hold fewer.
        RuntimeError: the library refuses the bytes.
    """
    samples = _DECODERS[compression](data, size)
    if len(samples) < size:
        raise ValueError(f"{len(samples)} bytes of samples, expected {size}")
    return bytes(samples[:size])


def decode(tile: EncodedTile) -> Pixels:
    """Return the tile's samples, (rows, columns, 3) uint8 RGB: subsampled YCbCr without JPEG is not read.

    Raises:
        ValueError: the samples are not RGB, or too few.
        RuntimeError: the library refuses the bytes.
    """
    if tile.encoding.photometric != RGB:
        raise ValueError(f"uncompressed photometric {tile.encoding.photometric}, expected RGB")
    return decode_samples(tile, 3)


def decode_samples(tile: EncodedTile, count: int) -> NDArray[np.uint8]:
    """Return (rows, columns, count) uint8: `count` samples a pixel, whatever they mean.

    Raises:
        ValueError: the bytes hold fewer samples.
        RuntimeError: the library refuses the bytes.
    """
    shape = (*tile.size.shape, count)
    length = shape[0] * shape[1] * count
    samples = _DECODERS[tile.encoding.compression](tile.data, length)
    if len(samples) < length:
        raise ValueError(f"{len(samples)} bytes of samples, expected {length}")
    pixels = np.frombuffer(samples, np.uint8, length).reshape(shape)
    if tile.encoding.predictor == _HORIZONTAL:
        return np.cumsum(pixels, axis=1, dtype=np.uint8)
    return pixels


def encode(encoding: TileEncoding, pixels: Pixels) -> bytes:
    """Return the samples of a tile or strip as the encoding stores them, without loss."""
    if encoding.predictor == _HORIZONTAL:
        pixels = np.diff(pixels, axis=1, prepend=np.zeros_like(pixels[:, :1]))
    return bytes(_ENCODERS[encoding.compression](pixels.tobytes()))


def encode_uniform(encoding: TileEncoding, size: Size, color: tuple[int, int, int]) -> bytes:
    """Return a tile of one colour, stored as the encoding says."""
    return encode(encoding, np.full((*size.shape, 3), color, np.uint8))


_READ_ZSTANDARD = EVERY_PROGRAM - {
    *(Program.OPENSLIDE_400, Program.OPENSLIDE_34, Program.QUPATH),
    *(Program.LIBVIPS, Program.TIATOOLBOX, Program.CUCIM, Program.SLIDEIO),
}


def without_text(tile: EncodedTile, tables: bytes | None) -> EncodedTile:  # noqa: ARG001
    """Return the tile with nothing but the bytes of its samples; `tables` are ignored."""
    return replace(tile, data=_bare_samples(tile))


def _bare_samples(tile: EncodedTile) -> bytes:
    """Return the samples as stored, or compressed anew if the stream holds anything else."""
    compression, length = tile.encoding.compression, tile.size.width * tile.size.height * 3
    if compression == 1:
        if len(tile.data) < length:
            raise ValueError("samples are missing")
        return tile.data[:length]
    if compression == ZSTANDARD:
        samples = imagecodecs.zstd_decode(tile.data, out=length + 1)
        is_bare = len(samples) == length and _zstandard_end(tile.data) == len(tile.data)
    elif compression == 5:
        is_bare = False  # only a decoder knows where an LZW stream ends
    else:
        is_bare = _deflate_is_bare(tile.data, length)
    return tile.data if is_bare else encode(tile.encoding, decode(tile))


def _deflate_is_bare(data: bytes, length: int) -> bool:
    stream = zlib.decompressobj()
    try:
        samples = stream.decompress(data, length + 1)
    except zlib.error as exc:
        raise ValueError(f"damaged deflate ({exc})") from exc
    if len(samples) < length:
        raise ValueError("samples are missing")
    return len(samples) == length and stream.eof and not stream.unused_data


def _zstandard_end(data: bytes) -> int:
    """Return where the first frame ends; -1 if it names a dictionary or is no frame."""
    if data[:4] != b"\x28\xb5\x2f\xfd" or len(data) < 6:
        return -1
    descriptor = data[4]
    is_single, has_sum, dictionary = descriptor >> 5 & 1, descriptor >> 2 & 1, descriptor & 3
    if dictionary or descriptor & 0x18:
        return -1
    at = 5 + (not is_single) + (is_single, 2, 4, 8)[descriptor >> 6]
    while at + 3 <= len(data):
        block = int.from_bytes(data[at : at + 3], "little")
        kind = block >> 1 & 3
        at += 3 + (1 if kind == 1 else block >> 3)
        if block & 1:
            return at + 4 * has_sum
    return -1


def encode_alike(tile: EncodedTile, encoding: TileEncoding, pixels: Pixels) -> bytes:  # noqa: ARG001
    """Return the pixels as the encoding stores samples, without loss."""
    return encode(encoding, pixels)


CODECS = (
    CodecInfo(
        name="none",
        module=__name__,
        compressions=(
            Compression(1, "uncompressed", readers=EVERY_PROGRAM),
            Compression(5, "LZW", readers=EVERY_PROGRAM),
            Compression(DEFLATE, "deflate", readers=EVERY_PROGRAM),
            Compression(32946, "deflate", readers=EVERY_PROGRAM),
            Compression(ZSTANDARD, "Zstandard", readers=_READ_ZSTANDARD),
        ),
    ),
)


class Codec:
    """The codec "none": uncompressed samples."""

    lossless = True
    encoding = TileEncoding(1, RGB)

    def config(self) -> Mapping[str, int | float | bool]:
        """Return no options: there are none."""
        return {}

    def encode(self, pixels: Pixels) -> bytes:
        """Return the tile's samples."""
        return encode(self.encoding, rgb(pixels))
