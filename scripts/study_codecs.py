"""AVIF and HEIF beside the codecs that slides are stored by: bits and CPU time at equal SSIM.

    scripts/study codecs FOLDER

Each codec encodes the same tiles at every setting of its ladder; bits are read from its curve, where the
logarithm of bits is interpolated. AVIF and HEIF are whole files. The others are tiles as wsicomp stores them,
but for JPEG 4:4:4, which it does not write. A model runs without its guard.

wsicomp has no codec for AVIF and HEIF: no reader of slides is known to open them. HEIF has a row where
pillow-heif can be imported. Its wheels hold x265, whose licence is the GPL, so wsicomp never installs it:

    pip install --target ANOTHER_FOLDER --no-deps pillow-heif
    PYTHONPATH=ANOTHER_FOLDER scripts/study codecs FOLDER
"""

import importlib.util
import io
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import imagecodecs
import results_page
import study_tiles
from matplotlib.figure import Figure
from PIL import Image
from study_tiles import PAGE, Coder, Point, registered, single
from usage import parser_of

from wsicomp.comparison.tables import markdown_table
from wsicomp.slide import Pixels
from wsicomp.training.codec.curves import bits_at

TARGETS = (0.90, 0.95, 0.98)
TIMED_AT = 0.95
LIBRARIES = ("pillow-heif", "pillow")
_JPEG = (10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 93, 95, 97, 99)
_AVIF = (15, 30, 40, 50, 60, 70, 80, 87, 93, 97)
_HEIF = (20, 35, 45, 55, 65, 75, 82, 90)
_ONE_THREAD = {"x265:pools": "none", "x265:frame-threads": "1"}


def jpeg_444(quality: float, tile: Pixels) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(tile, level=int(quality), subsampling="444", optimize=True))


def avif(pixel_format: str, speed: int) -> Coder:
    def encode(quality: float, tile: Pixels) -> bytes:
        options = {"speed": speed, "pixelformat": pixel_format, "numthreads": 1}
        return bytes(imagecodecs.avif_encode(tile, level=int(quality), **options))

    name = f"AVIF {':'.join(pixel_format)}, speed {speed}"
    return single(name, _AVIF, encode, lambda data: imagecodecs.avif_decode(data, numthreads=1))


def heif() -> Coder | None:
    """HEIF by x265 on one thread; None where pillow-heif is not installed."""
    if importlib.util.find_spec("pillow_heif") is None:
        return None
    import pillow_heif  # noqa: PLC0415 - never a dependency

    pillow_heif.register_heif_opener(thumbnails=False)

    def encode(quality: float, tile: Pixels) -> bytes:
        target = io.BytesIO()
        options = {"quality": int(quality), "chroma": 444, "enc_params": _ONE_THREAD}
        Image.fromarray(tile).save(target, format="HEIF", **options)
        return target.getvalue()

    return single(
        "HEIF (x265) 4:4:4", _HEIF, encode, lambda data: Image.open(io.BytesIO(data)).convert("RGB")
    )


def coders() -> list[Coder]:
    """Return the codecs of the table, in its order."""
    found = [
        registered("JPEG 4:2:0", "jpeg:{:g}", _JPEG),
        single("JPEG 4:4:4", _JPEG, jpeg_444, imagecodecs.jpeg8_decode),
        registered("WebP", "webp:{:g}", (10, 30, 50, 70, 80, 90, 95, 100)),
        registered("JPEG XL, effort 7", "jpegxl:{:g}", (0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 9)),
        registered("JPEG XL, effort 3", "jpegxl:{:g}+effort=3", (0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 9)),
        registered("JPEG 2000", "jpeg2000:{:g}dB", (24, 26, 28, 30, 32, 34, 36, 38, 40, 43)),
        avif("444", 6),
        avif("420", 9),
        heif(),
        registered("he-fine", "he-fine:{:g}", tuple(range(1, 12))),
    ]
    return [coder for coder in found if coder is not None]


def table(curves: Mapping[str, Sequence[Point]]) -> str:
    """Bits at each SSIM, and CPU time at the setting nearest to .95."""
    head = ["codec", *(f"bits/px at SSIM {target:.2f}" for target in TARGETS)]
    lines = []
    for name, line in curves.items():
        near = min(line, key=lambda each: abs(each.ssim - TIMED_AT))
        cells = [bits_cell(line, target) for target in TARGETS]
        lines.append([name, *cells, f"{near.encode_ms:.1f}", f"{near.decode_ms:.1f}"])
    return markdown_table([*head, "encode, CPU ms a tile", "decode"], lines)


def bits_cell(line: Sequence[Point], target: float) -> str:
    """Bits per pixel at an SSIM, or where the ladder begins or ends that does not have it."""
    bits = bits_at(line, target)
    if bits is not None:
        return f"{bits:.2f}"
    least, most = min(each.ssim for each in line), max(each.ssim for each in line)
    return f"- (begins at {least:.3f})" if target < least else f"- (ends at {most:.3f})"


def draw(curves: Mapping[str, Sequence[Point]], path: Path) -> None:
    """Write the picture of all curves."""
    figure = Figure(figsize=(9, 5.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    for name, line in curves.items():
        is_ours = not name.startswith(("AVIF", "HEIF"))
        points = sorted(line, key=lambda each: each.bits_per_pixel)
        across, up = [each.bits_per_pixel for each in points], [each.ssim for each in points]
        axes.plot(across, up, "-" if is_ours else "--", marker="o", markersize=3, label=name)
    axes.set(xscale="log", xlim=(0.25, 8), ylim=(0.84, 1.0), xlabel="bits per pixel", ylabel="mean SSIM")
    axes.set_xticks([0.25, 0.5, 1, 2, 4, 8], ["0.25", "0.5", "1", "2", "4", "8"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", title="dashed: the study alone")
    figure.savefig(path)


def report(curves: Mapping[str, Sequence[Point]], tiles: int) -> str:
    missing = (
        "" if any(name.startswith("HEIF") for name in curves) else " HEIF: pillow-heif is not installed."
    )
    about = f"{tiles} tiles of {study_tiles.SIDE} px. {results_page.machine(*LIBRARIES)}{missing}"
    return f"{about}\n\n{table(curves)}"


def measured(options: Namespace) -> tuple[dict[str, list[Point]], int]:
    tiles = study_tiles.tiles_of(options.folder, options.tiles)
    return {coder.name: study_tiles.curve(coder, tiles) for coder in coders()}, len(tiles)


def main() -> None:
    parser = parser_of(__doc__)
    study_tiles.add_options(parser)
    parser.add_argument("--picture", type=Path, help="write the curves as this PNG or SVG")
    results_page.add_options(parser, PAGE)
    options = parser.parse_args()
    curves, tiles = measured(options)
    if options.picture:
        draw(curves, options.picture)
    results_page.publish(options, "codecs", report(curves, tiles), PAGE)


if __name__ == "__main__":
    main()
