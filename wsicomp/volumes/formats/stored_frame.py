"""The bytes around the voxels of a file, and the way to make its packing again."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from wsicomp.errors import VolumeReadError
from wsicomp.files.inputs import reading
from wsicomp.files.json_values import Natural, Offset, Sha256, Side, plain
from wsicomp.text.figures import as_bytes
from wsicomp.volumes.formats.contents import ContentReader, Packing, open_contents
from wsicomp.volumes.formats.gzip_members import MOST_PADDING, gzip_members
from wsicomp.volumes.formats.gzip_recipes import GzipRecipe, find_gzip_recipe
from wsicomp.volumes.volume import VolumeFrame

MOST_HEADER_BYTES = 1 << 26
"""Of what stands before the voxels: some files hold the DICOM headers that they were made from."""
MOST_AFTER_BYTES = 1 << 20
"""Of what stands after the voxels: more of it means that the header is wrong."""
FILE_START, BEFORE, AFTER = "file-start", "before-voxels", "after-voxels"
HEADER_FILE, GZIP_HEADERS = "header-file", "gzip-headers"
"""Names of a frame's parts; parts without a byte are left out."""
_MOST_MEMBERS = 1 << 16
_PIECE = 1 << 20


@dataclass(frozen=True)
class VoxelLayout:
    """The place of a volume's voxels in its file."""

    path: Path
    """The file that holds them."""
    packing: Packing
    """How the contents are packed that hold them."""
    start: int
    """The byte of the file where the packed contents begin."""
    before: int
    """Bytes of the contents before the first voxel."""
    stored: np.dtype[Any]
    """Of a voxel, with the file's byte order."""
    shape: tuple[int, ...]
    """(columns, rows, slices) or (columns, rows, slices, times)."""
    header_file: bytes = b""
    """A header in a file of its own, which says where `path` is."""

    @property
    def slice_bytes(self) -> int:
        """Of one slice."""
        return self.shape[0] * self.shape[1] * self.stored.itemsize

    @property
    def slice_count(self) -> int:
        """Of all times together."""
        return math.prod(self.shape[2:])

    @property
    def voxel_bytes(self) -> int:
        """Of all voxels."""
        return self.slice_bytes * self.slice_count

    @property
    def needed(self) -> str:
        """The header's statement in words."""
        return (
            f"{' x '.join(map(str, self.shape))} voxels of {self.stored.name}, {as_bytes(self.voxel_bytes)}"
        )


@dataclass(frozen=True)
class StoredFrame:
    """The values of a frame: what it takes, beside its parts, to write the file again and to prove it."""

    packing: Packing
    """Of the contents."""
    dtype: Annotated[str, Meta(pattern=r"\A([<>][iuf][248]|\|[iu]1)\Z")]
    """Of a voxel, with the file's byte order, such as `<i2`."""
    shape: Annotated[tuple[Side, ...], Meta(min_length=3, max_length=4)]
    """(columns, rows, slices) or (columns, rows, slices, times)."""
    file_sha256: Sha256
    """Of the file with the voxels."""
    content_sha256: Sha256
    """Of its contents without their packing."""
    data_name: str = ""
    """The name of the file with the voxels, if its header is in another; "" if there is one file."""
    recipe: GzipRecipe | None = None
    """How all gzip members are made again; None if that is not known."""
    members: Annotated[tuple[tuple[Natural, Offset], ...], Meta(max_length=_MOST_MEMBERS)] = ()
    """Of each gzip member the bytes of its header and of its contents."""
    padding: Annotated[int, Meta(ge=0, le=MOST_PADDING)] = 0
    """Zero bytes after the last gzip member."""
    level: Annotated[int, Meta(ge=0, le=9)] = 0
    """Of bzip2; of text, 1 if each of its lines is a row of voxels."""


def stored_frame(layout: VoxelLayout, volume_format: str, reader: ContentReader) -> VolumeFrame:
    """Return all of a file but its voxels; it is read several times.

    Raises:
        VolumeReadError: the file cannot be read or is damaged.
    """
    descriptor = reader.descriptor
    with reading(layout.path, VolumeReadError):
        before, after, content_sha256 = _around_voxels(layout)
        file_start = os.pread(descriptor, layout.start, 0)
        members, padding = _members(layout, descriptor) if layout.packing == "gzip" else ([], 0)
        recipe = find_gzip_recipe(descriptor, layout.start, layout.path) if members else None
        values = StoredFrame(
            packing=layout.packing,
            dtype=layout.stored.str,
            shape=layout.shape,
            file_sha256=_sha256(_all_of(descriptor)),
            content_sha256=content_sha256,
            data_name=layout.path.name if layout.header_file else "",
            recipe=recipe,
            members=tuple((len(header), size) for header, size in members),
            padding=padding,
            level=_level(layout, os.pread(descriptor, _PIECE, layout.start)),
        )
    parts = {
        FILE_START: file_start,
        BEFORE: before,
        AFTER: after,
        HEADER_FILE: layout.header_file,
        GZIP_HEADERS: b"".join(header for header, _ in members),
    }
    is_unknown = layout.packing == "gzip" and recipe is None
    note = (
        "no program known here makes the gzip data of the source, so they are made anew" if is_unknown else ""
    )
    held = {name: part for name, part in parts.items() if part}
    return VolumeFrame(volume_format, plain(values), held, note)


def _around_voxels(layout: VoxelLayout) -> tuple[bytes, bytes, str]:
    """Return what stands before and after the voxels, and the SHA-256 of all contents."""
    reader = open_contents(layout.path, layout.start, layout.packing, layout.stored)
    try:
        before = bytes(reader.read(layout.before))
        digest = hashlib.sha256(before)
        for _ in range(layout.slice_count):
            digest.update(reader.read(layout.slice_bytes))
        after = bytes(reader.read(MOST_AFTER_BYTES))
    finally:
        reader.close()
    digest.update(after)
    return before, after, digest.hexdigest()


def _members(layout: VoxelLayout, descriptor: int) -> tuple[list[tuple[bytes, int]], int]:
    """Return each gzip member's header and bytes of contents, and the zero bytes after the last.

    There are none if they are too many to be kept.
    """
    found, end = [], layout.start
    for member in gzip_members(descriptor, layout.start, layout.path):
        found.append((member.header, sum(map(len, member.contents()))))
        end = member.end
        if len(found) > _MOST_MEMBERS:
            return [], 0
    return found, os.fstat(descriptor).st_size - end


def _level(layout: VoxelLayout, begins: bytes) -> int:
    if layout.packing == "bzip2":
        return int(begins[3:4])
    return int(layout.packing == "text" and b" " in begins.strip().partition(b"\n")[0].strip())


def _all_of(descriptor: int) -> Iterator[bytes]:
    place = 0
    while data := os.pread(descriptor, _PIECE, place):
        place += len(data)
        yield data


def _sha256(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
