"""How the tiles of each source level come into the target: copied, repacked, or encoded, and as what.

A mixture of copied and encoded levels would open nowhere, so codec copy takes all levels or none; on a
lossless road each level goes its own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wsicomp.codecs.base import Compression, Options, Program, TileTranscoder
from wsicomp.codecs.registry import compression_info, create_codec, create_transcoder
from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError
from wsicomp.geometry import Size
from wsicomp.plan import LevelPlan, TileAction
from wsicomp.slide import (
    JPEG,
    NEURAL,
    Level,
    SlideInfo,
    TileEncoding,
)

_IN_JPEG = ((1, 1), (2, 1), (2, 2), (4, 1))
_PLAIN_TILE_BYTES = 1024
"""OpenSlide 4.0.1 from PyPI refuses uncompressed tiles that are no multiple of this, as of 240 x 240 px.

It also refuses those of one level after larger ones of another: all must have as many bytes.
"""
_PLAIN_TILE = Size(256, 256)
_LARGE_TILE_PX = 1024
_PLAIN_APART = "OpenSlide does not read uncompressed tiles of these sizes"
_UNUSUAL = "JPEG with unusual chroma subsampling"
_ABSENT = "it has tiles without bytes, which OpenSlide draws from the next larger level in format svs alone"
_JPEG2000 = "OpenSlide reads Aperio's JPEG 2000 in format svs alone"
OVERVIEW_DOWNSAMPLE = 3.5
"""From here on a level belongs to the overview: the second one of a pyramid in steps of four."""


@dataclass(frozen=True)
class Way:
    """How the tiles of a source level come into the target, in the terms of `LevelPlan`."""

    codec: str
    options: Options
    encoding: TileEncoding
    shown: TileEncoding
    action: TileAction

    @property
    def copies(self) -> bool:
        return self.action is TileAction.COPY


def codec_name(config: ConversionConfig) -> str:
    """The codec of what is not copied."""
    return "jpeg" if config.codec.name in ("auto", "copy") else config.codec.name


def source_ways(info: SlideInfo, config: ConversionConfig, shrinking: tuple[bool, ...]) -> list[Way]:
    """One way for each level of the source.

    `shrinking` says of each whether the lossless road makes its tiles smaller.

    Raises:
        ConfigError: what the user asked for cannot be made of this source.
    """
    if config.codec.name == "copy" and config.codec.options:
        raise ConfigError(f"codec copy takes no {next(iter(config.codec.options))}; leave it out")
    if config.codec.name in ("auto", "copy"):
        copied = _copied(info, config)
        return copied or [_encoded(codec_name(config), config.codec.options)] * len(info.levels)
    if not config.codec.lossless:
        way = _encoded(config.codec.name, config.codec.options)
        return [_overview(info, level, config) or way for level in info.levels]
    transcoder = create_transcoder(config.codec.name, config.codec.restorable)
    return [
        _overview(info, level, config) or _repacked(info, number, config, transcoder, shrinking[number])
        for number, level in enumerate(info.levels)
    ]


def _copied(info: SlideInfo, config: ConversionConfig) -> list[Way] | None:
    """All levels copied, or none: a mixture would open nowhere. None where auto finds that it cannot be."""
    container = chosen_container(info, config, [level.encoding for level in info.levels])
    for number, level in enumerate(info.levels):
        obstacle = _obstacle(info, level, container)
        if obstacle and config.codec.name == "auto" and not config.codec.restorable:
            return None
        if obstacle:
            place = f"level {number}"
            advice = _instead_of_copying(info, level, container, config)
            raise ConfigError(f"its tiles cannot be copied: {obstacle}; {advice}", info.path, place)
    return [_copy(level) for level in info.levels]


def _instead_of_copying(info: SlideInfo, level: Level, container: str, config: ConversionConfig) -> str:
    """What to do about an obstacle to copying: another container if there is none in it."""
    other = "tiff" if container == "svs" else "svs"
    if not (other == "svs" and config.glass.fill == "empty") and _obstacle(info, level, other) is None:
        return (
            f"take format {other}, or codec jpeg" if not config.codec.restorable else f"take format {other}"
        )
    if other == "svs" and config.glass.fill == "empty" and _obstacle(info, level, other) is None:
        return "take glass white, or codec jpeg"
    return "take codec jpeg" if not config.codec.restorable else "leave --restorable out, and take codec jpeg"


def _copy(level: Level) -> Way:
    assert level.encoding is not None, "what is copied is encoded"
    return Way("copy", {}, level.encoding, level.encoding, TileAction.COPY)


def _encoded(name: str, options: Options) -> Way:
    codec = create_codec(name, options)
    return Way(name, codec.config(), codec.encoding, codec.encoding, TileAction.ENCODE)


def _overview(info: SlideInfo, level: Level, config: ConversionConfig) -> Way | None:
    """A low level as JPEG, where a file is to have such an overview."""
    if config.codec.overview == "none" or level.downsample < OVERVIEW_DOWNSAMPLE:
        return None
    if not config.codec.lossless:
        return _encoded("jpeg", {})
    obstacle = _obstacle(info, level, "tiff")
    if obstacle is None and level.encoding and level.encoding.compression != JPEG:
        obstacle = "the source's low levels are not JPEG"
    if obstacle is None:
        return _copy(level)
    raise ConfigError(f"an overview of JPEG cannot be lossless: {obstacle}; take overview none", info.path)


def _repacked(
    info: SlideInfo, number: int, config: ConversionConfig, transcoder: TileTranscoder, shrinks: bool
) -> Way:
    """A level on the lossless road: its tiles repacked, else copied, else encoded without loss."""
    level = info.levels[number]
    if level.encoding is not None and level.encoding.compression == NEURAL:
        message = "neural tiles cannot be repacked; take codec jpeg or jpegxl without --lossless"
        raise ConfigError(message, info.path)
    apart = level.encoding is not None and _obstacle(info, level, "tiff") == _PLAIN_APART
    if level.encoding is not None and not _is_odd(level.tile) and not apart:
        stored = transcoder.encoding(level.encoding) if shrinks else None
        if config.codec.name == "jpeg" and _obstacle(info, level, "tiff") == _UNUSUAL:
            raise ConfigError(f"its tiles cannot be written again: {_UNUSUAL}; take codec jpegxl", info.path)
        if stored is None:
            return _copy(level)
        return Way(
            config.codec.name,
            {"lossless": True},
            stored,
            transcoder.unpacked_encoding(level.encoding),
            TileAction.TRANSCODE,
        )
    if config.codec.name == "jpegxl" and not config.codec.restorable:
        return _encoded(config.codec.name, {**config.codec.options, "lossless": True})
    obstacle = _obstacle(info, level, "tiff") or "its tiles are of another size"
    wanted = (
        "keep its tiles as they are" if config.codec.restorable else f"be repacked as {config.codec.name}"
    )
    advice = "leave --restorable out" if config.codec.restorable else "take codec jpegxl with --lossless"
    raise ConfigError(f"it cannot {wanted}: {obstacle}; {advice}", info.path, f"level {number}")


def chosen_container(
    info: SlideInfo, config: ConversionConfig, encodings: Sequence[TileEncoding | None]
) -> str:
    """SVS where the source is one, or where only an SVS may hold the codec; the format that was asked for."""
    stored = {None if each is None else compression_info(each.compression) for each in encodings}
    if config.output.format != "auto":
        return config.output.format
    if config.glass.fill == "empty" or config.codec.overview != "none":
        return "tiff"
    if all(each is not None and each.only_in_svs for each in stored):
        return "svs"
    is_as_aperio_has_it = all(each is not None and each.in_svs for each in stored)
    return "svs" if info.vendor == "aperio" and is_as_aperio_has_it else "tiff"


def check_readable(
    info: SlideInfo, config: ConversionConfig, container: str, levels: tuple[LevelPlan, ...]
) -> None:
    """Refuse a container in which OpenSlide would not read what it could read in the other.

    Raises:
        ConfigError: it is so.
    """
    stored = [compression_info(level.encoding.compression) for level in levels]
    only_in_svs = any(each.only_in_svs for each in stored)
    unknown = [each for each in stored if not _reads(each)]
    if container == "svs" and unknown:
        advice = "take codec jpeg, or format tiff" if only_in_svs else "take format tiff"
        raise ConfigError(
            f"OpenSlide opens no svs with {_unknown_to_svs(unknown, config)} in it; {advice}", info.path
        )
    if container == "svs" and config.codec.overview != "none":
        advice = "overview none" if only_in_svs else "format tiff"
        message = f"an SVS holds no overview: its levels stand largest first; take {advice}"
        raise ConfigError(message, info.path)
    holes = [level for level in levels[1:] if level.count(TileAction.EMPTY) and config.glass.fill != "empty"]
    if (
        container == "tiff"
        and _fills_holes(info)
        and any(_reads(compression_info(level.encoding.compression)) for level in holes)
    ):
        raise ConfigError(f"{_ABSENT}; take {_for_holes(config)}", info.path)
    if container == "tiff" and only_in_svs and not unknown:
        needed = ", and glass empty needs format tiff" if config.glass.fill == "empty" else ""
        raise ConfigError(f"{_JPEG2000}{needed}; take {_for_jpeg2000(config)}", info.path)


def _reads(compression: Compression) -> bool:
    return Program.OPENSLIDE in compression.readers


def _for_jpeg2000(config: ConversionConfig) -> str:
    """What to take where a generic TIFF would hold JPEG 2000: an SVS, or no JPEG 2000."""
    obstacles = {
        "glass white": config.glass.fill == "empty",
        "format svs": config.output.format == "tiff",
        "overview none": config.codec.overview != "none",
    }
    for_svs = " and ".join(name for name, stands in obstacles.items() if stands) or "format svs"
    if config.codec.restorable or config.codec.overview != "none":
        return for_svs
    return f"{for_svs}, or {'leave --lossless out' if config.codec.lossless else 'codec jpeg'}"


def _unknown_to_svs(unknown: Sequence[Compression], config: ConversionConfig) -> str:
    if config.codec.name not in ("auto", "copy"):
        return config.codec.name
    labels = (each.label for each in sorted(unknown, key=lambda each: each.number))
    return " and ".join(dict.fromkeys(labels))


def _for_holes(config: ConversionConfig) -> str:
    """What to take where tiles without bytes would show otherwise in a generic TIFF."""
    if config.codec.name in ("auto", "copy"):
        return "format svs, or codec jpeg"
    return "codec jpeg without --lossless" if config.codec.lossless else "format svs"


def _fills_holes(info: SlideInfo) -> bool:
    """Whether OpenSlide draws a lower level's tile without bytes from the next larger one."""
    return info.vendor == "aperio"


def _pixels_alone(level: Level) -> str:
    """Why a level has no tiles that another file could hold."""
    if level.form:
        return f"they are {level.form}"
    whose = "OpenSlide hands out this vendor's" if level.encoding is None else "of neural tiles there are"
    return f"{whose} pixels alone"


def _obstacle(info: SlideInfo, level: Level, container: str) -> str | None:
    if level.encoding is None or level.encoding.compression == NEURAL:
        return _pixels_alone(level)
    compression = level.encoding.compression
    if container == "svs" and not compression_info(compression).in_svs:
        return f"OpenSlide's aperio driver does not read compression {compression}"
    if container == "tiff" and compression_info(compression).only_in_svs:
        return _JPEG2000
    if container == "tiff" and level.downsample > 1 and level.absent and _fills_holes(info):
        return _ABSENT
    return _odd_tiles(info, level)


def _odd_tiles(info: SlideInfo, level: Level) -> str | None:
    """What of the tiles themselves keeps them out of any container."""
    assert level.encoding is not None, "there are encoded tiles"
    if _is_odd(level.tile):
        return f"tiles of {level.tile} px, expected multiples of 16"
    if level.encoding.compression == 1 and not _is_plain_beside(level.tile, info.levels[0].tile):
        return _PLAIN_APART
    unusual = level.encoding.compression == JPEG and level.encoding.subsampling not in _IN_JPEG
    return _UNUSUAL if unusual else None


def tile_size(info: SlideInfo, level: Level, way: Way) -> Size:
    """The source's tile size, if TIFF and its readers take it."""
    if way.action is TileAction.ENCODE and way.encoding.compression == 1:
        common = _plain_tile(info)
        return level.tile if _is_plain_beside(level.tile, common) else common
    return Size(256, 256) if _is_odd(level.tile) else level.tile


def _plain_tile(info: SlideInfo) -> Size:
    """A tile of as many bytes as the uncompressed tiles of all levels are to have."""
    tile = info.levels[0].tile
    is_shared = all(_is_plain_beside(level.tile, tile) for level in info.levels)
    is_small = max(tile.shape) <= _LARGE_TILE_PX and _is_plain_beside(tile, tile)
    return tile if is_shared or is_small else _PLAIN_TILE


def _is_plain_beside(tile: Size, other: Size) -> bool:
    """Whether OpenSlide reads uncompressed tiles of this size beside those of the other."""
    count = tile.width * tile.height * 3
    return not _is_odd(tile) and count % _PLAIN_TILE_BYTES == 0 and count == other.width * other.height * 3


def _is_odd(tile: Size) -> bool:
    return bool(tile.width % 16 or tile.height % 16)


def added_way(config: ConversionConfig) -> Way:
    """How a level is stored that the source lacks: there is nothing of it to keep without loss."""
    if config.codec.overview != "none":
        return _encoded("jpeg", {})
    return _encoded(codec_name(config), config.codec.options)
