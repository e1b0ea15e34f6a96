"""Puts the slices of a series in order, and finds the place of their voxels in the patient.

What is stated is true for every slice: where slices are missing or unevenly spaced no affine is, and a stack
that leans (a tilted gantry) has an affine that leans. Other programs differ: ITK states the mean distance and
warns, nibabel refuses, dcm2niix makes slices up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wsicomp.errors import UnsupportedVolumeError
from wsicomp.volumes.formats.dicom_slices import DicomSlice, SlicePlace, Vector, same_direction
from wsicomp.volumes.volume import Geometry, Scaling

_SAME_MM = 0.01
_EVEN = 0.02
"""Part of a step by which a slice may lie off its place: scanners round positions."""
_LEANS = 0.01
_CLOCKS = frozenset({"AcquisitionDateTime", "AcquisitionTime", "ContentTime", "ImageType"})


@dataclass(frozen=True)
class SliceStack:
    """The slices of a volume in order: along the normal, then along time."""

    slices: tuple[DicomSlice, ...]
    """All of them, time by time."""
    places: int
    """How many slices each time has."""
    geometry: Geometry
    """Where the voxels lie."""
    scaling: Scaling
    """Of all slices; 1 and 0 where they differ."""
    remarks: tuple[str, ...]
    """What is unusual, a sentence each."""

    @property
    def times(self) -> int:
        """The number of times that each place was taken."""
        return len(self.slices) // self.places


def stack_slices(slices: Sequence[DicomSlice], names: Sequence[str]) -> SliceStack:
    """Return the slices of one series in order, with their geometry; `names` are those of its files.

    Raises:
        UnsupportedVolumeError: slices differ in direction or spacing, some have no position, a place was
            taken more often than another, or nothing tells two slices at one place apart.
    """
    scaling, remarks = _scaling(slices)
    _check_alike(slices, names)
    if slices[0].place is None:
        ordered, more = _by_number(slices)
        return SliceStack(tuple(ordered), len(ordered), Geometry(), scaling, (*remarks, *more))
    groups = _by_place(slices)
    counts = {len(group) for group in groups}
    if len(counts) > 1:
        found = f"{len(groups)} places with {min(counts)} to {max(counts)} slices each"
        raise UnsupportedVolumeError(f"{found}, expected as many at each; take away what does not belong")
    times, more = _by_time(groups)
    geometry, about = _geometry([group[0] for group in groups])
    ordered = [group[time] for time in range(times) for group in groups]
    return SliceStack(tuple(ordered), len(groups), geometry, scaling, (*remarks, *more, *about))


def _scaling(slices: Sequence[DicomSlice]) -> tuple[Scaling, tuple[str, ...]]:
    found = {each.scaling for each in slices}
    if len(found) == 1:
        return slices[0].scaling, ()
    slopes = sorted(each.slope for each in found)
    told = f"slices have {len(found)} different scalings (slope {slopes[0]:g} to {slopes[-1]:g})"
    return Scaling(), (f"{told}; values are as stored, and each slice's header keeps its own",)


def _check_alike(slices: Sequence[DicomSlice], names: Sequence[str]) -> None:
    """Refuse slices of which some have no place, another direction, or another spacing."""
    first = slices[0]
    placed = [each.place for each in slices if each.place is not None]
    common = _commonest(placed) if placed else None
    for odd, what in (
        ([each for each in slices if each.place is None and placed], "no position in the patient"),
        (
            [each for each in slices if each.place and common and not same_direction(each.place, common)],
            "another direction than the others",
        ),
        (
            [each for each in slices if not _same_spacing(each.spacing, first.spacing)],
            "another PixelSpacing than the first",
        ),
    ):
        if odd:
            found = f"{len(odd)} of {len(slices)} slices have {what}, such as {names[odd[0].file]}"
            raise UnsupportedVolumeError(f"{found}; move them to another folder")


def _commonest(places: Sequence[SlicePlace]) -> SlicePlace:
    """Return a place with the direction that most have."""
    turns = [tuple(np.round([*each.rows, *each.columns], 2)) for each in places]
    return places[turns.index(Counter(turns).most_common(1)[0][0])]


def _same_spacing(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.allclose(one, other, rtol=1e-4)


def _by_number(slices: Sequence[DicomSlice]) -> tuple[list[DicomSlice], tuple[str, ...]]:
    """Return slices without positions in the order of the frames, or as the scanner counted them."""
    if len(slices) == 1:
        return list(slices), ("no position in the patient is stated",)
    if len({each.file for each in slices}) == 1:
        return list(slices), (
            "no positions in the patient are stated; slices are in the order of the frames",
        )
    if None in (numbers := [each.number for each in slices]) or len(set(numbers)) < len(numbers):
        raise UnsupportedVolumeError("slices with neither positions in the patient nor numbers of their own")
    ordered = sorted(slices, key=lambda each: each.number or 0)
    return ordered, ("no positions in the patient are stated; slices are in the order of InstanceNumber",)


def _by_place(slices: Sequence[DicomSlice]) -> list[list[DicomSlice]]:
    """Return the slices at each place, along the normal.

    Raises:
        UnsupportedVolumeError: two slices lie side by side in one plane.
    """
    normal = _place_of(slices[0]).normal
    ordered = sorted(slices, key=lambda each: float(_position(each) @ normal))
    groups: list[list[DicomSlice]] = []
    for each in ordered:
        if groups and (_position(each) - _position(groups[-1][0])) @ normal < _SAME_MM:
            groups[-1].append(each)
        else:
            groups.append([each])
    for group in groups:
        if any(np.linalg.norm(_position(each) - _position(group[0])) > 2 * _SAME_MM for each in group):
            raise UnsupportedVolumeError("slices side by side in one plane, expected one behind the other")
    return groups


def _by_time(groups: list[list[DicomSlice]]) -> tuple[int, tuple[str, ...]]:
    """Sort the slices of each place by time; return the number of times and a remark."""
    times = len(groups[0])
    if times == 1:
        return 1, ()
    names = [name for name, _ in groups[0][0].moments]
    exact = [name for name in names if name not in _CLOCKS]
    for name in exact:
        sets = [{dict(each.moments).get(name) for each in group} for group in groups]
        if len(sets[0]) == times and all(found == sets[0] for found in sets) and None not in sets[0]:
            return _sorted(groups, name), (_told(times, name),)
    for name in ["ImageType", *(name for name in names if name in _CLOCKS - {"ImageType"})]:
        if all(len({dict(each.moments).get(name) for each in group} - {None}) == times for group in groups):
            return _sorted(groups, name), (_told(times, name),)
    if all(len({each.number for each in group} - {None}) == times for group in groups):
        for group in groups:
            group.sort(key=lambda each: each.number or 0)
        return times, (_told(times, "the order of the scanner's numbers"),)
    message = f"{times} slices at each place, which nothing tells apart; take away the copies"
    raise UnsupportedVolumeError(message)


def _sorted(groups: list[list[DicomSlice]], name: str) -> int:
    for group in groups:
        group.sort(key=lambda each: dict(each.moments)[name])
    return len(groups[0])


def _told(times: int, name: str) -> str:
    return f"each place was taken {times} times: the fourth axis, by {name}"


def _place_of(each: DicomSlice) -> SlicePlace:
    assert each.place is not None
    return each.place


def _position(each: DicomSlice) -> Vector:
    return np.array(_place_of(each).position)


def _geometry(slices: Sequence[DicomSlice]) -> tuple[Geometry, tuple[str, ...]]:
    """Return the geometry of slices in order along the normal, and what is unusual about it."""
    spacing, place = slices[0].spacing, _place_of(slices[0])
    if spacing is None:
        return Geometry(), ("no PixelSpacing is stated",)
    positions = np.array([_place_of(each).position for each in slices])
    if len(slices) == 1:
        if slices[0].thickness is None:
            return Geometry(), ("a single slice without a stated thickness",)
        step = place.normal * slices[0].thickness
    else:
        step = (positions[-1] - positions[0]) / (len(slices) - 1)
        even = positions[0] + np.arange(len(slices))[:, None] * step
        off = float(np.linalg.norm(positions - even, axis=1).max())
        if off > max(_SAME_MM, _EVEN * float(np.linalg.norm(step))):
            return Geometry(), (_uneven(positions @ place.normal),)
    length = float(np.linalg.norm(step))
    leaning = float(np.linalg.norm(step - (step @ place.normal) * place.normal)) / length
    degrees = np.degrees(np.arcsin(min(1.0, leaning)))
    found = f"slices lie {degrees:.1f} degrees off their normal, as by a tilted gantry"
    told = f"{found}; the affine leans as they do"
    affine = np.eye(4)
    affine[:3, 0] = np.array(place.rows) * spacing[0]
    affine[:3, 1] = np.array(place.columns) * spacing[1]
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    # DICOM's left and posterior are right and anterior here.
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    return Geometry((spacing[0], spacing[1], length), affine), (told,) if leaning > _LEANS else ()


def _uneven(along: Vector) -> str:
    """Return what is said of slices at uneven distances; `along` is mm along the normal."""
    gaps = np.diff(along)
    least = float(gaps.min())
    counts = np.round(gaps / least)
    if (
        counts.max() > 1
        and np.abs(gaps - counts * least).max() <= max(_SAME_MM, _EVEN * least) * counts.max()
    ):
        missing = int(counts.sum() - len(gaps))
        what = "slice is" if missing == 1 else "slices are"
        found = f"{missing} {what} missing between others {least:g} mm apart"
    else:
        found = f"slices lie unevenly, {least:g} to {gaps.max():g} mm apart"
    return f"{found}; no affine and no spacing is stated, and each slice's header keeps its position"
