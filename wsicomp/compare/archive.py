"""What codecs would make of a whole archive, by some of its slides that were drawn and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsicomp.batch.inventory import FoundSlide
from wsicomp.compare.results import Archive, ArchiveRow, Row, SlideComparison, Status
from wsicomp.compare.stratified import Draw, draw_strata, total

_TB = 1e12
_HOUR_S = 3600


@dataclass(frozen=True)
class Rates:
    """What storage and machines cost: `price` is for a TB (10^12 bytes) and year, in any currency."""

    price: float | None = None
    machines: int = 1


def draw_slides(slides: Sequence[FoundSlide], count: int, seed: int) -> Draw:
    """Draw slides of an archive by their sizes: the large ones, which decide the total, more often."""
    known = np.array([slide.bytes for slide in slides], np.float64)
    everything = np.arange(len(slides))
    return draw_strata([everything], known, count, np.random.default_rng(seed), least=4, small=0)


def project(
    folder: Path,
    slides: Sequence[FoundSlide],
    draw: Draw,
    compared: Mapping[str, SlideComparison],
    rates: Rates,
) -> Archive:
    """The bytes that each codec and way with glass would save of a whole archive.

    `compared` has the drawn slides by `FoundSlide.source`. A slide that a codec cannot make, and one that
    fails, stays as it is and saves nothing.
    """
    ways = dict.fromkeys((row.codec, row.glass) for found in compared.values() for row in found.rows)
    rows = [_row(way, slides, draw, compared, rates) for way in ways]
    return Archive(
        folder=str(folder),
        slides=len(slides),
        bytes=sum(slide.bytes for slide in slides),
        drawn=len(draw.drawn),
        failed=sum(bool(found.error) for found in compared.values()),
        price=rates.price,
        machines=rates.machines,
        rows=tuple(row for row in rows if row.slides),
    )


def _row(
    way: tuple[str, str],
    slides: Sequence[FoundSlide],
    draw: Draw,
    compared: Mapping[str, SlideComparison],
    rates: Rates,
) -> ArchiveRow:
    saved, seconds = np.full(len(slides), np.nan), np.full(len(slides), np.nan)
    done = 0
    for number in draw.drawn.tolist():
        found = compared.get(slides[number].source)
        row = None if found is None else _done(found, way)
        saved[number] = seconds[number] = 0.0
        if found is not None and row is not None and row.target_bytes is not None:
            done += 1
            saved[number] = slides[number].bytes - row.target_bytes
            seconds[number] = (found.segment_s or 0) + (row.encode_s or 0) + (row.read_s or 0)
    whole = sum(slide.bytes for slide in slides)
    estimate = total(draw, saved)
    return ArchiveRow(
        codec=way[0],
        glass=way[1],
        slides=done,
        target_bytes=round(whole - estimate.value),
        saved_bytes=round(estimate.value),
        saved_bytes_low=round(estimate.low),
        saved_bytes_high=round(estimate.high),
        saved_a_year=None if rates.price is None else estimate.value / _TB * rates.price,
        hours=total(draw, seconds).value / _HOUR_S / rates.machines,
    )


def _done(found: SlideComparison, way: tuple[str, str]) -> Row | None:
    rows = (row for row in found.rows if (row.codec, row.glass) == way and row.status is Status.DONE)
    return next(rows, None)
