"""Statistics of a guarded codec on one level: the fidelity of its tiles, and those that fell back."""

from __future__ import annotations

import math
from array import array

import numpy as np

from wsicomp.codecs.base import Fallback
from wsicomp.codecs.quality import Fidelity
from wsicomp.plan.provenance import Guarded


class GuardedTiles:
    """Collects the statistics of a level while its tiles are written."""

    def __init__(self) -> None:
        self._fell_back: list[int] = []
        self._fallbacks = dict.fromkeys(Fallback, 0)
        self._ssim, self._psnr = array("f"), array("f")
        self._color_shift = 0.0

    def add(self, number: int, found: Fidelity, fallback: Fallback) -> None:
        """Add the next guarded tile; `number` is its place in the level in raster order, from 0."""
        self._fallbacks[fallback] += 1
        if fallback is Fallback.FELL_BACK:
            self._fell_back.append(number)
        self._ssim.append(found.ssim)
        if math.isfinite(found.psnr):
            self._psnr.append(found.psnr)
        self._color_shift = max(self._color_shift, found.color_shift)

    def record(self) -> Guarded | None:
        """Return the statistics; None where the level has no guarded tile."""
        if not self._ssim:
            return None
        psnr = np.asarray(self._psnr) if self._psnr else None
        return Guarded(
            tiles=len(self._ssim),
            refined=self._fallbacks[Fallback.REFINED],
            sparse=self._fallbacks[Fallback.SPARSE],
            repacked=self._fallbacks[Fallback.REPACKED],
            mean_ssim=float(np.mean(self._ssim)),
            least_ssim=float(np.min(self._ssim)),
            mean_psnr=None if psnr is None else float(psnr.mean()),
            least_psnr=None if psnr is None else float(psnr.min()),
            most_color_shift=self._color_shift,
            fell_back=tuple(self._fell_back),
        )
