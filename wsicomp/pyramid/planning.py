"""Deciding: from what a slide is, what is glass and what the user wants, to a `ConversionPlan`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs import TileCodec
from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError
from wsicomp.geometry import Size, TileGrid
from wsicomp.pyramid.carried import shows_the_scan
from wsicomp.pyramid.plan import Actions, ConversionPlan, LevelPlan, SourceIdentity, TileAction
from wsicomp.readers import aperio
from wsicomp.slide import (
    APERIO_JPEG2000_RGB,
    APERIO_JPEG2000_YCBCR,
    JPEG,
    WHITE,
    Level,
    SlideInfo,
)
from wsicomp.tissue.glass import GlassColor, GlassSurvey, TileKind
from wsicomp.tissue.scale import plausible_mpp
from wsicomp.version import SOFTWARE

_APERIO_ONLY = (APERIO_JPEG2000_YCBCR, APERIO_JPEG2000_RGB)
_IN_SVS = (JPEG, *_APERIO_ONLY)
_IN_JPEG = ((1, 1), (2, 1), (2, 2), (4, 1))
_CLASSIC_TIFF_BYTES = 4_000_000_000
_JPEG_BOUND = 1.5
"""Encoded bytes for a byte of pixels that JPEG of noise at quality 100 stays below."""
_STEP = 4
_SMALLEST_LEVEL_PX = 1024


@dataclass(frozen=True)
class Glass:
    """What is known of a slide's glass: every tile's kind, how bare glass looks, what to know of the mask."""

    survey: GlassSurvey
    color: GlassColor
    notes: tuple[str, ...] = ()


def conversion_digest(source_sha256: str, config: ConversionConfig, tissue_sha256: str | None) -> str:
    """SHA-256 over all that shapes the target's bytes: source, choices, software, mask file or network."""
    facts = [SOFTWARE, source_sha256, tissue_sha256, config.lasting()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def plan_conversion(
    info: SlideInfo,
    identity: SourceIdentity,
    digest: str,
    config: ConversionConfig,
    codec: TileCodec,
    glass: Glass | None,
) -> ConversionPlan:
    """Decide everything. `codec` encodes what is not copied; `glass` is None where glass is kept.

    Raises:
        ConfigError: what the user asked for cannot be written from this source.
    """
    container = _container(info, config, codec)
    copies = _copies(info, config, container)
    levels = tuple(_levels(info, config, codec, glass, copies))
    text, dropped = _source_text(info, config)
    images = _images(info, config)
    dropped += tuple(name for name in info.associated_images if name not in images)
    return ConversionPlan(
        software=SOFTWARE,
        digest=digest,
        source=identity,
        config=config.lasting(),
        container=container,
        codec="copy" if copies else "jpeg" if config.codec == "auto" else config.codec,
        background=_background(config, glass),
        big=_bound_bytes(info, levels) > _CLASSIC_TIFF_BYTES,
        mpp=info.mpp,
        objective_power=info.objective_power,
        description=text,
        levels=levels,
        images=images,
        dropped=dropped,
        notes=tuple(_notes(info, config, container, glass, images)),
    )


def _container(info: SlideInfo, config: ConversionConfig, codec: TileCodec) -> str:
    if config.format != "auto":
        return config.format
    if config.glass == "empty":
        return "tiff"
    stored = [level.encoding.compression if level.encoding else None for level in info.levels]
    if config.codec not in ("auto", "copy"):
        stored = [codec.encoding.compression]
    return "svs" if info.vendor == "aperio" and all(number in _IN_SVS for number in stored) else "tiff"


def _copies(info: SlideInfo, config: ConversionConfig, container: str) -> bool:
    """Whether tiles are copied; all levels or none."""
    if config.codec not in ("auto", "copy"):
        return False
    for number, level in enumerate(info.levels):
        obstacle = _obstacle(level, container)
        if obstacle and config.codec == "auto":
            return False
        if obstacle:
            place = f"level {number}"
            raise ConfigError(f"its tiles cannot be copied: {obstacle}; take codec jpeg", info.path, place)
    return True


def _obstacle(level: Level, container: str) -> str | None:
    if level.encoding is None:
        return "OpenSlide hands out this vendor's pixels alone"
    compression = level.encoding.compression
    if container == "svs" and compression not in _IN_SVS:
        return f"OpenSlide's aperio driver does not read compression {compression}"
    if container == "tiff" and compression in _APERIO_ONLY:
        return "OpenSlide reads Aperio's JPEG 2000 in format svs alone, and glass empty needs format tiff"
    if container == "tiff" and level.downsample > 1 and level.absent:
        return "it has tiles without bytes, which OpenSlide fills in format svs alone"
    if level.tile.width % 16 or level.tile.height % 16:
        return f"tiles of {level.tile} px, expected multiples of 16"
    unusual = compression == JPEG and level.encoding.subsampling not in _IN_JPEG
    return "JPEG with unusual chroma subsampling" if unusual else None


def _levels(
    info: SlideInfo, config: ConversionConfig, codec: TileCodec, glass: Glass | None, copies: bool
) -> list[LevelPlan]:
    plans: list[LevelPlan] = []
    for source_level, reduction in _sources(info, config):
        level = info.levels[source_level]
        size = level.size.reduced(reduction)
        tile = level.tile if level.tile.width % 16 == level.tile.height % 16 == 0 else Size(256, 256)
        encoding = level.encoding if copies and reduction == 1 else None
        grid = TileGrid(size, tile)
        kinds = (
            None if glass is None else _kinds(glass.survey.kinds[source_level], level.grid, grid, reduction)
        )
        actions = _actions(kinds, grid, encoding is not None)
        if encoding is not None:
            actions = _left_absent(actions, level)
        if config.glass == "empty":
            actions = _emptied(actions, corners=not plans)
        plans.append(
            LevelPlan(len(plans), size, tile, source_level, reduction, encoding or codec.encoding, actions)
        )
    return plans


def _sources(info: SlideInfo, config: ConversionConfig) -> list[tuple[int, int]]:
    """(source level, box reduction) of every level of the target, largest first."""
    sources: list[tuple[int, int]] = []
    for number, level in enumerate(info.levels):
        sources.append((number, 1))
        if config.levels == "source":
            continue
        lower = info.levels[number + 1].size.width if number + 1 < len(info.levels) else 0
        reduction = _STEP
        while level.size.width / reduction > 1.5 * lower and (
            lower or max(level.size.width, level.size.height) * _STEP / reduction > _SMALLEST_LEVEL_PX
        ):
            sources.append((number, reduction))
            reduction *= _STEP
    return sources


def _kinds(kinds: NDArray[np.uint8], source: TileGrid, target: TileGrid, reduction: int) -> NDArray[np.uint8]:
    """The kinds of a target level's tiles from those of the source tiles that each one is made of."""
    if reduction == 1 and source == target:
        return kinds
    result = np.empty((target.rows, target.columns), np.uint8)
    for row in range(target.rows):
        top = row * target.tile.height * reduction // source.tile.height
        bottom = -(-(row + 1) * target.tile.height * reduction // source.tile.height)
        for column in range(target.columns):
            left = column * target.tile.width * reduction // source.tile.width
            right = -(-(column + 1) * target.tile.width * reduction // source.tile.width)
            parts = kinds[top:bottom, left:right]
            result[row, column] = _joined(parts)
    return result


def _joined(parts: NDArray[np.uint8]) -> int:
    """The kind of a tile made of these: what the guard kept on any of them stays whole."""
    if np.isin(parts, (TileKind.RESCUED, TileKind.PROTECTED)).any():
        return TileKind.PROTECTED
    return int(parts.flat[0]) if (parts == parts.flat[0]).all() else TileKind.MIXED


def _actions(kinds: NDArray[np.uint8] | None, grid: TileGrid, copies: bool) -> Actions:
    whole = TileAction.COPY if copies else TileAction.ENCODE
    actions = np.full((grid.rows, grid.columns), whole.value)
    if kinds is not None:
        actions[kinds == TileKind.GLASS] = TileAction.BLANK.value
        if not copies:
            actions[kinds == TileKind.MIXED] = TileAction.MASK_AND_ENCODE.value
    return actions


def _left_absent(actions: Actions, level: Level) -> Actions:
    """A copied tile of which the source has no bytes has none in the target either."""
    letters = actions.reshape(-1)
    absent = np.array(level.absent, np.intp)
    letters[absent[letters[absent] == TileAction.COPY.value]] = TileAction.EMPTY.value
    return letters.reshape(actions.shape)


def _emptied(actions: Actions, corners: bool) -> Actions:
    """Zero bytes for blank tiles. With stored corners OpenSlide sees no bounds smaller than the level."""
    emptied = np.where(actions == TileAction.BLANK.value, TileAction.EMPTY.value, actions)
    if corners:
        for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
            emptied[row, column] = actions[row, column]
    return emptied


def _background(config: ConversionConfig, glass: Glass | None) -> tuple[int, int, int]:
    if config.background == "white":
        return WHITE
    if config.background == "auto":
        return WHITE if glass is None else glass.color.typical
    red, green, blue = bytes.fromhex(config.background[1:])
    return red, green, blue


def _bound_bytes(info: SlideInfo, levels: tuple[LevelPlan, ...]) -> float:
    total = 0.0
    for plan in levels:
        copied = plan.count(TileAction.COPY)
        encoded = plan.count(TileAction.ENCODE) + plan.count(TileAction.MASK_AND_ENCODE)
        total += encoded * plan.tile.width * plan.tile.height * 3 * _JPEG_BOUND
        total += info.levels[plan.source_level].encoded_bytes if copied else 0
        total += plan.grid.count * 16
    return total + sum(len(strip) for image in info.associated_images.values() for strip in image.strips)


def _source_text(info: SlideInfo, config: ConversionConfig) -> tuple[str, tuple[str, ...]]:
    """The source's ImageDescription as it is carried on, and what was left out of it."""
    if info.vendor != "aperio":
        fields = aperio.technical_fields(info.mpp, info.objective_power)
        named = {"vendor properties": info.properties, "ImageDescription": info.description}
        return fields, tuple(name for name, value in named.items() if config.deidentify and value)
    return aperio.deidentify(info.description) if config.deidentify else (info.description, ())


def _images(info: SlideInfo, config: ConversionConfig) -> tuple[str, ...]:
    thumbnail = info.associated_images.get("thumbnail")
    wanted = {
        "thumbnail": thumbnail is not None
        and (not config.deidentify or shows_the_scan(thumbnail, info.size)),
        "label": config.label and not config.deidentify,
        "macro": config.macro and not config.deidentify,
    }
    return tuple(name for name, keep in wanted.items() if keep and name in info.associated_images)


def _notes(
    info: SlideInfo, config: ConversionConfig, container: str, glass: Glass | None, images: tuple[str, ...]
) -> list[str]:
    notes = []
    if info.mpp is None:
        notes.append("the source does not say its um per px, and neither does the target")
    if config.glass != "keep" and plausible_mpp(info) is None:
        notes.append("to be safe margins are as wide as at 0.25 um per px, the guard as keen as at 1")
    notes += glass.notes if glass is not None else ()
    if glass is not None and not any((kinds == TileKind.MIXED).any() for kinds in glass.survey.kinds):
        is_bare = all((kinds != TileKind.TISSUE).all() for kinds in glass.survey.kinds)
        found = "no tissue" if is_bare else "nothing but tissue"
        notes.append(f"the mask shows {found} on this slide: look at it with `--dry-run --audit PNG`")
    if container == "tiff" and info.objective_power is not None:
        notes.append(
            "a generic TIFF cannot state the objective power to OpenSlide; the provenance block does"
        )
    if info.omitted:
        notes.append(f"not carried on: {', '.join(info.omitted)}")
    if container == "svs" and info.mpp is not None and info.mpp.x != info.mpp.y:
        notes.append("an SVS states one um per px for both directions: their mean is written")
    if container == "tiff" and images:
        notes.append(
            f"OpenSlide shows no associated images of a generic TIFF; {', '.join(images)} are in the file"
        )
    return notes
