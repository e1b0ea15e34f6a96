"""The `Volume` protocol, which every reader of volumes follows, and the values that it returns.

This module must not know how a file is parsed or what will be written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsicomp.progress import StageProgress

VoxelSlice: TypeAlias = NDArray[Any]
"""(rows, columns) of the volume's dtype in this machine's byte order: x runs along a row, y down the rows."""

VoxelMask: TypeAlias = NDArray[np.bool_]
"""(slices, rows, columns), or one slice of it: True is the region."""


@dataclass(frozen=True)
class Geometry:
    """The place of a volume's voxels in the patient."""

    spacing: tuple[float, float, float] | None = None
    """Distance of neighbouring voxels in mm along x, y and z; None if the file does not say."""
    affine: NDArray[np.float64] | None = None
    """(4, 4): from voxel (x, y, z) to mm (right, anterior, superior), as nibabel has it; None if not said."""


@dataclass(frozen=True)
class Scaling:
    """From stored values to what they stand for, such as Hounsfield units: slope * stored + intercept."""

    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True)
class VolumeInfo:
    """The description of a volume."""

    path: Path
    """The file or folder that was opened."""
    format: str
    """`NIfTI`, `NRRD`, `DICOM`, or `wsiv` for a compressed volume."""
    shape: tuple[int, ...]
    """(columns, rows, slices) or (columns, rows, slices, times): the file's fastest axis comes first."""
    dtype: np.dtype[Any]
    """Of the stored values, in this machine's byte order."""
    bytes: int
    """Of all its files, as they are on the disk."""
    geometry: Geometry = field(default_factory=Geometry)
    """Spacing and place in the patient."""
    scaling: Scaling = field(default_factory=Scaling)
    """What stored values stand for."""
    modality: str = ""
    """As DICOM spells it, such as `CT` or `MR`; "" if the file does not say."""
    remarks: tuple[str, ...] = ()
    """What a reader should know, a sentence each."""
    files: tuple[Path, ...] = ()
    """Every file that it is read from; empty where that is `path` alone."""

    @property
    def slice_shape(self) -> tuple[int, int]:
        """(rows, columns) of every slice."""
        return self.shape[1], self.shape[0]

    @property
    def slice_count(self) -> int:
        """The number of slices: over all times, where there are several."""
        return int(np.prod(self.shape[2:]))

    @property
    def voxel_bytes(self) -> int:
        """The size of all voxels without any compression."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


@dataclass(frozen=True)
class VolumeFrame:
    """All of a file but its voxels: what it takes to write the file again."""

    format: str
    """`NIfTI`, `NRRD` or `DICOM`."""
    values: Mapping[str, Any]
    """JSON values that only the format's own module reads, such as byte order and how it was gzipped."""
    parts: Mapping[str, bytes]
    """Bytes by their names, such as `header`; names are [a-z0-9./-], at most 80 letters."""
    note: str = ""
    """Why the file cannot be written again byte for byte, as far as known; "" if it can."""


@dataclass(frozen=True)
class Rebuilt:
    """The outcome of writing a file again."""

    exact: bool
    """Whether it is the source, byte for byte."""
    note: str = ""
    """Why it is not, in a sentence."""


class Volume(Protocol):
    """A volume that is open. Slices are counted along the third axis, then along the fourth."""

    @property
    def info(self) -> VolumeInfo:
        """The volume's description."""

    def slices(self) -> Iterator[VoxelSlice]:
        """Yield every slice in order; may be called again.

        Memory: a few slices, however large the volume is.

        Raises:
            VolumeReadError: the file ends early or is damaged.
        """

    def read_slice(self, number: int) -> VoxelSlice:
        """Return one slice; may read all before it.

        Raises:
            VolumeReadError: the file ends early or is damaged.
            IndexError: there is no such slice.
        """

    def frame(self) -> VolumeFrame:
        """Return all of the source but its voxels.

        Raises:
            VolumeReadError: the file changed or cannot be read.
        """

    def close(self) -> None:
        """Let go of the files."""


def counted_slices(volume: Volume, progress: StageProgress) -> Iterator[VoxelSlice]:
    """Yield every slice of a volume, and tell after each how many there were.

    Raises:
        VolumeReadError: the file ends early or is damaged.
    """
    for number, one in enumerate(volume.slices()):
        yield one
        progress(number + 1, volume.info.slice_count)
