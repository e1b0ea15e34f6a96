"""Estimate what codecs would save of a whole archive, from some of its slides that were compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from wsicomp.comparison.archive_sample import ArchiveSample, draw_archive, estimate_total, rough_range
from wsicomp.comparison.results import Archive, ArchiveRow, Row, SlideComparison, Status, UnmeasuredSlides
from wsicomp.comparison.stratified import Floats, variance_of
from wsicomp.formats.discovery import FoundSlide

_TB = 1e12
_HOUR_S = 3600


@dataclass(frozen=True)
class Rates:
    """The price of storage, and the number of machines."""

    price: float | None = None
    """Price of a TB (10^12 bytes) and year, in any currency; None where no money is asked for."""
    machines: int = 1
    """How many machines like this one convert."""


def draw_archive_sample(slides: Sequence[FoundSlide], count: int, seed: int) -> ArchiveSample:
    """Draw `count` slides of an archive by their sizes and suffixes, with the random numbers of `seed`.

    The units of the sample are indices of `slides`.
    """
    sizes = np.array([slide.bytes for slide in slides], np.float64)
    kinds = [PurePosixPath(slide.source).suffix.lower() for slide in slides]
    return draw_archive(sizes, kinds, count, np.random.default_rng(seed))


def project_archive(
    folder: str,
    slides: Sequence[FoundSlide],
    sample: ArchiveSample,
    compared: Mapping[str, SlideComparison],
    rates: Rates,
) -> Archive:
    """Estimate the bytes that each codec and treatment of glass would save of a whole archive.

    `compared` has the drawn slides by `FoundSlide.source`. A slide that a codec cannot make, or that fails,
    stays as it is and saves nothing. Groups of slides from which none was drawn are named, and in no figure.
    """
    combinations = dict.fromkeys((row.codec, row.glass) for found in compared.values() for row in found.rows)
    rows = [_row(combination, slides, sample, compared, rates) for combination in combinations]
    return Archive(
        folder=folder,
        slides=len(slides),
        bytes=sum(slide.bytes for slide in slides),
        drawn=len(sample.drawn),
        failed=sum(bool(found.error) for found in compared.values()),
        price=rates.price,
        machines=rates.machines,
        measured_bytes=sample.bytes_of(sample.measured),
        unmeasured=tuple(
            UnmeasuredSlides(group.name, len(group.members), sample.bytes_of([group]))
            for group in sample.unmeasured
        ),
        is_rough=sample.is_rough,
        standing=sample.standing,
        rows=tuple(row for row in rows if row.slides),
    )


@dataclass(frozen=True)
class _Measured:
    """What one codec and treatment of glass makes of the drawn slides; (slides,), nan for others."""

    saved: Floats
    seconds: Floats
    unsure: Floats
    slides: int


def _row(
    combination: tuple[str, str],
    slides: Sequence[FoundSlide],
    sample: ArchiveSample,
    compared: Mapping[str, SlideComparison],
    rates: Rates,
) -> ArchiveRow:
    found = _measured(combination, slides, sample, compared)
    estimate = estimate_total(sample, found.saved, found.unsure)
    low, high = rough_range(sample, found.saved) if sample.is_rough else (estimate.low, estimate.high)
    yearly = None if rates.price is None or sample.is_rough else rates.price / _TB
    saved = None if sample.is_rough else round(estimate.value)
    return ArchiveRow(
        codec=combination[0],
        glass=combination[1],
        slides=found.slides,
        target_bytes=None if saved is None else sample.bytes_of(sample.measured) - saved,
        saved_bytes=saved,
        saved_bytes_low=round(low),
        saved_bytes_high=round(high),
        saved_a_year=None if yearly is None else estimate.value * yearly,
        saved_a_year_low=None if yearly is None else low * yearly,
        saved_a_year_high=None if yearly is None else high * yearly,
        hours=estimate_total(sample, found.seconds).value / _HOUR_S / rates.machines,
    )


def _measured(
    combination: tuple[str, str],
    slides: Sequence[FoundSlide],
    sample: ArchiveSample,
    compared: Mapping[str, SlideComparison],
) -> _Measured:
    saved, seconds, unsure = (np.full(len(slides), np.nan) for _ in range(3))
    done = 0
    for number in sample.drawn.tolist():
        found = compared.get(slides[number].source)
        row = None if found is None else _done(found, combination)
        saved[number] = seconds[number] = unsure[number] = 0.0
        if found is not None and row is not None and row.target_bytes is not None:
            done += 1
            saved[number] = (found.source_bytes or 0) - row.target_bytes
            unsure[number] = _variance(row)
            seconds[number] = (row.encode_s or 0) + (row.read_s or 0)
            seconds[number] += (found.segment_s or 0) if row.glass != "keep" else 0
    return _Measured(saved, seconds, unsure, done)


def _variance(row: Row) -> float:
    """Return the variance of a size that was sampled; 0 of a file's."""
    if row.target_bytes_low is None or row.target_bytes_high is None:
        return 0.0
    return variance_of(row.target_bytes_low, row.target_bytes_high)


def _done(found: SlideComparison, combination: tuple[str, str]) -> Row | None:
    rows = (row for row in found.rows if (row.codec, row.glass) == combination and row.status is Status.DONE)
    return next(rows, None)
