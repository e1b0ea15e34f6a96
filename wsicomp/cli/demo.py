"""`wsicomp demo`: draw a slide, convert it by several codecs, and print the sizes."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from wsicomp.cli.commands import Command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say, show
from wsicomp.cli.verbosity import is_quiet
from wsicomp.config import ConversionConfig
from wsicomp.conversion.convert import convert_slide
from wsicomp.conversion.report import ConversionReport
from wsicomp.conversion.restore import restore_slide
from wsicomp.errors import TargetExistsError
from wsicomp.files.atomic import completed, make_folder
from wsicomp.files.unfinished import temporary_folder
from wsicomp.geometry import Size
from wsicomp.options import argument, option
from wsicomp.progress import Stages
from wsicomp.synthetic import SyntheticSlide, write_slide
from wsicomp.text.figures import as_bytes, as_percent

_SOURCE = "slide.svs"
_ARCHIVE = "restorable.tiff"
_WAYS = {
    **{
        f"{codec}-{glass}.{'tiff' if glass == 'empty' else 'svs'}": ConversionConfig.of(
            codec=codec, glass=glass
        )
        for codec in ("copy", "jpeg")
        for glass in ("keep", "blank", "empty")
    },
    "lossless.svs": ConversionConfig.of(codec="jpeg", lossless=True),
    "lossless.tiff": ConversionConfig.of(codec="jpegxl", lossless=True, overview="jpeg"),
    _ARCHIVE: ConversionConfig.of(codec="jpegxl", lossless=True, glass="keep", restorable=True),
}
_NEURAL = {"neural.tiff": ConversionConfig.of(codec="bmshj2018-factorized", overview="jpeg")}
_HINT = """
The columns in the middle count tiles; exact ones have the source's very pixels.
copy keeps the bytes of every tile with tissue; jpeg encodes anew at quality 90.
lossless repacks tiles, as JPEG (svs) and as JPEG XL (tiff); restorable is JPEG XL and gives the source back.
empty is for OpenSlide 4.0.1 and later alone; blank is as small, and every program tried shows it.
JPEG XL is read by wsicomp.open_slide; of lossless.tiff OpenSlide shows the lower levels."""
_NEURAL_HINT = """neural.tiff holds every tile against its pixels; the same programs read it."""
_NO_NEURAL_HINT = """With pip install constriction there is a row of neural tiles, too."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Arguments of `wsicomp demo`."""

    directory: Path | None = argument(
        "the folder that keeps the slide and the results; by default nothing is kept", None
    )
    size: int = option(8192, "draw a slide of so many px a side", least=256, most=65_536, metavar="PX")
    seed: int = option(1, "draw the slide of this seed", least=0, metavar="N")


def run_demo(options: DemoOptions) -> int:
    """Draw a synthetic H&E slide, convert it by the usual codecs, and print a table of sizes.

    Each result is verified, and the slide is restored from one of them. It takes some minutes.
    """
    kept = options.directory
    place = temporary_folder("wsicomp-demo-") if kept is None else nullcontext(make_folder(kept))
    with place as name, progress_bars() as show:
        directory = Path(name)
        source = directory / _SOURCE
        if os.path.lexists(source):
            raise TargetExistsError("exists already; name an empty folder", source)
        slide = SyntheticSlide(Size(options.size, options.size), seed=options.seed, tissue_fraction=0.2)
        with Stages(show).stage("draw") as progress, completed(source) as partial:
            write_slide(partial, slide, on_progress=progress)
        reports = {
            name: convert_slide(source, directory / name, config, show)
            for name, config in (_WAYS | (_NEURAL if _has_neural() else {})).items()
        }
        again = restore_slide(directory / _ARCHIVE, directory / "restored.svs", on_progress=show)
    if is_quiet():
        return 0
    _print_table(source, reports)
    say("", f"{_ARCHIVE} gave {source.name} back byte for byte: SHA-256 {again.sha256}")
    if options.directory is not None:
        say("", f"Look at them: {options.directory}")
    return 0


def _print_table(source: Path, reports: dict[str, ConversionReport]) -> None:
    from rich.console import Console
    from rich.table import Table

    first = next(iter(reports.values()))
    size = f"{first.levels[0].width} x {first.levels[0].height} px"
    table = Table(title=f"{source.name}, {size}, {as_bytes(first.source_bytes)}")
    for heading in ("result", "size", "saved", "exact", "encoded", "blank", "seconds"):
        table.add_column(heading, justify="left" if heading == "result" else "right", no_wrap=True)
    for name, report in reports.items():
        levels = report.levels
        table.add_row(
            name,
            as_bytes(report.target_bytes),
            as_percent(report.saved),
            str(sum(level.copied + level.transcoded + level.kept for level in levels)),
            str(sum(level.encoded + level.whitened for level in levels)),
            str(sum(level.blank + level.empty for level in levels)),
            f"{sum(report.elapsed_s.values()):.2f}",
        )
    Console().print(table)
    show(f"{_HINT}\n{_NEURAL_HINT if _has_neural() else _NO_NEURAL_HINT}\n")


def _has_neural() -> bool:
    return find_spec("constriction") is not None


COMMANDS = (Command("demo", (DemoOptions,), run_demo),)
