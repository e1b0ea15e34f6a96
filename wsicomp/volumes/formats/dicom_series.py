"""Opens a DICOM series as a volume: a folder with one series, one of its files, or a multi-frame file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from wsicomp.errors import UnsupportedVolumeError, VolumeReadError
from wsicomp.files.inputs import check_file, given_path, is_folder, reading
from wsicomp.volumes.formats.dicom_file import DicomFile, dicom_errors, dicom_stream, read_dicom_header
from wsicomp.volumes.formats.dicom_frame import frame_of_series
from wsicomp.volumes.formats.dicom_pixels import LOSSY_SYNTAXES, read_frame
from wsicomp.volumes.formats.dicom_slices import DicomSlice, slices_of
from wsicomp.volumes.formats.dicom_stack import SliceStack, stack_slices
from wsicomp.volumes.volume import VolumeFrame, VolumeInfo, VoxelSlice

if TYPE_CHECKING:
    from pydicom import Dataset

_MOST_FILES = 100_000


@dataclass(frozen=True)
class _Facts:
    """Facts of a file: those that must be alike in a series, and remarks."""

    series: str
    instance: str
    modality: str
    remarks: frozenset[str]


class DicomVolume:
    """A series that is open: the `Volume` protocol, and its files for writers of DICOM."""

    def __init__(self, info: VolumeInfo, files: tuple[DicomFile, ...], stack: SliceStack) -> None:
        self._info = info
        self.files = files
        self.stack = stack

    @property
    def info(self) -> VolumeInfo:
        """The volume's description."""
        return self._info

    def slices(self) -> Iterator[VoxelSlice]:
        """Yield every slice in order.

        Raises:
            VolumeReadError: a file is damaged or changed.
        """
        for index, run in groupby(self.stack.slices, key=lambda each: each.file):
            file = self.files[index]
            with dicom_stream(file) as stream:
                for each in run:
                    yield read_frame(file, stream, each.frame)

    def read_slice(self, number: int) -> VoxelSlice:
        """Return one slice: stored values, sign-extended and without the bits that are no part of them.

        Raises:
            VolumeReadError: its file is damaged or changed.
            IndexError: there is no such slice.
        """
        if not 0 <= number < len(self.stack.slices):
            raise IndexError(f"slice {number}, expected 0 to {len(self.stack.slices) - 1}")
        each = self.stack.slices[number]
        file = self.files[each.file]
        with dicom_stream(file) as stream:
            return read_frame(file, stream, each.frame)

    def frame(self) -> VolumeFrame:
        """Return all of the files but their voxels.

        Raises:
            VolumeReadError: a file is damaged or changed.
        """
        return frame_of_series(self.files, self.stack)

    def close(self) -> None:
        """Do nothing: no file stays open."""


def open_dicom(path: str | os.PathLike[str]) -> DicomVolume:
    """Open a folder with one series, or one file: the slice or the frames that it holds.

    Files are known by their content. What is no image is left out, with a remark. Slices are sorted along
    their normal by their positions. Folders in the folder are not searched.

    Raises:
        VolumeReadError: the path cannot be read, or a file is damaged.
        UnsupportedVolumeError: no image, several series, colour, or slices that do not make a volume.
    """
    given = given_path(path, VolumeReadError)
    if is_folder(given):
        with reading(given, VolumeReadError):
            paths = sorted(each for each in given.iterdir() if each.is_file())
            folders = sum(each.is_dir() for each in given.iterdir())
    else:
        check_file(given, VolumeReadError)
        paths, folders = [given], 0
    if len(paths) > _MOST_FILES:
        raise UnsupportedVolumeError(f"{len(paths)} files, expected at most {_MOST_FILES}", given)
    files, facts, slices = _read_all(paths)
    if not files:
        inside = f" and {folders} folders; name one of them" if folders else ""
        found = (
            f"no DICOM image among {len(paths)} files{inside}" if is_folder(given) else "is no DICOM image"
        )
        raise UnsupportedVolumeError(found, given)
    try:
        _check_series(files, facts)
        stack = stack_slices(slices, [file.path.name for file in files])
    except VolumeReadError as exc:
        raise type(exc)(exc.message, exc.path or given, exc.place) from exc
    remarks = [
        *_about_files(given, sorted({*paths} - {file.path for file in files}), files, stack),
        *_about_headers(facts),
        *stack.remarks,
    ]
    return DicomVolume(_info(given, files, facts[0].modality, stack, remarks), files, stack)


def _read_all(paths: Sequence[Path]) -> tuple[tuple[DicomFile, ...], list[_Facts], list[DicomSlice]]:
    files: list[DicomFile] = []
    facts: list[_Facts] = []
    slices: list[DicomSlice] = []
    for path in paths:
        try:
            found = read_dicom_header(path)
        except UnsupportedVolumeError as exc:
            if len(paths) > 1:
                exc.message += "; take it out of the folder, if it does not belong there"
            raise
        if found is None:
            continue
        header, file = found
        with dicom_errors(path):
            slices += slices_of(header, len(files), file.layout.frames)
            facts.append(_facts(header))
        files.append(file)
    return tuple(files), facts, slices


def _facts(header: Dataset) -> _Facts:
    remarks = []
    if str(header.get("BurnedInAnnotation", "")) == "YES":
        remarks.append("a header says that text is burned into the voxels, which may name the patient")
    if str(header.get("PhotometricInterpretation", "")) == "MONOCHROME1":
        remarks.append("small values are meant to be bright (MONOCHROME1)")
    if str(header.get("LossyImageCompression", "")) == "01":
        remarks.append("a header says that the voxels were compressed with loss before")
    if header.get("ModalityLUTSequence"):
        remarks.append("what stored values stand for is given by a table, which only the headers keep")
    if any(_is_embedded_overlay(header, group) for group in range(0x6000, 0x6020, 2)):
        remarks.append("unused bits of the voxels hold an overlay; the volume's values are without it")
    names = ("SeriesInstanceUID", "SOPInstanceUID", "Modality")
    series, instance, modality = (str(header.get(name, "")) for name in names)
    return _Facts(
        series, instance, modality if modality.isalnum() and len(modality) <= 16 else "", frozenset(remarks)
    )


def _is_embedded_overlay(header: Dataset, group: int) -> bool:
    return (group, 0x0010) in header and (group, 0x3000) not in header


def _check_series(files: Sequence[DicomFile], facts: Sequence[_Facts]) -> None:
    series = Counter(each.series for each in facts)
    if len(series) > 1:
        counts = ", ".join(str(count) for _, count in series.most_common(5))
        more, rare = " and more" * (len(series) > 5), _rare([each.series for each in facts], files)
        found = f"{len(series)} series with {counts} files{more}; {rare} is of the smallest"
        raise UnsupportedVolumeError(f"{found}; put each in a folder of its own")
    first = {each.instance: number for number, each in reversed([*enumerate(facts)])}
    copies = [n for n, each in enumerate(facts) if each.instance and first[each.instance] != n]
    if copies:
        found = (
            f"{len(copies)} of {len(files)} files are copies of others, {files[copies[0]].path.name} first"
        )
        raise UnsupportedVolumeError(f"{found}; take them away")
    shapes = Counter(each.layout.shape for each in files)
    if len(shapes) > 1:
        found = ", ".join(
            f"{count} of {rows} x {columns}" for (rows, columns), count in shapes.most_common(5)
        )
        raise UnsupportedVolumeError(
            f"slices of different sizes: {found}; {_rare([each.layout.shape for each in files], files)} is "
            "of the rarest; keep those of one size in a folder"
        )
    dtypes = Counter(each.layout.dtype.name for each in files)
    if len(dtypes) > 1:
        found = ", ".join(f"{count} of {name}" for name, count in dtypes.most_common())
        raise UnsupportedVolumeError(
            f"slices of different types: {found}; {_rare([each.layout.dtype for each in files], files)} is "
            "of the rarest; keep those of one type in a folder"
        )


def _rare(kinds: Sequence[object], files: Sequence[DicomFile]) -> str:
    """Return the name of a file of the rarest kind."""
    return files[kinds.index(Counter(kinds).most_common()[-1][0])].path.name


def _about_files(
    given: Path, others: Sequence[Path], files: Sequence[DicomFile], stack: SliceStack
) -> Iterator[str]:
    with reading(given, VolumeReadError):
        empty = sum(not each.stat().st_size for each in others)
    left_out = len(others) - empty
    if empty:
        yield f"{empty} {'file is' if empty == 1 else 'files are'} empty and left out"
    if left_out:
        yield f"{left_out} {'file is' if left_out == 1 else 'files are'} no DICOM image and left out"
    if not is_folder(given) and len(stack.slices) == 1:
        yield "one slice, from the file alone; name its folder for the whole series"
    if any(each.layout.syntax in LOSSY_SYNTAXES for each in files):
        yield "the voxels are compressed with loss in the files; they are what decoding gives"


def _about_headers(facts: Sequence[_Facts]) -> list[str]:
    return sorted(frozenset[str]().union(*(each.remarks for each in facts)))


def _info(
    given: Path, files: Sequence[DicomFile], modality: str, stack: SliceStack, remarks: Sequence[str]
) -> VolumeInfo:
    rows, columns = files[0].layout.shape
    times = (stack.times,) if stack.times > 1 else ()
    return VolumeInfo(
        given,
        "DICOM",
        (columns, rows, stack.places, *times),
        files[0].layout.dtype,
        sum(each.stamp[0] for each in files),
        stack.geometry,
        stack.scaling,
        modality,
        tuple(remarks),
        tuple(each.path for each in files),
    )
