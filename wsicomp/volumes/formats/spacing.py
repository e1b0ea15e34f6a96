"""The check of spacing that every format of volumes has in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from wsicomp.errors import VolumeReadError


def checked_spacing(
    spacing: Sequence[float], shape: Sequence[int], path: Path
) -> tuple[tuple[float, float, float], tuple[str, ...]]:
    """Return the spacing in mm along x, y and z of a file with so many voxels along them, and remarks.

    Where there is one voxel along an axis, 0 is no error: many programs write a single slice so. It becomes
    1 mm, with a remark.

    Raises:
        VolumeReadError: one is zero, negative or no finite number.
    """
    checked, remarks = [], []
    for axis, stated, voxels in zip("xyz", spacing, shape, strict=False):
        found = 1.0 if stated == 0 and voxels == 1 else stated
        if found != stated:
            remarks.append(f"The one voxel along {axis} has a spacing of 0 mm in the file; it is 1 mm here.")
        if not (math.isfinite(found) and found > 0):
            expected = "expected a number over 0; mend the header first"
            raise VolumeReadError(f"the spacing along {axis} is {found:g} mm, {expected}", path)
        checked.append(found)
    x, y, z = checked
    return (x, y, z), tuple(remarks)
