"""The report of a conversion, as data."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsicomp.conversion.outcome import Outcome, Tissue, on_levels, outcome_of
from wsicomp.conversion.review import removed_area_of, review_note, review_reason, tissue_fraction_of
from wsicomp.conversion.tissue_loss import TissueLoss
from wsicomp.errors import SlideReadError
from wsicomp.formats.base import Slide
from wsicomp.formats.compatibility import opens_in, verdicts
from wsicomp.formats.converted.restoration import check_stated
from wsicomp.formats.named_files import missing_files, missing_text
from wsicomp.formats.opening import open_converted
from wsicomp.formats.packed.container import PackedSlide
from wsicomp.formats.packed.pack import PackReport
from wsicomp.formats.slide_files import slide_parts
from wsicomp.formats.stated_scale import stated_power
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import TileIndex
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.plan.provenance import WITHOUT_BYTES, Guarded, GuardFigures, LevelRecord, Provenance
from wsicomp.progress import Stages
from wsicomp.text.figures import as_saving, counted
from wsicomp.verification.region_checks import FoundClass, found_classes
from wsicomp.verification.verify import Verification

PACKED_CODEC, PACKED_OPENS_IN = "jpegxl", "all that open the source, through a mount"
"""What a packed slide has in the place of a codec, and of the programs that open it."""


@dataclass(frozen=True)
class GuardedReport(GuardFigures):
    """The figures of a guarded codec over a level's tiles, or over those of a recipe."""

    fell_back: int
    """The count of tiles that were not true enough at any quality, and are by another codec."""
    fell_back_tiles: tuple[str, ...]
    """The places of those tiles."""


@dataclass(frozen=True)
class RecipeReport:
    """The tiles of one recipe."""

    codec: str
    """The codec; "copy" where all is copied."""
    options: Mapping[str, Any]
    """The codec's options."""
    tiles: int
    """The count of its tiles that are neither blank nor empty."""
    guarded: GuardedReport | None
    """The figures of a guarded codec; None where it has no guard."""


@dataclass(frozen=True)
class LevelReport:
    """The counts of a level's tiles by how they were made."""

    width: int
    """The level's width in pixels."""
    height: int
    """The level's height in pixels."""
    copied: int = 0
    """Tiles that are the source's bytes."""
    transcoded: int = 0
    """Tiles that were packed without loss."""
    kept: int = 0
    """Tiles that could not be transcoded, and stay as the source encoded them."""
    lost: int = 0
    """Tiles that could not be decoded, and are background."""
    encoded: int = 0
    """Tiles that were encoded, those too that were to be carried and had to be encoded to name nobody."""
    whitened: int = 0
    """Tiles whose glass was painted before they were encoded."""
    blank: int = 0
    """Tiles that share the one of background."""
    empty: int = 0
    """Tiles without bytes."""
    guarded: GuardedReport | None = None
    """The figures of a guarded codec; None where it has no guard."""
    recipes: tuple[RecipeReport, ...] = ()
    """The tiles of each recipe, where the level has several."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values by the names of the fields."""
        values = asdict(self)
        if not self.recipes:
            del values["recipes"]
        return values


@dataclass(frozen=True)
class ConversionReport:
    """The result of a conversion."""

    source: str
    """The path of the source."""
    target: str
    """The path of the target."""
    container: str
    """"svs" or "tiff"."""
    codec: str
    """The codec's name, or "copy"."""
    source_bytes: int
    """The bytes of the source."""
    target_bytes: int
    """The bytes of the target."""
    saved: float
    """1 - target_bytes / source_bytes."""
    source_sha256: str
    """The SHA-256 of the source."""
    digest: str
    """The digest of this conversion: over the source and the chosen options."""
    levels: tuple[LevelReport, ...]
    """The levels, largest first."""
    classes: tuple[FoundClass, ...]
    """What became of each class of place; empty without regions."""
    rescued_tiles: int
    """Tiles that the mask called glass and the guard kept."""
    tissue_fraction: float | None
    """The part of the slide that the mask with its margin holds; None where glass was kept."""
    removed_area: float | None
    """The part of level 0 that was taken out as glass; None where glass was kept."""
    look: str | None
    """The reason for a person to look at the target before the source goes; None where there is none.

    No tissue was found, or over 98 % of the area was taken out.
    """
    dropped: tuple[str, ...]
    """The names of the images and fields that were left out."""
    notes: tuple[str, ...]
    """Lines for the user."""
    verified: bool
    """Whether the target was verified."""
    flawed_tiles: int
    """Damaged tiles of the source that were kept, or were encoded as far as they decode."""
    lost_tiles: int
    """Tiles of the source that could not be decoded, and are background."""
    tissue: Tissue
    """What became of tissue: "exact bytes", "exact pixels" or "lossy"."""
    lossy_codec: str
    """By which codec and quality lossy tissue is encoded, in words; "" where it is exact."""
    least_ssim: float | None
    """The least SSIM of a tile of lossy tissue; None where tissue is exact, or nothing was measured."""
    ssim_tiles: int
    """The count of tiles whose SSIM was measured."""
    is_source: bool
    """Whether the target is the source's own file, byte for byte, since its conversion was no smaller."""
    from_level: int
    """How many finer levels of the scan the target lacks: it begins at this one, and the rest is gone."""
    power: float | None
    """The objective power of the target's level 0, by its um per px where none is stated; None without."""
    restorable: bool
    """Whether the source was rebuilt from the target, so that the target can replace it."""
    opens_in: str | None
    """The programs that open the target, by `verify`'s verdicts; None where it was not verified."""
    model: str | None
    """Name and SHA-256 of the model that decodes its neural tiles."""
    elapsed_s: Mapping[str, float]
    """The seconds of each stage."""
    peak_memory_bytes: int
    """The most memory that the process has taken."""

    @property
    def outcome(self) -> Outcome:
        """What the conversion did to the slide: tissue, who opens it, whether there is a way back."""
        return Outcome(
            self.tissue,
            self.lossy_codec,
            self.least_ssim,
            self.ssim_tiles,
            self.opens_in,
            self.restorable or self.is_source,
            self.is_source,
            self.from_level,
            self.power,
            tuple(self._exact_regions),
        )

    @property
    def _exact_regions(self) -> Iterator[str]:
        everywhere = {level for each in self.classes for level in each.levels}
        for each in self.classes:
            if each.name and each.is_exact:
                yield f"{each.name}{on_levels(each.levels, everywhere)}"

    def to_json(self) -> dict[str, Any]:
        """Return JSON values by the names of the fields."""
        return asdict(self) | {"levels": [level.to_json() for level in self.levels]}


def describe_conversion(
    source: Path,
    target: Path,
    provenance: Provenance,
    found: Verification | None,
    stages: Stages,
    kept_model: str | None = None,
    held: str | None = None,
    loss: TissueLoss | None = None,
    slide: Slide | None = None,
) -> ConversionReport:
    """Return the report of a finished conversion, from the target's provenance.

    `found` is None if the target was not verified. `kept_model` is the name of the file in which this machine
    keeps the model. `held` is a note on how the target was locked while it was written. `loss` is what was
    measured of lossy tiles. `slide` is the open source, by which `opens_in` tells where the source did not
    open either.
    """
    plan, mask = provenance.plan, provenance.mask
    target_bytes = target.stat().st_size
    lost = sum(len(record.lost) for record in provenance.levels)
    look = review_reason(provenance)
    outcome = outcome_of(provenance, loss, found.readers if found is not None else (), slide)
    target_notes = _target_notes(target, plan, kept_model, lost)
    return ConversionReport(
        source=str(source),
        target=str(target),
        container=plan.container,
        codec=plan.codec,
        source_bytes=plan.source.bytes,
        target_bytes=target_bytes,
        saved=1 - target_bytes / plan.source.bytes,
        source_sha256=plan.source.sha256,
        digest=plan.digest,
        levels=tuple(
            _describe_level(level, record)
            for level, record in zip(plan.levels, provenance.levels, strict=True)
        ),
        classes=_classes(target, found, plan),
        rescued_tiles=0 if mask is None else int(mask["rescued_tiles"]),
        tissue_fraction=tissue_fraction_of(provenance),
        removed_area=removed_area_of(provenance),
        look=look or None,
        dropped=plan.dropped,
        notes=(
            *plan.notes,
            *filter(None, (held,)),
            *target_notes,
            *_trust_needed(target, provenance),
            *([review_note(look)] if look else []),
        ),
        verified=found is not None,
        flawed_tiles=len(found.flawed) if found is not None else 0,
        lost_tiles=lost,
        tissue=outcome.tissue,
        lossy_codec=outcome.lossy_codec,
        least_ssim=outcome.least_ssim,
        ssim_tiles=outcome.ssim_tiles,
        is_source=False,
        from_level=outcome.from_level,
        power=outcome.power,
        restorable=outcome.reversible,
        opens_in=outcome.opens_in,
        model=None if plan.model is None else f"{plan.model['name']} {plan.model['sha256']}",
        elapsed_s=dict(stages.elapsed_s),
        peak_memory_bytes=_peak_memory_bytes(),
    )


_UNTOUCHED: Mapping[str, Any] = {
    "classes": (),
    "rescued_tiles": 0,
    "tissue_fraction": None,
    "removed_area": None,
    "look": None,
    "dropped": (),
    "verified": True,
    "flawed_tiles": 0,
    "lost_tiles": 0,
    "tissue": Tissue.BYTES,
    "lossy_codec": "",
    "least_ssim": None,
    "ssim_tiles": 0,
    "model": None,
}
"""What a report says of a source that is kept byte for byte, as its own file or packed."""


def describe_copy(
    slide: Slide,
    target: Path,
    plan: ConversionPlan,
    made_bytes: int,
    stages: Stages,
    audit: Path | None = None,
) -> ConversionReport:
    """Return the report of a source's own file at the target; its conversion would have had `made_bytes`.

    `audit` is a picture that was asked for, and has nothing to show.
    """
    info = slide.info
    more = as_saving(1 - made_bytes / plan.source.bytes)
    note = f"it is the source's own file, byte for byte: its conversion would have been {more}"
    if made_bytes == plan.source.bytes:
        note = "it is the source's own file, byte for byte: its conversion would have been as large"
    return ConversionReport(
        source=str(info.path),
        target=str(target),
        container="svs" if info.vendor == "aperio" else "tiff",
        codec="copy",
        source_bytes=plan.source.bytes,
        target_bytes=plan.source.bytes,
        saved=0.0,
        source_sha256=plan.source.sha256,
        digest=plan.digest,
        levels=tuple(
            LevelReport(level.size.width, level.size.height, copied=level.grid.count) for level in info.levels
        ),
        notes=(note, *([] if audit is None else ["nothing was removed, so there is no audit picture"])),
        is_source=True,
        from_level=info.from_level,
        power=stated_power(info.objective_power, info.mpp, info.size),
        restorable=False,
        opens_in=opens_in(*[verdicts(slide)] * 2) if isinstance(slide, TiffSlide) else None,
        elapsed_s=dict(stages.elapsed_s),
        peak_memory_bytes=_peak_memory_bytes(),
        **_UNTOUCHED,
    )


def describe_pack(report: PackReport, digest: str) -> ConversionReport:
    """Return the report of a packed slide, which holds all files of its source."""
    saved = 1 - report.target_bytes / report.source_bytes
    notes = [f"it holds {counted(report.files, 'file')}; other programs open them through a mount"]
    if saved <= 0:
        notes.append("it gains nothing: no JPEG in the source became smaller, and the rest is packed already")
    notes += _source_notes(Path(report.source))
    notes += _pack_trust_needed(Path(report.target))
    return ConversionReport(
        source=report.source,
        target=report.target,
        container="wsipack",
        codec=PACKED_CODEC,
        source_bytes=report.source_bytes,
        target_bytes=report.target_bytes,
        saved=saved,
        source_sha256=report.sha256,
        digest=digest,
        levels=(),
        notes=(*notes, *report.notes),
        is_source=False,
        from_level=0,
        power=None,
        restorable=True,
        opens_in=PACKED_OPENS_IN,
        elapsed_s=dict(report.elapsed_s),
        peak_memory_bytes=_peak_memory_bytes(),
        **_UNTOUCHED,
    )


def _source_notes(source: Path) -> Iterator[str]:
    """Yield notes on files of a packed slide's source that are missing, or links."""
    try:
        missing, parts = missing_text(missing_files(source)), slide_parts(source)
    except SlideReadError:  # the slide is packed, and stays so
        yield "its files could not be listed, to tell which are missing, or links"
        return
    if missing:
        yield f"{missing}; the rest is packed as it is"
    links = [part.relative_to(source.parent) for part in parts if part.is_symlink()]
    if links := [link for link in links if str(link) != source.name]:
        found = f"{counted(len(links), 'link')} among its files, such as {links[0]}"
        yield f"{found}: packed and restored as files"


def _pack_trust_needed(target: Path) -> Iterator[str]:
    """Yield a note on a source that is far larger than the bytes in its packed slide, as one of zeros is."""
    with PackedSlide(target) as packed:
        if packed.doubt:
            yield f"restoring it needs `trust=True`: {packed.doubt}"


def reported_notes(report: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the notes and other texts of a report, given as JSON values: a line each."""
    notes = [f"left out: {', '.join(report['dropped'])}"] if report["dropped"] else []
    if report["flawed_tiles"]:
        notes.append(
            f"damaged tiles of the source, as they were or as far as they decode: {report['flawed_tiles']}"
        )
    return tuple(" ".join(note.split()) for note in (*notes, *report["notes"]))


def _target_notes(target: Path, plan: ConversionPlan, kept_model: str | None, lost: int) -> Iterator[str]:
    if kept_model is not None:
        yield (
            f"other machines need {kept_model} in a folder of WSICOMP_MODELS; "
            "`embed_model=True` puts it into the file"
        )
    if lost:
        yield f"tiles of the source that cannot be decoded, and are background here: {lost}; keep the source"
    if target.suffix.lower() == ".svs" and plan.container == "tiff":
        yield "the target is a generic TIFF whatever its name says"
    if target.suffix.lower() in (".tif", ".tiff") and plan.container == "svs":
        yield "the target is an Aperio SVS whatever its name says"


def _trust_needed(target: Path, provenance: Provenance) -> Iterator[str]:
    """Yield a note on a source that is far larger than the bytes in its archive, as one of holes is."""
    if provenance.restoration is None:
        return
    with closing(open_converted(target)) as slide:
        try:
            check_stated(slide)
        except SlideReadError as exc:
            yield f"restoring it needs `trust=True`, and verifying does not pass it: {exc.message}"


def _classes(target: Path, found: Verification | None, plan: ConversionPlan) -> tuple[FoundClass, ...]:
    """Return what became of each class of place; of a file that was not verified without its quality."""
    if found is not None or all(level.chosen is None for level in plan.levels):
        return () if found is None else found.classes
    with closing(open_converted(target)) as slide:
        return found_classes(slide, None, 1)


def _describe_level(level: LevelPlan, record: LevelRecord) -> LevelReport:
    actions = level.actions.reshape(-1).copy()
    actions[list(record.renewed)] = TileAction.ENCODE.value
    actions[list(record.lost)] = ""
    kept = len(set(record.kept).difference(record.renewed))
    counts = {action: int((actions == action.value).sum()) for action in TileAction}
    return LevelReport(
        level.size.width,
        level.size.height,
        copied=counts[TileAction.COPY],
        transcoded=counts[TileAction.TRANSCODE] - kept,
        kept=kept,
        lost=len(record.lost),
        encoded=counts[TileAction.ENCODE],
        whitened=counts[TileAction.MASK_AND_ENCODE],
        blank=counts[TileAction.BLANK],
        empty=counts[TileAction.EMPTY],
        guarded=_describe_guarded(level, record.guarded),
        recipes=tuple(_describe_recipes(level, record)) if level.chosen is not None else (),
    )


def _describe_recipes(level: LevelPlan, record: LevelRecord) -> Iterator[RecipeReport]:
    is_own = ~np.isin(level.actions, WITHOUT_BYTES)
    for number, recipe in enumerate(level.recipes):
        tiles = int((is_own & level.takes(number)).sum())
        guarded = _describe_guarded(level, record.guarded_of(number))
        yield RecipeReport(recipe.codec, dict(recipe.options), tiles, guarded)


def _describe_guarded(level: LevelPlan, guarded: Guarded | None) -> GuardedReport | None:
    if guarded is None:
        return None
    columns = level.grid.columns
    places = [TileIndex(level.number, number % columns, number // columns) for number in guarded.fell_back]
    counts = {"fell_back": len(places), "fell_back_tiles": tuple(map(str, places))}
    return GuardedReport(**{**vars(guarded), **counts})


def _peak_memory_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
