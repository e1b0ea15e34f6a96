"""Looking once more at what a conversion took for glass, by the source alone.

No mask that a conversion had is believed: how bare glass looks is fitted to the slide by masks of our own,
and something lies on the glass where the guard finds it by each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Region, TileIndex
from wsicomp.progress import no_progress
from wsicomp.slide import Level, Pixels, Slide
from wsicomp.tissue.glass import GlassGuard, fit_glass_color
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overview import Overview, read_overview
from wsicomp.tissue.padding import Padding, find_padding
from wsicomp.tissue.segmenters.threshold import ThresholdSegmenter
from wsicomp.tissue.segmenters.unet import UnetSegmenter
from wsicomp.tissue.segmenters.weights import SHIPPED

_PLACES = 9
_SAME_GLASS = 3.0
"""Grey levels, of which the guard allows glass twenty."""

Found = NDArray[np.bool_] | None
"""(block rows, block columns) of a tile, as `GlassGuard.find` has it."""


class IndependentGuard:
    """A guard over a slide that knows no mask of its conversion. May be called from several threads.

    One colour of glass by which the guard finds nothing is enough: the first guess, without any mask, does
    for nearly all tiles. Where it is doubtful the threshold says what tissue is, and if glass then looks
    otherwise the network does.
    """

    def __init__(self, slide: Slide, workers: int) -> None:
        self._slide = slide
        self._workers = workers
        self._lock = Lock()
        self._guards: list[GlassGuard] = []
        self._overview: tuple[Overview, Padding] | None = None

    def find(self, index: TileIndex, glass: NDArray[np.bool_] | None = None) -> Found:
        """What lies on the glass of a tile, as `GlassGuard.find` says it.

        Raises:
            TileReadError: the tile cannot be decoded, or nothing of the slide can.
        """
        return self._agreed(lambda guard: guard.find(self._slide, index, glass))

    def find_in(
        self, pixels: Pixels, level: Level, index: TileIndex, glass: NDArray[np.bool_] | None = None
    ) -> Found:
        """As `find`, on pixels that were read already.

        Raises:
            TileReadError: nothing of the slide can be decoded.
        """
        return self._agreed(lambda guard: guard.find_in(pixels, level, index, glass))

    def things(self, foreign: NDArray[np.bool_], level: Level) -> Found:
        """The blocks that would make a thing by themselves."""
        return self._guard(0).things(foreign, level)

    def block_px(self, level: Level) -> int:
        """The side of a block in the level's pixels."""
        return self._guard(0).block_px(level)

    def blocks_of(self, pixels: Pixels, level: Level, region: Region) -> Pixels:
        """The means of a tile's blocks."""
        return self._guard(0).blocks_of(pixels, level, region)

    def color_of(self, shape: tuple[int, ...], level: Level, region: Region) -> NDArray[np.float32]:
        """How bare glass looks where a tile's blocks are, in so many rows and columns."""
        return self._guard(0).color_of(shape, level, region)

    def _agreed(self, look: Callable[[GlassGuard], Found]) -> Found:
        agreed: Found = None
        for guard in self._all():
            found = look(guard)
            if found is None:
                return None
            agreed = found if agreed is None else agreed & found
        return agreed if agreed is not None and agreed.any() else None

    def _all(self) -> Iterator[GlassGuard]:
        yield self._guard(0)
        yield self._guard(1)
        if self._is_disputed:
            yield self._guard(2)

    @cached_property
    def _is_disputed(self) -> bool:
        """Whether the first two guesses of how bare glass looks are not the same."""
        places = np.linspace(0, 1, _PLACES)
        first, second = (self._guard(number).color.at(places, places) for number in (0, 1))
        return bool(np.abs(first - second).max() > _SAME_GLASS)

    def _guard(self, number: int) -> GlassGuard:
        with self._lock:
            while len(self._guards) <= number:
                self._guards.append(self._made(self._masks[len(self._guards)]))
            return self._guards[number]

    def _made(self, mask: Callable[[Overview], TissueMask]) -> GlassGuard:
        if self._overview is None:
            overview = read_overview(self._slide, self._workers, no_progress)
            self._overview = overview, find_padding(overview)
        overview, padding = self._overview
        color = fit_glass_color(overview, mask(overview), padding)
        return GlassGuard(self._slide.info, color, 0.0, padding.black)

    @property
    def _masks(self) -> tuple[Callable[[Overview], TissueMask], ...]:
        return self._nothing, self._by_threshold, self._by_network

    def _nothing(self, overview: Overview) -> TissueMask:
        none = np.zeros(overview.pixels.shape[:2], np.bool_)
        return TissueMask(none, overview.slide, overview.scale_x, overview.scale_y, "nothing")

    def _by_threshold(self, overview: Overview) -> TissueMask:
        return ThresholdSegmenter().segment(self._slide, overview, self._workers, no_progress)

    def _by_network(self, overview: Overview) -> TissueMask:
        return UnetSegmenter(SHIPPED).segment(self._slide, overview, self._workers, no_progress)
