"""Smoothing tissue before a codec, beside the same codec at a coarser setting of the same SSIM.

    scripts/study smoothing FOLDER

A filter smooths each tile, and a codec encodes it at its usual setting. SSIM is against the tile before the
filter. "Coarser" is the codec alone at the setting where its curve has that SSIM: if it saves more, the
filter is worth nothing. The filters are OpenCV's, and Perona and Malik's diffusion (1990), per channel.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
import results_page
import study_tiles
from study_tiles import PAGE, Coder, Point, registered
from usage import parser_of

from wsicomp.comparison.tables import markdown_table
from wsicomp.slide import Pixels
from wsicomp.text.figures import as_percent
from wsicomp.training.codec.curves import bits_at

ITERATIONS = 15
_STEP = 0.25
"""The largest step at which diffusion to four neighbours is stable."""

Filter = Callable[[Pixels], Pixels]


def diffused(tile: Pixels, conductance: float) -> Pixels:
    """Return a tile after Perona and Malik's diffusion: edges well above `conductance` (of 1) stay."""
    values = tile.astype(np.float32) / 255
    for _ in range(ITERATIONS):
        change = np.zeros_like(values)
        for axis in (0, 1):
            slope = np.diff(values, axis=axis)
            flow = slope * np.exp(-((slope / conductance) ** 2))
            before, behind = [(0, 0)] * 3, [(0, 0)] * 3
            before[axis], behind[axis] = (1, 0), (0, 1)
            change += np.pad(flow, behind) - np.pad(flow, before)
        values += _STEP * change
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)


FILTERS: Mapping[str, Filter] = {
    "Perona-Malik, K 0.4": lambda tile: diffused(tile, 0.4),
    "Perona-Malik, K 0.02": lambda tile: diffused(tile, 0.02),
    "bilateral, 5 px, 15 levels": lambda tile: cv2.bilateralFilter(tile, 5, 15, 2),
    "bilateral, 9 px, 40 levels": lambda tile: cv2.bilateralFilter(tile, 9, 40, 3),
    "median, 3 px": lambda tile: cv2.medianBlur(tile, 3),
    "Gaussian, sigma 0.5": lambda tile: cv2.GaussianBlur(tile, (0, 0), 0.5),
    "Gaussian, sigma 1": lambda tile: cv2.GaussianBlur(tile, (0, 0), 1),
    "non-local means, h 3": lambda tile: cv2.fastNlMeansDenoisingColored(tile, None, 3, 3, 5, 15),
}
CODECS: Mapping[str, tuple[Coder, float]] = {
    "JPEG q90": (registered("JPEG", "jpeg:{:g}", (1, 3, 5, 10, 20, 30, 45, 60, 75, 85, 88, 90)), 90),
    "JPEG XL d1": (registered("JPEG XL", "jpegxl:{:g}", (25, 14, 7, 4.5, 3, 2.2, 1.7, 1.4, 1.2, 1)), 1),
    "JPEG 2000 37 dB": (
        registered("JPEG 2000", "jpeg2000:{:g}dB", (20, 22, 24, 26, 28, 30, 32, 34, 35, 36, 37)),
        37,
    ),
}
"""Each codec with its ladder, and its usual setting."""


def cells(smoothed: Point, usual: Point, line: Sequence[Point]) -> list[str]:
    """What a filter saves of a codec's bytes, the SSIM, and what the codec alone saves at that SSIM."""
    alone = bits_at(line, smoothed.ssim)
    found = [as_percent(1 - smoothed.bits_per_pixel / usual.bits_per_pixel), f"{smoothed.ssim:.3f}"]
    return [*found, "-" if alone is None else as_percent(1 - alone / usual.bits_per_pixel)]


def table(
    tiles: Sequence[Pixels], filters: Mapping[str, Filter], codecs: Mapping[str, tuple[Coder, float]]
) -> str:
    """Every filter before every codec, and a last line with each codec's own SSIM."""
    lines_of = {name: study_tiles.curve(coder, tiles) for name, (coder, _) in codecs.items()}
    usual = {
        name: next(each for each in lines_of[name] if each.setting == codecs[name][1]) for name in codecs
    }
    rows = []
    for label, smooth in filters.items():
        start = time.process_time()
        smoothed = [smooth(tile) for tile in tiles]
        row = [label, f"{(time.process_time() - start) * 1000 / len(tiles):.1f}"]
        for name, (coder, setting) in codecs.items():
            found = study_tiles.point(coder, setting, smoothed, tiles)
            row += cells(found, usual[name], lines_of[name])
        rows.append(row)
    none = ["no filter", "-"]
    for each in usual.values():
        none += [as_percent(0), f"{each.ssim:.3f}", as_percent(0)]
    head = ["filter", "CPU ms a tile"]
    for name in codecs:
        head += [f"{name}: saved", "SSIM", "coarser alone saves"]
    return markdown_table(head, [none, *rows])


def main() -> None:
    parser = parser_of(__doc__)
    study_tiles.add_options(parser)
    results_page.add_options(parser, PAGE)
    options = parser.parse_args()
    tiles = study_tiles.tiles_of(options.folder, options.tiles)
    about = f"{len(tiles)} tiles of {study_tiles.SIDE} px. {results_page.machine('opencv-python-headless')}"
    results_page.publish(options, "smoothing", f"{about}\n\n{table(tiles, FILTERS, CODECS)}", PAGE)


if __name__ == "__main__":
    main()
