"""The place of each slice in the patient, its scaling and its time, as DICOM headers state them.

Single-frame files say it once, multi-frame files in groups shared by all frames or of one frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import VolumeReadError
from wsicomp.volumes.volume import Scaling

if TYPE_CHECKING:
    from pydicom import Dataset

Vector = NDArray[np.float64]

_SAME_COSINE = 1e-3
_MOMENTS = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "AcquisitionNumber",
    "EchoNumbers",
    "EchoTime",
    "EffectiveEchoTime",
    "DiffusionBValue",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "FrameReferenceTime",
    "StackID",
    "ImageType",
    "AcquisitionDateTime",
    "AcquisitionTime",
    "ContentTime",
)
"""By which slices at one place may differ, the first that tells all of them apart is taken."""


@dataclass(frozen=True)
class SlicePlace:
    """The place of a slice in DICOM's axes: left, posterior, superior."""

    position: tuple[float, float, float]
    """mm of the centre of its first voxel."""
    rows: tuple[float, float, float]
    """The unit vector along a row, in which x grows."""
    columns: tuple[float, float, float]
    """The unit vector down a column, in which y grows."""

    @property
    def normal(self) -> Vector:
        """The unit vector perpendicular to the slice."""
        normal: Vector = np.cross(np.array(self.rows), np.array(self.columns))
        return normal


@dataclass(frozen=True)
class DicomSlice:
    """One frame of one file."""

    file: int
    """The number of its file in the series."""
    frame: int
    """Its number in the file."""
    place: SlicePlace | None
    """None if the header does not say."""
    spacing: tuple[float, float] | None
    """mm between neighbouring voxels along x and y; None if the header does not say."""
    thickness: float | None
    """mm to the next slice as the header states it, which only a single slice needs."""
    scaling: Scaling
    """What its stored values stand for."""
    number: int | None
    """As the scanner counted it."""
    moments: tuple[tuple[str, Any], ...]
    """What tells it apart from slices at the same place."""


def slices_of(header: Dataset, file: int, frames: int) -> Iterator[DicomSlice]:
    """Yield the slices of a file in the order of its frames.

    Raises:
        VolumeReadError: a spacing that is not positive, directions that are not perpendicular.
    """
    shared = [item for group in header.get("SharedFunctionalGroupsSequence") or () for item in _items(group)]
    own = header.get("PerFrameFunctionalGroupsSequence") or ()
    if own and len(own) != frames:
        raise VolumeReadError(f"describes {len(own)} frames, and has {frames}")
    offsets = _offsets(header, frames)
    for frame in range(frames):
        found = _Found([*(_items(own[frame]) if own else ()), *shared, header])
        place = _place(found)
        if place is not None and offsets is not None:
            moved = np.array(place.position) + offsets[frame] * place.normal
            place = SlicePlace(_three(moved), place.rows, place.columns)
        elif frames > 1 and not own:
            place = None
        number = frame if frames > 1 else found.whole("InstanceNumber")
        yield DicomSlice(
            file,
            frame,
            place,
            found.spacing(),
            found.positive("SpacingBetweenSlices") or found.positive("SliceThickness"),
            Scaling(found.number("RescaleSlope", 1.0), found.number("RescaleIntercept", 0.0)),
            number,
            tuple((name, value) for name in _MOMENTS if (value := found.simple(name)) is not None),
        )


class _Found:
    """Finds elements in a frame's groups, those that all frames share, then in the header itself."""

    def __init__(self, datasets: Sequence[Any]) -> None:
        self._datasets = datasets

    def get(self, name: str) -> Any:
        for dataset in self._datasets:
            value = dataset.get(name)
            if value is not None and value != "":
                return value
        return None

    def numbers(self, name: str, count: int) -> tuple[float, ...] | None:
        value = self.get(name)
        if value is None:
            return None
        found = tuple(float(each) for each in (value if count > 1 else [value]))
        if len(found) != count or not all(map(math.isfinite, found)):
            raise VolumeReadError(f"{name} is not {count} finite numbers")
        return found

    def number(self, name: str, default: float) -> float:
        found = self.numbers(name, 1)
        return default if found is None else found[0]

    def positive(self, name: str) -> float | None:
        found = self.number(name, 0.0)
        return abs(found) or None

    def whole(self, name: str) -> int | None:
        value = self.get(name)
        return None if value is None else int(value)

    def simple(self, name: str) -> Any:
        """Return a value that sorts: a number or text."""
        value = self.get(name)
        if value is None or isinstance(value, int | float):
            return value
        return (
            "\\".join(map(str, value))
            if isinstance(value, Sequence) and not isinstance(value, str)
            else str(value)
        )

    def spacing(self) -> tuple[float, float] | None:
        found = self.numbers("PixelSpacing", 2)
        if found is None:
            return None
        if min(found) <= 0:
            raise VolumeReadError(f"PixelSpacing of {found[0]:g} x {found[1]:g} mm, expected more than 0")
        return found[1], found[0]


def _items(group: Any) -> Iterator[Any]:
    """Yield the first item of each sequence of a functional group."""
    for element in group:
        if element.VR == "SQ" and len(element.value):
            yield element.value[0]


def _place(found: _Found) -> SlicePlace | None:
    position = found.numbers("ImagePositionPatient", 3)
    directions = found.numbers("ImageOrientationPatient", 6)
    if position is None or directions is None:
        return None
    rows, columns = np.array(directions[:3]), np.array(directions[3:])
    lengths = np.linalg.norm(rows), np.linalg.norm(columns)
    if max(abs(length - 1) for length in lengths) > _SAME_COSINE or abs(rows @ columns) > _SAME_COSINE:
        raise VolumeReadError("ImageOrientationPatient is not two perpendicular directions of length 1")
    return SlicePlace(_three(position), _three(rows / lengths[0]), _three(columns / lengths[1]))


def _three(vector: Any) -> tuple[float, float, float]:
    x, y, z = (float(each) for each in vector)
    return x, y, z


def _offsets(header: Dataset, frames: int) -> list[float] | None:
    """Return mm along the normal of each frame of a dose; None where the header has none that begin at 0.

    Source: PS3.3 C.8.8.3.2.
    """
    if frames == 1:
        return None
    offsets = header.get("GridFrameOffsetVector")
    if offsets is not None and len(offsets) == frames and float(offsets[0]) == 0:
        return [float(each) for each in offsets]
    return None


def same_direction(one: SlicePlace, other: SlicePlace) -> bool:
    """Return whether two slices are parallel and turned alike."""
    pairs: list[Callable[[SlicePlace], Any]] = [lambda each: each.rows, lambda each: each.columns]
    return all(np.allclose(pair(one), pair(other), atol=_SAME_COSINE) for pair in pairs)
