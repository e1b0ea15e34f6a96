"""Slides for a batch: with tissue, with none, and with so little that a person should look."""

from __future__ import annotations

import cv2
import numpy as np

from tests import tiffs

TILE = 128
SIDE = 1024
SPECK = 40
"""The side of the only tissue on a slide of `SIDE`, in the middle of one tile: 1 of 64 stays."""


def glass_pixels(side, seed=0):
    """Bare glass, with a noise that costs bytes as a scanner's does."""
    noise = np.random.default_rng(seed).integers(-4, 5, (side, side, 3))
    return (np.full((side, side, 3), 236) + noise).astype(np.uint8)


def _write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pixels.shape[:2]
    options = {"tile": (TILE, TILE), "compressionargs": {"level": 90}}
    tiffs.write_tiff(path, width, height, svs=path.suffix == ".svs", pixels=pixels, **options)
    return path


def draw_glass(path, seed=0):
    """A slide without any tissue: nothing of it stays but what the guard keeps, which is nothing."""
    _write(path, glass_pixels(SIDE // 2, seed))
    return {"tissue": 0.0, "removed": 1.0}


def draw_speck(path, seed=0):
    """A slide with one speck of tissue, in the middle of one tile: 63 of 64 tiles are glass, 98.4 %."""
    pixels = glass_pixels(SIDE, seed)
    start = 3 * TILE + (TILE - SPECK) // 2
    pixels[start : start + SPECK, start : start + SPECK] = (150, 60, 140)
    _write(path, pixels)
    return {"tissue": (SPECK / SIDE) ** 2, "removed": 63 / 64}


def draw_tissue(path, seed=0):
    """A slide whose right quarter is glass: it saves enough, packed or with its glass out."""
    side = 4 * TILE
    noise = np.random.default_rng(seed).normal(0, 90, (side, side, 3))
    texture = cv2.GaussianBlur(noise, (0, 0), 1.5)
    pixels = np.clip(np.array([170, 70, 150]) + texture, 0, 255).astype(np.uint8)
    pixels[:, -TILE:] = glass_pixels(side, seed)[:, -TILE:]
    _write(path, pixels)
    return {"tissue": 0.75, "removed": 0.25}
