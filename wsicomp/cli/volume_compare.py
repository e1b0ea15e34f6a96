"""`wsicomp volume compare`: compare codecs on a user's own volumes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wsicomp.cli.commands import Command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say
from wsicomp.options import REQUIRED, argument, option
from wsicomp.text.figures import as_bytes, counted
from wsicomp.text.paths import as_text
from wsicomp.volumes.comparison.cells import db_text, ssim_text
from wsicomp.volumes.comparison.options import VolumeComparisonOptions
from wsicomp.volumes.comparison.results import MedianRow, VolumeComparison

_PAGE = "index.html"
_EPILOG = """\
candidates (--codec takes one, and may be given again):
  jpegxl, jpegls, zstd                   without loss
  jpegxl:90, hevc:23, jpeg2000:60dB      with loss, as --quality is
  jpeg2000:20x                           so many times smaller
  jpegxl+effort=9+predict                other options of volume compress
  jpegxl+roi                             the region exact, the rest coarse
  jpegxl+rest_codec=jpeg+rest_quality=1  the same, the rest as JPEG of quality 1
  hevc+roi_quality=20+rest_quality=40    region and rest by HEVC's CRF
  jpegls+diffuse                         smoothed outside the organ of --diffuse

examples:
  wsicomp volume compare ct.nii.gz --out look
      try every codec without loss, and some with
  wsicomp volume compare brain.nrrd --out look --roi labels.nrrd
      keep a region exact
  wsicomp volume compare ct/ --out look --diffuse liver.nii.gz
      see what diffusion outside the liver brings
"""


@dataclass(frozen=True, kw_only=True)
class CompareVolumesOptions(VolumeComparisonOptions):
    """Arguments of `wsicomp volume compare`."""

    sources: tuple[Path, ...] = argument(
        "the volumes: NIfTI, NRRD, a DICOM file or a folder of one series", metavar="SOURCE"
    )
    out: Path = option(REQUIRED, "the folder of the results", metavar="DIR", group="options")


def run_compare_volumes(options: CompareVolumesOptions) -> int:
    """Compare codecs on your own volumes: ratio, PSNR, SSIM, greatest error, seconds and memory.

    Every candidate writes a file, which is read back and compared with SOURCE voxel by voxel; a candidate
    that makes none is a row that says why. Nothing but DIR is written.

    DIR gets index.html, which opens without a server: slices side by side with window, level and difference,
    and tables, in the form of two published studies, too. CSV, JSON and Markdown have the same figures.
    With several volumes, tables show medians.

    Needs pip install 'wsicomp[volumes]'.
    """
    from wsicomp.volumes.comparison.api import compare_volumes

    with progress_bars() as show:
        command = as_text(shlex.join(["wsicomp", *sys.argv[1:]]))
        found = compare_volumes(options.sources, options.out, options, command, show)
    say(*_lines(found, options.out))
    return 1 if len(found.done) < len(found.volumes) or not found.medians else 0


def _lines(found: VolumeComparison, out: Path) -> Iterator[str]:
    size = as_bytes(sum(each.voxel_bytes for each in found.done))
    yield f"{counted(len(found.done), 'volume')} compared, {size} of voxels. {out / _PAGE} shows all."
    rows = found.medians
    if rows:
        width = max(len(row.candidate) for row in rows)
        yield f"  {'candidate':<{width}}   ratio of files  PSNR, dB    SSIM  most error  write, CPU s"
        yield from (f"  {row.candidate:<{width}} {_cells(row)}" for row in rows)
    for row in found.rows:
        if not row.is_done:
            yield f"no file: {row.source}, {row.candidate}: {row.reason}"
    yield from (f"failed: {each.name}: {each.error}" for each in found.volumes if each.error)


def _cells(row: MedianRow) -> str:
    psnr = "exact" if row.is_exact else db_text(row.psnr_db)
    ratios = f"{row.ratio:>7.2f} {row.ratio_of_file:>8.2f}"
    errors = f"{psnr:>9} {ssim_text(row.ssim):>7} {row.most_error:>11g}"
    return f"{ratios} {errors} {row.compress_cpu_s:>13.1f}"


VOLUME_COMPARE = Command("volume compare", (CompareVolumesOptions,), run_compare_volumes, epilog=_EPILOG)
"""The command, which `wsicomp.cli.volume` lists among its own."""
