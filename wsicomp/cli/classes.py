"""Lines that say what became of each class of place, for the commands that convert, verify and describe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wsicomp.conversion.outcome import on_levels
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.text.figures import as_bytes, as_percent, counted
from wsicomp.verification.region_checks import FoundClass, recipe_text


def class_lines(classes: Sequence[FoundClass], is_proved: bool) -> Iterator[str]:
    """Yield a line for each class; `is_proved` says whether its tiles were compared with the source."""
    everywhere = {level for found in classes for level in found.levels}
    for found in classes:
        whose = f"region {found.name}" if found.name else "outside of regions"
        tiles = f"{counted(found.tiles, 'tile')}, {as_percent(found.area)} of level 0"
        where = on_levels(found.levels, everywhere)
        quality = _quality(found, is_proved)
        yield f"{whose}: {tiles}, {as_bytes(found.bytes)}, {found.codec}; {quality}{where}"


def class_recipes(plan: ConversionPlan) -> list[dict[str, Any]]:
    """Return name, recipes and levels of each class of place, tissue outside of regions (name "") last.

    Return nothing of a plan without regions.
    """
    found: dict[str, list[tuple[str, int]]] = {}
    for level in plan.levels:
        for number, recipe in enumerate(level.recipes if level.reduction == 1 else ()):
            taken = found.setdefault(recipe.region, [])
            taken += [(recipe_text(recipe), level.number)] if level.takes(number).any() else []
    found |= {"": found.pop("", [])}
    every = [_class_recipe(name, taken) for name, taken in found.items()]
    return every if len(every) > 1 else []


def _class_recipe(name: str, taken: Sequence[tuple[str, int]]) -> dict[str, Any]:
    codecs = dict.fromkeys(codec for codec, _ in taken)
    return {"name": name, "codec": " and ".join(codecs), "levels": sorted({level for _, level in taken})}


def recipes_line(recipes: Sequence[Mapping[str, Any]]) -> str:
    """Return the recipes of classes in one line.

    >>> tumour = {"name": "Tumor", "codec": "copy", "levels": [0]}
    >>> recipes_line([tumour, {"name": "", "codec": "jpeg quality=50", "levels": [0, 1]}])
    'regions: Tumor copy on level 0 alone; outside of them jpeg quality=50'
    """
    everywhere = {level for each in recipes for level in each["levels"]}
    told = []
    for each in recipes:
        where = on_levels(each["levels"], everywhere)
        told.append(f"{each['name'] or 'outside of them'} {each['codec'] or 'has no tiles'}{where}")
    return f"regions: {'; '.join(told)}"


def _quality(found: FoundClass, is_proved: bool) -> str:
    if found.is_exact:
        return "every pixel exact" + ("" if is_proved else ", as planned: not verified")
    if found.least_ssim is None or found.mean_ssim is None:
        return "LOSSY, SSIM not measured"
    least, mean = (math.floor(value * 1000) / 1000 for value in (found.least_ssim, found.mean_ssim))
    measured = counted(found.measured_tiles, "measured tile")
    return f"LOSSY, SSIM of {measured} {mean:.3f} in the mean, {least:.3f} at least"
