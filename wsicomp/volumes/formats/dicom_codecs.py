"""Encoders of a DICOM file's frames, and the transfer syntaxes that name them.

The streams are bare, as DICOM has them: no container, no profile, the sign where the format has one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import imagecodecs
import numpy as np

from wsicomp.codecs.quality import psnr
from wsicomp.errors import ConfigError, UnknownCodecError, VerificationError
from wsicomp.volumes.formats.dicom_file import DEFLATED, EXPLICIT, PixelLayout
from wsicomp.volumes.formats.dicom_pixels import (
    HTJ2K_ANY,
    HTJ2K_LOSSLESS,
    JPEG2000_ANY,
    JPEG2000_LOSSLESS,
    JPEGLS,
    JPEGLS_NEAR,
    JPEGXL_ANY,
    JPEGXL_LOSSLESS,
    RLE,
    word_dtype,
)
from wsicomp.volumes.volume import VoxelSlice

_SEARCH_STEPS = 10
_JPEGXL_EFFORT = 3
_PSNR_SPARE_DB = 0.1
_RLE_HEADER = 64
_RLE_MOST_BYTES = 4


@dataclass(frozen=True)
class DicomLoss:
    """The loss that is allowed: exactly one of these is given."""

    near: int | None = None
    """The most by which a stored value may change (JPEG-LS)."""
    psnr_db: float | None = None
    """PSNR of each frame in dB, to the peak of all bits that are stored."""
    ratio: float | None = None
    """How many times smaller than its allocated bits each frame becomes, at least."""


@dataclass(frozen=True)
class DicomCodec:
    """A codec, as the command line spells it, with its transfer syntaxes."""

    name: str
    """As the command line spells it."""
    lossless: str
    """UID of the transfer syntax without loss."""
    lossy: str = ""
    """UID of the one with loss; "" if there is none."""
    method: str = ""
    """What the header calls the loss's method (PS3.3 C.7.6.1.1.5.1)."""
    read_by: str = ""
    """Who opens such files, found by trying."""


DICOM_CODECS: Mapping[str, DicomCodec] = {
    codec.name: codec
    for codec in (
        DicomCodec(
            "jpegls", JPEGLS, JPEGLS_NEAR, "ISO_14495_1", "SimpleITK, GDCM, dcmtk, pydicom with a plugin"
        ),
        DicomCodec(
            "jpeg2000", JPEG2000_LOSSLESS, JPEG2000_ANY, "ISO_15444_1", "SimpleITK, GDCM, pydicom with Pillow"
        ),
        DicomCodec("htj2k", HTJ2K_LOSSLESS, HTJ2K_ANY, "ISO_15444_15", "SimpleITK 2.5, and few others"),
        DicomCodec(
            "jpegxl", JPEGXL_LOSSLESS, JPEGXL_ANY, "ISO_18181_1", "this program; hardly any other today"
        ),
        DicomCodec("rle", RLE, read_by="nearly all"),
        DicomCodec("deflate", DEFLATED, read_by="SimpleITK, GDCM, dcmtk, pydicom"),
        DicomCodec("uncompressed", EXPLICIT, read_by="all"),
    )
}
"""Every codec of DICOM files that are written."""


def dicom_codec(name: str, loss: DicomLoss | None) -> DicomCodec:
    """Return a codec that can lose what `loss` says, or nothing for None.

    Raises:
        UnknownCodecError: no codec has this name.
        ConfigError: the codec cannot lose in this way, or the numbers make no sense.
    """
    codec = DICOM_CODECS.get(name)
    if codec is None:
        raise UnknownCodecError(f"{name!r} is no codec of DICOM files; these are: {', '.join(DICOM_CODECS)}")
    if loss is None:
        return codec
    given = [each for each in (loss.near, loss.psnr_db, loss.ratio) if each is not None]
    if len(given) != 1 or not codec.lossy:
        raise ConfigError(f"{name} with {len(given)} limits of its loss; give one, and a codec that can lose")
    if (loss.near is not None) != (name == "jpegls"):
        raise ConfigError(f"{name} loses {'by near' if name == 'jpegls' else 'by psnr_db or ratio'} alone")
    if not 0 < given[0] < (256 if loss.near is not None else 100_000):
        raise ConfigError(f"a loss of {given[0]:g}, expected more than 0, and less than 256 for near")
    return codec


def target_layout(codec: DicomCodec, layout: PixelLayout, loss: DicomLoss | None) -> PixelLayout:
    """Return how the encoded voxels are stored.

    With loss JPEG-LS and HTJ2K may go beyond the bits that were stored, since their streams state 8 or 16; so
    does the header then, or readers would cut values that overshoot.
    """
    syntax = codec.lossless if loss is None else codec.lossy
    is_wider = loss is not None and codec.name in ("jpegls", "htj2k")
    bits = (layout.bits[0], layout.bits[0]) if is_wider else layout.bits
    return replace(layout, syntax=syntax, bits=bits)


def check_layout(codec: DicomCodec, layout: PixelLayout) -> None:
    """Refuse voxels that the codec has no form for.

    Raises:
        ConfigError: voxels of more bits, or signed or floating-point ones, where the codec takes none.
    """
    is_wide = layout.bits[0] > 16
    advice = "choose deflate" if layout.dtype.kind == "f" else "choose rle or deflate"
    if layout.dtype.kind == "f" and codec.name not in ("deflate", "uncompressed"):
        raise ConfigError(f"{codec.name} takes no floating-point voxels; {advice}")
    if is_wide and codec.name not in ("rle", "deflate", "uncompressed"):
        raise ConfigError(f"{codec.name} takes up to 16 bits a voxel, here {layout.bits[0]}; {advice}")
    if codec.name == "jpegxl" and layout.dtype.kind == "i":
        raise ConfigError(
            "JPEG XL has no signed values, and the voxels are signed; choose jpegls or jpeg2000"
        )


def encode_frame(codec: DicomCodec, voxels: VoxelSlice, layout: PixelLayout, loss: DicomLoss | None) -> bytes:
    """Return a frame as the bytes that go into its DICOM file, of an even number.

    Raises:
        VerificationError: no setting reaches the ratio or the PSNR that is asked for.
    """
    if codec.lossless in (EXPLICIT, DEFLATED):
        return voxels.astype(voxels.dtype.newbyteorder("<")).tobytes()
    if codec.lossless == RLE:
        return _even(_rle(voxels.view(word_dtype(layout))))
    if codec.lossless == JPEGLS:
        words = np.ascontiguousarray(voxels).view(word_dtype(layout))
        near = loss.near if loss is not None and loss.near is not None else 0
        return _even(imagecodecs.jpegls_encode(words, level=near))
    encode = _ENCODERS[codec.name]
    if loss is None:
        return _even(encode(voxels, layout.bits[1], None))
    if codec.name == "jpeg2000" and loss.psnr_db is not None:
        # Its setting is a PSNR, which small frames miss.
        for more_db in range(_SEARCH_STEPS):
            data = encode(voxels, layout.bits[1], loss.psnr_db + _PSNR_SPARE_DB + more_db)
            if _reaches(data, codec, voxels, layout, loss):
                return _even(data)
    return _even(_searched(codec, encode, voxels, layout, loss))


def _even(data: Any) -> bytes:
    return bytes(data) + b"\0" * (len(data) % 2)


def _searched(
    codec: DicomCodec, encode: _Encoder, voxels: VoxelSlice, layout: PixelLayout, loss: DicomLoss
) -> bytes:
    """Return the smallest stream that has the PSNR, or the best that has the ratio.

    The setting is found by halving an interval on which streams grow.
    """
    low, high = _SETTINGS[codec.name]
    best: bytes | None = None
    for _ in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        data = encode(voxels, layout.bits[1], middle)
        is_enough = _reaches(data, codec, voxels, layout, loss)
        is_finer_better = loss.ratio is not None
        if is_enough:
            best = data
        if is_enough == is_finer_better:
            low = middle
        else:
            high = middle
    if best is None:
        wanted = f"{loss.psnr_db:g} dB" if loss.psnr_db is not None else f"a ratio of {loss.ratio:g}"
        raise VerificationError(f"{codec.name} does not reach {wanted} on a frame; ask for less")
    return best


def _reaches(
    data: bytes, codec: DicomCodec, voxels: VoxelSlice, layout: PixelLayout, loss: DicomLoss
) -> bool:
    if loss.ratio is not None:
        return voxels.nbytes >= loss.ratio * len(data)
    decoded = imagecodecs.jpegxl_decode(data) if codec.name == "jpegxl" else imagecodecs.jpeg2k_decode(data)
    found = psnr(voxels.astype(np.float64), decoded.astype(np.float64), (1 << layout.bits[1]) - 1)
    return found >= (loss.psnr_db or 0.0)


def _jpeg2000(voxels: VoxelSlice, bits: int, psnr_db: float | None) -> bytes:
    is_exact = psnr_db is None
    level: Any = 0 if psnr_db is None else psnr_db
    made = imagecodecs.jpeg2k_encode(
        voxels, level=level, codecformat="j2k", reversible=is_exact, bitspersample=bits, numthreads=1
    )
    return bytes(made)


def _htj2k(voxels: VoxelSlice, bits: int, fineness: float | None) -> bytes:  # noqa: ARG001 - it writes 8 or 16
    if fineness is None:
        return bytes(imagecodecs.htj2k_encode(voxels, reversible=True))
    return bytes(imagecodecs.htj2k_encode(voxels, level=2.0**-fineness, reversible=False))


def _jpegxl(voxels: VoxelSlice, bits: int, fineness: float | None) -> bytes:
    setting: dict[str, Any] = {"lossless": True} if fineness is None else {"distance": 2.0**-fineness}
    return bytes(
        imagecodecs.jpegxl_encode(
            voxels, effort=_JPEGXL_EFFORT, bitspersample=bits, usecontainer=False, numthreads=1, **setting
        )
    )


def _rle(words: VoxelSlice) -> bytes:
    """Return a frame as planes of bytes, the highest first, each row packed by itself.

    Source: PS3.5 annex G.
    """
    planes = words.astype(words.dtype.newbyteorder(">")).view(np.uint8).reshape(*words.shape, -1)
    segments = []
    for number in range(planes.shape[-1]):
        rows = np.ascontiguousarray(planes[..., number])
        segments.append(_even(b"".join(bytes(imagecodecs.packbits_encode(row)) for row in rows)))
    ends = np.cumsum([_RLE_HEADER, *(len(segment) for segment in segments)])
    offsets = [*(int(end) for end in ends[:-1]), *[0] * 15][:15]
    return struct.pack("<16I", len(segments), *offsets) + b"".join(segments)


class DeflatedWriter:
    """Deflates what is written, as the one stream behind a deflated file's meta information."""

    def __init__(self, write: Callable[[bytes], Any]) -> None:
        self._deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._write = write
        self._count = 0

    def write(self, data: bytes) -> None:
        """Take more of the data set."""
        self._put(self._deflater.compress(data))

    def finish(self) -> None:
        """End the stream at an even number of bytes."""
        self._put(self._deflater.flush())
        self._put(b"\0" * (self._count % 2))

    def _put(self, data: bytes) -> None:
        self._count += len(data)
        self._write(data)


_Encoder = Callable[[VoxelSlice, int, float | None], bytes]
_ENCODERS: Mapping[str, _Encoder] = {"jpeg2000": _jpeg2000, "htj2k": _htj2k, "jpegxl": _jpegxl}
_SETTINGS = {"jpeg2000": (5.0, 130.0), "htj2k": (0.0, 20.0), "jpegxl": (-4.7, 7.0)}
"""Where settings are sought: PSNR in dB, and the negative logarithm of a step or a distance to base 2."""
