"""Periodic pictures of glass and tissue at half a micrometre a pixel, which a slide is papered with.

A texture repeats every `PERIOD_PX` pixels without a seam, so that tiles inside one texture are few.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

PERIOD_PX = 1024
"""Level-0 pixels after which a texture repeats."""

NAMES = ("glass", "stroma", "collagen", "cells", "fat", "faint")
"""What there is to draw with: bare glass, loose and dense connective tissue, nuclei, fat, pale tissue."""

_DRAWN_MPP = 0.5
_NUCLEUS_UM = 3.4
_FAT_CELL_UM = 45.0


@lru_cache(maxsize=16)
def textures(seed: int, mpp: float, downsample: int) -> dict[str, NDArray[np.uint8]]:
    """Every texture by name, (side, side, 3) uint8 RGB, box-reduced; side is the period at this level."""
    if downsample > 1:
        side = max(1, PERIOD_PX // downsample)
        return {
            name: cv2.resize(texture, (side, side), interpolation=cv2.INTER_AREA)
            for name, texture in textures(seed, mpp, 1).items()
        }
    return _draw_all(np.random.default_rng(seed), _DRAWN_MPP / mpp)


def _draw_all(rng: np.random.Generator, scale: float) -> dict[str, NDArray[np.uint8]]:
    grain = rng.normal(0, 1.2, (PERIOD_PX, PERIOD_PX, 3)).astype(np.float32)
    fibres = _fibres(rng, scale)
    blotches = _noise(rng, 40 * scale, 40 * scale)
    speckle = _noise(rng, 4 * scale, 4 * scale)
    stroma = _mixed((238, 200, 220), (206, 124, 172), 0.42 + 0.16 * fibres + 0.13 * blotches + 0.1 * speckle)
    stroma = _torn(stroma, _fibres(rng, scale))
    collagen = _mixed((234, 172, 203), (192, 96, 152), 0.5 + 0.17 * fibres + 0.1 * blotches + 0.09 * speckle)
    cells = _mixed((222, 164, 204), (172, 104, 170), 0.5 + 0.2 * blotches + 0.2 * speckle)
    faint = _mixed((239, 229, 238), (226, 196, 219), 0.5 + 0.22 * fibres + 0.1 * blotches + 0.1 * speckle)
    pictures = {
        "glass": np.full((PERIOD_PX, PERIOD_PX, 3), (242, 240, 243), np.float32),
        "stroma": _with_nuclei(rng, stroma, 330 / scale**2, scale, slender=True),
        "collagen": _with_nuclei(rng, collagen, 160 / scale**2, scale, slender=True),
        "cells": _with_nuclei(rng, cells, 1900 / scale**2, scale, slender=False),
        "fat": _fat(rng, scale),
        "faint": _with_nuclei(rng, faint, 40 / scale**2, scale, slender=True),
    }
    return {name: np.clip(picture + grain, 0, 255).astype(np.uint8) for name, picture in pictures.items()}


def _noise(rng: np.random.Generator, across_px: float, along_px: float) -> NDArray[np.float32]:
    """Seamless Gaussian noise of unit deviation with the given correlation lengths."""
    y = np.fft.fftfreq(PERIOD_PX)[:, None]
    x = np.fft.rfftfreq(PERIOD_PX)[None, :]
    spectrum = np.fft.rfft2(rng.normal(size=(PERIOD_PX, PERIOD_PX)))
    spectrum *= np.exp(-2 * ((np.pi * y * across_px / 2) ** 2 + (np.pi * x * along_px / 2) ** 2))
    noise = np.fft.irfft2(spectrum, (PERIOD_PX, PERIOD_PX))
    return ((noise - noise.mean()) / (noise.std() + 1e-9)).astype(np.float32)


def _warped(
    picture: NDArray[np.float32], dx: NDArray[np.float32], dy: NDArray[np.float32]
) -> NDArray[np.float32]:
    y, x = np.mgrid[0:PERIOD_PX, 0:PERIOD_PX].astype(np.float32)
    warped = cv2.remap(
        picture, (x + dx) % PERIOD_PX, (y + dy) % PERIOD_PX, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    return np.asarray(warped, np.float32)


def _fibres(rng: np.random.Generator, scale: float) -> NDArray[np.float32]:
    """Wavy strands, about -2 to 2."""
    strands = _noise(rng, 5 * scale, 70 * scale) + 0.5 * _noise(rng, 2.5 * scale, 30 * scale)
    bend = 38 * scale
    return _warped(strands, bend * _noise(rng, 150, 150), bend * _noise(rng, 150, 150))


def _torn(picture: NDArray[np.float32], strands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Thin white clefts along strands, as loose tissue has them."""
    share = np.clip((strands - 1.75) * 3, 0, 1)[..., None]
    return np.asarray(picture * (1 - share) + np.array((241, 238, 242), np.float32) * share, np.float32)


def _mixed(
    light: tuple[int, int, int], dark: tuple[int, int, int], amount: NDArray[np.float32]
) -> NDArray[np.float32]:
    share = np.clip(amount, 0, 1)[..., None]
    return np.asarray(
        np.array(light, np.float32) * (1 - share) + np.array(dark, np.float32) * share, np.float32
    )


def _with_nuclei(
    rng: np.random.Generator, picture: NDArray[np.float32], count: float, scale: float, slender: bool
) -> NDArray[np.float32]:
    """Haematoxylin-blue ellipses strewn over a picture, wrapped around its edges."""
    side = PERIOD_PX
    ink = np.zeros((3 * side, 3 * side), np.float32)
    radius = _NUCLEUS_UM / _DRAWN_MPP * scale
    for _ in range(round(count)):
        x, y = rng.uniform(side, 2 * side, 2)
        long = radius * rng.uniform(0.8, 1.35) * (1.5 if slender else 1)
        short = radius * rng.uniform(0.35, 0.5) if slender else long * rng.uniform(0.65, 0.95)
        box = ((float(x), float(y)), (float(2 * long), float(2 * short)), float(rng.uniform(0, 180)))
        cv2.ellipse(ink, box, float(rng.uniform(0.6, 1.0)), -1, cv2.LINE_AA)
    wrapped = ink.reshape(3, side, 3, side).max(axis=(0, 2))
    chromatin = np.clip(1 + 0.25 * _noise(rng, 3 * scale, 3 * scale), 0.5, 1.3)
    share = (cv2.GaussianBlur(wrapped, (0, 0), 0.8) * chromatin)[..., None] * 0.85
    share = np.clip(share, 0, 1)
    return np.asarray(picture * (1 - share) + np.array((88, 58, 138), np.float32) * share, np.float32)


def _fat(rng: np.random.Generator, scale: float) -> NDArray[np.float32]:
    """Empty round cells behind thin pink walls: the difference of the distances to the two nearest seeds."""
    half = PERIOD_PX // 2
    pitch = max(12.0, _FAT_CELL_UM / _DRAWN_MPP / 2 * scale)
    number = max(1, round(half / pitch))
    corner = (np.arange(number) + 0.5) * half / number
    jitter = rng.uniform(-0.32, 0.32, (2, number, number)) * half / number
    seeds_x, seeds_y = (corner[None, :] + jitter[0]).ravel(), (corner[:, None] + jitter[1]).ravel()
    y, x = np.mgrid[0:half, 0:half].astype(np.float32)
    first = np.full((half, half), np.inf, np.float32)
    second = first.copy()
    for seed_x, seed_y in zip(seeds_x, seeds_y, strict=True):
        dx, dy = np.abs(x - np.float32(seed_x)), np.abs(y - np.float32(seed_y))
        distance = np.hypot(np.minimum(dx, half - dx), np.minimum(dy, half - dy))
        second = np.minimum(second, np.maximum(first, distance))
        first = np.minimum(first, distance)
    # The walls thicken where three cells meet, which rounds the cells.
    wall = np.clip(
        1.9 - (second - first) / (1.7 * max(scale, 0.5)) + np.clip((first - 0.8 * pitch / 2) / 4, 0, 2), 0, 1
    )
    wall = cv2.resize(wall.astype(np.float32), (PERIOD_PX, PERIOD_PX), interpolation=cv2.INTER_LINEAR)
    return _mixed((241, 238, 242), (205, 130, 172), wall * 0.85)
