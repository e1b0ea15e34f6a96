"""Large slides beside one of 16384 px: seconds and CPU seconds a gigapixel, and peak memory.

A giant shows the drawn slide of 16384 px side by side, whose tiles are stored again for each place. Each row
is a whole process. Giants are deleted when they are measured; the one of 98304 px takes a gigabyte, and so do
its targets.
"""

from collections.abc import Mapping
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
HEAD = ["", "px a side", "wall s", "CPU s", "wall s a gigapixel", "CPU s a gigapixel", "peak MB"]
HEAD += [f"{what} / smallest slide's" for what in ("wall s a gigapixel", "CPU s a gigapixel", "peak MB")]


def measured(source: Path, rounds: int) -> dict[str, Run]:
    """Return a run of each conversion of a slide."""
    found = {}
    for name, words in WAYS.items():
        target = FOLDER / ("giant.tiff" if "jpegxl" in words else "giant.svs")
        found[name] = fastest([run(conversion(source, target, *words)) for _ in range(rounds)])
        target.unlink()
        print(f"{source.name}: {name}: {found[name].wall_s:.1f} s", flush=True)
    return found


def table(runs: Mapping[int, Mapping[str, Run]]) -> str:
    """Return the rows of each conversion, from the smallest slide to the largest."""
    rows, first = [], min(runs)
    for name in WAYS:
        for side, found in sorted(runs.items()):
            here, small = found[name], runs[first][name]
            wall, cpu = here.wall_s / gigapixels(side), here.cpu_s / gigapixels(side)
            times = [
                wall / small.wall_s * gigapixels(first),
                cpu / small.cpu_s * gigapixels(first),
                here.peak_mb / small.peak_mb,
            ]
            figures = [
                f"{here.wall_s:.1f}",
                f"{here.cpu_s:.1f}",
                f"{wall:.1f}",
                f"{cpu:.1f}",
                f"{here.peak_mb:.0f}",
            ]
            rows.append([name, str(side), *figures, *(f"{value:.2f}x" for value in times)])
    return markdown_table(HEAD, rows)


def found_ratios(runs: Mapping[int, Mapping[str, Run]]) -> dict[str, float]:
    """Return what `--check` holds: gigapixels a second, and memory, beside the smallest slide."""
    first, found = min(runs), {}
    for side in sorted(runs)[1:]:
        more = gigapixels(side) / gigapixels(first)
        for name in WAYS:
            here, small = runs[side][name], runs[first][name]
            found[f"{side} px: {name}: gigapixels a second"] = more * small.wall_s / here.wall_s
            found[f"{side} px: {name}: gigapixels a CPU second"] = more * small.cpu_s / here.cpu_s
            found[f"{side} px: {name}: smallness of memory"] = small.peak_mb / here.peak_mb
    return found


def gigapixels(side: int) -> float:
    """Return the pixels of level 0 in thousands of millions."""
    return side * side / 1e9


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--block", type=int, default=16384, help="px of the drawn slide that is repeated")
    parser.add_argument("--times", type=int, nargs="+", default=[3, 6], help="how often it stands in a row")
    parser.add_argument(
        "--rounds", type=int, default=2, help="runs of the smallest slide; the fastest counts"
    )
    parser.add_argument("--keep", action="store_true", help="keep the giants")
    results_page.add_options(parser)
    ratios.add_options(parser)
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    block = large_slides.drawn(FOLDER, options.block)
    runs = {options.block: measured(block, options.rounds)}
    for times in options.times:
        giant = large_slides.giant(FOLDER, block, times)
        runs[options.block * times] = measured(giant, 1)
        if not options.keep:
            giant.unlink()
    results_page.publish(options, "giants", f"{results_page.machine()}\n\n{table(runs)}")
    ratios.finish(options, "giants", found_ratios(runs))


if __name__ == "__main__":
    main()
