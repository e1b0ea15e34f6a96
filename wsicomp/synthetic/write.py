"""Write a synthetic slide as Aperio svs or generic TIFF, tile by tile.

Two threads draw and encode short runs of tiles, which TiffWriter takes in order. Tiles of bare glass recur,
so their bytes are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from os import PathLike
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from wsicomp.concurrency.threads import ordered_map
from wsicomp.geometry import Region, Size, TileGrid
from wsicomp.progress import progress_raises_through
from wsicomp.synthetic import associated
from wsicomp.synthetic.block import GlassKey, Painter
from wsicomp.synthetic.form import CODES, COMMON_FORM, SyntheticFormat, encoded, jpeg_tables, lzw_encoded
from wsicomp.synthetic.scene import BLOCK
from wsicomp.synthetic.slide import SyntheticSlide, painter_of

THREADS = 2
RUN_TILES = 16
KEPT_TILES = 1500
STRIP_ROWS = 16
LABEL_SUBFILE, MACRO_SUBFILE = 1, 9

Advance = Callable[[int], None]
"""Called with the number of tiles drawn since the last call."""


@progress_raises_through
def write_slide(
    path: str | PathLike[str],
    slide: SyntheticSlide,
    form: SyntheticFormat = COMMON_FORM,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the slide to a file, whatever its suffix; an existing file is replaced.

    >>> from tempfile import TemporaryDirectory
    >>> slide = SyntheticSlide(Size(512, 512), sections=0, fragments=0)
    >>> with TemporaryDirectory() as folder:
    ...     write_slide(f"{folder}/glass.svs", slide, SyntheticFormat(downsamples=(1, 4)))

    Args:
        path: The file.
        slide: What is drawn.
        form: How it is stored.
        on_progress: Called with (tiles drawn, tiles in all) after every run of tiles.
    """
    levels = [slide.size.reduced(downsample) for downsample in form.downsamples]
    total = sum(TileGrid(level, Size(form.tile_px, form.tile_px)).count for level in levels)
    done = 0

    def advance(tiles: int) -> None:
        nonlocal done
        done += tiles
        if on_progress is not None:
            on_progress(done, total)

    _draw(path, slide, form, advance)


def _draw(path: str | PathLike[str], slide: SyntheticSlide, form: SyntheticFormat, advance: Advance) -> None:
    painter_of(slide).prepare()
    with _opencv_in_one_thread(), tifffile.TiffWriter(path, bigtiff=form.bigtiff) as writer:
        for number, downsample in enumerate(form.downsamples):
            _write_level(writer, _Level(slide, form, downsample), advance)
            if number == 0 and form.container == "svs" and form.thumbnail:
                _write_thumbnail(writer, slide, form)
        if form.container == "svs":
            _write_label_and_macro(writer, slide, form)


@contextmanager
def _opencv_in_one_thread() -> Iterator[None]:
    """Keep OpenCV from splitting blocks among its own threads, which costs as much time as it saves."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _write_level(writer: tifffile.TiffWriter, level: _Level, advance: Advance) -> None:
    form = level.form
    with closing(level.tiles(advance)) as tiles:
        writer.write(
            tiles,
            shape=(*level.size.shape, 3),
            dtype=np.uint8,
            tile=(form.tile_px, form.tile_px),
            compression=CODES[form.compression],
            predictor=2 if form.compression in {"lzw", "deflate"} else None,
            iccprofile=form.icc_profile,
            subfiletype=1 if form.container == "tiff" and level.downsample > 1 else 0,
            **_jpeg_options(form),
            **_resolution(level),
            **_metadata(_description(level)),
        )


def _jpeg_options(form: SyntheticFormat) -> dict[str, Any]:
    """Return what TiffWriter must know of the colours."""
    if form.compression != "jpeg":
        return {"photometric": "rgb"}
    tables = {"jpegtables": jpeg_tables(form)} if form.shared_tables else {}
    if form.photometric == "rgb":
        # Without outcolorspace, TiffWriter would call the tiles YCbCr.
        kept = {"subsampling": (1, 1), "compressionargs": {"outcolorspace": "rgb"}}
        return {"photometric": "rgb", **kept, **tables}
    return {"photometric": "ycbcr", "subsampling": form.sampling, **tables}


def _resolution(level: _Level) -> dict[str, Any]:
    """Return pixels per centimetre, for a generic TIFF that states them."""
    if level.form.container == "svs" or not level.form.states_mpp:
        return {}
    per_cm = 1e4 / (level.slide.mpp * level.downsample)
    return {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}


def _metadata(description: str | None) -> dict[str, Any]:
    """Return the description, without tifffile's own metadata and name."""
    return {"description": description, "metadata": None, "software": False}


def _description(level: _Level) -> str | None:
    if level.form.container == "tiff":
        return None
    reduced = None if level.downsample == 1 else level.size
    return associated.svs_level_description(level.slide, level.form, reduced)


def _write_thumbnail(writer: tifffile.TiffWriter, slide: SyntheticSlide, form: SyntheticFormat) -> None:
    picture = associated.thumbnail(slide)
    size = Size(picture.shape[1], picture.shape[0])
    _write_strips(writer, picture, associated.thumbnail_description(slide, form, size), 0)


def _write_label_and_macro(writer: tifffile.TiffWriter, slide: SyntheticSlide, form: SyntheticFormat) -> None:
    if form.label:
        picture = associated.label(slide)
        writer.write(
            iter([lzw_encoded(picture)]),
            shape=picture.shape,
            dtype=np.uint8,
            photometric="rgb",
            compression=CODES["lzw"],
            predictor=2,
            rowsperstrip=picture.shape[0],
            subfiletype=LABEL_SUBFILE,
            **_metadata(associated.associated_image_description("label", associated.LABEL_SIZE)),
        )
    if form.macro:
        words = associated.associated_image_description("macro", associated.MACRO_SIZE)
        _write_strips(writer, associated.macro(slide), words, MACRO_SUBFILE)


def _write_strips(
    writer: tifffile.TiffWriter, picture: NDArray[np.uint8], words: str, subfiletype: int
) -> None:
    """Write a JPEG picture in strips with shared tables, as Aperio's thumbnail and macro are stored."""
    form = COMMON_FORM
    strips = [picture[top : top + STRIP_ROWS] for top in range(0, picture.shape[0], STRIP_ROWS)]
    writer.write(
        iter([encoded(strip, form) for strip in strips]),
        shape=picture.shape,
        dtype=np.uint8,
        compression=CODES["jpeg"],
        rowsperstrip=STRIP_ROWS,
        subfiletype=subfiletype,
        **_jpeg_options(form),
        **_metadata(words),
    )


class _Level:
    """A level of a slide in a format, and its encoded tiles."""

    def __init__(self, slide: SyntheticSlide, form: SyntheticFormat, downsample: int) -> None:
        self.slide, self.form, self.downsample = slide, form, downsample
        self.size = slide.size.reduced(downsample)
        self.grid = TileGrid(self.size, Size(form.tile_px, form.tile_px))
        self._painter: Painter = painter_of(slide)
        self._kept: dict[tuple[GlassKey, ...], bytes] = {}

    def tiles(self, advance: Advance) -> Generator[bytes, None, None]:
        """Yield the bytes of every tile, row by row, drawn a few runs ahead."""
        columns = range(self.grid.columns)
        runs = (
            (row, columns[first : first + RUN_TILES])
            for row in range(self.grid.rows)
            for first in columns[::RUN_TILES]
        )
        with closing(ordered_map(self._run, runs, THREADS)) as drawn:
            for run in drawn:
                # Progress comes first, since TiffWriter never asks for one tile more than there are.
                advance(len(run))
                yield from run

    def _run(self, run: tuple[int, range]) -> list[bytes]:
        """Return the bytes of the tiles in some columns of a row."""
        row, columns = run
        if self.form.tile_px % BLOCK == 0:
            return [self._single(column, row) for column in columns]
        # Tiles that cut across blocks are drawn together, or each block would be drawn up to four times.
        px = self.form.tile_px
        strip = self.slide.render(Region(columns[0] * px, row * px, len(columns) * px, px), self.downsample)
        return [encoded(strip[:, left : left + px], self.form) for left in range(0, strip.shape[1], px)]

    def _single(self, column: int, row: int) -> bytes:
        """Return one tile's bytes; those of bare glass are kept by the key of their pixels."""
        key = self._key(column, row)
        if key is not None and key in self._kept:
            return self._kept[key]
        px = self.form.tile_px
        stream = encoded(self.slide.render(Region(column * px, row * px, px, px), self.downsample), self.form)
        if key is not None and len(self._kept) < KEPT_TILES:
            self._kept[key] = stream
        return stream

    def _key(self, column: int, row: int) -> tuple[GlassKey, ...] | None:
        """Return the key of a tile of bare glass that consists of whole blocks, None for others."""
        count = self.form.tile_px // BLOCK
        keys: list[GlassKey] = []
        for block in range(count * count):
            x, y = column * count + block % count, row * count + block // count
            key = self._painter.glass_key(x, y, self.downsample)
            if key is None:
                return None
            keys.append(key)
        return tuple(keys)
