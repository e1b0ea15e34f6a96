"""Which codecs there are: found by name or by TIFF compression, imported when first used."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, cast

from wsicomp.codecs.base import (
    Encoded,
    MeasuredCodec,
    ModelCodec,
    Options,
    TileCodec,
    TileFormat,
    TileTranscoder,
)
from wsicomp.errors import CodecUnavailableError, ConfigError, UnknownCodecError, UnsupportedSlideError
from wsicomp.geometry import Size
from wsicomp.slide import (
    APERIO_JPEG2000_RGB,
    APERIO_JPEG2000_YCBCR,
    JPEG,
    JPEGXL,
    JPEGXL_DNG,
    NEURAL,
    WEBP,
    EncodedTile,
    Pixels,
    TileEncoding,
)


@dataclass(frozen=True)
class _Module:
    """A module of this package: the name of the codec that it offers, and the TIFF compressions it reads.

    `factory` is the codec's class in it, `extra` the one of our extras that it needs.
    """

    module: str
    codec: str
    compressions: tuple[int, ...]
    label: str
    factory: str = "Codec"
    extra: str = ""

    def load(self) -> ModuleType:
        package = f"'wsicomp[{self.extra}]'" if self.extra else "wsicomp"
        try:
            return import_module(f"wsicomp.codecs.{self.module}")
        except ModuleNotFoundError as exc:
            missing = f"the extra {self.extra}, of which {exc.name} is missing" if self.extra else exc.name
            raise CodecUnavailableError(f"codec {self.codec} needs {missing}: pip install {package}") from exc
        except (ImportError, OSError, RuntimeError, MemoryError) as exc:
            reason = " ".join(str(exc).split())[:200] or type(exc).__name__
            raise CodecUnavailableError(
                f"codec {self.codec} cannot be loaded ({reason}): give it more memory, or mend it with "
                f"pip install --force-reinstall {package}"
            ) from exc

    def codec_class(self) -> Any:
        return getattr(self.load(), self.factory)


def _neural(codec: str, factory: str) -> _Module:
    return _Module("neural", codec, (NEURAL,), "neural", factory, "neural")


_MODULES = (
    _Module("jpeg", "jpeg", (JPEG,), "JPEG"),
    _Module("jpegxl", "jpegxl", (JPEGXL, JPEGXL_DNG), "JPEG XL"),
    _Module("jpeg2000", "jpeg2000", (APERIO_JPEG2000_YCBCR, APERIO_JPEG2000_RGB), "JPEG 2000"),
    _Module("webp", "webp", (WEBP,), "WebP"),
    _Module("plain", "none", (1, 5, 8, 32946, 50000), "plain"),
    _neural("bmshj2018-factorized", "Factorized"),
    _neural("bmshj2018-hyperprior", "Hyperprior"),
    _neural("mbt2018-mean", "MeanHyperprior"),
    _neural("elic2022-chandelier", "Chandelier"),
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
    return tuple(inspect.signature(_module(name).codec_class()).parameters)


def create_codec(name: str, options: Options | None = None) -> TileCodec:
    """The codec of that name, its own defaults for what `options` leave out.

    Raises:
        UnknownCodecError: there is no codec of that name.
        CodecUnavailableError: its library cannot be loaded.
        ConfigError: it has no such option, or a value is out of its range.
    """
    known = codec_options(name)
    for option in options or {}:
        if option not in known:
            takes = ", ".join(known) or "no options"
            raise ConfigError(f"codec {name} takes no {option}; it takes {takes}")
    return cast(TileCodec, _module(name).codec_class()(**dict(options or {})))


def create_transcoder(name: str, exact: bool = False) -> TileTranscoder:
    """The lossless road of a codec.

    Raises:
        UnknownCodecError, CodecUnavailableError: as `create_codec`.
        ConfigError: the codec has none; the message lists those that have.
    """
    if not has_transcoder(name):
        raise ConfigError(f"codec {name} cannot repack a source's tiles without loss; take jpegxl or jpeg")
    return cast(TileTranscoder, _module(name).load().Transcoder(exact))


def has_transcoder(name: str) -> bool:
    """Whether a codec is a lossless road."""
    module = _module(name)
    return not module.extra and hasattr(module.load(), "Transcoder")


def is_guarded(name: str) -> bool:
    """Whether a codec decodes its tiles as it makes them and says how true each is; "copy" is none.

    Raises:
        UnknownCodecError, CodecUnavailableError: as `create_codec`.
    """
    if name == "copy":
        return False
    factory = _module(name).codec_class()
    return any(hasattr(factory, method) for method in ("encode_measured", "encode_batch"))


def _module(name: str) -> _Module:
    if name not in _BY_CODEC:
        raise UnknownCodecError(f"unknown codec {name!r}; known are {', '.join(_BY_CODEC)}")
    return _BY_CODEC[name]


def encode_tiles(
    codec: TileCodec,
    tiles: Sequence[Pixels],
    sources: Sequence[EncodedTile | None] = (),
    shown: Sequence[Size] = (),
) -> list[Encoded]:
    """Many tiles, in batches where the codec has them; `sources` as for `ModelCodec.encode_batch`.

    `shown` is the part of each tile that lies inside of its level, by which a guard goes; all by default.

    Raises:
        ValueError: as `TileCodec.encode`.
    """
    if isinstance(codec, ModelCodec):
        return codec.encode_batch(tiles, sources, shown)
    if isinstance(codec, MeasuredCodec):
        parts: Sequence[Size | None] = shown or [None] * len(tiles)
        return [codec.encode_measured(tile, part) for tile, part in zip(tiles, parts, strict=True)]
    return [Encoded(codec.encode(tile)) for tile in tiles]


_UNREAD = {
    2: "CCITT RLE",
    3: "CCITT fax 3",
    4: "CCITT fax 4",
    6: "old-style JPEG",
    32773: "PackBits",
    33004: "JPEG 2000 lossy",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG of DNG",
    34925: "LZMA",
    34926: "old Zstandard",
    34927: "old WebP",
    34933: "PNG",
    34934: "JPEG XR",
    22610: "JPEG XR of NDPI",
    50001: "WebP",
    50002: "JPEG XL",
}
"""What people call TIFF compressions that no tile format here may read."""


def can_decode(compression: int) -> bool:
    """Whether tiles of this TIFF compression can be turned into pixels here."""
    return compression in _BY_COMPRESSION


def compression_label(compression: int) -> str:
    """What people call a TIFF compression."""
    names = {1: "uncompressed", 5: "LZW", 8: "deflate", 32946: "deflate", 50000: "Zstandard"}
    names |= {APERIO_JPEG2000_YCBCR: "JPEG 2000 YCbCr", APERIO_JPEG2000_RGB: "JPEG 2000 RGB"}
    return names.get(compression) or _BY_COMPRESSION[compression].label


def compression_name(compression: int) -> str:
    """A TIFF compression in words, also one that nothing here reads, with its number."""
    if can_decode(compression):
        return f"{compression_label(compression)} ({compression})"
    name = _UNREAD.get(compression)
    return str(compression) if name is None else f"{name} ({compression})"


def tile_format(compression: int) -> TileFormat:
    """The reader of a TIFF compression.

    Raises:
        UnsupportedSlideError: none is known; the message lists those that are.
    """
    if compression not in _BY_COMPRESSION:
        known = ", ".join(str(number) for number in sorted(_BY_COMPRESSION))
        raise UnsupportedSlideError(f"unknown TIFF compression {compression}; expected one of {known}")
    return cast(TileFormat, _BY_COMPRESSION[compression].load())


def decode_tiles(tiles: Sequence[EncodedTile]) -> list[Pixels]:
    """The pixels of tiles of one compression, in batches where their format has them.

    Raises:
        ValueError, RuntimeError: as `decode_tile`.
    """
    if not tiles:
        return []
    found = tile_format(tiles[0].encoding.compression)
    if hasattr(found, "decode_batch"):
        return cast(list[Pixels], found.decode_batch(tiles))
    return [found.decode(tile) for tile in tiles]


def copy_obstacle(tile: EncodedTile, stored: TileEncoding) -> str:
    """Why a tile's bytes would not show the same picture in a level of this encoding; empty if they would."""
    found = tile_format(tile.encoding.compression)
    return cast(str, found.copy_obstacle(tile, stored)) if hasattr(found, "copy_obstacle") else ""


def require_model(codec: str, name: str, sha256: str, embedded: bytes | None) -> str:
    """Have the model at hand by which tiles are read: one that a slide carries, or one of this machine.

    Returns:
        What is wrong with the one that the slide carries; empty if nothing is.

    Raises:
        CodecUnavailableError: the codec's library cannot be loaded.
        UnknownModelError: the model is not here.
        WeightsError: it is not what its card says.
        SlideReadError: it cannot run here.
    """
    return cast(str, _module(codec).load().require_model(name, sha256, embedded))


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
