"""Slides that are drawn on clear, tinted and uneven glass, and pictures of slides side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from openslide import OpenSlide
from openslide.deepzoom import DeepZoomGenerator
from PIL import Image, ImageDraw, ImageFont

from wsicomp.geometry import Region, Size
from wsicomp.synthetic import SyntheticSlide

_SIDE_PX, _TILE_PX = 6144, 256
_VIEW_PX, _GAP_PX, _CAPTION_PX = 512, 8, 28
_ZOOMS = 4
_TEXT = "Aperio Image Library v12.0\r\n{0}x{1} (256x256) JPEG/RGB Q=90|AppMag = 20|MPP = 0.5"


def drawn_slides(folder: Path) -> Iterator[Path]:
    """Draw three slides into a folder, on clear, on pink and on uneven glass, and yield their files."""
    for seed, (name, tint) in enumerate((("clear", _clear), ("pink", _pink), ("uneven", _uneven)), 3):
        slide = SyntheticSlide(Size(_SIDE_PX, _SIDE_PX), seed=seed, tissue_fraction=0.2)
        pixels = slide.render(Region(0, 0, _SIDE_PX, _SIDE_PX))
        for top in range(0, _SIDE_PX, 512):
            part = slice(top, top + 512)
            pixels[part] = np.clip(pixels[part] * tint(top, 512), 0, 255)
        path = folder / f"drawn-{name}.svs"
        _write_pyramid(path, pixels)
        yield path


def _clear(top: int, rows: int) -> NDArray[np.float32]:  # noqa: ARG001
    return np.ones((1, 1, 3), np.float32)


def _pink(top: int, rows: int) -> NDArray[np.float32]:  # noqa: ARG001
    return np.array([[[0.97, 0.90, 0.95]]], np.float32)


def _uneven(top: int, rows: int) -> NDArray[np.float32]:
    """A lamp that is off the middle, stripes as of a line scanner, and a warm tint."""
    y, x = np.mgrid[top : top + rows, 0:_SIDE_PX].astype(np.float32) / _SIDE_PX
    lamp = 1 - 0.16 * ((x - 0.35) ** 2 + (y - 0.6) ** 2) - 0.015 * (x * 8 % 1 > 0.5)
    return lamp[..., None] * np.array([0.98, 0.95, 0.91], np.float32)


def _write_pyramid(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write an SVS with levels of downsample 1, 4 and 16."""
    with tifffile.TiffWriter(path) as tiff:
        for downsample in (1, 4, 16):
            side = _SIDE_PX // downsample
            tiff.write(
                cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA),
                tile=(_TILE_PX, _TILE_PX),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 90, "outcolorspace": "rgb"},
                description=_TEXT.format(side, side),
                metadata=None,
            )


def write_views(path: Path, slides: Mapping[str, Path], place: tuple[float, float]) -> None:
    """Write slides side by side at four zooms around a place, as DeepZoom shows them; thumbnails above."""
    width = len(slides) * (_VIEW_PX + _GAP_PX) + _GAP_PX
    paper = Image.new("RGB", (width, (_ZOOMS + 1) * (_VIEW_PX + _CAPTION_PX + _GAP_PX)), "#808080")
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(20)
    for column, (name, slide) in enumerate(slides.items()):
        left = _GAP_PX + column * (_VIEW_PX + _GAP_PX)
        for row, (caption, view) in enumerate(_views(slide, place)):
            top = row * (_VIEW_PX + _CAPTION_PX + _GAP_PX)
            pen.text((left, top + 2), f"{name}, {caption}", fill="white", font=font)
            paper.paste(view, (left, top + _CAPTION_PX))
    paper.save(path)


def _views(path: Path, place: tuple[float, float]) -> Iterator[tuple[str, Image.Image]]:
    with closing(OpenSlide(path)) as slide:
        yield "thumbnail", slide.get_thumbnail((_VIEW_PX, _VIEW_PX))
        zoom = DeepZoomGenerator(slide, tile_size=_TILE_PX - 2, overlap=1)
        smallest = next(n for n, size in enumerate(zoom.level_dimensions) if max(size) >= _VIEW_PX)
        levels = np.linspace(smallest, zoom.level_count - 1, _ZOOMS).round().astype(int)
        for level in levels.tolist():
            yield f"1 : {2 ** (zoom.level_count - 1 - level)}", _around(zoom, level, place)


def _around(zoom: DeepZoomGenerator, level: int, place: tuple[float, float]) -> Image.Image:
    """Return the tiles of a DeepZoom level around a place, cut to one view."""
    view, side = Image.new("RGB", (_VIEW_PX, _VIEW_PX), "#808080"), zoom.level_dimensions[level]
    left, top = (
        max(0, min(round(part * length - _VIEW_PX / 2), length - _VIEW_PX))
        for part, length in zip(place, side, strict=True)
    )
    step = _TILE_PX - 2
    columns, rows = zoom.level_tiles[level]
    for row in range(top // step, min(rows, (top + _VIEW_PX) // step + 1)):
        for column in range(left // step, min(columns, (left + _VIEW_PX) // step + 1)):
            tile = zoom.get_tile(level, (column, row))
            place_x, place_y = column * step - (column > 0) - left, row * step - (row > 0) - top
            view.paste(tile, (place_x, place_y))
    return view
