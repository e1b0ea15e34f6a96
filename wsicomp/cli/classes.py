"""Lines that say what became of each class of place, for the commands that convert, verify and describe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.text.figures import as_bytes, as_percent, counted
from wsicomp.verification.region_checks import FoundClass, recipe_text


def class_lines(classes: Sequence[FoundClass], is_proved: bool) -> Iterator[str]:
    """Yield a line for each class; `is_proved` says whether its tiles were compared with the source."""
    for found in classes:
        whose = f"region {found.name}" if found.name else "outside of regions"
        tiles = f"{counted(found.tiles, 'tile')}, {as_percent(found.area)} of level 0"
        yield f"{whose}: {tiles}, {as_bytes(found.bytes)}, {found.codec}; {_quality(found, is_proved)}"


def class_recipes(plan: ConversionPlan) -> list[dict[str, str]]:
    """Return name and recipes of each class of place, tissue outside of regions (name "") last.

    Return nothing of a plan without regions.
    """
    found: dict[str, dict[str, None]] = {}
    for level in plan.levels:
        for number, recipe in enumerate(level.recipes if level.reduction == 1 else ()):
            codecs = found.setdefault(recipe.region, {})
            if level.takes(number).any():
                codecs[recipe_text(recipe)] = None
    found |= {"": found.pop("", {})}
    every = [{"name": name, "codec": " and ".join(codecs)} for name, codecs in found.items()]
    return every if len(every) > 1 else []


def recipes_line(recipes: Sequence[Mapping[str, str]]) -> str:
    """Return the recipes of classes in one line.

    >>> recipes_line([{"name": "Tumor", "codec": "copy"}, {"name": "", "codec": "jpeg quality=50"}])
    'regions: Tumor copy; outside of them jpeg quality=50'
    """
    told = (f"{each['name'] or 'outside of them'} {each['codec'] or 'has no tiles'}" for each in recipes)
    return f"regions: {'; '.join(told)}"


def _quality(found: FoundClass, is_proved: bool) -> str:
    if found.is_exact:
        return "every pixel exact" + ("" if is_proved else ", as planned: not verified")
    if found.least_ssim is None or found.mean_ssim is None:
        return "LOSSY, SSIM not measured"
    least, mean = (math.floor(value * 1000) / 1000 for value in (found.least_ssim, found.mean_ssim))
    return (
        f"LOSSY, SSIM {mean:.3f} in the mean, {least:.3f} at least of {counted(found.measured_tiles, 'tile')}"
    )
