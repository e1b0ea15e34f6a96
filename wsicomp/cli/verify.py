"""`wsicomp verify`: check whether a written file is whole and shows its source."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from wsicomp.cli.commands import Command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say, say_anyway, write_json
from wsicomp.options import argument, option
from wsicomp.text.figures import counted
from wsicomp.verification.files import verify_file
from wsicomp.verification.problems import CODES
from wsicomp.verification.verify import Measured

_EXAMPLES = """\
examples:
  wsicomp verify small.svs
      check that the file is whole
  wsicomp verify small.svs --against slide.svs
      check every tile against the source

"""
_EPILOG = f"{_EXAMPLES}problem codes:\n" + "\n".join(
    f"  {code:<20} {meaning}" for code, meaning in CODES.items()
)


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Arguments of `wsicomp verify`."""

    file: Path = argument("the slide to check, an SVS or tiled TIFF")
    against: Path | None = option(None, "compare it with the slide that it was made from", metavar="SOURCE")
    thorough: bool = option(
        False,
        "let OpenSlide look at every tile of the last row and column of each level, and at many more",
    )
    json: bool = option(False, "print the findings as JSON")


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
    """
    source = options.against
    with progress_bars() as show:
        found = verify_file(options.file, source, options.thorough, on_progress=show)
    if options.json:
        write_json({"file": str(options.file)} | asdict(found), None)
        return 1 if found.problems else 0
    for problem in found.problems:
        say_anyway(f"{options.file}: {problem}")
    for place in found.flawed:
        say(f"{options.file}: {place}: damaged in the source already")
    for place in found.lost:
        say(f"{options.file}: {place}: could not be decoded in the source, and is background")
    if not found.problems:
        against = "" if source is None else f", as made from {source}"
        origin = "" if found.has_provenance else "; not written by wsicomp, so no digests to compare"
        say(f"{options.file}: good, {counted(found.tiles, 'tile')}{against}{origin}")
    if found.measured is not None:
        for line in _measured_lines(found.measured):
            say(f"  {line}")
    for verdict in () if found.problems else found.readers:
        reason = f" ({verdict.reason})" if verdict.reason else ""
        say(f"  {verdict.reader:<26}{verdict.opens}{reason}")
    return 1 if found.problems else 0


def _measured_lines(measured: Measured) -> list[str]:
    psnr = "" if measured.least_psnr is None else f", PSNR {measured.least_psnr:.2f} dB"
    return [
        f"{counted(measured.tiles, 'tile')} measured against it: SSIM {measured.mean_ssim:.4f} in the mean",
        f"the worst: SSIM {measured.least_ssim:.4f}{psnr}, colour {measured.most_color_shift:.1f} levels off",
    ]


COMMANDS = (Command("verify", (VerifyOptions,), run_verify, epilog=_EPILOG),)
