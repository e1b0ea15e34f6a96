"""Draws the pictures of regions: where the bytes of a slide went, and crops inside and outside of a region.

scripts/docs_regions.py CMU-1-Small-Region.svs docs/images
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import wsicomp
from wsicomp import ConversionConfig, ConversionReport
from wsicomp.formats.opening import open_reader
from wsicomp.text.figures import as_bytes, as_percent

TISSUE_CODEC = "jpeg:10"
_CENTRE, _RADII = (0.56, 0.695), (0.115, 0.14)
"""The region: an ellipse, in parts of the slide's width and height."""
_CROPS = {"inside": (0.525, 0.66), "outside": (0.335, 0.76)}
"""Upper left corners of the crops, in parts of the slide."""
_CROP_PX, _ZOOM = 200, 2
_PANEL_PX, _GAP_PX, _LINE_PX, _POINTS = 560, 12, 30, 72
_PAPER, _INK, _OUTLINE = "#ffffff", "#33203f", "#00e5ff"
_FADED, _DARKEST = 0.6, 0.15
"""How much of the slide's own light is left, and where in the scale of colours no bytes are."""


def outline(size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the region's outline on a picture of (width, height): (points, 2)."""
    angle = np.linspace(0, 2 * np.pi, _POINTS)
    round_it = np.stack([np.cos(angle), np.sin(angle)], axis=1) * _RADII
    return (np.array(_CENTRE) + round_it) * size


def save_region(path: Path, size: tuple[int, int]) -> Path:
    """Write the region as QuPath exports an annotation."""
    polygon = {"type": "Polygon", "coordinates": [outline(size).round(1).tolist()]}
    properties = {"objectType": "annotation", "classification": {"name": "Region"}}
    feature = {"type": "Feature", "geometry": polygon, "properties": properties}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


def tile_bytes(path: Path) -> NDArray[np.float64]:
    """Return the bytes of each tile of level 0, (rows, columns)."""
    with closing(open_reader(path)) as slide:
        grid = slide.info.levels[0].grid
        return np.asarray(slide.tile_ranges(0)[:, 1], float).reshape(grid.rows, grid.columns)


def heat(path: Path, most: float) -> Image.Image:
    """Return a slide with each tile shaded by its bytes, yellow for the `most`, and the region outlined."""
    with wsicomp.open_slide(path) as slide, closing(open_reader(path)) as reader:
        tile, width = reader.info.levels[0].tile, slide.dimensions[0]
        picture = slide.get_thumbnail((_PANEL_PX, 2 * _PANEL_PX)).convert("RGB")
    step = width / picture.width
    shares = np.clip(tile_bytes(path) / most, 0, 1)
    y, x = (np.arange(side) * step for side in (picture.height, picture.width))
    shade = shares[np.ix_((y / tile.height).astype(int), (x / tile.width).astype(int))]
    colours = colormaps["inferno"](_DARKEST + (1 - _DARKEST) * shade)[..., :3]
    light = np.asarray(picture.convert("L"), float)[..., None]
    drawn = (colours * (_FADED * light + (1 - _FADED) * 255)).astype(np.uint8)
    points = outline(picture.size).round().astype(np.int32)
    cv2.polylines(drawn, [points], isClosed=True, color=(0, 229, 255), thickness=3, lineType=cv2.LINE_AA)
    return Image.fromarray(drawn)


def crop(path: Path, place: str) -> Image.Image:
    """Return a square of level 0, enlarged pixel by pixel."""
    with wsicomp.open_slide(path) as slide:
        corner = tuple(round(part * side) for part, side in zip(_CROPS[place], slide.dimensions, strict=True))
        picture = slide.read_region(corner, 0, (_CROP_PX, _CROP_PX)).convert("RGB")
    return picture.resize((_CROP_PX * _ZOOM,) * 2, Image.Resampling.NEAREST)


def legend() -> Image.Image:
    """Return a strip of colours, from no bytes to the most of a tile."""
    shares = np.linspace(_DARKEST, 1, 2 * _PANEL_PX)
    strip = np.repeat(
        (colormaps["inferno"](shares)[None, :, :3] * 255).astype(np.uint8), _LINE_PX // 2, axis=0
    )
    return Image.fromarray(strip)


def joined(panels: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Return panels side by side, each with its caption below."""
    width = sum(picture.width + _GAP_PX for _, picture in panels) + _GAP_PX
    height = max(picture.height for _, picture in panels) + 2 * _GAP_PX + _LINE_PX
    paper = Image.new("RGB", (width, height), _PAPER)
    pen, font, left = ImageDraw.Draw(paper), ImageFont.load_default(22), _GAP_PX
    for caption, picture in panels:
        paper.paste(picture, (left, _GAP_PX))
        pen.text((left, picture.height + _GAP_PX + 6), caption, fill=_INK, font=font)
        left += picture.width + _GAP_PX
    return paper


def stacked(parts: Sequence[Image.Image]) -> Image.Image:
    paper = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)), _PAPER)
    top = 0
    for part in parts:
        paper.paste(part, (0, top))
        top += part.height
    return paper


def draw(source: Path, folder: Path) -> ConversionReport:
    """Convert the slide with its region, and write both pictures."""
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / f"small{source.suffix}"
        with wsicomp.open_slide(source) as slide:
            roi = save_region(Path(name) / "region.geojson", slide.dimensions)
        config = ConversionConfig.of(roi=roi, tissue_codec=TISSUE_CODEC)
        report = wsicomp.convert_slide(source, target, config)
        most = tile_bytes(source).max()
        maps = joined(
            [
                (f"the slide: {as_bytes(report.source_bytes)}", heat(source, most)),
                (f"small{source.suffix}: {as_bytes(report.target_bytes)}", heat(target, most)),
            ]
        )
        scale = joined([(f"bytes of a tile: none to {as_bytes(most)}", legend())])
        stacked([maps, scale]).save(folder / "regions-bits.jpg", quality=85, optimize=True)
        rows = [
            joined([(f"{place}: before", crop(source, place)), (f"{place}: after", crop(target, place))])
            for place in _CROPS
        ]
        joined([("", row) for row in rows]).save(folder / "regions-crops.png", optimize=True)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("slide", type=Path, help="the slide")
    parser.add_argument("folder", type=Path, help="for the pictures")
    options = parser.parse_args()
    found = draw(options.slide, options.folder)
    print(f"{as_percent(found.saved)} saved")
    for each in found.classes:
        print(each)
