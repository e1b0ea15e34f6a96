"""Recipes of regions: how the tiles of each class of place are written, side by side in one level.

A level of a TIFF has one compression. Tiles that regions keep decide which, and all others take a form that
can stand among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from wsicomp.codecs.registry import compression_label, compression_name, create_codec_among
from wsicomp.config import CodecConfig, ConversionConfig
from wsicomp.conversion.recipes import pixels_alone, source_recipes
from wsicomp.conversion.transcode_probe import LevelProbe
from wsicomp.errors import ConfigError
from wsicomp.plan.level_plan import LONGEST_NAME, MOST_RECIPES, Recipe, TileAction
from wsicomp.regions.class_table import read_class_table
from wsicomp.regions.regions import Regions
from wsicomp.slide import APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR, JPEG, SlideInfo, TileEncoding
from wsicomp.text.escaping import quoted

_COARSE = {"jpeg": "jpeg:50", "jpeg2000": "jpeg2000:31dB", "jpegxl": "jpegxl:2", "webp": "webp:50"}
"""What `tissue_codec` auto is, by the codec of the regions' tiles."""
_CODECS = {JPEG: "jpeg", APERIO_JPEG2000_YCBCR: "jpeg2000", APERIO_JPEG2000_RGB: "jpeg2000"}
"""The codec of a source's tiles that a region may copy."""
_MOST_CLASSES = MOST_RECIPES // 2 - 1
"""A class may need two recipes, and so may the rest: one more for tiles that it would not make smaller."""


def outside_config(info: SlideInfo, config: ConversionConfig) -> ConversionConfig:
    """Return the config of tissue outside of regions; `config` itself where it names no regions.

    Raises:
        ConfigError: no codec is named, and none that could stand beside the regions is known.
    """
    if config.regions.roi is None:
        return config
    text = config.regions.tissue_codec
    return config.coded(_coarse_beside(info, config) if text == "auto" else text)


def _coarse_beside(info: SlideInfo, config: ConversionConfig) -> str:
    name = CodecConfig.of_text(_first_codec(config)).name
    encoding = info.levels[0].encoding
    if name == "copy" and encoding is not None:
        name = _CODECS.get(encoding.compression, "")
    if name not in _COARSE:
        found = pixels_alone(info.levels[0])
        if encoding is not None:
            found = f"they are {compression_label(encoding.compression)}"
        raise ConfigError(
            f"no coarser codec is known to stand beside its tiles ({found}); take "
            '`roi_codec="jpegxl-lossless"`',
            info.path,
        )
    return _COARSE[name]


def _first_codec(config: ConversionConfig) -> str:
    """Return the codec of the first class of regions, as a text."""
    own = config.regions
    table = None if own.roi_classes is None else read_class_table(own.roi_classes)
    return (next(iter(table.classes.values()), None) if table else None) or own.roi_codec


def recipes_by_class(info: SlideInfo, config: ConversionConfig, regions: Regions) -> list[tuple[Recipe, ...]]:
    """Return for each level of the source the recipes of its classes of place.

    The first one is for tissue outside of regions, then one follows for each class of `regions`. Where some
    carry the source's tiles, further ones carry those that a lossy codec would not make smaller.

    Raises:
        ConfigError: the source's tiles cannot be kept or encoded as the config asks, or recipes cannot stand
            beside each other.
    """
    if len(regions.classes) > _MOST_CLASSES:
        raise ConfigError(
            f"{len(regions.classes)} classes of regions, expected at most {_MOST_CLASSES}; join some by a "
            "table (`roi_classes`)"
        )
    longest = max(len(each.name) for each in regions.classes)
    if longest > LONGEST_NAME:
        raise ConfigError(
            f"a class of regions has a name of {longest} characters, expected at most {LONGEST_NAME}; "
            "give it a shorter one"
        )
    outside = _of_source(info, outside_config(info, config), "tissue_codec")
    own = [
        [
            replace(recipe, region=each.name)
            for recipe in _of_source(info, config.coded(each.codec or config.regions.roi_codec), "roi_codec")
        ]
        for each in regions.classes
    ]
    copied = _copied(info, config)
    return [
        tuple(
            _side_by_side(info, number, outside[number], [recipes[number] for recipes in own], copied[number])
        )
        for number in range(len(info.levels))
    ]


def _copied(info: SlideInfo, config: ConversionConfig) -> list[Recipe | None]:
    """Return for each level a recipe that copies its tiles; None where they cannot be copied."""
    try:
        return [*source_recipes(info, config.coded("copy"), (LevelProbe(True),) * len(info.levels))]
    except ConfigError:
        return [None] * len(info.levels)


def _of_source(info: SlideInfo, config: ConversionConfig, option: str) -> list[Recipe]:
    """Return the recipe of each level by one codec; an error names the option that names the codec."""
    try:
        return source_recipes(info, config, (LevelProbe(True),) * len(info.levels))
    except ConfigError as exc:
        raise ConfigError(f"`{option}`: {exc.message}", exc.path, exc.place) from exc


def _side_by_side(
    info: SlideInfo, number: int, outside: Recipe, own: list[Recipe], copied: Recipe | None
) -> Iterator[Recipe]:
    carried = next((recipe for recipe in (*own, outside) if recipe.action is not TileAction.ENCODE), None)
    if carried is None and copied and copied.encoding.compression == own[0].encoding.compression:
        carried = copied  # so that a tile which none of them makes smaller stays as it is
    encoding = (carried or own[0]).encoding
    yield from (_among(info, number, recipe, encoding) for recipe in (outside, *own))
    if carried is not None:
        yield from (replace(carried, region=each.region) for each in (outside, *own) if not each.is_exact)


def _among(info: SlideInfo, number: int, recipe: Recipe, encoding: TileEncoding) -> Recipe:
    """Return the recipe for tiles among others of this encoding.

    Raises:
        ConfigError: they cannot stand there.
    """
    if recipe.encoding == encoding:
        return recipe
    try:
        if recipe.action is TileAction.ENCODE:
            create_codec_among(recipe.codec, recipe.options, encoding)
            return replace(recipe, encoding=encoding, shown=encoding)
        reason = "both keep the source's tiles, each in a form of its own"
    except ConfigError:
        reason = f"one level has one compression, here {compression_name(encoding.compression)}"
    option, whose = (
        ("roi_codec", f"class {quoted(recipe.region)}") if recipe.region else ("tissue_codec", "tissue")
    )
    raise ConfigError(
        f"{recipe.codec} of {whose} cannot stand beside the regions' tiles: {reason}; "
        f"{_advice(encoding, option)}",
        info.path,
        f"level {number}",
    )


def _advice(encoding: TileEncoding, option: str) -> str:
    codec = _CODECS.get(encoding.compression, "jpegxl")
    advice = f"take {_COARSE[codec]} for `{option}`"
    if codec != "jpeg":  # JPEG XL repacks JPEG alone
        return advice
    return f'{advice}, or `roi_codec="jpegxl-lossless"` with jpegxl:2 beside it'
