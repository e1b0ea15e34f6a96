"""Check encoded planes before a decoder sees them: what they state bounds the memory that a decoder takes.

Each function raises ValueError if a stream is damaged, has another size or bit depth than its plane, or uses
what none of our encoders writes.
"""

from __future__ import annotations

import struct

from wsicomp.codecs.jpeg2000_stream import bare_codestream, read_form
from wsicomp.codecs.jpeg_stream import check_scans, check_size
from wsicomp.codecs.jpegxl_header import read_picture
from wsicomp.codecs.jpegxl_stream import Bits, codestream, read_size
from wsicomp.geometry import Size

Shape = tuple[int, int]
_SAMPLE_BITS = 42
"""The byte of a codestream that holds the bits of its first component, less one."""
_JPEGLS_FRAME, _JPEGLS_SCAN = 0xF7, 0xDA
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_FRAME = struct.Struct(">BHHB")


def jpegxl_codestream(data: bytes, shape: Shape) -> bytes:
    """Return the codestream of a JPEG XL plane: one grey picture of `shape`, and nothing besides.

    libjxl puts samples of more than 12 bits in a box that says so, which no decoder needs.
    """
    stream = codestream(data)
    _expect_shape("JPEG XL", read_size(Bits(stream)).shape, shape)
    read_picture(stream, is_grey=True)
    return stream


def jpeg2000_codestream(data: bytes, shape: Shape, bits: int | None) -> bytes:
    """Return the codestream of a JPEG 2000 plane, of `shape` and one component.

    It is unsigned, with samples of 1 to 8 bits where `bits` is up to 8, otherwise of 9 to 16. With None for
    `bits`, samples are any and the origin is anywhere, as other programs write it.
    """
    stream = bare_codestream(data)
    form = read_form(stream, components=1)
    _expect_shape("JPEG 2000", form.size.shape, shape)
    if form.is_subsampled:
        raise ValueError("JPEG 2000 with a component that is subsampled")
    if bits is None:
        return stream
    if struct.unpack_from(">2I", stream, 16) != (0, 0):
        raise ValueError("JPEG 2000 that does not begin at its origin")
    stated = stream[_SAMPLE_BITS] + 1
    if (stated - 1) // 8 != (bits - 1) // 8:
        raise ValueError(f"JPEG 2000 of {stated} bits a sample, expected {bits}")
    return stream


def check_jpegls(data: bytes, shape: Shape) -> None:
    """Refuse a JPEG-LS stream that is not one component of `shape`, or that does not end with a marker.

    Where a scan ends without a marker, CharLS 2.4 waits for one for ever.

    Source: ITU-T T.87 annex C.1: SOF55 holds bits, lines, samples a line and the number of components.
    """
    at = len(_SOI)
    if not data.startswith(_SOI) or not data.endswith(_EOI):
        raise ValueError("not a whole JPEG-LS stream")
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _JPEGLS_SCAN:
        if data[at + 1] == _JPEGLS_FRAME and at + 4 + _FRAME.size <= len(data):
            _, rows, columns, count = _FRAME.unpack_from(data, at + 4)
            _expect_shape("JPEG-LS", (rows, columns), shape)
            if count != 1:
                raise ValueError(f"JPEG-LS of {count} components, expected 1")
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise ValueError("JPEG-LS without a frame header")


def check_jpeg(data: bytes, shape: Shape) -> None:
    """Refuse a JPEG that is not of `shape`, or that has more scans than any encoder writes."""
    size = Size(shape[1], shape[0])
    check_scans(data, size)
    check_size(data, size)


def _expect_shape(what: str, found: Shape, expected: Shape) -> None:
    if found != expected:
        raise ValueError(f"{what} of {found[0]} x {found[1]} voxels, expected {expected[0]} x {expected[1]}")
