"""The audit picture: which tiles a conversion removes, and why."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wsicomp.slide import Level, Pixels
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overlay import outlined, shaded, tiles_to_pixels
from wsicomp.tissue.overview import Overview
from wsicomp.tissue.tile_classes import TileKind

REMOVED, OUTLINE, SAVED = (70, 130, 255), (0, 150, 60), (255, 120, 0)
"""Colours of removed tiles, of the mask's outline with its margin, and of tiles that the guard saved."""

LEGEND_PX = 3 * 34 + 8
"""The height of the legend below the picture: three lines."""

_SHADE = 0.45
_LINE_PX = 34


def audit_picture(overview: Overview, level: Level, kinds: NDArray[np.uint8], mask: TissueMask) -> Pixels:
    """Return the overview with removed tiles shaded, the mask outlined and rescued tiles framed.

    It is (rows, columns, 3) uint8 RGB, with a legend below.

    `kinds` are the `TileKind`s of `level`, (rows, columns) of its tile grid. `mask` has its margin.
    """
    rows, columns = overview.pixels.shape[:2]
    removed = tiles_to_pixels(kinds == TileKind.GLASS, level, (rows, columns))
    picture = shaded(overview.pixels, removed, REMOVED, _SHADE)
    x, y = (np.arange(columns) + 0.5) * overview.scale_x, (np.arange(rows) + 0.5) * overview.scale_y
    picture = outlined(picture, mask.at(x, y), OUTLINE)
    scale = np.array([columns / level.size.width, rows / level.size.height])
    tile = np.array([level.tile.width, level.tile.height])
    for row, column in np.argwhere(kinds == TileKind.RESCUED):
        start = np.floor(np.array([column, row]) * tile * scale).astype(int)
        end = np.ceil(np.array([column + 1, row + 1]) * tile * scale).astype(int) - 1
        cv2.rectangle(picture, start.tolist(), end.tolist(), SAVED, 2)
    count = {kind: int((kinds == kind).sum()) for kind in (TileKind.GLASS, TileKind.RESCUED)}
    legend = (
        (f"{count[TileKind.GLASS]} of {kinds.size} tiles of level 0 removed", REMOVED),
        ("tissue mask with margin", OUTLINE),
        (f"{count[TileKind.RESCUED]} tiles saved by the guard", SAVED),
    )
    return np.vstack([picture, _legend(columns, legend)])


def _legend(columns: int, entries: tuple[tuple[str, tuple[int, int, int]], ...]) -> Pixels:
    """Return a white strip `columns` wide with a line of colour and text for each entry."""
    strip = np.full((LEGEND_PX, columns, 3), 255, np.uint8)
    for number, (text, color) in enumerate(entries):
        top = 8 + number * _LINE_PX
        cv2.rectangle(strip, (8, top), (32, top + 22), color, cv2.FILLED)
        cv2.putText(strip, text, (44, top + 19), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 1, cv2.LINE_AA)
    return strip
