"""Coloured textures of one slide at every downsample, and how a block reads them.

A texture is seamless, so that any place on a slide of any size can read it; its reductions are box
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
# Detail noise is cut at this many standard deviations, so that a block farther than this from an outline
# is known to be free of it.
DETAIL_LIMIT = 3.0


@dataclass(frozen=True)
class Stain:
    """Optical density per unit of each dye in red, green and blue, and the colour of clear glass (0-255)."""

    hematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    glass: tuple[float, float, float]


def drawn_stain(rng: np.random.Generator) -> Stain:
    """A laboratory's and a scanner's colours: hues, strengths and the tint of the light."""
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
    """The light, shape (PERIOD, PERIOD, 3), that passes the dyes."""
    steps = np.arange(256) / DENSITY_STEPS
    planes = []
    for channel in range(3):
        passed_h = np.rint(255 * np.exp(-steps * stain.hematoxylin[channel])).astype(np.uint8)
        passed_e = np.rint(255 * np.exp(-steps * stain.eosin[channel])).astype(np.uint8)
        light_h, light_e = cv2.LUT(pattern.hematoxylin, passed_h), cv2.LUT(pattern.eosin, passed_e)
        planes.append(cv2.multiply(light_h, light_e, scale=stain.glass[channel] / 255**2))
    return np.asarray(cv2.merge(planes), dtype=np.uint8)


class Pyramid:
    """A seamless image with its halvings; `pixel` is how many level-0 pixels one of its pixels spans."""

    def __init__(self, image: Image, pixel: float) -> None:
        self.pixel = pixel
        self.mips = [image]
        while self.mips[-1].shape[0] > SMALLEST_MIP:
            side = self.mips[-1].shape[0] // 2
            self.mips.append(cv2.resize(self.mips[-1], (side, side), interpolation=cv2.INTER_AREA))

    def read(self, place: Place) -> Image:
        """The texture under a block, moved as the place says."""
        step = place.downsample / self.pixel
        number = min(int(np.log2(max(step, 1.0)) + 1e-9), len(self.mips) - 1)
        mip = self.mips[number]
        step /= 2**number
        scale = step / place.downsample
        map_x = _along(place.x, step, mip.shape[1], place.moved_x * np.float32(scale), place.side)
        map_y = _along(place.y, step, mip.shape[0], place.moved_y.T * np.float32(scale), place.side)
        return cv2.remap(
            mip, map_x, np.ascontiguousarray(map_y.T), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )


@dataclass(frozen=True)
class Place:
    """Where a block reads a texture: upper left corner in pixels of its level, and displacements.

    `moved_x` and `moved_y` are fields of shape (side, side), or zeros of shape (1, 1), in level-0 pixels.
    """

    x: int
    y: int
    downsample: int
    side: int
    moved_x: Floats
    moved_y: Floats


def _along(start: int, step: float, period: int, moved: Floats, count: int) -> Floats:
    """Where to read along the last axis, shape (count, count), within a few periods of zero.

    OpenCV takes coordinates of 16 bits, so that whole periods go before single precision is needed.
    """
    anchor = float(moved.flat[0])
    first = (start * step + anchor) % period - anchor
    places = np.asarray(first + (np.arange(count) + 0.5) * step - 0.5, dtype=np.float32)
    return np.ascontiguousarray(np.broadcast_to(places[None, :] + moved, (count, count)))


def texture_mpp(mpp: float) -> float:
    """The um per pixel at which structure is drawn: the slide's own, at most FINEST_MPP."""
    return min(mpp, FINEST_MPP)


@lru_cache(maxsize=3)
def detail_pyramid(mpp: float) -> Pyramid:
    """Noise of spread 1 on all lengths from 3 to 160 um, cut at DETAIL_LIMIT, that frays outlines."""
    drawn = texture_mpp(mpp)
    rng = np.random.default_rng([99, round(drawn * 10000)])
    noise = periodic_octaves(rng, PERIOD, [length / drawn for length in (160, 80, 40, 20, 10, 5, 3)])
    return Pyramid(np.clip(noise, -DETAIL_LIMIT, DETAIL_LIMIT), drawn / mpp)


@lru_cache(maxsize=1)
def glass_grain() -> Pyramid:
    """Sensor noise in grey levels, float32, the same whatever the resolution."""
    rng = np.random.default_rng(7)
    side = PERIOD // 2
    grey = rng.standard_normal((side, side, 1), dtype=np.float32)
    colour = rng.standard_normal((side, side, 3), dtype=np.float32)
    noise = 0.9 * grey + cv2.blur(colour, (2, 2)) * np.float32(1.0)
    return Pyramid(np.asarray(noise, dtype=np.float32), 1.0)
