"""Candidates: the rows of a comparison that may be recommended, each over all slides together.

A slide that a row cannot make counts as left as it is, as `carry_others=True` leaves it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wsicomp.comparison.options import GLASS
from wsicomp.comparison.outcomes import RowOutcome
from wsicomp.comparison.results import Comparison, Row, SlideComparison, Status, SummaryRow
from wsicomp.conversion.outcome import on_levels
from wsicomp.options import Value

COPY, REPACKED, ENCODED, WITH_LOSS = range(4)
"""Kinds of codecs, simplest first: tiles as they are, packed, encoded without loss, encoded with loss."""

EVERYWHERE = "everywhere"
"""Says that regions are exact on every level."""


@dataclass(frozen=True)
class Candidate:
    """One codec and treatment of glass over all slides; those that it cannot convert stay as they are."""

    codec: str
    """The codec's label."""
    glass: str
    """What becomes of glass."""
    left: tuple[str, ...]
    """The names of the slides that it does not convert."""
    left_bytes: int
    """Bytes of these slides."""
    part: float
    """The part of all sources' bytes that remains, with those of the slides left."""
    low: float | None
    """Lower end of its 95 % interval beside other codecs: of what is shared with them it is free."""
    high: float | None
    """Upper end of this interval; None where bytes were counted."""
    shown_interval: tuple[float, float] | None
    """The 95 % interval of `part` by itself; None where bytes were counted."""
    outcome: RowOutcome | None
    """What becomes of tissue and file, the worst of the slides converted; None where it converts none."""
    least_ssim: float | None
    """SSIM of the worst tissue tile of all slides; None where none was measured."""
    options: Mapping[str, Value] | None
    """The options that make it; None where each slide has its own."""
    container: str
    """The format of the first slide's file."""
    reason: str
    """Why the first slide that it does not convert is not converted; else ""."""
    makes_most: bool
    """Whether it converts more than half of the sources' bytes."""
    excused: frozenset[str]
    """The programs that need not open it: they do not open one of its sources, or open no row at all."""
    source: tuple[frozenset[str], frozenset[str]] | None
    """The programs that do not open one of its sources, and that show a part of one; None if unknown."""
    keeps_regions: bool
    """Whether it keeps regions as was asked; True of a comparison without regions."""
    exact_regions: str
    """In words where every pixel of its regions stays: "everywhere"; "" if it has none, or not all do."""

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
    slides = [slide for slide in found.slides if not slide.error]
    never = _never_opening(found)
    rows: dict[tuple[str, str], list[Row]] = {}
    for row in found.rows:
        if row.status is Status.DONE and row.target_bytes is not None:
            rows.setdefault((row.codec, row.glass), []).append(row)
    return [_candidate(each, rows.get((each.codec, each.glass), []), slides, never) for each in found.summary]


def _never_opening(found: Comparison) -> frozenset[str]:
    """Return the programs that open no row; the reference, JPEG in plain tiles, is one of the rows."""
    closed = [frozenset(row.outcome.not_in) for row in found.rows if row.outcome is not None]
    return frozenset.intersection(*closed) if closed else frozenset()


def _source_programs(
    sources: Sequence[SlideComparison],
) -> tuple[frozenset[str], frozenset[str]] | None:
    """Return the programs that do not open one of the sources, and those that show a part of one.

    None where that is not known of a source.
    """
    if any(slide.not_in is None for slide in sources):
        return None
    partly = frozenset(name for slide in sources for name in slide.partly_in or ())
    return _closed_to(sources), partly


def _closed_to(sources: Sequence[SlideComparison]) -> frozenset[str]:
    return frozenset(name for slide in sources for name in slide.not_in or ())


def _candidate(
    summed: SummaryRow, rows: Sequence[Row], slides: Sequence[SlideComparison], never: frozenset[str]
) -> Candidate:
    names = {row.slide for row in rows}
    sources = [slide for slide in slides if slide.slide in names]
    left = [slide for slide in slides if slide.slide not in names]
    left_bytes = sum(slide.source_bytes or 0 for slide in left)
    total = summed.source_bytes + left_bytes
    part = (summed.target_bytes + left_bytes) / total if total else 1.0
    low, high = _beside_others(rows, {slide.slide: slide.reference_bytes or 0 for slide in sources}, total)
    options = [dict(row.options) for row in rows]
    is_one = bool(options) and all(each == options[0] for each in options)
    return Candidate(
        codec=summed.codec,
        glass=summed.glass,
        left=tuple(slide.slide for slide in left),
        left_bytes=left_bytes,
        part=part,
        low=None if low is None else part - low,
        high=None if high is None else part + high,
        shown_interval=_interval(summed, left_bytes),
        outcome=summed.outcome,
        least_ssim=summed.worst_ssim,
        options=options[0] if is_one else None,
        container=rows[0].container if rows else "",
        reason=summed.reason,
        makes_most=summed.source_bytes > left_bytes,
        excused=_closed_to(sources) | never,
        source=_source_programs(sources),
        keeps_regions=all(_keeps_regions(row, slide.kept_by) for row in rows for slide in sources),
        exact_regions=_exact_regions(rows),
    )


def _keeps_regions(row: Row, kept_by: str) -> bool:
    """Return whether a row keeps regions; `kept_by` is the label of what keeps all tissue as regions are."""
    is_lossless = row.outcome is not None and row.outcome.is_lossless
    return bool(row.classes) or is_lossless or kept_by in ("", row.codec)


def _exact_regions(rows: Sequence[Row]) -> str:
    """Return in words on which levels regions keep every pixel on all slides; "" where they do not."""
    kept: list[set[int]] = []
    for row in rows:
        regions = [each for each in row.classes if each.name]
        if not regions or not all(each.is_exact for each in regions):
            return ""
        levels = {level for each in regions for level in each.levels}
        if levels and levels != {level for each in row.classes for level in each.levels}:
            kept.append(levels)
    if kept:
        return on_levels(min(kept, key=len), ()).lstrip()
    return EVERYWHERE if rows else ""


def _interval(summed: SummaryRow, left_bytes: int) -> tuple[float, float] | None:
    """Return the 95 % interval of the part that remains of all slides; None where it was counted."""
    if summed.target_bytes_low is None or summed.target_bytes_high is None or not summed.source_bytes:
        return None
    total = summed.source_bytes + left_bytes
    return (summed.target_bytes_low + left_bytes) / total, (summed.target_bytes_high + left_bytes) / total


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
