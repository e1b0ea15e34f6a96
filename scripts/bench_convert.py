"""Speed and peak memory of conversions, beside libvips on the same file.

Each is a whole process, and the fastest of several runs counts. Slides are drawn once, into .bench/.
"""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from usage import parser_of

from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticSlide, write_slide

FOLDER = Path(".bench")
WSICOMP = [sys.executable, "-m", "wsicomp", "convert"]
VIPS = """
import sys, pyvips
image = pyvips.Image.new_from_file(sys.argv[1], access="sequential")
tiles = {"tile": True, "tile_width": 256, "tile_height": 256, "pyramid": True}
image.tiffsave(sys.argv[2], compression="jpeg", Q=90, **tiles)
"""


@dataclass(frozen=True)
class Run:
    """A measured process: wall seconds, CPU seconds, peak memory in MB, bytes written."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    written: int


def measure(command: list[str], target: Path) -> Run:
    target.unlink(missing_ok=True)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        sys.exit(f"bench: {' '.join(command)} failed with status {status}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, target.stat().st_size)


def best(command: list[str], target: Path, rounds: int) -> Run:
    return min((measure(command, target) for _ in range(rounds)), key=lambda run: run.wall_s)


def draw(side: int) -> Path:
    path = FOLDER / f"slide-{side}.svs"
    if not path.exists():
        print(f"drawing {path}")
        partial = path.with_suffix(".drawing")
        # In a process of its own: a command forked from this one counts this one's memory to its peak.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            pool.submit(write_slide, partial, SyntheticSlide(Size(side, side), seed=7)).result()
        partial.rename(path)
    return path


def ways(source: Path) -> dict[str, tuple[list[str], Path]]:
    target, tiff = FOLDER / "out.svs", FOLDER / "out.tiff"
    convert = [*WSICOMP, str(source), str(target), "--overwrite"]
    keep = [*convert, "--codec", "jpeg", "--glass", "keep"]
    commands = {
        "libvips from PyPI, read by libtiff": ([sys.executable, "-c", VIPS, str(source), str(tiff)], tiff),
        "jpeg q90, glass keep": (keep, target),
        "  not verified, as libvips": ([*keep, "--no-verify"], target),
        "jpeg q90, glass blank": ([*convert, "--codec", "jpeg"], target),
        "copy, glass blank": ([*convert, "--codec", "copy"], target),
        "  not verified": ([*convert, "--codec", "copy", "--no-verify"], target),
    }
    if not shutil.which("vips"):
        return commands
    options = ["--compression", "jpeg", "--Q", "90", "--tile", "--tile-width", "256", "--tile-height", "256"]
    program = ["vips", "tiffsave", str(source), str(tiff), *options, "--pyramid"]
    return {"vips tiffsave, read by OpenSlide": (program, tiff)} | commands


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--side", type=int, default=16384, help="px of the slide that is timed")
    parser.add_argument("--large", type=int, default=49152, help="px of the slide for memory; 0 for none")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the fastest counts")
    parser.add_argument(
        "--system-vips", action="store_true", help="the vips program instead of PyPI's libvips"
    )
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    source = draw(options.side)
    print(f"{source}: {options.side} x {options.side} px, {source.stat().st_size / 1e6:.1f} MB")
    print(f"{'':38}{'wall s':>8}{'CPU s':>8}{'speed':>8}{'peak MB':>9}{'MB':>8}")
    reference = 0.0
    for name, (command, target) in ways(source).items():
        run = best(command, target, options.rounds)
        reference = reference or run.wall_s
        speed = reference / run.wall_s
        figures = f"{run.wall_s:8.2f}{run.cpu_s:8.2f}{speed:7.1f}x{run.peak_mb:9.0f}{run.written / 1e6:8.1f}"
        print(f"{name:38}{figures}", flush=True)
    if options.large:
        compare_memory(source, draw(options.large))


def compare_memory(small: Path, large: Path) -> None:
    print(f"\n{'peak memory, MB':38}{small.stem:>14}{large.stem:>14}{'ratio':>8}")
    for name in ("jpeg q90, glass keep", "jpeg q90, glass blank", "copy, glass blank"):
        first, second = (measure(*ways(path)[name]).peak_mb for path in (small, large))
        print(f"{name:38}{first:14.0f}{second:14.0f}{second / first:7.2f}x", flush=True)


if __name__ == "__main__":
    main()
