"""Seconds of `wsicomp.open_slide` on conversions, as ratios to OpenSlide on their sources, in one process."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import openslide
from openslide.deepzoom import DeepZoomGenerator
from usage import parser_of

import wsicomp
from wsicomp import ConversionConfig

CONVERSIONS = {
    "jpegxl lossless": {"codec": "jpegxl", "lossless": True},
    "jpeg lossless": {"codec": "jpeg", "lossless": True},
    "copy": {"codec": "copy"},
    "jpeg q90": {"codec": "jpeg"},
}
SIDE = 512
REGIONS = 60
ROUNDS = 5

Opener: TypeAlias = Callable[[Path], openslide.AbstractSlide]


def places(size: tuple[int, int], count: int) -> list[tuple[int, int]]:
    rng = np.random.default_rng(5)
    return [tuple(int(rng.integers(max(1, side - SIDE))) for side in size) for _ in range(count)]


def cold(path: Path, opened: Opener) -> float:
    """Opened anew: each region for the first time."""
    with opened(path) as slide:
        found = places(slide.dimensions, REGIONS)
        start = time.perf_counter()
        for place in found:
            slide.read_region(place, 0, (SIDE, SIDE))
        return (time.perf_counter() - start) / len(found)


def warm(path: Path, opened: Opener) -> float:
    """A few regions, over and over: their tiles are in the cache."""
    with opened(path) as slide:
        found = places(slide.dimensions, 5)
        for place in found:
            slide.read_region(place, 0, (SIDE, SIDE))
        start = time.perf_counter()
        for place in found * 10:
            slide.read_region(place, 0, (SIDE, SIDE))
        return (time.perf_counter() - start) / (10 * len(found))


def deepzoom(path: Path, opened: Opener) -> float:
    """A walk over the tiles of the four largest levels that DeepZoom has."""
    with opened(path) as slide:
        zoom = DeepZoomGenerator(slide, 254, 1)
        count, start = 0, time.perf_counter()
        for level in range(zoom.level_count - 1, max(-1, zoom.level_count - 5), -1):
            columns, rows = zoom.level_tiles[level]
            for row in range(min(rows, 8)):
                for column in range(min(columns, 8)):
                    zoom.get_tile(level, (column, row))
                    count += 1
        return (time.perf_counter() - start) / count


def opening(path: Path, opened: Opener) -> float:
    start = time.perf_counter()
    opened(path).close()
    return time.perf_counter() - start


def main() -> None:
    parser = parser_of(__doc__)
    default = Path(os.environ.get("WSICOMP_SLIDES", "../shared/data/slides"))
    parser.add_argument("folder", type=Path, nargs="?", default=default, help="of TIFF slides")
    options = parser.parse_args()
    head = ["slide", "file", "open, ms", "cold region", "warm region", "DeepZoom tile"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for source in sorted(options.folder.iterdir()):
        if source.suffix not in (".svs", ".tif", ".tiff"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            compare(source, Path(folder))


def compare(source: Path, folder: Path) -> None:
    files = {"source, by OpenSlide": (source, openslide.OpenSlide)}
    for name, way in CONVERSIONS.items():
        target = folder / f"{name}.tiff"
        wsicomp.convert_slide(source, target, ConversionConfig.of(**way, glass="keep"))
        files[name] = (target, wsicomp.open_slide)
    tasks = (opening, cold, warm, deepzoom)
    times = {name: [[] for _ in tasks] for name in files}
    for _ in range(ROUNDS):
        for name, (path, opened) in files.items():
            for number, task in enumerate(tasks):
                times[name][number].append(task(path, opened))
    reference = None
    for name, measured in times.items():
        middle = [statistics.median(values) * 1000 for values in measured]
        reference = reference or middle
        cells = [
            f"{value:.2f} ms ({value / first:.2f}x)" for value, first in zip(middle, reference, strict=True)
        ]
        print(f"| {source.name} | {name} | {middle[0]:.1f} | {' | '.join(cells[1:])} |", flush=True)


if __name__ == "__main__":
    main()
