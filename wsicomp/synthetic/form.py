"""The form in which a synthetic slide is stored, and the bytes of its tiles.

These encoders are used for synthetic slides only, since slides that test the project's own writer must not be
made by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

Compression = Literal["jpeg", "jpeg2000-rgb", "jpeg2000-ycbcr", "none", "lzw", "deflate"]
CODES: dict[Compression, int] = {
    "jpeg": 7,
    "jpeg2000-rgb": 33005,
    "jpeg2000-ycbcr": 33003,
    "none": 1,
    "lzw": 5,
    "deflate": 8,
}
"""TIFF's Compression tag; the JPEG 2000 values are Aperio's own."""
SAMPLING: dict[str, tuple[int, int]] = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}
TABLE_MARKERS = (0xDB, 0xC4)
START_OF_SCAN = 0xDA


@dataclass(frozen=True)
class SyntheticFormat:
    """The container and the encoding of a synthetic slide; by default those of a common Aperio file.

    >>> SyntheticFormat(compression="jpeg", photometric="rgb").sampling
    (1, 1)

    Raises:
        ValueError: tiles are no positive multiple of 16 px, a generic TIFF is to hold JPEG 2000, or the
            downsamples do not begin with 1.
    """

    container: Literal["svs", "tiff"] = "svs"
    """"svs", or "tiff" for a generic pyramid."""
    tile_px: int = 256
    """The side of a tile, a multiple of 16."""
    compression: Compression = "jpeg"
    """The tiles' compression. JPEG 2000 is Aperio's 33005 (RGB) or 33003 (YCbCr), in an svs only."""
    photometric: Literal["rgb", "ycbcr"] = "ycbcr"
    """The colours that a JPEG stream holds and the file states. RGB is never subsampled."""
    subsampling: Literal["444", "422", "420"] = "422"
    """Chroma subsampling of YCbCr JPEG."""
    quality: int = 80
    """1 to 100; for JPEG 2000 it sets a PSNR from 30 to 50 dB."""
    downsamples: tuple[int, ...] = (1, 4, 16)
    """The downsample of each level, beginning with 1."""
    shared_tables: bool = True
    """Whether JPEG tables stand in the directory (JPEGTables) instead of in each tile."""
    states_mpp: bool = True
    """Whether the file states um per pixel and objective power."""
    objective_power: float | None = 20
    """What an svs states as AppMag, or None."""
    label: bool = True
    """Whether an svs has a label."""
    macro: bool = True
    """Whether an svs has a photograph of the whole slide."""
    thumbnail: bool = True
    """Whether an svs has a thumbnail."""
    icc_profile: bytes | None = None
    """The ICC profile of every level, or None."""
    bigtiff: bool = False
    """Whether offsets have 64 bits."""

    def __post_init__(self) -> None:
        if self.tile_px % 16 or self.tile_px <= 0:
            raise ValueError(f"tiles of {self.tile_px} px, expected a positive multiple of 16")
        if self.container == "tiff" and self.compression.startswith("jpeg2000"):
            raise ValueError(f"{self.compression} in a generic TIFF; take container svs")
        if not self.downsamples or self.downsamples[0] != 1:
            raise ValueError(f"downsamples {self.downsamples}, expected 1 first")

    @property
    def sampling(self) -> tuple[int, int]:
        """Chroma subsampling as TIFF states it: (horizontal, vertical)."""
        return SAMPLING[self.subsampling] if self.photometric == "ycbcr" else (1, 1)


COMMON_FORM = SyntheticFormat()


def srgb_profile() -> bytes:
    """Return a small ICC profile for sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def encoded(pixels: NDArray[np.uint8], form: SyntheticFormat) -> bytes:
    """Return the bytes of a tile or strip as a file of the format `form` stores them.

    `pixels` is (rows, columns, 3) uint8 RGB.
    """
    match form.compression:
        case "jpeg":
            stream = encoded_jpeg(pixels, form)
            return abbreviated(stream) if form.shared_tables else stream
        case "jpeg2000-rgb" | "jpeg2000-ycbcr":
            return _encoded_jpeg2000(pixels, form)
        case "lzw":
            return lzw_encoded(pixels)
        case "deflate":
            return bytes(imagecodecs.zlib_encode(_differences(pixels), level=6))
        case "none":
            return pixels.tobytes()


def encoded_jpeg(pixels: NDArray[np.uint8], form: SyntheticFormat) -> bytes:
    """Return a whole JPEG stream with its tables."""
    stream = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(pixels),
        form.quality,
        colorspace="rgb",
        outcolorspace=form.photometric,
        subsampling=form.sampling,
    )
    return bytes(stream)


def _encoded_jpeg2000(pixels: NDArray[np.uint8], form: SyntheticFormat) -> bytes:
    """Return a bare JPEG 2000 codestream: 33003 has YCbCr as plain components, 33005 RGB."""
    planes = np.ascontiguousarray(pixels)
    if form.compression == "jpeg2000-ycbcr":
        planes = np.ascontiguousarray(cv2.cvtColor(planes, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]])
    mixes = form.compression == "jpeg2000-rgb"
    stream = imagecodecs.jpeg2k_encode(
        planes, 30 + form.quality // 5, codecformat="j2k", reversible=False, mct=mixes, numthreads=1
    )
    return bytes(stream)


def lzw_encoded(pixels: NDArray[np.uint8]) -> bytes:
    """Return LZW of the differences along the rows (Predictor 2)."""
    return bytes(imagecodecs.lzw_encode(_differences(pixels)))


def _differences(pixels: NDArray[np.uint8]) -> bytes:
    rows = pixels.copy()
    rows[:, 1:] -= pixels[:, :-1]
    return rows.tobytes()


def jpeg_tables(form: SyntheticFormat) -> bytes:
    """Return the tables that all JPEG tiles of a format share, as a stream of their own."""
    stream = encoded_jpeg(np.full((16, 16, 3), 240, np.uint8), form)
    tables = [part for marker, part in _segments(stream) if marker in TABLE_MARKERS]
    return b"\xff\xd8" + b"".join(tables) + b"\xff\xd9"


def abbreviated(stream: bytes) -> bytes:
    """Return a JPEG stream without its tables and application segments, as Aperio stores tiles."""
    kept = [
        part
        for marker, part in _segments(stream)
        if marker not in TABLE_MARKERS and not 0xE0 <= marker <= 0xEF
    ]
    return b"\xff\xd8" + b"".join(kept)


def _segments(stream: bytes) -> list[tuple[int, bytes]]:
    """Return (marker, bytes with the marker) of each segment; the last one is everything from the scan on."""
    segments = []
    at = 2
    while stream[at + 1] != START_OF_SCAN:
        length = 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        segments.append((stream[at + 1], stream[at : at + length]))
        at += length
    return [*segments, (START_OF_SCAN, stream[at:])]
