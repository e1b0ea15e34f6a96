"""`wsicomp verify`: check whether a written file is whole and shows its source."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from wsicomp.cli.commands import Command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say, write_json
from wsicomp.options import argument, option
from wsicomp.text.figures import counted
from wsicomp.verification.files import verify_file
from wsicomp.verification.problems import CODES
from wsicomp.verification.verify import Measured

_EPILOG = "problem codes:\n" + "\n".join(f"  {code:<20} {meaning}" for code, meaning in CODES.items())


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """What `wsicomp verify` takes."""

    file: Path = argument("an SVS or tiled TIFF")
    against: Path | None = option(None, "the slide from which it was made", metavar="SOURCE")
    thorough: bool = option(
        False,
        "let other programs look at every tile of the last row and column of each level, and many more",
    )
    json: bool = option(False, "the findings as JSON")


def run_verify(options: VerifyOptions) -> int:
    """Read every tile of a tiled TIFF, and open it with OpenSlide.

    A file that wsicomp wrote is also held against the plan and the digests that it carries: so it is known to
    be whole, but not that what it says is true. With --against nothing that it says is believed, and it is
    held against its source: sizes, scale, colour profile, associated images, and every tile. Those that were
    copied, repacked or encoded without loss are compared by bytes or pixels; others must be as like the
    source's as their codec comes; where a tile is blank or painted the guard looks at the source once more
    and must see bare glass, whatever mask there was. The check at the end of `convert` trusts its own plan
    and does none of this; a batch does, before it takes on a target that it has no record of, and before it
    takes away a source. OpenSlide, or where it does not open a file the libraries of others, look at some
    tiles of each level of both, always the same ones. Then it says which programs open the file. Exit code 1
    if anything is wrong.
    """
    source = options.against
    with progress_bars() as show:
        found = verify_file(options.file, source, options.thorough, on_progress=show)
    if options.json:
        write_json({"file": str(options.file)} | asdict(found), None)
        return 1 if found.problems else 0
    for problem in found.problems:
        say(f"{options.file}: {problem}")
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
