"""Slices of a volume as JPEG 2000 at a rate, and the size that comes of it.

A stream of one small slice is mostly header: 35 x 51 px end at about 15 times. So slices stand side by side
in mosaics, every other one mirrored, which leaves no edges where slices meet.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsicomp.codecs.quality import psnr
from wsicomp.errors import CodecUnavailableError, TrainingError

_MOSAIC_PX = 512 * 512
Samples = NDArray[Any]
"""(slices, rows, columns) uint8 or uint16, or (rows, columns, 3) uint8 RGB."""


@dataclass(frozen=True)
class CodedSamples:
    """Decoded samples, and the bytes that they took."""

    samples: Samples
    """As decoded, in the shape of the source."""
    bytes: int
    """All streams together."""


def slices_at_rate(samples: Samples, bits: int, rate: int) -> CodedSamples:
    """Compress a volume `rate` times, by its samples of `bits` bits, and decode it again.

    `samples` are (slices, rows, columns). Rate 1 leaves them as they are. High rates are not reached where
    streams end in their headers; `bytes` says what was.

    Raises:
        CodecUnavailableError: this machine's Pillow lacks JPEG 2000.
        TrainingError: OpenJPEG cannot code these samples.
    """
    if rate == 1:
        return CodedSamples(samples, (samples.size * bits + 7) // 8)
    size, parts = 0, []
    for stack in _stacks(samples):
        grid = _grid(*stack.shape)
        wanted = stack.size * bits / 8 / rate
        picture = mosaic(stack, grid)
        data = encode_at_rate(picture, picture.nbytes / wanted)
        size += len(data)
        found = unmosaicked(np.minimum(imagecodecs.jpeg2k_decode(data), (1 << bits) - 1), grid, stack.shape)
        parts.append(found.astype(samples.dtype))
    return CodedSamples(np.concatenate(parts), size)


def picture_at_rate(pixels: Samples, rate: int) -> CodedSamples:
    """Compress a picture, (rows, columns, 3) uint8 RGB, `rate` times, and decode it again.

    Raises:
        CodecUnavailableError: this machine's Pillow lacks JPEG 2000.
        TrainingError: OpenJPEG cannot code these samples.
    """
    if rate == 1:
        return CodedSamples(pixels, pixels.size)
    data = encode_at_rate(pixels, rate)
    return CodedSamples(np.asarray(imagecodecs.jpeg2k_decode(data)), len(data))


def encode_at_rate(picture: Samples, rate: float) -> bytes:
    """Return a JPEG 2000 codestream (9/7 wavelet) `rate` times smaller than the samples in memory.

    Raises:
        CodecUnavailableError: this machine's Pillow lacks JPEG 2000.
        TrainingError: OpenJPEG cannot code these samples.
    """
    stream = io.BytesIO()
    options: dict[str, Any] = {"quality_mode": "rates", "quality_layers": [rate], "irreversible": True}
    try:
        Image.fromarray(picture).save(stream, "JPEG2000", no_jp2=True, mct=int(picture.ndim == 3), **options)
    except KeyError as exc:
        raise CodecUnavailableError("Pillow was built without JPEG 2000; install its wheel") from exc
    except (OSError, ValueError) as exc:
        raise TrainingError(f"OpenJPEG cannot code {picture.shape} samples {rate:g} times") from exc
    return stream.getvalue()


def _stacks(samples: Samples) -> Iterator[Samples]:
    count = max(1, _MOSAIC_PX // (samples.shape[1] * samples.shape[2]))
    for start in range(0, len(samples), count):
        yield samples[start : start + count]


def _grid(count: int, rows: int, columns: int) -> tuple[int, int]:
    """Return (rows, columns) of a mosaic that wastes few tiles and is about square."""

    def cost(across: int) -> float:
        down = -(-count // across)
        return (down * across - count) / count + 0.05 * abs(math.log(down * rows / (across * columns)))

    across = min(range(1, count + 1), key=cost)
    return -(-count // across), across


def mosaic(stack: Samples, grid: tuple[int, int]) -> Samples:
    """Return slices side by side, row by row, every other one mirrored; the last fills what is left over."""
    down, across = grid
    count, rows, columns = stack.shape
    picture = np.empty((down * rows, across * columns), stack.dtype)
    for number in range(down * across):
        row, column = divmod(number, across)
        tile = _mirrored(stack[min(number, count - 1)], row, column)
        picture[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns] = tile
    return picture


def unmosaicked(picture: Samples, grid: tuple[int, int], shape: tuple[int, ...]) -> Samples:
    """Return the slices of a mosaic, of `shape` (slices, rows, columns)."""
    count, rows, columns = shape
    stack = np.empty(shape, picture.dtype)
    for number in range(count):
        row, column = divmod(number, grid[1])
        tile = picture[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns]
        stack[number] = _mirrored(tile, row, column)
    return stack


def _mirrored(tile: Samples, row: int, column: int) -> Samples:
    return tile[:: -1 if row % 2 else 1, :: -1 if column % 2 else 1]


def psnr_of(source: Samples, found: Samples, peak: float) -> float | None:
    """Return the PSNR in dB by this peak; None where the two are the same."""
    value = psnr(source.astype(np.float64), found.astype(np.float64), peak)
    return value if math.isfinite(value) else None


def mean_psnr(values: Sequence[float | None]) -> float | None:
    """Return the mean in dB of the cases that lost something; None if none did."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
