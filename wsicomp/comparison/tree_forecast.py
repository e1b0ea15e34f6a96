"""Foretell what converting a tree of slides will save, from forecasts of some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsicomp.comparison.archive_sample import ArchiveSample, estimate_total, rough_range
from wsicomp.comparison.forecast import Foretold, forecast_conversion
from wsicomp.comparison.pack_forecast import forecast_pack
from wsicomp.comparison.projection import draw_archive_sample
from wsicomp.comparison.stratified import variance_of
from wsicomp.config import ConversionConfig
from wsicomp.conversion.archive_form import becomes_pack
from wsicomp.conversion.larger import batch_config
from wsicomp.conversion.plan_checks import check_loss
from wsicomp.conversion.region_files import config_of_slide
from wsicomp.errors import WsicompError
from wsicomp.formats.discovery import FoundSlide
from wsicomp.formats.slide_files import is_dicom_file
from wsicomp.progress import StageProgress
from wsicomp.text.paths import as_path

_SEED = 0


@dataclass(frozen=True)
class SlideForecast:
    """What is foretold of one slide."""

    source: str
    """The source's path in its tree, as text."""
    found: Foretold | None
    """The forecast; None where the slide cannot be converted."""
    error: str
    """Why it cannot be; "" where it can."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: the outcome and the estimate, without the plan."""
        values = {} if self.found is None else self.found.to_json()
        told: dict[str, Any] = {name: values.get(name) for name in ("outcome", "estimate")}
        return {"source": self.source, "error": self.error} | told

    @property
    def saved_bytes(self) -> int:
        """The bytes that it saves, negative where it grows; none where it fails."""
        return 0 if self.found is None else self.found.saved_bytes


@dataclass(frozen=True)
class TreeForecast:
    """What is foretold of a tree of slides."""

    slides: tuple[SlideForecast, ...]
    """The slides that were drawn, by their sources."""
    bytes: int
    """The bytes of all slides that the draw stands for."""
    unmeasured_bytes: int
    """The bytes of the slides that it does not stand for: large ones, and other kinds of files."""
    is_rough: bool
    """Whether so few were drawn that the ends are a range, and no 95 % interval."""
    standing: int
    """How many drawn slides stand for others; 0 where every slide of `bytes` was drawn."""
    saved_bytes_low: int
    """The lower end of what `bytes` will save."""
    saved_bytes_high: int
    """The upper end of what `bytes` will save."""
    seconds: float
    """The seconds that they will take on this machine."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; of a slide its outcome and estimate, without its plan."""
        return {**vars(self), "slides": [one.to_json() for one in self.slides]}


def forecast_tree(
    root: Path,
    slides: Sequence[FoundSlide],
    targets: Sequence[Path],
    config: ConversionConfig,
    count: int,
    progress: StageProgress,
) -> TreeForecast:
    """Return what converting these slides of a tree will save, from forecasts of about `count` of them.

    `targets` are where their conversions will go. A slide that cannot be converted, or would lose something
    that nobody asked for, saves nothing.
    """
    sample = draw_archive_sample(slides, count, _SEED)
    drawn = sample.drawn.tolist()
    found: dict[int, SlideForecast] = {}
    for done, number in enumerate(drawn, 1):
        found[number] = _forecast(root, slides[number].source, targets[number], config)
        progress(done, len(drawn))
    return _total(sample, found)


def _forecast(root: Path, source: str, target: Path, config: ConversionConfig) -> SlideForecast:
    try:
        config, path = config_of_slide(config, root, source), root / as_path(source)
        if becomes_pack(path, target, config):
            return SlideForecast(source, forecast_pack(path, config.run.workers), "")
        found = forecast_conversion(path, batch_config(config), target=target)
        check_loss(config)(found.plan)
        if is_dicom_file(path):  # the other files of its series are in the tree, too
            found = found.of_part(path.stat().st_size)
    except Exception as exc:  # the boundary between a slide and the others
        message = exc.message if isinstance(exc, WsicompError) else f"{type(exc).__name__}: {exc}"
        return SlideForecast(source, None, " ".join(message.split()))
    return SlideForecast(source, found, "")


def _total(sample: ArchiveSample, found: dict[int, SlideForecast]) -> TreeForecast:
    saved, seconds, unsure = (np.full(len(sample.sizes), np.nan) for _ in range(3))
    for number, one in found.items():
        saved[number] = one.saved_bytes
        seconds[number] = 0.0 if one.found is None else one.found.seconds
        unsure[number] = 0.0 if one.found is None else _variance(one.found)
    estimate = estimate_total(sample, saved, unsure)
    low, high = rough_range(sample, saved) if sample.is_rough else (estimate.low, estimate.high)
    return TreeForecast(
        slides=tuple(sorted(found.values(), key=lambda one: one.source)),
        bytes=sample.bytes_of(sample.measured),
        unmeasured_bytes=sample.bytes_of(sample.unmeasured),
        is_rough=sample.is_rough,
        standing=sample.standing,
        saved_bytes_low=round(low),
        saved_bytes_high=round(high),
        seconds=estimate_total(sample, seconds).value,
    )


def _variance(found: Foretold) -> float:
    return variance_of(found.target_bytes_low, found.target_bytes_high)
