"""Write a source again in its own format: the other end of `opening`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wsicomp.errors import VerificationError, VolumeReadError
from wsicomp.files.atomic import check_empty, check_output, check_outputs, write_errors
from wsicomp.files.folders import move_own
from wsicomp.files.unfinished import temporary_folder
from wsicomp.volumes.formats.dicom_frame import write_dicom
from wsicomp.volumes.formats.nifti import write_nifti
from wsicomp.volumes.formats.nrrd import write_nrrd
from wsicomp.volumes.volume import Rebuilt, VolumeFrame, VolumeInfo, VoxelSlice

_WRITERS = {"NIfTI": write_nifti, "NRRD": write_nrrd, "DICOM": write_dicom}


def write_source(
    frame: VolumeFrame,
    slices: Iterable[VoxelSlice],
    info: VolumeInfo,
    target: Path,
    must_be_exact: bool = False,
    overwrite: bool = False,
) -> Rebuilt:
    """Write a source again from its frame and its voxels: a file, or a folder of DICOM files.

    With `must_be_exact` nothing is written unless every byte is the source's.

    Raises:
        VolumeReadError: the frame is damaged.
        TargetExistsError: the target exists, and `overwrite` is False.
        SlideWriteError: the target cannot be written.
        VerificationError: it must be exact and is not.
    """
    write = _WRITERS.get(frame.format)
    if write is None:
        raise VolumeReadError(f"holds a source of the format {frame.format!r:.20}, which is not known here")
    is_series = frame.format == "DICOM"
    if is_series:
        check_empty(target, overwrite)
    else:
        check_output(target, (info.path,), overwrite)
    if not must_be_exact:
        return write(frame, slices, info.shape, info.dtype, target, overwrite)
    with temporary_folder(parent=target.parent) as folder:
        place = folder / target.name
        rebuilt = write(frame, slices, info.shape, info.dtype, place)
        if not rebuilt.exact:
            raise VerificationError(f"cannot be written byte for byte: {rebuilt.note}", info.path)
        files = sorted((place if is_series else folder).iterdir())
        into = target if is_series else target.parent
        if not is_series:  # one, or a header and its voxels: both, or none
            check_outputs([into / file.name for file in files], (info.path,), overwrite)
        with write_errors(target):
            for file in files:
                move_own(file, into / file.name, None, overwrite)
    return rebuilt
