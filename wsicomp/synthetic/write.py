"""Writing a drawn slide as an Aperio SVS or a generic TIFF, tile by tile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import cv2
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from wsicomp.concurrency import available_cores, ordered_map
from wsicomp.geometry import Region, Size, TileGrid, TileIndex
from wsicomp.synthetic.slide import SyntheticSlide

_JPEG, _LZW = 7, 5
_COMPRESSIONS = {
    "jpeg": _JPEG,
    "jpeg2000-rgb": 33005,
    "jpeg2000-ycbcr": 33003,
    "none": 1,
    "lzw": _LZW,
    "deflate": 8,
}
_FACTORS = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}
_SHARED_MARKERS = (0xDB, 0xC4)
_LABEL_SIZE, _MACRO_SIZE = Size(400, 360), Size(1200, 420)
_TILES_AT_ONCE = 16
_MOST_REMEMBERED = 4096


@dataclass(frozen=True)
class SyntheticFormat:
    """How a drawn slide is stored; the defaults are a usual Aperio file.

    `photometric` is what the JPEG streams themselves hold. With `shared_tables` they are abbreviated and
    the tables stand in JPEGTables. Without `states_mpp` the file says neither scale nor objective power.
    JPEG 2000, label, macro and thumbnail are for `svs` alone.
    """

    container: Literal["svs", "tiff"] = "svs"
    tile_px: int = 256
    compression: Literal["jpeg", "jpeg2000-rgb", "jpeg2000-ycbcr", "none", "lzw", "deflate"] = "jpeg"
    photometric: Literal["rgb", "ycbcr"] = "ycbcr"
    subsampling: Literal["444", "422", "420"] = "422"
    quality: int = 80
    downsamples: tuple[int, ...] = (1, 4, 16)
    shared_tables: bool = True
    states_mpp: bool = True
    objective_power: float | None = 20.0
    label: bool = True
    macro: bool = True
    thumbnail: bool = True
    icc_profile: bytes | None = None
    bigtiff: bool = False


def write_slide(
    path: str | os.PathLike[str],
    slide: SyntheticSlide,
    form: SyntheticFormat | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a drawn slide. The same slide and format give the same bytes.

    Memory: some tiles for each core and up to 4096 encoded ones that recur, whatever the slide's size.
    """
    form = form or SyntheticFormat()
    grids = [
        TileGrid(slide.size.reduced(step), Size(form.tile_px, form.tile_px)) for step in form.downsamples
    ]
    counter = _Counter(on_progress, sum(grid.count for grid in grids))
    with tifffile.TiffWriter(Path(path), bigtiff=form.bigtiff) as tiff:
        for number, grid in enumerate(grids):
            tiles = _TileEncoder(slide, form, form.downsamples[number])
            _write_level(tiff, slide, form, number, (grid, counter.each(tiles.stream(grid)), tiles.tables))
            if number == 0 and form.container == "svs" and form.thumbnail:
                _write_picture(tiff, "thumbnail", _thumbnail(slide), _svs_text(slide, form, grid.size))
        if form.container == "svs":
            for name, wanted in (("label", form.label), ("macro", form.macro)):
                if wanted:
                    picture = _label(slide) if name == "label" else _macro(slide)
                    _write_picture(tiff, name, picture, "")


def _write_level(
    tiff: tifffile.TiffWriter,
    slide: SyntheticSlide,
    form: SyntheticFormat,
    number: int,
    content: tuple[TileGrid, Iterator[bytes], bytes | None],
) -> None:
    grid, tiles, tables = content
    options: dict[str, Any] = {}
    if form.compression == "jpeg":
        space = "rgb" if form.photometric == "rgb" else "ycbcr"
        options |= {"compressionargs": {"outcolorspace": space}, "jpegtables": tables}
        options["subsampling"] = (1, 1) if space == "rgb" else _FACTORS[form.subsampling]
    if form.container == "tiff" and form.states_mpp:
        per_cm = 10_000 / (slide.mpp * form.downsamples[number])
        options |= {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}
    tiff.write(
        tiles,
        shape=(*grid.size.shape, 3),
        dtype=np.uint8,
        tile=grid.tile.shape,
        compression=_COMPRESSIONS[form.compression],
        photometric="ycbcr" if form.compression == "jpeg" and form.photometric == "ycbcr" else "rgb",
        subfiletype=1 if number and form.container == "tiff" else 0,
        description=_svs_text(slide, form, grid.size) if form.container == "svs" else None,
        iccprofile=form.icc_profile if number == 0 else None,
        software=False,
        metadata=None,
        **options,
    )


class _TileEncoder:
    """Renders and encodes the tiles of one level; those of a single texture once for all."""

    def __init__(self, slide: SyntheticSlide, form: SyntheticFormat, downsample: int) -> None:
        self._slide = slide
        self._form = form
        self._downsample = downsample
        self._known: dict[tuple[object, ...], bytes] = {}
        self.tables: bytes | None = None
        if form.compression == "jpeg" and form.shared_tables:
            self.tables = _split_tables(_encode(np.zeros((16, 16, 3), np.uint8), form))[0]

    def stream(self, grid: TileGrid) -> Iterator[bytes]:
        """Every encoded tile in raster order."""
        raster = grid.raster(0)
        batches = iter(lambda: list(islice(raster, _TILES_AT_ONCE)), [])
        for batch in ordered_map(
            lambda batch: [self._tile(index) for index in batch], batches, available_cores()
        ):
            yield from batch

    def _tile(self, index: TileIndex) -> bytes:
        side = self._form.tile_px
        region = Region(index.column * side, index.row * side, side, side)
        key = self._slide.plain_key(region, self._downsample)
        if key is not None and key in self._known:
            return self._known[key]
        data = _encode(self._slide.render(region, self._downsample), self._form)
        if self.tables is not None:
            data = _split_tables(data)[1]
        if key is not None and len(self._known) < _MOST_REMEMBERED:
            self._known[key] = data
        return data


class _Counter:
    def __init__(self, on_progress: Callable[[int, int], None] | None, total: int) -> None:
        self._on_progress = on_progress
        self._total = total
        self._done = 0

    def each(self, tiles: Iterator[bytes]) -> Iterator[bytes]:
        for tile in tiles:
            yield tile
            self._done += 1
            if self._on_progress is not None:
                self._on_progress(self._done, self._total)


def _encode(pixels: NDArray[np.uint8], form: SyntheticFormat) -> bytes:
    if form.compression == "jpeg":
        space = "rgb" if form.photometric == "rgb" else "ycbcr"
        return bytes(
            imagecodecs.jpeg8_encode(
                pixels, level=form.quality, outcolorspace=space, subsampling=form.subsampling
            )
        )
    if form.compression.startswith("jpeg2000"):
        if form.compression == "jpeg2000-ycbcr":
            pixels = np.ascontiguousarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]])
        return bytes(imagecodecs.jpeg2k_encode(pixels, level=38, codecformat="j2k", mct=False))
    encoders = {"none": bytes, "lzw": imagecodecs.lzw_encode, "deflate": imagecodecs.zlib_encode}
    return bytes(encoders[form.compression](pixels.tobytes()))


def _split_tables(stream: bytes) -> tuple[bytes, bytes]:
    """(JPEGTables, the stream without its tables)."""
    tables, rest, position = b"", stream[:2], 2
    while stream[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
        if stream[position + 1] in _SHARED_MARKERS:
            tables += stream[position:end]
        else:
            rest += stream[position:end]
        position = end
    return b"\xff\xd8" + tables + b"\xff\xd9", rest + stream[position:]


def _svs_text(slide: SyntheticSlide, form: SyntheticFormat, size: Size) -> str:
    full = slide.size
    kind = "J2K/YCC" if form.compression.startswith("jpeg2000") else "JPEG/RGB"
    reduced = "" if size == full else f" -> {size.width}x{size.height}"
    text = f"Aperio Image Library v12.0.0\r\n{full.width}x{full.height} [0,0 {full.width}x{full.height}]"
    text += f" ({form.tile_px}x{form.tile_px}){reduced} {kind} Q={form.quality}"
    if form.states_mpp:
        power = "" if form.objective_power is None else f"|AppMag = {form.objective_power:g}"
        text += f"{power}|MPP = {slide.mpp:.4f}"
    return f"{text}|Filename = drawn-{slide.seed}|Date = 01/02/26|ScanScope ID = SS0000|User = A. Drawer"


def _write_picture(tiff: tifffile.TiffWriter, name: str, pixels: NDArray[np.uint8], text: str) -> None:
    is_label = name == "label"
    tiff.write(
        pixels,
        photometric="rgb",
        compression="lzw" if is_label else "jpeg",
        predictor=is_label,
        rowsperstrip=64,
        subfiletype={"thumbnail": 0, "label": 1, "macro": 9}[name],
        description=text or f"Aperio Image Library v12.0.0\r\n{name} {pixels.shape[1]}x{pixels.shape[0]}",
        software=False,
        metadata=None,
    )


def _thumbnail(slide: SyntheticSlide) -> NDArray[np.uint8]:
    downsample = 1
    while max(slide.size.width, slide.size.height) / downsample > 1024:
        downsample *= 2
    size = slide.size.reduced(downsample)
    return slide.render(Region(0, 0, size.width, size.height), downsample)


def _label(slide: SyntheticSlide) -> NDArray[np.uint8]:
    pixels = np.full((*_LABEL_SIZE.shape, 3), (250, 249, 244), np.uint8)
    for row, text in enumerate(("SYNTHETIC", f"seed {slide.seed}", "H&E")):
        cv2.putText(
            pixels, text, (24, 90 + 90 * row), cv2.FONT_HERSHEY_SIMPLEX, 1.7, (30, 30, 30), 3, cv2.LINE_AA
        )
    return pixels


def _macro(slide: SyntheticSlide) -> NDArray[np.uint8]:
    """The whole glass slide: the label at the left, the scanned area to its right."""
    pixels = np.full((*_MACRO_SIZE.shape, 3), (226, 226, 224), np.uint8)
    height = _MACRO_SIZE.height
    label = cv2.resize(_label(slide), (height, height), interpolation=cv2.INTER_AREA)
    pixels[:, :height] = label
    scan = _thumbnail(slide)
    scale = min((height - 20) / scan.shape[0], (_MACRO_SIZE.width - height - 40) / scan.shape[1])
    width, tall = max(1, int(scan.shape[1] * scale)), max(1, int(scan.shape[0] * scale))
    area = cv2.resize(scan, (width, tall), interpolation=cv2.INTER_AREA)
    left, top = height + 20, (height - tall) // 2
    pixels[top : top + tall, left : left + width] = area
    return pixels
