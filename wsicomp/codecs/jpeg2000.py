"""Aperio's JPEG 2000 tiles: bare codestreams of RGB (33005) or of YCbCr that the reader converts (33003).

Source: ITU-T T.800 annex A (codestream); OpenSlide's and Bio-Formats' sources for the compressions.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import imagecodecs
import numpy as np
from PIL import Image

from wsicomp.codecs.base import (
    EVERY_PROGRAM,
    CodecInfo,
    Compression,
    Encoded,
    Fallback,
    Options,
    Program,
    QualityDial,
)
from wsicomp.codecs.jpeg2000_stream import (
    BOXED,
    Form,
    bare_codestream,
    boxes_say_ycbcr,
    in_rgb_boxes,
    read_form,
)
from wsicomp.codecs.jpeg2000_text import bare_jpeg2000
from wsicomp.codecs.pixels import rgb
from wsicomp.codecs.quality import LEAST_SIDE_PX, Fidelity, color_shift, fidelity, psnr
from wsicomp.errors import ConfigError
from wsicomp.geometry import Size
from wsicomp.options import Option
from wsicomp.slide import APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR, RGB, EncodedTile, Pixels, TileEncoding

_RAISED_DB = (0.0, 0.5, 1.0, 2.0, 3.5, 5.5, 8.0, 11.0, 15.0, 20.0)
"""How much more PSNR OpenJPEG is asked for, step by step, until a tile reaches the target."""
_LEAST_ALLOWED_SHIFT = 6.0
"""Grey levels that a block's mean colour may always be off: as for neural tiles by default."""


def decode(tile: EncodedTile) -> Pixels:
    """Return the pixels, (rows, columns, 3) uint8 RGB, as OpenSlide shows them.

    RGB is never converted a second time, as OpenSlide does under 33003.

    A stream in JP2 boxes, which OpenSlide does not read, is decoded as by imagecodecs and so tifffile.

    Raises:
        ValueError: the stream is damaged, has another size, or its boxes state other colours than TIFF.
        RuntimeError: the library refuses the stream.
    """
    codestream = bare_codestream(tile.data)
    form = read_form(codestream)
    if form.size != tile.size:
        raise ValueError(f"JPEG 2000 of {form.size} px, expected {tile.size}")
    holds_ycbcr = _holds_ycbcr(tile, form)
    if codestream is not tile.data:
        if holds_ycbcr != (form.is_subsampled or boxes_say_ycbcr(tile.data)):
            raise ValueError(
                f"JP2 boxes state other colours than TIFF compression {tile.encoding.compression}"
            )
        return _samples(tile.data, tile.size)
    take = _upsampled if form.is_subsampled else _samples
    pixels = take(codestream, tile.size)
    return _ycbcr_to_rgb(pixels) if holds_ycbcr else pixels


def _samples(stream: bytes, size: Size) -> Pixels:
    pixels = np.empty((*size.shape, 3), np.uint8)
    imagecodecs.jpeg2k_decode(stream, out=pixels)
    return pixels


def _upsampled(codestream: bytes, size: Size) -> Pixels:
    """Return the components as stored, each sample repeated, as OpenSlide does.

    imagecodecs would convert from YCbCr, and round differently. Pillow does not if boxes say RGB.
    """
    boxed = in_rgb_boxes(codestream, size)
    try:
        with Image.open(io.BytesIO(boxed), formats=("JPEG2000",)) as image:
            pixels = np.array(image)
    except (OSError, SyntaxError) as exc:
        raise ValueError(f"damaged JPEG 2000 ({exc})") from exc
    if pixels.shape != (*size.shape, 3):
        raise ValueError(f"JPEG 2000 of shape {pixels.shape}, expected {(*size.shape, 3)}")
    return pixels


def encode_uniform(encoding: TileEncoding, size: Size, color: tuple[int, int, int]) -> bytes:
    """Return a lossless codestream of one colour, a few hundred bytes."""
    samples = _as_ycbcr(color) if encoding.compression == APERIO_JPEG2000_YCBCR else color
    pixels = np.full((*size.shape, 3), samples, np.uint8)
    return encode_lossless(pixels, mct=False)


def _as_ycbcr(color: tuple[int, int, int]) -> Pixels:
    """Return the YCbCr that displays closest to a colour, since rounding can be a grey level off."""
    near = cv2.cvtColor(np.array([[color]], np.uint8), cv2.COLOR_RGB2YCrCb)[0, 0, [0, 2, 1]]
    steps = np.stack(np.meshgrid(*[[0, -1, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    tried = np.clip(near.astype(int) + steps, 0, 255).astype(np.uint8)
    errors = np.abs(_ycbcr_to_rgb(tried).astype(int) - color)
    return np.asarray(tried[np.lexsort((errors.sum(axis=-1), errors.max(axis=-1)))[0]])


def true_compression(data: bytes, compression: int) -> int:
    """Return the TIFF compression that describes a tile's samples: RGB if a transform mixed its components.

    Aperio's 33003 means YCbCr. Bio-Formats writes RGB under it, which OpenSlide converts once too often; as
    33005 the same codestream displays right.

    Raises:
        ValueError: the bytes are not a JPEG 2000 codestream.
    """
    if compression != APERIO_JPEG2000_YCBCR:
        return compression
    form = read_form(bare_codestream(data))
    return APERIO_JPEG2000_RGB if form.mixes_components and not form.is_subsampled else compression


def copy_obstacle(tile: EncodedTile, stored: TileEncoding) -> str:
    """Return why a tile cannot be copied among tiles of this encoding; "" if it can."""
    if tile.data.startswith(BOXED):
        return "is wrapped in JP2 boxes, which OpenSlide does not read"
    try:
        true = true_compression(tile.data, tile.encoding.compression)
    except ValueError:
        return ""  # a damaged tile is copied as it is
    if true == stored.compression:
        return ""
    holds = "RGB where compression 33003 says YCbCr" if true == APERIO_JPEG2000_RGB else "YCbCr among RGB"
    return f"holds {holds}, so OpenSlide would show it in wrong colours"


def _holds_ycbcr(tile: EncodedTile, form: Form) -> bool:
    """Return whether decoded samples are YCbCr; components of different size cannot have been transformed."""
    if tile.encoding.compression != APERIO_JPEG2000_YCBCR:
        return False
    return form.is_subsampled or not form.mixes_components


def _ycbcr(pixels: Pixels) -> Pixels:
    """Return RGB as the YCbCr of compression 33003, rounded."""
    return np.ascontiguousarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]])


_OFFSETS = np.arange(256) - 128
_RED = np.rint(1.402 * _OFFSETS).astype(np.int16)
_GREEN_BLUE = np.rint((1 << 16) * (0.5 - 0.34414 * _OFFSETS)).astype(np.int32)
_GREEN_RED = np.rint((1 << 16) * (-0.71414 * _OFFSETS)).astype(np.int32)
_BLUE = np.rint(1.772 * _OFFSETS).astype(np.int16)


def _ycbcr_to_rgb(pixels: Pixels) -> Pixels:
    """Return RGB by OpenSlide's tables, to the bit.

    Source: OpenSlide.
    """
    blue, red = pixels[..., 1], pixels[..., 2]
    green = ((_GREEN_BLUE[blue] + _GREEN_RED[red]) >> 16).astype(np.int16)
    chroma = np.stack([_RED[red], green, _BLUE[blue]], axis=-1)
    return np.asarray(np.clip(pixels[..., :1] + chroma, 0, 255), np.uint8)


def _color_shift(options: Options) -> float:
    if "rate" in options:
        return 8 + float(options["rate"]) / 40
    return 2 + 255 / 10 ** (float(options.get("psnr", 37)) / 20)


_READERS = EVERY_PROGRAM - {Program.LIBVIPS, Program.GDAL, Program.LIBTIFF}


def without_text(tile: EncodedTile, tables: bytes | None) -> EncodedTile:  # noqa: ARG001
    """Return the tile with nothing but what a decoder needs; `tables` are ignored.

    Raises:
        ValueError: the tile is damaged, or holds words behind its coded bytes.
    """
    return replace(tile, data=bare_jpeg2000(tile, decode))


def encode_alike(tile: EncodedTile, encoding: TileEncoding, pixels: Pixels) -> bytes:  # noqa: ARG001
    """Return the pixels as a JPEG 2000 tile of this encoding, without loss.

    Conversion to YCbCr, where the encoding holds it, rounds the pixels.
    """
    if encoding.compression == APERIO_JPEG2000_RGB:
        return encode_lossless(pixels, mct=True)
    return encode_lossless(_ycbcr(pixels), mct=False)


CODECS = (
    CodecInfo(
        name="jpeg2000",
        module=__name__,
        compressions=(
            Compression(APERIO_JPEG2000_YCBCR, "JPEG 2000", "YCbCr", _READERS, only_in_svs=True, in_svs=True),
            Compression(APERIO_JPEG2000_RGB, "JPEG 2000", "RGB", _READERS, only_in_svs=True, in_svs=True),
        ),
        options=(
            Option(
                "psnr",
                float,
                "least PSNR of a tile, in dB",
                least=20,
                most=80,
                metavar="N",
                default_text="37",
                is_rare=True,
            ),
            Option(
                "rate",
                float,
                "times that tiles are smaller than their pixels, instead of a PSNR",
                least=1,
                most=1000,
                metavar="N",
                is_rare=True,
            ),
        ),
        dial=QualityDial("psnr", 22, 60, (28.0, 31.0, 34.0, 37.0, 40.0, 43.0), unit="dB"),
        rate_option="rate",
        color_shift=_color_shift,
    ),
)


_RGB_TILES = TileEncoding(APERIO_JPEG2000_RGB, RGB)


class Codec:
    """The codec "jpeg2000": lossy (9/7 wavelet, colour transform) to a PSNR in dB or to a rate.

    A rate is how many times smaller than the pixels. The default is the study's 37 dB. OpenJPEG misses a PSNR
    by up to 14 dB on pale tiles, so every tile is decoded, and its target raised until it has the PSNR asked
    for.

    A small speck on glass hardly changes a tile's PSNR. So no block of 16 x 16 px may have a mean colour
    further off than the error that the PSNR allows each pixel, or 6 grey levels if that is more. If no target
    achieves this, the tile is lossless.

    A rate is met however the tile looks, and the tile is measured all the same. It is encoded by Pillow,
    which holds the interpreter's lock meanwhile.

    Raises:
        ConfigError: both psnr and rate are given.
    """

    lossless = False

    def __init__(
        self, psnr: float | None = None, rate: float | None = None, *, encoding: TileEncoding = _RGB_TILES
    ) -> None:
        if psnr is not None and rate is not None:
            raise ConfigError("psnr and rate exclude each other; give one of them")
        self.encoding = encoding
        self.psnr = 37.0 if psnr is None else psnr
        self.rate = rate

    def config(self) -> Mapping[str, int | float | bool]:
        """Return the PSNR in dB or the rate."""
        return {"psnr": self.psnr} if self.rate is None else {"rate": self.rate}

    def among(self, encoding: TileEncoding) -> Codec:
        """Return the same codec for tiles among JPEG 2000 tiles of this encoding.

        Raises:
            ValueError: they cannot stand there.
        """
        if encoding.compression not in (APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR):
            raise ValueError("they are not JPEG 2000")
        return Codec(self.psnr if self.rate is None else None, self.rate, encoding=encoding)

    def encode(self, pixels: Pixels) -> bytes:
        """Return the tile as a bare codestream."""
        return self.encode_measured(pixels).data

    def encode_measured(self, pixels: Pixels, visible: Size | None = None) -> Encoded:
        """Return the tile with its fidelity; without it if the tile is too small to have an SSIM."""
        pixels = rgb(pixels)
        samples, mct = self._samples(pixels)
        if self.rate is not None:
            data = _to_rate(samples, self.rate, mct)
            return Encoded(data, _measured(pixels, self._read_back(data, pixels), visible))
        for raised_db in _RAISED_DB:
            data = _to_psnr(samples, self.psnr + raised_db, mct)
            back = self._read_back(data, pixels)
            if self._passes(pixels, back, visible):
                fallback = Fallback.REFINED if raised_db else Fallback.NONE
                return Encoded(data, _measured(pixels, back, visible), fallback)
        data = encode_lossless(samples, mct)
        return Encoded(data, _measured(pixels, self._read_back(data, pixels), visible), Fallback.REFINED)

    def _samples(self, pixels: Pixels) -> tuple[Pixels, bool]:
        """Return the samples to encode, and whether OpenJPEG is to mix them: RGB, or YCbCr as it is."""
        if self.encoding.compression == APERIO_JPEG2000_RGB:
            return pixels, True
        return _ycbcr(pixels), False

    def _read_back(self, data: bytes, pixels: Pixels) -> Pixels:
        rows, columns = pixels.shape[:2]
        return decode(EncodedTile(data, self.encoding, Size(columns, rows)))

    def _passes(self, pixels: Pixels, back: Pixels, visible: Size | None) -> bool:
        inside = np.s_[:] if visible is None else np.s_[: visible.height, : visible.width]
        allowed = max(_LEAST_ALLOWED_SHIFT, 255 / 10 ** (self.psnr / 20))
        if psnr(pixels[inside], back[inside]) < self.psnr:
            return False
        return color_shift(pixels[inside], back[inside]) <= allowed


def _to_psnr(samples: Pixels, psnr_db: float, mct: bool) -> bytes:
    level: Any = psnr_db  # its stub says int, but libopenjp2 takes a fraction of a dB
    return bytes(
        imagecodecs.jpeg2k_encode(samples, level=level, codecformat="j2k", reversible=False, mct=mct)
    )


def _to_rate(samples: Pixels, rate: float, mct: bool) -> bytes:
    stream = io.BytesIO()
    target = {"quality_mode": "rates", "quality_layers": [rate], "irreversible": True, "mct": int(mct)}
    Image.fromarray(samples).save(stream, "JPEG2000", no_jp2=True, **target)
    return stream.getvalue()


def encode_lossless(pixels: Pixels, mct: bool) -> bytes:
    """Return a lossless codestream; `mct` mixes the components first."""
    return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True, mct=mct))


def _measured(pixels: Pixels, back: Pixels, visible: Size | None) -> Fidelity | None:
    return fidelity(pixels, back, visible) if min(pixels.shape[:2]) >= LEAST_SIDE_PX else None
