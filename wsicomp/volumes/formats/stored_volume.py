"""Volumes whose voxels lie one after another in one file, as those of NIfTI and NRRD do.

A format's module reads its header and says where the voxels are; this one reads them, slice by slice. It must
not know any header.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np

from wsicomp.errors import UnsupportedVolumeError, VolumeReadError
from wsicomp.files.inputs import reading
from wsicomp.text.figures import as_bytes
from wsicomp.volumes.formats.contents import ContentReader, most_contents, open_contents
from wsicomp.volumes.formats.stored_frame import MOST_AFTER_BYTES, VoxelLayout, stored_frame
from wsicomp.volumes.volume import VolumeFrame, VolumeInfo, VoxelSlice

_MOST_SLICE_BYTES = 1 << 28


class StoredVolume:
    """A volume in one file.

    Raises:
        VolumeReadError: the file cannot hold what its header states.
        UnsupportedVolumeError: a slice is too large.
    """

    def __init__(self, info: VolumeInfo, layout: VoxelLayout) -> None:
        with reading(layout.path, VolumeReadError):
            status = layout.path.stat()
        _check_size(layout, status.st_size)
        after = status.st_size - layout.start - layout.before - layout.voxel_bytes
        remarks = (
            [f"{as_bytes(after)} follow the voxels and are kept."]
            if after and layout.packing == "none"
            else []
        )
        self._info = replace(info, remarks=(*info.remarks, *remarks))
        self._layout = layout
        self._identity = _identity(status)
        self._cursor: ContentReader | None = None
        self._next_number = 0

    @property
    def info(self) -> VolumeInfo:
        return self._info

    def slices(self) -> Iterator[VoxelSlice]:
        with closing(self._open()) as reader:
            for number in range(self._layout.slice_count):
                yield self._read(reader, number)
            self._check_after(reader)

    def read_slice(self, number: int) -> VoxelSlice:
        if not 0 <= number < self._layout.slice_count:
            raise IndexError(f"no slice {number}, expected 0 to {self._layout.slice_count - 1}")
        if self._cursor is None or (number < self._next_number and self._layout.packing != "none"):
            self.close()
            self._cursor, self._next_number = self._open(), 0
        try:
            self._cursor.skip((number - self._next_number) * self._layout.slice_bytes)
            found = self._read(self._cursor, number)
        except VolumeReadError:
            self.close()
            raise
        self._next_number = number + 1
        return found

    def frame(self) -> VolumeFrame:
        with closing(self._open()) as reader:
            found = stored_frame(self._layout, self._info.format, reader)
            self._check_unchanged(reader)
        return found

    def close(self) -> None:
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    def _open(self) -> ContentReader:
        """Open the contents before the first voxel."""
        layout = self._layout
        reader = open_contents(layout.path, layout.start, layout.packing, layout.stored)
        try:
            self._check_unchanged(reader)
            reader.skip(layout.before)
        except VolumeReadError:
            reader.close()
            raise
        return reader

    def _check_unchanged(self, reader: ContentReader) -> None:
        if _identity(os.fstat(reader.descriptor)) != self._identity:
            found = "changed since it was opened; open it again when nobody writes it"
            raise VolumeReadError(found, self._layout.path)

    def _read(self, reader: ContentReader, number: int) -> VoxelSlice:
        layout = self._layout
        with reading(layout.path, VolumeReadError):
            data = reader.read(layout.slice_bytes)
        if len(data) < layout.slice_bytes:
            found = f"the voxels end after {as_bytes(number * layout.slice_bytes + len(data))}"
            expected = f"expected {layout.needed}; get another copy of the file"
            raise VolumeReadError(f"{found}, {expected}", layout.path, f"slice {number}")
        columns, rows = layout.shape[:2]
        return np.frombuffer(data, layout.stored).reshape(rows, columns).astype(self._info.dtype, copy=False)

    def _check_after(self, reader: ContentReader) -> None:
        """Read to the end, so that a gzip file's CRC is checked."""
        layout = self._layout
        with reading(layout.path, VolumeReadError):
            after = reader.read(MOST_AFTER_BYTES + 1)
        if layout.packing == "text" and after:
            raise _too_long(layout)
        if len(after) > MOST_AFTER_BYTES:
            raise _too_long(layout)


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _check_size(layout: VoxelLayout, size: int) -> None:
    """Compare what the header states with the file, before any memory is taken for it."""
    most = most_contents(size - layout.start, layout.packing, layout.stored.itemsize)
    needed = layout.before + layout.voxel_bytes
    if needed > most:
        held = f"{as_bytes(size)} cannot hold the {layout.needed}, that the header states"
        raise VolumeReadError(f"{held}; it is cut off or its header is wrong: get another copy", layout.path)
    if layout.packing == "none" and most - needed > MOST_AFTER_BYTES:
        raise _too_long(layout)
    if layout.slice_bytes > _MOST_SLICE_BYTES:
        found = f"a slice has {as_bytes(layout.slice_bytes)}, at most {as_bytes(_MOST_SLICE_BYTES)} are taken"
        raise UnsupportedVolumeError(f"{found}; cut it into parts", layout.path)


def _too_long(layout: VoxelLayout) -> VolumeReadError:
    found = f"goes on long after the {layout.needed}, that the header states"
    return VolumeReadError(f"{found}; the header is wrong: get another copy", layout.path)
