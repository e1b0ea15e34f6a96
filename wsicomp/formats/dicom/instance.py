"""One file of a DICOM whole slide: what its header states of its frames, and where they lie.

Source: PS3.3 sections C.8.12.4 (whole slide microscopy image), C.7.6.16 (functional groups).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.formats.dicom.elements import ITEM, ElementReader
from wsicomp.formats.dicom.frames import FRAGMENT_HEAD_BYTES, frame_spans
from wsicomp.formats.dicom.header import opened_header
from wsicomp.geometry import Size

_NAMES = (
    *("ImageType", "SOPInstanceUID", "ConcatenationUID", "ConcatenationFrameOffsetNumber"),
    *("DimensionOrganizationType", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns"),
    *("TotalPixelMatrixColumns", "TotalPixelMatrixRows", "TotalPixelMatrixFocalPlanes"),
    *("NumberOfOpticalPaths", "SamplesPerPixel", "BitsAllocated"),
)
EXTENDED_OFFSETS, PIXELS = 0x7FE00001, 0x7FE00010
"""The tags of the extended offset table and of the pixel data."""
_PER_FRAME, _LENGTHS = 0x52009230, 0x7FE00002
_PLANE_POSITION, _COLUMN, _ROW = 0x0048021A, 0x0048021E, 0x0048021F
_NUMBER = struct.Struct("<i")


@dataclass(frozen=True)
class FrameHeader:
    """The statements of a file of a whole slide."""

    path: Path
    """The file."""
    uid: str
    """Its SOPInstanceUID: a copy of the file has the same."""
    syntax: str
    """Its transfer syntax."""
    is_level: bool
    """Whether it shows a level, and not a label or an overview."""
    matrix: Size
    """The size of the level in pixels."""
    tile: Size
    """The size of a frame in pixels."""
    frames: int
    """How many frames the file has."""
    is_full: bool
    """Whether frames stand in raster order without gaps; else each states its place."""
    planes: int
    """The focal planes, times the optical paths."""
    photometric: str
    """Its PhotometricInterpretation."""
    samples: tuple[int, int]
    """Samples of a pixel, and bits of a sample."""
    concatenation: str
    """What the files of one image have in common; "" for an image in one file."""
    first: int
    """The number of its first frame among those of the image."""
    body: int
    """The byte at which the elements of its frames begin."""


@dataclass(frozen=True)
class FrameTable:
    """The frames of a file."""

    spans: NDArray[np.int64]
    """(frames, 2): offset and byte count of each frame's span."""
    places: NDArray[np.int64]
    """(frames, 2): column and row of each frame's first pixel, from 0; no rows where frames state none."""


def read_frame_header(path: Path) -> FrameHeader:
    """Return what a file states of its frames.

    Raises:
        ValueError: it is damaged, or lacks a statement.
        OSError: it cannot be read.
    """
    with opened_header(path, _NAMES, _PER_FRAME) as (header, body):
        return _header(path, header, body)


def _header(path: Path, header: Any, body: int) -> FrameHeader:
    return FrameHeader(
        path=path,
        uid=str(header.SOPInstanceUID),
        syntax=str(header.file_meta.TransferSyntaxUID),
        is_level="VOLUME" in header.ImageType,
        matrix=Size(int(header.TotalPixelMatrixColumns), int(header.TotalPixelMatrixRows)),
        tile=Size(int(header.Columns), int(header.Rows)),
        frames=int(header.get("NumberOfFrames", 1)),
        is_full=header.get("DimensionOrganizationType") == "TILED_FULL",
        planes=int(header.get("TotalPixelMatrixFocalPlanes", 1)) * int(header.get("NumberOfOpticalPaths", 1)),
        photometric=str(header.PhotometricInterpretation),
        samples=(int(header.SamplesPerPixel), int(header.BitsAllocated)),
        concatenation=str(header.get("ConcatenationUID", "")),
        first=int(header.get("ConcatenationFrameOffsetNumber", 0)),
        body=body,
    )


def read_frame_table(header: FrameHeader) -> FrameTable:
    """Return where a file's frames lie in it, and on the level.

    Memory: 32 bytes a frame.

    Raises:
        ValueError: the file is damaged, or its frames cannot be told apart.
        OSError: it cannot be read.
    """
    size = header.path.stat().st_size
    if not 0 < header.frames <= size // FRAGMENT_HEAD_BYTES:
        raise ValueError(f"{header.frames} frames in {size} bytes")
    places = np.empty((0, 2), np.int64)
    tables: dict[int, NDArray[np.uint64]] = {}
    with header.path.open("rb", buffering=0) as file:
        reader = ElementReader(file, size, header.body)
        while True:
            tag, length = reader.next()
            if tag == PIXELS:
                break
            if tag == _PER_FRAME and not header.is_full:
                places = _places(reader, length, header.frames)
            elif tag in (EXTENDED_OFFSETS, _LENGTHS) and length == 8 * header.frames:
                tables[tag] = np.frombuffer(reader.read(length), "<u8")
            else:
                reader.skip(length)
        extended = (
            (tables[EXTENDED_OFFSETS], tables[_LENGTHS])
            if len(tables) == len((EXTENDED_OFFSETS, _LENGTHS))
            else None
        )
        spans = frame_spans(reader, header.frames, extended)
    if spans.min() < 0 or spans.sum(axis=1).max() > size:
        raise ValueError("frames beyond the end of the file")
    return FrameTable(spans, places)


def _places(reader: ElementReader, length: int, frames: int) -> NDArray[np.int64]:
    """Return (frames, 2): column and row of each frame's first pixel, from 0."""
    places = np.zeros((frames, 2), np.int64)
    count = 0
    for count, (_, item) in enumerate(reader.children(length, (ITEM,)), 1):
        if count > frames:
            raise ValueError(f"more than {frames} functional groups for {frames} frames")
        for _, group in reader.children(item, (_PLANE_POSITION,)):
            for _, position in reader.children(group, (ITEM,)):
                for tag, value in reader.children(position, (_COLUMN, _ROW)):
                    if value != _NUMBER.size:
                        raise ValueError(f"a frame's place in {value} bytes")
                    (places[count - 1, int(tag == _ROW)],) = _NUMBER.unpack(reader.read(value))
    if count != frames:
        raise ValueError(f"{count} functional groups for {frames} frames")
    return places - 1
