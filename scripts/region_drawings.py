"""Regions that benchmarks draw on slides: a blob and discs, each of a part of the tissue."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsicomp.formats.base import Slide
from wsicomp.geometry import Size
from wsicomp.progress import no_progress
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overview import read_overview
from wsicomp.tissue.segmenters.unet import UnetSegmenter

PARTS = (0.1, 0.3)
DISCS = 12
STEP_PX = 16
"""The side of a pixel of the drawing, on level 0."""
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Drawing:
    """Regions on a slide."""

    name: str
    flags: Flags
    """(rows, columns) over the whole slide."""

    def mask(self, slide: Size) -> TissueMask:
        """Return the regions as a mask of a slide of this size."""
        rows, columns = self.flags.shape
        return TissueMask(self.flags, slide, slide.width / columns, slide.height / rows, self.name)

    def save(self, path: Path) -> Path:
        """Write the regions as a label image."""
        Image.fromarray(self.flags.astype(np.uint8)).save(path)
        return path

    def on(self, size: tuple[int, int]) -> Flags:
        """Return where the regions are on a level of (width, height): pixels that they reach into."""
        return _along(_along(self.flags, 0, size[1]), 1, size[0])


def _along(flags: Flags, axis: int, count: int) -> Flags:
    step = flags.shape[axis] / count
    first = np.floor(np.arange(count) * step + 1e-9).astype(int)
    last = np.ceil(np.arange(1, count + 1) * step - 1e-9).astype(int) - 1
    return flags.take(first, axis) | flags.take(last, axis)


def drawings(tissue: Flags) -> Iterator[Drawing]:
    """Yield one blob and twelve discs of each part of the tissue."""
    y, x = np.indices(tissue.shape)
    dense = cv2.blur(tissue.astype(np.float32), (tissue.shape[1] // 4, tissue.shape[0] // 4))
    middle = np.unravel_index(int(np.where(tissue, dense, -1).argmax()), tissue.shape)
    centres = np.random.default_rng(DISCS).choice(np.argwhere(tissue), DISCS, replace=False)
    for name, around in (("one blob", [middle]), ("twelve discs", centres)):
        away = np.min([np.hypot(y - row, x - column) for row, column in around], axis=0)
        for part in PARTS:
            yield Drawing(f"{name}, {part:.0%}", away <= np.quantile(away[tissue], part))


def found_tissue(slide: Slide) -> TissueMask:
    return UnetSegmenter().segment(slide, read_overview(slide, 1, no_progress), 1, no_progress)


def at_steps(mask: TissueMask) -> Flags:
    """Return a mask as pixels of a drawing: whether there is tissue in the middle of each."""
    rows, columns = (-(-side // STEP_PX) for side in mask.slide.shape)
    y = (np.arange(rows) + 0.5) * mask.slide.height / rows / mask.scale_y
    x = (np.arange(columns) + 0.5) * mask.slide.width / columns / mask.scale_x
    return mask.pixels[np.ix_(y.astype(int), x.astype(int))]
