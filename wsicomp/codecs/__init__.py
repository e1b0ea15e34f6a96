"""Tile codecs: pixels to bytes and back, found by name or by TIFF compression, imported when first used.

A codec sees pixels, bytes and a `TileEncoding`; it must not know files, slides or masks. To add one, write
a module with the functions of `TileFormat` and, if it can be written too, a class `Codec` that follows
`TileCodec`; then add its line to `_MODULES`. A class `Transcoder` in it makes the codec a lossless road.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Protocol, TypeAlias, cast

from wsicomp.errors import CodecUnavailableError, ConfigError, UnknownCodecError, UnsupportedSlideError
from wsicomp.geometry import Size
from wsicomp.slide import (
    APERIO_JPEG2000_RGB,
    APERIO_JPEG2000_YCBCR,
    JPEG,
    JPEGXL,
    JPEGXL_DNG,
    WEBP,
    EncodedTile,
    Pixels,
    TileEncoding,
)

Options: TypeAlias = Mapping[str, int | float | bool]
"""The arguments of a codec's constructor that differ from its defaults."""


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

    def config(self) -> Options:
        """The options with which `create_codec` makes this codec again, for provenance."""
        ...

    def encode(self, pixels: Pixels) -> bytes:
        """The bytes of one tile, which `decode_tile` turns into pixels again.

        Raises:
            ValueError: the array is not (rows, columns, 3) uint8.
        """
        ...


class TileTranscoder(Protocol):
    """A lossless road: packs the tiles of a source anew so that nothing of their pixels is lost.

    `exact` in its constructor asks for more: that `unpack` gives back the very bytes.
    """

    def encoding(self, source: TileEncoding) -> TileEncoding | None:
        """How a level of such tiles is stored, blank ones too; None if the road takes none of them."""
        ...

    def shown(self, source: TileEncoding) -> TileEncoding:
        """How the tiles of such a level come back out of `unpack`."""
        ...

    def transcode(self, tile: EncodedTile) -> bytes | None:
        """The tile packed, and unpacked and compared already; None if it cannot be, or would not shrink."""
        ...

    def keep(self, tile: EncodedTile) -> bytes:
        """The bytes with which a tile that is not packed stands among those that are."""
        ...

    def unpack(self, packed: EncodedTile, shown: TileEncoding) -> EncodedTile:
        """What was packed, stored as `shown` says.

        Raises:
            ValueError, RuntimeError: the bytes are not a packed tile.
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


@dataclass(frozen=True)
class _Module:
    """A module of this package: the name of the codec that it offers, and the TIFF compressions it reads."""

    module: str
    codec: str
    compressions: tuple[int, ...]
    label: str

    def load(self) -> ModuleType:
        return import_module(f"wsicomp.codecs.{self.module}")


_MODULES = (
    _Module("jpeg", "jpeg", (JPEG,), "JPEG"),
    _Module("jpegxl", "jpegxl", (JPEGXL, JPEGXL_DNG), "JPEG XL"),
    _Module("jpeg2000", "jpeg2000", (APERIO_JPEG2000_YCBCR, APERIO_JPEG2000_RGB), "JPEG 2000"),
    _Module("webp", "webp", (WEBP,), "WebP"),
    _Module("plain", "none", (1, 5, 8, 32946, 50000), "plain"),
)

_BY_CODEC = {module.codec: module for module in _MODULES}
_BY_COMPRESSION = {number: module for module in _MODULES for number in module.compressions}


def codec_names() -> tuple[str, ...]:
    """The names that `create_codec` takes."""
    return tuple(_BY_CODEC)


def codec_options(name: str) -> tuple[str, ...]:
    """The options that a codec's constructor takes.

    Raises:
        UnknownCodecError, CodecUnavailableError: as `create_codec`.
    """
    return tuple(inspect.signature(_load(name).Codec).parameters)


def create_codec(name: str, options: Options | None = None) -> TileCodec:
    """The codec of that name, its own defaults for what `options` leave out.

    Raises:
        UnknownCodecError: there is no codec of that name.
        CodecUnavailableError: its library is not installed.
        ConfigError: it has no such option, or a value is out of its range.
    """
    known = codec_options(name)
    for option in options or {}:
        if option not in known:
            takes = ", ".join(known) or "no options"
            raise ConfigError(f"codec {name} takes no {option}; it takes {takes}")
    return cast(TileCodec, _load(name).Codec(**dict(options or {})))


def create_transcoder(name: str, exact: bool = False) -> TileTranscoder:
    """The lossless road of a codec.

    Raises:
        UnknownCodecError, CodecUnavailableError: as `create_codec`.
        ConfigError: the codec has none; the message lists those that have.
    """
    if not has_transcoder(name):
        raise ConfigError(f"codec {name} cannot repack a source's tiles without loss; take jpegxl or jpeg")
    return cast(TileTranscoder, _load(name).Transcoder(exact))


def has_transcoder(name: str) -> bool:
    """Whether a codec is a lossless road."""
    return hasattr(_load(name), "Transcoder")


def _load(name: str) -> ModuleType:
    if name not in _BY_CODEC:
        raise UnknownCodecError(f"unknown codec {name!r}; known are {', '.join(_BY_CODEC)}")
    try:
        return _BY_CODEC[name].load()
    except ImportError as exc:
        raise CodecUnavailableError(f"codec {name} needs {exc.name}: pip install wsicomp") from exc


def can_decode(compression: int) -> bool:
    """Whether tiles of this TIFF compression can be turned into pixels here."""
    return compression in _BY_COMPRESSION


def compression_label(compression: int) -> str:
    """What people call a TIFF compression."""
    names = {1: "uncompressed", 5: "LZW", 8: "deflate", 32946: "deflate", 50000: "Zstandard"}
    names |= {APERIO_JPEG2000_YCBCR: "JPEG 2000 YCbCr", APERIO_JPEG2000_RGB: "JPEG 2000 RGB"}
    return names.get(compression) or _BY_COMPRESSION[compression].label


def tile_format(compression: int) -> TileFormat:
    """The reader of a TIFF compression.

    Raises:
        UnsupportedSlideError: none is known; the message lists those that are.
    """
    if compression not in _BY_COMPRESSION:
        known = ", ".join(str(number) for number in sorted(_BY_COMPRESSION))
        raise UnsupportedSlideError(f"unknown TIFF compression {compression}; expected one of {known}")
    return cast(TileFormat, _BY_COMPRESSION[compression].load())


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
