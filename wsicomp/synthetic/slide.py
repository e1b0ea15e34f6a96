"""The synthetic slide itself: a value that stands for a picture of any size and its true tissue mask."""

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

    Nothing of level 0 is held in memory: any region is drawn when asked for, and is equal to the same part
    of any larger region.

    Attributes:
        size: Level-0 pixels.
        seed: Decides layout, colours and artefacts; not negative.
        mpp: Um per level-0 pixel, the scale at which structures are drawn.
        sections: Large pieces of tissue; 0 for none.
        fragments: Separate pieces of 50-500 um (less on slides too small for them), a third of them pale, a
            third across a tile border; fewer where there is no room beside the sections.
        pen: Whether a marker's stroke lies on the glass.
        dust: Whether specks and hairs lie on the glass.
        coverslip: Whether two edges of the cover glass are in view.
        tissue_fraction: Share of the slide's area that the sections cover, 0-0.97.
    """

    size: Size
    seed: int = 0
    mpp: float = 0.5
    sections: int = 2
    fragments: int = 12
    pen: bool = True
    dust: bool = True
    coverslip: bool = True
    tissue_fraction: float = 0.35

    def render(self, region: Region, downsample: int = 1) -> NDArray[np.uint8]:
        """The picture of a region, shape (rows, columns, 3), RGB.

        The region is in the pixels of the level whose downsample is given; it may reach past the slide's
        right and lower edge, where the drawing goes on, but not past the others.
        """
        painter = painter_of(self)
        picture = np.empty((*region.size.shape, 3), np.uint8)
        for column, row, there, here in _blocks(region):
            picture[there] = painter.block(column, row, downsample)[here]
        return picture

    def truth(self, region: Region, downsample: int = 1) -> NDArray[np.bool_]:
        """The true mask of a region as in `render`, shape (rows, columns): True where there is tissue.

        Fat and holes inside sections are tissue; pen, dust, cover glass and slide are not.
        """
        painter = painter_of(self)
        tissue = np.empty(region.size.shape, np.bool_)
        for column, row, there, here in _blocks(region):
            tissue[there] = painter.truth(column, row, downsample)[here]
        return tissue

    @property
    def fragments_drawn(self) -> tuple[Fragment, ...]:
        """The fragments that found room, in level-0 pixels."""
        return tuple(fragment for fragment, _ in painter_of(self).scene.fragments)


@lru_cache(maxsize=3)
def painter_of(slide: SyntheticSlide) -> Painter:
    """What draws a slide, kept for the slides used last: its textures take a second to make."""
    ground = Ground(slide.size, slide.mpp, slide.sections, slide.tissue_fraction)
    wanted = SceneOptions(slide.seed, slide.fragments, slide.pen, slide.dust, slide.coverslip)
    return Painter(drawn_scene(ground, wanted))


Window = tuple[slice, slice]


def _blocks(region: Region) -> Iterator[tuple[int, int, Window, Window]]:
    """(column, row, window in the region, window in the block) of every block under a region."""
    if region.x < 0 or region.y < 0:
        raise ValueError(f"a region begins at ({region.x}, {region.y}), outside the slide")
    for row, rows, own_rows in _cuts(region.y, region.height):
        for column, columns, own_columns in _cuts(region.x, region.width):
            yield column, row, (rows, columns), (own_rows, own_columns)


def _cuts(start: int, length: int) -> Iterator[tuple[int, slice, slice]]:
    """(block, its part of the span, that part inside the block) along one axis."""
    for block in range(start // BLOCK, -(-(start + length) // BLOCK)):
        first, last = max(start, block * BLOCK), min(start + length, (block + 1) * BLOCK)
        yield block, slice(first - start, last - start), slice(first - block * BLOCK, last - block * BLOCK)
