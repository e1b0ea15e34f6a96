"""The registry of codecs: found by name or by TIFF compression, imported when first used.

To add a codec, write a module with the functions of `TileFormat`, a class that implements `TileCodec`, and
`CODECS`, which declares it. Then add the module to `MODULES`. A class `Transcoder` in the module lets the
codec repack a source's tiles without loss.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, TypeGuard, cast

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
from wsicomp.codecs.neural.extra import extra_installed
from wsicomp.codecs.pixels import eighth, opaque
from wsicomp.errors import CodecUnavailableError, ConfigError, UnknownCodecError, UnsupportedSlideError
from wsicomp.files.limits import BYTES_A_PIXEL
from wsicomp.geometry import Size
from wsicomp.options import Option, did_you_mean
from wsicomp.slide import EncodedTile, Pixels, Rgba, TileEncoding

MODULES = ["jpeg", "jpegxl", "jpeg2000", "webp", "plain", "neural"]
"""The modules of this package that declare codecs; a name with dots is a module of another package."""


@cache
def codecs() -> Mapping[str, CodecInfo]:
    """Return what every codec declares, by codec name."""
    modules = (name if "." in name else f"wsicomp.codecs.{name}" for name in MODULES)
    return {info.name: info for module in modules for info in import_module(module).CODECS}


@cache
def _compressions() -> Mapping[int, tuple[CodecInfo, Compression]]:
    found: dict[int, tuple[CodecInfo, Compression]] = {}
    for info in codecs().values():
        for each in info.compressions:
            found.setdefault(each.number, (info, each))
    return found


def codec_names() -> tuple[str, ...]:
    """Return the names that `create_codec` takes.

    >>> codec_names()[:3]
    ('jpeg', 'jpegxl', 'jpeg2000')
    """
    return tuple(codecs())


def codec_choices() -> tuple[str, ...]:
    """Return what a user can name as the codec of a conversion: codecs, their aliases, auto and copy."""
    aliases = (alias for info in codecs().values() for alias in info.aliases)
    return ("auto", "copy", *codecs(), *aliases)


def resolved(name: str) -> tuple[str, Options]:
    """Return the codec that a name or alias stands for, and the options that the alias implies.

    >>> resolved("he-compact")
    ('bmshj2018-factorized', {'model': 'he-compact'})
    """
    found = ((info.name, info.aliases[name]) for info in codecs().values() if name in info.aliases)
    return next(found, (name, {}))


def codec_info(name: str) -> CodecInfo:
    """Return what a codec declares.

    Raises:
        UnknownCodecError: no codec has that name; the message says which command lists all.
    """
    if name not in codecs():
        near = did_you_mean(name, codec_names())
        raise UnknownCodecError(f"unknown codec {name!r}; `wsicomp codecs` lists all{near}")
    return codecs()[name]


@cache
def named_options() -> Mapping[str, Option]:
    """Return the options of all codecs by name. Each has its type only: its range depends on the codec."""
    return {
        each.name: Option(each.name, each.kind, _help(each.name), metavar=each.metavar, is_rare=each.is_rare)
        for info in codecs().values()
        for each in info.options
    }


def _help(option: str) -> str:
    """Return what an option means to each codec, such as "of jpeg: quality on libjpeg's scale, ..."."""
    meanings: dict[str, list[str]] = {}
    for info in codecs().values():
        each = info.option(option)
        if each is not None:
            meanings.setdefault(each.meaning, []).append(info.family or info.name)
    return "; ".join(
        f"of {', '.join(dict.fromkeys(names))}: {meaning}" for meaning, names in meanings.items()
    )


def needs_model(name: str) -> bool:
    """Return whether a codec's tiles can be read only with the model that made them; False for "copy"."""
    return name in codecs() and codecs()[name].needs_model


@cache
def unknown_to_openslide() -> tuple[str, ...]:
    """Return the codecs whose files OpenSlide cannot open without an overview."""
    return tuple(
        info.name
        for info in codecs().values()
        if all(Program.OPENSLIDE not in each.readers for each in info.compressions)
    )


def create_codec(name: str, options: Options | None = None) -> TileCodec:
    """Return the codec of that name; options left out get the codec's own defaults.

    >>> create_codec("jpeg", {"quality": 80}).config()
    {'quality': 80}

    Raises:
        UnknownCodecError: no codec has that name.
        CodecUnavailableError: the codec's library cannot be loaded.
        ConfigError: the codec has no such option, or a value is out of its range.
    """
    info = codec_info(name)
    factory = _factory(info)
    known = _parameters(factory)
    for option, value in (options or {}).items():
        if option not in known:
            takes = ", ".join(f"`{each.name}`" for each in info.options) or "no options"
            raise ConfigError(f"codec {name} takes no `{option}`; it takes {takes}")
        if declared := info.option(option):
            declared.checked(value)
    return cast(TileCodec, factory(**dict(options or {})))


def create_codec_among(name: str, options: Options, encoding: TileEncoding) -> TileCodec:
    """Return the codec of that name for tiles that stand among tiles of this encoding in one level.

    Raises:
        UnknownCodecError: no codec has that name.
        CodecUnavailableError: the codec's library cannot be loaded.
        ConfigError: the codec refuses the options, or cannot make such tiles.
    """
    codec = create_codec(name, options)
    if codec.encoding == encoding:
        return codec
    try:
        if hasattr(codec, "among"):
            return cast(TileCodec, codec.among(encoding))
        reason = f"they are {compression_name(encoding.compression)}"
    except ValueError as exc:
        reason = str(exc)
    raise ConfigError(f"tiles of codec {name} cannot stand beside the level's other tiles: {reason}")


@cache
def _parameters(factory: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(factory).parameters


def create_transcoder(name: str, exact: bool = False, shared: bytes | None = None) -> TileTranscoder:
    """Return the transcoder of a codec, which repacks tiles without loss.

    With `exact` the source's very bytes can be restored. `shared` is what its tiles have in common and do
    without, as `TileTranscoder.common` has found it.

    Raises:
        UnknownCodecError: no codec has that name.
        CodecUnavailableError: the codec's library cannot be loaded.
        ConfigError: the codec cannot repack, or cannot restore the very bytes; the message names codecs that
            can.
    """
    if not has_transcoder(name):
        raise ConfigError(f"codec {name} cannot repack a source's tiles without loss; take jpegxl or jpeg")
    return cast(TileTranscoder, _load(codec_info(name)).Transcoder(exact, shared))


def has_transcoder(name: str) -> bool:
    """Return whether a codec can repack a source's tiles without loss.

    Raises:
        UnknownCodecError: no codec has that name.
        CodecUnavailableError: the codec's library cannot be loaded.
    """
    info = codec_info(name)
    return not info.needs_model and hasattr(_load(info), "Transcoder")


def is_guarded(name: str) -> bool:
    """Return whether a codec decodes each tile that it encodes and measures its fidelity; False for "copy".

    Raises:
        UnknownCodecError: no codec has that name.
        CodecUnavailableError: the codec's library cannot be loaded.
    """
    if name == "copy":
        return False
    factory = _factory(codec_info(name))
    return any(hasattr(factory, method) for method in ("encode_measured", "encode_batch"))


def _factory(info: CodecInfo) -> Any:
    return getattr(_load(info), info.factory)


def _load(info: CodecInfo) -> ModuleType:
    package = f"'wsicomp[{info.extra}]'" if info.extra else "wsicomp"
    others = f" ({', '.join(info.aliases)})" if info.aliases else ""
    called = f"codec {info.name}{others}"
    try:
        with extra_installed(called):
            for library in info.libraries:
                import_module(library)
        return import_module(info.module)
    except CodecUnavailableError:
        raise
    except ModuleNotFoundError as exc:
        raise CodecUnavailableError(f"{called} needs {exc.name}: pip install {exc.name}") from None
    except (ImportError, OSError, RuntimeError, MemoryError) as exc:
        reason = " ".join(str(exc).split())[:200] or type(exc).__name__
        raise CodecUnavailableError(
            f"codec {info.name} cannot be loaded ({reason}): give it more memory, or mend it with "
            f"pip install --force-reinstall {package}"
        ) from exc


def takes_batches(codec: TileCodec | None) -> TypeGuard[ModelCodec]:
    """Return whether a codec is faster with many tiles at once, and can use the source's own."""
    return hasattr(codec, "encode_batch")  # isinstance takes as long as encoding a tile's tenth


def _is_measured(codec: TileCodec) -> TypeGuard[MeasuredCodec]:
    return hasattr(codec, "encode_measured")


def encode_tiles(
    codec: TileCodec,
    tiles: Sequence[Pixels],
    sources: Sequence[EncodedTile | None] = (),
    visible: Sequence[Size] = (),
) -> list[Encoded]:
    """Return the tiles encoded, in their order, and in batches if the codec can.

    `sources` are the same tiles as the slide stores them, None for tiles whose pixels were changed. `visible`
    are the parts that lie inside the level, by which a guard decides; by default all of each tile.

    >>> import numpy as np
    >>> tile = np.full((256, 256, 3), 255, np.uint8)
    >>> [encoded] = encode_tiles(create_codec("jpegxl", {"lossless": True}), [tile])
    >>> encoded.fidelity is None
    True

    Raises:
        ValueError: a tile is not (rows, columns, 3) uint8.
    """
    if takes_batches(codec):
        return codec.encode_batch(tiles, sources, visible)
    if _is_measured(codec):
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
"""Names of TIFF compressions that no codec here reads."""


def can_decode(compression: int) -> bool:
    """Return whether tiles of this TIFF compression can be decoded here.

    >>> can_decode(7), can_decode(6)
    (True, False)
    """
    return compression in _compressions()


def compression_info(compression: int) -> Compression:
    """Return what a codec declares about a TIFF compression that it reads.

    Raises:
        UnsupportedSlideError: no codec reads the compression; the message lists those that are read.
    """
    return _compression(compression)[1]


def _compression(compression: int) -> tuple[CodecInfo, Compression]:
    if compression not in _compressions():
        known = ", ".join(str(number) for number in sorted(_compressions()))
        raise UnsupportedSlideError(f"unknown TIFF compression {compression}; expected one of {known}")
    return _compressions()[compression]


def bytes_a_pixel(*encodings: TileEncoding | None) -> int:
    """Return the memory that a thread needs for each pixel of tiles of these encodings; None is not known."""
    known = (each.compression for each in encodings if each is not None and can_decode(each.compression))
    return max((compression_info(each).bytes_a_pixel for each in known), default=BYTES_A_PIXEL)


def compression_label(compression: int) -> str:
    """Return what people call a TIFF compression.

    >>> compression_label(33005)
    'JPEG 2000 RGB'

    Raises:
        UnsupportedSlideError: no codec reads the compression; the message lists those that are read.
    """
    info = compression_info(compression)
    return f"{info.label} {info.detail}".rstrip()


def compression_name(compression: int) -> str:
    """Return a TIFF compression in words with its number, even if no codec here reads it.

    >>> compression_name(33005), compression_name(6)
    ('JPEG 2000 RGB (33005)', 'old-style JPEG (6)')
    """
    if can_decode(compression):
        return f"{compression_label(compression)} ({compression})"
    name = _UNREAD.get(compression)
    return str(compression) if name is None else f"{name} ({compression})"


@cache
def tile_format(compression: int) -> TileFormat:
    """Return the module that implements `TileFormat` for a TIFF compression.

    Raises:
        UnsupportedSlideError: no codec reads the compression; the message lists those that are read.
    """
    return cast(TileFormat, _load(_compression(compression)[0]))


def decode_tiles(tiles: Sequence[EncodedTile]) -> list[Pixels]:
    """Return the pixels of tiles of one compression, (rows, columns, 3) uint8 RGB each.

    They are decoded in batches if their format can.

    Raises:
        ValueError: a tile's bytes do not decode to its size.
        RuntimeError: the library refuses a tile's bytes.
    """
    if not tiles:
        return []
    found = tile_format(tiles[0].encoding.compression)
    if hasattr(found, "decode_batch"):
        return cast(list[Pixels], found.decode_batch(tiles))
    return [found.decode(tile) for tile in tiles]


def copy_obstacle(tile: EncodedTile, stored: TileEncoding) -> str:
    """Return why a tile's bytes cannot be copied into a level of this encoding; "" if they can.

    A reader would refuse them there, or show other colours.
    """
    found = tile_format(tile.encoding.compression)
    return cast(str, found.copy_obstacle(tile, stored)) if hasattr(found, "copy_obstacle") else ""


def require_model(codec: str, name: str, sha256: str, embedded: bytes | None) -> str:
    """Load the model that decodes a slide's neural tiles, from the slide or from this machine.

    Returns:
        What is wrong with the model that the slide carries; "" if nothing is, or it carries none.

    Raises:
        CodecUnavailableError: the codec's library cannot be loaded.
        UnknownModelError: the model is not on this machine.
        WeightsError: the model is not what its card says.
        SlideReadError: the model cannot run on this machine.
    """
    return cast(str, _load(codec_info(codec)).require_model(name, sha256, embedded))


def decode_tile_eighth(tile: EncodedTile) -> Pixels:
    """Return a tile at an eighth of its size, (rows, columns, 3) uint8 RGB: means of 8 x 8 pixels.

    It takes half the time of `decode_tile` for a JPEG.

    Raises:
        ValueError: the bytes do not decode to the tile's size.
        RuntimeError: the library refuses the bytes.
    """
    found = tile_format(tile.encoding.compression)
    if hasattr(found, "decode_eighth"):
        return cast(Pixels, found.decode_eighth(tile))
    return eighth(found.decode(tile))


def decode_tile_opaque(tile: EncodedTile) -> Rgba:
    """Return the pixels of `decode_tile` with opaque alpha, (rows, columns, 4) uint8 RGBA.

    Raises:
        ValueError: the bytes do not decode to the tile's size.
        RuntimeError: the library refuses the bytes.
    """
    found = tile_format(tile.encoding.compression)
    if hasattr(found, "decode_opaque"):
        return cast(Rgba, found.decode_opaque(tile))
    return opaque(found.decode(tile))


def decode_tile(tile: EncodedTile) -> Pixels:
    """Return the pixels of an encoded tile in exactly its size, (rows, columns, 3) uint8 RGB.

    >>> import numpy as np
    >>> codec = create_codec("jpegxl", {"lossless": True})
    >>> data = codec.encode(np.full((16, 16, 3), 200, np.uint8))
    >>> int(decode_tile(EncodedTile(data, codec.encoding, Size(16, 16))).min())
    200

    Raises:
        ValueError: the bytes do not decode to that size.
        RuntimeError: the library refuses the bytes.
    """
    return tile_format(tile.encoding.compression).decode(tile)


def without_text(tile: EncodedTile, tables: bytes | None) -> EncodedTile:
    """Return the tile with nothing but what a decoder needs.

    `tables` are the JPEGTables of the level in which a JPEG tile will stand, None for none; other formats
    ignore them.

    Raises:
        ValueError: the tile cannot be rebuilt, or what is left still holds more than its picture.
        RuntimeError: the library refuses the bytes.
    """
    return tile_format(tile.encoding.compression).without_text(tile, tables)


def encode_alike(tile: EncodedTile, encoding: TileEncoding, pixels: Pixels) -> bytes:
    """Return pixels, (rows, columns, 3) uint8 RGB, as a tile of this encoding that replaces `tile`.

    It is as close to the pixels as the format allows.

    Raises:
        ValueError: the pixels cannot be stored in this encoding.
        RuntimeError, OSError: the library refuses the pixels.
    """
    return tile_format(encoding.compression).encode_alike(tile, encoding, pixels)
