"""Pale tissue and specks on glass: tiles on which an encoder's own idea of quality goes wrong."""

from __future__ import annotations

import numpy as np
import tifffile


def pale_tile(side=256, seed=0):
    """(side, side, 3) uint8: nearly white glass with the grain of a camera and pale pink clouds."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    clouds = 9 * np.sin(5 * x + seed) * np.cos(4 * y)
    pixels = np.stack([238 + clouds / 3, 226 + clouds, 236 + clouds / 2], axis=-1)
    return np.clip(np.rint(pixels + rng.normal(0, 1.2, pixels.shape)), 0, 255).astype(np.uint8)


def specked_tile(side=256, speck_px=10):
    """A pale tile with one small dark speck: a cell on glass."""
    pixels = pale_tile(side, seed=3)
    pixels[100 : 100 + speck_px, 116 : 116 + speck_px] = (150, 110, 160)
    return pixels


def write_pale_slide(path):
    """Write an uncompressed generic TIFF of 4 x 2 tiles and return its pixels, (512, 1024, 3) uint8."""
    tiles = [[pale_tile(seed=number) for number in (0, 1, 2, 4)]]
    tiles += [[specked_tile(), pale_tile(seed=5), np.full((256, 256, 3), 255, np.uint8), pale_tile(seed=6)]]
    pixels = np.concatenate([np.concatenate(row, axis=1) for row in tiles])
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", metadata=None)
    return pixels
