"""Labelled tissue that is gone when glass is taken out, by every codec and way of glass.

The table is Markdown; the exit status is 1 where tissue is lost.

Every section is made an SVS of JPEG tiles, and converted with glass painted green. tifffile reads the result,
or `wsicomp.open_slide` where tiles are neural. A pixel of a level is gone where it is green or its tile is
empty. Counted are pixels whose whole area is inner tissue: labelled, and farther than 20 um from all else.
"""

import contextlib
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from usage import parser_of

HERE = Path(__file__).parent.parent
sys.path.insert(0, str(HERE))

import wsicomp  # noqa: E402
from tests.labelled import labelled_rows, make_slide  # noqa: E402
from wsicomp import ConversionConfig, WsicompError, convert_slide  # noqa: E402
from wsicomp.cli import main as program  # noqa: E402
from wsicomp.training.tissue.scores import inner_tissue  # noqa: E402

FINDERS = ("unet", "threshold", "blind")
GLASS = ("blank", "empty")
CODECS: dict[str, dict[str, Any]] = {
    "copy": {"codec": "copy"},
    "jpeg": {"codec": "jpeg"},
    "jpeg lossless": {"codec": "jpeg", "lossless": True},
    "jpegxl": {"codec": "jpegxl"},
    "jpegxl lossless": {"codec": "jpegxl", "lossless": True},
    "jpeg2000": {"codec": "jpeg2000"},
    "webp": {"codec": "webp"},
    "none": {"codec": "none"},
    "he-compact": {"codec": "bmshj2018-factorized", "model": "he-compact"},
}
Flags = NDArray[np.bool_]


def find_tissue(source: Path, finder: str, size: tuple[int, int]) -> Path:
    """The mask of a finder as a file; that of `blind` sees nothing."""
    mask = source.with_name(f"{finder}.png")
    if finder == "blind":
        Image.new("L", size).save(mask)
        return mask
    with contextlib.redirect_stdout(sys.stderr):
        code = program(["segment", str(source), str(mask), "--segmenter", finder, "--overwrite"])
    if code:
        sys.exit(f"{source}: no mask")
    return mask


def gone(path: Path) -> Iterator[Flags]:
    """Where each level is green or has no tile."""
    with tifffile.TiffFile(path) as tiff:
        pages = sorted((page for page in tiff.pages if page.is_tiled), key=lambda page: -page.imagewidth)
        for number, page in enumerate(pages):
            try:
                pixels = page.asarray()
            except (ValueError, KeyError):  # a compression of ours that no other program knows
                with wsicomp.open_slide(path) as slide:
                    whole = slide.read_region((0, 0), number, slide.level_dimensions[number])
                pixels = np.asarray(whole.convert("RGB"))
            values = pixels.astype(np.int16)
            flags = values[..., 1] - values[..., [0, 2]].max(axis=2) > 128
            side = page.tilelength
            lengths = np.asarray(page.databytecounts).reshape(-(-page.imagelength // side), -1)
            empty = np.kron(lengths == 0, np.ones((side, side), np.bool_))
            yield flags | empty[: page.imagelength, : page.imagewidth]


def whole_pixels(inner: Flags, shape: tuple[int, ...]) -> Flags:
    """The pixels of a level whose area is inner tissue, all of it."""
    times = round(inner.shape[0] / shape[0])
    rows, columns = inner.shape[0] // times, inner.shape[1] // times
    blocks = inner[: rows * times, : columns * times].reshape(rows, times, columns, times).all(axis=(1, 3))
    found = np.zeros(shape, np.bool_)
    found[:rows, :columns] = blocks[: shape[0], : shape[1]]
    return found


def measured(
    row: dict[str, str], folder: Path, finders: list[str], codecs: list[str], tile_px: int
) -> Counter[Any]:
    """Counts of one section: `(finder, codec, glass, what)` to pixels, tiles or conversions."""
    counts: Counter[Any] = Counter()
    with tempfile.TemporaryDirectory() as name:
        source, labels, mpp = make_slide(folder, row, Path(name), tile_px)
        inner = inner_tissue(labels, mpp)
        for finder in finders:
            mask = find_tissue(source, finder, labels.shape[::-1])
            for codec in codecs:
                for glass in GLASS:
                    choices = {"glass": glass, "format": "tiff", "mask": mask, "background": "#00ff00"}
                    config = ConversionConfig.of(
                        **CODECS[codec], **choices, workers=1, levels="full", overwrite=True
                    )
                    target = Path(name) / "target.tiff"
                    try:
                        convert_slide(source, target, config)
                    except WsicompError as exc:
                        counts[finder, codec, glass, f"refused: {exc}"[:90]] += 1
                        continue
                    for number, flags in enumerate(gone(target)):
                        true = whole_pixels(inner, flags.shape)
                        counts[finder, codec, glass, "inner"] += int(true.sum())
                        counts[finder, codec, glass, "lost"] += int((flags & true).sum())
                        if number == 0:
                            counts[finder, codec, glass, "removed"] += int(flags.sum())
                            counts[finder, codec, glass, "all"] += flags.size
                    counts[finder, codec, glass, "sections"] += 1
    lost = {key[:3]: count for key, count in counts.items() if key[3] == "lost" and count}
    print(f"{row['name']}: {lost or 'nothing lost'}", file=sys.stderr, flush=True)
    return counts


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path, help="of gt.tsv, images and masks")
    parser.add_argument("--finders", nargs="+", default=list(FINDERS), choices=FINDERS, help="these alone")
    parser.add_argument("--codecs", nargs="+", default=list(CODECS), choices=list(CODECS), help="these alone")
    parser.add_argument("--names", nargs="+", help="these sections alone")
    parser.add_argument("--tile", type=int, default=64, metavar="PX", help="side of the tiles")
    parser.add_argument("--processes", type=int, default=2, help="at a time")
    options = parser.parse_args()
    rows = [row for row in labelled_rows(options.folder) if not options.names or row["name"] in options.names]
    total: Counter[Any] = Counter()
    work = partial(
        measured, folder=options.folder, finders=options.finders, codecs=options.codecs, tile_px=options.tile
    )
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        for counts in pool.map(work, rows):
            total += counts
    print(
        "| finder | codec | glass | sections | inner tissue, px at all levels | lost | removed of level 0 |"
    )
    print("|---|---|---|---|---|---|---|")
    for finder, codec, glass in dict.fromkeys(key[:3] for key in total):
        of = {key[3]: count for key, count in total.items() if key[:3] == (finder, codec, glass)}
        share = f"{of.get('removed', 0) / of['all']:.1%}" if "all" in of else "refused"
        cells = [
            finder,
            codec,
            glass,
            of.get("sections", 0),
            f"{of.get('inner', 0):,}",
            of.get("lost", 0),
            share,
        ]
        print(f"| {' | '.join(map(str, cells))} |")
    for key, count in total.items():
        if key[3].startswith("refused"):
            print(f"{count} x {' '.join(key)}")
    sys.exit(any(key[3] == "lost" and count for key, count in total.items()))


if __name__ == "__main__":
    main()
