"""`wsicomp.open_volume`: any volume as an array that is read when it is asked for."""

from __future__ import annotations

import os

from wsicomp.errors import VolumeReadError
from wsicomp.files.inputs import given_path
from wsicomp.volumes.formats.opening import open_volume_source
from wsicomp.volumes.volume_array import VolumeArray


def open_volume(path: str | os.PathLike[str]) -> VolumeArray:
    """Open a compressed volume, a NIfTI or NRRD file, or a DICOM series.

    Single slices are read when they are asked for. Of a compressed volume only the slices asked for are
    decoded, and each is checked against its digest.

    Examples:
        >>> with wsicomp.open_volume("brain.wsiv") as volume:  # doctest: +SKIP
        ...     middle = volume[..., volume.shape[2] // 2]
        ...     image = volume.to_nibabel()

    Raises:
        VolumeReadError: the path cannot be read, or is damaged.
        UnsupportedVolumeError: it is no volume of 3 or 4 dimensions with one value a voxel.
    """
    return VolumeArray(open_volume_source(given_path(path, VolumeReadError)))
