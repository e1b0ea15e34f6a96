"""Rendering any region of a drawn slide at any level, without ever drawing the rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import Region, Size
from wsicomp.synthetic.scene import Contents, Fragment, Outline, Scene, Stroke, draw_scene
from wsicomp.synthetic.texture import textures

_SUBPIXEL_BITS = 4
_LIGHT_CELL_PX = 256
_LIGHT_FALL = 9.0
_NEAR_PX = 4
_TEXTURE_SEEDS = 3


@dataclass(frozen=True)
class SyntheticSlide:
    """A deterministic function of its fields: a slide of `size` level-0 pixels at `mpp` um a pixel.

    `sections` large pieces of tissue cover about `tissue_fraction` of it, `fragments` small ones of 55 to
    500 um lie anywhere, every third of them pale.
    """

    size: Size
    seed: int = 0
    mpp: float = 0.5
    sections: int = 2
    fragments: int = 12
    tissue_fraction: float = 0.35
    pen: bool = True
    dust: bool = True
    coverslip: bool = True

    @property
    def fragments_drawn(self) -> tuple[Fragment, ...]:
        """The small pieces and where they lie."""
        return self._scene.fragments

    def render(self, region: Region, downsample: int = 1) -> NDArray[np.uint8]:
        """(rows, columns, 3) uint8 RGB of a region in the pixels of the level with this downsample."""
        paper = textures(self.seed % _TEXTURE_SEEDS, self.mpp, downsample)
        pixels = _papered(paper["glass"], region)
        for patch in self._scene.patches:
            cover = _cover(patch.outline, region, downsample)
            if cover is None:
                continue
            if cover.all() and cover.min() == 255:
                pixels = _papered(paper[patch.texture], region)
            else:
                pixels = _blended(pixels, _papered(paper[patch.texture], region), cover)
        for stroke in self._scene.strokes:
            pixels = _stroked(pixels, stroke, region, downsample)
        return _lit(pixels, self._light(region, downsample))

    def truth(self, region: Region, downsample: int = 1) -> NDArray[np.bool_]:
        """(rows, columns) bool of the same frame as `render`: True where at least half is tissue."""
        tissue = np.zeros((region.height, region.width), np.bool_)
        for outline in self._scene.tissue:
            cover = _cover(outline, region, downsample)
            if cover is not None:
                tissue |= cover > 127
        return tissue

    def plain_key(self, region: Region, downsample: int) -> tuple[object, ...] | None:
        """What a region looks like if one texture fills it under even light: equal keys, equal pixels."""
        name = "glass"
        for patch in self._scene.patches:
            cover = _cover(patch.outline, region, downsample, coarse=True)
            if cover is None:
                continue
            if not cover.all():
                return None
            name = patch.texture
        if any(
            _reaches(stroke.points, region, downsample, stroke.width_px) for stroke in self._scene.strokes
        ):
            return None
        light = self._light(region, downsample)
        if (light != light[0, 0]).any():
            return None
        side = textures(self.seed % _TEXTURE_SEEDS, self.mpp, downsample)["glass"].shape[0]
        return name, int(light[0, 0]), region.x % side, region.y % side, region.width, region.height

    @cached_property
    def _scene(self) -> Scene:
        contents = Contents(
            self.sections, self.fragments, self.tissue_fraction, self.pen, self.dust, self.coverslip
        )
        return draw_scene(self.size, self.mpp, self.seed, contents)

    def _light(self, region: Region, downsample: int) -> NDArray[np.int16]:
        """Grey levels that the lamp falls short by: whole ones, even in cells of 256 level-0 pixels."""
        x = ((np.arange(region.width) + region.x) * downsample // _LIGHT_CELL_PX + 0.5) * _LIGHT_CELL_PX
        y = ((np.arange(region.height) + region.y) * downsample // _LIGHT_CELL_PX + 0.5) * _LIGHT_CELL_PX
        across, down = x / self.size.width - 0.42, y / self.size.height - 0.55
        fall = _LIGHT_FALL * 4 * (across[None, :] ** 2 + 0.6 * down[:, None] ** 2)
        return np.rint(np.minimum(fall, 2 * _LIGHT_FALL)).astype(np.int16)


def _papered(texture: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    side = texture.shape[0]
    rows, columns = (np.arange(region.height) + region.y) % side, (np.arange(region.width) + region.x) % side
    return np.asarray(texture[rows[:, None], columns])


def _reaches(points: Outline, region: Region, downsample: int, margin_px: float) -> bool:
    low, high = points.min(axis=0) - margin_px, points.max(axis=0) + margin_px
    edge = _NEAR_PX
    return bool(
        low[0] < (region.x + region.width + edge) * downsample
        and high[0] > (region.x - edge) * downsample
        and low[1] < (region.y + region.height + edge) * downsample
        and high[1] > (region.y - edge) * downsample
    )


def _cover(
    outline: Outline, region: Region, downsample: int, coarse: bool = False
) -> NDArray[np.uint8] | None:
    """(rows, columns) 0 to 255, how much of each pixel an outline covers; None where it does not reach.

    `coarse` looks at every eighth pixel and 4 px beyond the region, to tell whether all is covered.
    """
    if not _reaches(outline, region, downsample, 0):
        return None
    step = 8 if coarse else 1
    edge = _NEAR_PX if coarse else 0
    rows, columns = -(-(region.height + 2 * edge) // step), -(-(region.width + 2 * edge) // step)
    cover = np.zeros((rows, columns), np.uint8)
    # cv2 puts whole numbers at pixel centres, this module at pixel corners.
    local = (outline / downsample - (region.x - edge, region.y - edge)) / step - 0.5
    points = np.rint(local * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(cover, [points], 255, cv2.LINE_8 if coarse else cv2.LINE_AA, _SUBPIXEL_BITS)
    return cover if cover.any() else None


def _blended(
    below: NDArray[np.uint8], above: NDArray[np.uint8], cover: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    share = cover.astype(np.uint16)[..., None]
    return ((below * (255 - share) + above * share + 127) // 255).astype(np.uint8)


def _stroked(pixels: NDArray[np.uint8], stroke: Stroke, region: Region, downsample: int) -> NDArray[np.uint8]:
    if not _reaches(stroke.points, region, downsample, stroke.width_px):
        return pixels
    width = stroke.width_px / downsample
    cover = np.zeros(pixels.shape[:2], np.uint8)
    local = stroke.points / downsample - (region.x, region.y) - 0.5
    points = np.rint(local * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    # A line thinner than a pixel is drawn one pixel wide, and fainter.
    strength = round(255 * stroke.opacity * min(1.0, width))
    cv2.polylines(cover, [points], False, strength, max(1, round(width)), cv2.LINE_AA, _SUBPIXEL_BITS)
    return _blended(pixels, np.broadcast_to(np.array(stroke.color, np.uint8), pixels.shape), cover)


def _lit(pixels: NDArray[np.uint8], light: NDArray[np.int16]) -> NDArray[np.uint8]:
    return np.clip(pixels - light[..., None], 0, 255).astype(np.uint8)
