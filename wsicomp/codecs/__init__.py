"""Tile codecs: pixels to bytes and back, found by name or by TIFF compression, imported when first used.

A codec sees pixels, bytes and a `TileEncoding`; it must not know files, slides or masks. To add one, write
a module with a class that follows `TileCodec` and add its line to `_CODECS`; to read one more TIFF
compression, write a module that follows `TileFormat` and add its line to `_FORMATS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

from wsicomp.errors import CodecUnavailableError, UnknownCodecError, UnsupportedSlideError
from wsicomp.geometry import Size
from wsicomp.slide import APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR, JPEG, EncodedTile, Pixels, TileEncoding


class TileCodec(Protocol):
    """Encodes tiles in one fixed way, chosen by the arguments of its constructor."""

    @property
    def lossless(self) -> bool:
        """Whether decoding gives back the very pixels that were encoded."""
        ...

    @property
    def encoding(self) -> TileEncoding:
        """How every tile that it makes is stored."""
        ...

    def config(self) -> Mapping[str, int | float | str]:
        """The options that tell this codec from its siblings, for provenance."""
        ...

    def encode(self, pixels: Pixels) -> bytes:
        """The bytes of one tile, which `decode_tile` turns into pixels again.

        Raises:
            ValueError: the array is not (rows, columns, 3) uint8.
        """
        ...


class TileFormat(Protocol):
    """Reads the tiles of one or more TIFF compressions; the modules of this package implement it."""

    def decode(self, tile: EncodedTile) -> Pixels:
        """The tile's pixels in exactly its size.

        Raises:
            ValueError: the bytes do not decode to that size.
            RuntimeError: the library refuses the bytes.
        """
        ...

    def decode_eighth(self, tile: EncodedTile) -> Pixels:
        """The tile at an eighth of its width and height, rounded up: the means of blocks of 8 x 8 pixels.

        As fast as the format allows; to see what is on a tile, and that its bytes decode.

        Raises:
            ValueError, RuntimeError: as `decode`.
        """
        ...

    def encode_uniform(self, encoding: TileEncoding, size: Size, color: tuple[int, int, int]) -> bytes:
        """A tile of one RGB colour that stands beside others of this encoding in one TIFF level."""
        ...


_CODECS = {"jpeg": "wsicomp.codecs.jpeg:JpegCodec"}

_FORMATS = {
    1: "wsicomp.codecs.plain",
    5: "wsicomp.codecs.plain",
    8: "wsicomp.codecs.plain",
    32946: "wsicomp.codecs.plain",
    50000: "wsicomp.codecs.plain",
    JPEG: "wsicomp.codecs.jpeg",
    APERIO_JPEG2000_YCBCR: "wsicomp.codecs.jpeg2000",
    APERIO_JPEG2000_RGB: "wsicomp.codecs.jpeg2000",
}


def codec_names() -> tuple[str, ...]:
    """The names that `create_codec` takes."""
    return tuple(_CODECS)


def create_codec(name: str, quality: int) -> TileCodec:
    """The codec of that name at a quality from 1 to 100.

    Raises:
        UnknownCodecError: there is no codec of that name.
        CodecUnavailableError: its library is not installed.
    """
    if name not in _CODECS:
        raise UnknownCodecError(f"unknown codec {name!r}; known are {', '.join(_CODECS)}")
    module, class_name = _CODECS[name].split(":")
    try:
        return cast(TileCodec, getattr(import_module(module), class_name)(quality))
    except ImportError as exc:
        raise CodecUnavailableError(f"codec {name} needs {exc.name}: pip install wsicomp") from exc


def can_decode(compression: int) -> bool:
    """Whether tiles of this TIFF compression can be turned into pixels here."""
    return compression in _FORMATS


def tile_format(compression: int) -> TileFormat:
    """The reader of a TIFF compression.

    Raises:
        UnsupportedSlideError: none is known; the message lists those that are.
    """
    if compression not in _FORMATS:
        known = ", ".join(str(number) for number in sorted(_FORMATS))
        raise UnsupportedSlideError(f"unknown TIFF compression {compression}; expected one of {known}")
    return cast(TileFormat, import_module(_FORMATS[compression]))


def decode_tile_eighth(tile: EncodedTile) -> Pixels:
    """The means of a tile's blocks of 8 x 8 pixels, for a JPEG in half the time of `decode_tile`.

    Raises:
        ValueError, RuntimeError: as `decode_tile`.
    """
    return tile_format(tile.encoding.compression).decode_eighth(tile)


def decode_tile(tile: EncodedTile) -> Pixels:
    """The pixels of an encoded tile, in exactly its size.

    Raises:
        ValueError: the bytes do not decode to that size.
        RuntimeError: the library refuses the bytes.
    """
    return tile_format(tile.encoding.compression).decode(tile)
