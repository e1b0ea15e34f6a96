"""`wsicomp compare`: compare codecs and treatments of glass on a user's own slides."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from wsicomp.cli.commands import Command
from wsicomp.cli.options import FINDING_TISSUE, conversion_option
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say
from wsicomp.comparison import Comparison, ComparisonOptions, Rates, compare_slides
from wsicomp.comparison.api import FORMATS
from wsicomp.comparison.archive_text import archive_notes, money_text, price_text, saving_text
from wsicomp.comparison.options import parse_sample
from wsicomp.comparison.results import Archive, SummaryRow
from wsicomp.config import ConversionConfig, RunConfig, TissueConfig
from wsicomp.errors import ConfigError
from wsicomp.files.inputs import is_folder
from wsicomp.options import REQUIRED, argument, option
from wsicomp.text.figures import as_bytes, as_duration, as_percent, counted
from wsicomp.text.paths import as_text

_DRAWN = 20

_EPILOG = """\
codecs (--codecs takes a list with commas):
  copy, jpeg-lossless, jpegxl-lossless   tissue as it is, or packed without loss
  jpeg:90, webp:90, jpegxl:1.0           by quality; by distance
  jpeg2000:37dB, jpeg2000:12x            by PSNR; so many times smaller
  he-compact:4, he-fine:6                neural, as shipped, quality 1 to 11
  mbt2018-mean:7, mbt2018-mean-mse-7     CompressAI's networks, fetched once
  elic2022-chandelier@FILE:3             a model of your own
  jpegxl:1.0+effort=9                    other options of the codec

examples:
  wsicomp compare slide.svs --out look
      get an answer in about a minute
  wsicomp compare *.svs --out look --sample whole
      write and measure every file
  wsicomp compare slide.svs --out look --target-ssim 0.95
      compare sizes at equal quality, write presets for it
  wsicomp compare slide.svs --out look --magnifications 5,10,20,40
      measure tissue from far and near
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

    def check(self) -> None:
        """Check that options on archives come with a folder.

        Raises:
            ConfigError: an option is about a folder of slides, and no source is a folder.
        """
        given = [name for name in ("draw", "price", "machines") if getattr(self, name) is not None]
        if given and not any(map(is_folder, self.sources)):
            raise ConfigError(f"{given[0]} is for a folder of slides; leave it out")


def run_compare(options: CompareOptions, compared: ComparisonOptions, config: ConversionConfig) -> int:
    """Compare codecs and treatments of glass on your own slides: size, time and likeness of tissue.

    Every size is compared with the same slide as JPEG of quality 90 with its glass, and with the source's
    file. By default a sample of tiles stands for a slide, and sizes have 95 % intervals. --sample whole
    writes every file, reads it back and measures each tile of tissue.

    DIR gets index.html (charts, tables, tissue before and after), CSV, JSON and Markdown. Of a folder a
    sample of slides is compared, and a projection says what the whole archive would save. Slides are only
    read.
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
    return 1 if any(slide.error for slide in found.slides) else 0


def _text(found: Comparison, out: Path) -> list[str]:
    done = [slide for slide in found.slides if not slide.error]
    lines = [
        f"{counted(len(done), 'slide')} compared; {out} has the results. Saved of JPEG q90 with its glass:"
    ]
    rows = [row for row in found.summary if row.slides]
    width = max([len(row.codec) for row in rows] or [0])
    for row in rows:
        some = "" if row.slides == len(done) else f" ({row.slides} of {len(done)} slides)"
        lines.append(_summary_line(row, width, found.sample) + some)
    lines += [f"  not compared: {what}: {reason}" for what, reason in found.missing]
    lines += [f"  failed: {slide.slide}: {slide.error}" for slide in found.slides if slide.error]
    presets = [slide for slide in found.slides if slide.landings]
    lines += [f"  presets of the settings that were sought: {out / 'presets'}"] if presets else []
    return [*lines, *_archive_lines(found.archive)]


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


def _summary_line(row: SummaryRow, width: int, sample: int | None) -> str:
    least = "at least" if sample is None else "of tiles drawn at least"
    ssim = (
        ""
        if row.ssim is None or row.least_ssim is None
        else (f"; SSIM {row.ssim.mean:.4f}, {least} {row.least_ssim.worst:.4f}")
    )
    saved = f"{as_percent(row.total_reduction):>8}"
    return f"  {row.codec:<{width}} glass {row.glass:<5} {as_bytes(row.target_bytes):>8}, {saved}{ssim}"


_CONVERSION = (
    *FINDING_TISSUE,
    conversion_option("z", group=TissueConfig.GROUP),
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
