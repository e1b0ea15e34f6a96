"""Drawn volumes of radiology whose every voxel has a true label, for tests, measurements and trials.

They are made slice by slice, so that one of gigabytes needs no memory. Noise, textures and edges are set so
that lossless codecs do about as well on them as on real CT and MR.

This module must not know formats and codecs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from wsicomp.synthetic.noise import product
from wsicomp.volumes.volume import VoxelSlice

_Floats: TypeAlias = NDArray[np.float32]
_Place: TypeAlias = tuple[_Floats, _Floats, float]
"""x (1, columns), y (rows, 1) and z in [-1, 1]: right, down and through the slices."""

PHANTOM_PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "CT": ("outside", "fat", "muscle", "bone", "lung", "heart", "liver", "kidney", "lesion"),
        "MR": ("outside", "scalp", "skull", "fluid", "grey matter", "white matter", "lesion"),
    }
)
"""Names of the parts that a modality draws, by label."""

_WAVES = 24
_LARGEST = {"CT": 3071.0, "MR": 4095.0}
_LEAST = {"CT": -1024.0, "MR": 0.0}


@dataclass(frozen=True)
class DrawnVolume:
    """A volume and what it shows."""

    voxels: NDArray[Any]
    """(slices, rows, columns)."""
    labels: NDArray[np.uint8]
    """(slices, rows, columns): places in `PHANTOM_PARTS` of the modality; 0 is outside."""
    spacing: tuple[float, float, float]
    """Distance of neighbouring voxels along x, y and z, in mm."""


@dataclass(frozen=True)
class _Ellipsoid:
    """A part of a body: its middle and half axes in [-1, 1], and how rough its surface is."""

    label: int
    middle: tuple[float, float, float]
    axes: tuple[float, float, float]
    value: float
    texture: float = 0.0
    rough: float = 0.0
    is_bone: bool = False


_CT_PARTS = (
    _Ellipsoid(1, (0, 0, 0), (0.93, 0.73, 9), -100, 12, 0.02),
    _Ellipsoid(2, (0, 0, 0), (0.87, 0.66, 9), 50, 15, 0.03),
    _Ellipsoid(3, (0, 0, 0), (0.77, 0.56, 2.5), 400, 150, 0.03, is_bone=True),  # the next one hollows it
    _Ellipsoid(2, (0, 0, 0), (0.74, 0.53, 2.5), 30, 12, 0.03),
    _Ellipsoid(4, (-0.38, -0.05, -0.55), (0.29, 0.40, 0.8), -860, 25, 0.05),
    _Ellipsoid(4, (0.38, -0.05, -0.55), (0.29, 0.40, 0.8), -860, 25, 0.05),
    _Ellipsoid(5, (0.08, -0.12, -0.45), (0.26, 0.25, 0.45), 130, 14, 0.05),
    _Ellipsoid(6, (-0.30, -0.05, 0.55), (0.37, 0.36, 0.42), 85, 10, 0.07),
    _Ellipsoid(7, (-0.33, 0.30, 0.75), (0.11, 0.10, 0.25), 160, 16, 0.03),
    _Ellipsoid(7, (0.33, 0.30, 0.75), (0.11, 0.10, 0.25), 160, 16, 0.03),
    _Ellipsoid(3, (0, 0.44, 0), (0.13, 0.12, 9), 350, 150, 0.06, is_bone=True),
    _Ellipsoid(8, (-0.25, -0.10, 0.55), (0.08, 0.08, 0.12), 25, 12, 0.10),
)
_MR_PARTS = (
    _Ellipsoid(1, (0, 0, 0.1), (0.82, 0.96, 1.4), 1000, 170, 0.02),
    _Ellipsoid(2, (0, 0, 0.1), (0.75, 0.88, 1.3), 120, 20, 0.02),
    _Ellipsoid(3, (0, 0, 0.1), (0.71, 0.84, 1.25), 250, 20, 0.02),
    _Ellipsoid(4, (0, 0, 0.1), (0.69, 0.82, 1.2), 540, 40, 0.03),
    _Ellipsoid(5, (0, 0, 0.1), (0.58, 0.70, 1.0), 760, 45, 0.05),
    _Ellipsoid(3, (-0.12, -0.02, 0.1), (0.07, 0.27, 0.3), 250, 20, 0.15),
    _Ellipsoid(3, (0.12, -0.02, 0.1), (0.07, 0.27, 0.3), 250, 20, 0.15),
    _Ellipsoid(6, (0.27, 0.25, 0.15), (0.13, 0.12, 0.22), 1300, 120, 0.12),
)


def drawn_volume(
    seed: int,
    shape: tuple[int, int, int],
    modality: Literal["CT", "MR"] = "CT",
    dtype: DTypeLike = np.int16,
    *,
    padded: bool = False,
) -> DrawnVolume:
    """Return a volume of `shape` (slices, rows, columns); `drawn_slices` says what is in it.

    >>> drawn_volume(1, (3, 32, 32), "MR", np.uint8).voxels.shape
    (3, 32, 32)
    """
    pairs = list(drawn_slices(seed, shape, modality, dtype, padded=padded))
    spacing = _spacing(shape, modality)
    return DrawnVolume(np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs]), spacing)


def drawn_slices(
    seed: int,
    shape: tuple[int, int, int],
    modality: Literal["CT", "MR"] = "CT",
    dtype: DTypeLike = np.int16,
    *,
    padded: bool = False,
) -> Iterator[tuple[VoxelSlice, NDArray[np.uint8]]]:
    """Yield every slice of a drawn volume with its labels, both (rows, columns).

    CT is a trunk on a table in Hounsfield units, -1024 to 3071; MR a head of 12 bits with a bias field and
    Rician noise. Unsigned types hold CT with 1024 added; uint8 the upper 8 of 12 bits; floats values between
    integers. `padded` sets what lies outside the circle of CT's reconstruction to its least value.

    Memory: a few slices, however many there are.
    """
    slices, rows, columns = shape
    draw = _ct_values if modality == "CT" else _mr_values
    x = np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    noises = _noises(seed, slices, (1 if modality == "CT" else 2, rows, columns))
    for number in range(slices):
        z = 2 * (number + 0.5) / slices - 1
        values, labels = draw((x, y, z), _Fields(seed, (x, y, z)), next(noises))
        if padded and modality == "CT":
            values[x**2 + y**2 > 1] = _LEAST["CT"]
        yield _stored(values, modality, np.dtype(dtype)), labels


class _Fields:
    """Smooth random fields in space: sums of waves, the same whichever slice is drawn first."""

    def __init__(self, seed: int, place: _Place) -> None:
        self._seed, self._place = seed, place
        self.surface = self.field(0, 3.5)
        self.tissue = self.field(1, 9)
        self.bone = self.field(2, 25)

    def field(self, which: int, waves: float) -> _Floats:
        """Return a field (rows, columns) of spread 1 with about `waves` waves across the volume."""
        rng = np.random.default_rng([self._seed, which])
        k = rng.normal(scale=np.pi * waves / 2, size=(3, _WAVES))
        x, y, z = self._place
        across, down = k[0][:, None] * x, k[1] * y + (k[2] * z + rng.uniform(0, 2 * np.pi, _WAVES))
        left = np.hstack([np.cos(down), -np.sin(down)]).astype(np.float32)
        right = np.vstack([np.cos(across), np.sin(across)]).astype(np.float32)
        return product(left, right) * np.float32(np.sqrt(2 / _WAVES))


def _noises(seed: int, slices: int, shape: tuple[int, int, int]) -> Iterator[_Floats]:
    """Yield fields of noise, `shape` (fields, rows, columns) a slice, alike in neighbouring voxels."""
    before = _plane_noise(seed, 0, shape)
    for number in range(slices):
        after = _plane_noise(seed, number + 1, shape)
        yield np.float32(0.94) * after + np.float32(0.34) * before
        before = after


def _plane_noise(seed: int, number: int, shape: tuple[int, int, int]) -> _Floats:
    rng = np.random.default_rng([seed, 1000, number])
    white = rng.standard_normal(shape, dtype=np.float32)
    return np.stack([cv2.GaussianBlur(plane, (5, 5), 0.65) * np.float32(1.85) for plane in white])


def _paint(
    parts: tuple[_Ellipsoid, ...], place: _Place, fields: _Fields, empty: float
) -> tuple[_Floats, NDArray[np.uint8]]:
    """Return values and labels with each part over those before it; edges are about two pixels wide."""
    x, y, z = place
    shape = (y.size, x.size)
    values, labels = np.full(shape, empty, np.float32), np.zeros(shape, np.uint8)
    for part in parts:
        through = 1 - ((z - part.middle[2]) / part.axes[2]) ** 2
        if through <= 0:
            continue
        window = _window(part, x, y)
        u = (x[:, window[1]] - part.middle[0]) / part.axes[0]
        v = (y[window[0]] - part.middle[1]) / part.axes[1]
        edge = np.float32(np.sqrt(through)) - np.sqrt(u**2 + v**2)
        edge += np.float32(part.rough) * fields.surface[window]
        cover = np.clip(edge * np.float32(min(part.axes[:2]) * min(shape) / 4) + np.float32(0.5), 0, 1)
        texture = (fields.bone if part.is_bone else fields.tissue)[window]
        values[window] += cover * (part.value + np.float32(part.texture) * texture - values[window])
        labels[window][cover >= 0.5] = part.label
    return values, labels


def _window(part: _Ellipsoid, x: _Floats, y: _Floats) -> tuple[slice, slice]:
    """Return the rows and columns that a part can reach, with its surface's roughness."""
    ends = []
    for axis, middle, half in ((y, part.middle[1], part.axes[1]), (x, part.middle[0], part.axes[0])):
        reach = half * (1.05 + 4 * part.rough)
        ends.append(slice(*np.searchsorted(axis.ravel(), (middle - reach, middle + reach))))
    return ends[0], ends[1]


def _ct_values(place: _Place, fields: _Fields, noise: _Floats) -> tuple[_Floats, NDArray[np.uint8]]:
    values, labels = _paint(_CT_PARTS, place, fields, -1000.0)
    branches = np.exp(-9 * (fields.field(3, 10) ** 2 + fields.field(4, 10) ** 2))
    values += branches * np.array([0, 0, 0, 0, 800, 0, 90, 0, 0], np.float32)[labels]
    x, y, _ = place
    table = (np.abs(y - 0.84 - 0.10 * (1 - x**2)) < 0.02) & (np.abs(x) < 0.7) & (labels == 0)
    values[table] = -300
    values = cv2.GaussianBlur(values, (3, 3), 0.6)
    spread = np.where(labels == 0, np.float32(2), np.float32(8))
    return np.asarray(values + spread * noise[0], np.float32), labels


def _mr_values(place: _Place, fields: _Fields, noise: _Floats) -> tuple[_Floats, NDArray[np.uint8]]:
    values, labels = _paint(_MR_PARTS, place, fields, 0.0)
    bias = 1 + np.float32(0.18) * fields.field(5, 0.7)
    signal = cv2.GaussianBlur(values * bias, (3, 3), 0.6)
    return np.asarray(np.hypot(signal + 17 * noise[0], 17 * noise[1]), np.float32), labels


def _stored(values: _Floats, modality: str, dtype: np.dtype[Any]) -> VoxelSlice:
    limited = np.clip(values, _LEAST[modality], _LARGEST[modality])
    if dtype.kind == "f":
        return limited.astype(dtype)
    if dtype.kind == "u" or dtype.itemsize == 1:
        limited = limited - np.float32(_LEAST[modality])
    if dtype.itemsize == 1:
        limited = limited / np.float32(16) - np.float32(128 if dtype.kind == "i" else 0)
    return np.rint(limited).clip(*_bounds(dtype)).astype(dtype)


def _bounds(dtype: np.dtype[Any]) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    return max(int(limits.min), -(1 << 15)), min(int(limits.max), (1 << 15) - 1)


def _spacing(shape: tuple[int, int, int], modality: str) -> tuple[float, float, float]:
    """Return mm a voxel, of a trunk 400 mm or a head 200 mm wide, with slices five times as far apart."""
    across = (400 if modality == "CT" else 200) / max(shape[1:])
    return across, across, 5 * across
