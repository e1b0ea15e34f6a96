"""The results of a comparison: a row for each slide, codec and treatment of glass, and their summary."""

from __future__ import annotations

import enum
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from wsicomp.codecs.tile_quality import Quality
from wsicomp.comparison.outcomes import ANY, RowOutcome, worst_outcome
from wsicomp.options import Value
from wsicomp.verification.region_checks import FoundClass


class Status(enum.StrEnum):
    """The status of a row."""

    DONE = "done"
    UNAVAILABLE = "unavailable"
    """The codec is not on this machine, or cannot convert this slide."""
    FAILED = "failed"


@dataclass(frozen=True)
class Row:
    """One codec and treatment of glass on one slide; its fields are the names in JSON and CSV.

    Intervals are of 95 %; their ends are None for a figure that was counted.
    """

    slide: str
    """The slide's name."""
    codec: str
    """The codec's label."""
    glass: str
    """What became of glass: "keep", "blank", "white" or "empty"."""
    status: Status = Status.DONE
    """What became of the row."""
    reason: str = ""
    """Why there is no figure; else ""."""
    source_bytes: int | None = None
    """Bytes of the source's file."""
    target_bytes: int | None = None
    """Bytes of the converted file."""
    target_bytes_low: int | None = None
    """Lower end of its interval."""
    target_bytes_high: int | None = None
    """Upper end of its interval."""
    reduction: float | None = None
    """1 - target_bytes / bytes of the same slide written as JPEG of quality 90 with its glass."""
    reduction_low: float | None = None
    """Lower end of its interval."""
    reduction_high: float | None = None
    """Upper end of its interval."""
    source_reduction: float | None = None
    """1 - target_bytes / source_bytes."""
    level_bytes: tuple[int, ...] = ()
    """Bytes of each level's tiles, with a shared blank tile counted once; of a sample without blank tiles."""
    encode_s: float | None = None
    """Seconds to read, encode and write, without finding tissue."""
    read_s: float | None = None
    """Seconds to decode every tile."""
    sampled_tiles: int | None = None
    """How many tiles were drawn; None where all were measured."""
    setting: str = ""
    """The options of a codec whose setting was sought for a quality; else ""."""
    quality: Quality | None = None
    """Quality of tissue where glass is kept; the worst tiles of a sample are the worst ones drawn."""
    options: Mapping[str, Value] = field(default_factory=dict)
    """The options of `wsicomp convert` that make this row; none where there is no figure."""
    container: str = ""
    """The format of the converted file, "svs" or "tiff"; "" where there is no figure."""
    outcome: RowOutcome | None = None
    """What became of tissue and file; None where there is no figure."""
    classes: tuple[FoundClass, ...] = ()
    """What became of regions, by class, and of tissue outside of them; none of a row without regions."""

    @property
    def part_interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the part of the source's bytes that remains; None where it was counted."""
        if self.target_bytes_low is None or self.target_bytes_high is None or not self.source_bytes:
            return None
        return self.target_bytes_low / self.source_bytes, self.target_bytes_high / self.source_bytes


@dataclass(frozen=True)
class Crop:
    """A part of a tissue tile at native pixels, as data URLs."""

    codec: str
    """The codec's label."""
    kind: str
    """Why it is shown: "typical" or "worst"."""
    index: str
    """The tile."""
    place: tuple[float, float, float, float]
    """Where it is: x, y, width and height as parts of the slide's width and height, in [0, 1]."""
    ssim: float
    """The tile's SSIM, at most 1."""
    source: str = field(repr=False)
    """The source."""
    decoded: str = field(repr=False)
    """The decoded tile."""
    difference: str = field(repr=False)
    """Their difference, amplified."""


@dataclass(frozen=True)
class CurvePoint:
    """A codec at one setting, measured on a few tissue tiles; models without their guard of SSIM."""

    codec: str
    """The codec's family."""
    setting: float
    """The dial's setting."""
    bits_per_pixel: float
    """Stored bits per pixel."""
    ssim: float
    """Mean SSIM, at most 1."""


@dataclass(frozen=True)
class MagnifiedRow:
    """A codec on patches of tissue, 256 x 256 px, at one magnification."""

    codec: str
    """The codec's label."""
    magnification: float
    """The magnification, such as 10 for 10x."""
    patches: int
    """How many patches were measured."""
    bits_per_pixel: float
    """Stored bits per pixel."""
    saved: float
    """The part of the bytes saved, compared with JPEG of quality 90."""
    least_saved: float
    """The least that a single patch saves."""
    most_saved: float
    """The most that a single patch saves."""
    ssim: float
    """Mean SSIM, at most 1."""
    least_ssim: float
    """SSIM of the worst patch."""
    ms_ssim: float | None
    """Mean MS-SSIM; None where it was not measured."""
    psnr_db: float | None
    """Mean PSNR in dB; None where it is infinite."""
    most_color_shift_levels: float
    """The largest colour shift, in grey levels."""


@dataclass(frozen=True)
class TargetSetting:
    """The setting of a codec that reaches a target quality on a slide's tissue.

    It is sought on half of the tiles and checked on the other half, which is held out.
    """

    codec: str
    """The codec's family."""
    label: str
    """The codec with this setting."""
    target_ssim: float
    """The mean SSIM that was asked for."""
    setting: Mapping[str, int | float | str | bool]
    """The options found, as a preset of `wsicomp convert` has them."""
    tiles: int
    """How many tiles it was sought on."""
    ssim: float
    """Mean SSIM of these tiles."""
    held_out_tiles: int
    """How many tiles were held out."""
    held_out_ssim: float
    """Mean SSIM of the tiles held out."""
    held_out_bits_per_pixel: float
    """Stored bits per pixel of the tiles held out."""
    reaches: bool = True
    """Whether `ssim` is within 0.003 of the target; if not, no setting of the codec is."""
    like: str | None = None
    """The codec whose mean SSIM on the same tiles is the target; None where the target was given."""
    preset: str | None = None
    """The preset's file, below the folder of the results; None before it is written."""

    @property
    def off(self) -> float:
        """The mean SSIM of the tiles held out, less the target."""
        return self.held_out_ssim - self.target_ssim


@dataclass(frozen=True)
class SlideComparison:
    """Everything that was found on one slide; its fields are the names in JSON."""

    slide: str
    """The slide's name."""
    source_bytes: int | None = None
    """Bytes of the source; None where it cannot be read."""
    error: str = ""
    """Why there are no results; else ""."""
    levels: tuple[tuple[int, int], ...] = ()
    """Width and height of each level, in px."""
    tiles: int = 0
    """Tiles of all levels."""
    tissue_tiles: int = 0
    """Tiles of all levels that show tissue."""
    tissue_fraction: float | None = None
    """The part of the slide that the mask calls tissue, without its margin."""
    magnification: float | None = None
    """Magnification of level 0; None where the file does not say."""
    segment_s: float | None = None
    """Seconds to find tissue, once for all codecs."""
    reference_bytes: int | None = None
    """Bytes of the slide written as JPEG of quality 90 with its glass."""
    not_in: tuple[str, ...] | None = None
    """The programs that do not open the source itself; None where that is not known, as of other vendors."""
    partly_in: tuple[str, ...] | None = None
    """The programs that show a part of the source; likewise."""
    notes: tuple[str, ...] = ()
    """Notes of the conversion, and why a figure that was asked for is missing."""
    kept_by: str = ""
    """The label of the rows that keep all tissue as others keep regions; "" without regions."""
    rows: tuple[Row, ...] = ()
    """A row for each codec and treatment of glass."""
    curves: tuple[CurvePoint, ...] = ()
    """Quality over size of each codec."""
    magnified: tuple[MagnifiedRow, ...] = ()
    """Codecs on patches at given magnifications."""
    landings: tuple[TargetSetting, ...] = ()
    """The settings that reach the target quality."""
    crops: tuple[Crop, ...] = field(default=(), repr=False)
    """Pieces of tissue before and after each codec."""

    @property
    def by_class(self) -> tuple[Row, ...]:
        """The rows with regions."""
        return tuple(row for row in self.rows if row.classes)

    def bytes_of_all(self, row: Row) -> int | None:
        """Return what keeping all tissue as the regions takes, with a row's glass; None if not measured."""
        kept = (each for each in self.rows if (each.codec, each.glass) == (self.kept_by, row.glass))
        return next((each.target_bytes for each in kept), None)


@dataclass(frozen=True)
class Figure:
    """A figure over several slides."""

    mean: float
    """The mean."""
    spread: float
    """The standard deviation."""
    worst: float
    """The worst slide's value."""

    @classmethod
    def of(cls, values: Iterable[float | None], worst_is_least: bool = True) -> Figure | None:
        """Return the figure over the values that are not None; None if there is none.

        The worst value is the least one, or the largest one if `worst_is_least` is False.
        """
        known = [value for value in values if value is not None]
        if not known:
            return None
        spread = statistics.stdev(known) if len(known) > 1 else 0.0
        return cls(statistics.fmean(known), spread, min(known) if worst_is_least else max(known))


@dataclass(frozen=True)
class SummaryRow:
    """The result of one codec and treatment of glass over all slides that it can convert."""

    codec: str
    """The codec's label."""
    glass: str
    """What became of glass."""
    slides: int
    """How many slides it can convert."""
    source_bytes: int
    """Bytes of these slides' files."""
    target_bytes: int
    """Bytes of their conversions."""
    total_reduction: float
    """The part saved of the references' bytes of all these slides together."""
    total_source_reduction: float
    """The part saved of the sources' bytes of all these slides together."""
    reduction: Figure | None
    """The part saved of the reference, by slide."""
    source_reduction: Figure | None
    """The part saved of the source, by slide."""
    encode_s: Figure | None
    """Seconds to read, encode and write."""
    read_s: Figure | None
    """Seconds to decode every tile."""
    bits_per_pixel: Figure | None
    """Stored bits per pixel of tissue."""
    ssim: Figure | None
    """Mean SSIM of tissue."""
    least_ssim: Figure | None
    """SSIM of the worst tissue tile."""
    ms_ssim: Figure | None
    """Mean MS-SSIM of tissue."""
    psnr_db: Figure | None
    """Mean PSNR of tissue, in dB."""
    most_color_shift_levels: Figure | None
    """The largest colour shift of tissue, in grey levels."""
    reason: str = ""
    """Why the first slide that it cannot convert cannot be converted; else ""."""
    target_bytes_low: int | None = None
    """Lower end of the 95 % interval of `target_bytes`; None where it was counted."""
    target_bytes_high: int | None = None
    """Upper end of this interval."""
    outcome: RowOutcome | None = None
    """What became of tissue and file, the worst of all slides; None where it converts none."""

    @property
    def worst_ssim(self) -> float | None:
        """SSIM of the worst tissue tile of all slides."""
        return None if self.least_ssim is None else self.least_ssim.worst

    @property
    def part(self) -> float:
        """The part of the sources' bytes that remains."""
        return 1 - self.total_source_reduction

    @property
    def part_interval(self) -> tuple[float, float] | None:
        """The 95 % interval of `part`; None where it was counted."""
        if self.target_bytes_low is None or self.target_bytes_high is None or not self.source_bytes:
            return None
        return self.target_bytes_low / self.source_bytes, self.target_bytes_high / self.source_bytes


@dataclass(frozen=True)
class ArchiveRow:
    """An estimate for a whole archive, by one codec and treatment of glass, from the drawn slides.

    It is about the groups of slides that were measured. Intervals are of 95 %; in a rough projection they go
    from what comes out if the slides not drawn save as little as any drawn one, to as much as any. A year's
    money is at the price given.
    """

    codec: str
    """The codec's label."""
    glass: str
    """What becomes of glass."""
    slides: int
    """How many drawn slides it can convert."""
    target_bytes: int | None
    """Bytes of the archive's measured groups after conversion; None in a rough projection."""
    saved_bytes: int | None
    """Bytes saved of them; None of a rough projection."""
    saved_bytes_low: int
    """Lower end of its interval."""
    saved_bytes_high: int
    """Upper end of its interval."""
    saved_a_year: float | None
    """Money saved a year; None without a price, and of a rough projection."""
    saved_a_year_low: float | None
    """Lower end of its interval."""
    saved_a_year_high: float | None
    """Upper end of its interval."""
    hours: float
    """Hours to find tissue, write and read back all of them, slide after slide, on the machines given."""


@dataclass(frozen=True)
class UnmeasuredSlides:
    """A group of an archive's slides of which none was drawn, so that nothing is known of them."""

    kind: str
    """The suffix of their files, or "giant" for slides far larger than the others."""
    slides: int
    """How many they are."""
    bytes: int
    """Bytes of all of them."""


@dataclass(frozen=True)
class Archive:
    """A tree of slides of which some were drawn and compared."""

    folder: str
    """The tree's name."""
    slides: int
    """How many slides it has."""
    bytes: int
    """Bytes of all slides."""
    drawn: int
    """How many slides were drawn."""
    failed: int
    """How many of these failed."""
    price: float | None
    """Price of a TB (10^12 bytes) and year; None where no money was asked for."""
    machines: int
    """How many machines like this one convert."""
    measured_bytes: int
    """Bytes of all slides of the groups from which some were drawn; the rows are about these."""
    unmeasured: tuple[UnmeasuredSlides, ...]
    """The groups from which none was drawn."""
    is_rough: bool
    """Whether so few slides stand for others that there are ranges in the place of estimates."""
    standing: int
    """How many drawn slides stand for others; 0 where every slide of the measured groups was drawn."""
    rows: tuple[ArchiveRow, ...]
    """A row for each codec and treatment of glass."""


@dataclass(frozen=True)
class Constraints:
    """What a recommended conversion has to be."""

    opens_in: str = ANY
    """Who has to open it: "any" for every program tried, "openslide" or "wsicomp"."""
    reversible: bool = False
    """Whether the source's file has to come back, byte for byte."""
    min_ssim: float | None = None
    """The least SSIM of a tissue tile; None where tissue has to keep every pixel."""


@dataclass(frozen=True)
class Comparison:
    """The results of a whole comparison; its fields are the names in JSON."""

    software: str
    """Name and version of the program that made it."""
    made: str
    """When it was made, UTC."""
    command: str
    """The command line, "" from Python."""
    sample: int | None
    """How many tiles stand for a slide; None where full files were written."""
    workers: int
    """Threads that converted."""
    slides: tuple[SlideComparison, ...]
    """The slides."""
    archive: Archive | None = None
    """What it means for a whole archive; None where no archive was given."""
    sources: tuple[str, ...] = ()
    """The slides, or the folder, as they were named."""
    is_folder: bool = False
    """Whether `sources` is a folder, of which `slides` were drawn."""
    shared: Mapping[str, Value] = field(default_factory=dict)
    """The options of `wsicomp convert` that all rows share and that are no defaults."""
    constraints: Constraints = Constraints()
    """What a recommended conversion has to be."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all slides."""
        return tuple(row for slide in self.slides for row in slide.rows)

    @property
    def summary(self) -> tuple[SummaryRow, ...]:
        """One row for each codec and treatment of glass, in the order in which they were compared."""
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            groups.setdefault((row.codec, row.glass), []).append(row)
        bases = {slide.slide: slide.reference_bytes for slide in self.slides}
        return tuple(_summed(codec, glass, rows, bases) for (codec, glass), rows in groups.items())

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """(codec, reason) of codecs that could not convert some or all slides.

        The reason is that of the first such slide.
        """
        glass_of: dict[tuple[str, str, int], list[str]] = {}
        for row in self.summary:
            if row.reason:
                glass_of.setdefault((row.codec, row.reason, row.slides), []).append(row.glass)
        every = {row.glass for row in self.summary}
        found = []
        for (codec, reason, slides), glass in glass_of.items():
            what = codec if set(glass) == every else f"{codec}, glass {' and '.join(glass)}"
            found.append((what if not slides else f"{what} (but for {slides} slides)", reason))
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values by the names of its fields, without pictures."""
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
        **_interval(done),
        outcome=worst_outcome([row.outcome for row in done if row.outcome is not None]),
    )


def _interval(rows: Sequence[Row]) -> dict[str, int]:
    """Return the interval of the bytes of slides together; nothing where one of them was counted.

    Slides are sampled each by itself, so the squares of their errors add up.
    """
    known = [
        (row.target_bytes, row.target_bytes_low, row.target_bytes_high)
        for row in rows
        if row.target_bytes is not None
        and row.target_bytes_low is not None
        and row.target_bytes_high is not None
    ]
    if not known or len(known) < len(rows):
        return {}
    total = sum(at for at, _, _ in known)
    below = math.sqrt(sum((at - low) ** 2 for at, low, _ in known))
    above = math.sqrt(sum((high - at) ** 2 for at, _, high in known))
    return {"target_bytes_low": math.floor(total - below), "target_bytes_high": math.ceil(total + above)}
