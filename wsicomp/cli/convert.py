"""`wsicomp convert`: one slide into a smaller one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wsicomp.cli.parsers import Subparsers, add_command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import write_json
from wsicomp.codecs import codec_names, create_codec
from wsicomp.config import CHOICES, ConversionConfig, create_config, load_preset, preset_names
from wsicomp.convert import convert_slide, plan_slide
from wsicomp.errors import ConfigError
from wsicomp.figures import as_bytes, as_saving
from wsicomp.outcome import ConversionReport, GuardedReport
from wsicomp.outputs import check_outputs
from wsicomp.plan import ConversionPlan, TileAction

_CODECS = ("auto", "copy", *codec_names())

_DESCRIPTION = """\
Convert a whole-slide image into a smaller one.

Tiles of glass become one shared white tile. Tiles of tissue stay byte for byte (codec copy, the default
wherever the source's tiles can be copied), are repacked without loss (--lossless, with codec jpegxl a fifth
to a half smaller), or are encoded anew (codec jpeg, jpegxl, jpeg2000, webp or none). TARGET appears only
when it is complete and verified; SOURCE is never touched."""

_EPILOG = """\
examples:
  wsicomp convert slide.svs small.svs                        tissue untouched, glass out
  wsicomp convert slide.ndpi small.tiff --quality 80         any vendor; encoded anew as JPEG
  wsicomp convert slide.svs small.svs --codec jpeg --lossless    same pixels, smaller, for every reader
  wsicomp convert slide.svs a.tiff --codec jpegxl --lossless --glass keep --restorable
                                                             smallest without loss; `wsicomp restore a.tiff`
                                                             gives back slide.svs byte for byte
  wsicomp convert slide.svs b.tiff --codec jpegxl --distance 1.5 --overview jpeg
                                                             lossy; other readers see the lower levels
  wsicomp convert slide.svs c.tiff --codec bmshj2018-factorized --embed-model --overview jpeg
                                                             lossy by a neural network, each tile checked
  wsicomp convert slide.svs small.svs --dry-run              say what would be done, write nothing
  wsicomp convert slide.svs small.svs --mask tissue.geojson  outlines from QuPath instead of a segmenter
  wsicomp convert slide.svs small.svs --deidentify           no label, no macro, no names in the text
"""


def register(commands: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "convert",
        "convert a slide into a smaller one",
        _DESCRIPTION,
        epilog=_EPILOG,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("source", type=Path, help="the slide: SVS, tiled TIFF, or what else OpenSlide reads")
    parser.add_argument("target", type=Path, help="the file to write")
    parser.add_argument(
        "--preset",
        type=Path,
        metavar="PRESET",
        help=f"options from a TOML file, or from one of {', '.join(preset_names())}; others override it",
    )

    default = ConversionConfig()
    _add_picture_options(parser)
    _add_file_options(parser)
    _add_run_options(parser, default)
    parser.set_defaults(run=run_convert)


def _add_picture_options(parser: argparse.ArgumentParser) -> None:
    tissue = parser.add_argument_group("what becomes of tissue")
    tissue.add_argument("--codec", choices=_CODECS, help="auto: copy where possible, else jpeg (default)")
    tissue.add_argument(
        "--lossless",
        action="store_true",
        help="repack the source's own tiles: with jpegxl so that their very bytes come back, with jpeg their "
        "entropy coding alone; a tile that cannot be repacked stays as it is, and the report counts it",
    )
    tissue.add_argument(
        "--restorable",
        action="store_true",
        help="with jpegxl --lossless or copy, and --glass keep: keep all that `wsicomp restore` needs to "
        "give the source's file back byte for byte, and prove it",
    )
    for name, kind, meaning in (
        (
            "quality",
            int,
            "of jpeg, jpegxl, webp: 1 to 100 (default 90); of a model: from 1, as its card says",
        ),
        ("distance", float, "of jpegxl, in just noticeable differences (default 1.0)"),
        ("effort", int, "of jpegxl, 1 to 10: smaller files in more time (default 7)"),
        ("psnr", float, "of jpeg2000, in dB (default 37)"),
        ("rate", float, "of jpeg2000: so many times smaller than the pixels"),
    ):
        tissue.add_argument(f"--{name}", type=kind, metavar="N", help=meaning)
    tissue.add_argument(
        "--overview",
        choices=CHOICES["overview"],
        help="jpeg: store the levels from downsample 4 on as JPEG, and first, so that readers without "
        "the codec open the file and find their way",
    )

    _add_neural_options(parser)

    glass = parser.add_argument_group("what becomes of glass")
    glass.add_argument(
        "--glass",
        choices=CHOICES["glass"],
        help="keep it; white: one shared blank tile, which every reader shows (default); "
        "empty: zero-byte tiles in a generic TIFF, transparent in OpenSlide 4.0.1 and later, "
        "unreadable in most other programs",
    )
    add_segmenter_options(glass)
    glass.add_argument(
        "--mask", type=Path, metavar="FILE", help="tissue from a PNG, TIFF or GeoJSON file instead"
    )
    glass.add_argument(
        "--background", metavar="COLOR", help="white (default), auto (the slide's own glass), #RRGGBB"
    )


def _add_neural_options(parser: argparse.ArgumentParser) -> None:
    neural = parser.add_argument_group(
        "neural codecs", "need pip install 'wsicomp[neural]'; only wsicomp opens their levels"
    )
    neural.add_argument(
        "--model",
        metavar="NAME",
        help="a model of the codec: a file (.safetensors, or a checkpoint of CompressAI's), the name of one "
        "that ships or that a folder in WSICOMP_MODELS holds, or of one of CompressAI's, which is "
        "fetched, as mbt2018-mean-mse-7; codec bmshj2018-factorized has one (default he-compact)",
    )
    for name, meaning in (
        ("min-ssim", "a tile with less SSIM is stored finer, or else as JPEG XL (default 0.95)"),
        ("min-psnr", "so is one with less PSNR, in dB (default 25)"),
        ("max-color-shift", "and one with a block of 16 px whose mean is more grey levels off (default 6)"),
    ):
        neural.add_argument(f"--{name}", type=float, metavar="F", help=meaning)
    neural.add_argument("--device", help="auto (a GPU where torch finds one; default), cpu or cuda")
    neural.add_argument(
        "--embed-model",
        action=argparse.BooleanOptionalAction,
        help="carry the model's decoder in the file: it can be opened where the model is not, in 20 years",
    )


def add_segmenter_options(group: argparse._ArgumentGroup) -> None:
    """Everything about how tissue is found, for the commands that look for it."""
    default = ConversionConfig()
    group.add_argument(
        "--segmenter",
        choices=CHOICES["segmenter"],
        help="finds tissue: the U-Net (default), or the colour distance to white",
    )
    group.add_argument("--weights", type=Path, metavar="JSON", help="the manifest of a network of your own")
    for name, meaning in (
        ("magnification", "at which the U-Net reads; 2.5 is 4 um per px"),
        ("hole-um", "holes in tissue up to a disc of this diameter are tissue"),
        ("speck-um", "tissue smaller than a disc of this diameter is none"),
        ("margin-um", "kept around tissue, in um"),
    ):
        preset = getattr(default, name.replace("-", "_"))
        group.add_argument(f"--{name}", type=float, metavar="F", help=f"{meaning} (default {preset:g})")


def _add_file_options(parser: argparse.ArgumentParser) -> None:
    file = parser.add_argument_group("the file")
    file.add_argument(
        "--format",
        choices=CHOICES["format"],
        help="auto: svs for an SVS source and a codec that OpenSlide reads there, else tiff",
    )
    file.add_argument(
        "--levels", choices=CHOICES["levels"], help="full: add the levels that the source lacks"
    )
    file.add_argument("--no-label", dest="label", action="store_false", help="leave the label image out")
    file.add_argument("--no-macro", dest="macro", action="store_false", help="leave the macro image out")
    file.add_argument(
        "--deidentify",
        action="store_true",
        help="leave out label, macro, and all text that could name a patient",
    )


def _add_run_options(parser: argparse.ArgumentParser, default: ConversionConfig) -> None:
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--workers", type=int, metavar="N", help=f"threads (default {default.workers}, one a core)"
    )
    run.add_argument("--dry-run", action="store_true", help="read and plan, print the plan, write no TARGET")
    run.add_argument("--overwrite", action="store_true", help="replace TARGET and REPORT if they exist")
    run.add_argument(
        "--strict",
        action="store_true",
        help="stop at a damaged tile of SOURCE; else they are counted",
    )
    run.add_argument("--no-verify", dest="verify", action="store_false", help="do not read the result back")
    run.add_argument(
        "--audit", type=Path, metavar="PNG", help="draw what was removed, the mask, and what the guard saved"
    )
    run.add_argument("--json", type=Path, metavar="REPORT", help="write the report as JSON; - for stdout")


def run_convert(options: argparse.Namespace) -> int:
    """Convert, or with `--dry-run` plan, and say what was done."""
    given = vars(options)
    config = parsed_config(options, "convert")
    if config is None:
        return 2
    report_path: Path | None = given.get("json")
    audit: Path | None = given.get("audit")
    inputs = (options.source, config.mask, config.weights, given.get("preset"))
    outputs = [options.target, audit, None if str(report_path) == "-" else report_path]
    check_outputs([path for path in outputs if path is not None], inputs, config.overwrite)
    with progress_bars() as show:
        if "dry_run" in given:
            plan = plan_slide(options.source, config, show, audit)
        else:
            report = convert_slide(options.source, options.target, config, show, audit)
    if "dry_run" in given:
        if report_path is not None:
            write_json(plan.to_json(), report_path)
        else:
            print(_plan_text(plan))
        return 0
    if report_path is not None:
        write_json(report.to_json(), report_path)
    if str(report_path) != "-":
        print(_report_text(report))
    return 0


def parsed_config(options: argparse.Namespace, command: str) -> ConversionConfig | None:
    """The config of a preset and the command line; None, and a line on stderr, where it cannot be."""
    given = vars(options)
    fields = ConversionConfig.__dataclass_fields__
    preset = load_preset(given["preset"]) if "preset" in given else {}
    try:
        config = create_config(preset | {name: value for name, value in given.items() if name in fields})
        if config.codec not in _CODECS:
            raise ConfigError(f"codec is {config.codec!r}, expected one of {', '.join(_CODECS)}")
        others = config.codec_options().keys() - {"quality"}
        if config.codec == "auto" and others:
            raise ConfigError(f"codec auto is copy or jpeg; name the codec that takes {min(others)}")
        if config.codec != "copy":
            create_codec("jpeg" if config.codec == "auto" else config.codec, config.codec_options())
    except ConfigError as exc:
        where = f" (with preset {given['preset']})" if "preset" in given else ""
        print(f"wsicomp {command}: {exc}{where}", file=sys.stderr)
        return None
    return config


def _plan_text(plan: ConversionPlan) -> str:
    lines = [f"would write format {plan.container}{' (BigTIFF)' if plan.big else ''}, nothing was written"]
    for level in plan.levels:
        counts = ", ".join(
            f"{level.count(action)} {action.name.lower().replace('_', ' ')}"
            for action in TileAction
            if level.count(action)
        )
        lines.append(f"  level {level.number}: {level.size} px in tiles of {level.tile}: {counts}")
    images = ", ".join(plan.images) or "none"
    return "\n".join([*lines, f"  associated images: {images}", *_remarks(plan.dropped, plan.notes)])


def _report_text(report: ConversionReport) -> str:
    sizes = f"{as_bytes(report.source_bytes)} -> {as_bytes(report.target_bytes)}"
    lines = [f"{report.target}: {sizes}, {as_saving(report.saved)}, format {report.container}"]
    for number, level in enumerate(report.levels):
        parts = {
            "copied": level.copied,
            "repacked without loss": level.transcoded,
            "that could not be repacked, kept as they were": level.kept,
            "encoded": level.encoded,
            "encoded with glass painted": level.whitened,
            "blank": level.blank,
            "empty": level.empty,
            "lost in the source": level.lost,
        }
        text = ", ".join(f"{count} {name}" for name, count in parts.items() if count)
        lines.append(f"  level {number}: {level.width} x {level.height} px, tiles: {text}")
        lines += _guarded_text(level.guarded)
    if report.rescued_tiles:
        lines.append(
            f"  tiles of all levels that the mask called glass and the guard kept: {report.rescued_tiles}"
        )
    if report.flawed_tiles:
        lines.append(
            f"  damaged tiles of the source, kept as they are or as far as they decode: {report.flawed_tiles}"
        )
    stages = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in report.elapsed_s.items())
    lines.append(f"  {stages}; peak memory {as_bytes(report.peak_memory_bytes)}")
    lines.append("  verified" if report.verified else "  NOT verified")
    if report.restorable:
        lines.append(f"  restorable: the source was rebuilt from it, SHA-256 {report.source_sha256}")
    return "\n".join([*lines, *_remarks(report.dropped, report.notes)])


def _guarded_text(guarded: GuardedReport | None) -> list[str]:
    if guarded is None:
        return []
    counts = {
        "quantised finer": guarded.refined,
        "as JPEG XL, which is smaller there": guarded.sparse,
        "as the source's JPEG repacked, which is smaller": guarded.repacked,
        "fell back to JPEG XL": guarded.fell_back,
    }
    more = "".join(f", {count} {name}" for name, count in counts.items() if count)
    return [
        f"    {guarded.tiles} held against their pixels{more}: SSIM {guarded.mean_ssim:.4f}, at least "
        f"{guarded.least_ssim:.4f}; mean colours within {guarded.most_color_shift:.1f} grey levels"
    ]


def _remarks(dropped: tuple[str, ...], notes: tuple[str, ...]) -> list[str]:
    left_out = [f"  left out: {', '.join(dropped)}"] if dropped else []
    return left_out + [f"  note: {note}" for note in notes]
