"""Tissue without loss and the rest as JPEG of quality 1, recombined into one picture: a table for each mask.

    scripts/study roi FOLDER

FOLDER is one of labelled pictures: gt.tsv, images and masks. Saved is what a lossless file of the recombined
picture is smaller than one of the original; PSNR and SSIM are of the whole picture. CPU seconds are those of
the mask and of both JPEG and PNG.

With `--slides` the preset paper-roi is measured on slides as well. `--sam` takes Segment Anything too: by
boxes of Otsu's parts, and by a grid of points with the paper's rule for foreground, a minute a picture.

Source of the method: images made smaller with the Segment Anything Model as what finds the foreground.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import results_page
import roi_slides
from bench_sam import by_otsu, parts_of
from numpy.typing import NDArray
from PIL import Image
from study_tiles import PAGE
from usage import parser_of

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.labelled import ASSUMED_MPP, labelled_rows
from wsicomp.codecs.quality import psnr, ssim
from wsicomp.comparison.tables import markdown_table
from wsicomp.formats.picture import PictureSlide
from wsicomp.progress import no_progress
from wsicomp.slide import Pixels
from wsicomp.text.figures import as_percent
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overview import read_overview
from wsicomp.tissue.prompts import Prompt
from wsicomp.tissue.segmenters.base import Segmenter
from wsicomp.tissue.segmenters.sam.segmenter import outline
from wsicomp.tissue.segmenters.threshold import ThresholdSegmenter
from wsicomp.tissue.segmenters.unet import UnetSegmenter

BACKGROUND_QUALITY = 1
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Section:
    """A labelled picture."""

    name: str
    pixels: Pixels
    labels: NDArray[np.uint8]
    """0 glass, 255 tissue, 128 neither."""
    mpp: float


@dataclass(frozen=True)
class Found:
    """What became of one picture by one mask."""

    foreground: float
    saved_png: float
    saved_jpegxl: float
    psnr_db: float
    ssim: float
    cpu_s: float


MaskMaker = Callable[[Section], Flags]
"""Return where a picture's foreground is, (rows, columns) as the picture."""


def mask_by(segmenter: Segmenter, section: Section) -> Flags:
    """Return the mask that a segmenter of wsicomp makes of a picture."""
    with closing(PictureSlide(Path(section.name), section.pixels, section.mpp)) as slide:
        overview = read_overview(slide, 1, no_progress)
        mask = segmenter.segment(slide, overview, 1, no_progress)
    return enlarged(mask, section.pixels.shape[:2])


def enlarged(mask: TissueMask, shape: tuple[int, int]) -> Flags:
    """Return a mask at the picture's scale: each of its pixels covers several of the picture's."""
    pixels = mask.pixels
    rows, columns = (
        np.minimum((np.arange(side) / scale).astype(int), most - 1)
        for side, scale, most in zip(shape, (mask.scale_y, mask.scale_x), pixels.shape, strict=True)
    )
    return pixels[np.ix_(rows, columns)]


def in_folder(folder: Path) -> MaskMaker:
    """Return what reads masks of another program: a PNG by the picture's name, white is foreground."""

    def mask_of(section: Section) -> Flags:
        size = section.pixels.shape[1::-1]
        picture = Image.open(folder / f"{section.name}.png").convert("L")
        return np.asarray(picture.resize(size, Image.Resampling.NEAREST)) > 127

    return mask_of


def by_sam(section: Section, prompts: Sequence[Prompt]) -> Flags:
    """Return what Segment Anything outlines, by one prompt after the other."""
    found = np.zeros(section.pixels.shape[:2], np.bool_)
    with closing(PictureSlide(Path(section.name), section.pixels, section.mpp)) as slide:
        for prompt in prompts:
            found |= enlarged(outline(slide, prompt, None, 1), found.shape)
    return found


SAM_MASKS: Mapping[str, MaskMaker] = {
    "SAM, boxes of Otsu's parts": lambda section: by_sam(
        section, [Prompt(box) for box, _ in parts_of(by_otsu(section.pixels))]
    ),
    "SAM, grid, as published": lambda section: by_sam(section, [Prompt()]),
}
MASKS: Mapping[str, MaskMaker] = {
    "labels, by hand": lambda section: section.labels > 0,
    "U-Net": lambda section: mask_by(UnetSegmenter(), section),
    "threshold": lambda section: mask_by(ThresholdSegmenter(), section),
}


def sections_of(folder: Path, split: str) -> Iterator[Section]:
    for row in labelled_rows(folder):
        if row["split"] != split and split != "all":
            continue
        pixels = np.asarray(Image.open(folder / "images" / f"{row['name']}.webp").convert("RGB"))
        labels = np.asarray(Image.open(folder / "masks" / f"{row['name']}.png"))
        yield Section(row["name"], pixels, labels, float(row["um_per_px"] or ASSUMED_MPP))


def recombined(pixels: Pixels, foreground: Flags) -> Pixels:
    """Return the picture with all but its foreground as a JPEG of quality 1 has it."""
    coarse = imagecodecs.jpeg8_decode(
        imagecodecs.jpeg8_encode(pixels, level=BACKGROUND_QUALITY, subsampling="420")
    )
    return np.where(foreground[..., None], pixels, coarse)


def measured(section: Section, make_mask: MaskMaker) -> Found:
    """Make one picture smaller, and hold it against itself."""
    start = time.process_time()
    foreground = make_mask(section)
    made = recombined(section.pixels, foreground)
    png = imagecodecs.png_encode(made)
    cpu_s = time.process_time() - start
    return Found(
        float(foreground.mean()),
        1 - len(png) / len(imagecodecs.png_encode(section.pixels)),
        1 - jpegxl_bytes(made) / jpegxl_bytes(section.pixels),
        psnr(section.pixels, made),
        ssim(section.pixels, made),
        cpu_s,
    )


def jpegxl_bytes(pixels: Pixels) -> int:
    return len(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=3, numthreads=1))


def table(found: Mapping[str, list[Found]]) -> str:
    """A line for each mask: means over the pictures, and the least and most that is saved."""
    lines = []
    for name, rows in found.items():
        png, jpegxl = [row.saved_png for row in rows], [row.saved_jpegxl for row in rows]
        finite = [row.psnr_db for row in rows if np.isfinite(row.psnr_db)]
        lines.append(
            [
                name,
                as_percent(np.mean([row.foreground for row in rows])),
                f"{as_percent(np.mean(png))} ({as_percent(min(png))} to {as_percent(max(png))})",
                f"{as_percent(np.mean(jpegxl))} ({as_percent(min(jpegxl))} to {as_percent(max(jpegxl))})",
                f"{np.mean(finite):.1f}" if finite else "exact",
                f"{np.mean([row.ssim for row in rows]):.3f}",
                f"{np.mean([row.cpu_s for row in rows]):.2f}",
            ]
        )
    head = ["mask", "foreground", "saved, as PNG", "saved, as JPEG XL", "PSNR, dB", "SSIM", "CPU s a picture"]
    return markdown_table(head, lines)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path, help="of gt.tsv, images and masks")
    parser.add_argument("--split", default="test", help="test, train or all of the pictures")
    parser.add_argument(
        "--masks",
        nargs="+",
        default=[],
        metavar="NAME=FOLDER",
        help="masks of another program as well, a PNG for each picture; their CPU time is not counted",
    )
    parser.add_argument(
        "--sam", action="store_true", help="masks of Segment Anything as well; needs the extra sam"
    )
    parser.add_argument("--slides", nargs="+", type=Path, default=[], help="slides for the preset paper-roi")
    results_page.add_options(parser, PAGE)
    options = parser.parse_args()
    given = [one.partition("=") for one in options.masks]
    if any(not folder for _, _, folder in given):
        parser.error("--masks takes NAME=FOLDER, such as sam=/tmp/masks")
    makers = {
        **MASKS,
        **(SAM_MASKS if options.sam else {}),
        **{name: in_folder(Path(folder)) for name, _, folder in given},
    }
    sections = list(sections_of(options.folder, options.split))
    if not sections:
        sys.exit(f"{options.folder}: gt.tsv names no picture of the split {options.split}")
    found = {name: [measured(each, maker) for each in sections] for name, maker in makers.items()}
    about = f"{len(sections)} pictures. {results_page.machine()}"
    results_page.publish(options, "roi", f"{about}\n\n{table(found)}", PAGE)
    if options.slides:
        finders = [name for name in roi_slides.FINDERS if options.sam or not name.startswith("SAM")]
        results_page.publish(options, "roi, slides", roi_slides.table(options.slides, finders), PAGE)


if __name__ == "__main__":
    main()
