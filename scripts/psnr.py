"""The least PSNR of a tile of `--codec jpeg2000 --psnr P`, and the bytes, here and in another checkout.

Pixels are tifffile's, or OpenSlide's where the source is no TIFF.
"""

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openslide
import tifffile
from numpy.typing import NDArray
from usage import parser_of

ASKED_DB = (30, 34, 37, 40, 44)
HERE = Path(__file__).parent.parent


def converted(checkout: Path, source: Path, target: Path, asked_db: float) -> int:
    """Convert with the program of a checkout; the bytes of the target."""
    command = [sys.executable, "-m", "wsicomp", "convert", str(source), str(target), "--codec", "jpeg2000"]
    command += ["--psnr", str(asked_db), "--glass", "keep", "--overwrite", "--no-verify"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    subprocess.run(command, check=True, cwd=checkout, env=environment, capture_output=True)
    return target.stat().st_size


def levels_of(path: Path) -> Iterator[tuple[NDArray[np.uint8], tuple[int, int]]]:
    """The pixels of every level, and its tiles' (rows, columns)."""
    if path.suffix in (".svs", ".tif", ".tiff"):
        with tifffile.TiffFile(path) as tiff:
            for page in tiff.pages:
                if page.is_tiled:
                    yield page.asarray(), (page.tilelength, page.tilewidth)
        return
    with openslide.OpenSlide(path) as slide:
        for level, size in enumerate(slide.level_dimensions):
            yield np.asarray(slide.read_region((0, 0), level, size).convert("RGB")), (0, 0)


def least_psnr(source: Path, target: Path) -> float:
    """The least PSNR of a tile of the target, in dB; over its pixels inside of the level."""
    least = math.inf
    for (before, _), (after, tile) in zip(levels_of(source), levels_of(target), strict=True):
        for y in range(0, after.shape[0], tile[0]):
            for x in range(0, after.shape[1], tile[1]):
                part = np.s_[y : y + tile[0], x : x + tile[1]]
                error = np.mean((before[part].astype(np.float32) - after[part]) ** 2)
                least = min(least, 10 * math.log10(255**2 / error) if error else math.inf)
    return least


def main() -> None:
    parser = parser_of(__doc__)
    default = os.environ.get("WSICOMP_SLIDES", "../shared/data/slides")
    parser.add_argument("slides", type=Path, nargs="*", help=f"slides; those of {default} by default")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="compare with the program in here")
    options = parser.parse_args()
    slides = options.slides or sorted(
        path for path in Path(default).iterdir() if path.suffix in (".svs", ".tif", ".dcm")
    )
    checkouts = {"before": options.before, "now": HERE} if options.before else {"now": HERE}
    names = list(checkouts)
    print(f"| slide | asked, dB | {' | '.join(f'least, {name} | kB, {name}' for name in names)} |")
    print("|---|---|" + "---|---|" * len(names))
    with tempfile.TemporaryDirectory() as folder:
        for source in slides:
            for asked_db in ASKED_DB:
                cells = []
                for checkout in checkouts.values():
                    target = Path(folder) / "target.svs"
                    size = converted(checkout.resolve(), source.resolve(), target, asked_db)
                    cells += [f"{least_psnr(source, target):.2f}", f"{size / 1000:.0f}"]
                print(f"| {source.name} | {asked_db} | {' | '.join(cells)} |", flush=True)


main()
