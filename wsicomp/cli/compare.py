"""`wsicomp compare`: what each codec and way with glass makes of a user's own slides."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from wsicomp.cli.options import add_plane_option, add_segmenter_options, parsed_config
from wsicomp.cli.parsers import Subparsers, add_command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say
from wsicomp.comparison import Comparison, ComparisonChoices, Rates, compare_slides, parse_codecs
from wsicomp.comparison.api import FORMATS
from wsicomp.comparison.codec_specs import DEFAULT_CODECS
from wsicomp.comparison.results import Archive, SummaryRow
from wsicomp.comparison.slide import GLASS
from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError
from wsicomp.inputs import is_folder
from wsicomp.path_text import as_text
from wsicomp.text_format import as_bytes, as_duration, as_percent, counted

_SAMPLE = 200
_DRAWN = 20

_DESCRIPTION = """\
Compare codecs and ways with glass on slides of your own: how small, how fast, and how true to tissue.

Every size is held against the same slide written anew as JPEG of quality 90 with its glass (same tiles, same
levels), and against the source's file. By default some tiles of a slide stand for it, and sizes have 95 %
intervals; --sample whole writes every file, reads it back and measures each tissue tile.

OUT gets index.html (charts, tables, tissue before and after), CSV, JSON and Markdown. Of a folder, slides are
drawn, and what they save is projected on the whole archive. SLIDE is never touched."""

_EPILOG = """\
codecs (--codecs takes a list with commas):
  copy, jpeg-lossless, jpegxl-lossless      tissue as it is, or repacked without loss
  jpeg:90, webp:90, jpegxl:1.0              by quality; by distance
  jpeg2000:37dB, jpeg2000:12x               by PSNR; so many times smaller than the pixels
  he-compact:4, he-fine:6                   neural, by the models that ship, at a quality (1 to 11)
  mbt2018-mean:7, mbt2018-mean-mse-7        CompressAI's pretrained networks, fetched once
  elic2022-chandelier@FILE:3                a model of your own
  jpegxl:1.0+effort=9                       other options of the codec

examples:
  wsicomp compare slide.svs --out look                               an answer in a minute
  wsicomp compare *.svs --out look --sample whole                    every file written and measured
  wsicomp compare slide.svs --out look --target-ssim 0.95            sizes at equal quality; presets
  wsicomp compare slide.svs --out look --magnifications 5,10,20,40   tissue from far and near
  wsicomp compare archive/ --out look --draw 20 --price 250          what the whole archive would save
"""


def register(commands: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "compare",
        "compare codecs on slides of your own",
        _DESCRIPTION,
        epilog=_EPILOG,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "sources", type=Path, nargs="+", metavar="SLIDE", help="slides, or one folder of them"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder of the results")
    what = parser.add_argument_group("what is compared")
    what.add_argument("--codecs", metavar="LIST", help=f"default {','.join(DEFAULT_CODECS)}")
    # Another name than the option of one conversion has, which takes one way.
    what.add_argument("--glass", dest="glass_ways", metavar="LIST", help=f"default {','.join(GLASS)}")
    what.add_argument(
        "--sample",
        metavar="HOW",
        help=f"whole, or tiles:N: about so many tiles, from 20, stand for a slide (default tiles:{_SAMPLE})",
    )
    what.add_argument("--seed", type=int, metavar="N", help="of what is drawn (default 0)")
    what.add_argument(
        "--magnifications", metavar="LIST", help="also patches of tissue at these, as 1.25,2.5,5,10,20,40"
    )
    what.add_argument(
        "--target-ssim",
        type=float,
        metavar="F",
        help="also each codec at the setting that reaches this mean SSIM on the slide's tissue; the "
        "settings are presets in OUT/presets",
    )
    archive = parser.add_argument_group("a folder: what its slides would save together")
    archive.add_argument("--draw", type=int, metavar="N", help=f"so many slides (default {_DRAWN})")
    archive.add_argument(
        "--price", type=float, metavar="F", help="of a TB (10^12 bytes) and year, for the money"
    )
    archive.add_argument("--machines", type=int, metavar="N", help="like this one, for the hours (default 1)")
    add_plane_option(what)
    add_segmenter_options(parser.add_argument_group("finding tissue"))
    run = parser.add_argument_group("the run")
    default = ConversionConfig()
    run.add_argument("--workers", type=int, metavar="N", help=f"threads (default {default.run.workers})")
    run.add_argument(
        "--keep-files",
        action="store_true",
        help="with --sample whole: leave every file written, in OUT/files",
    )
    run.add_argument("--overwrite", action="store_true", help="write into OUT though it is not empty")
    for name in FORMATS:
        run.add_argument(
            f"--{name}", action="store_true", help=f"write {name}; without any of these four, all of them"
        )
    parser.set_defaults(run=run_compare)


def run_compare(options: argparse.Namespace) -> int:
    """Compare, write the results, and print the summary."""
    config = parsed_config(options, "compare")
    if config is None:
        return 2
    given = vars(options)
    choices = _choices(given, config)
    rates = Rates(given.get("price"), given.get("machines", 1))
    _check_range("draw", given.get("draw", _DRAWN), 2, 100_000)
    _check_range("price", rates.price or 0, 0, 1e12)
    _check_range("machines", rates.machines, 1, 1_000_000)
    of_folders = [name for name in ("draw", "price", "machines") if name in given]
    if of_folders and not any(map(is_folder, options.sources)):
        raise ConfigError(f"{of_folders[0]} is for a folder of slides; leave it out")
    with progress_bars() as show:
        found = compare_slides(
            options.sources,
            options.out,
            choices,
            given.get("draw", _DRAWN),
            rates,
            [name for name in FORMATS if name in given] or FORMATS,
            as_text(shlex.join(["wsicomp", *sys.argv[1:]])),
            config.run.overwrite,
            show,
        )
    say(*_text(found, options.out))
    return 1 if any(slide.error for slide in found.slides) else 0


def _choices(given: dict[str, object], config: ConversionConfig) -> ComparisonChoices:
    choices = ComparisonChoices(
        sample=parsed_sample(str(given.get("sample", f"tiles:{_SAMPLE}"))),
        seed=int(str(given.get("seed", 0))),
        magnifications=_numbers("magnifications", str(given.get("magnifications", ""))),
        target_ssim=given.get("target_ssim"),  # type: ignore[arg-type]
        base=config.changed(overwrite=True),
        keep_files="keep_files" in given,
    )
    if choices.keep_files and choices.sample is not None:
        raise ConfigError("a sample writes no files; keep-files goes with --sample whole")
    if choices.target_ssim is not None:
        _check_range("target-ssim", choices.target_ssim, 0.5, 0.999)
    _check_range("seed", choices.seed, 0, 2**63)
    for magnification in choices.magnifications:
        _check_range("magnifications", magnification, 0.1, 200)
    if "codecs" in given:
        choices = replace(choices, codecs=parse_codecs(str(given["codecs"])))
    if "glass_ways" in given:
        glass = tuple(dict.fromkeys(str(given["glass_ways"]).split(",")))
        if not set(glass) <= set(GLASS):
            raise ConfigError(f"glass is {','.join(glass)!r}, expected some of {', '.join(GLASS)}")
        choices = replace(choices, glass=glass)
    return choices


def parsed_sample(text: str) -> int | None:
    """How many tiles stand for a slide; None for all of it.

    Raises:
        ConfigError: it is neither "whole" nor "tiles:N".
    """
    if text == "whole":
        return None
    kind, _, count = text.partition(":")
    if kind != "tiles" or not count.isascii() or not count.isdigit() or not 20 <= int(count) <= 1_000_000:
        raise ConfigError(f"sample is {text!r}, expected whole, or tiles:N with N from 20 to 1000000")
    return int(count)


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(dict.fromkeys(float(part) for part in text.split(",") if part))
    except ValueError as exc:
        raise ConfigError(f"{name} is {text!r}, expected numbers with commas between") from exc


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigError(f"{name} is {value:g}, expected {least:g} to {most:g}")


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
    yield f"The whole archive, {slides} of {as_bytes(archive.bytes)}, saved of these sources:"
    for row in archive.rows:
        between = f"{as_bytes(row.saved_bytes_low)} to {as_bytes(row.saved_bytes_high)}"
        money = "" if row.saved_a_year is None else f", {row.saved_a_year:,.4g} a year"
        yield (
            f"  {row.codec} glass {row.glass}: {as_bytes(row.saved_bytes)} ({between}){money}; "
            f"{as_duration(row.hours * 3600)} of work"
        )
    if archive.drawn < min(_DRAWN, archive.slides):
        yield f"  by so few slides the intervals are a guess: --draw {_DRAWN} or more"


def _summary_line(row: SummaryRow, width: int, sample: int | None) -> str:
    least = "at least" if sample is None else "of tiles drawn at least"
    ssim = (
        ""
        if row.ssim is None or row.least_ssim is None
        else (f"; SSIM {row.ssim.mean:.4f}, {least} {row.least_ssim.worst:.4f}")
    )
    saved = f"{as_percent(row.total_reduction):>8}"
    return f"  {row.codec:<{width}} glass {row.glass:<5} {as_bytes(row.target_bytes):>8}, {saved}{ssim}"
