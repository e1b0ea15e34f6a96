"""A comparison from its slides to its results: the straight line through this package."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, TypeAlias

from wsicomp.comparison.codec_specs import DEFAULT_CODECS, REFERENCE, SOUGHT, Candidate, parse_codecs
from wsicomp.comparison.crops import TYPICAL, WORST, Shown, crop
from wsicomp.comparison.full_files import WholeFiles
from wsicomp.comparison.patches import magnified_row, on_patches, patches_at, slide_magnification
from wsicomp.comparison.results import Crop, CurvePoint, Landing, MagnifiedRow, Row, SlideComparison, Status
from wsicomp.comparison.sampled_files import Samples, draw_tiles, stored_bytes
from wsicomp.comparison.target_quality import curve, land
from wsicomp.comparison.tile_trials import Bench, spread_over
from wsicomp.comparison.tissue_tiles import source_pixels, tissue_tiles
from wsicomp.config import ConversionConfig, RunConfig
from wsicomp.conversion.prepare import KnownSlide
from wsicomp.errors import (
    CodecUnavailableError,
    ConfigError,
    MissingExtraError,
    UnknownModelError,
    WeightsError,
    WsicompError,
)
from wsicomp.escaping import quoted
from wsicomp.formats.base import Slide
from wsicomp.formats.identity import identify
from wsicomp.formats.opening import open_reader
from wsicomp.formats.slide_files import slide_parts
from wsicomp.geometry import TileIndex
from wsicomp.options import checked_fields, option
from wsicomp.own_files import opened_folder
from wsicomp.plan import SourceIdentity
from wsicomp.progress import Progress, Stages
from wsicomp.tile_quality import TileFidelity
from wsicomp.tissue.findings import find_glass

Way: TypeAlias = WholeFiles | Samples
"""How rows come about."""

GLASS = ("keep", "white", "empty")
_MISSING = (CodecUnavailableError, MissingExtraError, UnknownModelError, WeightsError, ConfigError)
_EXPECTED = (Exception,)
"""Whatever a codec's library or a slide does wrong does not end the comparison of the others."""


def parse_sample(text: str) -> int | None:
    """Return how many tiles stand for a slide; None for all of it.

    Raises:
        ConfigError: the text is neither "whole" nor "tiles:N".
    """
    if text == "whole":
        return None
    kind, _, count = text.partition(":")
    if kind != "tiles" or not count.isascii() or not count.isdigit() or not 20 <= int(count) <= 1_000_000:
        raise ConfigError(f"sample is {quoted(text)}, expected whole, or tiles:N with N from 20 to 1000000")
    return int(count)


def _parse_glass(text: str) -> tuple[str, ...]:
    glass = tuple(dict.fromkeys(text.split(",")))
    if not set(glass) <= set(GLASS):
        raise ConfigError(f"glass is {quoted(text)}, expected some of {', '.join(GLASS)}")
    return glass


def _parse_magnifications(text: str) -> tuple[float, ...]:
    try:
        found = tuple(dict.fromkeys(float(part) for part in text.split(",") if part))
    except ValueError as exc:
        raise ConfigError(f"magnifications is {quoted(text)}, expected numbers with commas between") from exc
    for each in found:
        if not 0.1 <= each <= 200:
            raise ConfigError(f"magnifications has {each:g}, expected 0.1 to 200")
    return found


@dataclass(frozen=True)
class ComparisonChoices:
    """What is compared, and how closely."""

    GROUP: ClassVar = "what is compared"

    codecs: tuple[Candidate, ...] = option(
        parse_codecs(",".join(DEFAULT_CODECS)),
        "these codecs, each with a setting, as listed below",
        metavar="LIST",
        parse=parse_codecs,
        default_text=", ".join(DEFAULT_CODECS),
    )
    glass: tuple[str, ...] = option(
        GLASS,
        "what becomes of glass, each with each codec",
        metavar="LIST",
        parse=_parse_glass,
        default_text=", ".join(GLASS),
    )
    sample: int | None = None
    """How many tiles stand for a slide; None for files written whole."""
    seed: int = option(0, "of what is drawn", least=0, metavar="N")
    magnifications: tuple[float, ...] = option(
        (),
        "also patches of tissue at these, as 1.25,2.5,5,10,20,40",
        metavar="LIST",
        parse=_parse_magnifications,
    )
    patches: int = 24
    """How many patches at each magnification."""
    target_ssim: float | None = option(
        None,
        "also each codec at the setting that reaches this mean SSIM on the slide's tissue; the settings are "
        "presets in OUT/presets",
        least=0.5,
        most=0.999,
        metavar="F",
    )
    target_tiles: int = 400
    """On so many tiles the settings for `target_ssim` are sought and checked."""
    curve_tiles: int = 12
    """On so many tiles every codec is tried along its ladder; 0 for none."""
    base: ConversionConfig = field(default_factory=lambda: ConversionConfig.of(overwrite=True))
    """What all candidates share: how tissue is looked for, and the workers."""
    keep_files: bool = option(
        False, "with --sample whole: leave every file written, in OUT/files", group=RunConfig.GROUP
    )
    crops: bool = True
    """Whether pieces of tissue are shown."""

    def __post_init__(self) -> None:
        checked_fields(self)
        if self.keep_files and self.sample is not None:
            raise ConfigError("a sample writes no files; keep-files goes with --sample whole")


def compare_slide(
    path: Path,
    name: str,
    choices: ComparisonChoices,
    folder: Path,
    on_row: Callable[[], None],
    on_progress: Progress | None = None,
    missing: Mapping[str, str] | None = None,
    root: Path | None = None,
) -> SlideComparison:
    """Everything about one slide. What fails is a row, or the slide, with its reason.

    `folder` is where files are written, each to be deleted once it is measured unless files are to be kept;
    below `root` it leads through no link. `on_row` is called whenever a row is done. `missing` is what
    `missing_codecs` says of the codecs.
    """
    reasons = missing_codecs(choices.codecs) if missing is None else missing
    try:
        with closing(open_reader(path, choices.base.output.z)) as slide:
            stages = Stages(on_progress)
            known = KnownSlide(_identity(slide, choices), find_glass(slide, choices.base, stages))
            bench = Bench(slide, known, choices.base)
            with opened_folder(folder, root, make=True) as opened:
                found = _compare(bench, name, choices, reasons, opened.held, on_row, on_progress)
            return replace(found, segment_s=sum(stages.elapsed_s.values()))
    except _EXPECTED as exc:
        return SlideComparison(name, _bytes(path), _one_line(exc))


def _identity(slide: Slide, choices: ComparisonChoices) -> SourceIdentity:
    """Which slide it is; of one that is only sampled the digest does not matter, and takes reading it."""
    if choices.sample is None:
        return identify(slide, choices.base)
    path = slide.info.path
    return SourceIdentity(path.name, _bytes(path) or 0, "0" * 64)


def _bytes(path: Path) -> int | None:
    try:
        return sum(part.stat().st_size for part in slide_parts(path))
    except (OSError, WsicompError):
        return None


def _compare(
    bench: Bench,
    name: str,
    choices: ComparisonChoices,
    reasons: Mapping[str, str],
    folder: Path,
    on_row: Callable[[], None],
    on_progress: Progress | None,
) -> SlideComparison:
    info, findings = bench.slide.info, bench.known.findings
    plan = bench.prepared(REFERENCE, "keep").plan
    tissue = tissue_tiles(plan.levels, info.size, findings.tissue)
    known: dict[TileIndex, float] = {}
    for level in plan.levels:
        stored = stored_bytes(bench.slide, level)
        known |= {
            index: float(stored[index.row, index.column]) for index in tissue if index.level == level.number
        }
    here = [candidate for candidate in choices.codecs if not reasons[candidate.label]]
    landed, landings, lost = _landed(
        bench, name, choices, here, spread_over(tissue, known, choices.target_tiles)
    )
    candidates = (*choices.codecs, *landed)
    if choices.sample is None:
        way: Way = WholeFiles(bench, folder, choices.keep_files, on_progress)
    else:
        way = Samples(bench, draw_tiles(bench, choices.sample, choices.seed), folder)
    rows, crops, base = _rows(bench, name, choices, candidates, reasons, way, on_row)
    few = spread_over(tissue, known, choices.curve_tiles)
    return SlideComparison(
        slide=name,
        source_bytes=bench.known.identity.bytes,
        levels=tuple((level.size.width, level.size.height) for level in info.levels),
        tiles=sum(level.grid.count for level in plan.levels),
        tissue_tiles=len(tissue),
        tissue_fraction=findings.tissue.tissue_fraction,
        magnification=slide_magnification(info),
        reference_bytes=base,
        notes=tuple(_notes(bench, choices)),
        rows=(*rows, *lost),
        curves=tuple(_curves(bench, here, few)),
        magnified=tuple(_magnified(bench, here, choices)),
        landings=tuple(landings),
        crops=tuple(crops),
    )


def _notes(bench: Bench, choices: ComparisonChoices) -> Iterator[str]:
    yield from bench.prepared(REFERENCE, "white").plan.notes
    if choices.magnifications and slide_magnification(bench.slide.info) is None:
        yield "the slide does not say its magnification: there are no patches at any"


def missing_codecs(candidates: Sequence[Candidate]) -> dict[str, str]:
    """Of each candidate, by its label, why it cannot be compared on this machine; empty if it can.

    Raises:
        ConfigError: a setting is out of the codec's range.
    """
    reasons = {candidate.label: "" for candidate in candidates}
    for candidate in candidates:
        try:
            candidate.check()
        except ConfigError as exc:
            raise ConfigError(f"{candidate.label}: {exc.message}") from exc
        except _EXPECTED as exc:
            reasons[candidate.label] = _one_line(exc)
    return reasons


def _landed(
    bench: Bench, name: str, choices: ComparisonChoices, here: Sequence[Candidate], tiles: Sequence[TileIndex]
) -> tuple[list[Candidate], list[Landing], list[Row]]:
    """The settings that reach the quality, where they land, and a row for each codec that has none."""
    target = choices.target_ssim
    landed: dict[str, Candidate] = {}
    landings: list[Landing] = []
    lost: list[Row] = []
    if target is None:
        return [], [], []
    for candidate in {candidate.family: candidate for candidate in here}.values():
        try:
            found = land(bench, candidate, target, tiles)
        except _EXPECTED as exc:
            label = f"{candidate.family}{SOUGHT}{target:g}"
            lost += [_no_row(name, label, glass, exc) for glass in choices.glass]
            continue
        if found is not None:
            landed[found[0].label] = found[0]
            landings.append(found[1])
    return list(landed.values()), landings, lost


def _rows(
    bench: Bench,
    name: str,
    choices: ComparisonChoices,
    candidates: Sequence[Candidate],
    reasons: Mapping[str, str],
    way: Way,
    on_row: Callable[[], None],
) -> tuple[list[Row], list[Crop], int | None]:
    """Every row of a slide, the reference's first, and pictures of what each codec does to tissue."""
    reference = way.row(name, REFERENCE, "keep")
    base, typical = reference.target_bytes, _typical(way.tissue(REFERENCE))
    rows: list[Row] = []
    crops: list[Crop] = []
    if REFERENCE.label not in {candidate.label for candidate in candidates} or "keep" not in choices.glass:
        rows.append(reference)
    ways = [glass for glass in GLASS if glass in choices.glass]  # glass kept comes first: it has the quality
    for candidate in candidates:
        for glass in ways:
            reason = reasons.get(candidate.label, "")
            if reason:
                rows.append(Row(name, candidate.label, glass, Status.UNAVAILABLE, reason))
            elif candidate.label == REFERENCE.label and glass == "keep":
                rows.append(reference)
            else:
                rows.append(_tried(way, name, candidate, glass))
            on_row()
        if choices.crops and not reasons.get(candidate.label) and not candidate.is_lossless:
            with suppress(*_EXPECTED):  # its rows say why
                crops += list(_crops(bench, candidate, typical, way.tissue(candidate)))
    return rows, crops, base


def _tried(way: Way, name: str, candidate: Candidate, glass: str) -> Row:
    try:
        return way.row(name, candidate, glass)
    except _EXPECTED as exc:
        return _no_row(name, candidate.label, glass, exc)


def _no_row(name: str, label: str, glass: str, exc: Exception) -> Row:
    status = Status.UNAVAILABLE if isinstance(exc, _MISSING) else Status.FAILED
    return Row(name, label, glass, status, _one_line(exc))


def _one_line(exc: Exception) -> str:
    """What went wrong, without the slide's path, which the row has, and the user's home."""
    if isinstance(exc, WsicompError):
        text = f"{exc.place}: {exc.message}" if exc.place else exc.message
    elif isinstance(exc, OSError) and exc.strerror:
        text = exc.strerror
    else:
        text = f"{type(exc).__name__}: {exc}"
    return " ".join(text.replace(str(Path.home()), "~").split())


def _typical(tiles: Sequence[TileFidelity]) -> TileIndex | None:
    """The tile in the middle of all that are mostly tissue, by its SSIM."""
    ordered = sorted((tile for tile in tiles if not tile.is_edge), key=lambda tile: tile.ssim)
    return ordered[len(ordered) // 2].index if ordered else None


def _crops(
    bench: Bench, candidate: Candidate, typical: TileIndex | None, tiles: Sequence[TileFidelity]
) -> Iterator[Crop]:
    """The slide's typical tissue tile, and this codec's worst one."""
    if not tiles:
        return
    worst = min(tiles, key=lambda tile: tile.ssim)
    found = {tile.index: tile.ssim for tile in tiles}
    wanted = {TYPICAL: typical, WORST: worst.index}
    places = [index for index in dict.fromkeys(wanted.values()) if index in found and index is not None]
    prepared = bench.prepared(candidate, "keep")
    made = {trial.index: trial.pixels for trial in bench.tried(prepared, places)}
    for kind, index in wanted.items():
        pixels = None if index is None else made.get(index)
        if index is None or pixels is None:
            continue
        pair = source_pixels(bench.slide, prepared.plan.levels[index.level], index)
        if pair is not None:
            region, source = pair
            decoded = pixels[: region.height, : region.width]
            yield crop(candidate.label, Shown(kind, index, found[index], source, decoded))


def _curves(bench: Bench, here: Iterable[Candidate], tiles: Sequence[TileIndex]) -> Iterator[CurvePoint]:
    """Every codec along its ladder, once for each family; one that fails has no curve."""
    families = {candidate.family: candidate for candidate in here}
    for candidate in families.values() if tiles else ():
        with suppress(*_EXPECTED):  # its rows say why
            yield from list(curve(bench, candidate, tiles))


def _magnified(bench: Bench, here: Sequence[Candidate], choices: ComparisonChoices) -> Iterator[MagnifiedRow]:
    """Every codec that encodes pixels, on patches at each magnification; one that fails has no row there."""
    workers = bench.base.run.workers
    for magnification in choices.magnifications:
        with suppress(*_EXPECTED):  # a slide that cannot be read there has no patches
            patches = patches_at(bench, magnification, choices.patches)
            base = on_patches(patches, REFERENCE, workers)
            for candidate in here if base else ():
                with suppress(*_EXPECTED):
                    if candidate.dial() is not None:
                        found = on_patches(patches, candidate, workers)
                        yield magnified_row(candidate, patches, found, base)
