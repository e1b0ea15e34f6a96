"""Pale tissue and specks on glass: tiles on which an encoder's own idea of quality goes wrong."""

from __future__ import annotations

import cv2
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


def write_far_slide(path):
    """Write an SVS of 512 x 512 px at 29 um per px.

    Pale tissue with soft edges lies on glass, and specks of one to three pixels lie on both.
    """
    rng, side = np.random.default_rng(3), 512
    field = cv2.GaussianBlur(rng.normal(0, 1, (side, side)), (0, 0), 24)
    is_tissue = (field + np.linspace(2, -2, side) * field.std() > 0).astype(np.float32)
    amount = cv2.GaussianBlur(is_tissue, (0, 0), 3)[..., None]
    texture = cv2.GaussianBlur(rng.normal(0, 25, (side, side)), (0, 0), 1.2)[..., None]
    specks = np.zeros((side, side), np.float32)
    for x, y in rng.integers(4, side - 4, (400, 2)):
        width, height = rng.integers(1, 4, 2)
        specks[y : y + height, x : x + width] = rng.uniform(12, 40)
    dark = cv2.GaussianBlur(specks, (0, 0), 0.6)[..., None] * (0.6, 1, 0.8)
    pixels = np.array((229, 230, 231)) + amount * (np.array((-22, -48, -26)) + texture) - dark
    pixels = np.clip(pixels + rng.normal(0, 1, (side, side, 1)), 0, 255).astype(np.uint8)
    text = "Aperio Image Library v12.0\r\n512x512 (256x256) JPEG/RGB Q=95|AppMag = 0.3|MPP = 29"
    options = {"compression": "jpeg", "compressionargs": {"level": 95}, "photometric": "rgb"}
    tifffile.imwrite(path, pixels, tile=(256, 256), metadata=None, description=text, **options)
