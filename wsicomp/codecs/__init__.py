"""Tile codecs: pixels to bytes and back, found by name or by TIFF compression, imported when first used.

A codec sees pixels, bytes and a `TileEncoding`; it must not know files, slides or masks. To add one, write
a module with the functions of `TileFormat` and, if it can be written too, a class `Codec` that follows
`TileCodec`; then add its line to `_MODULES`. A class `Transcoder` in it makes the codec a lossless road.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeAlias, cast, runtime_checkable

from wsicomp.errors import CodecUnavailableError, ConfigError, UnknownCodecError, UnsupportedSlideError
from wsicomp.geometry import Size
from wsicomp.quality import Fidelity
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

Options: TypeAlias = Mapping[str, int | float | bool | str]
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


class Resort(enum.Enum):
    """How a guarded codec came to a tile."""

    NONE = enum.auto()
    """As its options ask."""
    REFINED = enum.auto()
    """With more quality than they ask for: else the tile would not have been true enough."""
    SPARSE = enum.auto()
    """By another codec: there is so little on the tile that it is smaller."""
    REPACKED = enum.auto()
    """By the source's own JPEG coefficients, packed: that is smaller."""
    FELL_BACK = enum.auto()
    """By another codec: at no quality was the tile true enough."""


class Encoded(NamedTuple):
    """A tile's bytes. A guarded codec, which holds each tile against its pixels, says how true it is."""

    data: bytes
    fidelity: Fidelity | None = None
    resort: Resort = Resort.NONE


@runtime_checkable
class MeasuredCodec(Protocol):
    """A guarded codec that decodes each tile as it makes it, for its library may miss what it was asked."""

    def encode_measured(self, pixels: Pixels, shown: Size | None = None) -> Encoded:
        """The tile as `TileCodec.encode` gives it, and how true it is; `shown` as for `encode_tiles`.

        Raises:
            ValueError: as `TileCodec.encode`.
        """
        ...


@runtime_checkable
class ModelCodec(Protocol):
    """A guarded codec whose tiles only its model can read; faster with many of them at once."""

    def encode_batch(
        self,
        tiles: Sequence[Pixels],
        sources: Sequence[EncodedTile | None] = (),
        shown: Sequence[Size] = (),
    ) -> list[Encoded]:
        """The tiles, each as `TileCodec.encode` would give it; `shown` as for `encode_tiles`.

        `sources` are the same tiles as their slide stores them, where they were not changed since.

        Raises:
            ValueError: as `TileCodec.encode`.
        """
        ...

    def describe(self) -> Mapping[str, object]:
        """The model by which its tiles are read, as JSON values, with its `name` and `sha256`."""
        ...

    def decoder(self) -> bytes:
        """The part of the model that reading needs, as a file."""
        ...

    def keep_model(self) -> str | None:
        """Have the model stay on this machine; the name of its file, None of one that all have.

        Raises:
            SlideWriteError: it cannot be written.
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

    def is_kept(self, tile: EncodedTile, data: bytes) -> bool:
        """Whether `keep` makes these bytes of a tile, or has made them in an earlier version."""
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
