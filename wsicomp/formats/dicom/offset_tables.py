"""Finds the offset tables of a DICOM slide by which OpenSlide would end the whole process.

For OpenSlide a frame ends where the next one begins. Where that is not behind its own beginning, OpenSlide
has no bytes of it and no error either, and the process ends. So it is in a file beyond 4 GB with a basic
offset table, whose offsets are of 32 bits; and where the end of all frames stands in the place of one.
A frame that begins with two empty fragments ends the process, too: their memory is freed twice.

Source: libdicom 1.2 `dicom-file.c` (`dcm_filehandle_read_frame`) and `dicom-parse.c`
(`dcm_parse_encapsulated_frame`, which returns NULL and sets no error).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from wsicomp.formats.dicom.elements import ITEM, SEQUENCE_END, ElementReader
from wsicomp.formats.dicom.instance import EXTENDED_OFFSETS, PIXELS, read_frame_header
from wsicomp.formats.slide_files import slide_parts

_END = struct.pack("<HH", SEQUENCE_END >> 16, SEQUENCE_END & 0xFFFF)
_EMPTY = struct.pack("<HHI", ITEM >> 16, ITEM & 0xFFFF, 0)


def offset_risk(path: Path) -> str:
    """Return in words why OpenSlide must not read pixels of the DICOM slide that `path` belongs to, or "".

    Raises:
        SlideReadError: the slide's files cannot be listed.
        OSError: a file cannot be examined.
    """
    for part in slide_parts(path):
        status = part.stat()
        if found := _risk_of(part, status.st_size, status.st_mtime_ns):
            return f"{part.name}: {found}"
    return ""


@lru_cache(1 << 12)
def _risk_of(path: Path, size: int, _mtime_ns: int) -> str:
    try:
        header = read_frame_header(path)
        with path.open("rb", buffering=0) as file:
            return _found(file, ElementReader(file, size, header.body), size, header.frames)
    except (ValueError, OSError):
        return ""  # OpenSlide refuses the file in words


def _found(file: BinaryIO, reader: ElementReader, size: int, frames: int) -> str:
    """Return the risk of the table that OpenSlide takes, "" where it goes from frame to frame without one.

    Raises:
        ValueError: the file is damaged, so that OpenSlide takes none.
    """
    offsets = _extended(reader, frames)
    tag, length = reader.next()
    if tag != ITEM or frames < 1 or (offsets is None and not length and frames > 1):
        return ""
    if offsets is None:
        table = reader.read(4 * frames) if length else bytes(4)
        offsets = np.frombuffer(table, "<u4").astype(np.int64)
    back = np.flatnonzero(np.diff(offsets) <= 0)
    if len(back):
        return f"its offset table leads back at frame {int(back[0]) + 2}, as one of 32 bits does beyond 4 GB"
    return _frame_risk(file, reader.at + np.clip(offsets, -reader.at, size), size)


def _frame_risk(file: BinaryIO, places: NDArray[np.int64], size: int) -> str:
    """Return the risk of what stands in the places of frames; "" for none."""
    spans = np.diff(places, append=size)
    for number, (place, span) in enumerate(zip(places.tolist(), spans.tolist(), strict=True), 1):
        file.seek(place)
        head = file.read(2 * len(_EMPTY))
        if head.startswith(_END):
            return f"its offset table leads behind its last frame at frame {number}; the file is damaged"
        if head == 2 * _EMPTY and span > len(_EMPTY):
            return f"its frame {number} has only empty fragments; the file is damaged"
    return ""


def _extended(reader: ElementReader, frames: int) -> NDArray[np.int64] | None:
    """Go to the value of the pixel data; return the extended offset table in front, None where there is none.

    Raises:
        ValueError: the file is damaged.
    """
    found = None
    while (element := reader.next())[0] != PIXELS:
        tag, length = element
        if tag == EXTENDED_OFFSETS and length == 8 * frames:
            found = np.frombuffer(reader.read(length), "<i8")
        else:
            reader.skip(length)
    return found
