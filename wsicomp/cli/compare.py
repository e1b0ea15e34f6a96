"""`wsicomp compare`: compare codecs and treatments of glass on a user's own slides."""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from wsicomp.cli.commands import Command
from wsicomp.cli.flags import with_flags
from wsicomp.cli.options import FINDING_TISSUE, conversion_option
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say, say_anyway
from wsicomp.comparison import Comparison, ComparisonOptions, Rates, compare_slides
from wsicomp.comparison.api import FORMATS, compared_files
from wsicomp.comparison.archive_text import archive_notes, money_text, price_text, saving_text
from wsicomp.comparison.convert_command import command_lines
from wsicomp.comparison.options import BLANK, EMPTY, parse_sample
from wsicomp.comparison.recommendation import Recommendation, Verdict, recommend
from wsicomp.comparison.results import Archive, SlideComparison, SummaryRow
from wsicomp.comparison.tables import telling_rows
from wsicomp.config import ConversionConfig, PromptConfig, RegionConfig, RunConfig, TissueConfig
from wsicomp.errors import ConfigError
from wsicomp.files.inputs import is_folder
from wsicomp.options import REQUIRED, argument, option, options_of
from wsicomp.text.figures import as_bytes, as_duration, as_percent, counted
from wsicomp.text.paths import as_text

_DRAWN = 20
_WIDTH = 79
_NO_BREAK = "\xa0"
_PAGE = "index.html"

_EPILOG = """\
codecs (--codecs takes a list with commas):
  copy, jpeg-lossless, jpegxl-lossless   tissue as it is, or packed without loss
  jpegxl-restorable                      packed so that the source comes back
  jpeg:90, webp:90, jpegxl:1.0           by quality; by distance
  jpeg2000:37dB, jpeg2000:12x            by PSNR; so many times smaller
  he-compact:4, he-fine:6                neural, as shipped, quality 1 to 11
  mbt2018-mean:7, mbt2018-mean-mse-7     CompressAI's networks, fetched once
  elic2022-chandelier@FILE:3             a model of your own
  jpegxl:1.0+effort=9                    other options of the codec

examples:
  wsicomp compare slide.svs --out look
      get an answer in about a minute
  wsicomp compare slide.svs --out look --opens-in openslide --min-ssim 0.95
      allow a loss, and programs without OpenSlide to fail
  wsicomp compare *.svs --out look --sample whole
      write and measure every file
  wsicomp compare slide.svs --out look --target-ssim 0.95
      compare sizes at equal quality, write presets for it
  wsicomp compare slide.svs --out look --magnifications 5,10,20,40
      measure tissue from far and near
  wsicomp compare slide.svs --out look --sample whole --roi tumour.geojson
      keep regions, and store other tissue by each codec beside them
  wsicomp compare archive/ --out look --draw 20 --price 250
      estimate what the whole archive would save
"""

_FOLDER = "a folder of slides"


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Arguments of `wsicomp compare` besides the options of a comparison and of the segmenter."""

    GROUP: ClassVar = RunConfig.GROUP

    sources: tuple[Path, ...] = argument("the slides to compare on, or one folder of them", metavar="SLIDE")
    out: Path = option(REQUIRED, "the folder of the results", metavar="DIR", group="options")
    sample: str = option(
        "tiles:200",
        "tiles:N lets about N tiles stand for a slide, 20 or more; whole writes whole files",
        metavar="HOW",
        group=ComparisonOptions.GROUP,
    )
    draw: int | None = option(
        None,
        "compare so many slides of the folder",
        least=2,
        most=100_000,
        metavar="N",
        group=_FOLDER,
        default_text=str(_DRAWN),
    )
    price: float | None = option(
        None,
        "tell the cost by this price of a TB (10^12 bytes) and year",
        least=0,
        most=1e12,
        metavar="F",
        group=_FOLDER,
    )
    machines: int | None = option(
        None,
        "tell the hours with so many machines like this one",
        least=1,
        most=1_000_000,
        metavar="N",
        group=_FOLDER,
        default_text="1",
    )
    html: bool = option(False, "write HTML; without any of these four all are written")
    csv: bool = option(False, "write CSV")
    json: bool = option(False, "write JSON")
    markdown: bool = option(False, "write Markdown")
    view: bool = option(
        False, "show the results in the browser afterwards, each slide and piece of tissue a click away"
    )

    def check(self) -> None:
        """Check that options on archives come with a folder.

        Raises:
            ConfigError: an option is about a folder of slides, and no source is a folder.
        """
        given = [name for name in ("draw", "price", "machines") if getattr(self, name) is not None]
        if given and not any(map(is_folder, self.sources)):
            raise ConfigError(f"{given[0]} is for a folder of slides; leave it out")


def run_compare(options: CompareOptions, compared: ComparisonOptions, config: ConversionConfig) -> int:
    """Compare codecs and treatments of glass on your own slides, and recommend one.

    The recommendation comes first: what to take, why, and the command line for it. It keeps every pixel of
    tissue and opens wherever the source opens, unless --min-ssim or --opens-in allow less. Sizes are parts
    of the source's bytes; tables also compare them with the slide as JPEG of quality 90 with its glass.

    By default a sample of tiles stands for a slide, and sizes have 95 % intervals. --sample whole
    writes every file, reads it back and measures each tile of tissue.

    DIR gets index.html (charts, tables, tissue before and after), CSV, JSON and Markdown. Of a folder a
    sample of slides is compared, and a projection says what the whole archive would save. Slides are only
    read. --view shows the results in the browser, where each slide and each piece of tissue leads to its
    place, with the codec to try at other qualities.
    """
    options.check()
    base = config.changed(overwrite=True)
    with progress_bars() as show:
        found = compare_slides(
            options.sources,
            options.out,
            replace(compared, sample=parse_sample(options.sample), base=base),
            options.draw or _DRAWN,
            Rates(options.price, options.machines or 1),
            [name for name in FORMATS if getattr(options, name)] or FORMATS,
            as_text(shlex.join(["wsicomp", *sys.argv[1:]])),
            config.run.overwrite,
            show,
        )
    say(*_text(found, options.out))
    code = 1 if any(slide.error for slide in found.slides) else 0
    if options.view:
        _show(found, options, code)
    return code


def _show(found: Comparison, options: CompareOptions, code: int) -> None:
    """Show the results in the browser until Ctrl-C, with links to the slides; then exit with `code`."""
    from wsicomp.cli.view import serve_until_stopped
    from wsicomp.viewer.folder.compared import RESULTS, show_comparison
    from wsicomp.viewer.server import ViewerServer
    from wsicomp.viewer.session import Session

    with closing(Session()) as session:
        show_comparison(session, found, options.out, compared_files(options.sources, found))
        with ViewerServer(session) as server:
            address = f"{server.address}{RESULTS}"
            serve_until_stopped(server, lambda: say_anyway(f"{address}  (Ctrl-C ends it)"), address, code)


def _text(found: Comparison, out: Path) -> list[str]:
    done = [slide for slide in found.slides if not slide.error]
    lines = [*_recommended(recommend(found)), "", *_wrapped(_about(found, done, out))]
    if any(row.outcome for row in found.summary):
        lines += ["", *_table(found, len(done))]
    if found.missing:
        lines += _wrapped(f"Not compared: {'; '.join(what for what, _ in found.missing)}. {_PAGE} has why.")
    lines += [f"failed: {slide.slide}: {slide.error}" for slide in found.slides if slide.error]
    if any(slide.landings for slide in found.slides):
        lines.append(f"Presets of the settings that were sought: {out / 'presets'}")
    return [*lines, *_archive_lines(found.archive)]


def _recommended(found: Recommendation) -> Iterator[str]:
    """Yield the recommendation: what to do, why, the command line for it, and what would save more."""
    yield from _wrapped(found.sentence)
    yield from _wrapped(found.reason)
    if found.verdict is Verdict.NOTHING:
        for text in found.excluded:
            yield from _wrapped(text, "  ")
    if found.command:
        yield ""
        yield from (f"  {line}" for line in command_lines(found.command, _WIDTH - 2))
    if found.alternatives:
        yield ""
    for each in found.alternatives:
        yield from _wrapped(each.sentence)


def _wrapped(text: str, indent: str = "") -> list[str]:
    """Return a text in lines, with the flags of options that it names; with `indent` it is one of a list."""
    after = f"{indent}  " if indent else ""
    held = with_flags(text).replace(" %", f"{_NO_BREAK}%")
    lines = textwrap.wrap(
        held, _WIDTH, initial_indent=indent, subsequent_indent=after, break_on_hyphens=False
    )
    return [line.replace(_NO_BREAK, " ") for line in lines]


def _about(found: Comparison, done: Sequence[SlideComparison], out: Path) -> str:
    size = as_bytes(sum(slide.source_bytes or 0 for slide in done))
    how = "whole files" if found.sample is None else f"about {found.sample} tiles of each"
    return f"{counted(len(done), 'slide')} compared, {size}, by {how}. {out / _PAGE} shows all."


def _table(found: Comparison, slides: int) -> Iterator[str]:
    """Yield a line for each row of the summary; the one that is recommended has a mark."""
    chosen = recommend(found)
    rows = [row for row in found.summary if row.outcome is not None]
    shown = telling_rows(rows)
    codec = max(len(row.codec) for row in rows)
    yield f"  {'codec':<{codec}} glass of yours tissue       opens in         restores"
    for row in shown:
        mark = ">" if (row.codec, row.glass) == (chosen.codec, chosen.glass) else " "
        some = "" if row.slides == slides else f" ({row.slides} of {slides})"
        yield f"{mark} {row.codec:<{codec}} {row.glass:<5} {_summary_cells(row)}{some}"
    if len(shown) < len(rows):
        yield f"  (glass {EMPTY} is as small as glass {BLANK}, and opens in fewer viewers)"


def _summary_cells(row: SummaryRow) -> str:
    assert row.outcome is not None, "it converts a slide"
    back = "yes" if row.outcome.reversible else "no"
    tissue = row.outcome.tissue_text(row.worst_ssim)
    return f"{as_percent(row.part):>8} {tissue:<12} {row.outcome.short:<16} {back}"


def _archive_lines(archive: Archive | None) -> Iterator[str]:
    if archive is None:
        return
    slides = counted(archive.slides, "slide")
    yield f"The whole archive, {slides} of {as_bytes(archive.bytes)}, from {archive.drawn} drawn:"
    for row in archive.rows:
        money = money_text(row)
        told = f", {money} a year {price_text(archive)}" if money else ""
        yield (
            f"  {row.codec} glass {row.glass}: {saving_text(archive, row)}{told}; "
            f"{as_duration(row.hours * 3600)} of work"
        )
    yield from (f"  {note}" for note in archive_notes(archive))


_CONVERSION = (
    *FINDING_TISSUE,
    conversion_option("z", group=TissueConfig.GROUP),
    *(each for each in options_of(RegionConfig).values() if each.name != "tissue_codec"),
    *options_of(PromptConfig).values(),
    conversion_option("workers"),
    conversion_option("overwrite", "write into DIR though it is not empty"),
)
COMMANDS = (
    Command(
        "compare",
        (CompareOptions, ComparisonOptions),
        run_compare,
        conversion=_CONVERSION,
        epilog=_EPILOG,
    ),
)
