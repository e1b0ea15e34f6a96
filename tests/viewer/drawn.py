"""A drawn slide and a conversion of it with tiles that are copied, encoded and gone: which ones, is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile

from tests.command_line import run_command
from tests.regions.slides import box, feature, qupath
from wsicomp.geometry import Size

SIZE, TILE = Size(2048, 1536), 256
COPIED = range(2)
"""Columns of tiles of level 0 that are copied."""
ENCODED = range(2, 6)
"""Columns of tiles that are encoded as JPEG of quality 40."""
WHITE = range(6, 8)
"""Columns of tiles that became white."""


@dataclass(frozen=True)
class Pair:
    source: Path
    converted: Path
    report: Path
    mask: Path
    regions: Path


def draw(path: Path) -> None:
    """Write an SVS of two levels, downsample 4: a texture like tissue, and glass in the last columns."""
    chance = np.random.default_rng(5)
    coarse = cv2.resize(
        chance.normal(0, 1, (48, 64, 3)), (SIZE.width, SIZE.height), interpolation=cv2.INTER_CUBIC
    )
    fine = cv2.GaussianBlur(chance.normal(0, 60, (*SIZE.shape, 3)), (0, 0), 2)
    pixels = np.array((176, 92, 150)) + 25 * coarse + 3 * fine
    glass = chance.normal(0, 1.5, (SIZE.height, len(WHITE) * TILE, 1))
    pixels[:, WHITE.start * TILE :] = np.array((238, 236, 240)) + glass
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    options: dict[str, Any] = {"compression": "jpeg", "photometric": "rgb", "subsampling": (2, 2)}
    options |= {"compressionargs": {"level": 90}, "metadata": None}
    with tifffile.TiffWriter(path) as tiff:
        for step in (1, 4):
            level = cv2.resize(
                pixels, (SIZE.width // step, SIZE.height // step), interpolation=cv2.INTER_AREA
            )
            size = f"{level.shape[1]}x{level.shape[0]} ({TILE}x{TILE})"
            text = f"Aperio Image Library v12.0\r\n{size} JPEG/RGB Q=90"
            tiff.write(level, tile=(TILE, TILE), description=f"{text}|AppMag = 20|MPP = 0.5", **options)
            if step == 1:
                small = np.ascontiguousarray(pixels[::16, ::16])
                tiff.write(small, rowsperstrip=96, description=text, **options)


def pair_in(folder: Path) -> Pair:
    """Draw the slide and convert it."""
    pair = Pair(
        *(folder / name for name in ("drawn.svs", "small.svs", "report.json", "mask.geojson", "roi.geojson"))
    )
    draw(pair.source)
    right, top = (columns.stop * TILE - 1 for columns in (ENCODED, COPIED))
    qupath(pair.mask, feature("tissue", box(1, 1, right, SIZE.height - 1)))
    qupath(pair.regions, feature("tumor", box(1, 1, top, SIZE.height - 1)))
    code, _, said = run_command(
        "convert", pair.source, pair.converted, "--mask", pair.mask, "--margin-um", 0, "--roi", pair.regions,
        "--tissue-codec", "jpeg:40", "--glass", "white", "--json", pair.report, "--quiet",
    )  # fmt: skip
    assert code == 0, said
    return pair
