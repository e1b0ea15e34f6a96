"""Regions from COCO's JSON, and from the masks that Segment Anything's generator writes.

A COCO file has `annotations`, each with a `segmentation` (run lengths, or polygons) and a `category_id`, to
which `categories` give a name. Segment Anything writes a list of objects with a `segmentation`, which are all
of class "region" here. One run-length encoded mask alone is read, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from wsicomp.errors import MaskError
from wsicomp.geometry import Size
from wsicomp.regions.drawing import OUTER, Points
from wsicomp.regions.found import Found
from wsicomp.regions.geojson import REGION, OutlinesByClass, drawn_classes
from wsicomp.regions.placement import Frame, PicturePlacement, Raster, image_placement, image_raster
from wsicomp.regions.reading import RegionReading
from wsicomp.regions.reduction import reduced
from wsicomp.regions.runs import Bounds, RunRows, bounds_of, box_of, by_rows
from wsicomp.regions.samples import Flags
from wsicomp.tissue.bits import BitMask

_EMPTY = "no annotation has a pixel; expected COCO annotations, or masks of Segment Anything"
_BOX_SLACK_PX = 1.5


@dataclass
class _Masks:
    """The masks of a file, by class."""

    size: Size | None
    """The size of the image that they were drawn on; None until one says it."""
    runs: dict[str, list[Bounds]] = field(default_factory=dict)
    polygons: dict[str, list[list[Points]]] = field(default_factory=dict)

    def add(self, name: str, annotation: Mapping[str, Any]) -> None:
        """Add the mask of one annotation to its class.

        Raises:
            MaskError: it is none, or has another size than the image.
        """
        segmentation = annotation["segmentation"]
        if _is_polygons(segmentation):
            polygons = [_points(flat) for flat in segmentation]
            self.polygons.setdefault(name, []).extend([each] for each in polygons)
            return
        bounds, size = bounds_of(segmentation)
        if self.size not in (None, size):
            turned = self.size == Size(size.height, size.width)
            advice = "its size is to be [height, width]" if turned else "export all masks of one image"
            raise MaskError(f"a mask of {size} px, expected the image's {self.size}; {advice}")
        self.size = size
        _check_box(bounds, size, annotation.get("bbox"))
        self.runs.setdefault(name, []).append(bounds)


def is_coco(content: Any) -> bool:
    """Return whether parsed JSON is a COCO file, a list of masks, or one mask."""
    first = content[0] if isinstance(content, list) and content else content
    known = ("annotations", "segmentation", "counts", "categories")
    return isinstance(first, dict) and any(name in first for name in known)


def read_coco(content: Any, frame: Frame, options: RegionReading, path: Path, slide_name: str) -> Found:
    """Return the classes of the annotations of a COCO file, or of a list of masks.

    `slide_name` chooses among images: the one of the same name, without its suffix.

    Raises:
        MaskError: the masks are none, or do not fit the slide.
    """
    masks, annotations, names = _image_of(content, slide_name, path)
    for number, annotation in enumerate(annotations):
        name = names.get(annotation.get("category_id"), REGION)
        try:
            masks.add(options.classes.class_of(name) if options.classes else name, annotation)
        except MaskError as exc:
            raise MaskError(exc.message, path, f"mask {number}") from exc
    if masks.size is None:
        if masks.polygons:
            raise MaskError(
                "polygons without the size of their image; expected a list of images with one", path
            )
        raise MaskError(f"no region: {_EMPTY}", path)
    return _placed(masks, masks.size, frame, options, path)


def _image_of(
    content: Any, slide_name: str, path: Path
) -> tuple[_Masks, list[Mapping[str, Any]], dict[Any, str]]:
    """Return where the masks of the slide's image go, its annotations, and the names of categories."""
    if isinstance(content, list):
        return _Masks(None), content, {}
    if "annotations" not in content:
        is_alone = "counts" in content
        return _Masks(None), [{"segmentation": content} if is_alone else content], {}
    names = {each["id"]: str(each["name"]) for each in content.get("categories") or []}
    images = content.get("images") or []
    annotations = content["annotations"]
    if not images:
        return _Masks(None), annotations, names
    chosen = images if len(images) == 1 else [each for each in images if _stem(each) == slide_name]
    if len(chosen) != 1:
        found = f"{len(images)} images, of which {len(chosen)} are named as the slide is"
        raise MaskError(f"{found}; expected one, so export this slide's alone", path)
    size = Size(int(chosen[0]["width"]), int(chosen[0]["height"]))
    if min(size.width, size.height) < 1:
        raise MaskError(f"an image of {size} px", path)
    own = [each for each in annotations if each.get("image_id", chosen[0].get("id")) == chosen[0].get("id")]
    return _Masks(size), own, names


def _stem(image: Mapping[str, Any]) -> str:
    return Path(str(image.get("file_name", ""))).stem


def _is_polygons(segmentation: Any) -> bool:
    """Return whether a segmentation is a list of polygons, x and y in turn; rows of a mask are 0 and 1."""
    if not isinstance(segmentation, list) or not segmentation or not isinstance(segmentation[0], list):
        return False
    lengths = {len(each) for each in segmentation}
    is_grid = len(lengths) == 1 and all(value in (0, 1) for each in segmentation for value in each)
    return not is_grid and all(length >= 4 and length % 2 == 0 for length in lengths)


def _points(flat: list[Any]) -> Points:
    return np.array(flat, np.float64).reshape(-1, 2)


def _check_box(bounds: Bounds, size: Size, bbox: Any) -> None:
    """Refuse runs that leave the annotation's own box, above all those that were counted along rows."""
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(np.isfinite(bbox)) or not any(bbox):
        return
    if _fits(box_of(bounds, size.height), bbox):
        return
    box = ", ".join(f"{side:g}" for side in bbox)
    advice = "export it again"
    if size.width * size.height <= 1 << 26 and _fits(box_of(by_rows(bounds, size), size.height), bbox):
        advice = "COCO's runs go down the columns, and these go along the rows"
    raise MaskError(f"its runs leave its bbox [{box}]; {advice}")


def _fits(box: tuple[int, int, int, int] | None, bbox: list[float]) -> bool:
    if box is None:
        return True
    left, top, width, height = bbox
    within = box[0] >= left - _BOX_SLACK_PX and box[1] >= top - _BOX_SLACK_PX
    return within and box[2] <= left + width + _BOX_SLACK_PX and box[3] <= top + height + _BOX_SLACK_PX


def _placed(masks: _Masks, size: Size, frame: Frame, options: RegionReading, path: Path) -> Found:
    names = list(dict.fromkeys([*masks.runs, *masks.polygons]))
    placement = image_placement(size, frame, options, None, path)
    raster = image_raster(frame, size, placement, len(names))
    shapes = OutlinesByClass(frame, placement, raster, path)
    for name, polygons in masks.polygons.items():
        for rings in polygons:
            shapes.add(name, rings, [OUTER])
    drawn = drawn_classes(shapes, _EMPTY)
    bits = dict(drawn.bits)
    for name, runs in masks.runs.items():
        found = _of_runs(runs, size, placement, raster)
        bits[name] = BitMask(bits[name].words | found.words, found.columns) if name in bits else found
    return replace(drawn, bits={name: bits[name] for name in names if name in bits})


def _of_runs(runs: list[Bounds], size: Size, placement: PicturePlacement, raster: Raster) -> BitMask:
    """Return the raster of masks of run lengths, which are read column by column: all is turned for that."""
    turned = PicturePlacement(
        placement.top, placement.left, placement.steps_y, placement.steps_x, placement.covers_slide
    )
    columns = Raster(Size(raster.size.height, raster.size.width), (raster.pitch[1], raster.pitch[0]))
    found = reduced(RunRows(runs, size), turned, columns, Flags(REGION))
    if not found:
        return BitMask.of(np.zeros(raster.size.shape, np.bool_))
    return BitMask.of(found[REGION].pixels().T)
