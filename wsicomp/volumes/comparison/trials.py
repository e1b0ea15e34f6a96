"""Tries candidates on a volume: each is written, read back, and measured against the source."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from wsicomp.errors import ConfigError, WsicompError
from wsicomp.volumes.comparison.candidates import VolumeCandidate
from wsicomp.volumes.comparison.figures import (
    ValueCounts,
    counted_values,
    measure_fidelity,
    peak_to_noise_db,
)
from wsicomp.volumes.comparison.results import PEAK_OF_16_BITS, ComparedVolume, PartFidelity, VolumeRow
from wsicomp.volumes.comparison.trial_process import TrialAnswer, run_trial
from wsicomp.volumes.compressed_volume import CompressedVolume
from wsicomp.volumes.formats.opening import open_volume_source
from wsicomp.volumes.manifest import Deviation
from wsicomp.volumes.volume import Volume, VolumeInfo, VoxelMask, VoxelSlice

AIR_HU = -500.0
"""A volume that does not say its modality is taken for CT if its values reach down to this."""

SliceSeen = Callable[[int, VoxelSlice, VoxelSlice, VoxelMask | None], None]
"""Called with a slice's number, the source's slice, what came back, and the region or None."""


@dataclass(frozen=True)
class Trial:
    """What a candidate is tried on, and with."""

    source: Path
    """The volume."""
    facts: ComparedVolume
    """What it is."""
    roi: str | None
    """The source's region, as `VolumeConfig` takes it; None for none."""
    diffuse: Path | None
    """The map of the source's organ; None for none."""
    workers: int | None
    """Threads; None for one a core."""


def survey_source(path: Path, name: str, modality: str | None) -> tuple[ComparedVolume, ValueCounts]:
    """Return what a volume is, and how often each value occurs. All of it is read.

    `modality` is taken where the file does not say it.

    Raises:
        VolumeReadError: it cannot be read.
        UnsupportedVolumeError: it is no volume of 3 or 4 dimensions with one value a voxel.
    """
    with closing(open_volume_source(path)) as volume:
        counts = counted_values(volume.slices())
        info = volume.info
    facts = ComparedVolume(
        name,
        format=info.format,
        shape=info.shape,
        dtype=info.dtype.name,
        spacing=info.geometry.spacing,
        scaling=info.scaling,
        file_bytes=info.bytes,
        voxel_bytes=info.voxel_bytes,
        used_bits=counts.used_bits,
        entropy_bits=counts.entropy_bits,
        least=counts.least if math.isfinite(counts.least) else 0.0,
        greatest=counts.greatest if math.isfinite(counts.greatest) else 0.0,
    )
    kind, why = _modality(info, modality, facts.least)
    return replace(facts, modality=kind, modality_from=why), counts


def _modality(info: VolumeInfo, given: str | None, least: float) -> tuple[str, str]:
    """Return a volume's modality, and how it is known."""
    if info.modality:
        return info.modality, "the file says so"
    if given:
        return given, "it was given"
    lowest = info.scaling.slope * least + info.scaling.intercept
    if lowest <= AIR_HU:
        return "CT", f"the file does not say, but values reach {lowest:g}, as air has in CT"
    return "", "the file does not say, and no value is that of air in CT"


def try_candidate(
    trial: Trial, candidate: VolumeCandidate, folder: Path, on_slice: SliceSeen | None = None
) -> VolumeRow:
    """Compress a volume by a candidate into `folder`, read it back, measure it, and delete it again.

    A candidate that makes no file is a row that says why.
    """
    row = VolumeRow(trial.facts.name, candidate.label)
    target = folder / "trial.wsiv"
    try:
        config = candidate.config_values(trial.roi, trial.diffuse, trial.workers)
        answer = run_trial(trial.source, target, config, folder)
        if answer.reason:
            return replace(row, reason=answer.reason)
        return _measured(row, trial, answer, target, on_slice)
    except ConfigError as exc:
        return replace(row, reason=exc.message)
    except WsicompError as exc:
        return replace(row, reason=f"it cannot be read back: {exc.message}")
    finally:
        target.unlink(missing_ok=True)


def _measured(
    row: VolumeRow, trial: Trial, answer: TrialAnswer, target: Path, on_slice: SliceSeen | None
) -> VolumeRow:
    facts, size = trial.facts, target.stat().st_size
    with closing(open_volume_source(trial.source)) as source, closing(CompressedVolume(target)) as found:
        fidelity = measure_fidelity(_seen(source, found, on_slice), facts.greatest - facts.least)
    has_region = bool(fidelity.outside.voxels)
    used = facts.used_bytes
    return replace(
        row,
        bytes=size,
        ratio=facts.voxel_bytes / size,
        ratio_of_file=facts.file_bytes / size,
        ratio_of_used_bits=None if used is None else used / size,
        is_exact=not fidelity.whole.changed,
        whole=_part(fidelity.whole, facts),
        inside=_part(fidelity.inside, facts) if has_region else None,
        outside=_part(fidelity.outside, facts) if has_region else None,
        ssim=fidelity.ssim,
        least_ssim=fidelity.least_ssim,
        worst_slice=fidelity.worst_slice,
        ssim_inside=fidelity.ssim_inside,
        entropy_bits=fidelity.entropy_bits,
        compress_cpu_s=answer.compress_cpu_s,
        read_cpu_s=answer.read_cpu_s,
        peak_bytes=answer.peak_bytes,
    )


def _part(found: Deviation, facts: ComparedVolume) -> PartFidelity:
    peaks = (facts.peak, PEAK_OF_16_BITS, facts.greatest - facts.least)
    return PartFidelity(
        found.voxels, found.changed, found.most, *(peak_to_noise_db(found, peak) for peak in peaks)
    )


def _seen(
    source: Volume, found: CompressedVolume, on_slice: SliceSeen | None
) -> Iterator[tuple[VoxelSlice, VoxelSlice, VoxelMask | None]]:
    """Yield the slices of both with the region in each, and show them to `on_slice`."""
    for number, (one, other) in enumerate(zip(source.slices(), found.slices(), strict=True)):
        mask = found.mask_slice(number)
        if on_slice is not None:
            on_slice(number, one, other, mask)
        yield one, other, mask
