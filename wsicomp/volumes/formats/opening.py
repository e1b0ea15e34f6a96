"""Open a volume of any format: its first bytes say which, never its name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from wsicomp.errors import UnsupportedVolumeError, VolumeReadError
from wsicomp.files.inputs import check_file, given_path, is_folder, reading
from wsicomp.volumes.compressed_volume import CompressedVolume
from wsicomp.volumes.container import is_container
from wsicomp.volumes.formats.dicom_file import is_dicom
from wsicomp.volumes.formats.dicom_series import open_dicom
from wsicomp.volumes.formats.nifti import is_nifti, open_nifti
from wsicomp.volumes.formats.nrrd import is_nrrd, open_nrrd
from wsicomp.volumes.volume import Volume

_OPENERS: tuple[tuple[Callable[[bytes], bool], Callable[[Path], Volume]], ...] = (
    (is_nifti, open_nifti),
    (is_nrrd, open_nrrd),
    (is_dicom, open_dicom),
    (is_container, CompressedVolume),
)
"""What tells a format by a file's first bytes, and what opens it."""
_TAKEN = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), DICOM (a file or a folder) and .wsiv are taken"
_HEAD_BYTES = 1 << 16
"""Enough for a gzip header with a name and for the header of a volume behind it."""


def open_volume_source(path: str | os.PathLike[str]) -> Volume:
    """Open a volume to read, compressed or not, whatever its name. A folder is one DICOM series.

    >>> open_volume_source("brain.nii.gz").info.shape  # doctest: +SKIP
    (256, 256, 25)

    Raises:
        VolumeReadError: the file or the folder cannot be read, is cut off, or its header is wrong.
        UnsupportedVolumeError: it is no volume, or none of one value a voxel.
        MissingExtraError: the library that reads its header is not installed.
    """
    found = given_path(path, VolumeReadError)
    if is_folder(found):
        return open_dicom(found)
    check_file(found, VolumeReadError, _TAKEN)
    with reading(found, VolumeReadError), found.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    for is_format, open_format in _OPENERS:
        if is_format(head):
            return open_format(found)
    raise UnsupportedVolumeError(f"is no volume that is known here; {_TAKEN}", found)
