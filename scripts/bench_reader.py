"""Our reader on conversions, and OpenSlide and fastslide on their sources: milliseconds for a region.

All run in one process. A cell has milliseconds of the clock and, in brackets, of the processor: medians of
several rounds, in which all take turns. fastslide joins where `scripts/readers` has put it and this Python
loads it.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import openslide
import ratios
import results_page
from openslide.deepzoom import DeepZoomGenerator
from PIL import Image
from usage import parser_of

import wsicomp
from wsicomp import ConversionConfig

CONVERSIONS = {
    "copy": {"codec": "copy"},
    "jpeg lossless": {"codec": "jpeg", "lossless": True},
    "jpegxl lossless": {"codec": "jpegxl", "lossless": True},
    "jpeg q90": {"codec": "jpeg"},
}
SIDE = 512
REGIONS, THREADS = 160, 8
CACHE_BYTES = 64 << 20
READERS = Path(os.environ.get("WSICOMP_READERS", Path(__file__).parent.parent / ".venv/readers"))


@dataclass(frozen=True)
class Program:
    """How a program opens a slide, and reads a region of it as a picture and as an array."""

    name: str
    opened: Callable[[Path], Any]
    array: Callable[[Any, tuple[int, int]], Any]
    picture: Callable[[Any, tuple[int, int]], Any] = lambda slide, place: slide.read_region(
        place, 0, (SIDE, SIDE)
    )


class FastSlide:
    """fastslide behind as much of OpenSlide's interface as DeepZoom asks for."""

    def __init__(self, module: ModuleType, path: Path) -> None:
        self.slide = module.FastSlide.from_file_path(path, cache=CACHE_BYTES)
        self.level_dimensions = tuple(self.slide.level_dimensions)
        self.level_count, self.dimensions = len(self.level_dimensions), self.slide.dimensions
        # As OpenSlide has them, so that DeepZoom takes the same level.
        steps = np.array(self.dimensions) / np.array(self.level_dimensions)
        self.level_downsamples = tuple(steps.mean(axis=1).tolist())
        self.properties: dict[str, str] = {}

    def get_best_level_for_downsample(self, downsample: float) -> int:
        return max(sum(step <= downsample for step in self.level_downsamples) - 1, 0)

    def array(self, place: tuple[int, int], level: int, size: tuple[int, int]) -> Any:
        step = self.level_downsamples[level]
        return self.slide.read_region((int(place[0] / step), int(place[1] / step)), level, size).numpy()

    def read_region(self, place: tuple[int, int], level: int, size: tuple[int, int]) -> Image.Image:
        return Image.fromarray(self.array(place, level, size)).convert("RGBA")

    def close(self) -> None:
        del self.slide


def opened_by_openslide(path: Path) -> openslide.OpenSlide:
    slide = openslide.OpenSlide(path)
    slide.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
    return slide


def peers() -> Iterator[Program]:
    yield Program(
        "OpenSlide",
        opened_by_openslide,
        lambda slide, place: np.asarray(slide.read_region(place, 0, (SIDE, SIDE)))[..., :3],
    )
    sys.path += map(str, READERS.glob("fastslide/lib/python*/site-packages"))
    try:
        module = import_module("fastslide")
    except ImportError as exc:
        print(f"without fastslide ({exc}): scripts/readers installs it", file=sys.stderr)
        return
    yield Program(
        f"fastslide {module.__version__}",
        lambda path: FastSlide(module, path),
        lambda slide, place: slide.array(place, 0, (SIDE, SIDE)),
    )


OURS = Program(
    "ours",
    wsicomp.open_slide,
    lambda slide, place: slide.read_region(place, 0, (SIDE, SIDE), as_array=True),
)


def places(size: tuple[int, int], count: int) -> list[tuple[int, int]]:
    rng = np.random.default_rng(5)
    return [tuple(int(rng.integers(max(1, side - SIDE))) for side in size) for _ in range(count)]


Task = Callable[[Program, Any], int]
"""Reads regions or tiles of an open slide; returns how many."""


def pictures(program: Program, slide: Any) -> int:
    found = places(slide.dimensions, REGIONS)
    for place in found:
        program.picture(slide, place)
    return len(found)


def arrays(program: Program, slide: Any) -> int:
    found = places(slide.dimensions, REGIONS)
    for place in found:
        program.array(slide, place)
    return len(found)


def in_threads(program: Program, slide: Any) -> int:
    found = places(slide.dimensions, REGIONS)
    with ThreadPoolExecutor(THREADS) as executor:
        list(executor.map(lambda place: program.picture(slide, place) and None, found))
    return len(found)


def kept(program: Program, slide: Any) -> int:
    """A few regions, over and over: their tiles are in the cache, but for the first time."""
    found = places(slide.dimensions, 4)
    for place in found * 40:
        program.picture(slide, place)
    return 40 * len(found)


def deepzoom(_: Program, slide: Any) -> int:
    """A walk over the tiles of the four largest levels that DeepZoom has."""
    zoom = DeepZoomGenerator(slide, 254, 1)
    count = 0
    for level in range(zoom.level_count - 1, max(-1, zoom.level_count - 5), -1):
        columns, rows = zoom.level_tiles[level]
        for row in range(min(rows, 8)):
            for column in range(min(columns, 8)):
                zoom.get_tile(level, (column, row))
                count += 1
    return count


TASKS: Mapping[str, Task] = {
    "picture": pictures,
    "array": arrays,
    f"picture, {THREADS} threads": in_threads,
    "picture, tiles kept": kept,
    "DeepZoom tile": deepzoom,
}
OPEN = "open"
COLUMNS = (*TASKS, OPEN)
Times = dict[str, list[tuple[float, float]]]


def measured(work: Callable[[], int]) -> tuple[float, float]:
    """Milliseconds of the clock and of the processor for one region or tile."""
    start, start_cpu = time.perf_counter(), time.process_time()
    count = work()
    wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    return wall / count * 1000, cpu / count * 1000


def opening(program: Program, path: Path) -> int:
    program.opened(path).close()
    return 1


def compared(source: Path, folder: Path, programs: list[Program], rounds: int) -> dict[str, Times]:
    """The times of each row, a program on the source or ours on a conversion, by task."""
    rows = {f"source, by {program.name}": (program, source) for program in programs}
    for name, way in CONVERSIONS.items():
        target = folder / f"{name}{'.tiff' if way['codec'] == 'jpegxl' else source.suffix}"
        try:
            wsicomp.convert_slide(source, target, ConversionConfig.of(**way, glass="keep"))
        except wsicomp.ConfigError as exc:
            print(f"without {name}: {exc}", file=sys.stderr)
            continue
        rows[name] = (OURS, target)
    times: dict[str, Times] = {row: {task: [] for task in COLUMNS} for row in rows}
    for _ in range(rounds):
        for task, work in TASKS.items():
            for row, (program, path) in rows.items():
                slide = program.opened(path)
                times[row][task].append(measured(partial(work, program, slide)))
                slide.close()
        for row, (program, path) in rows.items():
            times[row][OPEN].append(measured(partial(opening, program, path)))
    return times


def middle(values: list[tuple[float, float]]) -> tuple[float, float]:
    walls, cpus = zip(*values, strict=True)
    return statistics.median(walls), statistics.median(cpus)


def table(name: str, times: dict[str, Times]) -> str:
    lines = [f"| {name} | {' | '.join(COLUMNS)} |", f"|---|{'--:|' * len(COLUMNS)}"]
    for row, found in times.items():
        cells = ["{:.2f} ({:.2f})".format(*middle(values)) for values in found.values()]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def found_ratios(name: str, times: dict[str, Times]) -> dict[str, float]:
    """How many times as fast as each peer our reader is, by the clock."""
    rows = [row for row in times if row in ("copy", "jpegxl lossless")]
    theirs = [row for row in times if row.startswith("source, by ")]
    return {
        f"{name}: {row}, {task} beside {peer.removeprefix('source, by ').split()[0]}": (
            middle(times[peer][task])[0] / middle(times[row][task])[0]
        )
        for row in rows
        for peer in theirs
        for task in TASKS
    }


def main() -> None:
    parser = parser_of(__doc__)
    default = Path(os.environ.get("WSICOMP_SLIDES", "../shared/data/slides"))
    parser.add_argument("folder", type=Path, nargs="?", default=default, help="of TIFF slides")
    parser.add_argument("--slides", nargs="+", metavar="NAME", help="these slides of the folder alone")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of everything")
    results_page.add_options(parser)
    ratios.add_options(parser)
    options = parser.parse_args()
    programs = list(peers())
    parts, found = [results_page.machine("openslide-python", "pillow")], {}
    for source in sorted(options.folder.iterdir()):
        if source.suffix not in (".svs", ".tif", ".tiff"):
            continue
        if options.slides and source.name not in options.slides:
            continue
        with tempfile.TemporaryDirectory() as folder:
            times = compared(source, Path(folder), programs, options.rounds)
        parts.append(table(source.name, times))
        found |= found_ratios(source.name, times)
        print(parts[-1], file=sys.stderr, flush=True)
    results_page.publish(options, "reader", "\n\n".join(parts))
    ratios.finish(options, "reader", found)


if __name__ == "__main__":
    main()
