"""How a synthetic slide is stored, and the bytes of its tiles.

The encoders here are used for synthetic slides alone: what tests the project's own writer must not be made
by it.
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
# The codes of TIFF's Compression tag; the JPEG 2000 ones are Aperio's own.
CODES: dict[Compression, int] = {
    "jpeg": 7,
    "jpeg2000-rgb": 33005,
    "jpeg2000-ycbcr": 33003,
    "none": 1,
    "lzw": 5,
    "deflate": 8,
}
SAMPLING: dict[str, tuple[int, int]] = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}
TABLE_MARKERS = (0xDB, 0xC4)
START_OF_SCAN = 0xDA


@dataclass(frozen=True)
class SyntheticFormat:
    """The container and the encoding of a synthetic slide; by default those of a common Aperio file.

    Attributes:
        container: "svs" or a generic "tiff" pyramid.
        tile_px: Side of a tile, a multiple of 16.
        compression: Of the tiles. The JPEG 2000 kinds are Aperio's 33005 (RGB) and 33003 (YCbCr), svs only.
        photometric: What a JPEG stream holds, and what the file says it holds. RGB is never subsampled.
        subsampling: Of chroma in YCbCr JPEG.
        quality: 1-100; for JPEG 2000 it sets the error, from 30 dB to 50 dB.
        downsamples: Of the levels, from 1 on.
        shared_tables: Whether JPEG tiles lack their tables, which the directory then holds (JPEGTables).
        states_mpp: Whether the file states um per pixel and objective power.
        objective_power: What an svs states as AppMag, or None.
        label: Whether an svs has a label.
        macro: Whether an svs has a photograph of the whole slide.
        thumbnail: Whether an svs has a thumbnail.
        icc_profile: A profile for every level, or None.
        bigtiff: Whether offsets are of 64 bits.
    """

    container: Literal["svs", "tiff"] = "svs"
    tile_px: int = 256
    compression: Compression = "jpeg"
    photometric: Literal["rgb", "ycbcr"] = "ycbcr"
    subsampling: Literal["444", "422", "420"] = "422"
    quality: int = 80
    downsamples: tuple[int, ...] = (1, 4, 16)
    shared_tables: bool = True
    states_mpp: bool = True
    objective_power: float | None = 20
    label: bool = True
    macro: bool = True
    thumbnail: bool = True
    icc_profile: bytes | None = None
    bigtiff: bool = False

    def __post_init__(self) -> None:
        if self.tile_px % 16 or self.tile_px <= 0:
            raise ValueError(f"tiles of {self.tile_px} px: TIFF wants a positive multiple of 16")
        if self.container == "tiff" and self.compression.startswith("jpeg2000"):
            raise ValueError(f"{self.compression} is Aperio's own; a generic TIFF cannot hold it")
        if not self.downsamples or self.downsamples[0] != 1:
            raise ValueError(f"downsamples {self.downsamples} do not begin with 1")

    @property
    def sampling(self) -> tuple[int, int]:
        """Chroma subsampling as TIFF states it: (along x, along y)."""
        return SAMPLING[self.subsampling] if self.photometric == "ycbcr" else (1, 1)


COMMON_FORM = SyntheticFormat()


def srgb_profile() -> bytes:
    """A small ICC profile that says sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def encoded(pixels: NDArray[np.uint8], form: SyntheticFormat) -> bytes:
    """A tile or strip, shape (rows, columns, 3) RGB, as it stands in the file."""
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
    """A whole JPEG stream, its tables within."""
    stream = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(pixels),
        form.quality,
        colorspace="rgb",
        outcolorspace=form.photometric,
        subsampling=form.sampling,
    )
    return bytes(stream)


def _encoded_jpeg2000(pixels: NDArray[np.uint8], form: SyntheticFormat) -> bytes:
    """A bare JPEG 2000 codestream; 33003 holds YCbCr as plain components, 33005 RGB."""
    planes = np.ascontiguousarray(pixels)
    if form.compression == "jpeg2000-ycbcr":
        planes = np.ascontiguousarray(cv2.cvtColor(planes, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]])
    mixes = form.compression == "jpeg2000-rgb"
    stream = imagecodecs.jpeg2k_encode(
        planes, 30 + form.quality // 5, codecformat="j2k", reversible=False, mct=mixes, numthreads=1
    )
    return bytes(stream)


def lzw_encoded(pixels: NDArray[np.uint8]) -> bytes:
    """LZW of the differences along the rows (Predictor 2)."""
    return bytes(imagecodecs.lzw_encode(_differences(pixels)))


def _differences(pixels: NDArray[np.uint8]) -> bytes:
    rows = pixels.copy()
    rows[:, 1:] -= pixels[:, :-1]
    return rows.tobytes()


def jpeg_tables(form: SyntheticFormat) -> bytes:
    """The tables that all JPEG tiles of a form share, as a stream of their own."""
    stream = encoded_jpeg(np.full((16, 16, 3), 240, np.uint8), form)
    tables = [part for marker, part in _segments(stream) if marker in TABLE_MARKERS]
    return b"\xff\xd8" + b"".join(tables) + b"\xff\xd9"


def abbreviated(stream: bytes) -> bytes:
    """A JPEG stream without its tables and application segments, as Aperio stores tiles."""
    kept = [
        part
        for marker, part in _segments(stream)
        if marker not in TABLE_MARKERS and not 0xE0 <= marker <= 0xEF
    ]
    return b"\xff\xd8" + b"".join(kept)


def _segments(stream: bytes) -> list[tuple[int, bytes]]:
    """(marker, bytes with the marker) of each segment; the last one runs from the scan to the end."""
    segments = []
    at = 2
    while stream[at + 1] != START_OF_SCAN:
        length = 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        segments.append((stream[at + 1], stream[at : at + length]))
        at += length
    return [*segments, (START_OF_SCAN, stream[at:])]
