"""Aperio's JPEG 2000 tiles: bare codestreams of RGB (33005) or of YCbCr that the reader converts (33003)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import cv2
import imagecodecs
import numpy as np
from PIL import Image

from wsicomp.codecs import Encoded, Resort
from wsicomp.codecs.checks import check_range, rgb
from wsicomp.codecs.reduce import eighth
from wsicomp.errors import ConfigError
from wsicomp.geometry import Size
from wsicomp.quality import LEAST_SIDE_PX, Fidelity, color_shift, fidelity, psnr
from wsicomp.slide import (
    APERIO_JPEG2000_RGB,
    APERIO_JPEG2000_YCBCR,
    RGB,
    EncodedTile,
    Pixels,
    TileEncoding,
)

_RAISED_DB = (0.0, 0.5, 1.0, 2.0, 3.5, 5.5, 8.0, 11.0, 15.0, 20.0)
"""By how much OpenJPEG is asked for more than the target, until a tile meets it."""
_LEAST_ALLOWED_SHIFT = 6.0
"""Grey levels by which a block's mean colour may always be off: as neural tiles by default."""


def decode(tile: EncodedTile) -> Pixels:
    """The pixels as OpenJPEG gives them, which are those that OpenSlide shows."""
    _check_size(tile)
    pixels = np.empty((*tile.size.shape, 3), np.uint8)
    imagecodecs.jpeg2k_decode(tile.data, out=pixels)
    return _ycbcr_to_rgb(pixels) if tile.encoding.compression == APERIO_JPEG2000_YCBCR else pixels


def decode_eighth(tile: EncodedTile) -> Pixels:
    """The means of blocks of 8 x 8 pixels."""
    return eighth(decode(tile))


def encode_uniform(encoding: TileEncoding, size: Size, color: tuple[int, int, int]) -> bytes:
    """A lossless codestream of one colour; a few hundred bytes."""
    pixels = np.full((*size.shape, 3), color, np.uint8)
    if encoding.compression == APERIO_JPEG2000_YCBCR:
        pixels = np.ascontiguousarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]])
    return _lossless(pixels, mct=False)


def _check_size(tile: EncodedTile) -> None:
    """Compare the size that the codestream states before a decoder takes memory for it.

    Source: ITU-T T.800 annex A.5.1: SIZ follows SOC, with the extent at byte 8 and the offset at byte 16.
    """
    if tile.data[:4] != b"\xff\x4f\xff\x51":
        raise ValueError("not a JPEG 2000 codestream")
    right, bottom, left, top = (int.from_bytes(tile.data[at : at + 4], "big") for at in (8, 12, 16, 20))
    if (right - left, bottom - top) != (tile.size.width, tile.size.height):
        raise ValueError(f"JPEG 2000 of {right - left} x {bottom - top} px, expected {tile.size}")


def _ycbcr_to_rgb(pixels: Pixels) -> Pixels:
    luma = pixels[..., 0].astype(np.float32)
    blue = pixels[..., 1].astype(np.float32) - 128
    red = pixels[..., 2].astype(np.float32) - 128
    rgb = np.stack([luma + 1.402 * red, luma - 0.34414 * blue - 0.71414 * red, luma + 1.772 * blue], axis=-1)
    return np.asarray(np.clip(np.rint(rgb), 0, 255), np.uint8)


class Codec:
    """Lossy JPEG 2000 (9/7 wavelet, colour transform) to a PSNR in dB, or to a rate: so many times smaller.

    By default the study's 37 dB. OpenJPEG misses a PSNR by up to 14 dB on pale tiles. Every tile is therefore
    decoded, and its target raised until it has the PSNR that was asked for. A small speck on glass hardly
    changes a tile's PSNR: no block of 16 x 16 px may have a mean colour further off than the error that the
    PSNR allows each pixel, or 6 grey levels if that is more. Where no target does, the tile is lossless.

    A rate is met whatever the tile looks like then, and the tile is measured all the same. It goes through
    Pillow, which holds the interpreter while it encodes.
    """

    lossless = False
    encoding = TileEncoding(APERIO_JPEG2000_RGB, RGB)

    def __init__(self, psnr: float | None = None, rate: float | None = None) -> None:
        if psnr is not None and rate is not None:
            raise ConfigError("psnr and rate are two targets; give one of them")
        self.psnr = 37.0 if psnr is None else psnr
        self.rate = rate
        check_range("psnr", self.psnr, 20, 80)
        check_range("rate", rate or 1, 1, 1000)

    def config(self) -> Mapping[str, int | float | bool]:
        """The target."""
        return {"psnr": self.psnr} if self.rate is None else {"rate": self.rate}

    def encode(self, pixels: Pixels) -> bytes:
        """The tile as a bare codestream."""
        return self.encode_measured(pixels).data

    def encode_measured(self, pixels: Pixels, shown: Size | None = None) -> Encoded:
        """The tile and how true it is; no figures of one that is too small to have an SSIM."""
        pixels = rgb(pixels)
        if self.rate is not None:
            data = _to_rate(pixels, self.rate)
            return Encoded(data, _measured(pixels, _decoded(data), shown))
        for raised_db in _RAISED_DB:
            data = _to_psnr(pixels, self.psnr + raised_db)
            back = _decoded(data)
            if self._passes(pixels, back, shown):
                resort = Resort.REFINED if raised_db else Resort.NONE
                return Encoded(data, _measured(pixels, back, shown), resort)
        data = _lossless(pixels, mct=True)
        return Encoded(data, _measured(pixels, _decoded(data), shown), Resort.REFINED)

    def _passes(self, pixels: Pixels, back: Pixels, shown: Size | None) -> bool:
        inside = np.s_[:] if shown is None else np.s_[: shown.height, : shown.width]
        allowed = max(_LEAST_ALLOWED_SHIFT, 255 / 10 ** (self.psnr / 20))
        if psnr(pixels[inside], back[inside]) < self.psnr:
            return False
        return color_shift(pixels[inside], back[inside]) <= allowed


def _to_psnr(pixels: Pixels, psnr_db: float) -> bytes:
    level: Any = psnr_db  # its stub says int, but libopenjp2 takes a fraction of a dB
    return bytes(imagecodecs.jpeg2k_encode(pixels, level=level, codecformat="j2k", reversible=False))


def _to_rate(pixels: Pixels, rate: float) -> bytes:
    stream = io.BytesIO()
    target = {"quality_mode": "rates", "quality_layers": [rate], "irreversible": True, "mct": 1}
    Image.fromarray(pixels).save(stream, "JPEG2000", no_jp2=True, **target)
    return stream.getvalue()


def _lossless(pixels: Pixels, mct: bool) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True, mct=mct))


def _decoded(data: bytes) -> Pixels:
    return np.asarray(imagecodecs.jpeg2k_decode(data), np.uint8)


def _measured(pixels: Pixels, back: Pixels, shown: Size | None) -> Fidelity | None:
    return fidelity(pixels, back, shown) if min(pixels.shape[:2]) >= LEAST_SIDE_PX else None
