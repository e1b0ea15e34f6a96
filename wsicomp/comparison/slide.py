"""Compare one slide from options to results: the order of this package's work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from wsicomp.codecs.tile_quality import TileFidelity
from wsicomp.comparison.codec_specs import REFERENCE, CodecSpec
from wsicomp.comparison.crops import TYPICAL, WORST, TileOfLevel, draw_crop
from wsicomp.comparison.full_files import FullFiles
from wsicomp.comparison.options import BLANK, GLASS, ComparisonOptions
from wsicomp.comparison.outcomes import partly, refusing
from wsicomp.comparison.patches import cut_patches, magnified_row, measure_patches, slide_magnification
from wsicomp.comparison.results import (
    Crop,
    CurvePoint,
    MagnifiedRow,
    Row,
    SlideComparison,
    Status,
    TargetSetting,
)
from wsicomp.comparison.sampled_files import SampledFiles, draw_tiles, stored_bytes
from wsicomp.comparison.target_quality import find_target_setting, goal_text, quality_curve
from wsicomp.comparison.tile_trials import ComparedSlide, pick_by_bytes
from wsicomp.comparison.tissue_tiles import source_pixels, tissue_tiles
from wsicomp.conversion.find_regions import find_regions
from wsicomp.conversion.prepare import KnownSlide
from wsicomp.conversion.region_files import config_of_slide
from wsicomp.errors import (
    CodecUnavailableError,
    ConfigError,
    MissingExtraError,
    UnknownModelError,
    WeightsError,
    WsicompError,
)
from wsicomp.files.folders import opened_folder
from wsicomp.formats.base import Slide
from wsicomp.formats.compatibility import ReaderVerdict, verdicts
from wsicomp.formats.identity import identify
from wsicomp.formats.opening import open_chosen
from wsicomp.formats.slide_files import slide_parts
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.geometry import TileIndex
from wsicomp.plan.conversion_plan import SourceIdentity
from wsicomp.progress import Progress, Stages
from wsicomp.text.paths import as_text
from wsicomp.tissue.findings import find_glass

RowMaker: TypeAlias = FullFiles | SampledFiles
"""Where rows come from: full files or samples."""

_MISSING = (CodecUnavailableError, MissingExtraError, UnknownModelError, WeightsError, ConfigError)

_EXPECTED = (Exception,)
"""An error of a codec's library or of a slide does not end the comparison of the others."""


def compare_slide(
    path: Path,
    name: str,
    options: ComparisonOptions,
    folder: Path,
    on_row: Callable[[], None],
    on_progress: Progress | None = None,
    missing: Mapping[str, str] | None = None,
    root: Path | None = None,
    tree: Path | None = None,
) -> SlideComparison:
    """Return all results of one slide; a row that fails, or the whole slide, states its reason.

    Files are written into `folder`. Each is deleted once it is measured, unless files are to be kept. Below
    `root` the folder is reached through no link. `on_row` is called for each finished row. `missing` is what
    `missing_codecs` returned. `tree` is the folder in which a slide has the path that its file of regions has
    in a folder of these.
    """
    reasons = missing_codecs(options.codecs) if missing is None else missing
    try:
        if tree is not None:
            source = as_text(path.absolute().relative_to(tree.absolute()))
            options = replace(options, base=config_of_slide(options.base, tree, source))
        with closing(open_chosen(path, options.base.output)) as slide:
            stages = Stages(on_progress)
            findings = find_glass(slide, options.base, stages)
            regions = find_regions(slide, options.base, findings, stages)
            known = KnownSlide(_identity(slide, options), findings, regions)
            compared_slide = ComparedSlide(name, slide, known, options)
            with opened_folder(folder, root, make=True) as opened:
                found = _compare(compared_slide, reasons, opened.held, on_row, on_progress)
            return replace(found, segment_s=sum(stages.elapsed_s.values()))
    except _EXPECTED as exc:
        return SlideComparison(name, _bytes(path), _one_line(exc))


def _identity(slide: Slide, options: ComparisonOptions) -> SourceIdentity:
    """Return the source's identity, without its digest where the slide is only sampled.

    The digest does not matter there, and takes reading the whole file.
    """
    if options.sample is None:
        return identify(slide, with_name=not options.base.output.deidentify)
    path = slide.info.path
    return SourceIdentity(path.name, _bytes(path) or 0, "0" * 64, origin_sha256=None)


def _bytes(path: Path) -> int | None:
    try:
        return sum(part.stat().st_size for part in slide_parts(path))
    except (OSError, WsicompError):
        return None


def _compare(
    compared_slide: ComparedSlide,
    reasons: Mapping[str, str],
    folder: Path,
    on_row: Callable[[], None],
    on_progress: Progress | None,
) -> SlideComparison:
    options = compared_slide.options
    info, findings = compared_slide.slide.info, compared_slide.known.findings
    plan = compared_slide.prepare_conversion(REFERENCE, "keep").plan
    tissue = tissue_tiles(plan.levels, info.size, findings.tissue)
    known: dict[TileIndex, float] = {}
    for level in plan.levels:
        stored = stored_bytes(compared_slide.slide, level)
        known |= {
            index: float(stored[index.row, index.column]) for index in tissue if index.level == level.number
        }
    here = [spec for spec in options.codecs if not reasons[spec.label]]
    sought_on = pick_by_bytes(tissue, known, options.target_tiles)
    landed, landings, lost = _target_settings(compared_slide, here, sought_on)
    specs = (*options.specs, *landed)
    if options.sample is None:
        row_maker: RowMaker = FullFiles(compared_slide, folder, on_progress)
    else:
        row_maker = SampledFiles(compared_slide, draw_tiles(compared_slide, options.sample), folder)
    rows, crops, base = _rows(compared_slide, specs, reasons, row_maker, on_row)
    few = pick_by_bytes(tissue, known, options.curve_tiles)
    opened = _opened(compared_slide.slide)
    return SlideComparison(
        slide=compared_slide.name,
        source_bytes=compared_slide.known.identity.bytes,
        levels=tuple((level.size.width, level.size.height) for level in info.levels),
        tiles=sum(level.grid.count for level in plan.levels),
        tissue_tiles=len(tissue),
        tissue_fraction=findings.tissue.tissue_fraction,
        magnification=slide_magnification(info),
        reference_bytes=base,
        not_in=None if opened is None else refusing(opened),
        partly_in=None if opened is None else partly(opened),
        notes=tuple(_notes(compared_slide)),
        kept_by="" if options.kept_by is None else options.kept_by.label,
        rows=(*rows, *lost),
        curves=tuple(_curves(compared_slide, here, few)),
        magnified=tuple(_magnified(compared_slide, here)),
        landings=tuple(landings),
        crops=tuple(crops),
    )


def _opened(slide: Slide) -> tuple[ReaderVerdict, ...] | None:
    """Return who opens the source; None for other vendors' files, of which that is not known."""
    return verdicts(slide) if isinstance(slide, TiffSlide) else None


def _notes(compared_slide: ComparedSlide) -> Iterator[str]:
    yield from compared_slide.prepare_conversion(REFERENCE, BLANK).plan.notes
    yield from () if compared_slide.known.regions is None else compared_slide.known.regions.notes
    if compared_slide.options.magnifications and slide_magnification(compared_slide.slide.info) is None:
        yield "the slide does not say its magnification: there are no patches at any"


def missing_codecs(specs: Sequence[CodecSpec]) -> dict[str, str]:
    """Return by label why each codec cannot be compared on this machine, "" if it can.

    Raises:
        ConfigError: a setting is out of the codec's range.
    """
    reasons = {spec.label: "" for spec in specs}
    for spec in specs:
        try:
            spec.check()
        except ConfigError as exc:
            raise ConfigError(f"{spec.label}: {exc.message}") from exc
        except _EXPECTED as exc:
            reasons[spec.label] = _one_line(exc)
    return reasons


def _target_settings(
    compared_slide: ComparedSlide, here: Sequence[CodecSpec], tiles: Sequence[TileIndex]
) -> tuple[list[CodecSpec], list[TargetSetting], list[Row]]:
    """Return the codecs with settings for the target quality, how close these come, and rows of failures."""
    goal = compared_slide.options.goal
    landed: dict[str, CodecSpec] = {}
    landings: list[TargetSetting] = []
    lost: list[Row] = []
    if goal is None:
        return [], [], []
    for spec in {spec.family: spec for spec in here}.values():
        try:
            found = find_target_setting(compared_slide, spec, goal, tiles)
        except _EXPECTED as exc:
            label = f"{spec.family}{goal_text(goal)}"
            lost += [
                _no_row(compared_slide.name, label, glass, exc) for glass in compared_slide.options.glass
            ]
            continue
        if found is not None:
            landed[found[0].label] = found[0]
            landings.append(found[1])
    return list(landed.values()), landings, lost


def _rows(
    compared_slide: ComparedSlide,
    specs: Sequence[CodecSpec],
    reasons: Mapping[str, str],
    row_maker: RowMaker,
    on_row: Callable[[], None],
) -> tuple[list[Row], list[Crop], int | None]:
    """Return all rows of a slide, pictures of what each codec does to tissue, and the reference's bytes."""
    name, options = compared_slide.name, compared_slide.options
    reference = row_maker.row(REFERENCE, "keep")
    base, typical = reference.target_bytes, _typical(row_maker.tissue(REFERENCE))
    rows: list[Row] = []
    crops: list[Crop] = []
    if REFERENCE.label not in {spec.label for spec in specs} or "keep" not in options.glass:
        rows.append(reference)
    # Glass kept comes first: it has the quality.
    treatments = [glass for glass in GLASS if glass in options.glass]
    for spec in specs:
        for glass in _taken(spec, treatments):
            reason = reasons.get(spec.label, "")
            if reason:
                rows.append(Row(name, spec.label, glass, Status.UNAVAILABLE, reason))
            elif spec.label == REFERENCE.label and glass == "keep":
                rows.append(reference)
            else:
                rows.append(_row_or_reason(row_maker, name, spec, glass))
            on_row()
        if options.crops and not reasons.get(spec.label) and not spec.is_lossless:
            with suppress(*_EXPECTED):  # its rows say why
                crops += list(_crops(compared_slide, spec, typical, row_maker.tissue(spec)))
    return rows, crops, base


def _taken(spec: CodecSpec, treatments: Sequence[str]) -> Sequence[str]:
    """Return the treatments of glass that a codec goes with; one that keeps glass has a row in any case."""
    return [glass for glass in treatments if spec.takes(glass)] or ["keep"]


def _row_or_reason(row_maker: RowMaker, name: str, spec: CodecSpec, glass: str) -> Row:
    try:
        return row_maker.row(spec, glass)
    except _EXPECTED as exc:
        return _no_row(name, spec.label, glass, exc)


def _no_row(name: str, label: str, glass: str, exc: Exception) -> Row:
    status = Status.UNAVAILABLE if isinstance(exc, _MISSING) else Status.FAILED
    return Row(name, label, glass, status, _one_line(exc))


def _one_line(exc: Exception) -> str:
    """Return an error in one line, without the slide's path, which the row has, and the user's home."""
    if isinstance(exc, WsicompError):
        text = f"{exc.place}: {exc.message}" if exc.place else exc.message
    elif isinstance(exc, OSError) and exc.strerror:
        text = exc.strerror
    else:
        text = f"{type(exc).__name__}: {exc}"
    return " ".join(text.replace(str(Path.home()), "~").split())


def _typical(tiles: Sequence[TileFidelity]) -> TileIndex | None:
    """Return the tile of median SSIM among all that are mostly tissue."""
    ordered = sorted((tile for tile in tiles if not tile.is_edge), key=lambda tile: tile.ssim)
    return ordered[len(ordered) // 2].index if ordered else None


def _crops(
    compared_slide: ComparedSlide, spec: CodecSpec, typical: TileIndex | None, tiles: Sequence[TileFidelity]
) -> Iterator[Crop]:
    """Yield pieces of the slide's typical tissue tile, and of this codec's worst one."""
    if not tiles:
        return
    wanted = [(TYPICAL, tile) for tile in tiles if tile.index == typical]
    wanted.append((WORST, min(tiles, key=lambda tile: tile.ssim)))
    prepared = compared_slide.prepare_conversion(spec, "keep")
    places = list(dict.fromkeys(tile.index for _, tile in wanted))
    made = {trial.index: trial.pixels for trial in compared_slide.try_tiles(prepared, places)}
    for kind, tile in wanted:
        pixels = made[tile.index]
        level = prepared.plan.levels[tile.index.level]
        pair = source_pixels(compared_slide.slide, level, tile.index)
        if pixels is not None and pair is not None:
            region, source = pair
            of_tile = TileOfLevel(tile, region, level.size)
            yield draw_crop(spec.label, kind, of_tile, source, pixels[: region.height, : region.width])


def _curves(
    compared_slide: ComparedSlide, here: Iterable[CodecSpec], tiles: Sequence[TileIndex]
) -> Iterator[CurvePoint]:
    """Yield the curve of each family of codecs; one that fails has no curve."""
    families = {spec.family: spec for spec in here}
    for spec in families.values() if tiles else ():
        with suppress(*_EXPECTED):  # its rows say why
            yield from quality_curve(compared_slide, spec, tiles)


def _magnified(compared_slide: ComparedSlide, here: Sequence[CodecSpec]) -> Iterator[MagnifiedRow]:
    """Yield the rows of codecs that encode pixels, at each magnification; one that fails has no row there."""
    workers = compared_slide.base.run.workers
    for magnification in compared_slide.options.magnifications:
        with suppress(*_EXPECTED):  # a slide that cannot be read there has no patches
            patches = cut_patches(compared_slide, magnification)
            base = measure_patches(patches, REFERENCE, workers)
            for spec in here if base else ():
                with suppress(*_EXPECTED):
                    if spec.dial() is not None:
                        found = measure_patches(patches, spec, workers)
                        yield magnified_row(spec, magnification, found, base)
