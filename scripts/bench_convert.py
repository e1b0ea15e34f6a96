"""Conversions beside libvips on the same slides: a drawn one, and a mosaic of real tissue, of 16384 px each.

Each row is a whole process. All take turns; the fastest run of each counts, with its largest peak of memory.
The slides are made once, into .bench/. The vips program reads an SVS through OpenSlide, where it is installed
(Debian's libvips-tools); libvips as PyPI packs it reads the same file through libtiff.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import large_slides
import ratios
import results_page
from processes import Command, Run, alternating, conversion
from stage_floors import floors
from usage import parser_of

from wsicomp.comparison.tables import markdown_table

FOLDER = Path(".bench")
PYPI, SYSTEM = "libvips from PyPI, read by libtiff", "vips tiffsave, read by OpenSlide"
COPY, JPEG = "copy, glass out", "jpeg q90, glass kept"
WAYS = {
    COPY: ("--codec", "copy"),
    f"{COPY} by colour": ("--codec", "copy", "--segmenter", "threshold"),
    JPEG: ("--codec", "jpeg", "--glass", "keep"),
    "  not verified, as libvips": ("--codec", "jpeg", "--glass", "keep", "--no-verify"),
    "jpegxl lossless, glass out": ("--codec", "jpegxl", "--lossless"),
}
_PYVIPS = """
import sys, pyvips
image = pyvips.Image.new_from_file(sys.argv[1], access="sequential")
tiles = {"tile": True, "tile_width": 256, "tile_height": 256, "pyramid": True}
image.tiffsave(sys.argv[2], compression="jpeg", Q=90, **tiles)
"""
_VIPS = ("--compression", "jpeg", "--Q", "90", "--tile", "--tile-width", "256", "--tile-height", "256")


def commands(source: Path) -> dict[str, Command]:
    """Return the rows' commands: peers first."""
    tiff = FOLDER / "out.tiff"
    found = {PYPI: Command((sys.executable, "-c", _PYVIPS, str(source), str(tiff)), tiff)}
    if shutil.which("vips"):
        words = ("vips", "tiffsave", str(source), str(tiff), *_VIPS, "--pyramid")
        found = {SYSTEM: Command(words, tiff)} | found
    return found | {name: conversion(source, FOLDER / _target(words), *words) for name, words in WAYS.items()}


def _target(words: tuple[str, ...]) -> str:
    return "out.tiff" if "jpegxl" in words else "out.svs"


def table(runs: Mapping[str, Run]) -> str:
    """Return the table of a slide, each row beside its peers."""
    peers = [name for name in (PYPI, SYSTEM) if name in runs]
    short = {PYPI: "libvips of PyPI", SYSTEM: "vips by OpenSlide"}
    head = ["", "wall s", "CPU s", "peak MB", "MB", *(f"as fast as {short[name]}" for name in peers)]
    head += [f"CPU of {short[PYPI]} / own"]
    rows = []
    for name, one in runs.items():
        speeds = [f"{runs[peer].wall_s / one.wall_s:.2f}x" for peer in peers]
        figures = [f"{one.wall_s:.2f}", f"{one.cpu_s:.2f}", f"{one.peak_mb:.0f}", f"{one.written / 1e6:.1f}"]
        shown = name.replace("  ", "… ")
        rows.append([shown, *figures, *speeds, f"{runs[PYPI].cpu_s / one.cpu_s:.2f}x"])
    return markdown_table(head, rows)


def found_ratios(slide: str, runs: Mapping[str, Run]) -> dict[str, float]:
    """Return what `--check` holds: the speed of each of our rows beside each peer, in seconds and in CPU."""
    found = {}
    for name in WAYS:
        for peer, short in ((PYPI, "libvips of PyPI"), (SYSTEM, "vips by OpenSlide")):
            if peer in runs:
                found[f"{slide}: {name.strip()}: speed of {short}"] = runs[peer].wall_s / runs[name].wall_s
        found[f"{slide}: {name.strip()}: CPU of libvips of PyPI"] = runs[PYPI].cpu_s / runs[name].cpu_s
    return found


def programs() -> str:
    """Return the versions of libvips, in a process of its own: it keeps threads."""
    code = "import pyvips; print('.'.join(str(pyvips.version(n)) for n in range(3)))"
    found = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout
    peers = [f"libvips {found.strip()} from PyPI"]
    if shutil.which("vips"):
        told = subprocess.run(["vips", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        peers.append(f"the vips program {told.strip().removeprefix('vips-')}")
    else:
        peers.append("no vips program here, and so no row by OpenSlide")
    return f"{'; '.join(peers)}."


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--side", type=int, default=16384, help="px of the drawn slide")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the fastest counts")
    slides = Path(os.environ.get("WSICOMP_SLIDES", "../shared/data/slides"))
    parser.add_argument("--slides", type=Path, default=slides, help="folder of real slides, for the mosaic")
    results_page.add_options(parser)
    ratios.add_options(parser)
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    sources = {"drawn": large_slides.drawn(FOLDER, options.side)}
    if real := large_slides.mosaic(FOLDER, options.slides):
        sources["mosaic"] = real
    parts, found = [f"{results_page.machine()} {programs()}"], {}
    for name, source in sources.items():
        runs = alternating(commands(source), options.rounds)
        parts.append(f"The {name} slide, {source.stat().st_size / 1e6:.1f} MB:\n\n{table(runs)}")
        for way in (COPY, JPEG):
            stages = floors(source, FOLDER, runs[way], WAYS[way])
            parts += [f"Stages of “{way}” on it:", stages]
        found |= found_ratios(name, runs)
    results_page.publish(options, "convert", "\n\n".join(parts))
    ratios.finish(options, "convert", found)


if __name__ == "__main__":
    main()
