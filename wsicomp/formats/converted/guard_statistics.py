"""What a guarded codec makes of a level, gathered while its tiles pass."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

import numpy as np

from wsicomp.codecs.base import Resort
from wsicomp.quality import Fidelity


class GuardedTiles:
    """The figures of the tiles that a guarded codec made."""

    def __init__(self) -> None:
        self._fell_back: list[int] = []
        self._resorts = dict.fromkeys(Resort, 0)
        self._ssim, self._psnr = array("f"), array("f")
        self._color_shift = 0.0

    def add(self, number: int, found: Fidelity, resort: Resort) -> None:
        """The next guarded tile, with its number in the level."""
        self._resorts[resort] += 1
        if resort is Resort.FELL_BACK:
            self._fell_back.append(number)
        self._ssim.append(found.ssim)
        if math.isfinite(found.psnr):
            self._psnr.append(found.psnr)
        self._color_shift = max(self._color_shift, found.color_shift)

    def record(self) -> Guarded | None:
        """What there is to say; None if there were none."""
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


@dataclass(frozen=True)
class Guarded:
    """What a guarded codec made of a level's tiles, each of which it held against its pixels.

    `refined` tiles took more quality than was asked for, `sparse` ones are smaller by another codec,
    `repacked` ones by the source's own JPEG coefficients.
    `fell_back` are those that were not true enough at any quality, and are by another codec. The means and
    the worst are over all guarded tiles: SSIM, PSNR in dB (lossless ones left out), and the shift of colour
    of 16 x 16 px in grey levels. A worst PSNR or mean is None where all tiles are lossless.
    """

    tiles: int
    refined: int
    sparse: int
    repacked: int
    fell_back: tuple[int, ...]
    mean_ssim: float
    least_ssim: float
    mean_psnr: float | None
    least_psnr: float | None
    most_color_shift: float
