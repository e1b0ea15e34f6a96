"""Pixels of regions as programs show them, of a slide and of its conversion."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import openslide
import pyvips
import tifffile
from numpy.typing import NDArray
from region_drawings import Drawing

sys.path.insert(0, str(Path(__file__).parent.parent))

import wsicomp
from tests.programs import Program, answers, ask, installed

SPOTS, SPOT_PX = 24, 48
"""Squares of a level that a program is asked for, and their side."""
Rgb = NDArray[np.uint8]
LevelReader = Callable[[Path, int], Rgb]
pyvips.cache_set_max(0)  # it would show a file's pixels after another has taken its name
_ASKED_WHOLE = {"OpenSlide 4.0.1 and later", "tifffile", "libvips"}


def by_openslide(opened: Callable[[Path], openslide.AbstractSlide]) -> LevelReader:
    def level_of(path: Path, level: int) -> Rgb:
        with opened(path) as slide:
            size = slide.level_dimensions[level]
            return np.asarray(slide.read_region((0, 0), level, size))[..., :3]

    return level_of


def by_tifffile(path: Path, level: int) -> Rgb:
    with tifffile.TiffFile(path) as tiff:
        return np.asarray(tiff.series[0].levels[level].asarray())


def by_libvips(path: Path, level: int) -> Rgb:
    with openslide.OpenSlide(path) as slide:
        size = slide.level_dimensions[level]
    count = pyvips.Image.tiffload(str(path)).get("n-pages")
    pages = (pyvips.Image.tiffload(str(path), page=page) for page in range(count))
    return np.asarray(next(each for each in pages if (each.width, each.height) == size).numpy()[..., :3])


WHOLE: Mapping[str, LevelReader] = {
    "OpenSlide": by_openslide(openslide.OpenSlide),
    "wsicomp": by_openslide(wsicomp.open_slide),
    "tifffile": by_tifffile,
    "libvips": by_libvips,
}


def changed(source: Path, made: Mapping[Path, Drawing]) -> list[list[str]]:
    """Return for each conversion and program how many pixels of the region differ, over all levels."""
    return [
        list(cells) for cells in zip(*(_changed(read, source, made) for read in WHOLE.values()), strict=True)
    ]


def _changed(read: LevelReader, source: Path, made: Mapping[Path, Drawing]) -> list[str]:
    with openslide.OpenSlide(source) as slide:
        sizes = slide.level_dimensions
    found = np.zeros(len(made), int)
    for level, size in enumerate(sizes):
        try:
            before = read(source, level)
        except (pyvips.Error, ValueError):
            return ["cannot read the source"] * len(made)
        for number, (target, drawing) in enumerate(made.items()):
            differs = (before != read(target, level)).any(axis=-1)
            found[number] += np.count_nonzero(differs & drawing.on(size))
    return [str(count) for count in found]


def spots_in(drawing: Drawing, sizes: Sequence[tuple[int, int]]) -> Iterator[tuple[int, ...]]:
    """Yield squares inside of regions: width and height of the level, and x, y, width and height there."""
    rng = np.random.default_rng(SPOTS)
    for size in sizes:
        inside = np.pad(drawing.on(size).astype(np.uint8), 1)
        core = cv2.erode(inside, np.ones((SPOT_PX + 1, SPOT_PX + 1), np.uint8), borderValue=0)[1:-1, 1:-1]
        found = np.argwhere(core)
        for row, column in found[rng.integers(0, len(found), SPOTS)] if len(found) else ():
            yield *size, int(column) - SPOT_PX // 2, int(row) - SPOT_PX // 2, SPOT_PX, SPOT_PX


def others() -> list[Program]:
    """Return the installed programs that are not asked for whole levels."""
    return [each for each in installed() if each.reader not in _ASKED_WHOLE]


def seen_by(program: Program, source: Path, target: Path, drawing: Drawing) -> tuple[str, str, str]:
    """Return how a program opens both files, and how many squares inside of regions differ."""
    opens = ["no" if isinstance(each, str) else each.opens for each in ask(program, [source, target])]
    with openslide.OpenSlide(source) as slide:
        spots = list(spots_in(drawing, slide.level_dimensions))
    before, after = answers(program, [[str(path), spots] for path in (source, target)])
    pairs = [
        (one["pixels"], two.get("pixels"))
        for one, two in zip(before.get("regions", []), after.get("regions", []), strict=True)
        if "pixels" in one
    ]
    return opens[0], opens[1], f"{sum(one != two for one, two in pairs)} of {len(pairs)}"
