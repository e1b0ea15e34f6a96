"""Gives a restorable conversion of wsicomp 0.7 or before the index by which its source is read at random."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import BinaryIO

import tifffile

from wsicomp.errors import SlideReadError
from wsicomp.formats.converted.lzma_restoration import LzmaRemainder
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.converted.source_remainder import write_remainder
from wsicomp.formats.tiff import xmp
from wsicomp.formats.tiff.directories import UNPARSED
from wsicomp.plan.provenance import Restoration
from wsicomp.progress import StageProgress

_STEP_BYTES, _ALIGNMENT = 1 << 20, 16


def write_with_index(slide: ConvertedSlide, file: BinaryIO, workers: int, progress: StageProgress) -> None:
    """Write a conversion into `file` with an index in place of its LZMA stream; all else stays as it is.

    Raises:
        SlideReadError: the conversion cannot be read, is damaged, or does not rebuild its source.
        OSError: the file system refuses.
    """
    place, text = _packet(slide)
    kept = slide.required_restoration()
    gap = place.offset - kept.offset - kept.bytes
    ends = place.offset + place.count == slide.file.bytes
    if not (0 <= gap < _ALIGNMENT and ends and place.entry < kept.offset):
        message = "its parts do not stand as wsicomp wrote them; restore its source and convert that again"
        raise SlideReadError(message, slide.info.path)
    file.writelines(_bytes(slide, kept.offset))
    found = write_remainder(file, LzmaRemainder(slide, workers, progress))
    packet, at = xmp.wrap(_with_restoration(text, found)), file.tell()
    if at + len(packet) > place.most_bytes:
        message = "it would grow beyond what its TIFF can be; restore its source and convert that again"
        raise SlideReadError(message, slide.info.path)
    file.write(packet)
    file.seek(place.entry)
    file.write(struct.pack(place.form, len(packet), at))
    file.seek(0, os.SEEK_END)


@dataclass(frozen=True)
class _PacketPlace:
    """Where the packet is, and where its directory says so."""

    offset: int
    count: int
    entry: int
    """The offset of two numbers, the packet's count of bytes and its offset."""
    form: str
    """How both are packed."""
    most_bytes: int
    """The most bytes that the file can have."""


def _packet(slide: ConvertedSlide) -> tuple[_PacketPlace, str]:
    """Return the place of the provenance, and its text.

    Raises:
        SlideReadError: the file has changed since it was opened.
    """
    try:
        with tifffile.TiffFile(slide.info.path) as tiff:
            tag, layout = tiff.pages.first.tags[xmp.XMP_TAG], tiff.tiff
            text = xmp.unwrap(tag.value)
    except UNPARSED as exc:
        raise SlideReadError(f"damaged TIFF ({exc})", slide.info.path) from exc
    if text is None:
        raise SlideReadError("its provenance is gone; it changed meanwhile", slide.info.path)
    entry = tag.offset + layout.tagsize - 2 * layout.offsetsize
    form = f"{layout.byteorder}{layout.offsetformat[-1] * 2}"
    most = (1 << 8 * layout.offsetsize) - 1
    return _PacketPlace(tag.valueoffset, tag.count, entry, form, most), text


def _bytes(slide: ConvertedSlide, end: int) -> Iterator[bytes]:
    for at in range(0, end, _STEP_BYTES):
        yield slide.file.read(at, min(_STEP_BYTES, end - at), f"byte {at}")


def _with_restoration(text: str, restoration: Restoration) -> str:
    values = json.loads(text) | {"restoration": asdict(restoration)}
    return json.dumps(values, separators=(",", ":"), sort_keys=True)
