"""Ventana's TIFF, a plain pyramid, and BIF, whose tiles OpenSlide shifts by their overlap.

Of a BIF only slides without overlap have plain tiles, and only tiles that scanned areas cover are shown.

Source: OpenSlide's `openslide-vendor-ventana.c`; Roche, "BIF image file format for digital pathology".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from wsicomp.formats.stored_tiles import StoredTiles
from wsicomp.formats.tiff.directories import Directory
from wsicomp.formats.vendor_tiffs.placing import (
    OFF_GRID,
    OVERLAPPING,
    NotPlainError,
    PlacedImage,
    PlacedImages,
    tiles_of_tiff,
)
from wsicomp.formats.vendor_tiffs.xml_tree import number_of, whole_of, xml_tree
from wsicomp.geometry import Size, TileGrid

_LEVEL = "level="


def ventana_tiles(path: Path, sizes: Sequence[Size]) -> list[StoredTiles | str]:
    """Return the tiles of each level of a BIF or of Ventana's TIFF, or in words what they are.

    `sizes` are those of the levels in OpenSlide.
    """
    return tiles_of_tiff(path, sizes, _images)


def _images(directories: Sequence[Directory], sizes: Sequence[Size]) -> list[PlacedImages]:
    levels = sorted(
        (directory for directory in directories if _LEVEL in directory.description),
        key=lambda directory: -directory.size.width,
    )
    packet = levels[0].xmp
    if packet is None:
        return [[PlacedImage(level)] for level in levels]
    scanned = _scanned(xml_tree(packet), levels[0], sizes[0])
    largest = _magnification(levels[0])
    images: list[PlacedImages] = []
    for level in levels:
        ratio = largest / _magnification(level)
        if not ratio.is_integer():
            raise NotPlainError(OFF_GRID)
        images.append([PlacedImage(level, shown=_reduced(scanned, int(ratio), level))])
    return images


def _magnification(level: Directory) -> float:
    fields = dict(pair.partition("=")[::2] for pair in level.description.split(" "))
    found = float(fields["mag"])
    if not 0 < found < float("inf"):
        raise ValueError("a level without magnification")
    return found


def _scanned(root: Element, level: Directory, size: Size) -> NDArray[np.bool_]:
    """Return (rows, columns): which tiles scanned areas cover of the largest level of this `size`.

    Raises:
        NotPlainError: tiles overlap, or an area does not stand where its tiles do in the file.
        ValueError: the XML lacks a statement.
    """
    assert level.tile is not None, "levels are tiled"
    areas = list(_areas(root))
    if not areas:
        raise ValueError("no scanned area in its XML")
    if not _is_without_overlap([info for info, _ in areas]):
        raise NotPlainError(OVERLAPPING)
    width, height = level.tile.width, level.tile.height
    scanned = np.zeros((level.grid.rows, level.grid.columns), np.bool_)
    bottoms = [int(number_of(info, "Pos-Y")) for info, _ in areas]
    top = max(
        bottom + whole_of(info, "NumRows") * height for (info, _), bottom in zip(areas, bottoms, strict=True)
    )
    for (info, origin), bottom in zip(areas, bottoms, strict=True):
        columns, rows = whole_of(info, "NumCols"), whole_of(info, "NumRows")
        x, y = whole_of(origin, "OriginX"), whole_of(origin, "OriginY")
        is_inside = x + columns * width <= level.size.width and y + rows * height <= level.size.height
        if x % width or y % height or min(x, y) < 0 or min(columns, rows) < 1 or not is_inside:
            raise NotPlainError(OFF_GRID)
        if (int(number_of(info, "Pos-X")), top - bottom - rows * height) != (x, y):
            raise NotPlainError(OFF_GRID)
        scanned[y // height : y // height + rows, x // width : x // width + columns] = True
    shown = TileGrid(size, level.tile)
    return scanned[: shown.rows, : shown.columns]


def _areas(root: Element) -> Iterator[tuple[Element, Element]]:
    """Yield the scanned areas: `ImageInfo`, and where its tiles lie in the file."""
    infos, origins = root.findall("SlideStitchInfo/ImageInfo"), root.findall("AoiOrigin/*")
    for info, origin in zip(infos, origins, strict=True):
        if whole_of(info, "AOIScanned"):
            yield info, origin


def _is_without_overlap(infos: Sequence[Element]) -> bool:
    """Return whether tiles stand side by side: OpenSlide shifts all by the mean of their overlaps."""
    sums, weights = {"X": 0.0, "Y": 0.0}, {"X": 0, "Y": 0}
    for info in infos:
        for joint in info.iterfind("TileJointInfo"):
            axis = "Y" if joint.get("Direction") == "UP" else "X"
            weight = whole_of(joint, "Confidence")
            sums[axis] += weight * number_of(joint, f"Overlap{axis}")
            weights[axis] += weight
    return all(weights.values()) and not any(sums.values())


def _reduced(scanned: NDArray[np.bool_], ratio: int, level: Directory) -> NDArray[np.bool_]:
    """Return (rows, columns): which tiles of a lower level are shown.

    Raises:
        NotPlainError: only a part of a tile is.
    """
    assert level.tile is not None, "levels are tiled"
    rows, columns = -(-scanned.shape[0] // ratio), -(-scanned.shape[1] // ratio)
    is_larger = rows > level.grid.rows or columns > level.grid.columns
    if any(side % ratio for side in level.tile.shape) or is_larger:
        raise NotPlainError(OFF_GRID)
    beyond = ((0, rows * ratio - scanned.shape[0]), (0, columns * ratio - scanned.shape[1]))
    parts = np.pad(scanned, beyond, "edge").reshape(rows, ratio, columns, ratio)
    if (parts.all(axis=(1, 3)) != parts.any(axis=(1, 3))).any():
        raise NotPlainError("JPEG tiles of which scanned areas show parts")
    shown = np.zeros((level.grid.rows, level.grid.columns), np.bool_)
    shown[:rows, :columns] = parts.all(axis=(1, 3))
    return shown
