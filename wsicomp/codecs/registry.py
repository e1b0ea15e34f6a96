"""Which codecs there are: found by name or by TIFF compression, imported when first used.

To add one, write a module with the functions of `TileFormat`, a class that follows `TileCodec`, and `CODECS`,
which declares it; then name the module in `MODULES`. A class `Transcoder` in it makes the codec a lossless
road.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, cast

from wsicomp.codecs.base import (
    CodecInfo,
    Compression,
    Encoded,
    MeasuredCodec,
    ModelCodec,
    Options,
    Program,
    TileCodec,
    TileFormat,
    TileTranscoder,
)
from wsicomp.concurrency import let_idle_threads_sleep
from wsicomp.errors import CodecUnavailableError, ConfigError, UnknownCodecError, UnsupportedSlideError
from wsicomp.geometry import Size
from wsicomp.options import Option, did_you_mean
from wsicomp.slide import EncodedTile, Pixels, TileEncoding

MODULES = ["jpeg", "jpegxl", "jpeg2000", "webp", "plain", "neural"]
"""The modules of this package that declare codecs; a name with dots is one of another package."""


@cache
def codecs() -> Mapping[str, CodecInfo]:
    """Return what every codec declares, by its name."""
    modules = (name if "." in name else f"wsicomp.codecs.{name}" for name in MODULES)
    return {info.name: info for module in modules for info in import_module(module).CODECS}


@cache
def _compressions() -> Mapping[int, tuple[CodecInfo, Compression]]:
    return {each.number: (info, each) for info in codecs().values() for each in info.compressions}


def codec_names() -> tuple[str, ...]:
    """Return the names that `create_codec` takes."""
    return tuple(codecs())


def codec_choices() -> tuple[str, ...]:
    """Return what a user can name as the codec of a conversion: codecs, their aliases, auto and copy."""
    aliases = (alias for info in codecs().values() for alias in info.aliases)
    return ("auto", "copy", *codecs(), *aliases)


def resolved(name: str) -> tuple[str, Options]:
    """Return the codec that a name or an alias stands for, and the options that the alias implies."""
    found = ((info.name, info.aliases[name]) for info in codecs().values() if name in info.aliases)
    return next(found, (name, {}))


def codec_info(name: str) -> CodecInfo:
    """Return what a codec declares.

    Raises:
        UnknownCodecError: there is no codec of that name; the message lists those that there are.
    """
    if name not in codecs():
        known = codec_names()
        raise UnknownCodecError(
            f"unknown codec {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}"
        )
    return codecs()[name]


@cache
def named_options() -> Mapping[str, Option]:
    """Return the options of all codecs by name, each with its type alone: its range is the codec's."""
    return {
        each.name: Option(each.name, each.kind, _help(each.name), metavar=each.metavar)
        for info in codecs().values()
        for each in info.options
    }


def _help(option: str) -> str:
    """What an option is to each codec that has it: `of jpeg: on libjpeg's scale, 1 to 100 (default 90)`."""
    meanings: dict[str, list[str]] = {}
    for info in codecs().values():
        each = info.option(option)
        if each is not None:
            meanings.setdefault(each.meaning, []).append(info.family or info.name)
    return "; ".join(
        f"of {', '.join(dict.fromkeys(names))}: {meaning}" for meaning, names in meanings.items()
    )


def needs_model(name: str) -> bool:
    """Return whether only the model that made a codec's tiles can read them; of "copy" it is not so."""
    return name in codecs() and codecs()[name].needs_model


@cache
def unknown_to_openslide() -> tuple[str, ...]:
    """Return the codecs whose files OpenSlide cannot open without an overview."""
    return tuple(
        info.name
        for info in codecs().values()
        if all(Program.OPENSLIDE not in each.readers for each in info.compressions)
    )


def could_be_in_svs(name: str) -> bool:
    """Return whether a codec's tiles, those of "copy" and "auto" too, may be what Aperio writes."""
    return name not in codecs() or any(each.in_svs for each in codecs()[name].compressions)


def create_codec(name: str, options: Options | None = None) -> TileCodec:
    """Return the codec of that name, with its own defaults for what `options` leave out.

    Raises:
        UnknownCodecError: there is no codec of that name.
        CodecUnavailableError: its library cannot be loaded.
        ConfigError: it has no such option, or a value is out of its range.
    """
    info = codec_info(name)
    factory = _factory(info)
    known = inspect.signature(factory).parameters
    for option, value in (options or {}).items():
        if option not in known:
            takes = ", ".join(each.name for each in info.options) or "no options"
            raise ConfigError(f"codec {name} takes no {option}; it takes {takes}")
        if declared := info.option(option):
            declared.checked(value)
    return cast(TileCodec, factory(**dict(options or {})))


def create_transcoder(name: str, exact: bool = False) -> TileTranscoder:
    """Return the lossless road of a codec.

    Raises:
        UnknownCodecError, CodecUnavailableError: as `create_codec`.
        ConfigError: the codec has none; the message lists those that have.
    """
    if not has_transcoder(name):
        raise ConfigError(f"codec {name} cannot repack a source's tiles without loss; take jpegxl or jpeg")
    return cast(TileTranscoder, _load(codec_info(name)).Transcoder(exact))


def has_transcoder(name: str) -> bool:
    """Return whether a codec is a lossless road."""
    info = codec_info(name)
    return not info.extra and hasattr(_load(info), "Transcoder")


def is_guarded(name: str) -> bool:
    """Return whether a codec decodes its tiles as it makes them and says how true each is; "copy" is none.

    Raises:
        UnknownCodecError, CodecUnavailableError: as `create_codec`.
    """
    if name == "copy":
        return False
    factory = _factory(codec_info(name))
    return any(hasattr(factory, method) for method in ("encode_measured", "encode_batch"))


def _factory(info: CodecInfo) -> Any:
    return getattr(_load(info), info.factory)


def _load(info: CodecInfo) -> ModuleType:
    package = f"'wsicomp[{info.extra}]'" if info.extra else "wsicomp"
    if info.extra:
        let_idle_threads_sleep()
    try:
        return import_module(info.module)
    except ModuleNotFoundError as exc:
        missing = f"the extra {info.extra}, of which {exc.name} is missing" if info.extra else exc.name
        raise CodecUnavailableError(f"codec {info.name} needs {missing}: pip install {package}") from None
    except (ImportError, OSError, RuntimeError, MemoryError) as exc:
        reason = " ".join(str(exc).split())[:200] or type(exc).__name__
        raise CodecUnavailableError(
            f"codec {info.name} cannot be loaded ({reason}): give it more memory, or mend it with "
            f"pip install --force-reinstall {package}"
        ) from exc


def encode_tiles(
    codec: TileCodec,
    tiles: Sequence[Pixels],
    sources: Sequence[EncodedTile | None] = (),
    visible: Sequence[Size] = (),
) -> list[Encoded]:
    """Encode many tiles, in batches where the codec has them; `sources` as for `ModelCodec.encode_batch`.

    `visible` is the part of each tile that lies inside of its level, by which a guard goes; all by default.

    Raises:
        ValueError: as `TileCodec.encode`.
    """
    if isinstance(codec, ModelCodec):
        return codec.encode_batch(tiles, sources, visible)
    if isinstance(codec, MeasuredCodec):
        parts: Sequence[Size | None] = visible or [None] * len(tiles)
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
}
"""What people call TIFF compressions that no tile format here may read."""


def can_decode(compression: int) -> bool:
    """Return whether tiles of this TIFF compression can be turned into pixels here."""
    return compression in _compressions()


def compression_info(compression: int) -> Compression:
    """Return what a codec declares of a TIFF compression that it reads.

    Raises:
        UnsupportedSlideError: as `tile_format`.
    """
    return _compression(compression)[1]


def _compression(compression: int) -> tuple[CodecInfo, Compression]:
    if compression not in _compressions():
        known = ", ".join(str(number) for number in sorted(_compressions()))
        raise UnsupportedSlideError(f"unknown TIFF compression {compression}; expected one of {known}")
    return _compressions()[compression]


def compression_label(compression: int) -> str:
    """Return what people call a TIFF compression."""
    info = compression_info(compression)
    return f"{info.label} {info.detail}".rstrip()


def compression_name(compression: int) -> str:
    """Return a TIFF compression in words, also one that nothing here reads, with its number."""
    if can_decode(compression):
        return f"{compression_label(compression)} ({compression})"
    name = _UNREAD.get(compression)
    return str(compression) if name is None else f"{name} ({compression})"


def tile_format(compression: int) -> TileFormat:
    """Return the reader of a TIFF compression.

    Raises:
        UnsupportedSlideError: none is known; the message lists those that are.
    """
    return cast(TileFormat, _load(_compression(compression)[0]))


def decode_tiles(tiles: Sequence[EncodedTile]) -> list[Pixels]:
    """Return the pixels of tiles of one compression, in batches where their format has them.

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
    """Return why a tile's bytes would show another picture in a level of this encoding; empty if not."""
    found = tile_format(tile.encoding.compression)
    return cast(str, found.copy_obstacle(tile, stored)) if hasattr(found, "copy_obstacle") else ""


def require_model(codec: str, name: str, sha256: str, embedded: bytes | None) -> str:
    """Load the model that decodes a slide's neural tiles, from the slide or from this machine.

    Returns:
        What is wrong with the one that the slide carries; empty if nothing is.

    Raises:
        CodecUnavailableError: the codec's library cannot be loaded.
        UnknownModelError: the model is not here.
        WeightsError: it is not what its card says.
        SlideReadError: it cannot run here.
    """
    return cast(str, _load(codec_info(codec)).require_model(name, sha256, embedded))


def decode_tile_eighth(tile: EncodedTile) -> Pixels:
    """Return the means of a tile's blocks of 8 x 8 pixels, for a JPEG in half the time of `decode_tile`.

    Raises:
        ValueError, RuntimeError: as `decode_tile`.
    """
    return tile_format(tile.encoding.compression).decode_eighth(tile)


def decode_tile(tile: EncodedTile) -> Pixels:
    """Return the pixels of an encoded tile, in exactly its size.

    Raises:
        ValueError: the bytes do not decode to that size.
        RuntimeError: the library refuses the bytes.
    """
    return tile_format(tile.encoding.compression).decode(tile)


def without_text(tile: EncodedTile, tables: bytes | None) -> EncodedTile:
    """Return the tile without what no decoder needs, to stand beside JPEGTables of `tables`.

    Raises:
        ValueError, RuntimeError: it cannot be rebuilt, or what is left still holds more than its picture.
    """
    return tile_format(tile.encoding.compression).without_text(tile, tables)


def encode_alike(tile: EncodedTile, encoding: TileEncoding, pixels: Pixels) -> bytes:
    """Return pixels as a tile of this encoding, in the place of a tile, as near to them as it can.

    Raises:
        ValueError, RuntimeError, OSError: its library cannot.
    """
    return tile_format(encoding.compression).encode_alike(tile, encoding, pixels)
