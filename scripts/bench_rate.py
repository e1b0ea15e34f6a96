"""Sizes at a JPEG's own mean and least SSIM, of fields of tissue that are saved as a slide of JPEG tiles.

Fields are pictures, as of patients that no model has seen. They become one slide in tiles of 256 px, as a
scanner would save it. Each codec converts that slide, and its tiles are read back and held against the
slide's. JPEG XL is at the distance where its mean SSIM is that JPEG's.
"""

import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image
from rich.console import Console
from rich.table import Table
from usage import parser_of

from wsicomp import ConversionConfig, convert
from wsicomp.codecs.quality import Fidelity, fidelity
from wsicomp.formats.base import Slide
from wsicomp.formats.opening import open_reader
from wsicomp.geometry import TileIndex

SIDE = 256
LIKE = "jpeg:90"
_TRIES = 6


@dataclass(frozen=True)
class Made:
    """What a codec made of the slide."""

    bytes: int
    found: list[Fidelity]
    cpu_s: float
    notes: tuple[str, ...]

    @property
    def mean(self) -> float:
        return float(np.mean([each.ssim for each in self.found]))


def save_slide(fields: list[Path], path: Path, quality: int, subsampling: str) -> int:
    """Save fields side by side as a slide of JPEG tiles; return the count of tiles."""
    pictures = []
    for field in fields:
        pixels = np.asarray(Image.open(field).convert("RGB"))
        rows, columns = (side // SIDE * SIDE for side in pixels.shape[:2])
        pictures.append(pixels[:rows, :columns])
    rows = min(len(each) for each in pictures)
    slide = np.concatenate([each[:rows] for each in pictures], axis=1)
    tiles = [
        slide[row : row + SIDE, column : column + SIDE]
        for row in range(0, slide.shape[0], SIDE)
        for column in range(0, slide.shape[1], SIDE)
    ]
    stored = (imagecodecs.jpeg8_encode(tile, level=quality, subsampling=subsampling) for tile in tiles)
    tifffile.imwrite(
        path,
        stored,
        shape=slide.shape,
        dtype=slide.dtype,
        photometric="ycbcr",
        subsampling=(1, 1) if subsampling == "444" else (2, 2),
        compression="jpeg",
        tile=(SIDE, SIDE),
        resolution=(40_000, 40_000),
        resolutionunit="CENTIMETER",
    )
    return len(tiles)


def tiles_of(slide: Slide) -> list[np.ndarray]:
    grid = slide.info.levels[0].grid
    return [slide.read_tile(TileIndex(0, each.column, each.row)) for each in grid.raster(0)]


def made_by(source: Path, target: Path, **options: object) -> Made:
    """Convert the slide, and hold the result's tiles against its own."""
    start = time.process_time()
    report = convert(source, target, ConversionConfig.of(glass="keep", overwrite=True, **options))
    cpu_s = time.process_time() - start
    with closing(open_reader(source)) as first, closing(open_reader(target)) as second:
        found = [fidelity(one, two) for one, two in zip(tiles_of(first), tiles_of(second), strict=True)]
    return Made(target.stat().st_size, found, cpu_s, report.notes)


def jpegxl_at(ssim: float, source: Path, target: Path) -> tuple[str, Made]:
    """Return JPEG XL at the distance with this mean SSIM or a little more."""
    low, high = 0.7, 3.0
    for _ in range(_TRIES):
        distance = round(float(np.sqrt(low * high)), 3)
        low, high = (
            (distance, high)
            if made_by(source, target, codec="jpegxl", distance=distance, verify=False).mean >= ssim
            else (low, distance)
        )
    return f"jpegxl, distance {low:.2f}", made_by(source, target, codec="jpegxl", distance=low)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("fields", nargs="+", type=Path, help="pictures of tissue")
    parser.add_argument("--quality", type=int, default=97, help="of the JPEG that the slide is saved as")
    parser.add_argument("--subsampling", choices=("444", "420"), default="444", help="of its chroma")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / "slide.tiff", Path(name) / "made.tiff"
        count = save_slide(arguments.fields, source, arguments.quality, arguments.subsampling)
        reference = made_by(source, target, codec="jpeg", quality=90)
        rows = {LIKE: reference}
        label, made = jpegxl_at(reference.mean, source, target)
        rows[label] = made
        for model in ("he-compact", "he-fine"):
            rows[f"{model}, like {LIKE}"] = made_by(source, target, codec=model, like=LIKE)
            rows[f"{model}, default floors"] = made_by(source, target, codec=model)
        heading = f"{len(arguments.fields)} fields, {count} tiles, {source.stat().st_size / 1e6:.3f} MB"
    show(heading, rows, count)


def show(heading: str, rows: dict[str, Made], count: int) -> None:
    """Print the table; sizes are beside the first row's."""
    table = Table("", "MB", "saved", "mean SSIM", "least", "mean PSNR", "most shift", "CPU ms a tile")
    for label, made in rows.items():
        table.add_row(
            label,
            f"{made.bytes / 1e6:.3f}",
            f"{1 - made.bytes / rows[LIKE].bytes:.1%}",
            f"{made.mean:.4f}",
            f"{min(each.ssim for each in made.found):.4f}",
            f"{np.mean([each.psnr for each in made.found]):.1f}",
            f"{max(each.color_shift for each in made.found):.1f}",
            f"{made.cpu_s / count * 1000:.0f}",
        )
    console = Console(width=120)
    console.print(heading)
    console.print(table)
    for label, made in rows.items():
        for note in made.notes:
            console.print(f"{label}: {note}")


if __name__ == "__main__":
    main()
