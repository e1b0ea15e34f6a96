"""Markdown tables over a folder of slides: what each road makes of their tiles, and what glass costs.

With --neural another one: neural tiles beside JPEG and JPEG XL from pixels, glass kept, white and empty, each
as what it saves of the slide written anew as JPEG of quality 90 with its glass.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import tifffile

from wsicomp import ConfigError, ConversionConfig, ConversionReport, convert_slide
from wsicomp.figures import as_bytes, as_percent

ROADS = {
    "copy": {"codec": "copy"},
    "jpeg lossless": {"codec": "jpeg", "lossless": True},
    "jpegxl lossless": {"codec": "jpegxl", "lossless": True},
    "jpegxl lossless restorable": {"codec": "jpegxl", "lossless": True, "restorable": True},
    "jpegxl d1.0 e7": {"codec": "jpegxl", "distance": 1.0, "effort": 7},
    "jpeg q90": {"codec": "jpeg", "quality": 90},
}
WAYS = [(codec, glass) for codec in ("copy", "jpeg") for glass in ("keep", "white", "empty")]
NEURAL = {
    "jpeg q90": {"codec": "jpeg", "quality": 90},
    "jpegxl d1.0": {"codec": "jpegxl", "distance": 1.0, "effort": 7},
    "neural": {"codec": "bmshj2018-factorized"},
}
KINDS = {".svs", ".tif", ".tiff", ".dcm", ".ndpi", ".mrxs", ".scn", ".bif"}


def tile_bytes(path: Path) -> int:
    with tifffile.TiffFile(path) as tiff:
        return sum(sum(page.databytecounts) for page in tiff.pages if page.is_tiled)


def road_cells(path: Path, folder: Path) -> list[str]:
    """The target's tiles and its file, as parts of the source's, with the seconds of the conversion."""
    try:
        before = tile_bytes(path)
    except tifffile.TiffFileError:
        before = 0
    cells, seconds = [], {}
    for name, options in ROADS.items():
        target = folder / "target.tiff"
        try:
            report = convert_slide(path, target, ConversionConfig(**options, glass="keep", overwrite=True))
        except ConfigError:
            cells.append("-")
            continue
        seconds[name] = sum(report.elapsed_s.values())
        tiles = f"{tile_bytes(target) / before:.3f}, " if before else ""
        cells.append(f"{tiles}{1 - report.saved:.3f}, {seconds[name]:.2f} s")
    return [*cells, ratio(seconds)]


def ratio(seconds: dict[str, float]) -> str:
    if "jpegxl lossless" not in seconds:
        return "-"
    return f"{seconds['jpegxl d1.0 e7'] / seconds['jpegxl lossless']:.1f}x"


def glass_cells(path: Path, folder: Path) -> list[str]:
    reports: list[ConversionReport | None] = []
    for codec, glass in WAYS:
        try:
            config = ConversionConfig(codec=codec, glass=glass)
            reports.append(convert_slide(path, folder / f"{codec}-{glass}.tiff", config))
        except ConfigError:
            reports.append(None)
    sizes = [f"{as_bytes(r.target_bytes)} ({as_percent(r.saved)})" if r else "-" for r in reports]
    return [*sizes, str(max(report.rescued_tiles for report in reports if report))]


def neural_cells(path: Path, folder: Path) -> list[str]:
    """What each codec saves with each way with glass, and how the neural tiles of the first one fared."""
    base, cells, fared = 0, [], ""
    for name, options in NEURAL.items():
        for glass in ("keep", "white", "empty"):
            config = ConversionConfig(**options, glass=glass, format="tiff", overwrite=True)
            report = convert_slide(path, folder / "target.tiff", config)
            base = base or report.target_bytes
            seconds = sum(report.elapsed_s.values())
            cells.append(f"{as_percent(1 - report.target_bytes / base)}, {seconds:.0f} s")
            fared = fared or (guard_cell(report) if name == "neural" else "")
    return [as_bytes(base), *cells[1:], fared]


def guard_cell(report: ConversionReport) -> str:
    levels = [level.guarded for level in report.levels if level.guarded]
    tiles = sum(level.tiles for level in levels)
    mean = sum(level.mean_ssim * level.tiles for level in levels) / tiles
    least = min(level.least_ssim for level in levels)
    others = {
        "finer": sum(level.refined for level in levels),
        "sparse": sum(level.sparse for level in levels),
        "fell back": sum(level.fell_back for level in levels),
    }
    shares = ", ".join(f"{count / tiles:.1%} {name}" for name, count in others.items())
    return f"{tiles} tiles, {shares}; SSIM {mean:.4f}, at least {least:.4f}"


def print_table(head: list[str], slides: list[Path], cells: Callable[[Path, Path], list[str]]) -> None:
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for path in slides:
        with tempfile.TemporaryDirectory() as folder:
            row = [path.name, as_bytes(path.stat().st_size), *cells(path, Path(folder))]
        print(f"| {' | '.join(row)} |", flush=True)
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path(os.environ.get("WSICOMP_SLIDES", "../shared/data/slides")),
    )
    parser.add_argument("--neural", action="store_true", help="the table of neural tiles alone")
    options = parser.parse_args()
    slides = [path for path in sorted(options.folder.iterdir()) if path.suffix in KINDS]
    if options.neural:
        ways = [f"{name} {glass}" for name in NEURAL for glass in ("keep", "white", "empty")]
        head = ["slide", "source", "jpeg q90 keep", *ways[1:], "neural tiles, glass kept"]
        print_table(head, slides, neural_cells)
        return
    print("Glass kept: tile bytes and file, as parts of the source's, and seconds.\n")
    print_table(["slide", "source", *ROADS, "effort 7 / lossless"], slides, road_cells)
    print("Glass taken out: file, and what is saved of the source's.\n")
    ways = [" ".join(way) for way in WAYS]
    print_table(["slide", "source", *ways, "rescued tiles"], slides, glass_cells)


if __name__ == "__main__":
    main()
