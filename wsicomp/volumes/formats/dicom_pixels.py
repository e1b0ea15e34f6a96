"""The voxels of a DICOM frame, as they lie in the file or decoded.

Decoders see bytes of files that may be hostile: what they state is checked before, what they return after.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import UnsupportedVolumeError, VolumeReadError
from wsicomp.volumes.codecs.streams import jpeg2000_codestream, jpegxl_codestream
from wsicomp.volumes.formats.dicom_file import NATIVE, DicomFile, PixelLayout
from wsicomp.volumes.volume import VoxelSlice

JPEG_BASELINE, JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS, JPEG_LOSSLESS_FIRST = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"
JPEGLS, JPEGLS_NEAR = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
JPEG2000_LOSSLESS, JPEG2000_ANY = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS, HTJ2K_PROGRESSIVE = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202"
HTJ2K_ANY = "1.2.840.10008.1.2.4.203"
JPEGXL_LOSSLESS, JPEGXL_PACKED, JPEGXL_ANY = (f"1.2.840.10008.1.2.4.{number}" for number in (110, 111, 112))
RLE = "1.2.840.10008.1.2.5"
PLAIN_FRAGMENTS, DEFLATED_FRAMES = "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1"

LOSSY_SYNTAXES = frozenset({JPEG_BASELINE, JPEG_EXTENDED, JPEGLS_NEAR, JPEGXL_PACKED})
"""Whose decoded voxels are never exactly those that the scanner made."""
_SOF_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_RLE_HEADER = 64
_EOI, _PADDING = b"\xff\xd9", b"\0\xff"

Words = NDArray[Any]
"""(rows, columns), unsigned: all bits that are allocated for each voxel."""


def read_frame(file: DicomFile, stream: BinaryIO, number: int) -> VoxelSlice:
    """Return a frame's voxels, with the bits that are not part of their values cleared.

    Raises:
        VolumeReadError: the frame is damaged, or decodes to something else than the header states.
        UnsupportedVolumeError: no decoder for its transfer syntax.
    """
    if file.layout.syntax in NATIVE:
        return as_values(read_words(file, stream, number), file.layout)
    data = b""
    for start, length in file.places.frames[number]:
        stream.seek(start)
        data += stream.read(length)
    try:
        return decode_frame(data, file.layout)
    except VolumeReadError as exc:
        raise type(exc)(exc.message, file.path, f"frame {number}") from exc


def read_words(file: DicomFile, stream: BinaryIO, number: int) -> Words:
    """Return a frame that is not compressed with all its bits, in this machine's byte order.

    Floating-point voxels come back as they are.

    Raises:
        VolumeReadError: the file ends early.
    """
    layout = file.layout
    stream.seek(file.places.start + number * layout.frame_bytes)
    data = stream.read(layout.frame_bytes)
    if len(data) != layout.frame_bytes:
        raise VolumeReadError("ends early", file.path, f"frame {number}")
    dtype = word_dtype(layout).newbyteorder(">" if layout.is_big_endian else "<")
    return np.frombuffer(data, dtype).reshape(layout.shape).astype(word_dtype(layout))


def word_dtype(layout: PixelLayout) -> np.dtype[Any]:
    """Return the unsigned dtype of a voxel's allocated bits, or the dtype itself for floats."""
    return layout.dtype if layout.dtype.kind == "f" else np.dtype(f"uint{layout.bits[0]}")


def as_values(words: Words, layout: PixelLayout) -> VoxelSlice:
    """Return the values of words: unused high bits cleared, or the sign's where voxels are signed."""
    if layout.dtype.kind == "f":
        return words
    unused = layout.bits[0] - layout.bits[1]
    values: VoxelSlice = words.view(layout.dtype)
    return (values << unused) >> unused if unused else values


def decode_frame(data: bytes, layout: PixelLayout) -> VoxelSlice:
    """Return the voxels of a compressed frame.

    Raises:
        VolumeReadError: the bytes are damaged, or hold another size, or more bits than the header states.
        UnsupportedVolumeError: no decoder for this transfer syntax.
    """
    decoder = _DECODERS.get(layout.syntax)
    if decoder is None or layout.dtype.kind == "f":
        raise UnsupportedVolumeError(
            f"no decoder for transfer syntax {layout.syntax}; convert it by another program"
        )
    try:
        decoded = np.asarray(decoder(data, layout))
    except VolumeReadError:
        raise
    except (
        ValueError,
        RuntimeError,
        TypeError,
        IndexError,
        EOFError,
        MemoryError,
        zlib.error,
        struct.error,
    ) as exc:
        raise VolumeReadError(
            f"its compressed voxels cannot be decoded ({' '.join(str(exc).split())})"
        ) from exc
    return _checked(decoded, layout)


def _checked(decoded: NDArray[Any], layout: PixelLayout) -> VoxelSlice:
    """Return decoded voxels as values, unless the decoder made something else than the header states."""
    if decoded.shape != layout.shape or decoded.dtype.kind not in "iu":
        found = f"{decoded.dtype} {' x '.join(map(str, decoded.shape))}"
        raise VolumeReadError(f"decodes to {found}, expected {' x '.join(map(str, layout.shape))} integers")
    allocated, stored = layout.bits
    wide = decoded.astype(np.int64)
    low, high = int(wide.min()), int(wide.max())
    if low < -(1 << (allocated - 1)) or high >= 1 << allocated:
        raise VolumeReadError(f"decodes to values from {low} to {high}, expected {allocated} bits")
    values = as_values(wide.astype(np.dtype(f"uint{allocated}")), layout)
    beyond = (wide - values) & ((1 << stored) - 1)
    kept = (wide == values) | (wide == values.astype(np.int64) & ((1 << stored) - 1))
    kept |= wide == values.astype(np.int64) & ((1 << allocated) - 1)
    if beyond.any() or not kept.all():
        raise VolumeReadError(f"decodes to values from {low} to {high}, expected {stored} bits")
    return values


def _expect(found: tuple[int, int, int], layout: PixelLayout) -> None:
    """Refuse a stream that states another size, or several components, before memory is taken for it."""
    rows, columns, components = found
    if (rows, columns) != layout.shape or components != 1:
        stated = f"{rows} x {columns} voxels of {components} values"
        expected = f"{layout.shape[0]} x {layout.shape[1]} of 1"
        raise VolumeReadError(f"its compressed voxels state {stated}, expected {expected}")


def _jpeg_size(data: bytes) -> tuple[int, int, int]:
    """Return (rows, columns, components) of a JPEG or JPEG-LS stream."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _SOF_MARKERS:
            rows, columns, components = struct.unpack_from(">HHB", data, at + 5)
            return rows, columns, components
        at += 1 if marker == 0xFF else 2
        if marker != 0xFF and marker not in _BARE_MARKERS:
            at += struct.unpack_from(">H", data, at)[0]
    raise VolumeReadError("its compressed voxels are no JPEG stream")


def _check_jpeg(data: bytes, layout: PixelLayout) -> None:
    """Refuse a JPEG or JPEG-LS stream of another size than the header's, or without its end marker.

    Without it libjpeg fills up with grey, and CharLS 2.4 waits for ever.
    """
    _expect(_jpeg_size(data), layout)
    if not data.rstrip(_PADDING).endswith(_EOI):
        raise VolumeReadError("its compressed voxels end early")


def _decode_jpeg(data: bytes, layout: PixelLayout) -> NDArray[Any]:
    _check_jpeg(data, layout)
    return imagecodecs.jpeg8_decode(data)


def _decode_jpegls(data: bytes, layout: PixelLayout) -> NDArray[Any]:
    _check_jpeg(data, layout)
    return imagecodecs.jpegls_decode(data)


def _decode_jpeg2000(data: bytes, layout: PixelLayout) -> NDArray[Any]:
    return imagecodecs.jpeg2k_decode(jpeg2000_codestream(data, layout.shape, None), numthreads=1)


def _decode_jpegxl(data: bytes, layout: PixelLayout) -> NDArray[Any]:
    return imagecodecs.jpegxl_decode(jpegxl_codestream(data, layout.shape), numthreads=1)


def _decode_rle(data: bytes, layout: PixelLayout) -> NDArray[Any]:
    """Return a frame from planes of bytes, the highest first, each of which must be whole.

    Source: PS3.5 annex G.
    """
    dtype = np.dtype(f"uint{layout.bits[0]}")
    count, *offsets = struct.unpack_from("<16I", data)
    if count != dtype.itemsize or offsets[:count] != sorted(offsets[:count]) or offsets[0] < _RLE_HEADER:
        raise VolumeReadError(f"has {count} RLE segments, expected {dtype.itemsize}")
    need = layout.shape[0] * layout.shape[1]
    planes = np.empty((*layout.shape, count), np.uint8)
    for number, (start, end) in enumerate(zip(offsets[:count], [*offsets[1:count], len(data)], strict=True)):
        found = imagecodecs.packbits_decode(data[start:end], out=bytearray(need + 1))  # it may be padded
        if len(found) < need:
            raise VolumeReadError(f"has {len(found)} bytes in an RLE segment, expected {need}: it ends early")
        planes[..., number] = np.frombuffer(found, np.uint8, need).reshape(layout.shape)
    return planes.view(dtype.newbyteorder(">"))[..., 0]


def _decode_plain(data: bytes, layout: PixelLayout) -> NDArray[Any]:
    if len(data) not in (layout.frame_bytes, layout.frame_bytes + layout.frame_bytes % 2):
        raise VolumeReadError(f"has {len(data)} bytes of voxels, expected {layout.frame_bytes}")
    words = np.frombuffer(data[: layout.frame_bytes], word_dtype(layout).newbyteorder("<")).reshape(
        layout.shape
    )
    return as_values(words.astype(word_dtype(layout)), layout)


def _decode_deflated(data: bytes, layout: PixelLayout) -> NDArray[Any]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    return _decode_plain(inflater.decompress(data, layout.frame_bytes + 2), layout)


_DECODERS: Mapping[str, Callable[[bytes, PixelLayout], NDArray[Any]]] = {
    **dict.fromkeys((JPEG_BASELINE, JPEG_EXTENDED, JPEG_LOSSLESS, JPEG_LOSSLESS_FIRST), _decode_jpeg),
    **dict.fromkeys((JPEGLS, JPEGLS_NEAR), _decode_jpegls),
    **dict.fromkeys(
        (JPEG2000_LOSSLESS, JPEG2000_ANY, HTJ2K_LOSSLESS, HTJ2K_PROGRESSIVE, HTJ2K_ANY), _decode_jpeg2000
    ),
    **dict.fromkeys((JPEGXL_LOSSLESS, JPEGXL_PACKED, JPEGXL_ANY), _decode_jpegxl),
    RLE: _decode_rle,
    PLAIN_FRAGMENTS: _decode_plain,
    DEFLATED_FRAMES: _decode_deflated,
}
