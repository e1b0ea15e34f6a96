"""Plans a conversion: from the facts of a slide, its glass and the config to a `ConversionPlan`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.registry import compression_label, create_transcoder
from wsicomp.config import ConversionConfig
from wsicomp.conversion.container import check_readable, chosen_container
from wsicomp.conversion.glass_shades import Glass, colored
from wsicomp.conversion.recipes import (
    OVERVIEW_DOWNSAMPLE,
    added_recipe,
    codec_name,
    source_recipes,
    tile_size,
)
from wsicomp.conversion.region_recipes import outside_config, recipes_by_class
from wsicomp.conversion.transcode_probe import LevelProbe
from wsicomp.formats.base import Slide
from wsicomp.formats.stated_scale import plausible_mpp, power_text, stated_power
from wsicomp.formats.tiff import aperio
from wsicomp.formats.tiff.directories import distinct_bytes
from wsicomp.formats.tiff.layout import has_slide_proportions
from wsicomp.geometry import Size, TileGrid
from wsicomp.plan.conversion_plan import ConversionPlan, SourceIdentity
from wsicomp.plan.level_plan import Actions, LevelPlan, Recipe, TileAction
from wsicomp.regions.regions import Regions
from wsicomp.slide import Level, SlideInfo
from wsicomp.text.figures import counted
from wsicomp.tissue.tile_classes import TileKind
from wsicomp.version import SOFTWARE

_CLASSIC_TIFF_BYTES = 4_000_000_000
_ENCODED_BOUND = 1.5
"""The encoded bytes for a byte of pixels that no codec exceeds, not even JPEG of noise at quality 100."""
_TABLES_BYTES = 500
"""The bytes by which a JPEG tile can grow when it gets Huffman tables of its own."""
_LISTED_BYTES = 32
"""The bytes for a tile in lists: offset, byte count, and its digest in the provenance."""
_UNCOMPRESSED = 1
_STEP = 4
_SMALLEST_LEVEL_PX = 1024


def plan_conversion(
    info: SlideInfo,
    identity: SourceIdentity,
    digest: str,
    config: ConversionConfig,
    glass: Glass | None,
    probes: tuple[LevelProbe, ...] = (),
    model: Mapping[str, object] | None = None,
    unproved: frozenset[int] = frozenset(),
    regions: Regions | None = None,
) -> ConversionPlan:
    """Return the plan of a conversion.

    Args:
        info: The facts of the source.
        identity: Name, size and SHA-256 of the source.
        digest: The digest of this conversion.
        config: The options.
        glass: The glass of the slide; None where glass is kept.
        probes: For each source level what repacking a few of its tiles without loss has shown.
        model: The card of a neural codec's model, as JSON values; None for other codecs.
        unproved: The numbers of source levels that are left out.
        regions: The regions that keep a quality of their own; None where the config names none.

    Raises:
        ConfigError: the config cannot be carried out on this source.
    """
    stated, config = config, outside_config(info, config)
    by_class: list[tuple[Recipe, ...]]
    if regions is not None:
        by_class = recipes_by_class(info, stated, regions)
    else:
        by_class = [(recipe,) for recipe in source_recipes(info, config, probes)]
    recipes = [of_level[0] for of_level in by_class]
    is_added = any(reduction > 1 for _, reduction in _sources(info, config, unproved))
    added = [added_recipe(config)] if is_added else []
    container = chosen_container(info, config, [recipe.encoding for recipe in (*recipes, *added)])
    levels = tuple(_levels(info, config, glass, by_class, unproved, _touched(info, stated, regions)))
    text, dropped = _source_text(info, config)
    images = _images(info, config)
    dropped += tuple(name for name in info.associated_images if name not in images)
    check_readable(info, config, container, levels)
    palette, levels = colored(info, config, glass, levels)
    return ConversionPlan(
        software=SOFTWARE,
        digest=digest,
        source=identity,
        stated_config=stated.lasting() | {"z": info.z, "from_level": info.from_level},
        container=container,
        codec="copy" if all(recipe.copies for recipe in recipes) else codec_name(config),
        overview=config.codec.overview != "none",
        background=palette[0],
        big=info.big
        or _bound_bytes(info, levels) + identity.bytes * config.codec.restorable > _CLASSIC_TIFF_BYTES,
        mpp=info.mpp,
        objective_power=info.objective_power,
        description=text,
        levels=levels,
        images=images,
        dropped=dropped,
        notes=tuple(_notes(info, config, container, glass, images, recipes, levels, regions)),
        model=None if model is None else {**model, "embedded": config.codec.embed_model},
        further_shades=tuple(palette[1:]),
    )


def _levels(
    info: SlideInfo,
    config: ConversionConfig,
    glass: Glass | None,
    recipes: list[tuple[Recipe, ...]],
    unproved: frozenset[int],
    touched: list[NDArray[np.uint8] | None],
) -> list[LevelPlan]:
    plans: list[LevelPlan] = []
    for source_level, reduction in _sources(info, config, unproved):
        level = info.levels[source_level]
        size = level.size.reduced(reduction)
        by_class = recipes[source_level] if reduction == 1 else (added_recipe(config),)
        chosen = touched[source_level] if reduction == 1 else None
        recipe = by_class[0]
        tile = tile_size(info, level, by_class[min(1, len(by_class) - 1)])
        grid = TileGrid(size, tile)
        own = None if glass is None else glass.classes.kinds[source_level]
        kinds = None if own is None else _kinds(own, level.grid, grid, reduction)
        actions = _actions(kinds, grid, recipe.action, paints=not config.codec.lossless or reduction > 1)
        if grid == level.grid:
            actions = _with_blank_kept(actions, level)
        if chosen is not None:
            actions = _with_regions(actions, chosen, by_class)
        for carried in {each.action for each in by_class} - {TileAction.ENCODE}:
            actions = _with_absent_empty(actions, level, carried)
        if config.glass.fill == "empty":
            actions = _with_empty_glass(actions, corners=not plans)
        plans.append(
            LevelPlan(
                number=len(plans),
                size=size,
                tile=tile,
                source_level=source_level,
                reduction=reduction,
                recipes=by_class,
                actions=actions,
                chosen=chosen,
            )
        )
    return plans


def _touched(
    info: SlideInfo, config: ConversionConfig, regions: Regions | None
) -> list[NDArray[np.uint8] | None]:
    """Return for each source level the recipe of each tile, by the region that it touches; None for none."""
    if regions is None:
        return [None] * len(info.levels)
    lowest = config.regions.roi_downsample
    return [
        regions.of_tiles(level)
        if lowest is None or level.downsample <= lowest
        else np.zeros((level.grid.rows, level.grid.columns), np.uint8)
        for level in info.levels
    ]


def _with_regions(actions: Actions, chosen: NDArray[np.uint8], recipes: tuple[Recipe, ...]) -> Actions:
    """Return the actions with those of regions' recipes, whatever glass was found under a region."""
    own = np.array([recipe.action.value for recipe in recipes])
    return np.where(chosen > 0, own[chosen], actions)


def _sources(info: SlideInfo, config: ConversionConfig, unproved: frozenset[int]) -> list[tuple[int, int]]:
    """Return (source level, box reduction) of every level of the target, largest first."""
    sources: list[tuple[int, int]] = []
    carried = [number for number in range(len(info.levels)) if number not in unproved]
    for number, following in zip(carried, [*carried[1:], None], strict=True):
        level = info.levels[number]
        sources.append((number, 1))
        if config.output.levels == "source":
            continue
        lower = 0 if following is None else info.levels[following].size.width
        reduction = _STEP
        while level.size.width / reduction > 1.5 * lower and (
            lower or max(level.size.width, level.size.height) * _STEP / reduction > _SMALLEST_LEVEL_PX
        ):
            sources.append((number, reduction))
            reduction *= _STEP
    lacks_overview = config.codec.overview != "none" and not any(
        info.levels[number].downsample * reduction >= OVERVIEW_DOWNSAMPLE for number, reduction in sources
    )
    if lacks_overview:
        last = carried[-1]
        sources += [(last, _STEP**power) for power in range(1, _overview_levels(info.levels[last].size) + 1)]
    return sources


def _overview_levels(size: Size) -> int:
    """Return the count of levels in steps of four from one of this size to a small one, at least one."""
    count, side = 1, max(size.width, size.height) / _STEP
    while side > _SMALLEST_LEVEL_PX:
        count, side = count + 1, side / _STEP
    return count


def _kinds(kinds: NDArray[np.uint8], source: TileGrid, target: TileGrid, reduction: int) -> NDArray[np.uint8]:
    """Return the kinds of a target level's tiles from those of the source tiles that each one is made of."""
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
            result[row, column] = _joint_kind(parts)
    return result


def _joint_kind(parts: NDArray[np.uint8]) -> int:
    """Return the kind of a tile made of these: it stays whole if the guard kept any of them."""
    if np.isin(parts, (TileKind.RESCUED, TileKind.PROTECTED)).any():
        return TileKind.PROTECTED
    return int(parts.flat[0]) if (parts == parts.flat[0]).all() else TileKind.MIXED


def _actions(kinds: NDArray[np.uint8] | None, grid: TileGrid, whole: TileAction, paints: bool) -> Actions:
    """Return the actions of tiles.

    `paints` says whether the glass of mixed encoded tiles becomes background.
    """
    actions = np.full((grid.rows, grid.columns), whole.value)
    if kinds is not None:
        actions[kinds == TileKind.GLASS] = TileAction.BLANK.value
        if whole is TileAction.ENCODE and paints:
            actions[kinds == TileKind.MIXED] = TileAction.MASK_AND_ENCODE.value
    return actions


def _with_absent_empty(actions: Actions, level: Level, whole: TileAction) -> Actions:
    """Return the actions with EMPTY for a tile that would keep the source's bytes and has none."""
    letters = actions.reshape(-1)
    absent = np.array(level.absent, np.intp)
    letters[absent[letters[absent] == whole.value]] = TileAction.EMPTY.value
    return letters.reshape(actions.shape)


def _with_blank_kept(actions: Actions, level: Level) -> Actions:
    """Return the actions with BLANK for a tile of background alone, which shares the blank tile."""
    letters = actions.reshape(-1)
    letters[np.array(level.blank, np.intp)] = TileAction.BLANK.value
    return letters.reshape(actions.shape)


def _with_empty_glass(actions: Actions, corners: bool) -> Actions:
    """Return the actions with EMPTY for BLANK; stored corners keep OpenSlide's bounds at the level's size."""
    emptied = np.where(actions == TileAction.BLANK.value, TileAction.EMPTY.value, actions)
    if corners:
        for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
            if emptied[corner] == TileAction.EMPTY.value:
                emptied[corner] = TileAction.BLANK.value
    return emptied


def _encoded_px(plan: LevelPlan) -> int:
    """Return the pixels of a level's tiles that are encoded."""
    tiles = plan.count(TileAction.ENCODE) + plan.count(TileAction.MASK_AND_ENCODE)
    return tiles * plan.tile.width * plan.tile.height


def _bound_bytes(info: SlideInfo, levels: tuple[LevelPlan, ...]) -> float:
    total = 0.0
    for plan in levels:
        kept = plan.count(TileAction.COPY) + plan.count(TileAction.TRANSCODE)
        total += _encoded_px(plan) * 3 * _ENCODED_BOUND
        total += info.levels[plan.source_level].encoded_bytes + kept * _TABLES_BYTES if kept else 0
        total += plan.grid.count * _LISTED_BYTES
    return total + sum(len(strip) for image in info.associated_images.values() for strip in image.strips)


def least_bytes(slide: Slide, plan: ConversionPlan) -> int:
    """Return the least count of bytes of a target: copied tiles, uncompressed samples, and lists of tiles."""
    total = 0
    for level in plan.levels:
        total += level.grid.count * _LISTED_BYTES
        if level.encoding.compression == _UNCOMPRESSED:
            total += _encoded_px(level) * 3
        if level.count(TileAction.COPY):
            copied = level.actions.reshape(-1) == TileAction.COPY.value
            total += distinct_bytes(slide.tile_ranges(level.source_level)[copied])
    return total


def _source_text(info: SlideInfo, config: ConversionConfig) -> tuple[str, tuple[str, ...]]:
    """Return the source's ImageDescription as it is carried, and the names of what was left out of it."""
    if info.vendor != "aperio":
        fields = aperio.technical_fields(info.mpp, info.objective_power)
        named = {"vendor properties": info.properties, "ImageDescription": info.description}
        return fields, tuple(name for name, value in named.items() if config.output.deidentify and value)
    return aperio.deidentify(info.description) if config.output.deidentify else (info.description, ())


def _images(info: SlideInfo, config: ConversionConfig) -> tuple[str, ...]:
    thumbnail = info.associated_images.get("thumbnail")
    wanted = {
        "label": config.output.label and not config.output.deidentify,
        "macro": config.output.macro and not config.output.deidentify,
        # Last: tifffile takes what is first in a generic TIFF for a level if its size is an exact part.
        "thumbnail": thumbnail is not None
        and (not config.output.deidentify or has_slide_proportions(thumbnail.size, info.size)),
    }
    # What may be an image that is not wanted, by its type or its proportions, is not wanted either.
    return tuple(
        name
        for name, keep in wanted.items()
        if keep
        and name in info.associated_images
        and all(wanted[other] for other in info.associated_images[name].may_be)
    )


def _not_repacked(info: SlideInfo, config: ConversionConfig, recipes: list[Recipe]) -> Iterator[str]:
    """Yield why levels of a lossless conversion are copied."""
    if not config.codec.lossless or config.codec.overview != "none":
        return
    transcoder = create_transcoder(config.codec.name, config.codec.restorable)
    reasons: dict[str, list[str]] = {}
    for number, (level, recipe) in enumerate(zip(info.levels, recipes, strict=True)):
        if recipe.copies and level.encoding is not None:
            reason = "repacking would not make them smaller"
            if transcoder.encoding(level.encoding) is None:
                kind = compression_label(level.encoding.compression)
                reason = f"they are {kind}, which codec {config.codec.name} cannot repack"
            reasons.setdefault(reason, []).append(str(number))
    for reason, numbers in reasons.items():
        yield f"tiles of level {', '.join(numbers)} stay as they are: {reason}"


def _notes(
    info: SlideInfo,
    config: ConversionConfig,
    container: str,
    glass: Glass | None,
    images: tuple[str, ...],
    recipes: list[Recipe],
    levels: tuple[LevelPlan, ...],
    regions: Regions | None,
) -> list[str]:
    notes = [] if regions is None else [*regions.notes]
    if config.codec.name == "auto" and recipes[0].copies and config.codec.options:
        unused = ", ".join(config.codec.options)
        notes.append(f'tiles are copied, so {unused} has nothing to do; `codec="jpeg"` encodes them anew')
    notes += _not_repacked(info, config, recipes)
    notes += _beginning(info)
    if info.mpp is None:
        notes.append("the source does not say its um per px, and neither does the target")
    if config.glass.fill != "keep" and plausible_mpp(info) is None:
        notes.append("to be safe margins are as wide as at 0.25 um per px, the guard as keen as at 1")
    notes += glass.notes if glass is not None else ()
    if glass is not None and not any((kinds == TileKind.MIXED).any() for kinds in glass.classes.kinds):
        is_bare = all((kinds != TileKind.TISSUE).all() for kinds in glass.classes.kinds)
        found = "no tissue" if is_bare else "nothing but tissue"
        look = '`wsicomp.plan_slide` and `audit="look.png"`'
        notes.append(f"the mask shows {found} on this slide: look at it with {look}")
    if container == "tiff" and info.objective_power is not None:
        notes.append(
            "a generic TIFF cannot state the objective power to OpenSlide; the provenance block does"
        )
    notes += info.remarks
    if info.omitted:
        notes.append(f"not carried on: {', '.join(info.omitted)}")
    if container == "svs" and info.mpp is not None and info.mpp.x != info.mpp.y:
        notes.append("an SVS states one um per px for both directions: their mean is written")
    return [*notes, *_image_notes(container, images, levels)]


def _beginning(info: SlideInfo) -> Iterator[str]:
    """Yield what is left out where the target begins at a lower level."""
    if info.left_out:
        finer = counted(len(info.left_out), "finer level")
        power = power_text(stated_power(info.objective_power, info.mpp, info.size))
        yield f"it begins at level {len(info.left_out)} of the source{power}: {finer} left out for good"


def _image_notes(container: str, images: tuple[str, ...], levels: tuple[LevelPlan, ...]) -> Iterator[str]:
    """Yield how OpenSlide shows the associated images, where it is not by their own names."""
    if container == "svs" and len(levels) == 1 and images and "thumbnail" not in images:
        yield f"OpenSlide takes the second image of an SVS for the thumbnail: here it is the {images[0]}"
    if container == "tiff" and images:
        yield f"OpenSlide shows no associated images of a generic TIFF; the file holds {', '.join(images)}"
