"""What a comparison found, as data: one row for each slide, codec and way with glass, and their summary."""

from __future__ import annotations

import enum
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from wsicomp.tile_quality import Quality


class Status(enum.StrEnum):
    """What became of a row."""

    DONE = "done"
    UNAVAILABLE = "unavailable"
    """The codec is not on this machine, or cannot make this of the slide."""
    FAILED = "failed"


@dataclass(frozen=True)
class Row:
    """One slide as one codec and one way with glass make it. Without a figure, `reason` says why.

    `target_bytes` is the file's size, `level_bytes` its tiles level by level (the shared blank one once).
    `reduction` is 1 - target_bytes / bytes of the same slide written anew as JPEG of quality 90 with its
    glass, `source_reduction` the same of the source's file. `encode_s` is reading, encoding and writing,
    without looking for tissue; `read_s` decoding every tile. `quality` is that of tissue with glass kept.
    `low` and `high` end the 95 % interval of a sampled figure; None where it was counted.
    `setting` are the options of a codec whose setting was sought for a quality. Of a sample `level_bytes` are
    without blank tiles, and the worst tiles in `quality` are the worst ones drawn.
    """

    slide: str
    codec: str
    glass: str
    status: Status = Status.DONE
    reason: str = ""
    source_bytes: int | None = None
    target_bytes: int | None = None
    target_bytes_low: int | None = None
    target_bytes_high: int | None = None
    reduction: float | None = None
    reduction_low: float | None = None
    reduction_high: float | None = None
    source_reduction: float | None = None
    level_bytes: tuple[int, ...] = ()
    encode_s: float | None = None
    read_s: float | None = None
    sampled_tiles: int | None = None
    setting: str = ""
    quality: Quality | None = None


@dataclass(frozen=True)
class Crop:
    """A tissue tile's part at native pixels, as data URLs: source, codec, and their difference amplified."""

    codec: str
    kind: str
    index: str
    ssim: float
    source: str = field(repr=False)
    decoded: str = field(repr=False)
    difference: str = field(repr=False)


@dataclass(frozen=True)
class CurvePoint:
    """A codec at one setting on the same few tissue tiles; models without their guard of SSIM."""

    codec: str
    setting: float
    bits_per_pixel: float
    ssim: float


@dataclass(frozen=True)
class MagnifiedRow:
    """A codec on patches of tissue, 256 x 256 px, at one magnification.

    `saved` is against JPEG of quality 90; `least_saved` and `most_saved` are of single patches.
    """

    codec: str
    magnification: float
    patches: int
    bits_per_pixel: float
    saved: float
    least_saved: float
    most_saved: float
    ssim: float
    least_ssim: float
    ms_ssim: float | None
    psnr_db: float | None
    most_color_shift_levels: float


@dataclass(frozen=True)
class TargetSetting:
    """The setting that reaches a quality on a slide's tissue, and where it lands on tiles held out.

    `setting` are the options found, as a preset of `wsicomp convert` has them; `preset` is its file.
    `reaches` says whether the tiles sought on come within 0.003; else no setting of the codec does.
    """

    codec: str
    label: str
    target_ssim: float
    setting: Mapping[str, int | float | str | bool]
    tiles: int
    ssim: float
    held_out_tiles: int
    held_out_ssim: float
    held_out_bits_per_pixel: float
    reaches: bool = True
    preset: str | None = None

    @property
    def off(self) -> float:
        """How far from the target the held-out tiles are."""
        return self.held_out_ssim - self.target_ssim


@dataclass(frozen=True)
class SlideComparison:
    """All that was found on one slide. `error` says why there is nothing.

    `levels` are widths and heights in px. `tissue_fraction` is the mask's, without its margin; `segment_s`
    are the seconds that tissue was looked for, once for all codecs. `magnification` is that of level 0.
    `notes` are what a conversion says in words, and why there is no figure that was asked for.
    """

    slide: str
    source_bytes: int | None = None
    error: str = ""
    levels: tuple[tuple[int, int], ...] = ()
    tiles: int = 0
    tissue_tiles: int = 0
    tissue_fraction: float | None = None
    magnification: float | None = None
    segment_s: float | None = None
    reference_bytes: int | None = None
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    curves: tuple[CurvePoint, ...] = ()
    magnified: tuple[MagnifiedRow, ...] = ()
    landings: tuple[TargetSetting, ...] = ()
    crops: tuple[Crop, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Figure:
    """A figure over slides: mean, standard deviation, and the worst of them."""

    mean: float
    spread: float
    worst: float

    @classmethod
    def of(cls, values: Iterable[float | None], worst_is_least: bool = True) -> Figure | None:
        """Over those that there are; None of none."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        spread = statistics.stdev(known) if len(known) > 1 else 0.0
        return cls(statistics.fmean(known), spread, min(known) if worst_is_least else max(known))


@dataclass(frozen=True)
class SummaryRow:
    """One codec and way with glass over all slides that it could make.

    `total_reduction` and `total_source_reduction` are of the bytes of all these slides together. `reason`
    says why it could not make the first one of the others.
    """

    codec: str
    glass: str
    slides: int
    source_bytes: int
    target_bytes: int
    total_reduction: float
    total_source_reduction: float
    reduction: Figure | None
    source_reduction: Figure | None
    encode_s: Figure | None
    read_s: Figure | None
    bits_per_pixel: Figure | None
    ssim: Figure | None
    least_ssim: Figure | None
    ms_ssim: Figure | None
    psnr_db: Figure | None
    most_color_shift_levels: Figure | None
    reason: str = ""


@dataclass(frozen=True)
class ArchiveRow:
    """What a codec and way with glass would make of a whole archive, by the slides that were drawn.

    Bytes with the ends of their 95 % intervals; `saved_a_year` is money at the price given, `hours` those
    of this machine converting everything, one slide after another: finding tissue, writing, reading back.
    """

    codec: str
    glass: str
    slides: int
    target_bytes: int
    saved_bytes: int
    saved_bytes_low: int
    saved_bytes_high: int
    saved_a_year: float | None
    saved_a_year_low: float | None
    saved_a_year_high: float | None
    hours: float


@dataclass(frozen=True)
class Archive:
    """A tree of slides, of which some were drawn. `price` is for a TB (10^12 bytes) and year."""

    folder: str
    slides: int
    bytes: int
    drawn: int
    failed: int
    price: float | None
    machines: int
    rows: tuple[ArchiveRow, ...]


@dataclass(frozen=True)
class Comparison:
    """A whole comparison. `sample` is how many tiles of a slide were taken, None where all were."""

    software: str
    made: str
    command: str
    sample: int | None
    workers: int
    slides: tuple[SlideComparison, ...]
    archive: Archive | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row of every slide."""
        return tuple(row for slide in self.slides for row in slide.rows)

    @property
    def summary(self) -> tuple[SummaryRow, ...]:
        """One row for each codec and way with glass, in the order in which they were compared."""
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            groups.setdefault((row.codec, row.glass), []).append(row)
        bases = {slide.slide: slide.reference_bytes for slide in self.slides}
        return tuple(_summed(codec, glass, rows, bases) for (codec, glass), rows in groups.items())

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """What some or all slides could not be made by, in words, and why (of the first such slide)."""
        ways: dict[tuple[str, str, int], list[str]] = {}
        for row in self.summary:
            if row.reason:
                ways.setdefault((row.codec, row.reason, row.slides), []).append(row.glass)
        every = {row.glass for row in self.summary}
        found = []
        for (codec, reason, slides), glass in ways.items():
            what = codec if set(glass) == every else f"{codec}, glass {' and '.join(glass)}"
            found.append((what if not slides else f"{what} (but for {slides} slides)", reason))
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, by the same names, without pictures."""
        values = asdict(self, dict_factory=_without_pictures)
        return {**values, "summary": [asdict(row) for row in self.summary]}


def _without_pictures(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs if name != "crops"}


def _summed(codec: str, glass: str, rows: Sequence[Row], bases: Mapping[str, int | None]) -> SummaryRow:
    done = [row for row in rows if row.status is Status.DONE and row.target_bytes is not None]
    sources = sum(row.source_bytes or 0 for row in done)
    targets = sum(row.target_bytes or 0 for row in done)
    base = sum(bases[row.slide] or 0 for row in done)
    qualities = [row.quality for row in done if row.quality is not None]
    return SummaryRow(
        codec=codec,
        glass=glass,
        slides=len(done),
        source_bytes=sources,
        target_bytes=targets,
        total_reduction=1 - targets / base if base else 0.0,
        total_source_reduction=1 - targets / sources if sources else 0.0,
        reduction=Figure.of(row.reduction for row in done),
        source_reduction=Figure.of(row.source_reduction for row in done),
        encode_s=Figure.of((row.encode_s for row in done), worst_is_least=False),
        read_s=Figure.of((row.read_s for row in done), worst_is_least=False),
        bits_per_pixel=Figure.of((found.bits_per_pixel for found in qualities), worst_is_least=False),
        ssim=Figure.of(found.ssim for found in qualities),
        least_ssim=Figure.of(found.least_ssim for found in qualities),
        ms_ssim=Figure.of(found.ms_ssim for found in qualities),
        psnr_db=Figure.of(found.psnr_db for found in qualities),
        most_color_shift_levels=Figure.of(
            (found.most_color_shift_levels for found in qualities), worst_is_least=False
        ),
        reason=next((row.reason for row in rows if row.reason), ""),
    )
