"""Outcomes of rows: what becomes of tissue, who opens the file, and whether the source's bytes come back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wsicomp.codecs.base import Program
from wsicomp.codecs.tile_quality import Quality
from wsicomp.conversion.outcome import Outcome, Tissue, planned_outcome
from wsicomp.formats.base import Slide
from wsicomp.formats.compatibility import ReaderVerdict, opens_in, planned_verdicts
from wsicomp.plan.conversion_plan import ConversionPlan

ANY, OPENSLIDE, WSICOMP = "any", "openslide", "wsicomp"
OPENS_IN = (ANY, OPENSLIDE, WSICOMP)
"""Who has to open a file: every program tried, the newest OpenSlide, or wsicomp alone."""

_REFUSED = ("no", "shows black")


@dataclass(frozen=True)
class RowOutcome:
    """What becomes of tissue and file: by the plan where tiles were sampled, else by the written file."""

    tissue: Tissue
    """What becomes of tissue."""
    opens_in: str
    """The programs that open the file, in words."""
    not_in: tuple[str, ...]
    """The programs that refuse it, or show its tissue black."""
    partly_in: tuple[str, ...]
    """The programs that show a part of it."""
    programs: int
    """How many programs were tried."""
    reversible: bool
    """Whether `wsicomp restore` gives the source's file back, byte for byte."""

    @property
    def is_lossless(self) -> bool:
        """Whether every pixel of tissue is the source's."""
        return self.tissue is not Tissue.LOSSY

    @property
    def opens_in_openslide(self) -> bool:
        """Whether the newest OpenSlide opens all of it."""
        return Program.OPENSLIDE.value not in (*self.not_in, *self.partly_in)

    @property
    def short(self) -> str:
        """Who opens it, in a word or a few, as options of `opens_in` are named.

        >>> RowOutcome(Tissue.LOSSY, "", ("libvips",), (), 16, False).short
        'OpenSlide, 15/16'
        """
        if not self.not_in:
            return "all tried"
        name = "OpenSlide" if self.opens_in_openslide else "wsicomp"
        return f"{name}, {self.programs - len(self.not_in)}/{self.programs}"

    def tissue_text(self, least_ssim: float | None) -> str:
        """Return in two words what became of tissue, with the SSIM of its worst tile where it lost some."""
        if self.is_lossless or least_ssim is None:
            return self.tissue
        return f"{self.tissue} {least_ssim:.3f}"


def row_outcome(outcome: Outcome, found: Sequence[ReaderVerdict], quality: Quality | None) -> RowOutcome:
    """Return the outcome of a row from its conversion's, and from the verdicts on its file.

    Tissue without loss is taken at the plan's word unless a tile was measured that differs.
    """
    differs = quality is not None and quality.psnr_db is not None
    return RowOutcome(
        tissue=Tissue.LOSSY if differs else outcome.tissue,
        opens_in=outcome.opens_in or opens_in(found),
        not_in=refusing(found),
        partly_in=partly(found),
        programs=len(found),
        reversible=outcome.reversible,
    )


def planned_row_outcome(plan: ConversionPlan, source: Slide, quality: Quality | None) -> RowOutcome:
    """Return the outcome of a row that was not written, by its plan."""
    return row_outcome(planned_outcome(plan, source), planned_verdicts(plan), quality)


def refusing(found: Iterable[ReaderVerdict]) -> tuple[str, ...]:
    """Return the programs that refuse a file, or show its tissue black."""
    return tuple(each.reader for each in found if each.opens in _REFUSED)


def partly(found: Iterable[ReaderVerdict]) -> tuple[str, ...]:
    """Return the programs that show a part of a file."""
    return tuple(each.reader for each in found if each.opens == "partly")


def worst_outcome(found: Sequence[RowOutcome]) -> RowOutcome | None:
    """Return what holds for all of several slides: the worst of each fact; None for no slide."""
    if not found:
        return None
    not_in = tuple(dict.fromkeys(name for each in found for name in each.not_in))
    partly = tuple(dict.fromkeys(name for each in found for name in each.partly_in if name not in not_in))
    return RowOutcome(
        tissue=max((each.tissue for each in found), key=[*Tissue].index),
        opens_in=max(found, key=lambda each: (len(each.not_in), len(each.partly_in))).opens_in,
        not_in=not_in,
        partly_in=partly,
        programs=found[0].programs,
        reversible=all(each.reversible for each in found),
    )
