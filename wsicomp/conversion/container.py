"""Container: whether a conversion is an Aperio SVS or a generic TIFF, and what OpenSlide reads in which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wsicomp.codecs.base import Compression, Program
from wsicomp.codecs.registry import codecs, compression_info
from wsicomp.config import CodecConfig, ConversionConfig
from wsicomp.errors import ConfigError
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.slide import Level, SlideInfo, TileEncoding

_ABSENT = "it has tiles without bytes, which OpenSlide draws from the next larger level in format svs alone"
_JPEG2000 = "OpenSlide reads Aperio's JPEG 2000 in format svs alone"


def container_by(config: ConversionConfig, is_aperio: bool, stored: Iterable[Compression | None]) -> str:
    """Return "svs" or "tiff": the config's choice, else the container for tiles of these compressions.

    It is "svs" where the source `is_aperio` and Aperio has such tiles, or where only an SVS may hold them.
    `stored` has None for a level without encoded tiles.
    """
    if config.output.format != "auto":
        return config.output.format
    if config.glass.fill == "empty" or config.codec.overview != "none":
        return "tiff"
    found = set(stored)
    if all(each is not None and each.only_in_svs for each in found):
        return "svs"
    is_as_aperio_has_it = all(each is not None and each.in_svs for each in found)
    return "svs" if is_aperio and is_as_aperio_has_it else "tiff"


def chosen_container(
    info: SlideInfo, config: ConversionConfig, encodings: Iterable[TileEncoding | None]
) -> str:
    """Return the container of a conversion, "svs" or "tiff"; `encodings` are those of its stored levels."""
    stored = (None if each is None else compression_info(each.compression) for each in encodings)
    return container_by(config, info.vendor == "aperio", stored)


def could_be_svs(config: ConversionConfig) -> bool:
    """Return whether a conversion of an SVS could be an SVS, by the config alone."""
    regions = config.regions
    codec = config.codec if regions.roi is None else CodecConfig.of_text(regions.roi_codec)
    name = codec.name if codec.name in codecs() else "jpeg"  # auto and copy: as Aperio has it
    return any(container_by(config, True, [each]) == "svs" for each in codecs()[name].compressions)


def container_obstacle(info: SlideInfo, level: Level, container: str) -> str | None:
    """Return why OpenSlide would not show a source level's own tiles in a container; None if it would."""
    assert level.encoding is not None, "there are encoded tiles"
    stored = compression_info(level.encoding.compression)
    if container == "svs" and not stored.in_svs:
        return f"OpenSlide's aperio driver does not read compression {stored.number}"
    if container == "tiff" and stored.only_in_svs:
        return _JPEG2000
    if container == "tiff" and level.downsample > 1 and level.absent and _fills_holes(info):
        return _ABSENT
    return None


def check_readable(
    info: SlideInfo, config: ConversionConfig, container: str, levels: tuple[LevelPlan, ...]
) -> None:
    """Refuse a container in which OpenSlide would not read what it could read in the other.

    Raises:
        ConfigError: OpenSlide does not read a codec, an overview or empty tiles in this container.
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
    """Return in words what to choose where a generic TIFF would hold JPEG 2000: an SVS, or no JPEG 2000."""
    obstacles = {
        "glass blank": config.glass.fill == "empty",
        "format svs": config.output.format == "tiff",
        "overview none": config.codec.overview != "none",
    }
    for_svs = " and ".join(name for name, stands in obstacles.items() if stands) or "format svs"
    if config.codec.restorable or config.codec.overview != "none":
        return for_svs
    return f"{for_svs}, or {'leave `lossless` out' if config.codec.lossless else 'codec jpeg'}"


def _unknown_to_svs(unknown: Sequence[Compression], config: ConversionConfig) -> str:
    if config.codec.name not in ("auto", "copy"):
        return config.codec.name
    labels = (each.label for each in sorted(unknown, key=lambda each: each.number))
    return " and ".join(dict.fromkeys(labels))


def _for_holes(config: ConversionConfig) -> str:
    """Return in words what to choose where tiles without bytes would show otherwise in a generic TIFF."""
    if config.codec.name in ("auto", "copy"):
        return "format svs, or codec jpeg"
    return "codec jpeg without `lossless`" if config.codec.lossless else "format svs"


def _fills_holes(info: SlideInfo) -> bool:
    """Return whether OpenSlide draws a lower level's tile without bytes from the next larger level."""
    return info.vendor == "aperio"
