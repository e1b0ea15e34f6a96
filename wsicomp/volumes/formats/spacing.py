"""The check of spacing that every format of volumes has in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from wsicomp.errors import VolumeReadError


def checked_spacing(spacing: Sequence[float], path: Path) -> tuple[float, float, float]:
    """Return the spacing in mm along x, y and z of a file.

    Raises:
        VolumeReadError: one is zero, negative or no finite number.
    """
    for axis, found in zip("xyz", spacing, strict=True):
        if not (math.isfinite(found) and found > 0):
            expected = "expected a number over 0; mend the header first"
            raise VolumeReadError(f"the spacing along {axis} is {found:g} mm, {expected}", path)
    x, y, z = spacing
    return x, y, z
