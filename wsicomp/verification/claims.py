"""Checks the plan that a written file carries against its source, before a tile is read.

A plan is a text in a file, and anyone can write one. It is accepted only if this source could have been
converted so: each level from its own level, blank tiles only where glass was taken out, no image left out
that was asked for. `source_comparison` checks what the tiles show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from wsicomp.codecs.registry import create_codec, decode_tile, needs_model
from wsicomp.deidentification.proved_levels import unproved_levels
from wsicomp.errors import SlideReadError, WsicompError
from wsicomp.formats.base import Slide
from wsicomp.formats.converted.associated_images import carried_image
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.lower_levels import lowered_properties
from wsicomp.formats.slide_files import slide_parts
from wsicomp.geometry import Size
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, Recipe, TileAction
from wsicomp.plan.provenance import Guarded, LevelRecord
from wsicomp.slide import AssociatedImage, EncodedTile, Level, SlideInfo
from wsicomp.tissue.glass_color import can_be_glass
from wsicomp.verification.problems import Problem
from wsicomp.verification.tolerance import tolerance_of

_CARRIED = (TileAction.COPY.value, TileAction.TRANSCODE.value)
_FIGURES = ("tissue_fraction_with_margin", "rescued_tiles")


def check_claims(slide: ConvertedSlide, source: Slide, is_direct: bool, workers: int) -> Iterator[Problem]:
    """Yield a problem for each statement of the file that no conversion of this source would make.

    `is_direct` says that the file was made from this source, and not from another conversion of it.
    """
    provenance = slide.provenance
    plan, info = provenance.plan, source.info
    if is_direct and plan.keeps_glass and plan.palette != info.palette:
        yield Problem("plan-differs", "glass", "it was kept, and yet blank tiles have other colours")
    left_out = unproved_levels(source, workers) if plan.deidentified else frozenset[int]()
    yield from _levels(plan, info, left_out)
    for level, record in zip(plan.levels, provenance.levels, strict=True):
        if level.source_level < len(info.levels):
            yield from _tiles(plan, level, record, info.levels[level.source_level])
    yield from _figures(plan, provenance.mask)
    yield from _images(slide, source)
    if not plan.deidentified:
        yield from _texts(slide, source, is_direct)
    if not is_direct:
        if provenance.restoration is not None:
            found = "it rebuilds the file that it was made from, not this source"
            yield Problem("not-restorable", "file", found)
        return
    size = sum(part.stat().st_size for part in slide_parts(info.path))
    if plan.source.bytes != size:
        found = f"it was made from {plan.source.bytes} bytes, the source has {size}"
        yield Problem("source-differs", "source", found)


def check_palette(plan: ConversionPlan) -> Iterator[Problem]:
    """Yield a problem if glass becomes a colour that was not asked for, or that no glass has."""
    background = plan.stated_config.get("background")
    if plan.background_from_slide:
        is_sound = all(can_be_glass(np.array(color)) for color in plan.palette)
        expected = "colours that glass can have"
    elif plan.keeps_glass or not isinstance(background, str):
        return
    else:
        asked = "#ffffff" if background == "white" else background.lower()
        is_sound = ["#{:02x}{:02x}{:02x}".format(*color) for color in plan.palette] == [asked]
        expected = f"{background:.40} alone"
    if not is_sound:
        found = ", ".join(str(color) for color in plan.palette[:3])
        yield Problem("plan-differs", "glass", f"it becomes RGB {found}; expected {expected}")


def _levels(plan: ConversionPlan, source: SlideInfo, left_out: frozenset[int]) -> Iterator[Problem]:
    """Yield wrong levels; `left_out` are the source's levels that must not be there."""
    whole = [level.source_level for level in plan.levels if level.reduction == 1]
    wanted = [number for number in range(len(source.levels)) if number not in left_out]
    if whole != wanted:
        found = f"made from levels {', '.join(map(str, whole)) or 'that are none'} of the source"
        yield Problem("plan-differs", "levels", f"{found}, expected each of its {len(wanted)} once")
    for level in plan.levels:
        place = f"level {level.number}"
        if level.source_level >= len(source.levels) or level.reduction < 1:
            found = f"made from level {level.source_level}, a {level.reduction}th of it"
            yield Problem("plan-differs", place, f"{found}; the source has no such level")
            continue
        expected = source.levels[level.source_level].size.reduced(level.reduction)
        if level.size != expected:
            found = f"{level.size} px, expected {expected} px from level {level.source_level} of the source"
            yield Problem("plan-differs", place, found)


def _tiles(plan: ConversionPlan, level: LevelPlan, record: LevelRecord, source: Level) -> Iterator[Problem]:
    """Yield actions that no plan of this level has, and recipes that cannot be followed."""
    place, letters = f"level {level.number}", level.actions.reshape(-1)
    is_same = level.reduction == 1 and level.tile == source.tile
    is_carried = np.isin(letters, _CARRIED)
    if is_carried.any() and (not is_same or source.encoding is None):
        yield Problem(
            "plan-differs", place, "its tiles are copied or packed from tiles that the source does not have"
        )
    excused = np.zeros(letters.size, bool)
    if is_same:
        excused[[*source.blank]] = True
    blank = (letters == TileAction.BLANK.value) & ~excused
    empty = (letters == TileAction.EMPTY.value) & ~excused
    if is_same:
        empty[[*source.absent]] = False
    if plan.keeps_glass and (blank | empty).any():
        count = int((blank | empty).sum())
        yield Problem("plan-differs", place, f"glass was kept, and yet {count} of its tiles are blank")
    elif not plan.empties_glass and empty.any():
        message = f"{int(empty.sum())} tiles are without bytes that the source has"
        yield Problem("plan-differs", place, message)
    if plan.keeps_glass and level.count(TileAction.MASK_AND_ENCODE):
        yield Problem("plan-differs", place, "glass was kept, and yet some of it was painted")
    kept = letters[list(record.kept)] if record.kept else letters[:0]
    if (kept != TileAction.TRANSCODE.value).any():
        yield Problem("plan-differs", place, "tiles are kept as in the source where none were packed")
    renewed = letters[list(record.renewed)] if record.renewed else letters[:0]
    if record.renewed and not (plan.deidentified and np.isin(renewed, _CARRIED).all()):
        yield Problem("plan-differs", place, "tiles were encoded instead of copied, without need")
    yield from _recipes(level, record)


def _recipes(level: LevelPlan, record: LevelRecord) -> Iterator[Problem]:
    for number, recipe in enumerate(level.recipes):
        if level.actions_of(number) & {TileAction.ENCODE, TileAction.MASK_AND_ENCODE}:
            yield from _recipe(recipe, record.guarded_of(number), f"level {level.number}")


def _recipe(recipe: Recipe, guarded: Guarded | None, place: str) -> Iterator[Problem]:
    """Yield a problem if the codec does not take the options."""
    try:
        if not needs_model(recipe.codec):
            create_codec(recipe.codec, recipe.options)
        tolerance_of(recipe, guarded)
        tolerance_of(recipe, None)
    except (WsicompError, ValueError, TypeError, LookupError, ArithmeticError) as exc:
        found = f"codec {recipe.codec} has no such options ({exc})"
        yield Problem("plan-differs", place, found)


def _figures(plan: ConversionPlan, mask: Mapping[str, object] | None) -> Iterator[Problem]:
    """Yield wrong figures of the mask, by which it is decided whether a person has to look at the file."""
    if (mask is None) is not plan.keeps_glass:
        found = "no mask" if mask is None else "a mask, though glass was kept"
        yield Problem("plan-differs", "mask", f"{found}; expected one where glass was taken out")
    elif mask is not None:
        fraction, rescued = (mask.get(name) for name in _FIGURES)
        is_fraction = isinstance(fraction, float | int) and 0 <= fraction <= 1
        if not is_fraction or not isinstance(rescued, int) or rescued < 0:
            found = f"tissue {fraction!r:.40}, {rescued!r:.40} tiles rescued: no figures of a mask"
            yield Problem("plan-differs", "mask", found)


def _images(slide: ConvertedSlide, source: Slide) -> Iterator[Problem]:
    """Yield associated images that are missing without having been left out, and those that differ."""
    plan, info = slide.provenance.plan, source.info
    named = plan.deidentified
    for name, image in info.associated_images.items():
        is_asked = named or bool({name, *image.may_be} & plan.unwanted_images)
        if name not in plan.images and not (is_asked and name in plan.dropped):
            why = "though nobody asked to leave it out" if not is_asked else "and the file does not say so"
            yield Problem("associated-missing", name, f"the source has it, the file has not, {why}")
        found = slide.info.associated_images.get(name)
        if found is not None and not _is_alike(found, carried_image(name, image, named)):
            yield Problem("associated-differs", name, "it decodes to another picture than the source's")


def _texts(slide: ConvertedSlide, source: Slide, is_direct: bool) -> Iterator[Problem]:
    """Yield texts that differ from the source's, by which people and programs know the slide."""
    plan, info = slide.provenance.plan, source.info
    if info.vendor == "aperio":
        is_same = plan.description == info.description
        if not is_same and (is_direct or not plan.description.endswith(f";{info.description}")):
            yield Problem("property-differs", "ImageDescription", "it is not the source's")
    for name, image in slide.info.associated_images.items():
        there = info.associated_images.get(name)
        if there is not None and _fields(image) != _fields(there):
            yield Problem("property-differs", f"description of the {name}", "it is not the source's")
    if is_direct and not info.planes:
        stated, shown = slide.provenance.properties, _shown_properties(source)
        names = [name for name in sorted(stated) if not name.startswith("openslide.")]
        wrong = [name for name in names if shown.get(name, stated[name]) != stated[name]]
        for name in wrong[:1]:
            more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            yield Problem("property-differs", name, f"it is not the source's{more}")


def _fields(image: AssociatedImage) -> str:
    return image.description.partition("|")[2]


def _shown_properties(source: Slide) -> Mapping[str, str]:
    if source.provenance is not None:
        return source.info.properties
    try:
        return lowered_properties(source.shown().slide.properties, source.info)
    except SlideReadError:
        return {}


def _is_alike(found: AssociatedImage, expected: AssociatedImage) -> bool:
    """Return whether equal strips make the same picture; whether they are equal is checked elsewhere."""
    if found.strips != expected.strips:
        return True
    if (found.size, found.rows_per_strip) != (expected.size, expected.rows_per_strip):
        return False
    if found.encoding == expected.encoding or not found.strips:
        return True
    size = Size(found.size.width, min(found.rows_per_strip, found.size.height))
    try:
        first, second = (
            decode_tile(EncodedTile(image.strips[0], image.encoding, size)) for image in (found, expected)
        )
    except (WsicompError, ValueError, RuntimeError):
        return False
    return np.array_equal(first, second)
