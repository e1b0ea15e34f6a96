"""The preset paper-roi on slides: what is found stays exact, everything else becomes JPEG of quality 1."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import wsicomp
from wsicomp import ConversionConfig
from wsicomp.codecs.quality import LEAST_SIDE_PX, ssim
from wsicomp.comparison.tables import markdown_table
from wsicomp.text.figures import as_percent

_BAND_PX = 512
FINDERS: Mapping[str, Mapping[str, object]] = {
    "U-Net": {},
    "threshold": {"segmenter": "threshold"},
    "SAM, grid": {"roi": "sam", "prompt": "grid"},
}
"""What finds the foreground, as options beside those of the preset."""


@dataclass(frozen=True)
class Found:
    """What became of one slide."""

    foreground: float
    saved: float
    psnr_db: float
    ssim: float
    cpu_s: float


def measured(source: Path, options: Mapping[str, object]) -> Found:
    """Convert a slide, and hold its level 0 against the source's, as wsicomp reads both."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"made{source.suffix}"
        start = time.process_time()
        config = ConversionConfig.preset("paper-roi", **options)  # type: ignore[arg-type]
        report = wsicomp.convert_slide(source, target, config)
        cpu_s = time.process_time() - start
        area = sum(each.area for each in report.classes if each.name)
        return Found(area, report.saved, *fidelity_of(source, target), cpu_s)


def fidelity_of(source: Path, target: Path) -> tuple[float, float]:
    """Return PSNR in dB and SSIM of level 0: SSIM is the mean over bands, each weighed by its rows."""
    error = alike = 0.0
    with wsicomp.open_slide(source) as first, wsicomp.open_slide(target) as second:
        width, height = first.dimensions
        for top in range(0, height, _BAND_PX):
            start = min(top, max(0, height - LEAST_SIDE_PX))  # a last band is as high as SSIM needs
            place = ((0, start), 0, (width, min(_BAND_PX, height - start)))
            before, after = (np.asarray(each.read_region(*place))[..., :3] for each in (first, second))
            rows = min(_BAND_PX, height - top)
            alike += ssim(before, after) * rows
            error += float(np.square(before.astype(np.float32) - after).sum()) * rows / len(before)
    mean = error / (width * height * 3)
    return (10 * float(np.log10(255**2 / mean)) if mean else float("inf")), alike / height


def table(slides: Sequence[Path], finders: Sequence[str]) -> str:
    """A line for each slide and each way to find the foreground."""
    lines = []
    for slide in slides:
        for name in finders:
            found = measured(slide, FINDERS[name])
            lines.append(
                [
                    *(slide.name, name, as_percent(found.foreground), as_percent(found.saved)),
                    *(f"{found.psnr_db:.1f}", f"{found.ssim:.3f}", f"{found.cpu_s:.1f}"),
                ]
            )
            print(lines[-1], flush=True)
    head = ["slide", "mask", "area of its tiles", "saved", "PSNR, dB", "SSIM", "CPU s"]
    return markdown_table(head, lines)
