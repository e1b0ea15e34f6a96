"""Check what a conversion took for glass, by the source alone.

The mask of the conversion is not trusted. The colour of bare glass is fitted to the slide by masks of our
own, and something lies on the glass only if the guard finds it with each of these colours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency.forks import fork_safe_property
from wsicomp.formats.base import Slide
from wsicomp.geometry import TileIndex
from wsicomp.progress import no_progress
from wsicomp.slide import Level, Pixels
from wsicomp.tissue.glass_color import fit_glass_color
from wsicomp.tissue.glass_guard import GlassGuard
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overview import Overview, read_overview
from wsicomp.tissue.padding import Padding, find_padding
from wsicomp.tissue.segmenters.threshold import ThresholdSegmenter
from wsicomp.tissue.segmenters.unet import UnetSegmenter
from wsicomp.tissue.segmenters.weights import SHIPPED

_PLACES = 9
_SAME_GLASS = 3.0
"""Grey levels within which two colours of glass are the same; the guard tolerates twenty."""

Found = NDArray[np.bool_] | None
"""(block rows, block columns) of a tile, True where something lies on the glass; None for bare glass."""


class IndependentGuard:
    """A guard over a slide that does not know the conversion's mask. May be called from several threads.

    It finds something only if it does with every colour of glass. The first colour is fitted without any
    mask; if it finds nothing, as on nearly all tiles, that settles it. The second is fitted with the
    threshold's mask and, if the first two differ, the third with the network's.
    """

    def __init__(self, slide: Slide, workers: int) -> None:
        self._slide = slide
        self._workers = workers
        self._lock = Lock()
        self._guards: list[GlassGuard] = []
        self._overview: tuple[Overview, Padding] | None = None

    def find(self, index: TileIndex, glass: NDArray[np.bool_] | None = None) -> Found:
        """Return the blocks of a tile where something lies on the glass, as `GlassGuard.find` does.

        Raises:
            TileReadError: the tile cannot be decoded, or nothing of the slide can.
        """
        return self._agreed(lambda guard: guard.find(self._slide, index, glass))

    def find_in(
        self, pixels: Pixels, level: Level, index: TileIndex, glass: NDArray[np.bool_] | None = None
    ) -> Found:
        """Return what `find` returns, for a tile whose pixels are given, as `GlassGuard.find_in` does.

        Raises:
            TileReadError: nothing of the slide can be decoded.
        """
        return self._agreed(lambda guard: guard.find_in(pixels, level, index, glass))

    @property
    def first(self) -> GlassGuard:
        """The guard by the first colour, for what does not depend on a colour, or on that one alone."""
        return self._guard(0)

    def _agreed(self, find: Callable[[GlassGuard], Found]) -> Found:
        agreed: Found = None
        for guard in self._all():
            found = find(guard)
            if found is None:
                return None
            agreed = found if agreed is None else agreed & found
        return agreed if agreed is not None and agreed.any() else None

    def _all(self) -> Iterator[GlassGuard]:
        yield self.first
        yield self._guard(1)
        if self._is_disputed:
            yield self._guard(2)

    @fork_safe_property
    def _is_disputed(self) -> bool:
        """Whether the first two colours of bare glass differ."""
        places = np.linspace(0, 1, _PLACES)
        first, second = (self._guard(number).color.at(places, places) for number in (0, 1))
        return bool(np.abs(first - second).max() > _SAME_GLASS)

    def _guard(self, number: int) -> GlassGuard:
        with self._lock:
            while len(self._guards) <= number:
                self._guards.append(self._made(len(self._guards)))
            return self._guards[number]

    def _made(self, number: int) -> GlassGuard:
        if self._overview is None:
            overview = read_overview(self._slide, self._workers, no_progress)
            self._overview = overview, find_padding(overview)
        overview, padding = self._overview
        color = fit_glass_color(overview, self._mask(number, overview), padding)
        return GlassGuard(self._slide.info, color, 0.0, padding.black)

    def _mask(self, number: int, overview: Overview) -> TissueMask:
        """Return the mask by which the colour of this number is fitted: of nothing for the first one."""
        if number == 0:
            none = np.zeros(overview.pixels.shape[:2], np.bool_)
            return TissueMask(none, overview.slide, overview.scale_x, overview.scale_y, "nothing")
        segmenter = ThresholdSegmenter() if number == 1 else UnetSegmenter(SHIPPED)
        return segmenter.segment(self._slide, overview, self._workers, no_progress)
