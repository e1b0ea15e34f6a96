"""Candidates: the rows of a comparison that may be recommended, each over all slides together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wsicomp.comparison.options import GLASS
from wsicomp.comparison.outcomes import RowOutcome
from wsicomp.comparison.results import Comparison, Row, Status, SummaryRow
from wsicomp.options import Value

COPY, REPACKED, ENCODED, WITH_LOSS = range(4)
"""Kinds of codecs, simplest first: tiles as they are, packed, encoded without loss, encoded with loss."""


@dataclass(frozen=True)
class Candidate:
    """One codec and treatment of glass over all slides that it can convert."""

    codec: str
    """The codec's label."""
    glass: str
    """What becomes of glass."""
    slides: int
    """How many slides it converts."""
    part: float
    """The part of the sources' bytes that remains."""
    low: float | None
    """Lower end of its 95 % interval beside other codecs: of what is shared with them it is free."""
    high: float | None
    """Upper end of this interval; None where bytes were counted."""
    shown_interval: tuple[float, float] | None
    """The 95 % interval of `part` by itself; None where bytes were counted."""
    outcome: RowOutcome | None
    """What becomes of tissue and file, the worst of all slides; None where it converts none."""
    least_ssim: float | None
    """SSIM of the worst tissue tile of all slides; None where none was measured."""
    options: Mapping[str, Value] | None
    """The options that make it; None where each slide has its own."""
    container: str
    """The format of the first slide's file."""
    reason: str
    """Why the first slide that it does not convert is not converted; else ""."""

    @property
    def kind(self) -> int:
        """The codec's kind: `COPY` to `WITH_LOSS`."""
        if self.outcome is None or not self.outcome.is_lossless:
            return WITH_LOSS
        options = self.options or {}
        if options.get("codec") == "copy":
            return COPY
        return REPACKED if options.get("lossless") else ENCODED

    @property
    def closed(self) -> tuple[int, int]:
        """How many programs refuse it, and how many show a part of it."""
        return (0, 0) if self.outcome is None else (len(self.outcome.not_in), len(self.outcome.partly_in))

    @property
    def complexity(self) -> tuple[int, ...]:
        """How far it is from leaving the source as it is: kind, programs that do not open it, glass."""
        return self.kind, *self.closed, GLASS.index(self.glass)


def candidates(found: Comparison) -> list[Candidate]:
    """Return a candidate for each row of the summary."""
    bases = {slide.slide: slide.reference_bytes or 0 for slide in found.slides}
    rows: dict[tuple[str, str], list[Row]] = {}
    for row in found.rows:
        if row.status is Status.DONE and row.target_bytes is not None:
            rows.setdefault((row.codec, row.glass), []).append(row)
    return [_candidate(each, rows.get((each.codec, each.glass), []), bases) for each in found.summary]


def excused_programs(found: Comparison) -> frozenset[str]:
    """Return the programs that need not open a conversion: they do not open a source, or open no row.

    The reference, JPEG in plain tiles, is one of the rows.
    """
    closed = {name for slide in found.slides for name in slide.not_in or ()}
    outcomes = [row.outcome for row in found.rows if row.outcome is not None]
    never = (
        [name for name in outcomes[0].not_in if all(name in each.not_in for each in outcomes)]
        if outcomes
        else ()
    )
    return frozenset([*closed, *never])


def source_programs(found: Comparison) -> tuple[frozenset[str], frozenset[str]] | None:
    """Return the programs that do not open one of the sources, and those that show a part of one.

    None where that is not known of a source.
    """
    done = [slide for slide in found.slides if not slide.error]
    if any(slide.not_in is None for slide in done):
        return None
    not_in = frozenset(name for slide in done for name in slide.not_in or ())
    return not_in, frozenset(name for slide in done for name in slide.partly_in or ())


def _candidate(summed: SummaryRow, rows: Sequence[Row], bases: Mapping[str, int]) -> Candidate:
    part = summed.part
    low, high = _beside_others(rows, bases, summed.source_bytes)
    options = [dict(row.options) for row in rows]
    is_one = bool(options) and all(each == options[0] for each in options)
    return Candidate(
        codec=summed.codec,
        glass=summed.glass,
        slides=summed.slides,
        part=part,
        low=None if low is None else part - low,
        high=None if high is None else part + high,
        shown_interval=summed.part_interval,
        outcome=summed.outcome,
        least_ssim=summed.worst_ssim,
        options=options[0] if is_one else None,
        container=rows[0].container if rows else "",
        reason=summed.reason,
    )


def _beside_others(
    rows: Sequence[Row], bases: Mapping[str, int], source_bytes: int
) -> tuple[float | None, float | None]:
    """Return how far `part` may be below and above, as beside the reference on the same tiles."""
    below = above = 0.0
    for row in rows:
        if row.reduction is None or row.reduction_low is None or row.reduction_high is None:
            return None, None
        below += ((row.reduction_high - row.reduction) * bases[row.slide]) ** 2
        above += ((row.reduction - row.reduction_low) * bases[row.slide]) ** 2
    if not rows or not source_bytes:
        return None, None
    return math.sqrt(below) / source_bytes, math.sqrt(above) / source_bytes
