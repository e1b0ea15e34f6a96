"""Gives a restorable conversion of wsicomp 0.7 or before the index by which its source is read at random."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import asdict
from typing import BinaryIO

import tifffile

from wsicomp.errors import SlideReadError
from wsicomp.formats.converted.lzma_restoration import LzmaRemainder
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.tiff import xmp
from wsicomp.plan.provenance import Restoration
from wsicomp.progress import StageProgress

_STEP_BYTES = 1 << 20


def write_with_index(slide: ConvertedSlide, file: BinaryIO, workers: int, progress: StageProgress) -> None:
    """Write a conversion into `file` with an index in place of its LZMA stream; all else stays as it is.

    Raises:
        SlideReadError: the conversion cannot be read, is damaged, or does not rebuild its source.
        OSError: the file system refuses.
    """
    with tifffile.TiffFile(slide.info.path) as tiff:
        tag = tiff.pages.first.tags[xmp.XMP_TAG]
        text = xmp.unwrap(tag.value)
        form, entry, at, count = tiff.tiff, tag.offset, tag.valueoffset, tag.count
    kept = slide.required_restoration()
    if text is None or kept.offset + kept.bytes > at or at + count != slide.file.bytes:
        message = "its parts do not stand as wsicomp wrote them; restore its source and convert that again"
        raise SlideReadError(message, slide.info.path)
    file.writelines(_bytes(slide, kept.offset))
    remainder = LzmaRemainder(slide, workers, progress)
    file.writelines(remainder.blocks(kept.offset))
    index = remainder.index()
    file.write(index)
    found = Restoration(kept.offset, file.tell() - kept.offset, hashlib.sha256(index).hexdigest(), len(index))
    packet = xmp.wrap(_with_restoration(text, found))
    place = file.tell()
    file.write(packet)
    file.seek(entry + form.tagsize - 2 * form.offsetsize)  # the count and the offset of the packet
    file.write(struct.pack(f"{form.byteorder}{form.offsetformat[-1] * 2}", len(packet), place))
    file.seek(0, os.SEEK_END)


def _bytes(slide: ConvertedSlide, end: int) -> Iterator[bytes]:
    for at in range(0, end, _STEP_BYTES):
        yield slide.file.read(at, min(_STEP_BYTES, end - at), f"byte {at}")


def _with_restoration(text: str, restoration: Restoration) -> str:
    values = json.loads(text) | {"restoration": asdict(restoration)}
    return json.dumps(values, separators=(",", ":"), sort_keys=True)
