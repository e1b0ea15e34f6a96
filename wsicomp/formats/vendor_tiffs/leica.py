"""Leica SCN: images of several levels that lie somewhere on a slide as large as the glass.

Source: OpenSlide's `openslide-vendor-leica.c`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from wsicomp.formats.stored_tiles import StoredTiles
from wsicomp.formats.tiff.directories import Directory
from wsicomp.formats.vendor_tiffs.placing import PlacedImage, PlacedImages, tiles_of_tiff
from wsicomp.formats.vendor_tiffs.xml_tree import whole_of, xml_tree
from wsicomp.geometry import Size

_BRIGHT = "brightfield"


@dataclass(frozen=True)
class _View:
    """A scanned area: its place in nm, and (number of directory, width) of each level."""

    x_nm: int
    y_nm: int
    width_nm: int
    levels: tuple[tuple[int, int], ...]


def leica_tiles(path: Path, sizes: Sequence[Size]) -> list[StoredTiles | str]:
    """Return the tiles of each level of an SCN, or in words what they are if they cannot be copied.

    `sizes` are those of the levels in OpenSlide.
    """
    return tiles_of_tiff(path, sizes, _images)


def _images(directories: Sequence[Directory], sizes: Sequence[Size]) -> list[PlacedImages]:
    collection = xml_tree(directories[0].description.encode("latin-1")).find("collection")
    if collection is None:
        raise ValueError("no collection in its XML")
    views = [view for image in collection.iterfind("image") if (view := _view(image, collection)) is not None]
    levels: list[PlacedImages] = []
    for number in range(len(sizes)):
        nm_per_px = min(view.width_nm / view.levels[number][1] for view in views)
        levels.append(
            [
                PlacedImage(
                    directories[view.levels[number][0]],
                    int(view.x_nm / nm_per_px),
                    int(view.y_nm / nm_per_px),
                )
                for view in views
            ]
        )
    return levels


def _view(image: Element, collection: Element) -> _View | None:
    """Return a scanned area in bright field; None for the macro, and for others."""
    view = image.find("view")
    source = image.findtext("scanSettings/illuminationSettings/illuminationSource")
    if view is None or source != _BRIGHT:
        return None
    place = [whole_of(view, name) for name in ("offsetX", "offsetY", "sizeX", "sizeY")]
    if place == [0, 0, whole_of(collection, "sizeX"), whole_of(collection, "sizeY")]:
        return None
    levels = [
        (whole_of(one, "ifd"), whole_of(one, "sizeX"))
        for one in image.iterfind("pixels/dimension")
        if one.get("z", "0") == "0"
    ]
    if any(number < 0 or width < 1 for number, width in levels):
        raise ValueError("a level without pixels in its XML")
    return _View(place[0], place[1], place[2], tuple(sorted(levels, key=lambda level: -level[1])))
