"""Write a source again in its own format: the other end of `opening`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wsicomp.errors import VerificationError, VolumeReadError, WsicompError
from wsicomp.files.atomic import check_output, check_outputs, write_errors
from wsicomp.files.together import move_together
from wsicomp.files.unfinished import temporary_folder
from wsicomp.volumes.formats.dicom_frame import dicom_outputs, write_dicom
from wsicomp.volumes.formats.dicom_loss import StoredLoss, declare_stored_loss
from wsicomp.volumes.formats.nifti import write_nifti
from wsicomp.volumes.formats.nrrd import write_nrrd
from wsicomp.volumes.formats.rewriting import stored_outputs
from wsicomp.volumes.volume import Rebuilt, VolumeFrame, VolumeInfo, VoxelSlice

_WRITERS = {"NIfTI": write_nifti, "NRRD": write_nrrd, "DICOM": write_dicom}

_DECLARED = "the headers declare the loss, and images and series have new UIDs"


def write_source(
    frame: VolumeFrame,
    slices: Iterable[VoxelSlice],
    info: VolumeInfo,
    target: Path,
    must_be_exact: bool = False,
    overwrite: bool = False,
    loss: StoredLoss | None = None,
) -> Rebuilt:
    """Write a source again from its frame and its voxels: a file, or a folder of DICOM files.

    All its files appear or none; with `must_be_exact` none unless every byte is the source's. What cannot or
    must not be written, such as `info.path` itself, is refused before the first slice is taken. Headers of
    DICOM files declare `loss`.

    Raises:
        VolumeReadError: the frame is damaged.
        TargetExistsError: the target exists, and `overwrite` is False.
        SlideWriteError: the target cannot be written.
        VerificationError: it must be exact and is not.
    """
    write = _WRITERS.get(frame.format)
    if write is None:
        raise VolumeReadError(f"holds a source of the format {frame.format!r:.20}, which is not known here")
    _check_outputs(frame, info, target, overwrite)
    is_series = frame.format == "DICOM"
    parent = next(each for each in (target, *target.absolute().parents) if each.is_dir())
    with write_errors(target), temporary_folder(parent=parent) as folder:
        place = folder / target.name
        try:
            rebuilt = write(frame, slices, info.shape, info.dtype, place)
            if is_series and loss is not None:
                place, plain = folder / f"{target.name}.declared", place
                declare_stored_loss(plain, place, loss)
                rebuilt = Rebuilt(False, _DECLARED)
        except WsicompError as exc:
            if exc.path is None or not Path(exc.path).is_relative_to(folder):
                raise
            raise type(exc)(exc.message, target, exc.place) from exc
        if must_be_exact and not rebuilt.exact:
            raise VerificationError(f"cannot be written byte for byte: {rebuilt.note}", info.path)
        move_together(place if is_series else folder, target if is_series else target.parent, overwrite)
    return rebuilt


def _check_outputs(frame: VolumeFrame, info: VolumeInfo, target: Path, overwrite: bool) -> None:
    """Refuse every path that must not be written, before a slice is decoded."""
    if frame.format != "DICOM":
        check_output(target, (info.path,), overwrite)
        check_outputs(stored_outputs(frame, target, overwrite), (info.path,), overwrite)
        return
    for path in dicom_outputs(frame, info.shape, target, overwrite):
        if target.is_dir():
            check_output(path, (info.path,), overwrite)
