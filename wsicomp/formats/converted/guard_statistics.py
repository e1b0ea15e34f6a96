"""Statistics of a guarded codec on one level: how close its tiles come, and which of them fell back."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import numpy as np

from wsicomp.codecs.base import Resort
from wsicomp.quality import Fidelity

FellBack = TypeVar("FellBack", int, tuple[int, ...])


@dataclass(frozen=True)
class GuardStatistics(Generic[FellBack]):
    """The result of a guarded codec on one level. The codec decodes each of its tiles and measures it.

    Means and extremes are over all guarded tiles.
    """

    tiles: int
    refined: int
    """Tiles encoded at a higher quality than the config asks for."""
    sparse: int
    """Tiles encoded by another codec, which makes them smaller."""
    repacked: int
    """Tiles that carry the source's own JPEG coefficients."""
    fell_back: FellBack
    """Tiles that missed the guard's limits at every quality and were encoded by another codec.

    A file lists their numbers in raster order, a report their count.
    """
    mean_ssim: float
    least_ssim: float
    mean_psnr: float | None
    """In dB, over the tiles that are not exact; None where all tiles are."""
    least_psnr: float | None
    """In dB; None where all tiles are exact."""
    most_color_shift: float
    """The largest difference between mean colours of blocks of 16 x 16 px, in grey levels."""


Guarded: TypeAlias = GuardStatistics[tuple[int, ...]]
"""The statistics as a file keeps them."""


class GuardedTiles:
    """Collects the statistics of a level while its tiles are written."""

    def __init__(self) -> None:
        self._fell_back: list[int] = []
        self._resorts = dict.fromkeys(Resort, 0)
        self._ssim, self._psnr = array("f"), array("f")
        self._color_shift = 0.0

    def add(self, number: int, found: Fidelity, resort: Resort) -> None:
        """Count one guarded tile; `number` is its place in the level, in raster order."""
        self._resorts[resort] += 1
        if resort is Resort.FELL_BACK:
            self._fell_back.append(number)
        self._ssim.append(found.ssim)
        if math.isfinite(found.psnr):
            self._psnr.append(found.psnr)
        self._color_shift = max(self._color_shift, found.color_shift)

    def record(self) -> Guarded | None:
        """Return the statistics, None where the level has no guarded tile."""
        if not self._ssim:
            return None
        psnr = np.asarray(self._psnr) if self._psnr else None
        return Guarded(
            len(self._ssim),
            self._resorts[Resort.REFINED],
            self._resorts[Resort.SPARSE],
            self._resorts[Resort.REPACKED],
            tuple(self._fell_back),
            float(np.mean(self._ssim)),
            float(np.min(self._ssim)),
            None if psnr is None else float(psnr.mean()),
            None if psnr is None else float(psnr.min()),
            self._color_shift,
        )
