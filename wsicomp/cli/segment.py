"""`wsicomp segment`: the tissue mask alone, as a picture."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from wsicomp.cli.convert import Subparsers
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import as_percent
from wsicomp.concurrency import available_cores
from wsicomp.errors import SlideWriteError
from wsicomp.outputs import check_apart, check_output
from wsicomp.readers import open_slide
from wsicomp.slide import Pixels
from wsicomp.stages import Stages
from wsicomp.tissue.segment import read_overview
from wsicomp.tissue.threshold import ThresholdSegmenter

_OUTLINE = (0, 160, 0)


def register(commands: Subparsers) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "segment",
        help="write the tissue mask of a slide",
        description="Finds tissue and writes it as a PNG of at most 2048 px a side, "
        "255 where there is tissue. "
        "The file can be edited and given to `wsicomp convert --mask`.",
    )
    parser.add_argument("source", type=Path, help="the slide")
    parser.add_argument("mask", type=Path, help="the PNG to write")
    parser.add_argument(
        "--overlay", type=Path, metavar="PNG", help="also write the slide with the mask's outline"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the files if they exist")
    parser.set_defaults(run=run_segment)


def run_segment(options: argparse.Namespace) -> int:
    """Segment and write."""
    check_output(options.mask, (options.source,), options.overwrite)
    if options.overlay is not None:
        check_output(options.overlay, (options.source,), options.overwrite)
        check_apart(options.overlay, options.mask)
    with (
        closing(open_slide(options.source)) as slide,
        progress_bars() as show,
        Stages(show).stage("segment") as progress,
    ):
        overview = read_overview(slide, available_cores(), progress)
        mask = ThresholdSegmenter().segment(slide, overview)
    _save(mask.pixels.astype(np.uint8) * 255, options.mask)
    if options.overlay is not None:
        _save(_outlined(overview.pixels, mask.pixels.astype(np.uint8)), options.overlay)
    rows, columns = mask.pixels.shape
    scale = f"{mask.scale_x:.4g} level-0 px a mask px"
    print(f"{options.mask}: {columns} x {rows} px, {scale}, {as_percent(mask.tissue_fraction)} tissue")
    return 0


def _outlined(pixels: Pixels, mask: Pixels) -> Pixels:
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(pixels.copy(), contours, -1, _OUTLINE, 2), np.uint8)


def _save(pixels: Pixels, path: Path) -> None:
    try:
        Image.fromarray(pixels).save(path, "PNG")
    except OSError as exc:
        path.unlink(missing_ok=True)
        raise SlideWriteError(f"cannot be written ({exc.strerror or exc})", path) from exc
