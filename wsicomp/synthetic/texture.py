"""Coloured textures of one slide at every downsample, and how a block reads them.

A texture is seamless, so that any place on a slide of any size can read it. Its reductions are box
reductions, so that all levels of a slide agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.synthetic.noise import Floats, periodic_octaves
from wsicomp.synthetic.structure import DENSITY_STEPS, PERIOD, Densities

Image = NDArray[Any]
FINEST_MPP = 1.0
SMALLEST_MIP = 8
DETAIL_LIMIT = 3.0
"""Standard deviations at which detail noise is cut, so that a block further from an outline is free of it."""


@dataclass(frozen=True)
class Stain:
    """A slide's colours."""

    hematoxylin: tuple[float, float, float]
    """Optical density in red, green and blue of a unit of hematoxylin."""
    eosin: tuple[float, float, float]
    """Optical density in red, green and blue of a unit of eosin."""
    glass: tuple[float, float, float]
    """RGB of clear glass, 0 to 255."""


def drawn_stain(rng: np.random.Generator) -> Stain:
    """Return random colours of a laboratory and a scanner: hues, strengths and the tint of the lamp."""
    strength, pinkness = rng.uniform(0.88, 1.15), rng.uniform(0.9, 1.15)
    blueness, warmth = rng.uniform(-0.12, 0.12), rng.uniform(-1.5, 1.5)
    hematoxylin = np.array([0.98 + blueness, 1.02, 0.50 - blueness / 2]) * strength
    eosin = np.array([0.13, 0.88, 0.50 + blueness]) * pinkness
    bright = rng.uniform(240, 244.5)
    glass = np.array([bright + warmth, bright - 0.8, bright - warmth])
    red, green, blue = glass.tolist()
    return Stain(_triple(hematoxylin), _triple(eosin), (red, green, blue))


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    red, green, blue = values.tolist()
    return red, green, blue


def coloured(pattern: Densities, stain: Stain) -> NDArray[np.uint8]:
    """Return the light that passes the dyes, (PERIOD, PERIOD, 3) uint8 RGB."""
    steps = np.arange(256) / DENSITY_STEPS
    planes = []
    for channel in range(3):
        passed_h = np.rint(255 * np.exp(-steps * stain.hematoxylin[channel])).astype(np.uint8)
        passed_e = np.rint(255 * np.exp(-steps * stain.eosin[channel])).astype(np.uint8)
        light_h, light_e = cv2.LUT(pattern.hematoxylin, passed_h), cv2.LUT(pattern.eosin, passed_e)
        planes.append(cv2.multiply(light_h, light_e, scale=stain.glass[channel] / 255**2))
    return np.asarray(cv2.merge(planes), dtype=np.uint8)


@dataclass(frozen=True)
class Place:
    """A square block of a level."""

    x: int
    """The left edge in the level's pixels."""
    y: int
    """The upper edge in the level's pixels."""
    downsample: int
    """The level's downsample."""
    side: int
    """The side in the level's pixels."""


@dataclass(frozen=True, eq=False)
class Maps:
    """The places at which a block reads image pyramids of one geometry."""

    mip: int
    """The reduction that is read, 0 for the full image."""
    whole: Image
    """Whole coordinates, in OpenCV's fixed-point form."""
    fraction: Image
    """Fractions of coordinates, in OpenCV's fixed-point form."""


class Pyramid:
    """A seamless image with its halvings. One of its pixels spans `pixel` level-0 pixels."""

    def __init__(self, image: Image, pixel: float) -> None:
        self.pixel = pixel
        self.mips = [image]
        while self.mips[-1].shape[0] > SMALLEST_MIP:
            side = self.mips[-1].shape[0] // 2
            self.mips.append(cv2.resize(self.mips[-1], (side, side), interpolation=cv2.INTER_AREA))

    def straight(self, place: Place, shift: int = 0) -> Image:
        """Return the image under a block, (side, side) or (side, side, 3).

        It is moved by `shift` level-0 pixels along both axes.
        """
        mip, step = self._mip(place.downsample)
        moved = shift / place.downsample
        side = self.mips[mip].shape[0]
        if step == 1.0 and moved.is_integer():
            rows = (place.y + int(moved) + np.arange(place.side)) % side
            columns = (place.x + int(moved) + np.arange(place.side)) % side
            return np.asarray(self.mips[mip].take(rows, axis=0).take(columns, axis=1))
        nothing = np.full((1, 1), shift, np.float32)
        return self.through(self.maps(place, nothing, nothing))

    def maps(self, place: Place, moved_x: Floats, moved_y: Floats) -> Maps:
        """Return the places at which a block is read if its pixels are moved by two fields in level-0 pixels.

        Each field is (side, side) of the block, or (1, 1) for all its pixels.
        """
        mip, step = self._mip(place.downsample)
        period = self.mips[mip].shape[0]
        scale = np.float32(step / place.downsample)
        map_x, map_y = (np.empty((place.side, place.side), np.float32) for _ in range(2))
        moved_x, moved_y = moved_x * scale, moved_y * scale
        first_x = _first(place.x * step, float(moved_x.flat[0]), period)
        first_y = _first(place.y * step, float(moved_y.flat[0]), period)
        along = np.asarray((np.arange(place.side) + 0.5) * step - 0.5)
        np.add((along + first_x).astype(np.float32)[None, :], moved_x, out=map_x)
        np.add((along + first_y).astype(np.float32)[:, None], moved_y, out=map_y)
        whole, fraction = cv2.convertMaps(map_x, map_y, cv2.CV_16SC2)
        return Maps(mip, whole, fraction)

    def through(self, maps: Maps) -> Image:
        """Return the image, read through maps of a pyramid of the same geometry.

        It is (side, side) or (side, side, 3) of the block for which the maps were made.
        """
        image = self.mips[maps.mip]
        mapped = cv2.remap(image, maps.whole, maps.fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return np.asarray(mapped)

    def _mip(self, downsample: int) -> tuple[int, float]:
        """Return the reduction that a level reads, and how many of its pixels a pixel of the level spans."""
        step = downsample / self.pixel
        mip = min(int(np.log2(max(step, 1.0)) + 1e-9), len(self.mips) - 1)
        return mip, float(step / 2**mip)


def _first(start: float, moved: float, period: int) -> float:
    """Return the start without whole periods, so that moved coordinates fit OpenCV's 16 bits."""
    return (start + moved) % period - moved


def texture_mpp(mpp: float) -> float:
    """Return the um per pixel at which structure is drawn: the slide's own, at most FINEST_MPP."""
    return min(mpp, FINEST_MPP)


@lru_cache(maxsize=3)
def detail_pyramid(mpp: float) -> Pyramid:
    """Return the noise that frays outlines: spread 1, all lengths from 3 to 160 um, cut at DETAIL_LIMIT."""
    drawn = texture_mpp(mpp)
    rng = np.random.default_rng([99, round(drawn * 10000)])
    noise = periodic_octaves(rng, PERIOD, [length / drawn for length in (160, 80, 40, 20, 10, 5, 3)])
    return Pyramid(np.clip(noise, -DETAIL_LIMIT, DETAIL_LIMIT), drawn / mpp)


@lru_cache(maxsize=1)
def glass_grain() -> Pyramid:
    """Return sensor noise in grey levels, float32, the same at every mpp."""
    rng = np.random.default_rng(7)
    side = PERIOD // 2
    grey = rng.standard_normal((side, side, 1), dtype=np.float32)
    colour = rng.standard_normal((side, side, 3), dtype=np.float32)
    noise = 0.9 * grey + cv2.blur(colour, (2, 2)) * np.float32(1.0)
    return Pyramid(np.asarray(noise, dtype=np.float32), 1.0)
