"""The published study of whole-slide compression, measured again: its tables and its figure, as Markdown.

    scripts/study FOLDER            # every slide of a folder, written whole: hours for an archive's slides
    scripts/study --synthetic       # on slides that it draws itself
    scripts/study FOLDER --sample tiles:400

Source of what stands under "the study": Hoibo et al. 2026, Deep learning-based compression of giga-resolution
whole slide images, arXiv 2605.17668. Its slides, 21 of The Cancer Imaging Archive, are not ours, so that
figures stand beside each other and are not expected to be equal. Nothing is downloaded.
"""

import shlex
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from usage import parser_of

from wsicomp.cli.progress import progress_bars
from wsicomp.comparison import Comparison, ComparisonOptions, Row, Status, compare_slides, parse_codecs
from wsicomp.comparison.options import parse_sample
from wsicomp.comparison.results import MagnifiedRow
from wsicomp.comparison.tables import markdown_table
from wsicomp.config import ConversionConfig
from wsicomp.formats.discovery import SUFFIXES
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide
from wsicomp.text.figures import as_bytes, as_percent

CODECS = (
    "jpeg:90,jpegxl:1.0,mbt2018-mean:7,he-compact,he-fine,copy,jpeg-lossless,jpegxl-lossless,jpeg2000:37dB"
)
GLASS = ("keep", "white", "empty")
MAGNIFICATIONS = (1.25, 2.5, 5.0, 10.0, 20.0, 40.0)
PYRAMIDS = ("jpeg:90", "jpegxl:1.0", "mbt2018-mean:7")
OURS = ("he-compact", "he-fine", "copy", "jpeg-lossless", "jpegxl-lossless")
STUDY_REDUCTIONS = {
    ("keep", "jpeg:90"): "0",
    ("keep", "jpegxl:1.0"): "19-35 %",
    ("keep", "mbt2018-mean:7"): "43-72 %",
    ("white", "jpeg:90"): "0.3-33 %",
    ("white", "jpegxl:1.0"): "22-69 %",
    ("white", "mbt2018-mean:7"): "44-75 %",
    ("empty", "jpeg:90"): "6-62 %",
    ("empty", "jpegxl:1.0"): "22-71 %",
    ("empty", "mbt2018-mean:7"): "45-80 %",
}
STUDY_SECONDS = {"jpeg:90": (26, 39, 39), "jpegxl:1.0": (835, 926, 344)}
STUDY_PATCHES = {
    "jpeg:90": "0, SSIM 0.95, 35 dB, 2.82",
    "jpeg2000:37dB": "14 %, SSIM 0.96, 37 dB, 2.84",
    "jpegxl:1.0": "17 %, SSIM 0.96, 37 dB, 2.31",
    "mbt2018-mean:7": "42 %, SSIM 0.96, 36 dB, 1.74",
}
BAR = 30


def drawn_slides(folder: Path) -> list[Path]:
    """Four slides of 20x and 40x, with little tissue and with much, as SVS."""
    paths = []
    for number, (tissue, mpp) in enumerate(((0.15, 0.5), (0.35, 0.25), (0.55, 0.5), (0.75, 0.25))):
        path = folder / f"drawn-{number + 1}.svs"
        slide = SyntheticSlide(Size(6144, 5120), seed=number + 1, mpp=mpp, tissue_fraction=tissue)
        write_slide(path, slide, SyntheticFormat(quality=90, downsamples=(1, 4, 16)))
        paths.append(path)
    return paths


def rows_of(found: Comparison, codec: str, glass: str) -> list[Row]:
    rows = (row for row in found.rows if (row.codec, row.glass) == (codec, glass))
    return [row for row in rows if row.status is Status.DONE and row.reduction is not None]


def reason_of(found: Comparison, codec: str) -> str:
    return next((row.reason for row in found.rows if row.codec == codec and row.reason), "")


def reductions(found: Comparison) -> str:
    """Table 2: least and most over the slides, and of all bytes together, beside the study's."""
    head = ["glass", *(f"{codec}{kind}" for codec in PYRAMIDS for kind in ("", ", the study")), *OURS]
    lines = []
    for glass in GLASS:
        cells = [f"{glass}{', one shared tile' if glass == 'white' else ''}"]
        for codec in PYRAMIDS:
            cells += [reduction_cell(rows_of(found, codec, glass)), STUDY_REDUCTIONS[glass, codec]]
        cells += [reduction_cell(rows_of(found, codec, glass)) for codec in OURS]
        lines.append(cells)
    return markdown_table(head, lines)


def reduction_cell(rows: Sequence[Row]) -> str:
    values = [row.reduction for row in rows if row.reduction is not None]
    if not values:
        return "-"
    base = sum(
        row.target_bytes / (1 - row.reduction)
        for row in rows
        if row.target_bytes and row.reduction is not None
    )
    whole = 1 - sum(row.target_bytes or 0 for row in rows) / base
    return f"{as_percent(min(values))} to {as_percent(max(values))}; all {as_percent(whole)}"


def seconds(found: Comparison) -> str:
    """Table 3: mean seconds a slide to find tissue (where glass goes) and to write."""
    look = {slide.slide: slide.segment_s or 0.0 for slide in found.slides}
    lines = []
    for codec in (*PYRAMIDS, *OURS):
        cells = [codec]
        for number, glass in enumerate(GLASS):
            rows = rows_of(found, codec, glass)
            values = [(row.encode_s or 0) + (look[row.slide] if glass != "keep" else 0) for row in rows]
            cells.append(f"{statistics.fmean(values):.1f}" if values else "-")
            cells.append(str(STUDY_SECONDS[codec][number]) if codec in STUDY_SECONDS else "-")
        lines.append(cells)
    return markdown_table(
        ["seconds a slide", *(f"{glass}{kind}" for glass in GLASS for kind in ("", ", the study"))], lines
    )


def patches(found: Comparison) -> str:
    """Table 4: codecs on tissue patches, every magnification of every slide with the same weight."""
    rows = [row for slide in found.slides for row in slide.magnified]
    lines = []
    for codec in dict.fromkeys(row.codec for row in rows):
        mine = [row for row in rows if row.codec == codec]
        lines.append([codec, *patch_cells(mine), STUDY_PATCHES.get(codec, "-")])
    head = ["codec", "patches", "saved (patch by patch)", "SSIM", "worst", "PSNR, dB", "bits/px"]
    return markdown_table([*head, "the study: saved, SSIM, PSNR, bits/px"], lines)


def patch_cells(rows: Sequence[MagnifiedRow]) -> list[str]:
    noise = [row.psnr_db for row in rows if row.psnr_db is not None]
    least, most = min(row.least_saved for row in rows), max(row.most_saved for row in rows)
    return [
        str(sum(row.patches for row in rows)),
        f"{as_percent(mean(row.saved for row in rows))} ({as_percent(least)} to {as_percent(most)})",
        f"{mean(row.ssim for row in rows):.3f}",
        f"{min(row.least_ssim for row in rows):.3f}",
        f"{mean(noise):.1f}" if noise else "exact",
        f"{mean(row.bits_per_pixel for row in rows):.2f}",
    ]


def by_magnification(found: Comparison) -> str:
    """What each codec saves at each magnification, over the slides that have it."""
    rows = [row for slide in found.slides for row in slide.magnified]
    at = sorted({row.magnification for row in rows})
    lines = []
    for codec in dict.fromkeys(row.codec for row in rows):
        cells = [
            [row.saved for row in rows if (row.codec, row.magnification) == (codec, power)] for power in at
        ]
        lines.append([codec, *(as_percent(mean(cell)) if cell else "-" for cell in cells)])
    return markdown_table(["saved of JPEG q90", *(f"{power:g}x" for power in at)], lines)


def mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


def pyramids(found: Comparison) -> Iterator[str]:
    """Figure 6: the study's six pyramids of each slide, and ours below them."""
    for slide in found.slides:
        if slide.error:
            yield f"{slide.slide}: {slide.error}\n"
            continue
        yield f"{slide.slide}, JPEG q90 with its glass: {as_bytes(slide.reference_bytes or 0)}"
        lines = ["```"]
        for codec in ("jpeg:90", "jpegxl:1.0", *OURS):
            for row in (
                row for glass in GLASS for row in rows_of(found, codec, glass) if row.slide == slide.slide
            ):
                part = 1 - (row.reduction or 0)
                bar = "#" * round(min(part, 1.6) * BAR)
                lines.append(f"{codec:>16} {row.glass:<5} {part * 100:6.1f} % {bar}")
        yield "\n".join([*lines, "```\n"])


def report(found: Comparison) -> Iterator[str]:
    yield f"    {found.command}\n"
    slides = [slide for slide in found.slides if not slide.error]
    size = as_bytes(sum(slide.source_bytes or 0 for slide in slides))
    yield f"{len(slides)} slides, {size}; {found.software}.\n"
    for codec in (*PYRAMIDS, *OURS):
        if not any(rows_of(found, codec, glass) for glass in GLASS):
            yield f"{codec} is missing: {reason_of(found, codec)}\n"
    yield "### Table 2: what whole pyramids save of JPEG q90 with its glass\n"
    yield reductions(found)
    yield "### Table 3: seconds a slide\n"
    yield seconds(found)
    yield "### Table 4: tissue patches of 256 x 256 px\n"
    yield patches(found)
    yield by_magnification(found)
    yield "### Figure 6: every pyramid, as a part of JPEG q90 with its glass\n"
    yield from pyramids(found)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="slides")
    parser.add_argument("--synthetic", action="store_true", help="draw slides")
    parser.add_argument("--sample", default="whole", help="whole, or tiles:N of each slide")
    parser.add_argument("--patches", type=int, default=24, help="of tissue at each magnification of a slide")
    parser.add_argument("--codecs", default=CODECS, help="those that are compared")
    parser.add_argument("--out", type=Path, help="a folder for the page, CSV and JSON")
    options = parser.parse_args()
    if (options.folder is None) != options.synthetic:
        parser.error("name a folder of slides, or --synthetic")
    choices = ComparisonOptions(
        codecs=parse_codecs(options.codecs),
        glass=GLASS,
        base=ConversionConfig.of(overwrite=True, background="white"),
        sample=parse_sample(options.sample),
        magnifications=MAGNIFICATIONS,
        patches=options.patches,
        curve_tiles=12 if options.out else 0,
    )
    with tempfile.TemporaryDirectory() as name, progress_bars() as show:
        folder = Path(name)
        if options.synthetic:
            slides = drawn_slides(folder)
        else:
            slides = [path for path in sorted(options.folder.iterdir()) if path.suffix.lower() in SUFFIXES]
        found = compare_slides(
            slides,
            options.out or folder / "out",
            choices,
            command=shlex.join(["scripts/study", *sys.argv[1:]]),
            overwrite=True,
            on_progress=show,
        )
    print("\n".join(report(found)))


if __name__ == "__main__":
    main()
