"""The slices that a page shows: some of them, in 16 bits, as texts that JavaScript reads.

A page that lies in a folder may not read pixels of pictures beside it, nor files. Scripts it may load: each
volume and each candidate is one. A slice is differenced along its rows, its high bytes then stand before its
low ones, and zlib packs them. Of a candidate the page gets the difference to the source, so that a slice that
came back exactly is an empty text.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.volumes.comparison.figures import ValueCounts
from wsicomp.volumes.comparison.results import ComparedVolume
from wsicomp.volumes.volume import Geometry, VoxelMask, VoxelSlice

MOST_SIDE = 512
"""Larger slices are shown by every second, third, ... voxel of each row and column."""
_LEVELS = 65_535
_CT_WINDOWS = (("Lung", -600.0, 1500.0), ("Soft tissue", 40.0, 400.0), ("Bone", 400.0, 1800.0))
"""Names of windows with level and width in Hounsfield units."""


@dataclass(frozen=True)
class SlicePicker:
    """Which voxels of a volume are shown, and as which numbers of 16 bits."""

    numbers: tuple[int, ...]
    """The slices, spread evenly."""
    stride: int
    """Every so manieth voxel of a row and column."""
    flips: tuple[bool, bool]
    """Whether rows and columns are turned over, so that a patient's front is up and the right is left."""
    low: float
    """The stored value that number 0 stands for."""
    step: float
    """Between neighbouring numbers, in stored values; 1 for whole numbers of up to 16 bits."""

    @property
    def is_true(self) -> bool:
        """Whether the numbers are the values, and not only near them."""
        return self.step == 1.0

    def picked(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """Return the voxels of a slice that are shown, as they are shown."""
        some = voxels[:: self.stride, :: self.stride]
        return some[:: -1 if self.flips[0] else 1, :: -1 if self.flips[1] else 1]

    def as_numbers(self, voxels: VoxelSlice) -> NDArray[np.uint16]:
        """Return the shown voxels of a slice as numbers of 16 bits."""
        found = np.nan_to_num(self.picked(voxels).astype(np.float64), posinf=np.inf, neginf=-np.inf)
        numbers = np.clip(np.rint((found - self.low) / self.step), 0, _LEVELS)
        return np.asarray(numbers, np.uint16)


def slice_picker(facts: ComparedVolume, geometry: Geometry, most: int) -> SlicePicker:
    """Return what is shown of a volume: at most `most` slices, each of at most 512 x 512 voxels."""
    count = min(most, facts.slice_count)
    numbers = sorted({round(each) for each in np.linspace(0, facts.slice_count - 1, count)}) if count else []
    span = facts.greatest - facts.least
    is_true = facts.used_bits is not None and span <= _LEVELS
    room = (_LEVELS - span) // 2 if is_true else 0  # for values that loss brings out of the source's range
    return SlicePicker(
        tuple(numbers),
        max(1, -(-max(facts.shape[:2]) // MOST_SIDE)),
        _flips(geometry),
        facts.least - room,
        1.0 if is_true or not span else span / _LEVELS,
    )


def _flips(geometry: Geometry) -> tuple[bool, bool]:
    """Return whether rows and columns run toward a patient's right, front or top, where viewers begin."""
    if geometry.affine is None:
        return False, False
    columns, rows = (geometry.affine[:3, axis] for axis in (0, 1))
    return tuple(bool(axis[np.argmax(np.abs(axis))] > 0) for axis in (rows, columns))  # type: ignore[return-value]


@dataclass
class ShownSlices:
    """Gathers the slices of one candidate as they pass by, for `wsicompVolumes.addCandidate` of the page."""

    picker: SlicePicker
    """Which are shown."""
    texts: list[str] = field(default_factory=list)
    """The differences to the source, modulo 2^16; "" for a slice that came back exactly."""
    masks: list[str] = field(default_factory=list)
    """The region in each; none where there is no region."""
    exact: list[bool] = field(default_factory=list)
    """Whether every voxel of the slice came back, those that are not shown included."""

    def see(self, number: int, source: VoxelSlice, found: VoxelSlice, mask: VoxelMask | None) -> None:
        """Keep a slice if it is one of those that are shown."""
        if number not in self.picker.numbers:
            return
        before, after = self.picker.as_numbers(source), self.picker.as_numbers(found)
        self.texts.append("" if np.array_equal(before, after) else packed_plane(after - before))
        self.exact.append(bool(np.array_equal(source, found)))
        if mask is not None:
            self.masks.append(packed_plane(self.picker.picked(mask).astype(np.uint16)))

    def script(self, volume: int, candidate: int) -> str:
        """Return the script that gives the page these slices."""
        slices = _json([self.texts, self.masks, self.exact])
        return f"wsicompVolumes.addCandidate({volume}, {candidate}, {slices});\n"


def source_script(volume: int, picker: SlicePicker, slices: Iterable[VoxelSlice]) -> str:
    """Return the script that gives the page the slices of a source, of all that it has in their order."""
    texts = [
        packed_plane(picker.as_numbers(one)) for number, one in enumerate(slices) if number in picker.numbers
    ]
    return f"wsicompVolumes.addSource({volume}, {_json(texts)});\n"


def packed_plane(plane: NDArray[np.uint16]) -> str:
    """Return a plane of (rows, columns) as a text: base64 of zlib of the high bytes, then the low ones.

    Each number is the difference to its left neighbour, modulo 2^16.
    """
    apart = np.diff(plane, axis=1, prepend=np.uint16(0)).astype(np.uint16)
    halves = (apart >> 8).astype(np.uint8).tobytes() + (apart & 255).astype(np.uint8).tobytes()
    return base64.b64encode(zlib.compress(halves)).decode("ascii")


def shown_facts(facts: ComparedVolume, counts: ValueCounts, picker: SlicePicker) -> dict[str, Any]:
    """Return what the page has to know of a volume to show its slices, as JSON has it."""
    slope, intercept = facts.scaling.slope or 1.0, facts.scaling.intercept
    rows, columns = (-(-side // picker.stride) for side in facts.shape[1::-1])
    spacing = facts.spacing or (1.0, 1.0, 1.0)
    return {
        "name": facts.name,
        "rows": rows,
        "columns": columns,
        "aspect": columns * spacing[0] / (rows * spacing[1]),
        "slices": picker.numbers,
        "sliceCount": facts.slice_count,
        "stride": picker.stride,
        "low": slope * picker.low + intercept,
        "step": slope * picker.step,
        "isTrue": picker.is_true,
        "unit": "HU" if facts.modality == "CT" else "",
        "windows": _windows(facts, counts, slope, intercept),
    }


def _windows(
    facts: ComparedVolume, counts: ValueCounts, slope: float, intercept: float
) -> list[dict[str, Any]]:
    """Return the windows to choose from, the first of them shown at first."""
    ends = [slope * value + intercept for value in (counts.quantile(0.01), counts.quantile(0.995))]
    whole = [slope * value + intercept for value in (facts.least, facts.greatest)]
    found = [("Soft tissue", 40.0, 400.0), *_CT_WINDOWS] if facts.modality == "CT" else []
    found += [("Most values", sum(ends) / 2, max(abs(slope), abs(ends[1] - ends[0])))]
    found += [("All values", sum(whole) / 2, max(abs(slope), abs(whole[1] - whole[0])))]
    named = {name: {"name": name, "level": level, "width": width} for name, level, width in found}
    return list(named.values())


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
