"""Reads slides through a mount of their archive beside the slides themselves: regions, DeepZoom, whole files.

Each slide is archived as restorable TIFF and as packed slide. OpenSlide reads it from the disk and through
the mount, in turn, five times: the first reads of a mount that nobody has read from yet, with no page of any
file in memory, and the same reads again by a slide that is opened anew. `cp` of the file through the mount
stands beside `wsicomp restore`. Then one mount serves slides one after another, and its server's memory is
told.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import openslide
import psutil
import ratios
import results_page
from openslide.deepzoom import DeepZoomGenerator
from processes import WSICOMP
from usage import parser_of

import wsicomp

PAGE = Path(__file__).parent.parent / "docs/results/mount.md"
SLIDES = Path(os.environ.get("WSICOMP_SLIDES", "../shared/data/slides"))
REGION_PX = 512
PASSES = 5
SUFFIXES = {"TIFF": ".tiff", "packed": ".wsipack"}


@dataclass(frozen=True)
class Reads:
    """Milliseconds of a region, and seconds of all DeepZoom tiles."""

    cold_ms: float
    warm_ms: float
    walk_s: float


@dataclass(frozen=True)
class Measured:
    """The times of one archived slide and of its original."""

    slide: Reads
    mounted: Reads
    restore_s: float
    copy_s: float


def forget_pages(*paths: Path) -> None:
    """Take the pages of files out of the system's memory."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def mounted(archive: Path, place: Path) -> Iterator[psutil.Process]:
    """Mount an archive for a block, and yield the server's process."""
    place.mkdir(exist_ok=True)
    server = subprocess.Popen(
        [*WSICOMP, "mount", str(archive), str(place), "--foreground"], stdout=subprocess.PIPE
    )
    try:
        while not os.path.ismount(place):
            if server.poll() is not None:
                sys.exit("bench: the archive cannot be mounted")
            time.sleep(0.02)
        yield psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait()


def regions(path: Path, count: int) -> list[tuple[int, int]]:
    with openslide.OpenSlide(path) as slide:
        width, height = slide.dimensions
    generator = random.Random(1)
    return [
        (generator.randrange(max(1, width - REGION_PX)), generator.randrange(max(1, height - REGION_PX)))
        for _ in range(count)
    ]


def region_ms(path: Path, places: list[tuple[int, int]]) -> float:
    """Return the mean of all regions by a slide that is opened for them."""
    start = time.perf_counter()
    with openslide.OpenSlide(path) as slide:
        for place in places:
            slide.read_region(place, 0, (REGION_PX, REGION_PX))
    return 1000 * (time.perf_counter() - start) / len(places)


def walk_s(path: Path) -> float:
    """Return the seconds of all tiles of DeepZoom."""
    start = time.perf_counter()
    with openslide.OpenSlide(path) as slide:
        tiles = DeepZoomGenerator(slide, 254, 1)
        for level, (columns, rows) in enumerate(tiles.level_tiles):
            for column in range(columns):
                for row in range(rows):
                    tiles.get_tile(level, (column, row))
    return time.perf_counter() - start


def measure(slide: Path, archive: Path, folder: Path, count: int) -> Measured:
    """Measure one archived slide, whose original has the slide's name in the mount."""
    places, place = regions(slide, count), folder / "mount"
    shown = place / slide.name
    cold, warm = [], []
    for _ in range(PASSES):
        forget_pages(slide, archive)
        with mounted(archive, place):
            cold.append((region_ms(slide, places), region_ms(shown, places)))
            warm.append((region_ms(slide, places), region_ms(shown, places)))
    cold_ms, warm_ms = middle(cold), middle(warm)
    forget_pages(slide)
    walk = walk_s(slide)
    forget_pages(archive)
    with mounted(archive, place):
        through_walk = walk_s(shown)
    forget_pages(archive)
    back = folder / f"back{slide.suffix}"
    start = time.perf_counter()
    subprocess.run([*WSICOMP, "restore", archive, back], check=True, stdout=subprocess.DEVNULL)
    restore = time.perf_counter() - start
    forget_pages(archive)
    with mounted(archive, place):
        start = time.perf_counter()
        subprocess.run(["cp", shown, folder / "copy"], check=True)
        copy = time.perf_counter() - start
        subprocess.run(["cmp", folder / "copy", slide], check=True)
    back.unlink()
    return Measured(
        Reads(cold_ms[0], warm_ms[0], walk),
        Reads(cold_ms[1], warm_ms[1], through_walk),
        restore,
        copy,
    )


def middle(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the pair whose quotient is the median one: its two times were measured one after the other."""
    return sorted(pairs, key=lambda pair: pair[1] / pair[0])[len(pairs) // 2]


def memory_mb(archive: Path, folder: Path, opened: int) -> tuple[float, float]:
    """Return the server's memory after a tenth of so many copies of a slide were read, and after all."""
    copies = folder / "copies"
    copies.mkdir()
    for number in range(opened):
        (copies / f"{number:03}").mkdir()
        os.link(archive, copies / f"{number:03}" / archive.name)
    found = []
    with mounted(copies, folder / "mount") as server:
        for number, path in enumerate(sorted((folder / "mount").glob("*/*")), 1):
            with openslide.OpenSlide(path) as slide:
                slide.get_thumbnail((256, 256))
                slide.read_region((0, 0), 0, (REGION_PX, REGION_PX))
            if number in (opened // 10, opened):
                found.append(server.memory_info().rss / 1e6)
    shutil.rmtree(copies)
    return found[0], found[1]


def table(found: Mapping[tuple[str, str], Measured]) -> str:
    lines = [
        "| Slide | archived as | a region first, ms | again, ms | DeepZoom, s | `cp` / `restore`, s |",
        "|---|---|---|---|---|---|",
    ]
    for (name, form), one in found.items():
        pairs = [
            (one.mounted.cold_ms, one.slide.cold_ms),
            (one.mounted.warm_ms, one.slide.warm_ms),
            (one.mounted.walk_s, one.slide.walk_s),
            (one.copy_s, one.restore_s),
        ]
        cells = [f"{through:.1f} / {slide:.1f} ({through / slide:.2f})" for through, slide in pairs]
        lines.append(f"| {name} | {form} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--regions", type=int, default=100, help="random regions of each slide")
    parser.add_argument("--opened", type=int, default=100, help="slides that one mount serves in a row")
    parser.add_argument(
        "slides", nargs="*", type=Path, help="the slides; by default real ones of WSICOMP_SLIDES"
    )
    results_page.add_options(parser, PAGE)
    ratios.add_options(parser)
    options = parser.parse_args()
    slides = options.slides or [SLIDES / "breast_B4.svs", SLIDES / "breast_C2.svs"]
    found: dict[tuple[str, str], Measured] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for slide in slides:
            for form, suffix in SUFFIXES.items():
                archive = folder / f"{slide.stem}{suffix}"
                wsicomp.convert(slide, archive, wsicomp.ConversionConfig.preset("archive-lossless"))
                found[slide.name, form] = measure(slide, archive, folder, options.regions)
                print(slide.name, form, found[slide.name, form], flush=True)
        early, late = memory_mb(archive, folder, options.opened)
    few, many = options.opened // 10, options.opened
    memory = f"Memory of the server after {few} slides: {early:.0f} MB; after {many}: {late:.0f} MB."
    page = f"{results_page.machine('openslide-python', 'mfusepy')}\n\n{table(found)}\n\n{memory}"
    results_page.publish(options, "mount", page, PAGE)
    gains = {
        f"{name} as {form}: {what}": slide / through
        for (name, form), one in found.items()
        for what, slide, through in (
            ("first reads", one.slide.cold_ms, one.mounted.cold_ms),
            ("reads again", one.slide.warm_ms, one.mounted.warm_ms),
            ("DeepZoom", one.slide.walk_s, one.mounted.walk_s),
            ("cp", one.restore_s, one.copy_s),
        )
    }
    ratios.finish(options, "mount", gains)


if __name__ == "__main__":
    main()
