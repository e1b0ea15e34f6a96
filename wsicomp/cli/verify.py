"""`wsicomp verify`: check whether a written file is whole and shows its source."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsicomp.batch import BatchOptions, BulkOptions, CheckedFile, CheckedFiles, verify_files
from wsicomp.cli.batch_progress import SlideTexts, batch_progress
from wsicomp.cli.classes import class_lines
from wsicomp.cli.commands import Command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.stopping import stopping
from wsicomp.cli.text import say, say_anyway, write_json
from wsicomp.errors import ConfigError
from wsicomp.files.inputs import is_folder
from wsicomp.options import argument, option, same_option
from wsicomp.text.figures import as_duration, counted
from wsicomp.verification.files import verify_file
from wsicomp.verification.problems import CODES
from wsicomp.verification.verify import Measured, Verification

_EXAMPLES = """\
examples:
  wsicomp verify small.svs
      check that the file is whole
  wsicomp verify small.svs --against slide.svs
      check every tile against the source
  wsicomp verify small.svs --against slide.svs --roi tumour.geojson
      prove that the regions are kept too
  wsicomp verify archive/
      check every conversion of a tree
  wsicomp verify archive/ --against slides/
      check each against its source

"""
_EPILOG = f"{_EXAMPLES}problem codes:\n" + "\n".join(
    f"  {code:<20} {meaning}" for code, meaning in CODES.items()
)


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Arguments of `wsicomp verify`."""

    files: tuple[Path, ...] = argument(
        "the slides to check, SVS or tiled TIFF, or folders of conversions", metavar="FILE"
    )
    against: Path | None = option(
        None,
        "compare it with the slide that it was made from, or a folder with the tree of its sources",
        metavar="SOURCE",
    )
    roi: Path | None = option(
        None,
        "prove that it keeps these regions, the file that it was made with; needs --against",
        metavar="FILE",
    )
    thorough: bool = option(
        False,
        "let OpenSlide look at every tile of the last row and column of each level, and at many more",
    )
    jobs: int | None = same_option(BatchOptions, "jobs", "check so many of several files at a time")
    json: bool = option(False, "print the findings as JSON; of several files as a list")


def run_verify(options: VerifyOptions) -> int:
    """Check that a converted slide is whole, and with --against that it shows its source.

    Alone, FILE is read tile by tile, compared with the plan and the digests that it carries, and opened
    with OpenSlide. That proves that it is whole. It does not prove that what it says of itself is true.
    Any other tiled TIFF is read and opened.

    With --against, nothing that FILE says is believed. Sizes, scale, colour profile, associated images
    and every tile are compared with SOURCE. Tiles that were copied, repacked or encoded without loss must
    be exact. Others must be as like the source's as their codec comes. Where a tile is blank or painted,
    the source must show bare glass.

    OpenSlide looks at some tiles of each level of both, always the same ones. Where it does not open a
    file, other libraries do. If all is well, the command lists which programs open FILE. If anything is
    wrong, each problem is a line, and the exit code is 1.

    Of several files, or of a folder, only problems are printed, and a last line with the counts. In a folder
    every file is checked that wsicomp could have written; a file that the folder's ledger knows and that is
    gone is a problem. --against then takes one folder of conversions and the tree of their sources. Each
    file is read in a process of its own. Ctrl-C finishes the files at hand; a second one drops them.
    """
    if len(options.files) > 1 or is_folder(options.files[0]):
        if options.roi is not None:
            raise ConfigError("regions are of one slide: verify one file with `roi`, or leave it out")
        return _verify_many(options)
    (file,) = options.files
    source = options.against
    with progress_bars() as show:
        found = verify_file(file, source, options.thorough, on_progress=show, roi=options.roi)
    if options.json:
        write_json({"file": str(file)} | asdict(found), None)
        return 1 if found.problems else 0
    _say(file, source, found)
    return 1 if found.problems else 0


def _say(file: Path, source: Path | None, found: Verification) -> None:
    """Print what was found."""
    for problem in found.problems:
        say_anyway(f"{file}: {problem}")
    for place in found.flawed:
        say(f"{file}: {place}: damaged in the source already")
    for place in found.lost:
        say(f"{file}: {place}: could not be decoded in the source, and is background")
    if not found.problems:
        against = "" if source is None else f", as made from {source}"
        against += f", from level {found.from_level} on" if found.from_level else ""
        origin = "" if found.has_provenance else "; not written by wsicomp, so no digests to compare"
        say(f"{file}: good, {counted(found.tiles, 'tile')}{against}{origin}")
    if found.measured is not None:
        for line in _measured_lines(found.measured):
            say(f"  {line}")
    for line in class_lines(found.classes, source is not None and not found.problems):
        say(f"  {line}")
    for verdict in () if found.problems else found.readers:
        reason = f" ({verdict.reason})" if verdict.reason else ""
        say(f"  {verdict.reader:<26}{verdict.opens}{reason}")


def _measured_lines(measured: Measured) -> list[str]:
    psnr = "" if measured.least_psnr is None else f", PSNR {measured.least_psnr:.2f} dB"
    return [
        f"{counted(measured.tiles, 'tile')} measured against it: SSIM {measured.mean_ssim:.4f} in the mean",
        f"the worst: SSIM {measured.least_ssim:.4f}{psnr}, colour {measured.most_color_shift:.1f} levels off",
    ]


def _verify_many(options: VerifyOptions) -> int:
    silent = SlideTexts(lambda _: "", vars, "file")
    work = BulkOptions(jobs=options.jobs)
    with stopping("wsicomp verify", "file") as stop, batch_progress(False, silent) as callbacks:
        checked = verify_files(options.files, options.against, work, options.thorough, callbacks, stop)
    if options.json:
        write_json([_values(one) for one in checked.files], None)
    else:
        for one in checked.files:
            problems = [one.error] if one.found is None else one.found.problems
            say_anyway(*(f"{one.file}: {problem}" for problem in problems))
        say(_sum_line(checked))
    if stop.requests:
        return 130
    return 0 if checked.is_sound else 1


def _values(one: CheckedFile) -> dict[str, Any]:
    return {"file": one.file} | ({"error": one.error} if one.found is None else asdict(one.found))


def _sum_line(checked: CheckedFiles) -> str:
    good = sum(one.is_sound for one in checked.files)
    tiles = sum(one.found.tiles for one in checked.files if one.found is not None)
    counts = {
        "with problems": len(checked.files) - good,
        "not finished": checked.unfinished,
        "passed by as not written by wsicomp": checked.foreign,
    }
    said = "".join(f", {count} {what}" for what, count in counts.items() if count)
    why = "" if checked.why == "finished" else f"; ended early: {checked.why}"
    found = f"{counted(len(checked.files), 'file')}: {good} good{said}"
    return f"{found}; {counted(tiles, 'tile')} in {as_duration(checked.elapsed_s)}{why}"


COMMANDS = (Command("verify", (VerifyOptions,), run_verify, epilog=_EPILOG),)
