"""Regions: the classes of place on a slide for which a user wants a quality of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import MaskError
from wsicomp.geometry import Mpp
from wsicomp.regions.arrays import read_arrays
from wsicomp.regions.class_table import MOST_CLASSES, OTHER, ClassTable
from wsicomp.regions.found import Found
from wsicomp.regions.placement import Frame, possible_steps
from wsicomp.regions.reading import RegionReading
from wsicomp.regions.tiles import touched_tiles
from wsicomp.slide import Level, SlideInfo
from wsicomp.text.escaping import quoted
from wsicomp.tissue.bits import BitMask
from wsicomp.tissue.mask import TissueMask

REGION = "region"
"""The class of what has none."""


@dataclass(frozen=True)
class RegionClass:
    """The places of one class."""

    name: str
    """The name of the class, as the file or its table has it."""
    mask: TissueMask
    """True wherever any part of a pixel belongs to the class, with the margin."""
    codec: str | None = None
    """How its tiles are stored, as a text such as "copy" or "jpeg:80"; None leaves it to `roi_codec`."""


@dataclass(frozen=True)
class Regions:
    """The regions of a slide, by class."""

    classes: tuple[RegionClass, ...]
    """The classes in order of precedence."""
    source: str
    """Where the regions come from, in words."""
    notes: tuple[str, ...] = ()
    """What a user should know of them."""

    def of_tiles(self, level: Level) -> NDArray[np.uint8]:
        """Return the class of each tile of a level: (rows, columns) uint8.

        0: no region reaches into the tile. Else 1 + the number of the first class that does.
        """
        found = np.zeros((level.grid.rows, level.grid.columns), np.uint8)
        for number in range(len(self.classes), 0, -1):
            found[touched_tiles(self.classes[number - 1].mask, level)] = number
        return found

    @classmethod
    def of_mask(cls, mask: TissueMask, name: str = "tissue", codec: str | None = None) -> Regions:
        """Return the regions of one class that a tissue mask makes.

        Raises:
            MaskError: the mask is empty.
        """
        if not mask.bits.words.any():
            raise MaskError(f"no {name}: the mask is empty, so there is no region to keep")
        return cls((RegionClass(name, mask, codec),), mask.source, mask.notes)

    @classmethod
    def of_arrays(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        info: SlideInfo,
        *,
        offset: tuple[float, float] | None = None,
        mpp: float | None = None,
        margin_um: float = 0.0,
        classes: ClassTable | None = None,
        threshold: float | None = None,
    ) -> Regions:
        """Return the regions of arrays by class, each (rows, columns): any type of number, or bool.

        A class lies where its array is not 0, of floats where it is at least `threshold` (default 0.5). The
        arrays show the whole slide at any scale, or with `offset` (level-0 pixels) or `mpp` (um per px of
        the arrays) a part. The first of overlapping classes counts.

        >>> tumour = np.zeros((100, 80), bool)
        >>> regions = Regions.of_arrays({"tumour": tumour}, slide.info)  # doctest: +SKIP

        Raises:
            MaskError: an array does not fit the slide, has samples that mean nothing, or all are empty.
        """
        options = RegionReading(margin_um, classes, offset, mpp, threshold)
        frame = Frame.of(info)
        return regions_from(read_arrays(arrays, frame, options), frame, options, "arrays", None)


def regions_from(
    found: Found, frame: Frame, options: RegionReading, source: str, path: Path | None
) -> Regions:
    """Return what was found in a file as regions: in order, with codecs and margin.

    Raises:
        MaskError: nothing was found, a class is not in the table, or the slide's um per px are needed and
            not stated.
    """
    table = options.classes or ClassTable({})
    bits = {name: each for name, each in found.bits.items() if each.words.any()}
    if not bits:
        raise MaskError(f"no region: {found.emptiness}", path)
    if options.classes:
        _check_known(bits, table, path)
    names = [name for name in table.order if name in bits] or list(bits)
    if len(names) > MOST_CLASSES:
        raise MaskError(f"{len(names)} classes, expected at most {MOST_CLASSES}; join some in a table", path)
    notes = (*found.notes, *_absent(bits, options.classes), *_contradictions(names, bits, table))
    margin_px = _margin_px(frame, options.margin_um, path) + _shift_px(frame)
    classes = tuple(
        RegionClass(name, grown(found.raster.mask(bits[name], frame, source), margin_px), table.codec(name))
        for name in names
    )
    covered = tuple(
        f"{quoted(each.name)} covers the whole slide" for each in classes if each.mask.tissue_fraction == 1
    )
    return Regions(classes, source, (*notes, *covered))


def grown(mask: TissueMask, margin_px: float) -> TissueMask:
    """Return the mask with everything within `margin_px`, in level-0 pixels, of any part of its pixels."""
    if margin_px <= 0:
        return mask
    beside: Any = mask.bits.with_neighbours()
    return replace(mask, pixels=beside).dilated(margin_px)


def _margin_px(frame: Frame, margin_um: float, path: Path | None) -> float:
    if margin_um <= 0:
        return 0.0
    if frame.mpp is None:
        raise MaskError(
            "the slide does not state its um per px, so there is no margin; leave `roi_margin_um` out", path
        )
    at_slide = Mpp(
        frame.mpp.x * frame.size.width / frame.slide.width,
        frame.mpp.y * frame.size.height / frame.slide.height,
    )
    return margin_um / min(at_slide.x, at_slide.y)


def _shift_px(frame: Frame) -> float:
    """Return by how many level-0 pixels a place may lie elsewhere where finer levels are left out.

    A level may have been reduced by a whole number, and the file's last pixels cut off.
    """
    sides = zip(frame.size.shape, frame.slide.shape, strict=True)
    return max(abs(size / step - slide) for size, slide in sides for step in possible_steps(size, slide))


def _check_known(bits: Mapping[str, BitMask], table: ClassTable, path: Path | None) -> None:
    unknown = [name for name in bits if name not in table.order]
    if unknown:
        some = ", ".join(quoted(name) for name in unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        known = ", ".join(quoted(name) for name in list(table.classes)[:10])
        raise MaskError(
            f'{some} not in the table of classes ({known}); add a line, or "*" for all others', path
        )


def _absent(bits: Mapping[str, BitMask], table: ClassTable | None) -> list[str]:
    absent = [name for name in table.order if name not in bits and name != OTHER] if table else []
    return (
        [f"no {', '.join(quoted(name) for name in absent)} there, though in the table of classes"]
        if absent
        else []
    )


def _contradictions(names: list[str], bits: Mapping[str, BitMask], table: ClassTable) -> list[str]:
    """Return a note of each class that lies over an earlier one of another codec, borders left out."""
    notes = []
    for number, name in enumerate(names):
        others = [each for each in names[:number] if table.codec(each) != table.codec(name)]
        over = [each for each in others if _overlap(bits[each], bits[name])]
        if over:
            notes.append(f"{quoted(name)} overlaps {', '.join(map(quoted, over))}, which counts there")
    return notes


def _overlap(first: BitMask, second: BitMask) -> bool:
    """Return whether two masks share 3 x 3 px anywhere: neighbours share the pixels of their border."""
    both = BitMask(first.words & second.words, first.columns)
    rows = np.flatnonzero(both.words.any(axis=1))
    if not len(rows):
        return False
    shared = both.pixels(slice(int(rows[0]), int(rows[-1]) + 1)).view(np.uint8)
    core = cv2.erode(shared, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return bool(core.any())
