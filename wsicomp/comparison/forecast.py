"""Foretell one conversion without writing it: its size with an interval, its time, and its outcome.

Copied tiles are counted. Others are drawn by level, action, recipe and bytes in the source, made, and stand
for the rest.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np

from wsicomp.comparison.sampled_files import overhead_bytes, stored_bytes
from wsicomp.comparison.stratified import Draw, Estimate, Numbers, draw_strata, total
from wsicomp.comparison.tile_trials import try_tiles
from wsicomp.config import ConversionConfig
from wsicomp.conversion.convert import prepared_slide
from wsicomp.conversion.larger import takes_source
from wsicomp.conversion.outcome import Outcome, planned_outcome
from wsicomp.conversion.prepare import Prepared
from wsicomp.files.unfinished import temporary_folder
from wsicomp.formats.base import Slide
from wsicomp.formats.tiff.directories import distinct_bytes
from wsicomp.geometry import TileIndex
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.progress import Progress, StageProgress, Stages, no_progress, progress_raises_through

DRAWN_TILES = 128
"""About how many tiles are made."""
_MADE = tuple(
    action.value for action in (TileAction.TRANSCODE, TileAction.ENCODE, TileAction.MASK_AND_ENCODE)
)
_SEED = 0
_FURTHER_PASSES = 3
"""How often a conversion goes over all bytes once it knows its source: to write, to read back, to check."""


@dataclass(frozen=True)
class Foretold:
    """What a conversion will be, as far as some of its tiles or pieces tell."""

    outcome: Outcome
    """What becomes of tissue, who opens the target, and whether there is a way back."""
    source_bytes: int
    """The bytes of the source."""
    target_bytes: int
    """The bytes of the target, estimated."""
    target_bytes_low: int
    """The lower end of the estimate's 95 % interval."""
    target_bytes_high: int
    """The upper end of the estimate's 95 % interval."""
    takes_source: bool
    """Whether the source's own file will stand at the target, since the conversion gains nothing."""
    seconds: float
    """The seconds that the conversion will take on this machine, by what these tiles took."""
    made_tiles: int
    """The count of tiles that were made for the estimate; 0 where all are copied and the size is counted."""

    @property
    def saved_bytes(self) -> int:
        """The bytes that are saved; negative where the target will be larger than the source."""
        return 0 if self.takes_source else self.source_bytes - self.target_bytes

    @property
    def saved(self) -> float:
        """The part of the source's bytes that is saved."""
        return self.saved_bytes / self.source_bytes

    def of_part(self, part_bytes: int) -> Self:
        """Return the share of a file of so many bytes in what is foretold of a slide of several files."""
        share = part_bytes / self.source_bytes
        return replace(
            self,
            source_bytes=part_bytes,
            target_bytes=round(self.target_bytes * share),
            target_bytes_low=int(self.target_bytes_low * share),
            target_bytes_high=round(self.target_bytes_high * share + 0.5),
            seconds=self.seconds * share,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON values of `outcome`, and of the other fields under `estimate`."""
        estimate = {field.name: getattr(self, field.name) for field in fields(Foretold)[1:]}
        return {"outcome": asdict(self.outcome), "estimate": estimate}


@dataclass(frozen=True)
class Forecast(Foretold):
    """What a conversion will be, as far as a plan and some of its tiles tell."""

    plan: ConversionPlan
    """The plan."""

    def to_json(self) -> dict[str, Any]:
        """Return the plan's JSON values, and the others under `outcome` and `estimate`."""
        return self.plan.to_json() | super().to_json()


@progress_raises_through
def forecast_conversion(
    source: str | os.PathLike[str],
    config: ConversionConfig | None = None,
    on_progress: Progress | None = None,
    audit: Path | None = None,
    target: Path | None = None,
) -> Forecast:
    """Return what the conversion of a slide will be; nothing is written but the picture `audit`.

    `target` is where it will go, which decides whether the source's own file can take its place.

    Examples:
        >>> found = forecast_conversion("slide.svs")  # doctest: +SKIP
        >>> f"{found.saved:.0%}, {found.outcome.tissue}"  # doctest: +SKIP
        '68%, exact bytes'

    Raises:
        ConfigError: the config cannot be carried out on this source.
        MaskError: the mask file does not fit the source.
        SlideReadError: the source cannot be read.
        SlideWriteError: the audit picture cannot be written.
        NothingGainedError: the target would be larger, and `keep_if_larger` is "fail".
    """
    config = ConversionConfig.given(config)
    stages = Stages(on_progress)
    with prepared_slide(source, config, stages, audit) as (slide, prepared):
        with stages.stage("estimate") as progress:
            tiles = forecast_tiles(slide, prepared, config.run.workers, progress=progress)
            with temporary_folder() as folder:
                size = tiles.bytes.plus(overhead_bytes(slide, prepared, config, folder))
        outcome = planned_outcome(prepared.plan, slide)
        sizes = prepared.plan.source.bytes, round(size.value)
        takes = target is not None and takes_source(config, slide, target, *sizes)
    spent = stages.elapsed_s
    before = sum(seconds for stage, seconds in spent.items() if stage != "estimate")
    before += spent["identify"] * _FURTHER_PASSES
    return Forecast(
        plan=prepared.plan,
        outcome=outcome,
        source_bytes=prepared.plan.source.bytes,
        target_bytes=round(size.value),
        target_bytes_low=int(size.low),
        target_bytes_high=round(size.high + 0.5),
        takes_source=takes,
        seconds=before + tiles.seconds,
        made_tiles=tiles.made,
    )


@dataclass(frozen=True)
class TilesForecast:
    """The tiles of a conversion, foretold from some of them."""

    bytes: Estimate
    """The bytes of all tiles that the file stores of its own."""
    seconds: float
    """The seconds to make them."""
    made: int
    """The count of tiles that were made to tell; 0 where all are copied and the bytes are counted."""


def forecast_tiles(
    slide: Slide,
    prepared: Prepared,
    workers: int,
    drawn: int = DRAWN_TILES,
    progress: StageProgress = no_progress,
) -> TilesForecast:
    """Foretell the tiles of a planned conversion from about `drawn` of them; nothing is written.

    Memory: some batches of decoded tiles for each of `workers` threads.
    """
    sample = _draw(slide, prepared.plan.levels, drawn)
    wanted = [sample.indices[number] for number in sample.draw.drawn.tolist()] if sample.indices else []
    sizes, seconds = np.full(len(sample.indices), np.nan), np.zeros(len(sample.indices))
    places = {index: number for number, index in enumerate(sample.indices)}
    with closing(try_tiles(slide, prepared, wanted, workers)) as trials:
        for count, trial in enumerate(trials, 1):
            place = places[trial.index]
            sizes[place] = trial.bytes + trial.listed_bytes
            seconds[place] = trial.encode_s + trial.decode_s
            progress(count, len(wanted))
    known = sum(_copied_bytes(slide, level) for level in prepared.plan.levels)
    if not wanted:
        return TilesForecast(Estimate(known, known, known), 0.0, 0)
    spent = float(sample.draw.weights() @ seconds) / workers
    return TilesForecast(total(sample.draw, sizes).plus(known), spent, len(wanted))


@dataclass(frozen=True)
class _Sample:
    """The tiles that will be made, and which of them stand for the others."""

    indices: list[TileIndex]
    draw: Draw


def _draw(slide: Slide, levels: Sequence[LevelPlan], drawn: int) -> _Sample:
    """Draw tiles by level, action, recipe and bytes in the source."""
    indices: list[TileIndex] = []
    cells: list[Numbers] = []
    known: list[float] = []
    for level in levels:
        stored = stored_bytes(slide, level)
        for action, recipe in product(_MADE, range(len(level.recipes))):
            places = np.argwhere((level.actions == action) & level.takes(recipe))
            cells.append(np.arange(len(indices), len(indices) + len(places)))
            indices += [TileIndex(level.number, int(column), int(row)) for row, column in places]
            known += [float(stored[row, column]) for row, column in places]
    parts = [cell for cell in cells if len(cell)]
    least = min(drawn // 4, max(1, drawn // max(1, len(parts))))
    rng = np.random.default_rng(_SEED)
    if not parts:
        return _Sample([], Draw((), np.zeros(0)))
    return _Sample(indices, draw_strata(parts, np.array(known), drawn, rng, least=min(10, least)))


def _copied_bytes(slide: Slide, level: LevelPlan) -> int:
    copied = level.actions.reshape(-1) == TileAction.COPY.value
    return distinct_bytes(slide.tile_ranges(level.source_level)[copied]) if copied.any() else 0
