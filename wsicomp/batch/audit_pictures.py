"""Pictures of what a conversion removed, drawn by what its own file says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from wsicomp.files.folders import opened_folder
from wsicomp.formats.base import Slide
from wsicomp.plan.level_plan import TileAction
from wsicomp.plan.provenance import Provenance
from wsicomp.progress import no_progress
from wsicomp.tissue.audit import LEGEND_PX, REMOVED
from wsicomp.tissue.overlay import save_picture, shaded, tiles_to_pixels
from wsicomp.tissue.overview import read_overview

_SHADE = 0.45


def draw_removed(
    source: Slide, provenance: Provenance, workers: int, picture: Path, root: Path | None = None
) -> None:
    """Draw the source with those tiles of level 0 shaded that its conversion does not show any more.

    The picture replaces an earlier one. Missing folders are made; below `root` no folder may be a link.

    Raises:
        TileReadError: nothing of the source can be decoded.
        SlideWriteError: the picture cannot be written.
    """
    plan = provenance.plan.levels[0]
    gone = np.isin(plan.actions, (TileAction.BLANK.value, TileAction.EMPTY.value))
    overview = read_overview(source, workers, no_progress)
    rows, columns = overview.pixels.shape[:2]
    where = tiles_to_pixels(gone, plan.as_level(plan.size), (rows, columns))
    legend = np.full((LEGEND_PX, columns, 3), 255, np.uint8)
    cv2.rectangle(legend, (8, 8), (32, 30), REMOVED, cv2.FILLED)
    text = f"{int(gone.sum())} of {gone.size} tiles of level 0 removed"
    cv2.putText(legend, text, (44, 27), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 1, cv2.LINE_AA)
    shown = np.vstack([shaded(overview.pixels, where, REMOVED, _SHADE), legend])
    with opened_folder(picture.parent, root, make=True):
        save_picture(shown, picture, overwrite=True, root=root)
