"""Compare several slides, or some drawn from an archive, and write the results after each slide."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from wsicomp.comparison.convert_command import shared_options
from wsicomp.comparison.full_files import file_name
from wsicomp.comparison.options import BLANK, ComparisonOptions
from wsicomp.comparison.page import results_page
from wsicomp.comparison.projection import Rates, draw_archive_sample, project_archive
from wsicomp.comparison.recommendation import recommend
from wsicomp.comparison.results import Archive, Comparison, SlideComparison, TargetSetting
from wsicomp.comparison.slide import compare_slide, missing_codecs
from wsicomp.comparison.tables import TABLES, markdown, write_csvs
from wsicomp.conversion.region_files import has_folder_of_regions
from wsicomp.errors import ConfigError, MaskError, SlideWriteError, WsicompError
from wsicomp.files.atomic import check_empty, make_folder
from wsicomp.files.folders import Folder, opened_folder
from wsicomp.files.inputs import check_file, is_folder
from wsicomp.files.tables import write_text
from wsicomp.files.unfinished import unfinished
from wsicomp.formats.discovery import FoundSlide, Selection, find_slides
from wsicomp.formats.slide_files import may_be_dicom, slide_parts
from wsicomp.progress import Progress, progress_raises_through, utc_now
from wsicomp.text.paths import as_path, as_text
from wsicomp.version import SOFTWARE

FORMATS = ("html", "csv", "json", "markdown")
_RESULTS = ("index.html", "results.json", "results.md", *(f"{name}.csv" for name in TABLES))
_FILES = "files"
_WORK = ".wsicomp-compare"
_MOST_WITH_CROPS = 24
"""How many slides show pieces of tissue; each adds about a megabyte to the page."""
_PRESETS = "presets"

_Projection = Callable[[Mapping[str, SlideComparison], Rates], Archive]
"""Estimates what codecs save of a whole archive, from its compared slides by their names."""


@progress_raises_through
def compare_slides(
    sources: Sequence[Path],
    out: Path,
    options: ComparisonOptions | None = None,
    drawn: int = 20,
    rates: Rates | None = None,
    formats: Sequence[str] = FORMATS,
    command: str = "",
    overwrite: bool = False,
    on_progress: Progress | None = None,
) -> Comparison:
    """Compare slides, or `drawn` slides of one folder, and write the results into the folder `out`.

    Results are written after each slide, so that an interrupted comparison leaves what it found. `options`
    and `rates` have their defaults where they are None. `formats` are those of `write_results`, and `command`
    is the command line that the results quote.

    >>> from wsicomp.comparison import ComparisonOptions, compare_slides, parse_codecs
    >>> options = ComparisonOptions(codecs=parse_codecs("copy,jpegxl:1.0"), sample=200)
    >>> found = compare_slides([Path("slide.svs")], Path("out"), options)  # doctest: +SKIP
    >>> [(row.codec, row.glass, row.target_bytes) for row in found.rows]  # doctest: +SKIP

    Raises:
        ConfigError: there is no source, a folder stands beside other sources or has no slide, a file is
            missing, a setting is out of range, or a file of regions comes with several slides.
        MaskError: the file of regions is missing, empty or may not be read.
        TargetExistsError: `out` is not empty and `overwrite` is False.
        SlideWriteError: `out` cannot be written.
    """
    options = ComparisonOptions.given(options)
    subjects, project = _subjects(sources, out, drawn, options.seed)
    _check_regions(options, len(subjects) > 1 or project is not None)
    check_empty(out, overwrite)
    missing = missing_codecs(options.codecs)
    with opened_folder(make_folder(out)) as opened:
        for name in _RESULTS if overwrite else ():
            opened.remove(name)  # those of an earlier run do not belong to this one
        for name in (_FILES, _WORK, _PRESETS):
            _check_folder(opened, name)
    tree = _tree(sources)
    work = out / (_FILES if options.keep_files else _WORK)
    found: list[SlideComparison] = []
    comparison = Comparison(
        SOFTWARE,
        utc_now(),
        command,
        options.sample,
        options.base.run.workers,
        (),
        sources=tuple(map(_named_source, dict.fromkeys(sources))),
        is_folder=project is not None,
        shared=shared_options(options.base.without_regions()),
        constraints=options.constraints,
    )
    row_progress = _RowProgress(on_progress, len(subjects) * len(options.specs) * len(options.glass))
    with _working_in(out):
        for number, (path, name) in enumerate(subjects, 1):
            folder = work / f"{number:03}-{file_name(path.stem)[:60]}"
            with_crops = replace(options, crops=number <= _MOST_WITH_CROPS)
            compared = compare_slide(
                path, name, with_crops, folder, row_progress.row_done, on_progress, missing, out, tree
            )
            if len(subjects) > 1 or project is not None:
                compared = _with_shared_regions(compared, options)
            found.append(_with_presets(compared, number, out, options, overwrite))
            row_progress.slide_done(number * len(options.specs) * len(options.glass))
            comparison = replace(comparison, slides=tuple(found))
            if project is not None and number == len(subjects):
                by_name = {slide.slide: slide for slide in found}
                comparison = replace(comparison, archive=project(by_name, rates or Rates()))
            write_results(comparison, out, formats, overwrite or number > 1)
    return comparison


def compared_files(sources: Sequence[Path], found: Comparison) -> Mapping[str, Path]:
    """Return the files of the slides that were compared, by their names in the results."""
    if found.is_folder:
        return {slide.slide: sources[0] / as_path(slide.slide) for slide in found.slides}
    return {name: path for path, name in _named(list(dict.fromkeys(sources)))}


def _check_regions(options: ComparisonOptions, of_several: bool) -> None:
    """Check that a file of regions is there, and is of one slide.

    Raises:
        ConfigError: there are several slides.
        MaskError: the file is missing, empty or may not be read.
    """
    regions = options.regions
    if regions is None or regions.roi is None or regions.word == "tissue":
        return
    if has_folder_of_regions(options.base):
        return
    if of_several:
        raise ConfigError(
            "a file of regions is of one slide, and several are compared: name one, or take a folder of such "
            'files or `roi="tissue"`'
        )
    if not regions.word:
        check_file(regions.roi, MaskError)


def _tree(sources: Sequence[Path]) -> Path:
    """Return the folder of the slides: the one that is compared, or the one that holds all of them."""
    if len(sources) == 1 and is_folder(sources[0]):
        return sources[0]
    return Path(os.path.commonpath([source.absolute().parent for source in sources]))


def _with_shared_regions(found: SlideComparison, options: ComparisonOptions) -> SlideComparison:
    """Return the results of one of several slides with the folder of regions as the option of its rows."""
    roi = str(options.base.regions.roi)
    rows = (
        replace(row, options={**row.options, "roi": roi}) if "roi" in row.options else row
        for row in found.rows
    )
    return replace(found, rows=tuple(rows))


@contextmanager
def _working_in(out: Path) -> Iterator[None]:
    """Remove the folder of unfinished work when the block ends, or the process in its midst."""

    def clear() -> None:
        with suppress(OSError), opened_folder(out) as opened:
            opened.clear(_WORK)

    try:
        with unfinished(clear):
            yield
    finally:
        clear()


def _named_source(path: Path) -> str:
    """Return a path as it was named; one that does not print as `as_text` shows it."""
    text = str(path)
    return text if text.isprintable() else as_text(path)


class _RowProgress:
    """Reports finished rows as the progress of one stage."""

    def __init__(self, on_progress: Progress | None, total: int) -> None:
        self._on_progress = on_progress
        self._total = total
        self._done = 0

    def row_done(self) -> None:
        """Count one row more."""
        self.slide_done(self._done + 1)

    def slide_done(self, done: int) -> None:
        """Set the number of finished rows, which includes rows that a failed slide never had."""
        self._done = min(done, self._total)
        if self._on_progress is not None:
            self._on_progress("compare", self._done, self._total)


def _subjects(
    sources: Sequence[Path], out: Path, drawn: int, seed: int
) -> tuple[list[tuple[Path, str]], _Projection | None]:
    """Return the files of the slides to compare, and their names in the results.

    Of a folder these are slides that are drawn, with the function that projects results on the whole folder.

    Raises:
        ConfigError: there is no source, or a folder stands beside other sources, or has no slide.
    """
    if not sources:
        raise ConfigError("nothing to compare; name a slide, or a folder with slides")
    for source in sources:
        if not is_folder(source):
            check_file(source)
    folders = [source for source in sources if is_folder(source)]
    if not folders:
        return _named(list(dict.fromkeys(sources))), None
    if len(sources) > 1:
        raise ConfigError("a folder is an archive from which slides are drawn; give it without other sources")
    folder = folders[0]
    own = out.resolve()
    found = [
        slide
        for slide in find_slides(Selection(folder)).slides
        if own not in (folder / as_path(slide.source)).resolve().parents
    ]
    slides = list(_once_a_series(folder, found))
    if not slides:
        raise ConfigError("has no slide; name a folder with slides", folder)
    draw = draw_archive_sample(slides, drawn, seed)
    chosen = [slides[number] for number in draw.drawn.tolist()]
    subjects = [(folder / as_path(slide.source), slide.source) for slide in chosen]
    return subjects, partial(project_archive, folder.resolve().name, slides, draw)


def _named(sources: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return slides by their file names, or where these are equal by their paths in the common folder."""
    names = [source.name for source in sources]
    shared = Path(os.path.commonpath([source.absolute().parent for source in sources]))
    return [
        (
            source,
            as_text(source.name if names.count(source.name) == 1 else source.absolute().relative_to(shared)),
        )
        for source in sources
    ]


def _once_a_series(folder: Path, slides: Sequence[FoundSlide]) -> Iterator[FoundSlide]:
    """Yield the slides of a tree, with the files of a DICOM series as one slide."""
    seen: set[Path] = set()
    for slide in slides:
        path = folder / as_path(slide.source)
        if not may_be_dicom(path):
            yield slide
            continue
        try:
            parts = slide_parts(path)
            size = sum(part.stat().st_size for part in parts)
        except (OSError, WsicompError):
            yield slide
            continue
        if seen.isdisjoint(parts):
            yield replace(slide, bytes=size)
        seen.update(parts)


def _with_presets(
    found: SlideComparison, number: int, out: Path, options: ComparisonOptions, overwrite: bool
) -> SlideComparison:
    """Write the settings that reach the target quality as presets of `wsicomp convert`."""
    landings: list[TargetSetting] = []
    for found_setting in found.landings:
        name = (
            f"{number:03}-{file_name(Path(found.slide).stem)[:60]}-{file_name(found_setting.codec)[:60]}.toml"
        )
        glass = BLANK if BLANK in options.glass else options.glass[0]
        path = out / _PRESETS / name
        with opened_folder(path.parent, out, make=True):
            write_text(path, _preset(found.slide, found_setting, glass), overwrite, out)
        landings.append(replace(found_setting, preset=f"{_PRESETS}/{name}"))
    return replace(found, landings=tuple(landings))


def _preset(slide: str, found_setting: TargetSetting, glass: str) -> str:
    values = {**found_setting.setting, "glass": glass}
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    ssim, tiles = f"{found_setting.held_out_ssim:.4f}", found_setting.held_out_tiles
    about = f"{' '.join(slide.split())}: mean SSIM {ssim} on {tiles} tiles"
    notes = [f"# {about} held out; target {found_setting.target_ssim:.4g}"]
    if not found_setting.reaches:
        notes.append("# No setting of this codec comes nearer to the target.")
    if found_setting.setting.get("min_ssim") == 0:
        notes.append("# Single tiles may have less SSIM than the mean: raise min_ssim to bound the worst.")
    return "\n".join([*notes, *lines, ""])


def write_results(comparison: Comparison, out: Path, formats: Sequence[str], overwrite: bool = False) -> None:
    """Write the results as page, tables and data, in these formats.

    Raises:
        TargetExistsError: a file was created meanwhile, and `overwrite` is False.
        SlideWriteError: a file cannot be written.
    """
    if "json" in formats:
        values = {"recommendation": asdict(recommend(comparison)), **comparison.to_json()}
        write_text(out / "results.json", json.dumps(values, indent=1, default=str), overwrite)
    if "csv" in formats:
        write_csvs(comparison, out, overwrite)
    if "markdown" in formats:
        write_text(out / "results.md", markdown(comparison), overwrite)
    if "html" in formats:
        write_text(out / "index.html", results_page(comparison), overwrite)


def _check_folder(folder: Folder, name: str) -> None:
    """Check that a name in the results is free or a folder.

    Raises:
        SlideWriteError: something else has this name.
    """
    if not folder.is_folder(name) and folder.status(name) is not None:
        raise SlideWriteError("is not a folder of a comparison; move it away", folder.path / name)
