"""A slide of a viewer with what is found out about it, each part when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar, cast

from wsicomp.concurrency.threads import available_cores
from wsicomp.errors import SlideReadError
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.opening import open_source
from wsicomp.plan.provenance import Provenance
from wsicomp.viewer.layers.damage_search import DamageSearch
from wsicomp.viewer.layers.outcomes import SlideOutcomes
from wsicomp.viewer.pairing import doubt_of
from wsicomp.viewer.pictures.shown_slide import ShownSlide
from wsicomp.viewer.pictures.tile_pictures import ColorTransform

if TYPE_CHECKING:
    from wsicomp.viewer.layers.tissue_layer import LazyTissueLayer, TissueLayer
    from wsicomp.viewer.layers.worst_tiles import WorstTiles
    from wsicomp.viewer.what_if.estimates import ConversionEstimates

Part = TypeVar("Part")
_WORKING = ("worst", "damage")
"""The parts that work in the background."""


@dataclass(eq=False)
class ViewedSlide:
    """A slide of the viewer: the number by which the page asks for it, and what it is."""

    number: int
    """Its number in addresses, from 1."""
    shown: ShownSlide
    """The open slide."""
    name: str
    """The name of its file."""
    bytes: int | None
    """The bytes of its file; None where it has none."""
    source: ViewedSlide | None = None
    """The slide that it is compared with; None for the first."""
    mask: Path | None = None
    """The file of its tissue mask, if the user names one."""

    def __post_init__(self) -> None:
        self._parts: dict[str, Any] = {}
        self._lock = RLock()
        self._is_released = False

    @property
    def provenance(self) -> Provenance | None:
        """The record of how wsicomp wrote it; None for any other slide."""
        return self.shown.slide.provenance

    @property
    def doubt(self) -> str:
        """Why it is no conversion of its source, in words; "" where it can be one."""
        return self._part("doubt", self._find_doubt)

    def _find_doubt(self) -> str:
        return "" if self.source is None else doubt_of(self.source.shown.slide, self.shown.slide)

    @property
    def colors(self) -> ColorTransform | None:
        """The way from its ICC profile to sRGB; None where it has none, or a damaged one."""
        return self._part("colors", self._make_colors)

    def _make_colors(self) -> ColorTransform | None:
        profile = self.shown.info.icc_profile
        if profile is None:
            return None
        with suppress(SlideReadError):
            return ColorTransform(profile)
        return None

    @property
    def outcomes(self) -> SlideOutcomes:
        """What became of each tile of a conversion."""
        provenance = self.provenance
        assert provenance is not None, "a conversion"
        return self._part("outcomes", lambda: SlideOutcomes(provenance))

    @property
    def damage(self) -> DamageSearch:
        """The search for damaged tiles of a conversion."""
        slide = self.shown.slide
        assert isinstance(slide, ConvertedSlide), "a conversion"
        return self._part("damage", lambda: DamageSearch(slide, self.outcomes.note_damaged))

    @property
    def worst(self) -> WorstTiles | None:
        """The worst tiles of a conversion; None where its source is not shown beside it."""
        return self._part("worst", self._make_worst)

    def _make_worst(self) -> WorstTiles | None:
        from wsicomp.viewer.layers.worst_tiles import WorstTiles  # noqa: PLC0415 - as for the tissue mask

        slide = self.shown.slide
        if self.source is None or not isinstance(slide, ConvertedSlide):
            return None
        return WorstTiles(slide, self.source.shown.info.path, self.outcomes.note_damaged)

    @property
    def estimates(self) -> ConversionEstimates:
        """What conversions of it would weigh."""
        from wsicomp.viewer.what_if.estimates import ConversionEstimates  # noqa: PLC0415 - as for the tissue mask

        return self._part("estimates", lambda: ConversionEstimates(self.shown.slide, self.name))

    @property
    def tissue(self) -> LazyTissueLayer:
        """The tissue mask, found when it is first asked for."""
        from wsicomp.viewer.layers.tissue_layer import LazyTissueLayer  # noqa: PLC0415 - the first view does not wait

        return self._part("tissue", lambda: LazyTissueLayer(self._find_tissue))

    def _find_tissue(self) -> TissueLayer:
        from wsicomp.viewer.layers.tissue_layer import find_tissue_layer  # noqa: PLC0415 - as above

        workers, own = available_cores(), self.shown.slide
        if self.source is None or self.provenance is None:
            return find_tissue_layer(own, self.provenance, self.mask, workers)
        with closing(open_source(self.source.shown.info.path, self.shown.info.path)) as source:
            return find_tissue_layer(source, self.provenance, self.mask, workers)

    def _part(self, name: str, make: Callable[[], Part]) -> Part:
        """Return what `make` returns, which is called once for all threads.

        What would work in the background does not, after `release`.
        """
        with self._lock:
            if name not in self._parts:
                self._parts[name] = make()
            part = self._parts[name]
            if self._is_released and name in _WORKING and part is not None:
                part.stop()
            return cast(Part, part)

    def release(self) -> None:
        """Stop what is measured of it, and drop what would keep it in memory."""
        with self._lock:
            self._is_released = True
            works = [self._parts.pop(name, None) for name in _WORKING]
            for name in ("tissue", "estimates"):
                self._parts.pop(name, None)
        for work in works:
            if work is not None:
                work.stop()

    def close(self) -> None:
        """Stop what is measured of it, and close it."""
        self.release()
        self.shown.close()
