"""One DICOM file: its header by pydicom, and where the voxels of each frame lie in it.

This module must not know other files of the series, nor what voxels stand for.
"""

from __future__ import annotations

import io
import os
import struct
import tempfile
import warnings
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from wsicomp.errors import UnsupportedVolumeError, VolumeReadError
from wsicomp.files.inputs import reading

if TYPE_CHECKING:
    from pydicom import Dataset

EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
PIXEL_DATA = 0x7FE00010
NATIVE = frozenset({EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED})
"""Transfer syntaxes whose pixel data is the voxels one after another."""
_DIRECTORY = "1.2.840.10008.1.3.10"
_PIXEL_TAGS = {PIXEL_DATA: "integer", 0x7FE00008: "float32", 0x7FE00009: "float64"}
_PREAMBLE, _MAGIC = 128, b"DICM"
HEAD_BYTES = 132
"""As many as `is_dicom` needs."""
_META_LENGTH_BYTES = 12
_DEFERRED_BYTES = 1 << 20
_MOST_HEADER_BYTES = 1 << 26
_MOST_INFLATED_BYTES = 1 << 29
_CHUNK_BYTES = 1 << 20
_MOST_SLICE_BYTES = 1 << 30
_MOST_FRAMES = 1 << 20
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_UNDEFINED = 0xFFFFFFFF
_LONG_FORMS = {b"OB", b"OW", b"OF", b"OD", b"UN", b"OL", b"OV"}

Fragments = tuple[tuple[int, int], ...]
"""(offset, length) of each piece of a frame's encoded bytes."""


@dataclass(frozen=True)
class PixelLayout:
    """The form in which a file stores its voxels."""

    syntax: str
    """The transfer syntax's UID."""
    shape: tuple[int, int]
    """(rows, columns) of each frame."""
    frames: int
    """How many frames."""
    bits: tuple[int, int]
    """Bits allocated for a voxel, and how many of them, the lowest, are its value."""
    dtype: np.dtype[Any]
    """Of the voxels, in this machine's byte order."""

    @property
    def is_big_endian(self) -> bool:
        """True if the high byte of a voxel comes first."""
        return self.syntax == BIG_ENDIAN

    @property
    def frame_bytes(self) -> int:
        """The size of a frame that is not compressed."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


@dataclass(frozen=True)
class PixelPlaces:
    """The places of the voxels in a file, inflated if it is deflated."""

    start: int
    """The byte at which the pixel data's value begins."""
    end: int
    """The byte behind the voxels: padding and other elements may follow."""
    frames: tuple[Fragments, ...] = ()
    """For compressed pixel data, the pieces of each frame."""


@dataclass(frozen=True)
class DicomFile:
    """A file with pixel data of one value a voxel."""

    path: Path
    """Of the file."""
    stamp: tuple[int, int]
    """Its size in bytes and time of change, by which a change is noticed."""
    layout: PixelLayout
    """How its voxels are stored."""
    places: PixelPlaces
    """Where they are."""


def read_dicom_header(path: Path) -> tuple[Dataset, DicomFile] | None:
    """Return a file's elements in front of its pixel data, and the place of its voxels.

    Return None for a file that is no DICOM image: another format, a DICOMDIR, a report, a plan. An image
    that ends before its voxels is an error: left out, it would be a slice less.

    Raises:
        VolumeReadError: the file is damaged or ends early.
        UnsupportedVolumeError: its pixel data is not one number of 8, 16 or 32 bits a voxel.
    """
    with reading(path, VolumeReadError), path.open("rb") as file:
        if not is_dicom(file.read(HEAD_BYTES)):
            return None
        stat = path.stat()
        with dicom_errors(path):
            syntax = _meta_syntax(file)
            stamp = stat.st_size, stat.st_mtime_ns
            stream = _inflated(path, stamp) if syntax == DEFLATED else file
            header, at = parse_header(stream)
            if at > _MOST_HEADER_BYTES:
                raise UnsupportedVolumeError(
                    f"a header of {at} bytes, expected at most {_MOST_HEADER_BYTES}", path
                )
            found = _pixel_element(stream, header, at)
            if found is None:
                _check_no_image(header)
                return None
            kind, start, length = found
            syntax = syntax or _guessed_syntax(header)
            layout = _layout(header, syntax, kind, path)
            places = _places(stream, layout, start, length)
    return header, DicomFile(path, stamp, layout, places)


@contextmanager
def dicom_stream(file: DicomFile) -> Iterator[BinaryIO]:
    """Open a file again, inflated if it is deflated.

    Raises:
        VolumeReadError: the file changed since its header was read, or cannot be read.
    """
    with reading(file.path, VolumeReadError), file.path.open("rb") as stream:
        stat = file.path.stat()
        if (stat.st_size, stat.st_mtime_ns) != file.stamp:
            raise VolumeReadError("changed while it was read; open it again", file.path)
        yield _inflated(file.path, file.stamp) if file.layout.syntax == DEFLATED else stream


@contextmanager
def dicom_errors(path: Path) -> Iterator[None]:
    """Turn what pydicom raises at a damaged file into an error in one line, and keep its warnings quiet.

    Raises:
        VolumeReadError: the block raised an error that is none of ours.
    """
    from pydicom.errors import BytesLengthException, InvalidDicomError

    damaged = (ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, NotImplementedError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except VolumeReadError as exc:
        if exc.path is None:
            raise type(exc)(exc.message, path, exc.place) from exc
        raise
    except (*damaged, InvalidDicomError, BytesLengthException, struct.error, RecursionError) as exc:
        raise VolumeReadError(f"its DICOM header is damaged ({type(exc).__name__})", path) from exc


def parse_header(stream: BinaryIO) -> tuple[Dataset, int]:
    """Return the elements in front of the pixel data, and the byte at which that element begins.

    Elements of more than a megabyte are read when asked for.
    """
    from pydicom import dcmread

    stream.seek(0)
    header = dcmread(stream, stop_before_pixels=True, force=True, defer_size=_DEFERRED_BYTES)
    return header, stream.tell()


def is_dicom(head: bytes) -> bool:
    """Return whether a file with these first bytes is DICOM, or its data set alone, without a preamble."""
    if head[_PREAMBLE:HEAD_BYTES] == _MAGIC:
        return True
    if len(head) < 8:
        return False
    group, element = struct.unpack_from("<2H", head)
    is_explicit = head[4:6].isalpha() and head[4:6].isupper()
    return group in (2, 8) and element <= 0x20 and (is_explicit or head[6:8] == b"\0\0")


def _meta_syntax(file: BinaryIO) -> str:
    """Return the transfer syntax that the file's meta information states, "" for none."""
    from pydicom import dcmread

    file.seek(0)
    head = file.read(HEAD_BYTES + _META_LENGTH_BYTES)
    if head[_PREAMBLE:HEAD_BYTES] != _MAGIC or head[HEAD_BYTES : HEAD_BYTES + 4] != b"\x02\0\0\0":
        file.seek(0)
        meta = parse_header(file)[0].file_meta
    else:
        length = min(struct.unpack_from("<I", head, HEAD_BYTES + 8)[0], 1 << 16)
        meta = dcmread(io.BytesIO(head + file.read(length)), force=True).file_meta
    return str(meta.get("TransferSyntaxUID", ""))


def _guessed_syntax(header: Dataset) -> str:
    is_implicit, is_little = header.original_encoding
    if not is_little:
        return BIG_ENDIAN
    return IMPLICIT if is_implicit else EXPLICIT


class _Unnamed:
    """The bytes of a temporary file that has no name, until nobody reads them any more."""

    def __init__(self, file: IO[bytes]) -> None:
        file.flush()
        self.descriptor = os.dup(file.fileno())
        self.size = os.fstat(self.descriptor).st_size
        weakref.finalize(self, os.close, self.descriptor)


class _Reader(io.RawIOBase):
    """Reads an unnamed file from a place of its own, whoever else reads it."""

    def __init__(self, source: _Unnamed) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = (0, self._at, self._source.size)[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = os.preadv(self._source.descriptor, [buffer], self._at)
        self._at += count
        return count


def _inflated(path: Path, stamp: tuple[int, int]) -> BinaryIO:
    """Return a deflated file as the same data set not deflated."""
    return cast(BinaryIO, _Reader(_inflated_file(path, stamp)))


@lru_cache(maxsize=1)  # every slice of a file asks for it
def _inflated_file(path: Path, stamp: tuple[int, int]) -> _Unnamed:  # noqa: ARG001
    """Inflate a file into a temporary one; `stamp` tells its states apart.

    Source: PS3.5 annex A.5: all behind the meta information is one stream of raw deflate.
    """
    with path.open("rb") as file, tempfile.TemporaryFile() as made:
        made.write(_explicit_head(file, path))
        inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
        try:
            while not inflater.eof and (data := inflater.unconsumed_tail or file.read(_CHUNK_BYTES)):
                piece = inflater.decompress(data, _CHUNK_BYTES)
                size += made.write(piece)
                if size > _MOST_INFLATED_BYTES:
                    found = f"a deflated file of more than {_MOST_INFLATED_BYTES} bytes"
                    raise UnsupportedVolumeError(f"{found}; inflate it by another program", path)
            made.write(inflater.flush())
        except zlib.error as exc:
            raise VolumeReadError(f"its deflated data set is damaged ({exc})", path) from exc
        if not inflater.eof:
            raise VolumeReadError("its deflated data set ends early", path)
        return _Unnamed(made)


def _explicit_head(file: BinaryIO, path: Path) -> bytes:
    """Return what stands in front of the data set, for one that is not deflated; leave the file behind it."""
    from pydicom import dcmread
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_file_meta_info
    from pydicom.uid import UID

    head = file.read(HEAD_BYTES + _META_LENGTH_BYTES)
    length = struct.unpack_from("<I", head, HEAD_BYTES + 8)[0]
    if length > 1 << 16:
        raise VolumeReadError("its meta information is damaged", path)
    head += file.read(length)
    meta = dcmread(io.BytesIO(head)).file_meta
    meta.TransferSyntaxUID = UID(EXPLICIT)
    written = DicomBytesIO()
    write_file_meta_info(written, meta, enforce_standard=False)
    return head[:HEAD_BYTES] + written.getvalue()


def _pixel_element(stream: BinaryIO, header: Dataset, at: int) -> tuple[str, int, int] | None:
    """Return (kind of voxels, start of the value, its length) of the pixel data; None if there is none."""
    if str(header.get("SOPClassUID", "")) == _DIRECTORY or "Rows" not in header:
        return None
    is_implicit, is_little = header.original_encoding
    order = "<" if is_little else ">"
    stream.seek(at)
    head = stream.read(12)
    if len(head) < 8:
        return None
    group, element = struct.unpack_from(f"{order}2H", head)
    kind = _PIXEL_TAGS.get(group << 16 | element)
    if kind is None:
        return None
    if not is_implicit and head[4:6] in _LONG_FORMS:
        if len(head) < 12:
            raise VolumeReadError("the file ends in front of its voxels")
        return kind, at + 12, struct.unpack_from(f"{order}I", head, 8)[0]
    return kind, at + 8, struct.unpack_from(f"{order}I", head, 4)[0]


def _check_no_image(header: Dataset) -> None:
    """Refuse a data set without voxels that is an image by its class, or that ends before it states one."""
    from pydicom.uid import UID

    is_file = header.preamble is not None
    kind = str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID", ""))
    is_cut = is_file and "SOPClassUID" not in header and kind != _DIRECTORY
    if is_cut or "Image Storage" in UID(kind).name:
        raise VolumeReadError("ends before its voxels; get another copy of the file, or take it away")


def _layout(header: Dataset, syntax: str, kind: str, path: Path) -> PixelLayout:
    samples, photometric = (
        int(header.get("SamplesPerPixel", 1)),
        str(header.get("PhotometricInterpretation", "")),
    )
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        found = f"{photometric or 'colour'} with {samples} values a voxel"
        raise UnsupportedVolumeError(f"{found}, expected one grey value (MONOCHROME1 or MONOCHROME2)", path)
    rows, columns = int(header.Rows), int(header.Columns)
    frames = int(header.get("NumberOfFrames") or 1)
    dtype, bits = _integers(header, path) if kind == "integer" else _floats(kind)
    layout = PixelLayout(syntax, (rows, columns), frames, bits, dtype)
    if min(rows, columns, frames) < 1 or frames > _MOST_FRAMES or layout.frame_bytes > _MOST_SLICE_BYTES:
        raise UnsupportedVolumeError(f"states {frames} frames of {rows} x {columns} voxels", path)
    if syntax == BIG_ENDIAN and dtype.itemsize == 1:
        message = "8 bits in big-endian words; convert it to Explicit VR Little Endian by another program"
        raise UnsupportedVolumeError(message, path)
    return layout


def _floats(kind: str) -> tuple[np.dtype[Any], tuple[int, int]]:
    dtype: np.dtype[Any] = np.dtype(kind)
    return dtype, (8 * dtype.itemsize, 8 * dtype.itemsize)


def _integers(header: Dataset, path: Path) -> tuple[np.dtype[Any], tuple[int, int]]:
    allocated = int(header.BitsAllocated)
    stored = int(header.get("BitsStored") or allocated)
    high = header.get("HighBit")
    high = stored - 1 if high is None else int(high)
    if allocated not in (8, 16, 32) or not 1 <= stored <= allocated or high != stored - 1:
        found = f"{stored} bits of {allocated} up to bit {high}"
        expected = "expected 8, 16 or 32 with the lowest used"
        raise UnsupportedVolumeError(f"{found} a voxel, {expected}", path)
    is_signed = int(header.get("PixelRepresentation") or 0) == 1
    return np.dtype(f"{'int' if is_signed else 'uint'}{allocated}"), (allocated, stored)


def _places(stream: BinaryIO, layout: PixelLayout, start: int, length: int) -> PixelPlaces:
    size = stream.seek(0, io.SEEK_END)
    if layout.syntax in NATIVE:
        need = layout.frames * layout.frame_bytes
        if length == _UNDEFINED:
            raise VolumeReadError("its voxels are compressed, though its transfer syntax says they are not")
        if min(length, size - start) < need:
            raise VolumeReadError(
                f"has {min(length, size - start)} bytes of voxels, expected {need}: it ends early"
            )
        return PixelPlaces(start, start + need)
    if length != _UNDEFINED:
        raise VolumeReadError("its voxels are not in fragments, though its transfer syntax says so")
    return _encapsulated(stream, layout.frames, start, size)


def _encapsulated(stream: BinaryIO, frames: int, start: int, size: int) -> PixelPlaces:
    """Return the fragments of each frame.

    Source: PS3.5 annex A.4: an item with the frames' offsets or nothing, then an item a fragment.
    """
    table, at = _item(stream, start, size)
    fragments: list[tuple[int, int]] = []
    first = end = at + table
    while (length := _item(stream, end, size)[0]) >= 0:
        fragments.append((end + 8, length))
        end += 8 + length
    if frames == 1 or len(fragments) == frames:
        grouped = [tuple(fragments)] if frames == 1 else [(each,) for each in fragments]
    else:
        stream.seek(at)
        offsets = struct.unpack(f"<{table // 4}I", stream.read(table // 4 * 4))
        starts = [first + offset for offset in offsets]
        if len(starts) != frames or starts[0] != first or starts != sorted(starts):
            raise VolumeReadError(f"{len(fragments)} fragments and no table of offsets for {frames} frames")
        bounds = zip(starts, [*starts[1:], end], strict=True)
        grouped = [tuple(each for each in fragments if low < each[0] <= high) for low, high in bounds]
    if not all(grouped):
        raise VolumeReadError("a frame has no bytes: it ends early")
    return PixelPlaces(start, end + 8, tuple(grouped))


def _item(stream: BinaryIO, at: int, size: int) -> tuple[int, int]:
    """Return an item's length and where its value begins; the length is -1 at the end of all items."""
    stream.seek(at)
    head = stream.read(8)
    if head[:4] == _END:
        return -1, at + 8
    length = struct.unpack_from("<I", head, 4)[0] if len(head) == 8 else _UNDEFINED
    if head[:4] != _ITEM or at + 8 + length > size:
        raise VolumeReadError("its compressed voxels end early or are damaged")
    return length, at + 8
