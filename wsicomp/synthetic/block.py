"""Draw a scene in blocks of BLOCK x BLOCK pixels, the only size in which it is ever drawn.

Every block is drawn whole and alone, so a region's pixels cannot depend on the region they are part of.
Blocks of bare glass are few distinct ones, so a large slide costs little more than its tissue.
"""

from __future__ import annotations

from functools import lru_cache
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.synthetic.layout import CELL, FIELDS
from wsicomp.synthetic.noise import Floats, product, spline_matrix
from wsicomp.synthetic.scene import BLOCK, Scene
from wsicomp.synthetic.shapes import Shape, coverage
from wsicomp.synthetic.structure import Kind, densities
from wsicomp.synthetic.texture import (
    DETAIL_LIMIT,
    Place,
    Pyramid,
    Stain,
    coloured,
    detail_pyramid,
    glass_grain,
    texture_mpp,
)

Pixels = NDArray[np.uint8]
GlassKey = tuple[int, int, int]

FRAYING_UM = 13.0
"""How far the outline of the sections is frayed, in um per standard deviation of detail."""
SHADE_STEPS = 4
BRIGHTEST = 243.0
KEPT_GLASS_BLOCKS = 48
PALE_STRENGTH = 0.34
RIM_UM = 22.0
"""The width of the darker rim of sections: tissue dries and folds along its edge, and takes more dye."""
LAYERS = (
    (Kind.LOOSE, "loose", 60.0, 14.0),
    (Kind.EPITHELIUM, "epithelium", 16.0, 3.0),
    (Kind.FAT, "fat", 18.0, 6.0),
    (Kind.LYMPHOID, "lymphoid", 40.0, 6.0),
)
"""How each kind lies over those before it: its field, its noise in um, the width of its border in um."""
DETAIL_SHIFT = 320
COARSELY_READ = 8
"""Up to this downsample a field's cell spans so many pixels that every second one is enough."""


@lru_cache(maxsize=64)
def _reader(downsample: int, shift: int, cells: int) -> Floats:
    """Return the (pixels, cells) matrix that reads a field for a block `shift` cells inside."""
    count = BLOCK // 2 if downsample <= COARSELY_READ else BLOCK
    span = BLOCK * downsample / CELL
    parts = max(1, -(-downsample // 32))
    matrix = np.zeros((count, cells), np.float32)
    for part in range(parts):
        place = (np.arange(count) + (part + 0.5) / parts) * span / count - 0.5 + shift
        matrix += spline_matrix(np.clip(place, -1, cells), cells)
    return matrix / np.float32(parts)


def _span(block: int, downsample: int, cells: int) -> tuple[int, int, int]:
    """Return (first cell, one past the last, the block's corner in cells from the first) along one axis."""
    corner = block * BLOCK * downsample // CELL
    first = min(max(corner - 2, 0), cells - 1)
    last = min(max(corner + BLOCK * downsample // CELL + 2, first + 1), cells)
    return first, last, corner - first


class View:
    """A block of a scene at one downsample; its fields are read when first needed.

    `column` and `row` count blocks of BLOCK x BLOCK pixels, from 0, on the level with this `downsample`.
    """

    def __init__(self, scene: Scene, column: int, row: int, downsample: int) -> None:
        self.scene = scene
        self.column, self.row, self.downsample = column, row, downsample
        rows, columns = scene.ground.grid
        top, bottom, self._shift_y = _span(row, downsample, rows)
        left, right, self._shift_x = _span(column, downsample, columns)
        self._patch = scene.fields[:, top:bottom, left:right]

    def field(self, name: str) -> Floats:
        """Return a field at every pixel, (BLOCK, BLOCK)."""
        patch = self._patch[FIELDS.index(name)]
        down = _reader(self.downsample, self._shift_y, patch.shape[0])
        across = _reader(self.downsample, self._shift_x, patch.shape[1])
        read = product(down, np.ascontiguousarray(patch), np.ascontiguousarray(across.T))
        if read.shape[0] < BLOCK:
            read = np.asarray(cv2.resize(read, (BLOCK, BLOCK), interpolation=cv2.INTER_LINEAR))
        return read

    def reach(self, name: str) -> tuple[float, float]:
        """Return the lowest and highest value that a field can have in the block."""
        patch = self._patch[FIELDS.index(name)]
        return float(patch.min()), float(patch.max())

    @property
    def place(self) -> Place:
        """The block as a square of its level, where textures are read."""
        return Place(self.column * BLOCK, self.row * BLOCK, self.downsample, BLOCK)

    def detail(self, number: int = 0) -> Floats:
        """Return detail noise of spread 1, (BLOCK, BLOCK) float32; different numbers give unrelated noise."""
        pyramid = detail_pyramid(self.scene.ground.mpp)
        return np.asarray(pyramid.straight(self.place, number * DETAIL_SHIFT), dtype=np.float32)

    def touches(self, cells: NDArray[np.bool_]) -> bool:
        """Return whether any of the marked cells lies under the block.

        `cells` is (rows, columns) bool: a cell for each BLOCK x BLOCK level-0 pixels.
        """
        step = self.downsample
        under = cells[self.row * step : (self.row + 1) * step, self.column * step : (self.column + 1) * step]
        return bool(under.any())

    def covered(self, shape: Shape) -> Floats | None:
        """Return the part of each pixel that a shape covers, (BLOCK, BLOCK) in [0, 1].

        Return None if the shape does not reach the block.
        """
        side = BLOCK * self.downsample
        left, top = self.column * side, self.row * side
        if not shape.meets(left, top, left + side, top + side):
            return None
        return coverage(shape, self.column * BLOCK, self.row * BLOCK, BLOCK, self.downsample)

    def edge(self, distance: Floats, width_um: float) -> Floats:
        """Return a mask in [0, 1], in the shape of `distance`, near 1 where that distance in um is positive.

        The edge is `width_um` wide, but at least a pixel.
        """
        width = max(width_um, self.downsample * self.scene.ground.mpp)
        return np.asarray(np.clip(distance / np.float32(width) + np.float32(0.5), 0, 1))


class Painter:
    """Draws the blocks of one scene. May be used by several threads.

    `column` and `row` count blocks of BLOCK x BLOCK pixels, from 0, on the level with this `downsample`.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._textures: dict[Kind, Pyramid] = {}
        self._lock = Lock()
        self._glass: dict[GlassKey, Pixels] = {}

    def prepare(self) -> None:
        """Make the textures now, one after another, instead of at once in several threads."""
        glass_grain()
        detail_pyramid(self.scene.ground.mpp)
        if self.scene.ground.sections or self.scene.fragments:
            for kind in Kind:
                self._texture(kind)

    def block(self, column: int, row: int, downsample: int) -> Pixels:
        """Return the block's pixels, (BLOCK, BLOCK, 3) uint8 RGB; do not write to them."""
        view = View(self.scene, column, row, downsample)
        glass = self._glass_of(view)
        picture = self._with_sections(view, glass)
        if view.touches(self.scene.fragment_cells):
            picture = self._with_fragments(view, picture)
        if view.touches(self.scene.artefact_cells):
            picture = _with_artefacts(view, picture)
        return picture

    def truth(self, column: int, row: int, downsample: int) -> NDArray[np.bool_]:
        """Return the true mask of the block, (BLOCK, BLOCK) bool: True is tissue."""
        view = View(self.scene, column, row, downsample)
        low, high = view.reach("section")
        limit = FRAYING_UM * DETAIL_LIMIT
        tissue = np.full((BLOCK, BLOCK), low > limit)
        if high > -limit and low <= limit:
            tissue = _section_distance(view) > 0
        if view.touches(self.scene.fragment_cells):
            for _, shape in self.scene.fragments:
                cover = view.covered(shape)
                tissue = tissue if cover is None else tissue | (cover >= 0.5)
        return tissue

    def glass_key(self, column: int, row: int, downsample: int) -> GlassKey | None:
        """Return the key of a level-0 block of bare glass, so that blocks with one key are equal.

        Return None for blocks with more than glass, and on other levels.
        """
        if downsample != 1:
            return None
        view = View(self.scene, column, row, 1)
        if view.reach("section")[1] > -FRAYING_UM * DETAIL_LIMIT:
            return None
        if view.touches(self.scene.fragment_cells) or view.touches(self.scene.artefact_cells):
            return None
        return _shade_key(view)

    def _glass_of(self, view: View) -> Pixels:
        """Return the block as if nothing lay on the glass."""
        if view.downsample != 1:
            return _lit_glass(view, view.field("shade"))
        key = _shade_key(view)
        kept = self._glass.get(key)
        if kept is None:
            kept = _lit_glass(view, np.float32(key[2] / SHADE_STEPS))
            if len(self._glass) >= KEPT_GLASS_BLOCKS:
                self._glass.clear()
            self._glass[key] = kept
        return kept

    def _with_sections(self, view: View, glass: Pixels) -> Pixels:
        low, high = view.reach("section")
        limit = FRAYING_UM * DETAIL_LIMIT
        if high <= -limit:
            return glass
        tissue = self._tissue(view)
        tone = np.clip(view.field("tone") * np.float32(0.11) + np.float32(0.10), 0, 0.4)
        if low > limit + RIM_UM:
            return _thickened(tissue, tone)
        distance = _section_distance(view)
        inside = view.edge(distance, 1.5)
        tone += np.clip(1 - np.abs(distance - 8) / RIM_UM, 0, 1) * np.float32(0.5)
        return _blend(glass, _thickened(tissue, tone), inside)

    def _with_fragments(self, view: View, picture: Pixels) -> Pixels:
        tissue: Pixels | None = None
        for fragment, shape in self.scene.fragments:
            cover = view.covered(shape)
            if cover is not None and cover.any():
                tissue = self._tissue(view) if tissue is None else tissue
                strength = np.float32(PALE_STRENGTH if fragment.pale else 1.0)
                picture = _blend(picture, tissue, cover * strength)
        return picture

    def _tissue(self, view: View) -> Pixels:
        """Return the block as if a section covered all of it."""
        mpp = self.scene.ground.mpp
        moved_x, moved_y = view.field("moved_x") / np.float32(mpp), view.field("moved_y") / np.float32(mpp)
        masks = _layer_masks(view)
        full = [number for number, (_, mask) in enumerate(masks) if mask.min() >= 1]
        masks = masks[full[-1] :] if full else masks
        maps = self._texture(masks[0][0]).maps(view.place, moved_x, moved_y)
        picture: Pixels | None = None
        for kind, mask in masks:
            texture = np.asarray(self._texture(kind).through(maps), dtype=np.uint8)
            picture = texture if picture is None else _blend(picture, texture, mask)
        assert picture is not None
        return picture

    def _texture(self, kind: Kind) -> Pyramid:
        with self._lock:
            if kind not in self._textures:
                mpp = self.scene.ground.mpp
                image = coloured(densities(kind, texture_mpp(mpp)), self.scene.stain)
                self._textures[kind] = Pyramid(image, texture_mpp(mpp) / mpp)
            return self._textures[kind]


def _layer_masks(view: View) -> list[tuple[Kind, Floats]]:
    """Return the kinds present in the block from the lowest up, each with its mask in [0, 1]."""
    masks = [(Kind.COLLAGEN, np.ones((BLOCK, BLOCK), np.float32))]
    for kind, name, ragged, width in LAYERS:
        low, high = view.reach(name)
        if high <= -ragged * DETAIL_LIMIT - width:
            continue
        if low >= ragged * DETAIL_LIMIT + width:
            masks.append((kind, np.ones((BLOCK, BLOCK), np.float32)))
            continue
        distance = view.field(name) + np.float32(ragged) * view.detail(kind.value)
        mask = view.edge(distance, width)
        if mask.max() > 0:
            masks.append((kind, mask))
    return masks


def _section_distance(view: View) -> Floats:
    return view.field("section") + np.float32(FRAYING_UM) * view.detail()


def _shade_key(view: View) -> GlassKey:
    """Return (x and y in the grain's period, brightness in steps) of a level-0 block."""
    period = glass_grain().mips[0].shape[0]
    low, high = view.reach("shade")
    x, y = view.column * BLOCK % period, view.row * BLOCK % period
    return x, y, round((low + high) / 2 * SHADE_STEPS)


def _lit_glass(view: View, shade: Floats | np.float32) -> Pixels:
    grain = glass_grain().straight(view.place)
    light = np.asarray(view.scene.stain.glass, np.float32) + np.asarray(shade)[..., None] * _tint(
        view.scene.stain
    )
    return np.asarray(np.clip(np.rint(grain + light), 0, 255), dtype=np.uint8)


def _tint(stain: Stain) -> Floats:
    """Return how much each channel follows the brightness: warm lamps lose more blue."""
    red, _, blue = stain.glass
    return np.array([0.9 + (red - blue) * 0.05, 1.0, 0.9 - (red - blue) * 0.05], np.float32)


def _blend(under: Pixels, over: Pixels, share: Floats) -> Pixels:
    share = np.ascontiguousarray(share, dtype=np.float32)
    return np.asarray(cv2.blendLinear(under, over, 1 - share, share), dtype=np.uint8)


def _thickened(tissue: Pixels, share: Floats) -> Pixels:
    """Return tissue partly as if cut twice as thick: dye darkens, clear places stay clear."""
    doubled = cv2.multiply(tissue, tissue, scale=1 / BRIGHTEST)
    return _blend(tissue, np.asarray(doubled, dtype=np.uint8), share)


def _with_artefacts(view: View, picture: Pixels) -> Pixels:
    """Return the block under everything on top of it, each thing taking its part of the light."""
    passed = np.ones((BLOCK, BLOCK, 3), np.float32)
    for shape in view.scene.artefacts:
        cover = view.covered(shape)
        if cover is None or not cover.any():
            continue
        if shape.streaks:
            cover = cover * (1 - np.float32(shape.streaks) * np.clip(view.detail(6) * 0.35 + 0.4, 0, 1))
        passed *= 1 - cover[..., None] * (1 - np.asarray(shape.light, np.float32))
    return np.asarray(np.rint(picture * passed), dtype=np.uint8)
