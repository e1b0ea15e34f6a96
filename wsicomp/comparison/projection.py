"""Estimate what codecs would save of a whole archive, from some of its slides that were compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wsicomp.comparison.results import Archive, ArchiveRow, Row, SlideComparison, Status
from wsicomp.comparison.stratified import Draw, draw_strata, total
from wsicomp.formats.discovery import FoundSlide

_TB = 1e12
_A_STRATUM = 6
_HOUR_S = 3600
_NORMAL_95 = 1.96


@dataclass(frozen=True)
class Rates:
    """The price of storage, and the number of machines."""

    price: float | None = None
    """Price of a TB (10^12 bytes) and year, in any currency; None where no money is asked for."""
    machines: int = 1
    """How many machines like this one convert."""


def draw_archive_sample(slides: Sequence[FoundSlide], count: int, seed: int) -> Draw:
    """Draw about `count` slides of an archive by their sizes, with the random numbers of `seed`.

    Large slides, which decide the total, are drawn more often. The units of the sample are indices of
    `slides`.
    """
    known = np.array([slide.bytes for slide in slides], np.float64)
    everything = np.arange(len(slides))
    rng = np.random.default_rng(seed)
    return draw_strata([everything], known, count, rng, least=min(count, _A_STRATUM), small=0, nearly_all=1.0)


def project_archive(
    folder: str,
    slides: Sequence[FoundSlide],
    draw: Draw,
    compared: Mapping[str, SlideComparison],
    rates: Rates,
) -> Archive:
    """Estimate the bytes that each codec and treatment of glass would save of a whole archive.

    `compared` has the drawn slides by `FoundSlide.source`. A slide that a codec cannot make, or that fails,
    stays as it is and saves nothing.
    """
    combinations = dict.fromkeys((row.codec, row.glass) for found in compared.values() for row in found.rows)
    rows = [_row(combination, slides, draw, compared, rates) for combination in combinations]
    return Archive(
        folder=folder,
        slides=len(slides),
        bytes=sum(slide.bytes for slide in slides),
        drawn=len(draw.drawn),
        failed=sum(bool(found.error) for found in compared.values()),
        price=rates.price,
        machines=rates.machines,
        rows=tuple(row for row in rows if row.slides),
    )


def _row(
    combination: tuple[str, str],
    slides: Sequence[FoundSlide],
    draw: Draw,
    compared: Mapping[str, SlideComparison],
    rates: Rates,
) -> ArchiveRow:
    saved, seconds, unsure = (np.full(len(slides), np.nan) for _ in range(3))
    done = 0
    for number in draw.drawn.tolist():
        found = compared.get(slides[number].source)
        row = None if found is None else _done(found, combination)
        saved[number] = seconds[number] = unsure[number] = 0.0
        if found is not None and row is not None and row.target_bytes is not None:
            done += 1
            saved[number] = (found.source_bytes or 0) - row.target_bytes
            unsure[number] = _variance(row)
            seconds[number] = (row.encode_s or 0) + (row.read_s or 0)
            seconds[number] += (found.segment_s or 0) if row.glass != "keep" else 0
    whole = sum(slide.bytes for slide in slides)
    estimate = total(draw, saved, unsure)
    yearly = None if rates.price is None else rates.price / _TB
    return ArchiveRow(
        codec=combination[0],
        glass=combination[1],
        slides=done,
        target_bytes=round(whole - estimate.value),
        saved_bytes=round(estimate.value),
        saved_bytes_low=round(estimate.low),
        saved_bytes_high=round(estimate.high),
        saved_a_year=None if yearly is None else estimate.value * yearly,
        saved_a_year_low=None if yearly is None else estimate.low * yearly,
        saved_a_year_high=None if yearly is None else estimate.high * yearly,
        hours=total(draw, seconds).value / _HOUR_S / rates.machines,
    )


def _variance(row: Row) -> float:
    """Return the variance of a size that was sampled; 0 of a file's."""
    if row.target_bytes_low is None or row.target_bytes_high is None:
        return 0.0
    return ((row.target_bytes_high - row.target_bytes_low) / 2 / _NORMAL_95) ** 2


def _done(found: SlideComparison, combination: tuple[str, str]) -> Row | None:
    rows = (row for row in found.rows if (row.codec, row.glass) == combination and row.status is Status.DONE)
    return next(rows, None)
