"""Large slides to measure on, written in seconds: a drawn one, a mosaic of real tissue, a drawn one repeated.

A slide is repeated tile by tile: where a level's tiles lie on the grid of the repeated window, they are
stored again as they are, byte for byte, at a place of their own in the file. Otherwise the level, which is
small, is decoded and encoded anew.
"""

import os
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticSlide, write_slide

TILE_PX = 256
MOSAIC_WINDOW_PX = 8192
_JPEG, _YCBCR = 7, 6
_QUALITY = 80
_MPP = 0.5
"""Um per px of drawn slides, and of the mosaic: what its real slide states is nominal."""
_MPP_AT_1X = 10


@dataclass(frozen=True)
class Window:
    """A square of level 0: its corner is as far from the left as from the top."""

    corner_px: int
    side_px: int

    def at(self, downsample: int) -> "Window":
        """Return the window in pixels of a level."""
        return Window(self.corner_px // downsample, self.side_px // downsample)

    @property
    def is_on_grid(self) -> bool:
        """Whether it consists of whole tiles."""
        return self.corner_px % TILE_PX == 0 and self.side_px % TILE_PX == 0


def drawn(folder: Path, side: int) -> Path:
    """Return the drawn slide of this size; it is drawn where it is missing."""
    path = folder / f"drawn-{side}.svs"
    if not path.exists():
        print(f"drawing {path}", flush=True)
        partial = path.with_suffix(".drawing")
        # In a process of its own, whose textures take a hundred megabytes.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            pool.submit(write_slide, partial, SyntheticSlide(Size(side, side), seed=7)).result()
        partial.rename(path)
    return path


def mosaic(folder: Path, slides: Path) -> Path | None:
    """Return a slide of 16384 px that shows the section of a real one four times.

    It is the square of 8192 px at (1024, 1024), glass included, of the first slide in `slides` that has JPEG
    tiles of 256 px in YCbCr. None where there is none.
    """
    path = folder / "mosaic-16384.svs"
    window = Window(1024, MOSAIC_WINDOW_PX)
    found = [] if path.exists() else (one for one in sorted(slides.glob("*.svs")) if _holds(one, window))
    for source in found:
        print(f"{path}: {source.name}, {MOSAIC_WINDOW_PX} px at (1024, 1024), four times", flush=True)
        repeat(source, path, window, 2, _MPP)
        break
    return path if path.exists() else None


def giant(folder: Path, side: int, times: int, mpp: float) -> Path:
    """Return a slide that shows the drawn one of a side `times` times in each row and column."""
    path = folder / f"drawn-{side}-{times}-at-{mpp:g}.svs"
    if not path.exists():
        repeat(drawn(folder, side), path, Window(0, side), times, mpp)
    return path


def repeat(source: Path, target: Path, window: Window, times: int, mpp: float) -> None:
    """Write the levels of a slide with a window of it `times` times in each row and column.

    The written slide states `mpp` um per px.
    """
    partial = target.with_suffix(".drawing")
    side = window.side_px * times
    with tifffile.TiffFile(source) as tiff, tifffile.TiffWriter(partial) as writer:
        first = tiff.pages[0]
        for page in (page for page in tiff.pages if page.is_tiled):
            downsample = round(first.imagewidth / page.imagewidth)
            here = window.at(downsample)
            options = {
                "shape": (here.side_px * times, here.side_px * times, 3),
                "dtype": np.uint8,
                "tile": (TILE_PX, TILE_PX),
                "photometric": "ycbcr",
                "subsampling": page.tags["YCbCrSubSampling"].value,
                "description": _description(page, first, side, side // downsample, mpp),
                "iccprofile": page.iccprofile,
                "metadata": None,
                "software": False,
            }
            if here.is_on_grid:
                tables = {"jpegtables": page.jpegtables} if page.jpegtables else {}
                tiles = _stored(tiff, page, here, times)
                writer.write(tiles, compression=_JPEG, **tables, **options)
            else:
                writer.write(_encoded(page, here, times), compression=_JPEG, **options)
    partial.rename(target)


def _holds(path: Path, window: Window) -> bool:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        kind = page.compression, page.photometric, page.tilewidth, page.tilelength
        reach = window.corner_px + window.side_px
        large = min(page.imagewidth, page.imagelength) >= reach
        return kind == (_JPEG, _YCBCR, TILE_PX, TILE_PX) and large


def _stored(tiff: Any, page: Any, window: Window, times: int) -> Iterator[bytes]:
    """Yield the stored bytes of a window's tiles, row by row, as often as they are wanted."""
    across = -(-page.imagewidth // TILE_PX)
    first, count = window.corner_px // TILE_PX, window.side_px // TILE_PX
    file = tiff.filehandle.fileno()
    for row in list(range(first, first + count)) * times:
        numbers = [row * across + column for column in range(first, first + count)]
        tiles = [os.pread(file, page.databytecounts[number], page.dataoffsets[number]) for number in numbers]
        yield from tiles * times


def _encoded(page: Any, window: Window, times: int) -> Iterator[bytes]:
    """Yield a window's tiles, decoded and encoded, as often as they are wanted."""
    start, end = window.corner_px, window.corner_px + window.side_px
    pixels = np.tile(page.asarray()[start:end, start:end], (times, times, 1))
    wide, high = page.tags["YCbCrSubSampling"].value
    sampling = {(1, 1): "444", (2, 1): "422", (2, 2): "420"}[wide, high]
    for top in range(0, len(pixels), TILE_PX):
        for left in range(0, len(pixels), TILE_PX):
            tile = np.ascontiguousarray(pixels[top : top + TILE_PX, left : left + TILE_PX])
            yield imagecodecs.jpeg8_encode(tile, level=_QUALITY, subsampling=sampling)


def _description(page: Any, first: Any, side: int, here: int, mpp: float) -> str:
    """Return the ImageDescription with the sizes and the scale of the written slide."""
    text: str = page.description.replace(f"{page.imagewidth}x{page.imagelength}", f"{here}x{here}")
    text = text.replace(f"{first.imagewidth}x{first.imagelength}", f"{side}x{side}")
    for name, value in (("MPP", mpp), ("AppMag", _MPP_AT_1X / mpp)):
        text = re.sub(rf"\b{name} = [0-9.]+", f"{name} = {value:g}", text)
    return text
