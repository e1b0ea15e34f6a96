"""The synthetic slide: a value that describes a picture of any size and its true tissue mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Region, Size
from wsicomp.synthetic.block import Painter
from wsicomp.synthetic.layout import Ground
from wsicomp.synthetic.scene import BLOCK, SceneOptions, drawn_scene
from wsicomp.synthetic.shapes import Fragment


@dataclass(frozen=True)
class SyntheticSlide:
    """A drawn H&E slide whose true tissue mask is known, a deterministic function of these fields.

    Nothing of level 0 is held in memory. A region is drawn when it is asked for, and equals the same part of
    every larger region.

    >>> slide = SyntheticSlide(Size(512, 512), seed=1, sections=0, fragments=0)
    >>> slide.render(Region(0, 0, 64, 32)).shape
    (32, 64, 3)
    >>> bool(slide.truth(Region(0, 0, 64, 32)).any())
    False
    """

    size: Size
    """Width and height of level 0 in pixels."""
    seed: int = 0
    """Decides layout, colours and artefacts; not negative."""
    mpp: float = 0.5
    """Um per level-0 pixel, the scale at which structures are drawn."""
    sections: int = 2
    """The number of large pieces of tissue."""
    fragments: int = 12
    """The number of separate pieces of 50 to 500 um (smaller on slides too small for them).

    A third of them is pale, a third lies across a tile border. There are fewer if the sections leave no room.
    """
    pen: bool = True
    """Whether a stroke of a marker lies on the glass."""
    dust: bool = True
    """Whether specks and hairs lie on the glass."""
    coverslip: bool = True
    """Whether two edges of the cover glass are in view."""
    tissue_fraction: float = 0.35
    """The part of the slide's area that the sections cover, 0 to 0.97."""

    def render(self, region: Region, downsample: int = 1) -> NDArray[np.uint8]:
        """Return the picture of a region, (rows, columns, 3) uint8 RGB.

        The region is in pixels of the level with this downsample. It may reach past the slide's right and
        lower edge, where the drawing continues.

        Raises:
            ValueError: the region begins left of or above the slide.
        """
        painter = painter_of(self)
        picture = np.empty((*region.size.shape, 3), np.uint8)
        for column, row, there, here in _blocks(region):
            picture[there] = painter.block(column, row, downsample)[here]
        return picture

    def truth(self, region: Region, downsample: int = 1) -> NDArray[np.bool_]:
        """Return the true mask of a region, (rows, columns) bool: True is tissue.

        The region is in pixels of the level with this downsample, as for `render`. Fat and holes inside
        sections are tissue; pen, dust, cover glass and slide are not.

        Raises:
            ValueError: the region begins left of or above the slide.
        """
        painter = painter_of(self)
        tissue = np.empty(region.size.shape, np.bool_)
        for column, row, there, here in _blocks(region):
            tissue[there] = painter.truth(column, row, downsample)[here]
        return tissue

    @property
    def fragments_drawn(self) -> tuple[Fragment, ...]:
        """The fragments for which there was room, in level-0 pixels."""
        return tuple(fragment for fragment, _ in painter_of(self).scene.fragments)


@lru_cache(maxsize=3)
def painter_of(slide: SyntheticSlide) -> Painter:
    """Return the painter of a slide, kept for the slides used last: its textures take a second to make."""
    ground = Ground(slide.size, slide.mpp, slide.sections, slide.tissue_fraction)
    wanted = SceneOptions(slide.seed, slide.fragments, slide.pen, slide.dust, slide.coverslip)
    return Painter(drawn_scene(ground, wanted))


Window = tuple[slice, slice]


def _blocks(region: Region) -> Iterator[tuple[int, int, Window, Window]]:
    """Yield (column, row, window in the region, window in the block) of every block under a region."""
    if region.x < 0 or region.y < 0:
        raise ValueError(f"a region at ({region.x}, {region.y}), expected x and y of 0 or more")
    for row, rows, own_rows in _cuts(region.y, region.height):
        for column, columns, own_columns in _cuts(region.x, region.width):
            yield column, row, (rows, columns), (own_rows, own_columns)


def _cuts(start: int, length: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield (block, its part of the span, that part inside the block) along one axis."""
    for block in range(start // BLOCK, -(-(start + length) // BLOCK)):
        first, last = max(start, block * BLOCK), min(start + length, (block + 1) * BLOCK)
        yield block, slice(first - start, last - start), slice(first - block * BLOCK, last - block * BLOCK)
