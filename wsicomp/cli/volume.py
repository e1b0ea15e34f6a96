"""`wsicomp volume`: make volumes of radiology smaller, and give them back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsicomp.cli.commands import Command
from wsicomp.cli.progress import progress_bars
from wsicomp.cli.text import say, say_anyway, write_json
from wsicomp.cli.volume_compare import VOLUME_COMPARE
from wsicomp.errors import WsicompError
from wsicomp.options import argument, option, same_option
from wsicomp.text.figures import as_bytes, as_saving, counted
from wsicomp.volumes.config import VolumeConfig

_COMPRESS_EPILOG = """\
examples:
  wsicomp volume compress brain.nii.gz brain.wsiv
      keep every voxel
  wsicomp volume compress ct/ small/ --codec jpegls
      a DICOM series as a DICOM series that viewers open
  wsicomp volume compress ct.nii.gz ct.wsiv --roi liver.nii.gz
      keep the liver exact, and the rest coarse
  wsicomp volume compress ct.nrrd ct.wsiv --codec hevc --quality 20
      as video along z, with loss
"""

_RESTORE_EPILOG = """\
example:
  wsicomp volume compress brain.nii.gz brain.wsiv
  wsicomp volume restore brain.wsiv again.nii.gz --exact
  cmp brain.nii.gz again.nii.gz
"""


@dataclass(frozen=True, kw_only=True)
class CompressOptions(VolumeConfig):
    """Arguments of `wsicomp volume compress`."""

    source: Path = argument("the volume: NIfTI, NRRD, or a DICOM file or folder of one series")
    target: Path = argument("the file to write, such as brain.wsiv, or a folder for DICOM")
    json: bool = option(False, "print what was done as JSON", group="output")


@dataclass(frozen=True, kw_only=True)
class RestoreVolumeOptions:
    """Arguments of `wsicomp volume restore`."""

    file: Path = argument("the compressed volume")
    target: Path = argument("the file to write, or the folder for DICOM")
    exact: bool = option(False, "write nothing unless it is the source's file, byte for byte")
    overwrite: bool = option(False, "replace TARGET if it exists")
    json: bool = option(False, "print what was done as JSON")


@dataclass(frozen=True, kw_only=True)
class VolumeInfoOptions:
    """Arguments of `wsicomp volume info`."""

    files: tuple[Path, ...] = argument("the volume, or several", metavar="FILE")
    json: bool = option(False, "print JSON; of several volumes a list")


@dataclass(frozen=True, kw_only=True)
class VerifyVolumeOptions:
    """Arguments of `wsicomp volume verify`."""

    file: Path = argument("the compressed volume, or the folder of DICOM that was written")
    against: Path | None = option(None, "compare it with the volume that it was made from", metavar="SOURCE")
    roi: str | None = option(
        None,
        "only this region must be exact: a volume of labels, or `auto` for the body, or `sam`",
        metavar="LABELS",
    )
    roi_labels: tuple[int, ...] = same_option(VolumeConfig, "roi_labels")
    roi_margin_mm: float = same_option(VolumeConfig, "roi_margin_mm")
    roi_form: str = same_option(VolumeConfig, "roi_form")
    roi_resample: bool = same_option(VolumeConfig, "roi_resample")
    json: bool = option(False, "print the findings as JSON")


def run_compress(options: CompressOptions) -> int:
    """Make a volume of radiology smaller: without loss, unless you ask for some.

    TARGET is a file that holds all of SOURCE: voxels, header, place in the patient. `wsicomp volume restore`
    gives SOURCE back, byte for byte where nothing was lost. wsicomp.open_volume reads single slices of it.
    It is a ZIP: any unzip program takes out the slices, as files of their codec.

    A DICOM series goes into a folder instead where TARGET does not end in .wsiv. It stays DICOM, in a
    standard transfer syntax. Each slice is decoded again before TARGET gets its name.

    Needs pip install 'wsicomp[volumes]'.
    """
    from wsicomp.volumes.compress import compress_volume

    with progress_bars() as show:
        report = compress_volume(options.source, options.target, options, show)
    if options.json:
        write_json(asdict(report), None)
        return 0
    ratio, voxels = f"{report.ratio:.2f} : 1", as_bytes(report.voxel_bytes)
    say(f"{report.target}: {as_bytes(report.bytes)}, {ratio} of {voxels} of voxels")
    source, saved = as_bytes(report.source_bytes), as_saving(1 - report.bytes / report.source_bytes)
    say(f"  source: {source}; {saved}")
    for line in (*report.losses, *report.notes):
        say(f"  {line}")
    return 0


def run_restore_volume(options: RestoreVolumeOptions) -> int:
    """Write the file, or the folder of DICOM files, that a compressed volume was made from.

    Every slice is checked against its digest. FILE is only read.
    """
    from wsicomp.volumes.restore import restore_volume

    with progress_bars() as show:
        report = restore_volume(options.file, options.target, options.exact, options.overwrite, show)
    if options.json:
        write_json(asdict(report), None)
        return 0
    what = "the source, byte for byte" if report.exact else f"{report.format}, not the source's bytes"
    say(f"{report.target}: {what}")
    for note in report.notes:
        say(f"  note: {note}")
    return 0


def run_volume_info(options: VolumeInfoOptions) -> int:
    """Print what a volume is, and how a compressed one was made.

    No field is printed that could name a patient. Of several volumes, one that cannot be read is one line;
    the others go on, and the exit code is 1.
    """
    every: list[dict[str, Any]] = []
    for file in options.files:
        try:
            values = _described(file)
        except WsicompError as exc:
            if len(options.files) == 1:
                raise
            values = {"path": str(file), "error": exc.message}
            say_anyway(f"wsicomp: {exc}", file=sys.stderr)
        else:
            say(*(() if options.json else _lines(values)))
        every.append(values)
    if options.json:
        write_json(every if len(every) > 1 else every[0], None)
    return 1 if any("error" in values for values in every) else 0


def _region_options(options: VerifyVolumeOptions) -> Any:
    from wsicomp.volumes.regions import RegionOptions

    form: Any = options.roi_form
    return RegionOptions(options.roi_labels, options.roi_margin_mm, form, options.roi_resample)


def run_verify_volume(options: VerifyVolumeOptions) -> int:
    """Check that a compressed volume is whole, and with --against that it shows its source.

    Alone, every slice is decoded and compared with the digest that the file carries. With --against every
    voxel is compared with SOURCE, and nothing that FILE says of its loss is believed: where it claims to be
    exact, it must be. A DICOM series must be exact everywhere, or where --roi says. Each problem is a line,
    and then the exit code is 1.
    """
    from wsicomp.volumes.verify import verify_volume

    with progress_bars() as show:
        found = verify_volume(options.file, options.against, options.roi, _region_options(options), show)
    if options.json:
        write_json({"file": str(options.file)} | asdict(found), None)
        return 1 if found.problems else 0
    say_anyway(*(f"{options.file}: {problem}" for problem in found.problems))
    if not found.problems:
        against = "" if options.against is None else f", as made from {options.against}"
        say(f"{options.file}: good, {counted(found.slices, 'slice')}{against}")
    for name, part in (
        ("exact part" if found.outside and found.outside.voxels else "voxels", found.inside),
        ("rest", found.outside),
    ):
        if part is not None and part.voxels:
            say(f"  {name}: {_difference(part)}")
    return 1 if found.problems else 0


def _difference(part: Any) -> str:
    if not part.changed:
        return f"{part.voxels} voxels, every one the source's"
    return f"{part.changed} of {part.voxels} voxels differ, by up to {part.most:g}"


def _described(file: Path) -> dict[str, Any]:
    """Return what a volume is, and how it was made, as JSON values."""
    from wsicomp.volumes.compressed_volume import CompressedVolume
    from wsicomp.volumes.formats.opening import open_volume_source

    with closing(open_volume_source(file)) as volume:
        info = volume.info
        affine = info.geometry.affine
        values: dict[str, Any] = {
            "path": str(file),
            "format": info.format,
            "bytes": info.bytes,
            "shape": list(info.shape),
            "dtype": info.dtype.name,
            "voxel_bytes": info.voxel_bytes,
            "spacing_mm": None if info.geometry.spacing is None else list(info.geometry.spacing),
            "affine": None if affine is None else affine.tolist(),
            "slope": info.scaling.slope,
            "intercept": info.scaling.intercept,
            "modality": info.modality,
            "remarks": list(info.remarks),
        }
        if isinstance(volume, CompressedVolume):
            values["compression"] = _compression(volume)
    return values


def _compression(volume: Any) -> dict[str, Any]:
    manifest = volume.manifest
    return {
        "software": manifest.software,
        "source_format": manifest.source.format,
        "source_bytes": manifest.source.bytes,
        "lossless": manifest.lossless,
        "layers": [
            {
                "holds": layer.folder,
                "codec": layer.codec,
                "lossless": layer.lossless,
                "quality": layer.quality,
            }
            for layer in manifest.layers
        ],
        "region": None if manifest.region is None else asdict(manifest.region),
        "diffused": manifest.diffused,
        "inside": asdict(manifest.inside),
        "outside": asdict(manifest.outside),
    }


def _lines(values: dict[str, Any]) -> Iterator[str]:
    """Yield lines that describe the volume for a person."""
    yield f"{values['path']}: {values['format']}, {as_bytes(values['bytes'])}"
    shape = " x ".join(map(str, values["shape"]))
    yield f"  voxels: {shape}, {values['dtype']}, {as_bytes(values['voxel_bytes'])}"
    spacing = values["spacing_mm"]
    distances = "" if spacing is None else " x ".join(f"{one:.4g}" for one in spacing)
    yield f"  spacing: {f'{distances} mm' if distances else 'not stated'}"
    if (values["slope"], values["intercept"]) != (1.0, 0.0):
        yield f"  values: {values['slope']:g} * stored + {values['intercept']:g}"
    for remark in values["remarks"]:
        yield f"  note: {remark}"
    made = values.get("compression")
    if made is not None:
        loss = "every voxel of its source" if made["lossless"] else "not every voxel of its source"
        codecs = ", ".join(dict.fromkeys(layer["codec"] for layer in made["layers"]))
        source = f"{made['source_format']}, {as_bytes(made['source_bytes'])}"
        yield f"  made by {made['software']} from {source}; {codecs}; {loss}"
        region = made["region"]
        if region is not None:
            changed = made["inside"]["changed"]
            yield f"  region: {region['voxels']} voxels by {region['source']}; {changed} of them changed"


COMMANDS = (
    Command("volume compress", (CompressOptions,), run_compress, epilog=_COMPRESS_EPILOG),
    Command("volume restore", (RestoreVolumeOptions,), run_restore_volume, epilog=_RESTORE_EPILOG),
    Command("volume info", (VolumeInfoOptions,), run_volume_info),
    Command("volume verify", (VerifyVolumeOptions,), run_verify_volume),
    VOLUME_COMPARE,
)
