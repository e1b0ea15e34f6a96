"""Packs slides of any vendor beside `zstd -19` and `xz`: sizes, CPU seconds and memory.

Beside the slides that are named, three are drawn of the pixels of breast_B4.svs, if it is among them: one
JPEG of 65,536 px, as Hamamatsu writes it, a folder of JPEG tiles as 3DHISTECH does, and a DICOM series.
Slides of several files are one tar for zstd and xz. Every command has a process of its own, and all cores.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import results_page
import tifffile
from processes import Command, Run, run
from usage import parser_of

from tests.drawn import scanner_slides
from tests.drawn.dicom_slide import Form, dicom_of
from wsicomp.formats.slide_files import slide_parts

PAGE = Path(__file__).parent.parent / "docs/results/packed.md"
SLIDES = Path(os.environ.get("WSICOMP_SLIDES", "../shared/data/slides"))
DRAWN_OF, WIDE_PARTS, WIDE_PX, SIDE = "breast_B4.svs", 8, 1216, 256
"""WIDE_PARTS pictures of WIDE_PX rows stand side by side; no two rows of one picture are the same."""
_PACK = "import sys, wsicomp.formats.packed.pack as m; m.pack_slide(*sys.argv[1:], overwrite=True)"
_UNPACK = "import sys, wsicomp.formats.packed.unpack as m; m.unpack_file(*sys.argv[1:], overwrite=True)"
_UNPACK_ALL = _UNPACK.replace("file", "slide")
Runs = Mapping[str, Run]


def drawn(source: Path, folder: Path) -> Iterator[Path]:
    """Write three slides in other vendors' structure, of the pixels or the tiles of an SVS."""
    pixels = np.ascontiguousarray(tifffile.imread(source, key=0)[: 38 * SIDE, : 32 * SIDE])
    rolled = [np.roll(pixels, (1237 * part, 29 * part), (0, 1))[:WIDE_PX] for part in range(WIDE_PARTS)]
    wide = folder / "one JPEG, 65,536 px wide.ndpi"
    yield scanner_slides.wide_ndpi(wide, pixels=rolled, restart_mcus=SIDE)
    yield scanner_slides.mrxs(folder / "JPEG tiles in a folder.mrxs", 32, 38, SIDE, pixels=pixels)
    series = folder / "DICOM series"
    series.mkdir()
    yield dicom_of(source, series, Form())


def tarred(parts: tuple[Path, ...], folder: Path) -> Path:
    """Return the file of a slide, or all of its files in one tar."""
    if len(parts) == 1:
        return parts[0]
    tar, base = folder / "slide.tar", Path(os.path.commonpath([part.parent for part in parts]))
    names = [str(part.relative_to(base)) for part in parts]
    subprocess.run(["tar", "-cf", tar, "-C", base, *names], check=True)
    return tar


def measured(slide: Path, folder: Path) -> Runs:
    """Pack a slide, unpack it, and hand it to zstd and xz."""
    parts, packed = slide_parts(slide), folder / "packed.wsipack"
    tar = tarred(parts, folder)
    found = {"pack": run(Command((sys.executable, "-c", _PACK, str(slide), str(packed)), packed))}
    again = folder / "again"
    back, unpack = (again, _UNPACK) if len(parts) == 1 else (again / slide.name, _UNPACK_ALL)
    found["unpack"] = run(Command((sys.executable, "-c", unpack, str(packed), str(again)), back))
    if len(parts) == 1:
        assert again.read_bytes() == slide.read_bytes()
    zst, xz = folder / "slide.zst", folder / "slide.xz"
    found["zstd"] = run(Command(("zstd", "-19", "-T0", "-q", str(tar), "-o", str(zst)), zst))
    shell = f'xz -6 -T0 -c "{tar}" > "{xz}"'
    found["xz"] = run(Command(("sh", "-c", shell), xz))
    return found


def table(rows: Mapping[str, tuple[int, int, Runs]]) -> str:
    """Return sizes as percents of the slide's files, and seconds of the processor."""
    lines = [
        "| slide | files | MB | packed, % | zstd -19, % | xz -6, % | pack, CPU s | unpack | zstd | xz "
        "| peak MB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, (files, size, runs) in rows.items():
        percents = " | ".join(f"{100 * runs[way].written / size:.1f}" for way in ("pack", "zstd", "xz"))
        seconds = " | ".join(f"{runs[way].cpu_s:.1f}" for way in ("pack", "unpack", "zstd", "xz"))
        peak = f"{runs['pack'].peak_mb:.0f}"
        lines.append(f"| {name} | {files} | {size / 1e6:.1f} | {percents} | {seconds} | {peak} |")
    return "\n".join(lines)


def row(slide: Path) -> tuple[int, int, Runs]:
    """Return the count and bytes of a slide's files, and what was measured."""
    parts = slide_parts(slide)
    with tempfile.TemporaryDirectory() as name:
        return len(parts), sum(part.stat().st_size for part in parts), measured(slide, Path(name))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "slides", nargs="*", type=Path, help="slides; all in WSICOMP_SLIDES, if none is named"
    )
    results_page.add_options(parser, PAGE)
    options = parser.parse_args()
    slides = options.slides or sorted(
        path for path in SLIDES.iterdir() if path.suffix in {".svs", ".tif", ".dcm"}
    )
    rows = {slide.name: row(slide) for slide in slides}
    for source in [slide for slide in slides if slide.name == DRAWN_OF]:
        with tempfile.TemporaryDirectory() as name:
            for slide in drawn(source, Path(name)):
                drawn_name = slide.parent.name if slide.suffix == ".dcm" else slide.stem
                rows[f"{drawn_name} ({slide.suffix[1:]}, drawn)"] = row(slide)
    text = f"{results_page.machine()}\n\n{table(rows)}"
    results_page.publish(options, "packed", text, PAGE)


if __name__ == "__main__":
    main()
