"""Where the encoded frames of a DICOM file lie, and their bytes.

A frame lies in one fragment or in several, each behind a header of 8 bytes. Its *span* reaches from the first
header to the end of the last fragment.

Source: PS3.5 annex A.4 (fragments, basic offset table); PS3.3 section C.7.6.3.1.8 (extended offset table).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import SlideReadError
from wsicomp.formats.dicom.elements import ITEM, SEQUENCE_END, UNDEFINED, ElementReader
from wsicomp.formats.tiff.directories import TiffFile

FRAGMENT_HEAD_BYTES = 8
"""The bytes in front of a fragment: the tag of an item, and its length."""
_ITEM = struct.pack("<HH", ITEM >> 16, ITEM & 0xFFFF)
_PADDED_END = b"\xff\xd9\0"
"""JPEG and JPEG 2000 both end in FF D9; fragments have even lengths, so that a zero may follow."""


class FrameFiles:
    """The files of a level, addressed as if they stood one behind another; threads never share an offset."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.path = paths[0]
        self._files: list[TiffFile] = []
        try:
            for path in paths:
                self._files.append(TiffFile(path))
        except BaseException:
            self.close()
            raise
        self.bases = [0, *np.cumsum([file.bytes for file in self._files]).tolist()]

    def read(self, offset: int, count: int, place: object) -> bytes:
        """Return the encoded frame in this span, its fragments joined, without the byte that pads it.

        Raises:
            SlideReadError: the span holds no fragments, or the file ends before it does.
        """
        if not count:
            return b""
        number = min(max(0, bisect_right(self.bases, offset) - 1), len(self._files) - 1)
        file = self._files[number]
        span = file.read(offset - self.bases[number], count, place)
        fragments, at = [], 0
        while at < len(span):
            length = int.from_bytes(span[at + 4 : at + 8], "little")
            if not span.startswith(_ITEM, at) or at + FRAGMENT_HEAD_BYTES + length > len(span):
                raise SlideReadError(
                    "its frame is not in fragments; the file is damaged", file.path, str(place)
                )
            fragments.append(span[at + FRAGMENT_HEAD_BYTES : at + FRAGMENT_HEAD_BYTES + length])
            at += FRAGMENT_HEAD_BYTES + length
        frame = b"".join(fragments)
        return frame[:-1] if frame.endswith(_PADDED_END) else frame

    def close(self) -> None:
        """Close the files, or let the last of the threads that read from them close them."""
        for file in self._files:
            file.close()


def frame_spans(
    reader: ElementReader, frames: int, extended: tuple[NDArray[np.uint64], NDArray[np.uint64]] | None
) -> NDArray[np.int64]:
    """Return (frames, 2): offset and byte count of each frame's span in the file.

    `reader` stands at the value of the pixel data; `extended` are the offsets and lengths of the extended
    offset table, if there is one. They are checked when a frame is read, the basic offset table here.

    Raises:
        ValueError: the frames cannot be told apart, or the file ends before they do.
    """
    reader.block_bytes = FRAGMENT_HEAD_BYTES  # frames are skipped, not read
    tag, length = reader.next()
    if tag != ITEM or length % 4:
        raise ValueError("pixel data that are not in fragments")
    if extended is not None:
        reader.skip(length)
        return _by_extended(reader.at, frames, *extended)
    first = reader.at + length
    found = None
    if length == 4 * frames:
        found = _by_basic(reader, first, np.frombuffer(reader.read(length), "<u4").astype(np.int64))
    return _by_fragments(reader, first, frames) if found is None else found


def _by_extended(
    first: int, frames: int, offsets: NDArray[np.uint64], lengths: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Return the spans of frames of one fragment each, as the extended offset table has them."""
    if not len(offsets) == len(lengths) == frames:
        raise ValueError(f"an offset table for {len(offsets)} of {frames} frames")
    if max(offsets.max(), lengths.max()) >= 1 << 62:
        raise ValueError("an offset table with offsets beyond any file")
    padded = lengths.astype(np.int64) + (lengths.astype(np.int64) & 1)
    return np.stack([offsets.astype(np.int64) + first, padded + FRAGMENT_HEAD_BYTES], axis=1)


def _by_basic(reader: ElementReader, first: int, table: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the spans between the offsets of the basic offset table.

    None where it does not rise from 0, as beyond 4 GB, where its offsets overflow.
    """
    if table[0] or np.diff(table, append=1 << 32).min() <= FRAGMENT_HEAD_BYTES:
        return None
    reader.seek(first + int(table[-1]))
    last = 0
    while (length := _fragment(reader)) is not None:
        last += length
    spans: NDArray[np.int64] = np.stack([first + table, np.diff(table, append=table[-1] + last)], axis=1)
    return spans


def _by_fragments(reader: ElementReader, first: int, frames: int) -> NDArray[np.int64]:
    """Return the spans of frames of one fragment each, of which there is no table."""
    reader.seek(first)
    spans, at = np.empty((frames, 2), np.int64), first
    count = 0
    while (length := _fragment(reader)) is not None:
        if count < frames:
            spans[count] = at, length
        count, at = count + 1, at + length
    if frames == 1 < count:
        return np.array([[first, at - first]], np.int64)
    if count != frames:
        raise ValueError(f"{frames} frames in {count} fragments without a table of offsets")
    return spans


def _fragment(reader: ElementReader) -> int | None:
    """Go behind a fragment, and return its bytes with their header; None behind the last one."""
    tag, length = reader.next()
    if tag == SEQUENCE_END:
        return None
    if tag != ITEM or length == UNDEFINED:
        raise ValueError(f"no fragment at byte {reader.at - FRAGMENT_HEAD_BYTES}")
    reader.skip(length)
    return FRAGMENT_HEAD_BYTES + length
