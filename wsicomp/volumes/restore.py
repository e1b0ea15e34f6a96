"""Restores the file that a compressed volume was made from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from wsicomp.errors import ConfigError, VolumeReadError
from wsicomp.files.inputs import given_output, given_path, is_folder, reading
from wsicomp.progress import Progress, Stages, progress_raises_through
from wsicomp.version import __version__
from wsicomp.volumes.compressed_volume import CompressedVolume
from wsicomp.volumes.formats.dicom_loss import StoredLoss
from wsicomp.volumes.formats.gzip_members import GZIP_MAGIC
from wsicomp.volumes.formats.writing import write_source
from wsicomp.volumes.volume import counted_slices


@dataclass(frozen=True)
class RestoredVolume:
    """The restored file or series."""

    target: str
    """Its path."""
    format: str
    """`NIfTI`, `NRRD` or `DICOM`."""
    exact: bool
    """Whether it is the source's file, byte for byte."""
    voxels_exact: bool
    """Whether every voxel is the source's."""
    notes: tuple[str, ...] = ()
    """Lines for the user."""


@progress_raises_through
def restore_volume(
    compressed: str | os.PathLike[str],
    target: str | os.PathLike[str],
    exact: bool = False,
    overwrite: bool = False,
    on_progress: Progress | None = None,
) -> RestoredVolume:
    """Write the NIfTI or NRRD file, or the folder of DICOM files, that a volume was made from.

    Every slice is checked against its digest, and files appear all or none: with `exact` none unless they are
    the source's, byte for byte. Without, a gzip that cannot be made again is made anew, and a note says so.
    Headers of DICOM whose voxels are stored with loss declare it, and get new UIDs.

    Examples:
        >>> restore_volume("brain.wsiv", "again.nii.gz").exact  # doctest: +SKIP
        True

    Raises:
        ConfigError: `exact` was asked for, and the file does not hold every voxel of its source.
        VolumeReadError: the file is damaged.
        SlideWriteError: the target exists or cannot be written.
        VerificationError: `exact` was asked for, and the source's bytes cannot be made again.
    """
    path, place = given_path(compressed, VolumeReadError), given_output(target)
    if is_folder(path):
        raise VolumeReadError("is a folder, and only a .wsiv is restored; DICOM is DICOM as it is", path)
    stages = Stages(on_progress)
    with closing(CompressedVolume(path)) as volume:
        lossless = volume.manifest.lossless
        if exact and not lossless:
            raise ConfigError("does not hold every voxel of its source; leave `exact` out", path)
        with stages.stage("slices") as progress:
            slices = counted_slices(volume, progress)
            loss = None if lossless else _loss_of(volume)
            rebuilt = write_source(volume.frame(), slices, volume.info, place, exact, overwrite, loss)
    notes = [rebuilt.note] if rebuilt.note else []
    notes += _about_name(place, volume.manifest.source.format)
    is_exact = rebuilt.exact and lossless
    return RestoredVolume(str(place), volume.manifest.source.format, is_exact, lossless, tuple(notes))


def _loss_of(volume: CompressedVolume) -> StoredLoss:
    lost = [layer.codec for layer in volume.manifest.layers if not layer.lossless]
    codecs = ", ".join(dict.fromkeys(layer.codec for layer in volume.manifest.layers))
    told = f"{codecs} by wsicomp {__version__}, with loss"
    return StoredLoss(lost[0] if lost else "", volume.info.voxel_bytes / volume.info.bytes, told)


def _about_name(target: Path, source_format: str) -> Iterator[str]:
    """Yield what to know where programs that go by names would not open the file that was written."""
    if source_format == "DICOM":
        return
    with reading(target, VolumeReadError), target.open("rb") as file:
        is_gzipped = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    endings = (".nrrd", ".nhdr") if source_format == "NRRD" else (".nii.gz",) if is_gzipped else (".nii",)
    if not target.name.lower().endswith(endings):
        what = f"{source_format}, gzipped" if is_gzipped else source_format
        yield f"the file is {what}; most programs open it only by a name that ends in {' or '.join(endings)}"
