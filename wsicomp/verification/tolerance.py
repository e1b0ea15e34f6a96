"""Tolerances: how far pixels may differ between two decoders, or because a codec loses detail.

The bounds for encoded tiles catch wrong colours, another tile's picture and noise, and let every honest tile
of the codec pass at its worst quality. They were measured on real tissue, flat tiles and noise; for a guarded
codec they are its own measurements, as the file's provenance states them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.quality import COLOR_BLOCK_PX
from wsicomp.codecs.registry import codec_info
from wsicomp.plan.level_plan import Recipe
from wsicomp.plan.provenance import Guarded
from wsicomp.slide import APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR, JPEG, WEBP, Pixels, TileEncoding
from wsicomp.verification.other_readers import Difference, is_subsampled

_DECODERS_WORST, _DECODERS_MEAN = 2, 1.0
INTERPOLATED = 2
"""Grey levels that interpolation may add, where OpenSlide shows pixels between those of a level."""
_LEAST_BLOCKS = 4
_OF_FEW = 32.0
_DETAIL_LOST, _DETAIL_PART = 24.0, 0.25
"""The variance of errors that a cell may have, summed over colours.

Beyond it, the part of the cell's own variance.
"""
_WORSE = 1.5
"""The factor by which encoders' versions may differ in the error of the codec that a file names."""
_STRONG_DETAIL, _DETAIL_PART_OF_UNKNOWN = 300.0, 0.7
"""The variance of detail that everyone sees, and the part of it that even a poor codec keeps."""


def is_chroma_subsampled(encoding: TileEncoding, data: bytes) -> bool:
    """Return whether two correct decoders may draw colours at edges differently."""
    if encoding.compression in (APERIO_JPEG2000_RGB, APERIO_JPEG2000_YCBCR):
        return is_subsampled(data)
    return encoding.compression == WEBP or (encoding.compression == JPEG and encoding.subsampling != (1, 1))


def by_decoders(found: Difference, subsampled: bool, interpolated: bool, exact: bool = False) -> bool:
    """Return whether two programs that decode the same stored tile may differ so much.

    `subsampled` says that the tile's chroma is subsampled, `interpolated` that one picture lies between
    pixels, `exact` that one program decoded both pictures.
    """
    more = INTERPOLATED if interpolated else 0
    if exact:
        return found.worst <= more
    if subsampled:
        return found.mean <= _DECODERS_MEAN
    return found.worst <= _DECODERS_WORST + more


@dataclass(frozen=True)
class Tolerance:
    """The tolerance of an encoded tile: how far it may be from its source."""

    shift: float
    """Grey levels in any channel by which the mean colour may be off.

    It holds for the whole tile, and for most of its blocks of 16 x 16 px.
    """
    most_shift: float | None = None
    """Grey levels by which the mean colour of any block may be off."""
    psnr: float | None = None
    """The least PSNR in dB, over the part of the tile inside its level."""

    def violation(self, truth: Pixels, decoded: Pixels, kept: Any, tile_px: int) -> str | None:
        """Return in words what exceeds the tolerance; None if nothing does.

        `truth` and `decoded` are (rows, columns, 3) uint8 RGB. Only pixels that are True in `kept`, (rows,
        columns) bool, count. `tile_px` is the count of pixels over which the PSNR is taken.
        """
        first, second = np.ascontiguousarray(decoded), np.ascontiguousarray(truth)
        apart = cv2.subtract(first, second, dtype=cv2.CV_32F)
        mask = kept.astype(np.uint8)
        mean = max(map(abs, cv2.mean(apart, mask)))
        # Errors of few pixels do not average out, and a sliver shares its blocks with what lies beyond.
        shift = self.shift * (1 + _OF_FEW / max(1.0, math.sqrt(int(mask.sum()))))
        if mean > shift:
            return f"its mean colour is {mean:.1f} grey levels off, at most {shift:.1f} by its codec"
        blocks = _block_shifts(apart, kept)
        median = float(np.median(blocks)) if len(blocks) >= _LEAST_BLOCKS else 0.0
        if median > shift:
            return f"most of it is {median:.1f} grey levels off, at most {shift:.1f} by its codec"
        if self.most_shift is not None and len(blocks) and float(blocks.max()) > self.most_shift:
            found = f"{blocks.max():.1f} grey levels off in a block, at most {self.most_shift:.1f}"
            return f"{found} by what its file states"
        if self.psnr is not None:
            error = float(np.square(apart[kept]).sum()) / 3 / tile_px
            if error > 255**2 / 10 ** (self.psnr / 10):
                return f"its PSNR is below the {self.psnr:.1f} dB that its file states"
        return None


@dataclass(frozen=True)
class Detail:
    """The detail of two pictures inside blocks of 16 x 16 px, for each cell of 2 x 2 blocks.

    Means of blocks do not show what is in them: a mosaic of means, or each block turned, has the same.
    """

    own: NDArray[np.float32]
    """The variance of the first picture inside its blocks, summed over colours."""
    error: NDArray[np.float32]
    """The variance of the second picture's error."""

    @staticmethod
    def between(truth: Pixels, decoded: Pixels) -> Detail:
        """Return the detail of the source's picture `truth`, and the error of the decoded picture."""
        first = truth.astype(np.float32)
        return Detail(_variance(first), _variance(decoded.astype(np.float32) - first))

    def violation(self, again: Detail | None = None) -> str | None:
        """Return in words the detail that is lost; None if none is.

        `again` is the detail after one more encoding: as much as that loses is allowed.
        """
        short = (self.error > _DETAIL_LOST) & (self.error > _DETAIL_PART * self.own)
        if again is not None:
            short &= self.error > _WORSE * again.error + _DETAIL_LOST
        return self._described(short)

    def mismatch(self) -> str | None:
        """Return in words that the decoded picture is another one than the source's; None if it is not."""
        lost = self.error > _DETAIL_PART_OF_UNKNOWN * self.own
        return self._described(lost & (self.own > _STRONG_DETAIL))

    def _described(self, cells: NDArray[np.bool_]) -> str | None:
        if not cells.any():
            return None
        return f"{int(cells.sum())} of its {cells.size} cells of 32 px have not the source's detail"


def _variance(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (-(-side // COLOR_BLOCK_PX) for side in pixels.shape[:2])
    bottom, right = rows * COLOR_BLOCK_PX - pixels.shape[0], columns * COLOR_BLOCK_PX - pixels.shape[1]
    whole = cv2.copyMakeBorder(pixels, 0, bottom, 0, right, cv2.BORDER_REFLECT)
    means, squares = (
        cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA) for values in (whole, whole * whole)
    )
    cells = (max(1, columns // 2), max(1, rows // 2))
    return np.asarray(
        cv2.resize(np.maximum(squares - means * means, 0).sum(-1), cells, interpolation=cv2.INTER_AREA)
    )


def _block_shifts(apart: Any, kept: Any) -> Any:
    """Return how far the mean colour of each whole kept block is off."""
    rows, columns = (side // COLOR_BLOCK_PX for side in kept.shape)
    if not rows or not columns:
        return np.empty(0, np.float32)
    size = (columns, rows)
    inside = (slice(rows * COLOR_BLOCK_PX), slice(columns * COLOR_BLOCK_PX))
    means = np.abs(cv2.resize(apart[inside], size, interpolation=cv2.INTER_AREA)).max(-1)
    whole = cv2.resize(kept[inside].astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.999
    return means[whole]


def tolerance_of(recipe: Recipe, guarded: Guarded | None) -> Tolerance:
    """Return the tolerance of a recipe's encoded tiles: as measured when they were made, else its codec's."""
    if guarded is not None:
        most = guarded.most_color_shift + _DECODERS_WORST + 1
        psnr = None if guarded.least_psnr is None else guarded.least_psnr - 0.5
        return Tolerance(most, most, psnr)
    color_shift = None if recipe.codec == "copy" else codec_info(recipe.codec).color_shift
    if recipe.options.get("lossless") or color_shift is None:
        return Tolerance(float(_DECODERS_WORST))
    return Tolerance(color_shift(recipe.options))
