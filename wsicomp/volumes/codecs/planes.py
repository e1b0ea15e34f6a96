"""The codecs of single planes: image codecs in their own file formats, and general compressors.

Decoders take bytes from files that may be hostile: every size is checked before memory is taken, and every
plane afterwards. This module must not know volumes, slices or files.
"""

from __future__ import annotations

import bz2
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import imagecodecs
import numpy as np
import simplejpeg
from PIL import Image

from wsicomp.errors import ConfigError, VolumeReadError
from wsicomp.volumes.codecs.base import PlaneCodec, SamplePlane, plane_dtype
from wsicomp.volumes.codecs.streams import (
    check_jpeg,
    check_jpegls,
    jpeg2000_codestream,
    jpegxl_codestream,
)

_PLAIN_EFFORT = 3
"""At this effort libjxl never stores repeated shapes in a hidden frame, which our reader refuses."""
_BLOCK_PX = 32
"""The side of JPEG 2000's code blocks where a rate is asked for: smaller ones meet it more closely."""
_MOST_RESOLUTIONS = 6


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Raise what a decoder refuses as VolumeReadError."""
    try:
        yield
    except VolumeReadError:
        raise
    except (ValueError, RuntimeError, TypeError, IndexError, EOFError, OSError, MemoryError) as exc:
        raise VolumeReadError(f"{name} cannot decode a plane, so the file is damaged: {exc}") from exc


def _blank(shape: tuple[int, int], bits: int) -> SamplePlane:
    return np.zeros(shape, plane_dtype(bits))


def _within(plane: SamplePlane, bits: int, is_exact: bool) -> SamplePlane:
    """Return the plane; samples above `bits` are damage where it is exact, and overshoot where not."""
    most = (1 << bits) - 1
    if bits in (8, 16) or not plane.size or int(plane.max()) <= most:
        return plane
    if is_exact:
        raise VolumeReadError(f"a plane with samples of {int(plane.max())}, expected at most {most}")
    limited: SamplePlane = np.minimum(plane, plane.dtype.type(most))
    return limited


@dataclass(frozen=True)
class JpegXlPlanes:
    """JPEG XL: lossless, or to a quality of 1 to 99 on libjxl's scale, on which 90 is hardly seen."""

    quality: float | None = None
    effort: int = _PLAIN_EFFORT
    name = "jpegxl"
    suffix = "jxl"

    @property
    def lossless(self) -> bool:
        """True if no quality is given."""
        return self.quality is None

    def encode(self, plane: SamplePlane, bits: int) -> bytes:
        """Return a codestream that says how many bits its samples have; in a box if they are many."""
        data = self._encoded(plane, bits, self.effort)
        try:
            jpegxl_codestream(data, (plane.shape[0], plane.shape[1]))
        except ValueError:
            data = self._encoded(plane, bits, _PLAIN_EFFORT)
        return data

    def _encoded(self, plane: SamplePlane, bits: int, effort: int) -> bytes:
        return bytes(
            imagecodecs.jpegxl_encode(
                plane,
                level=self.quality,  # type: ignore[arg-type]
                lossless=self.lossless,
                effort=effort,
                bitspersample=bits,
                usecontainer=False,
                numthreads=1,
            )
        )

    def decode(self, data: bytes, shape: tuple[int, int], bits: int) -> SamplePlane:
        """Return the plane, after its headers were checked."""
        plane = _blank(shape, bits)
        with _translated(self.name):
            stream = jpegxl_codestream(data, shape)
            imagecodecs.jpegxl_decode(stream, numthreads=1, out=plane)
        return _within(plane, bits, self.lossless)


@dataclass(frozen=True)
class JpegLsPlanes:
    """JPEG-LS: lossless, or with no sample further from its own than `quality`, a whole number."""

    quality: float | None = None
    name = "jpegls"
    suffix = "jls"

    @property
    def lossless(self) -> bool:
        """True if no sample may change."""
        return not self.quality

    def encode(self, plane: SamplePlane, bits: int) -> bytes:  # noqa: ARG002
        """Return a stream of 8 or 16 bits a sample, which is what the library writes."""
        return bytes(imagecodecs.jpegls_encode(plane, level=int(self.quality or 0)))

    def decode(self, data: bytes, shape: tuple[int, int], bits: int) -> SamplePlane:
        """Return the plane, after its frame header was checked."""
        plane = _blank(shape, bits)
        with _translated(self.name):
            check_jpegls(data, shape)
            imagecodecs.jpegls_decode(data, out=plane)
        return _within(plane, bits, self.lossless)


@dataclass(frozen=True)
class Jpeg2000Planes:
    """JPEG 2000: lossless, to a PSNR of `quality` dB (peak: the largest sample), or `rate` times smaller.

    A rate counts against 8 or 16 bits a sample, as planes are stored in memory. A plane that is that small
    without loss is encoded without loss.
    """

    quality: float | None = None
    rate: float | None = None
    name = "jpeg2000"
    suffix = "j2k"

    @property
    def lossless(self) -> bool:
        """True if neither PSNR nor rate is given."""
        return self.quality is None and self.rate is None

    def encode(self, plane: SamplePlane, bits: int) -> bytes:
        """Return a bare codestream."""
        if self.rate is not None:
            return self._at_rate(plane, bits, self.rate)
        return _jpeg2000(plane, bits, self.quality)

    def _at_rate(self, plane: SamplePlane, bits: int, rate: float) -> bytes:
        most_bytes = plane.nbytes / rate
        exact = _jpeg2000(plane, bits, None)
        if len(exact) <= most_bytes:
            return exact
        file = io.BytesIO()
        Image.fromarray(plane).save(
            file,
            "JPEG2000",
            no_jp2=True,
            irreversible=True,
            quality_mode="rates",
            quality_layers=[rate],
            codeblock_size=(_BLOCK_PX, _BLOCK_PX),
            num_resolutions=_resolutions(plane),
        )
        return file.getvalue()

    def decode(self, data: bytes, shape: tuple[int, int], bits: int) -> SamplePlane:
        """Return the plane, after its headers were checked."""
        return _from_jpeg2000(self, data, shape, bits)


def _resolutions(plane: SamplePlane) -> int:
    """Return the count of resolutions, each half of the one before: fewer for small planes."""
    return max(1, min(_MOST_RESOLUTIONS, min(plane.shape).bit_length() - 3))


def _jpeg2000(plane: SamplePlane, bits: int, psnr_db: float | None) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            plane,
            level=psnr_db,  # type: ignore[arg-type]
            reversible=psnr_db is None,
            bitspersample=None if bits in (8, 16) else bits,
            codecformat="J2K",
            numthreads=1,
        )
    )


def _from_jpeg2000(codec: PlaneCodec, data: bytes, shape: tuple[int, int], bits: int) -> SamplePlane:
    plane = _blank(shape, bits)
    with _translated(codec.name):
        stream = jpeg2000_codestream(data, shape, bits)
        imagecodecs.jpeg2k_decode(stream, numthreads=1, out=plane)
    return _within(plane, bits, codec.lossless)


@dataclass(frozen=True)
class HighThroughputPlanes:
    """HTJ2K, JPEG 2000 part 15: lossless, or wavelet coefficients in steps of `quality` grey values."""

    quality: float | None = None
    name = "htj2k"
    suffix = "j2c"

    @property
    def lossless(self) -> bool:
        """True if no step is given."""
        return self.quality is None

    def encode(self, plane: SamplePlane, bits: int) -> bytes:  # noqa: ARG002
        """Return a bare codestream of 8 or 16 bits a sample, which is what the library writes."""
        step = None if self.quality is None else self.quality / (1 << 8 * plane.itemsize)
        return bytes(imagecodecs.htj2k_encode(plane, level=step, reversible=self.lossless))

    def decode(self, data: bytes, shape: tuple[int, int], bits: int) -> SamplePlane:
        """Return the plane, after its headers were checked.

        OpenJPEG decodes it: where a stream is damaged, imagecodecs does not hear of OpenJPH's errors.
        """
        return _from_jpeg2000(self, data, shape, bits)


@dataclass(frozen=True)
class ZstdPlanes:
    """Zstandard over the samples' bytes, all low bytes before all high ones: no codec of images."""

    effort: int = 19
    name = "zstd"
    suffix = "zst"
    lossless = True

    def encode(self, plane: SamplePlane, bits: int) -> bytes:  # noqa: ARG002
        """Return the low bytes of all samples row by row, then the high ones, as one frame."""
        return bytes(imagecodecs.zstd_encode(_shuffled(plane), level=self.effort))

    def decode(self, data: bytes, shape: tuple[int, int], bits: int) -> SamplePlane:
        """Return the plane; no more is inflated than it holds."""
        plane = _blank(shape, bits)
        with _translated(self.name):
            found = imagecodecs.zstd_decode(data, out=bytearray(plane.nbytes))
            _expect_bytes(len(found), plane.nbytes)
        return _within(_unshuffled(found, shape, plane.itemsize), bits, is_exact=True)


@dataclass(frozen=True)
class Bz2Planes:
    """bzip2 over the samples, row by row, low byte first: no codec of images."""

    effort: int = 9
    name = "bz2"
    suffix = "bz2"
    lossless = True

    def encode(self, plane: SamplePlane, bits: int) -> bytes:  # noqa: ARG002
        """Return the samples as one stream."""
        return bz2.compress(_low_byte_first(plane), self.effort)

    def decode(self, data: bytes, shape: tuple[int, int], bits: int) -> SamplePlane:
        """Return the plane; no more is inflated than it holds."""
        plane = _blank(shape, bits)
        with _translated(self.name):
            inflating = bz2.BZ2Decompressor()
            found = inflating.decompress(data, plane.nbytes + 1)
            _expect_bytes(len(found), plane.nbytes)
            if not inflating.eof:
                raise ValueError("the stream does not end with the plane")
        plane[...] = np.frombuffer(found, plane.dtype.newbyteorder("<")).reshape(shape)
        return _within(plane, bits, is_exact=True)


@dataclass(frozen=True)
class JpegPlanes:
    """JPEG of 8 bits and a quality of 1 to 100, never lossless: for what may be coarse."""

    quality: float = 75
    name = "jpeg"
    suffix = "jpg"
    lossless = False

    def encode(self, plane: SamplePlane, bits: int) -> bytes:
        """Return a grey JPEG.

        Raises:
            ConfigError: the samples have more than 8 bits.
        """
        if bits > 8:
            raise ConfigError(
                f"JPEG holds 8 bits a sample, and these have {bits}; window them to 8 bits, or name"
                " another codec"
            )
        quality = max(1, round(self.quality))
        return bytes(simplejpeg.encode_jpeg(plane[..., None], quality, "GRAY", "Gray"))

    def decode(self, data: bytes, shape: tuple[int, int], bits: int) -> SamplePlane:
        """Return the plane, after its header was checked."""
        with _translated(self.name):
            check_jpeg(data, shape)
            plane: SamplePlane = simplejpeg.decode_jpeg(data, "GRAY")[..., 0]
        return _within(np.ascontiguousarray(plane), bits, is_exact=False)


def _low_byte_first(plane: SamplePlane) -> bytes:
    return plane.astype(plane.dtype.newbyteorder("<"), copy=False).tobytes()


def _shuffled(plane: SamplePlane) -> bytes:
    samples = np.frombuffer(_low_byte_first(plane), np.uint8).reshape(-1, plane.itemsize)
    return samples.T.tobytes()


def _unshuffled(data: bytes | bytearray, shape: tuple[int, int], itemsize: int) -> SamplePlane:
    samples = np.frombuffer(data, np.uint8).reshape(itemsize, -1).T
    plane = np.frombuffer(samples.tobytes(), np.dtype(f"<u{itemsize}")).reshape(shape)
    return np.ascontiguousarray(plane, np.dtype(f"=u{itemsize}")).copy()


def _expect_bytes(found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"{found} bytes, expected {expected}")
