"""Large slides beside one of 16384 px: seconds and CPU seconds a gigapixel, and peak memory.

A giant shows the drawn slide of 16384 px side by side, whose tiles are stored again for each place. Each row
is a whole process. Slides are named as PLACES@MPP: how often the drawn one stands in a row, and the um per px
that the file states. Each is held against the smallest of its scale. Giants are deleted when they are
measured; the one of 98304 px takes a gigabyte, and so do its targets.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import large_slides
import ratios
import results_page
from processes import Run, conversion, fastest, run
from usage import parser_of

from wsicomp.comparison.tables import markdown_table

FOLDER = Path(".bench")
WAYS = {
    "copy, glass out": ("--codec", "copy"),
    "jpeg q90, glass kept": ("--codec", "jpeg", "--glass", "keep"),
    "jpegxl lossless, glass out": ("--codec", "jpegxl", "--lossless"),
}
HEAD = ["", "px a side", "um per px", "wall s", "CPU s", "wall s a gigapixel", "CPU s a gigapixel", "peak MB"]
HEAD += [f"{what} / smallest slide's" for what in ("wall s a gigapixel", "CPU s a gigapixel", "peak MB")]


@dataclass(frozen=True)
class Giant:
    """A slide of this benchmark."""

    mpp: float
    side: int

    def __lt__(self, other: "Giant") -> bool:
        return (-self.mpp, self.side) < (-other.mpp, other.side)

    @property
    def gigapixels(self) -> float:
        """The pixels of level 0 in thousands of millions."""
        return self.side * self.side / 1e9

    def __str__(self) -> str:
        return f"{self.side} px at {self.mpp:g} um"


Runs = Mapping[Giant, Mapping[str, Run]]


def measured(source: Path, rounds: int, codecs: Sequence[str]) -> dict[str, Run]:
    """Return a run of a slide's conversion by each of the codecs."""
    found = {}
    for name, words in ((name, words) for name, words in WAYS.items() if words[1] in codecs):
        target = FOLDER / ("giant.tiff" if "jpegxl" in words else "giant.svs")
        found[name] = fastest([run(conversion(source, target, *words)) for _ in range(rounds)])
        target.unlink()
        took = found[name]
        said = f"{took.wall_s:.1f} s, CPU {took.cpu_s:.1f} s, {took.peak_mb:.0f} MB"
        print(f"{source.name}: {name}: {said}", flush=True)
    return found


def smallest(runs: Runs, giant: Giant) -> Giant:
    """Return the smallest slide of a giant's scale."""
    return min(other for other in runs if other.mpp == giant.mpp)


def gains(runs: Runs, giant: Giant, name: str) -> tuple[float, float, float]:
    """Return wall seconds and CPU seconds a gigapixel, and peak memory, in parts of the smallest slide's."""
    first = smallest(runs, giant)
    here, small, more = runs[giant][name], runs[first][name], giant.gigapixels / first.gigapixels
    return here.wall_s / small.wall_s / more, here.cpu_s / small.cpu_s / more, here.peak_mb / small.peak_mb


def table(runs: Runs) -> str:
    """Return the rows of each conversion, from the smallest slide to the largest."""
    rows = []
    for name in next(iter(runs.values())):
        for giant, found in sorted(runs.items()):
            here = found[name]
            each = (f"{seconds / giant.gigapixels:.1f}" for seconds in (here.wall_s, here.cpu_s))
            figures = [f"{here.wall_s:.1f}", f"{here.cpu_s:.1f}", *each, f"{here.peak_mb:.0f}"]
            parts = (f"{part:.2f}x" for part in gains(runs, giant, name))
            rows.append([name, str(giant.side), f"{giant.mpp:g}", *figures, *parts])
    return markdown_table(HEAD, rows)


def found_ratios(runs: Runs) -> dict[str, float]:
    """Return what `--check` holds: gigapixels a second, and memory, beside the smallest slide."""
    found = {}
    for giant in (one for one in sorted(runs) if one != smallest(runs, one)):
        for name in runs[giant]:
            wall, cpu, peak = gains(runs, giant, name)
            found[f"{giant}: {name}: gigapixels a second"] = 1 / wall
            found[f"{giant}: {name}: gigapixels a CPU second"] = 1 / cpu
            found[f"{giant}: {name}: smallness of memory"] = 1 / peak
    return found


def _places(text: str) -> tuple[int, float]:
    if not (found := re.fullmatch(r"([1-9]\d?)@(0?\.\d+|1)", text)):
        sys.exit(f"bench giants: slide {text!r}, expected PLACES@MPP, as 3@0.5")
    return int(found[1]), float(found[2])


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--block", type=int, default=16384, help="px of the drawn slide that is repeated")
    default = ["1@0.5", "3@0.5", "1@0.25", "6@0.25"]
    parser.add_argument("--slides", nargs="+", default=default, metavar="PLACES@MPP", help="slides")
    parser.add_argument(
        "--rounds", type=int, default=2, help="runs of the smallest slides; the fastest counts"
    )
    codecs = [words[1] for words in WAYS.values()]
    parser.add_argument("--codecs", nargs="+", choices=codecs, default=codecs, help="which conversions")
    parser.add_argument("--keep", action="store_true", help="keep the giants")
    results_page.add_options(parser)
    ratios.add_options(parser)
    options = parser.parse_args()
    slides = [_places(text) for text in options.slides]
    FOLDER.mkdir(exist_ok=True)
    runs = {}
    for times, mpp in slides:
        giant = large_slides.giant(FOLDER, options.block, times, mpp)
        rounds = options.rounds if times == 1 else 1
        runs[Giant(mpp, options.block * times)] = measured(giant, rounds, options.codecs)
        if not options.keep:
            giant.unlink()
    results_page.publish(options, "giants", f"{results_page.machine()}\n\n{table(runs)}")
    ratios.finish(options, "giants", found_ratios(runs))


if __name__ == "__main__":
    main()
