"""Sampled comparisons beside whole ones, as Markdown: how often the intervals hold, or the time they save.

scripts/bench compare [SLIDE ...]       # drawn slides, and yours: do the intervals hold the whole file?
scripts/bench compare --large 49152     # one drawn slide: which part of the whole run's time is a sample?
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from usage import parser_of

from wsicomp.comparison import Comparison, ComparisonOptions, Status, compare_slides, parse_codecs
from wsicomp.comparison.tables import markdown_table
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide
from wsicomp.text.figures import as_duration, as_percent

CODECS = "copy,jpegxl-lossless,jpeg:90,jpegxl:1.0+effort=4,jpeg2000:37dB,webp:90"
STUDY = "jpeg:90,jpegxl:1.0"


def drawn(folder: Path, count: int) -> Iterator[Path]:
    """Slides of many kinds: little tissue and much, small tiles and large, coarse JPEG and fine."""
    for number in range(count):
        path = folder / f"drawn-{number}.svs"
        slide = SyntheticSlide(
            Size(2400 + 120 * number, 2400), seed=number, tissue_fraction=0.1 + 0.04 * number
        )
        form = SyntheticFormat(
            tile_px=(128, 240, 256)[number % 3],
            quality=60 + 2 * number,
            photometric=("ycbcr", "rgb")[number % 2],
            subsampling=("420", "444")[number % 2],
        )
        write_slide(path, slide, form)
        yield path
        path.unlink()


def compared(path: Path, codecs: str, sample: int | None, seed: int = 0) -> Comparison:
    choices = ComparisonOptions(codecs=parse_codecs(codecs), sample=sample, seed=seed, curve_tiles=0)
    with tempfile.TemporaryDirectory() as out:
        return compare_slides([path], Path(out), choices, overwrite=True)


def coverage(slides: Iterator[Path], sample: int) -> None:
    held: dict[tuple[str, str], list[bool]] = {}
    widths: dict[tuple[str, str], list[float]] = {}
    for number, path in enumerate(slides):
        whole, part = compared(path, CODECS, None), compared(path, CODECS, sample, number)
        for file, row in zip(whole.rows, part.rows, strict=True):
            if file.status is not Status.DONE or file.target_bytes is None:
                continue
            low, high = row.target_bytes_low or 0, row.target_bytes_high or 0
            key = row.codec, row.glass
            held.setdefault(key, []).append(low <= file.target_bytes <= high)
            widths.setdefault(key, []).append((high - low) / 2 / file.target_bytes)
        print(f"<!-- {path.name} -->", flush=True)
    lines = [
        [codec, glass, f"{sum(found)} of {len(found)}", as_percent(mean(widths[codec, glass]))]
        for (codec, glass), found in held.items()
    ]
    everything = [hit for found in held.values() for hit in found]
    lines.append(
        [
            "all",
            "",
            f"{sum(everything)} of {len(everything)}",
            as_percent(mean([*map(mean, widths.values())])),
        ]
    )
    print(
        markdown_table(
            ["codec", "glass", "intervals that hold the file", "half an interval, of the file"], lines
        )
    )


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def large(side: int, sample: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.svs"
        write_slide(path, SyntheticSlide(Size(side, side), seed=5, tissue_fraction=0.35))
        start = time.perf_counter()
        part = compared(path, STUDY, sample)
        between = time.perf_counter()
        whole = compared(path, STUDY, None)
        end = time.perf_counter()
    lines = [
        [row.codec, row.glass, str(file.target_bytes), f"{row.target_bytes_low} to {row.target_bytes_high}"]
        for file, row in zip(whole.rows, part.rows, strict=True)
    ]
    print(markdown_table(["codec", "glass", "bytes", "interval of the sample"], lines))
    took = between - start, end - between
    print(f"{side} x {side} px, {STUDY}: a sample of {sample} tiles took {as_duration(took[0])},")
    print(f"whole files {as_duration(took[1])}:")
    print(f"{took[0] / took[1]:.1%}")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("slides", type=Path, nargs="*", metavar="SLIDE", help="a slide of yours")
    parser.add_argument("--drawn", type=int, default=20, help="how many slides are drawn")
    parser.add_argument("--sample", type=int, default=200, help="tiles of a slide")
    parser.add_argument("--large", type=int, metavar="PX", help="the side of one slide, timed")
    options = parser.parse_args()
    if options.large:
        large(options.large, options.sample)
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.drawn:
            print("Drawn slides\n")
            coverage(drawn(Path(folder), options.drawn), options.sample)
        if options.slides:
            print("Slides given\n")
            coverage(iter(options.slides), options.sample)


if __name__ == "__main__":
    main()
