"""All of a DICOM series but its voxels, and the files written again from it.

They are the source's byte for byte where that is possible.

Kept are each file's bytes in front of and behind its voxels, and the bits of its voxels that are no part of
their values. Compressed and deflated files are written again without compression, and said to be.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import math
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from wsicomp.errors import TargetExistsError, UnsupportedVolumeError, VolumeReadError
from wsicomp.files.atomic import check_empty, completed_files
from wsicomp.files.inputs import reading
from wsicomp.volumes.formats.dicom_changes import drop_tables
from wsicomp.volumes.formats.dicom_file import (
    DEFLATED,
    EXPLICIT,
    NATIVE,
    PIXEL_DATA,
    DicomFile,
    PixelLayout,
    dicom_errors,
    dicom_stream,
    is_dicom,
    parse_header,
)
from wsicomp.volumes.formats.dicom_pixels import Words, as_values, read_words, word_dtype
from wsicomp.volumes.formats.dicom_stack import SliceStack
from wsicomp.volumes.volume import Rebuilt, VolumeFrame, VoxelSlice

_HEADERS, _UNUSED_BITS = "headers.xz", "unused-bits.xz"
_MOST_TAIL_BYTES = 1 << 26
_MOST_HEADERS_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20
_LEVEL = 6
_HEAD_BYTES = 132
_PIXEL_ELEMENTS = {"float32": (0x7FE00008, b"OF"), "float64": (0x7FE00009, b"OD")}


@dataclass(frozen=True)
class _StoredFile:
    """A file without its voxels."""

    name: str
    """Of the file, without folders."""
    before: int
    """Bytes in front of its voxels."""
    after: int
    """Bytes behind them."""
    frames: int
    """How many frames it has."""
    is_big_endian: bool
    """Whether the high byte of a voxel comes first."""
    sha256: str
    """Of the whole file; "" if it cannot be written again as it was."""


@dataclass(frozen=True)
class _Values:
    files: tuple[_StoredFile, ...]
    """In the order of their headers."""
    slices: tuple[tuple[int, int], ...]
    """(file, frame) of each slice of the volume."""
    note: str
    """Why the files cannot be written again as they were; "" if they can."""


def frame_of_series(files: Sequence[DicomFile], stack: SliceStack) -> VolumeFrame:
    """Return all of a series but its voxels.

    Raises:
        VolumeReadError: a file is damaged or changed.
        UnsupportedVolumeError: the files hold too much beside their voxels.
    """
    packer = lzma.LZMACompressor(preset=_LEVEL)
    packed: list[bytes] = []
    stored: list[_StoredFile] = []
    total = 0
    for file in files:
        before, after, digest = _around(file)
        total += len(before) + len(after)
        if total > _MOST_HEADERS_BYTES:
            raise UnsupportedVolumeError(
                f"headers of more than {_MOST_HEADERS_BYTES} bytes in all", file.path.parent
            )
        packed += [packer.compress(before), packer.compress(after)]
        layout = file.layout
        counts = len(before), len(after), layout.frames
        stored.append(_StoredFile(file.path.name, *counts, layout.is_big_endian, digest))
    packed.append(packer.flush())
    parts = {_HEADERS: b"".join(packed)}
    unused = _unused_bits(files, stack)
    if unused is not None:
        parts[_UNUSED_BITS] = unused
    order = tuple((each.file, each.frame) for each in stack.slices)
    values = _Values(tuple(stored), order, _note(files))
    return VolumeFrame("DICOM", msgspec.to_builtins(values), parts, values.note)


def write_dicom(
    frame: VolumeFrame,
    slices: Iterable[VoxelSlice],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    folder: Path,
    overwrite: bool = False,
) -> Rebuilt:
    """Write the files of a series again into a folder, under their names.

    `slices` are those of the volume, in its order; `shape` and `dtype` are the volume's. The folder is made
    if there is none. Either all files appear or none.

    Raises:
        VolumeReadError: the frame is damaged or of another volume, or there are more or fewer slices.
        TargetExistsError: a file exists, and `overwrite` is False.
        SlideWriteError: the folder cannot be written.
    """
    values = _checked(frame, shape)
    words = np.dtype(f"uint{8 * dtype.itemsize}") if dtype.kind != "f" else dtype
    frame_bytes = shape[0] * shape[1] * dtype.itemsize
    with completed_files(folder, overwrite) as hidden:
        _write_around(values, frame.parts[_HEADERS], hidden, frame_bytes)
        unused = _Unpacked(frame.parts[_UNUSED_BITS]) if _UNUSED_BITS in frame.parts else None
        count = 0
        for count, voxels in enumerate(slices, 1):
            if count > len(values.slices) or voxels.shape != (shape[1], shape[0]) or voxels.dtype != dtype:
                raise VolumeReadError(f"slice {count - 1} is {voxels.dtype} {voxels.shape}, or one too many")
            number, place = values.slices[count - 1]
            file = values.files[number]
            made = np.ascontiguousarray(voxels).view(words)
            if unused is not None:
                made = made ^ np.frombuffer(unused.take(frame_bytes), words.newbyteorder("<")).reshape(
                    made.shape
                )
            data = made.astype(words.newbyteorder(">" if file.is_big_endian else "<")).tobytes()
            with (hidden / file.name).open("r+b") as target:
                target.seek(file.before + place * frame_bytes)
                target.write(data)
        if count != len(values.slices):
            raise VolumeReadError(f"{count} slices, expected {len(values.slices)}")
        is_exact = all(_digest(hidden / file.name) == file.sha256 for file in values.files)
    if is_exact:
        return Rebuilt(True)
    return Rebuilt(False, values.note or "the voxels are not exactly those of the source")


def dicom_outputs(
    frame: VolumeFrame, shape: tuple[int, ...], folder: Path, overwrite: bool = False
) -> tuple[Path, ...]:
    """Return the paths that `write_dicom` would write.

    Raises:
        VolumeReadError: the frame is damaged or of another volume.
        TargetExistsError: the folder is not empty, and `overwrite` is False; or it holds a file of one of
            the names that is no DICOM.
        SlideWriteError: the path is no folder.
    """
    paths = tuple(folder / each.name for each in _checked(frame, shape).files)
    check_empty(folder, overwrite)
    for path in paths:
        if path.is_file() and not _begins_as_dicom(path):
            raise TargetExistsError("exists, and is no DICOM file; name another folder", path)
    return paths


def _begins_as_dicom(path: Path) -> bool:
    with reading(path, VolumeReadError), path.open("rb") as file:
        return is_dicom(file.read(_HEAD_BYTES))


def _around(file: DicomFile) -> tuple[bytes, bytes, str]:
    """Return a file's bytes in front of and behind its voxels, and its digest.

    What was compressed gets the header of a file that is not, and no digest.
    """
    with dicom_stream(file) as stream:
        tail = stream.seek(0, io.SEEK_END) - file.places.end
        if tail > _MOST_TAIL_BYTES:
            raise UnsupportedVolumeError(f"{tail} bytes behind its voxels", file.path)
        stream.seek(file.places.end)
        after = stream.read(tail)
        if file.layout.syntax in NATIVE - {DEFLATED}:
            stream.seek(0)
            before = stream.read(file.places.start)
            return before, after, _digest(file.path)
        if file.layout.syntax == DEFLATED:
            stream.seek(0)
            return stream.read(file.places.start), after, ""
        with dicom_errors(file.path):
            padding = b"\0" * (file.layout.frames * file.layout.frame_bytes % 2)
            return plain_header(stream, file), padding + after, ""


def plain_header(stream: BinaryIO, file: DicomFile) -> bytes:
    """Return the header of a compressed file as one in Explicit VR Little Endian, up to its first voxel.

    Raises:
        UnsupportedVolumeError: the voxels have 4 GB or more, which that transfer syntax cannot hold.
    """
    from pydicom.uid import UID

    header, _ = parse_header(stream)
    header.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    drop_tables(header)
    meta, made = header_parts(header)
    return meta + made + pixel_element(file.layout)


def header_parts(header: Any) -> tuple[bytes, bytes]:
    """Return a file's meta information, and its data set without pixel data in explicit little-endian form.

    Its transfer syntax may be one that pydicom does not know, such as JPEG XL.
    """
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset, write_file_meta_info

    meta, made = DicomBytesIO(), DicomBytesIO()
    write_file_meta_info(meta, header.file_meta, enforce_standard=True)
    made.is_implicit_VR, made.is_little_endian = False, True
    write_dataset(made, header)
    preamble = header.preamble or b"\0" * 128
    return bytes(preamble) + b"DICM" + meta.getvalue(), made.getvalue()


def pixel_element(layout: PixelLayout) -> bytes:
    """Return the head of the pixel data element of a file that is not compressed, in explicit form.

    Raises:
        UnsupportedVolumeError: 4 GB or more.
    """
    length = layout.frames * layout.frame_bytes
    if length >= 0xFFFFFFFE:
        raise UnsupportedVolumeError(f"{length} bytes of voxels in one file, of which DICOM holds 4 GB")
    tag, form = _PIXEL_ELEMENTS.get(layout.dtype.name, (PIXEL_DATA, b"OB" if layout.bits[0] == 8 else b"OW"))
    return struct.pack("<2H2s2xI", tag >> 16, tag & 0xFFFF, form, length + length % 2)


def _unused_bits(files: Sequence[DicomFile], stack: SliceStack) -> bytes | None:
    """Return in what the words of all slices differ from their values; None where they do not.

    Slice by slice, little-endian words: stored word XOR value.
    """
    if not any(unused is not None and unused.any() for unused in _unused_words(files, stack)):
        return None
    packer = lzma.LZMACompressor(preset=_LEVEL)
    packed = []
    for each, unused in zip(stack.slices, _unused_words(files, stack), strict=True):
        layout = files[each.file].layout
        words = np.zeros(layout.shape, word_dtype(layout)) if unused is None else unused
        packed.append(packer.compress(words.astype(words.dtype.newbyteorder("<")).tobytes()))
    return b"".join([*packed, packer.flush()])


def _unused_words(files: Sequence[DicomFile], stack: SliceStack) -> Iterator[Words | None]:
    """Yield what `_unused_bits` packs, slice by slice; None for slices without unused bits."""
    for index, run in groupby(stack.slices, key=lambda each: each.file):
        file = files[index]
        if file.layout.bits[0] == file.layout.bits[1] or file.layout.syntax not in NATIVE:
            yield from (None for _ in run)
            continue
        with dicom_stream(file) as stream:
            for each in run:
                words = read_words(file, stream, each.frame)
                yield words ^ as_values(words, file.layout).view(words.dtype)


def _note(files: Sequence[DicomFile]) -> str:
    syntaxes = sorted({each.layout.syntax for each in files} - (NATIVE - {DEFLATED}))
    if not syntaxes:
        return ""
    return f"the source is compressed ({', '.join(syntaxes)}); the files are written without compression"


def _checked(frame: VolumeFrame, shape: tuple[int, ...]) -> _Values:
    """Return what a frame says, if it goes with the volume and with itself."""
    try:
        values = msgspec.convert(frame.values, _Values)
    except msgspec.ValidationError as exc:
        raise VolumeReadError(f"its DICOM headers are described wrongly ({exc})") from exc
    names = {each.name for each in values.files}
    is_plain = all(name and name not in (".", "..") and not {*"/\\\0"} & {*name} for name in names)
    counts = [count for each in values.files for count in (each.before, each.after)]
    is_alike = min(counts, default=-1) >= 0 and _is_whole(values, math.prod(shape[2:]))
    if not is_plain or len(names) != len(values.files) or not is_alike:
        raise VolumeReadError("its DICOM headers are not those of its voxels")
    if _HEADERS not in frame.parts or sum(counts) > _MOST_HEADERS_BYTES:
        raise VolumeReadError("its DICOM headers are missing or too large")
    return values


def _is_whole(values: _Values, count: int) -> bool:
    """Return whether the files' frames are the volume's slices, each once."""
    frames = [each.frames for each in values.files]
    if min(frames, default=0) < 1 or not sum(frames) == len(values.slices) == count:
        return False
    # No more than `count`, whatever the file states.
    expected = {(number, place) for number, own in enumerate(frames) for place in range(own)}
    return set(values.slices) == expected


class _Unpacked:
    """Hands out what an xz stream holds, a piece at a time."""

    def __init__(self, data: bytes) -> None:
        self._inflater = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 28)
        self._data = data

    def take(self, count: int) -> bytes:
        pieces: list[bytes] = []
        left = count
        while left:
            if self._inflater.eof:
                raise VolumeReadError("its DICOM headers end early")
            try:
                piece = self._inflater.decompress(self._data, min(left, _CHUNK_BYTES))
            except lzma.LZMAError as exc:
                raise VolumeReadError(f"its DICOM headers are damaged ({exc})") from exc
            self._data = b""
            if not piece and self._inflater.needs_input:
                raise VolumeReadError("its DICOM headers end early")
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)


def _write_around(values: _Values, headers: bytes, folder: Path, frame_bytes: int) -> None:
    """Write every file with room for its voxels."""
    unpacked = _Unpacked(headers)
    for file in values.files:
        with (folder / file.name).open("xb") as target:
            target.write(unpacked.take(file.before))
            target.seek(file.frames * frame_bytes, os.SEEK_CUR)
            target.write(unpacked.take(file.after))
            target.truncate()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
