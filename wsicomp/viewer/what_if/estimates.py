"""What a conversion with drawn regions would weigh, foretold from some of its tiles; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from wsicomp.codecs.spec_text import codec_values
from wsicomp.comparison.convert_command import convert_command
from wsicomp.comparison.forecast import forecast_tiles
from wsicomp.comparison.overhead import planned_overhead
from wsicomp.comparison.stratified import Estimate
from wsicomp.concurrency.threads import available_cores
from wsicomp.config import ConversionConfig
from wsicomp.conversion.prepare import Prepared, prepare_trial
from wsicomp.errors import ConfigError
from wsicomp.formats.base import Slide
from wsicomp.options import Value
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import TileAction
from wsicomp.progress import Stages
from wsicomp.regions.reader import drawn_regions
from wsicomp.regions.regions import Regions
from wsicomp.tissue.findings import Findings, find_glass
from wsicomp.tissue.mask_reader import drawn_mask
from wsicomp.viewer.what_if.codec_dials import codec_text

AUTO = "auto"
"""A codec that the conversion chooses: a coarse one that can stand beside the regions' tiles."""
_SAVED_AS = ".regions.geojson"
"""How the name ends of the file in which a page saves what is drawn; it begins as the slide's."""
_EXACT = ("copy", "jpegxl-lossless")
"""The codecs of regions, of which the first one that goes with the slide and the other codec is taken."""
_PRESET = "roi-archive"
_OVERHEAD_ERROR, _LEAST_ERROR_BYTES = 0.02, 500
_TILES = 96
"""About how many tiles are made: on two cores a second for JPEG, three for JPEG 2000."""
_WITHOUT_BYTES = (TileAction.BLANK.value, TileAction.EMPTY.value)


@dataclass(frozen=True)
class RegionTiles:
    """The tiles that a class of drawn regions keeps."""

    name: str
    """The class; "region" for shapes without one."""
    tiles: int
    """The count of tiles, on all levels, that it touches, and that no class before it does."""


@dataclass(frozen=True)
class EstimatedSize:
    """The size of a conversion, estimated."""

    bytes: int
    """The bytes of the file."""
    low: int
    """The lower end of the 95 % interval."""
    high: int
    """The upper end of the 95 % interval."""
    source_bytes: int
    """The bytes of the source."""
    made_tiles: int
    """The count of tiles that were made to tell; 0 where all are copied."""

    @property
    def saved(self) -> float:
        """The part of the source's bytes that is saved; negative where the file is larger."""
        return 1 - self.bytes / self.source_bytes


@dataclass(frozen=True)
class RegionsEstimate:
    """What a conversion with drawn regions exact and the rest coarse would be."""

    size: EstimatedSize
    """Its size."""
    regions: tuple[RegionTiles, ...]
    """The classes of regions, in order of precedence."""
    regions_codec: str
    """The codec of the regions' tiles."""
    outside_codec: str
    """The codec of other tissue, "auto" where the conversion chooses it."""
    command: str
    """The command that makes it, once the regions are saved as "SLIDE.regions.geojson" beside it."""
    notes: tuple[str, ...]
    """What a user should know."""


@dataclass(frozen=True)
class MaskEstimate:
    """What a conversion with drawn shapes as its tissue mask would be."""

    size: EstimatedSize
    """Its size."""
    kept_tiles: int
    """The count of tiles, on all levels, that are kept."""
    all_tiles: int
    """The count of all tiles."""
    rescued_tiles: int
    """The count of kept tiles that the drawing calls glass and that the guard found not bare."""
    command: str
    """The command that makes it, once the shapes are saved as "SLIDE.regions.geojson" beside it."""
    notes: tuple[str, ...]
    """What a user should know."""


class ConversionEstimates:
    """Estimates conversions of one open slide, one at a time. Any thread may ask.

    Its tissue and glass are found when they are first needed, which takes some seconds, and kept; `findings`
    are those if they are known already. `source` is the slide's path as the command is to name it.

    >>> estimates = ConversionEstimates(slide, "slide.svs")  # doctest: +SKIP
    >>> found = estimates.of_regions(geojson, "jpeg:40")  # doctest: +SKIP
    >>> found.size.bytes, found.regions  # doctest: +SKIP
    (4196352, (RegionTiles(name='Tumor', tiles=76),))
    """

    def __init__(
        self, slide: Slide, source: str, findings: Findings | None = None, workers: int | None = None
    ) -> None:
        self._slide = slide
        self._source = source
        self._drawing = f"{Path(source).stem}{_SAVED_AS}"
        self._findings = findings
        self._workers = workers or available_cores()
        self._lock = Lock()

    def _found(self) -> Findings:
        if self._findings is None:
            config = ConversionConfig.of(workers=self._workers)
            self._findings = find_glass(self._slide, config, Stages())
        return self._findings

    def of_regions(self, drawing: Any, outside: str = AUTO, glass: str = "blank") -> RegionsEstimate:
        """Return what a conversion with drawn regions exact and other tissue coarse would be.

        `drawing` is parsed GeoJSON in level-0 pixels of the slide's file. `outside` is the codec of other
        tissue, as `codec_text` takes it, "copy" or "auto". `glass` is "keep", "blank", "white" or "empty".
        Regions are copied; where that cannot stand beside `outside`, they are repacked as JPEG XL without
        loss.

        Raises:
            MaskError: the drawing is not GeoJSON, has no area, or leaves the slide.
            ConfigError: the codec is not offered or can stand beside no exact tiles, or `glass` is unknown.
            SlideReadError: the slide cannot be read.
            WeightsError: the network that finds tissue is missing, damaged, or cannot run.
        """
        codec = _known_codec(outside)
        regions = drawn_regions(drawing, self._slide.info)
        with self._lock:
            prepared, config = self._prepared(regions, codec, glass)
            size = self._size(prepared, config)
        plan, kept = prepared.plan, config.regions.roi_codec
        options: dict[str, Value] = {"roi": self._drawing}
        chosen = {"roi_codec": kept, "tissue_codec": codec, "glass": glass}
        options |= {name: value for name, value in chosen.items() if value != _DEFAULTS[name]}
        # The preset has the same defaults, and says by its name what they do.
        command = self._command(plan, options, preset=_PRESET if len(options) == 1 else "")
        return RegionsEstimate(
            size, tuple(_region_tiles(plan, regions)), kept, codec, command, _notes(plan, size)
        )

    def of_mask(self, drawing: Any, codec: str = AUTO, glass: str = "blank") -> MaskEstimate:
        """Return what a conversion with drawn shapes as its tissue mask would be.

        All else is glass, unless the guard finds something there. `drawing` is parsed GeoJSON in level-0
        pixels of the slide's file, `codec` is as for `of_regions`, `glass` is "blank", "white" or "empty".

        Raises:
            MaskError: the drawing is not GeoJSON, has no polygon, or leaves the slide.
            ConfigError: the codec is not offered or cannot store this slide, or `glass` is unknown.
            SlideReadError: the slide cannot be read.
        """
        text = _known_codec(codec)
        values = {} if text == AUTO else codec_values(text)
        config = ConversionConfig.of(**values, mask=Path(self._drawing), glass=glass, workers=self._workers)
        info = self._slide.info
        mask = drawn_mask(drawing, info.size, info.file_size)
        with self._lock:
            findings = find_glass(self._slide, config, Stages(), mask)
            prepared = prepare_trial(self._slide, config, findings)
            size = self._size(prepared, config)
        plan = prepared.plan
        options: dict[str, Value] = {**values, "mask": self._drawing}
        options |= {} if glass == _DEFAULTS["glass"] else {"glass": glass}
        gone = sum(int(np.isin(level.actions, _WITHOUT_BYTES).sum()) for level in plan.levels)
        tiles = sum(level.grid.count for level in plan.levels)
        command = self._command(plan, options)
        return MaskEstimate(size, tiles - gone, tiles, findings.rescued_tiles, command, _notes(plan, size))

    def _prepared(self, regions: Regions, outside: str, glass: str) -> tuple[Prepared, ConversionConfig]:
        """Return a plan with the first codec of `_EXACT` that goes, and its config.

        Raises:
            ConfigError: none goes; it says why the first one does not.
        """
        refusals: list[ConfigError] = []
        for kept in _EXACT:
            config = ConversionConfig.of(
                roi=Path(self._drawing),
                roi_codec=kept,
                tissue_codec=outside,
                glass=glass,
                workers=self._workers,
            )
            findings = None if config.glass.is_kept else self._found()
            try:
                return prepare_trial(self._slide, config, findings, regions), config
            except ConfigError as exc:
                refusals.append(exc)
        raise refusals[0]

    def _size(self, prepared: Prepared, config: ConversionConfig) -> EstimatedSize:
        tiles = forecast_tiles(self._slide, prepared, self._workers, _TILES)
        overhead = planned_overhead(self._slide, prepared, config)
        within = _OVERHEAD_ERROR * overhead + _LEAST_ERROR_BYTES
        found: Estimate = tiles.bytes.plus(overhead, within)
        low = max(found.low, 0.0)
        source = prepared.plan.source.bytes
        return EstimatedSize(round(found.value), int(low), int(found.high) + 1, source, tiles.made)

    def _command(self, plan: ConversionPlan, options: dict[str, Value], preset: str = "") -> str:
        return convert_command([self._source], False, plan.container, options, preset=preset)


_DEFAULTS = {"roi_codec": "copy", "tissue_codec": AUTO, "glass": "blank"}
"""The defaults of a conversion, which the command leaves out; the preset has the same."""


def _known_codec(text: str) -> str:
    """Return a codec as other parts of wsicomp read it; no page can name a file.

    Raises:
        ConfigError: it is not offered.
    """
    return text if text in (AUTO, "copy") else codec_text(text)


def _region_tiles(plan: ConversionPlan, regions: Regions) -> Iterator[RegionTiles]:
    for each in regions.classes:
        count = 0
        for level in plan.levels:
            own = [number for number, recipe in enumerate(level.recipes) if recipe.region == each.name]
            count += int(level.takes(*own).sum())
        yield RegionTiles(each.name, count)


def _notes(plan: ConversionPlan, size: EstimatedSize) -> tuple[str, ...]:
    larger = ("it would be larger than the source",) if size.saved < 0 else ()
    return (*larger, *plan.notes)
