"""Sizes of slides whose regions stay as they are, and whether every program still sees those regions' pixels.

Regions are drawn here: one blob, and twelve discs, of 10 % and of 30 % of the tissue that the U-Net finds. A
slide is converted with its regions copied, other tissue coarse, and glass kept. A slide of JPEG 2000 is also
saved as JPEG, in 4:4:4 and 4:2:0. Sizes are of the tiles that touch tissue, over all levels, against the
source's own.

Every level is decoded whole by OpenSlide, wsicomp, tifffile and libvips, of the source and of the conversion:
the pixels of a region that differ are counted. Other programs, where `scripts/readers` installed them, are
asked for squares inside of regions, and for squares anywhere.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import openslide
import results_page
import tifffile
from region_drawings import Drawing, at_steps, drawings, found_tissue
from region_pixels import WHOLE, changed, others, seen_by
from usage import parser_of

import wsicomp
from wsicomp import ConversionConfig
from wsicomp.comparison.tables import markdown_table
from wsicomp.errors import WsicompError
from wsicomp.formats.base import Slide
from wsicomp.formats.opening import open_reader
from wsicomp.formats.tiff.directories import distinct_bytes
from wsicomp.regions.regions import Regions
from wsicomp.slide import JPEG
from wsicomp.tissue.mask import TissueMask

PAGE = results_page.PAGE.parent / "regions.md"
SLIDES = ("CMU-1-Small-Region.svs", "breast_B4.svs", "breast_C2.svs", "TCGA-CR-7395.svs")
COARSE = {True: "jpeg:10", False: "jpeg2000:25dB"}
FINER = {True: "jpeg:80", False: "jpeg2000:37dB"}
"""Codecs by whether the source is JPEG; those of JPEG 2000 are about as coarse."""
Cells = list[str]


def save_as_jpeg(source: Path, target: Path, subsampling: tuple[int, int]) -> Path:
    """Save a slide's levels as a TIFF of JPEG tiles of quality 90."""
    with openslide.OpenSlide(source) as slide, tifffile.TiffWriter(target) as tiff:
        for level, size in enumerate(slide.level_dimensions):
            tiff.write(
                np.asarray(slide.read_region((0, 0), level, size))[..., :3],
                tile=(256, 256),
                photometric="ycbcr",
                compression="jpeg",
                compressionargs={"level": 90},
                subsampling=subsampling,
                subfiletype=int(level > 0),
                metadata=None,
            )
    return target


def sources(folder: Path, names: Sequence[str], scratch: Path) -> Iterator[tuple[str, Path]]:
    """Yield each slide and its copies as JPEG."""
    for name in names:
        yield name, folder / name
        with closing(open_reader(folder / name)) as slide:
            is_jpeg = is_of_jpeg(slide)
        for factor, way in () if is_jpeg else ((1, "4:4:4"), (2, "4:2:0")):
            target = scratch / f"{Path(name).stem}-{way.replace(':', '')}.tif"
            yield f"{Path(name).stem}, JPEG {way}", save_as_jpeg(folder / name, target, (factor, factor))


def is_of_jpeg(slide: Slide) -> bool:
    encoding = slide.info.levels[0].encoding
    return encoding is not None and encoding.compression == JPEG


def tissue_bytes(path: Path, tissue: TissueMask, region: TissueMask) -> tuple[int, int]:
    """Return the bytes of tiles that touch tissue, over all levels: of those in the region, and of others."""
    kept = other = 0
    with closing(open_reader(path)) as slide:
        for number, level in enumerate(slide.info.levels):
            is_own, is_kept = (
                Regions.of_mask(mask).of_tiles(level).reshape(-1) > 0 for mask in (tissue, region)
            )
            ranges = slide.tile_ranges(number)
            kept += distinct_bytes(ranges[is_own & is_kept])
            other += distinct_bytes(ranges[is_own & ~is_kept])
    return kept, other


def config_of(**options: object) -> ConversionConfig:
    return ConversionConfig.of(glass="keep", overwrite=True, keep_if_larger="keep", **options)  # type: ignore[arg-type]


def without_regions(source: Path, target: Path, tissue: TissueMask, is_jpeg: bool) -> Cells:
    """Return the sizes of conversions without regions: packed without loss, and one quality for all."""
    cells = []
    for codec in ("jpeg-lossless", FINER[is_jpeg], COARSE[is_jpeg]):
        try:
            wsicomp.convert_slide(source, target, config_of(verify=False).coded(codec))
        except WsicompError:
            cells.append("-")
            continue
        before, after = (sum(tissue_bytes(path, tissue, tissue)) for path in (source, target))
        cells.append(f"{after / before:.3f}")
    return cells


def with_regions(source: Path, target: Path, tissue: TissueMask, drawing: Drawing, is_jpeg: bool) -> Cells:
    """Convert a slide with regions, and return the cells of its size."""
    roi = drawing.save(target.with_name("drawing.png"))
    report = wsicomp.convert_slide(source, target, config_of(roi=roi, tissue_codec=COARSE[is_jpeg]))
    outside, region = report.classes
    if not region.is_exact:
        sys.exit(f"{source.name}: {drawing.name} is not exact")
    ssim = "-" if outside.mean_ssim is None else f"{outside.mean_ssim:.2f}"
    (kept, other), (still, coarse) = (
        tissue_bytes(path, tissue, drawing.mask(tissue.slide)) for path in (source, target)
    )
    if still != kept:
        sys.exit(f"{source.name}: {drawing.name} has other bytes")
    shares = (kept / (kept + other), coarse / other, (kept + coarse) / (kept + other))
    return [drawing.name, *(f"{share:.3f}" for share in shares), ssim]


def slide_tables(name: str, source: Path, folder: Path, rows: dict[str, list[Cells]]) -> None:
    """Measure one slide, and add its lines to the tables."""
    with closing(open_reader(source)) as slide:
        is_jpeg, tissue = is_of_jpeg(slide), found_tissue(slide)
    whole = without_regions(source, folder / f"whole{source.suffix}", tissue, is_jpeg)
    made = {
        folder / f"{number}{source.suffix}": drawing
        for number, drawing in enumerate(drawings(at_steps(tissue)))
    }
    for target, drawing in made.items():
        rows["sizes"].append([name, *with_regions(source, target, tissue, drawing, is_jpeg), *whole])
        print(rows["sizes"][-1], file=sys.stderr, flush=True)
    for drawing, cells in zip(made.values(), changed(source, made), strict=True):
        rows["pixels"].append([name, drawing.name, *cells])
        print(rows["pixels"][-1], file=sys.stderr, flush=True)
    for program in others():
        rows["others"].append([name, program.reader, *seen_by(program, source, target, drawing)])
        print(rows["others"][-1], file=sys.stderr, flush=True)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path, help="of the slides")
    parser.add_argument("--slides", nargs="+", default=SLIDES, metavar="NAME", help="these alone")
    results_page.add_options(parser, PAGE)
    options = parser.parse_args()
    rows: dict[str, list[Cells]] = {"sizes": [], "pixels": [], "others": []}
    with tempfile.TemporaryDirectory() as scratch:
        for name, source in sources(options.folder, options.slides, Path(scratch)):
            slide_tables(name, source, Path(scratch), rows)
    heads = {
        "sizes": [
            *("slide", "regions", "part of the bytes in regions' tiles", "other tiles, of their own bytes"),
            *("all of it", "mean SSIM of other tiles"),
            *("all packed without loss", "all at quality 80", "all coarse"),
        ],
        "pixels": ["slide", "regions", *WHOLE],
        "others": ["slide", "program", "the slide", "the conversion", "squares in regions that differ"],
    }
    for table, head in heads.items():
        text = markdown_table(head, rows[table])
        about = f"{results_page.machine('pyvips')}\n\n" if table == "sizes" else ""
        results_page.publish(options, f"regions, {table}", about + text, PAGE)


if __name__ == "__main__":
    main()
