"""Checks a compressed volume: whether it is whole, and with its source whether it shows it."""

from __future__ import annotations

import math
import os
from contextlib import closing
from dataclasses import dataclass

from wsicomp.errors import ConfigError, VolumeReadError
from wsicomp.files.inputs import given_path
from wsicomp.progress import Progress, StageProgress, Stages, progress_raises_through
from wsicomp.volumes.compressed_volume import CompressedVolume
from wsicomp.volumes.formats.opening import open_volume_source
from wsicomp.volumes.manifest import Deviation, Manifest
from wsicomp.volumes.regions import RegionOptions, VolumeRegion, region_of
from wsicomp.volumes.slabs import NOTHING, added, deviation
from wsicomp.volumes.volume import Volume, VoxelMask


@dataclass(frozen=True)
class VolumeVerification:
    """What was found."""

    slices: int
    """How many were decoded and checked."""
    problems: tuple[str, ...]
    """A line each; none if all is well."""
    inside: Deviation | None
    """Measured against the source: of the region, or of all voxels where there is none."""
    outside: Deviation | None
    """Of the rest."""


@progress_raises_through
def verify_volume(
    compressed: str | os.PathLike[str],
    against: str | os.PathLike[str] | None = None,
    roi: str | None = None,
    region_options: RegionOptions | None = None,
    on_progress: Progress | None = None,
) -> VolumeVerification:
    """Decode every slice and compare it with its digest; with `against` also with the source.

    Every entry of a compressed volume is read, and one that its manifest does not state is a problem.

    Against the source, nothing that the file says of its loss is believed: voxels are compared one by one,
    and they must be as exact as the file claims. A DICOM series claims nothing, so it must be exact. With
    `roi`, a volume of labels or `auto`, only that region must be exact, whatever the file claims;
    `region_options` say how it is made.

    Raises:
        ConfigError: there is no region, or nothing to compare it with.
        VolumeReadError: a file cannot be opened at all.
    """
    if roi is not None and against is None:
        raise ConfigError("`roi` says what must be as in the source, and there is none; add `against`")
    stages = Stages(on_progress)
    with closing(open_volume_source(given_path(compressed, VolumeReadError))) as volume:
        if against is None:
            with stages.stage("verify") as progress:
                problems = _damaged_slices(volume, progress)
            return VolumeVerification(volume.info.slice_count, tuple(problems), None, None)
        source = open_volume_source(given_path(against, VolumeReadError))
        with closing(source), stages.stage("verify") as progress:
            region = None if roi is None else region_of(source, roi, region_options)
            return _compared(volume, source, region, progress)


def _damaged_slices(volume: Volume, progress: StageProgress) -> list[str]:
    problems = []
    for number in range(volume.info.slice_count):
        try:
            volume.read_slice(number)
            _own_mask(volume, number)
        except VolumeReadError as exc:
            problems.append(f"slice {number}: {exc.message}")
        progress(number + 1, volume.info.slice_count)
    return problems + _damage_beside_slices(volume)


def _damage_beside_slices(volume: Volume) -> list[str]:
    problems = []
    try:
        volume.frame()
    except VolumeReadError as exc:
        problems.append(f"source's header: {exc.message}")
    return problems + (volume.unread_problems() if isinstance(volume, CompressedVolume) else [])


def _compared(
    volume: Volume, source: Volume, region: VolumeRegion | None, progress: StageProgress
) -> VolumeVerification:
    problems = _differences_of_form(volume, source)
    inside, outside = NOTHING, NOTHING
    if not problems:
        for number, original in enumerate(source.slices()):
            try:
                found, own = volume.read_slice(number), _own_mask(volume, number)
            except VolumeReadError as exc:
                problems.append(f"slice {number}: {exc.message}")
                continue
            mask = own if region is None else region.mask(number)
            inside = added(inside, deviation(original, found, mask))
            if mask is not None:
                outside = added(outside, deviation(original, found, ~mask))
            progress(number + 1, volume.info.slice_count)
        if isinstance(volume, CompressedVolume) and region is None:
            problems += _false_claims(volume.manifest, inside, outside)
        elif inside.changed:
            what = "voxels" if region is None else f"of {inside.voxels} voxels of the region"
            problems.append(f"{inside.changed} {what} differ from the source by up to {inside.most:g}")
    problems += _damage_beside_slices(volume)
    return VolumeVerification(volume.info.slice_count, tuple(problems), inside, outside)


def _own_mask(volume: Volume, number: int) -> VoxelMask | None:
    """Return the region in a slice of a compressed volume; None where it has none."""
    return volume.mask_slice(number) if isinstance(volume, CompressedVolume) else None


def _differences_of_form(volume: Volume, source: Volume) -> list[str]:
    ours, theirs = volume.info, source.info
    pairs = {
        "shape": (ours.shape, theirs.shape),
        "dtype": (ours.dtype, theirs.dtype),
        "spacing": (ours.geometry.spacing, theirs.geometry.spacing),
        "affine": (_rows(ours.geometry.affine), _rows(theirs.geometry.affine)),
        "scaling": (ours.scaling, theirs.scaling),
    }
    return [
        f"{name}: {found}, expected {expected} as the source has it"
        for name, (found, expected) in pairs.items()
        if found != expected
    ]


def _rows(affine: object) -> object:
    return affine if affine is None else affine.tolist()  # type: ignore[attr-defined]


def _false_claims(manifest: Manifest, inside: Deviation, outside: Deviation) -> list[str]:
    stated = {"inside": manifest.inside, "outside": manifest.outside}
    return [
        f"{part}: {found.changed} of {found.voxels} voxels differ from the source by up to {found.most:g}, "
        f"RMSE {found.rmse:.3g}, expected {claim.changed} of {claim.voxels} by up to {claim.most:g}, "
        f"RMSE {claim.rmse:.3g} as the file states"
        for (part, claim), found in zip(stated.items(), (inside, outside), strict=True)
        if (found.voxels, found.changed, found.most) != (claim.voxels, claim.changed, claim.most)
        or not math.isclose(found.squares, claim.squares, rel_tol=1e-6)  # summed in another order
    ]
