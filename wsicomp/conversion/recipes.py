"""Recipes: how the tiles of each source level are written: copied, repacked or encoded, and by which codec.

A mixture of copied and encoded levels would open nowhere, so codec copy takes all levels or none. Where tiles
are repacked without loss each level has a recipe of its own.
"""

from __future__ import annotations

from wsicomp.codecs.base import Options, TileTranscoder
from wsicomp.codecs.registry import create_codec, create_transcoder
from wsicomp.config import ConversionConfig
from wsicomp.conversion.container import chosen_container, container_obstacle
from wsicomp.conversion.transcode_probe import LevelProbe
from wsicomp.errors import ConfigError
from wsicomp.geometry import Size
from wsicomp.plan.level_plan import Recipe, TileAction
from wsicomp.slide import JPEG, NEURAL, Level, SlideInfo

_IN_JPEG = ((1, 1), (2, 1), (2, 2), (4, 1))
_PLAIN_TILE_BYTES = 1024
"""The bytes of which an uncompressed tile must be a multiple: OpenSlide 4.0.1 from PyPI refuses 240 x 240 px.

It also refuses those of one level after larger ones of another: all must have as many bytes.
"""
_PLAIN_TILE = Size(256, 256)
_LARGE_TILE_PX = 1024
_PLAIN_APART = "OpenSlide does not read uncompressed tiles of these sizes"
_RESTORABLE = ("aperio", "generic-tiff")
"""The vendors whose file is rebuilt from its tiles and the bytes between them."""
_UNUSUAL = "JPEG with unusual chroma subsampling"
OVERVIEW_DOWNSAMPLE = 3.5
"""The least downsample of a level of the overview: the second one of a pyramid in steps of four."""


def codec_name(config: ConversionConfig) -> str:
    """Return the name of the codec of tiles that are not copied."""
    return "jpeg" if config.codec.name in ("auto", "copy") else config.codec.name


def source_recipes(info: SlideInfo, config: ConversionConfig, probes: tuple[LevelProbe, ...]) -> list[Recipe]:
    """Return a recipe for each level of the source.

    `probes` say of each level what repacking a few of its tiles without loss has shown.

    Raises:
        ConfigError: the source's tiles cannot be copied, repacked or encoded as the config asks.
    """
    if config.codec.name == "copy" and config.codec.options:
        raise ConfigError(f"codec copy takes no `{next(iter(config.codec.options))}`; leave it out")
    if config.codec.restorable and info.vendor not in _RESTORABLE:
        message = f"a TIFF cannot keep a slide of vendor {info.vendor} restorable; name a target in .wsipack"
        raise ConfigError(f"{message}, or take `restorable=False`", info.path)
    if config.codec.name in ("auto", "copy"):
        copied = _copied(info, config)
        return copied or [_encoded(codec_name(config), config.codec.options)] * len(info.levels)
    if not config.codec.lossless:
        recipe = _encoded(config.codec.name, config.codec.options)
        return [_overview(info, level, config) or recipe for level in info.levels]
    transcoder = create_transcoder(config.codec.name, config.codec.restorable)
    return [
        _overview(info, level, config) or _repacked(info, number, config, transcoder, probes[number])
        for number, level in enumerate(info.levels)
    ]


def _copied(info: SlideInfo, config: ConversionConfig) -> list[Recipe] | None:
    """Return recipes that copy all levels.

    None where the config leaves it open and a level cannot be copied.
    """
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
    """Return in words what to choose instead of copying.

    Another container, if nothing is in the way there.
    """
    other = "tiff" if container == "svs" else "svs"
    if _obstacle(info, level, other) is not None:
        return "take `restorable=False` and codec jpeg" if config.codec.restorable else "take codec jpeg"
    if other == "svs" and config.glass.fill == "empty":
        return "take glass blank, or codec jpeg"
    return f"take format {other}" if config.codec.restorable else f"take format {other}, or codec jpeg"


def _copy(level: Level) -> Recipe:
    assert level.encoding is not None, "what is copied is encoded"
    return Recipe("copy", {}, level.encoding, level.encoding, TileAction.COPY)


def _encoded(name: str, options: Options) -> Recipe:
    codec = create_codec(name, options)
    return Recipe(name, codec.config(), codec.encoding, codec.encoding, TileAction.ENCODE)


def _overview(info: SlideInfo, level: Level, config: ConversionConfig) -> Recipe | None:
    """Return a recipe for a low level as JPEG, where the config asks for such an overview; else None."""
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
    info: SlideInfo, number: int, config: ConversionConfig, transcoder: TileTranscoder, probe: LevelProbe
) -> Recipe:
    """Return the recipe of a lossless level: its tiles repacked, else copied, else encoded without loss."""
    level = info.levels[number]
    if level.encoding is not None and level.encoding.compression == NEURAL:
        message = "neural tiles cannot be repacked; take codec jpeg or jpegxl without `lossless`"
        raise ConfigError(message, info.path)
    apart = level.encoding is not None and _obstacle(info, level, "tiff") == _PLAIN_APART
    if level.encoding is not None and not _is_odd(level.tile) and not apart:
        stored = transcoder.encoding(level.encoding) if probe.shrinks else None
        if config.codec.name == "jpeg" and _obstacle(info, level, "tiff") == _UNUSUAL:
            raise ConfigError(f"its tiles cannot be written again: {_UNUSUAL}; take codec jpegxl", info.path)
        if stored is None:
            return _copy(level)
        return Recipe(
            config.codec.name,
            {"lossless": True},
            stored,
            transcoder.unpacked_encoding(level.encoding),
            TileAction.TRANSCODE,
            shared=probe.shared,
        )
    if config.codec.name == "jpegxl" and not config.codec.restorable:
        return _encoded(config.codec.name, {**config.codec.options, "lossless": True})
    obstacle = _obstacle(info, level, "tiff") or "its tiles are of another size"
    wanted, advice = f"be repacked as {config.codec.name}", "take codec jpegxl with `lossless=True`"
    if config.codec.restorable:
        wanted, advice = "keep its tiles as they are", "take `restorable=False`, or another preset"
    raise ConfigError(f"it cannot {wanted}: {obstacle}; {advice}", info.path, f"level {number}")


def pixels_alone(level: Level) -> str:
    """Return in words why a level has no tiles that another file could hold."""
    if level.form:
        return f"they are {level.form}"
    whose = "OpenSlide hands out this vendor's" if level.encoding is None else "of neural tiles there are"
    return f"{whose} pixels alone"


def _obstacle(info: SlideInfo, level: Level, container: str) -> str | None:
    if level.encoding is None or level.encoding.compression == NEURAL:
        return pixels_alone(level)
    return container_obstacle(info, level, container) or _odd_tiles(info, level)


def _odd_tiles(info: SlideInfo, level: Level) -> str | None:
    """Return in words what keeps a level's tiles out of any container; None if nothing does."""
    assert level.encoding is not None, "there are encoded tiles"
    if _is_odd(level.tile):
        return f"tiles of {level.tile} px, expected multiples of 16"
    if level.encoding.compression == 1 and not _is_plain_beside(level.tile, info.levels[0].tile):
        return _PLAIN_APART
    unusual = level.encoding.compression == JPEG and level.encoding.subsampling not in _IN_JPEG
    return _UNUSUAL if unusual else None


def tile_size(info: SlideInfo, level: Level, recipe: Recipe) -> Size:
    """Return the size of a target level's tiles in pixels: the source's, if TIFF and its readers take it."""
    if recipe.action is TileAction.ENCODE and recipe.encoding.compression == 1:
        common = _plain_tile(info)
        return level.tile if _is_plain_beside(level.tile, common) else common
    return Size(256, 256) if _is_odd(level.tile) else level.tile


def _plain_tile(info: SlideInfo) -> Size:
    """Return a tile of as many bytes as the uncompressed tiles of all levels are to have."""
    tile = info.levels[0].tile
    is_shared = all(_is_plain_beside(level.tile, tile) for level in info.levels)
    is_small = max(tile.shape) <= _LARGE_TILE_PX and _is_plain_beside(tile, tile)
    return tile if is_shared or is_small else _PLAIN_TILE


def _is_plain_beside(tile: Size, other: Size) -> bool:
    """Return whether OpenSlide reads uncompressed tiles of this size beside tiles of the other size."""
    count = tile.width * tile.height * 3
    return not _is_odd(tile) and count % _PLAIN_TILE_BYTES == 0 and count == other.width * other.height * 3


def _is_odd(tile: Size) -> bool:
    return bool(tile.width % 16 or tile.height % 16)


def added_recipe(config: ConversionConfig) -> Recipe:
    """Return the recipe of a level that the source lacks: nothing of it can be kept without loss."""
    if config.codec.overview != "none":
        return _encoded("jpeg", {})
    return _encoded(codec_name(config), config.codec.options)
