"""`wsicomp convert`: convert one slide into a smaller one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from wsicomp.cli.classes import class_lines
from wsicomp.cli.commands import Command
from wsicomp.cli.options import CONVERSION, PresetOptions
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say, write_json
from wsicomp.config import ConversionConfig, RunConfig
from wsicomp.conversion.convert import convert_slide
from wsicomp.conversion.plan_checks import check_asked
from wsicomp.conversion.report import ConversionReport, GuardedReport
from wsicomp.conversion.review import planned_review_reason, review_note
from wsicomp.errors import WsicompError
from wsicomp.files.atomic import check_outputs
from wsicomp.options import argument, option
from wsicomp.plan.level_plan import TileAction
from wsicomp.text.figures import as_bytes, as_duration, as_saving, counted

if TYPE_CHECKING:
    from wsicomp.comparison.forecast import Forecast

_EPILOG = """\
examples:
  wsicomp convert slide.svs small.svs
      tissue untouched, glass out
  wsicomp convert slide.ndpi small.tiff --quality 80
      any vendor; encoded anew as JPEG
  wsicomp convert slide.svs small.svs --codec jpeg --lossless
      same pixels, smaller, still JPEG
  wsicomp convert slide.svs a.tiff --preset archive-lossless
      smallest without loss; `wsicomp restore a.tiff again.svs` gives back
      slide.svs byte for byte
  wsicomp convert slide.svs b.tiff --codec jpegxl --distance 1.5 --overview jpeg
      lossy; other readers see the lower levels
  wsicomp convert slide.svs c.tiff --preset archive-neural
      lossy by a neural network, each tile checked
  wsicomp convert slide.svs small.svs --dry-run
      print the plan, write nothing
  wsicomp convert slide.svs small.svs --mask tissue.geojson
      outlines from QuPath instead of a segmenter
  wsicomp convert slide.svs small.svs --deidentify
      no label, no macro, no names in the text
"""


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(PresetOptions):
    """Arguments of `wsicomp convert` besides the options of a conversion."""

    GROUP: ClassVar = RunConfig.GROUP

    source: Path = argument("the slide to read: SVS, tiled TIFF, or what else OpenSlide reads")
    target: Path = argument("the file to write", is_output=True)
    dry_run: bool = option(False, "print the plan, with size and time as some tiles tell; write no TARGET")
    audit: Path | None = option(
        None, "draw what goes, the mask, and what the guard keeps, as PNG or JPEG", metavar="PICTURE"
    )
    json: Path | None = option(None, "write the report as JSON; - for stdout", metavar="REPORT")

    @property
    def json_file(self) -> Path | None:
        """The report's file; None for stdout."""
        return None if str(self.json) == "-" else self.json


def run_convert(options: ConvertOptions, config: ConversionConfig) -> int:
    """Convert a whole-slide image into a smaller one.

    Tiles of glass become few shared ones in its own colours. Tiles of tissue are copied, repacked or
    encoded. Copied ones stay byte for byte: --codec copy, the default wherever the source's tiles can be
    copied. Repacked ones are smaller and lose nothing: --lossless. Encoded ones are made from pixels:
    --codec jpeg, jpegxl, jpeg2000, webp, none or a neural codec.

    TARGET appears only when it is complete and verified. SOURCE is never changed.
    """
    inputs = (options.source, config.tissue.mask, config.tissue.weights, options.preset)
    outputs = (options.target, options.audit, options.json_file)
    check_outputs([path for path in outputs if path is not None], inputs, config.run.overwrite)
    if options.dry_run:
        return _plan(options, config)
    with progress_bars() as show:
        asked = check_asked(options.target, config)
        report = convert_slide(options.source, options.target, config, show, options.audit, check_plan=asked)
    try:
        if options.json is not None:
            write_json(report.to_json(), options.json, config.run.overwrite)
        if options.json is None or options.json_file is not None:
            say(*_report_text(report))
    except WsicompError as exc:
        exc.add_note(f"{options.target} is there, and complete")
        raise
    return 0


def _plan(options: ConvertOptions, config: ConversionConfig) -> int:
    from wsicomp.comparison.forecast import forecast_conversion

    with progress_bars() as show:
        found = forecast_conversion(options.source, config, show, options.audit, options.target)
    check_asked(options.target, config)(found.plan)
    if options.json is None:
        say(*_forecast_text(found))
    else:
        write_json(found.to_json(), options.json, config.run.overwrite)
    return 0


def _forecast_text(found: Forecast) -> list[str]:
    plan, outcome = found.plan, found.outcome
    lossy = "LOSSY: " if outcome.is_lossy else ""
    lines = [
        f"{lossy}would write format {plan.container}{' (BigTIFF)' if plan.big else ''}{outcome.beginning}, "
        "nothing was written"
    ]
    for level in plan.levels:
        counts = ", ".join(
            f"{level.count(action)} {action.name.lower().replace('_', ' ')}"
            for action in TileAction
            if level.count(action)
        )
        lines.append(f"  level {level.number}: {level.size} px in tiles of {level.tile}: {counts}")
    images = ", ".join(plan.images) or "none"
    look = planned_review_reason(plan)
    notes = (*plan.notes, *([review_note(look)] if look else []))
    lines += [f"  associated images: {images}", f"  about {as_duration(found.seconds)} on this machine"]
    lines += [f"  size: {_expected_size(found)}", *(f"  {line}" for line in outcome.lines())]
    return [*lines, *_remarks(plan.dropped, notes)]


def _expected_size(found: Forecast) -> str:
    source, size = as_bytes(found.source_bytes), as_bytes(found.target_bytes)
    saved = _saving_text(found.saved)
    if found.takes_source:
        return f"{source}: the source's own file, as a conversion would have {size}"
    if not found.made_tiles:
        return f"{source} -> {size}, {saved}: counted"
    between = f"{as_bytes(found.target_bytes_low)} to {as_bytes(found.target_bytes_high)}"
    tiles = counted(found.made_tiles, "tile")
    return f"{source} -> about {size} ({between}), {saved}: by {tiles} that were made"


def _report_text(report: ConversionReport) -> list[str]:
    outcome, size = report.outcome, _size_text(report)
    lossy = "LOSSY, " if outcome.is_lossy else ""
    lines = [f"{report.target}: {lossy}{size}, format {report.container}{outcome.beginning}"]
    for number, level in enumerate(report.levels):
        parts = {
            "copied": level.copied,
            "repacked without loss": level.transcoded,
            "that could not be repacked, kept as they were": level.kept,
            "encoded anew": level.encoded,
            "encoded anew with glass painted": level.whitened,
            "blank": level.blank,
            "empty": level.empty,
            "lost in the source": level.lost,
        }
        text = ", ".join(f"{count} {name}" for name, count in parts.items() if count)
        lines.append(f"  level {number}: {level.width} x {level.height} px, tiles: {text}")
        lines += _guarded_text(level.guarded)
    lines += [f"  {line}" for line in class_lines(report.classes, report.verified)]
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
    last = [f"size: {size}", *outcome.lines()]
    return [*lines, *(f"  {line}" for line in last), *_remarks(report.dropped, report.notes)]


def _size_text(report: ConversionReport) -> str:
    sizes = f"{as_bytes(report.source_bytes)} -> {as_bytes(report.target_bytes)}"
    return f"{sizes}, {_saving_text(report.saved)}"


def _saving_text(saved: float) -> str:
    return as_saving(saved).replace("larger", "LARGER than its source")


def _guarded_text(guarded: GuardedReport | None) -> list[str]:
    if guarded is None:
        return []
    counts = {
        "made finer than asked for": guarded.refined,
        "as JPEG XL, which is smaller there": guarded.sparse,
        "as the source's JPEG repacked, which is smaller": guarded.repacked,
        "fell back to JPEG XL": guarded.fell_back,
    }
    more = "".join(f", {count} {name}" for name, count in counts.items() if count)
    noise = ""
    if guarded.least_psnr is not None:
        noise = f"PSNR {guarded.mean_psnr:.2f} dB, at least {guarded.least_psnr:.2f} dB; "
    return [
        f"    {guarded.tiles} held against their pixels{more}: SSIM {guarded.mean_ssim:.4f}, at least "
        f"{guarded.least_ssim:.4f}; {noise}mean colours within {guarded.most_color_shift:.1f} grey levels"
    ]


def _remarks(dropped: tuple[str, ...], notes: tuple[str, ...]) -> list[str]:
    left_out = [f"  left out: {', '.join(dropped)}"] if dropped else []
    return left_out + [f"  note: {note}" for note in notes]


COMMANDS = (Command("convert", (ConvertOptions,), run_convert, conversion=CONVERSION, epilog=_EPILOG),)
