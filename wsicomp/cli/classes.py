"""Lines that say what became of each class of place, for the commands that convert and verify."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from wsicomp.conversion.outcome import on_levels
from wsicomp.text.figures import as_bytes, as_percent, counted
from wsicomp.verification.region_checks import FoundClass


def class_lines(classes: Sequence[FoundClass], is_proved: bool) -> Iterator[str]:
    """Yield a line for each class; `is_proved` says whether its tiles were compared with the source."""
    everywhere = {level for found in classes for level in found.levels}
    for found in classes:
        whose = f"region {found.name}" if found.name else "outside of regions"
        tiles = f"{counted(found.tiles, 'tile')}, {as_percent(found.area)} of level 0"
        where = "" if everywhere == {*found.levels} else f" {on_levels(found.levels)}"
        quality = _quality(found, is_proved)
        yield f"{whose}: {tiles}, {as_bytes(found.bytes)}, {found.codec}; {quality}{where}"


def _quality(found: FoundClass, is_proved: bool) -> str:
    if found.is_exact:
        return "every pixel exact" + ("" if is_proved else ", as planned: not verified")
    if found.least_ssim is None or found.mean_ssim is None:
        return "LOSSY, SSIM not measured"
    least, mean = (math.floor(value * 1000) / 1000 for value in (found.least_ssim, found.mean_ssim))
    measured = counted(found.measured_tiles, "measured tile")
    return f"LOSSY, SSIM of {measured} {mean:.3f} in the mean, {least:.3f} at least"
