"""Slides whose glass holds something: thin shapes that a box around them would not fit, and padding."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

MPP = 0.5
TILE = 128
GREY, PINK, WHITE = (236, 236, 238), (226, 208, 222), (255, 255, 255)
TISSUE, INK = (176, 92, 150), (70, 40, 90)
SIDE = 2048
SHAPES = ("L", "ring", "frame", "cover glass line", "diagonal")
FILLED = ("corners", "band", "most")
_TEXT = "Aperio Image Library v12.0\r\n{0}x{1} (128x128) JPEG/RGB Q=90|AppMag = 20|MPP = {2}"


def draw_shape(path: Path, shape: str) -> NDArray[np.bool_]:
    """Write a slide of grey glass with one thin dark shape on it; return where the shape is."""
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    low, high = 200, SIDE - 200
    if shape == "L":
        cv2.line(drawn, (low, low), (low, high), 1, 24)
        cv2.line(drawn, (low, high), (high, high), 1, 24)
    elif shape == "ring":
        cv2.circle(drawn, (SIDE // 2, SIDE // 2), 780, 1, 24)
    elif shape == "frame":
        cv2.rectangle(drawn, (low, low), (high, high), 1, 24)
    elif shape == "cover glass line":
        cv2.line(drawn, (0, 300), (SIDE, 420), 1, 12)
        cv2.line(drawn, (1700, 0), (1640, SIDE), 1, 12)
    else:
        cv2.line(drawn, (100, 100), (SIDE - 100, SIDE - 100), 1, 16)
    truth = drawn.astype(np.bool_)
    pixels = _glass(GREY)
    pixels[truth] = INK
    write_pyramid(path, pixels)
    return truth


def draw_filled(
    path: Path, places: str, padding: int, glass: tuple[int, int, int] = GREY, quality: int = 90
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Write a slide whose scan is filled up with one grey level; return where tissue and where padding is.

    `places` is one of `FILLED`. The tissue lies on the scanned part, and touches the padding.
    """
    pixels = _glass(glass)
    tissue = np.zeros((SIDE, SIDE), np.uint8)
    cv2.ellipse(tissue, (1270, 1250), (330, 260), 20, 0, 360, 1, -1)
    truth = tissue.astype(np.bool_)
    noise = np.random.default_rng(1).integers(-18, 18, (SIDE, SIDE, 1))
    pixels[truth] = np.clip(np.array(TISSUE) + noise[truth], 0, 255)
    filled = np.zeros((SIDE, SIDE), np.bool_)
    if places == "corners":
        filled[:500, :700] = filled[:300, :1000] = filled[-400:, -600:] = filled[-500:, :300] = True
    elif places == "band":
        filled[:, 530:790] = True
    else:
        filled[:] = True
        filled[900:1700, 850:1850] = False
    pixels[filled] = padding
    write_pyramid(path, pixels, quality)
    return truth & ~filled, filled


def draw_black_ink(path: Path) -> NDArray[np.bool_]:
    """Write a slide with a blot of exact black on grey glass, and return where it is: that is no padding."""
    blot = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(blot, (900, 1100), 320, 1, -1)
    cv2.ellipse(blot, (1500, 500), (260, 90), 35, 0, 360, 1, -1)
    truth = blot.astype(np.bool_)
    pixels = _glass(GREY)
    pixels[truth] = 0
    write_pyramid(path, pixels)
    return truth


def draw_fat(path: Path) -> NDArray[np.bool_]:
    """Write a slide of stained tissue with pale fat beside it across tile borders; return where tissue is.

    Fat is walls of 6 um, paler than half of the stain, around holes of 60 um that look like glass.
    """
    pixels = _glass(GREY)
    truth = np.zeros((SIDE, SIDE), np.bool_)
    truth[700:1300, 500:900] = True
    noise = np.random.default_rng(3).integers(-18, 18, (SIDE, SIDE, 1))
    pixels[truth] = np.clip(np.array(TISSUE) + noise[truth], 0, 255)
    for y in range(760, 1240, 120):
        for x in range(960, 1560, 120):
            cv2.circle(pixels, (x, y), 60, (216, 190, 206), 12)
    truth[700:1186, 900:1500] = True
    write_pyramid(path, pixels)
    return truth


def draw_washed_out(path: Path, apart_um: float) -> NDArray[np.bool_]:
    """Write a slide of glass with flecks of 32 x 16 um in a square grid; return the field that they span."""
    pixels = _glass(GREY)
    places = range(300, SIDE - 300, round(apart_um / MPP))
    for y in places:
        for x in places:
            pixels[y : y + 32, x : x + 64] = INK
    truth = np.zeros((SIDE, SIDE), np.bool_)
    truth[300 : places[-1] + 32, 300 : places[-1] + 64] = True
    write_pyramid(path, pixels)
    return truth


def write_pyramid(path: Path, pixels: NDArray[np.uint8], quality: int = 90) -> None:
    """Write an SVS of two levels, of downsample 1 and 4."""
    rows, columns = pixels.shape[:2]
    small = cv2.resize(pixels, (columns // 4, rows // 4), interpolation=cv2.INTER_AREA)
    with tifffile.TiffWriter(path) as tiff:
        for level in (pixels, small):
            tiff.write(
                level,
                tile=(TILE, TILE),
                compression="jpeg",
                compressionargs={"level": quality},
                photometric="rgb",
                metadata=None,
                description=_TEXT.format(columns, rows, MPP),
            )


def _glass(color: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Glass a little brighter on the right, with some noise; pure white is pure."""
    if color == WHITE:
        return np.full((SIDE, SIDE, 3), 255, np.uint8)
    noise = np.random.default_rng(0).normal(0, 1.5, (SIDE, SIDE, 1))
    lamp = np.linspace(-3, 3, SIDE)[None, :, None]
    return np.clip(np.rint(np.array(color) + lamp + noise), 0, 255).astype(np.uint8)


def draw_uneven(path: Path) -> NDArray[np.bool_]:
    """Write a slide with tissue on pink glass that is brightest in one corner; return where the tissue is."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    lamp = (1 - 0.06 * (x + y))[..., None]
    noise = np.random.default_rng(5).normal(0, 1, (SIDE, SIDE, 1))
    pixels = np.clip(np.array(PINK) * lamp + noise, 0, 255).astype(np.uint8)
    tissue = np.zeros((SIDE, SIDE), np.uint8)
    cv2.ellipse(tissue, (1100, 1000), (560, 480), 20, 0, 360, 1, -1)
    truth = tissue.astype(np.bool_)
    grain = np.random.default_rng(6).integers(-40, 40, (SIDE, SIDE, 3))
    pixels[truth] = np.clip(np.array(TISSUE) + grain[truth], 0, 255)
    write_pyramid(path, pixels)
    return truth
