"""Dice, CPU seconds and peak memory of Segment Anything on labelled sections, beside U-Net and threshold.

Boxes stand for a person's: around each piece of the labels, around them drawn 10 % too wide, and around each
piece that Otsu's threshold finds. A section's masks are united. Pieces under 0.5 % of the picture get no box.
Every method runs in a process of its own.
"""

import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from usage import parser_of

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.labelled import ASSUMED_MPP, labelled_rows
from wsicomp.formats.picture import PictureSlide
from wsicomp.geometry import Size
from wsicomp.progress import no_progress
from wsicomp.slide import Pixels
from wsicomp.tissue.overview import read_overview
from wsicomp.tissue.prompts import Box, Point, Prompt
from wsicomp.tissue.segmenters.sam import segmenter as sam
from wsicomp.tissue.segmenters.sam.base import open_network
from wsicomp.tissue.segmenters.threshold import ThresholdSegmenter
from wsicomp.tissue.segmenters.unet import UnetSegmenter
from wsicomp.training.tissue.scores import agreement

METHODS = ("unet", "threshold", "true boxes", "rough boxes", "Otsu's boxes", "points", "grid")
_LEAST_PART, _WIDER = 0.005, 0.1
_WHOLE = 1e6
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Measured:
    """What a method made of one section."""

    dice: float
    prompts: int
    cpu_s: float
    peak_mb: float


def parts_of(flags: Flags) -> list[tuple[Box, Point]]:
    """The box of each piece, and its pixel farthest from its border."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(flags.astype(np.uint8), connectivity=8)
    found = []
    for part in range(1, count):
        left, top, width, height, area = (int(each) for each in stats[part])
        if area >= _LEAST_PART * flags.size:
            inside = np.pad((parts == part).astype(np.uint8), 1)
            far = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            y, x = np.unravel_index(int(far.argmax()), far.shape)
            found.append((Box(left, top, left + width, top + height), Point(float(x - 1), float(y - 1))))
    return found


def by_otsu(pixels: Pixels) -> Flags:
    """Where a picture is darker than Otsu's threshold, closed with a disc."""
    grey = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (5, 5), 0)
    _, dark = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    return cv2.morphologyEx(dark, cv2.MORPH_CLOSE, disc).astype(np.bool_)


def drawn_roughly(box: Box, size: Size) -> Box:
    """A box a tenth wider, as far as the picture goes."""
    across, down = (box.right - box.left) * _WIDER / 2, (box.bottom - box.top) * _WIDER / 2
    return Box(
        max(0, box.left - across),
        max(0, box.top - down),
        min(size.width, box.right + across),
        min(size.height, box.bottom + down),
    )


def prompts(method: str, pixels: Pixels, labels: NDArray[np.uint8]) -> Iterator[Prompt]:
    if method == "grid":
        yield Prompt()
        return
    size = Size(pixels.shape[1], pixels.shape[0])
    for box, point in parts_of(by_otsu(pixels) if method == "Otsu's boxes" else labels == 255):
        if method == "points":
            yield Prompt(points=(point,))
        else:
            yield Prompt(drawn_roughly(box, size) if method == "rough boxes" else box)


def measured(method: str, rows: list[dict[str, str]], folder: Path, context: float) -> list[Measured]:
    """What a method makes of each section; weights are loaded once, and their loading is not counted."""
    if method not in ("unet", "threshold"):
        network = open_network(None, 1)
        sam.open_network = lambda *_: network
    found = []
    for row in rows:
        pixels = np.asarray(Image.open(folder / "images" / f"{row['name']}.webp").convert("RGB"))
        labels = np.asarray(Image.open(folder / "masks" / f"{row['name']}.png"))
        slide = PictureSlide(Path(row["name"]), pixels, float(row["um_per_px"] or ASSUMED_MPP))
        places = [] if method in ("unet", "threshold") else list(prompts(method, pixels, labels))
        begin = resource.getrusage(resource.RUSAGE_SELF)
        if method in ("unet", "threshold"):
            finder: Any = UnetSegmenter() if method == "unet" else ThresholdSegmenter()
            masks = [finder.segment(slide, read_overview(slide, 1, no_progress), 1, no_progress)]
        else:
            masks = [sam.outline(slide, place, context=context) for place in places]
        end = resource.getrusage(resource.RUSAGE_SELF)
        y, x = (np.arange(side) + 0.5 for side in labels.shape)
        union = np.zeros(labels.shape, np.bool_)
        for mask in masks:
            union |= mask.at(x, y)
        cpu_s = end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime
        dice = agreement(union, labels).dice
        found.append(Measured(dice, len(masks), cpu_s, end.ru_maxrss / 1024))
        print(f"{method} {context:g} {row['name']}: {dice:.3f}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path, help="of gt.tsv, images and masks")
    parser.add_argument("--split", default="test", help="of gt.tsv")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS, help="these alone")
    parser.add_argument(
        "--contexts",
        nargs="+",
        type=float,
        default=[sam.CONTEXT],
        help=f"what the network sees, in longer sides of a box; {_WHOLE:g} is the whole section",
    )
    parser.add_argument("--names", nargs="+", help="these sections alone")
    options = parser.parse_args()
    rows = [row for row in labelled_rows(options.folder) if row["split"] == options.split]
    rows = [row for row in rows if not options.names or row["name"] in options.names]
    print(f"{len(rows)} sections of split {options.split}\n")
    print("| by | context | mean Dice | worst | prompts | CPU s a prompt | peak MB |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for method in options.methods:
        for context in options.contexts if "boxes" in method else options.contexts[:1]:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                found = pool.submit(measured, method, rows, options.folder, context).result()
            dices, count = [each.dice for each in found], sum(each.prompts for each in found)
            seconds = sum(each.cpu_s for each in found) / max(1, count)
            sees = ("whole" if context >= _WHOLE else f"{context:g}") if "boxes" in method else ""
            peak = max(each.peak_mb for each in found)
            cells = [method, sees, f"{np.mean(dices):.3f}", f"{min(dices):.3f}"]
            print(f"| {' | '.join(cells)} | {count} | {seconds:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
