"""Spacing and affine of NRRD: its space directions, turned from its space to right, anterior, superior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import VolumeReadError
from wsicomp.volumes.formats.spacing import checked_spacing
from wsicomp.volumes.volume import Geometry

_SIGNS = {
    "right-anterior-superior": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "RAS": (1, 1, 1),
    "LAS": (-1, 1, 1),
    "LPS": (-1, -1, 1),
}
"""What turns the axes of a space to right, anterior, superior.

Source: http://teem.sourceforge.net/nrrd/format.html#space
"""
_TIMES = ("-time", "T")
_IN_MM = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "cm": 10.0, "um": 0.001, "microns": 0.001}
"""By the unit's name. Not of "m", which is also what pynrrd leaves of a Greek mu and m."""
_NO_PLACE = "The file does not say where the volume lies."


def nrrd_geometry(
    header: Mapping[str, Any], shape: Sequence[int], path: Path
) -> tuple[Geometry, tuple[str, ...]]:
    """Return where the voxels of a volume of `shape` lie as a parsed header has it, and remarks.

    Raises:
        VolumeReadError: a spacing is zero, negative or no number.
    """
    axes = min(3, int(header["dimension"]))
    if "space directions" not in header:
        stated, about = _spacing(header, axes, shape, path)
        return Geometry(stated), (*about, _NO_PLACE)
    directions = np.asarray(header["space directions"], np.float64)
    if directions.shape[0] != header["dimension"] or not np.isfinite(directions[:axes]).all():
        raise VolumeReadError("the NRRD header's space directions do not fit its axes; mend it first", path)
    in_mm, remarks = _unit(header)
    directions = directions[:axes, :3] * in_mm
    lengths = [float(each) for each in np.linalg.norm(directions, axis=1)]
    spacing, about = checked_spacing([*lengths, *[in_mm] * (3 - axes)], shape, path)
    affine = _affine(header, directions, in_mm)
    return Geometry(spacing, affine), (*remarks, *about, *(() if affine is not None else (_NO_PLACE,)))


def _affine(
    header: Mapping[str, Any], directions: NDArray[np.float64], in_mm: float
) -> NDArray[np.float64] | None:
    """Return the affine; None if the header lacks the origin, a direction, or a space of the patient's."""
    signs = _signs(str(header.get("space", "")))
    origin = np.asarray(header.get("space origin", ()), np.float64)[:3]
    if signs is None or directions.shape != (3, 3) or origin.shape != (3,) or not np.isfinite(origin).all():
        return None
    found = np.eye(4)
    found[:3, :3] = directions.T
    found[:3, 3] = origin * in_mm
    found[:3] *= np.array(signs)[:, None]
    return found


def _signs(space: str) -> tuple[int, int, int] | None:
    for time in _TIMES:
        space = space.removesuffix(time)
    return _SIGNS.get(space)


def _spacing(
    header: Mapping[str, Any], axes: int, shape: Sequence[int], path: Path
) -> tuple[tuple[float, float, float] | None, tuple[str, ...]]:
    stated = [float(each) for each in header.get("spacings", ())][:axes]
    if len(stated) < axes or np.isnan(stated).any():  # NaN is how NRRD says that it does not know
        return None, ()
    return checked_spacing([*stated, *[1.0] * (3 - axes)], shape, path)


def _unit(header: Mapping[str, Any]) -> tuple[float, tuple[str, ...]]:
    """Return how many mm a unit of the space is, and a remark if they are not one."""
    units = {str(each).lower() for each in header.get("space units", ())[:3]}
    if not units or units == {""} or len(units) > 1:
        return 1.0, ()
    unit = units.pop()
    if unit not in _IN_MM:
        return 1.0, (f"The file has its lengths in a unit not known here, {unit[:20]!r}; mm are assumed.",)
    in_mm = _IN_MM[unit]
    return in_mm, () if in_mm == 1 else (f"The file has its lengths in {unit}; they are in mm here.",)
