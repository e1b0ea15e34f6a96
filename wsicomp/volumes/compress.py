"""Compresses a volume: survey, region, plan; then slab by slab encode, decode, measure and write."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from wsicomp.concurrency.threads import available_cores, ordered_map
from wsicomp.errors import ConfigError, VerificationError, VolumeReadError
from wsicomp.files.atomic import check_output, completed_file
from wsicomp.files.inputs import given_output, given_path
from wsicomp.files.limits import budget_bytes, check_free_space
from wsicomp.progress import Progress, Stages, progress_raises_through
from wsicomp.text.figures import as_percent
from wsicomp.version import SOFTWARE
from wsicomp.volumes.chosen_region import ChosenRegion, chosen_region
from wsicomp.volumes.codecs.values import survey_values
from wsicomp.volumes.compressed_volume import CompressedVolume
from wsicomp.volumes.config import VolumeConfig
from wsicomp.volumes.container import SUFFIX, ContainerWriter
from wsicomp.volumes.diffusion import DiffusionConfig
from wsicomp.volumes.formats.opening import open_volume_source
from wsicomp.volumes.layers import VolumeLayer, slab_of
from wsicomp.volumes.manifest import (
    VERSION,
    Deviation,
    Manifest,
    RegionRecord,
    SourceRecord,
    parsed_manifest,
    record_of,
)
from wsicomp.volumes.planning import planned_layers
from wsicomp.volumes.series import compress_series
from wsicomp.volumes.slabs import NOTHING, EncodedSlab, Slab, added, encode_slab
from wsicomp.volumes.volume import Volume, VolumeFrame, VolumeInfo, counted_slices

_BYTES_A_VOXEL = 24
"""Of memory that encoding takes beside the voxels: planes, what comes back, and differences in float64."""


@dataclass(frozen=True)
class VolumeReport:
    """What was written."""

    source: str
    """The volume's path."""
    target: str
    """The compressed file's, or the folder of DICOM files."""
    source_bytes: int
    """Of the source's files."""
    voxel_bytes: int
    """Of the voxels without any compression."""
    bytes: int
    """Of the target."""
    ratio: float
    """`voxel_bytes` to `bytes`."""
    codec: str
    """Of the voxels, or of the region."""
    lossless: bool
    """Whether every voxel is the source's."""
    inside: Deviation
    """Of the region, or of all voxels where there is none."""
    outside: Deviation
    """Of the rest."""
    elapsed_s: dict[str, float]
    """Seconds of each stage."""
    notes: tuple[str, ...] = ()
    """Lines for the user."""

    @property
    def losses(self) -> tuple[str, ...]:
        """What was lost, a line each."""
        if self.lossless:
            return ("every voxel is the source's",)
        lines = [("region" if self.outside.voxels else "voxels", self.inside), ("rest", self.outside)]
        return tuple(
            f"{name}: exact, {part.voxels} voxels"
            if not part.changed
            else f"{name}: {as_percent(part.changed / part.voxels)} of {part.voxels} voxels changed, "
            f"by up to {part.most:g}, RMSE {part.rmse:.3g}"
            for name, part in lines
            if part.voxels
        )


@progress_raises_through
def compress_volume(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    config: VolumeConfig | None = None,
    on_progress: Progress | None = None,
) -> VolumeReport:
    """Compress a volume, and return the report.

    The target is a file that ends in `.wsiv`. It appears under its name only when every slice was decoded
    again and compared. A DICOM series goes into a folder as DICOM where the target has another name.

    Examples:
        >>> report = compress_volume("brain.nii.gz", "brain.wsiv")  # doctest: +SKIP
        >>> f"{report.ratio:.2f} : 1"  # doctest: +SKIP
        '2.61 : 1'

    Memory: some slabs a worker, whatever the volume's size.

    Raises:
        ConfigError: the config cannot be carried out on this volume.
        VolumeReadError: the source or a volume beside it cannot be read.
        SlideWriteError: the target exists or cannot be written.
        VerificationError: a codec did not give back what it was given; nothing is left of the target.
    """
    config = config or VolumeConfig()
    path, place = given_path(source, VolumeReadError), given_output(target)
    stages = Stages(on_progress)
    with closing(open_volume_source(path)) as volume, _naming(path):
        if isinstance(volume, CompressedVolume) and not volume.manifest.lossless:
            raise ConfigError("does not hold every voxel of its source; compress the source itself", path)
        if place.suffix.lower() != SUFFIX:
            return _as_series(volume, place, config, stages)
        if config.deidentify:
            raise ConfigError(
                f"{place.name} holds the source with all of its headers; leave `deidentify` out, or name a "
                "folder to write a DICOM series without what could name a patient",
                path,
            )
        check_output(place, (path, *volume.info.files, config.diffuse, config.labels), config.overwrite)
        check_free_space(place, volume.info.bytes)
        return _as_container(volume, place, config, stages)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the source in an error that names no file."""
    try:
        yield
    except (ConfigError, VolumeReadError, VerificationError) as exc:
        exc.path = exc.path or str(path)
        raise


def _as_container(volume: Volume, target: Path, config: VolumeConfig, stages: Stages) -> VolumeReport:
    with stages.stage("values") as progress:
        survey = survey_values(counted_slices(volume, progress))
    records = planned_layers(survey, config, volume.info.slice_shape)
    with stages.stage("region"):
        region = chosen_region(volume, config)
    layers = tuple(VolumeLayer(record, volume.info.slice_shape) for record in records)
    with completed_file(target, config.overwrite) as file, ContainerWriter(file) as writer:
        with stages.stage("slices") as progress:
            tally = _Tally()
            slabs = _slabs(volume, region, slab_of(layers))
            workers = _workers(volume, config, layers)
            for encoded in ordered_map(partial(encode_slab, layers=layers), slabs, workers):
                tally.add(encoded, writer)
                progress(len(tally.digests), volume.info.slice_count)
        frame = volume.frame()
        manifest = Manifest(
            version=VERSION,
            software=SOFTWARE,
            volume=record_of(volume.info),
            layers=records,
            region=None if region is None else RegionRecord(region.source, region.form, tally.inside.voxels),
            diffused=None if config.diffuse is None else asdict(DiffusionConfig()),
            inside=tally.inside,
            outside=tally.outside,
            value_range=(survey.least, survey.most),
            source=_source_record(frame, _source_bytes(volume), writer),
            voxels=tuple(tally.digests),
            entries=writer.digests,
        )
        _check_exact(config, manifest, target)
        writer.finish(_readable_text(manifest, target))
    outcome = _Outcome(records[0].codec, target.stat().st_size, manifest.inside, manifest.outside)
    notes = () if region is None else region.remarks
    if frame.note:
        notes = (*notes, f"restored, its bytes will differ from the source's: {frame.note}")
    return _report(volume.info, target, outcome, stages, notes)


def _as_series(volume: Volume, folder: Path, config: VolumeConfig, stages: Stages) -> VolumeReport:
    written = compress_series(volume, folder, config, stages)
    outcome = _Outcome(str(written.report.codec), written.report.bytes, written.inside, written.outside)
    return _report(volume.info, folder, outcome, stages, written.notes)


class _Tally:
    """What the slabs so far came to."""

    def __init__(self) -> None:
        self.digests: list[str] = []
        self.inside, self.outside = NOTHING, NOTHING

    def add(self, encoded: EncodedSlab, writer: ContainerWriter) -> None:
        """Write a slab's entries, and count it."""
        for name, data in encoded.entries.items():
            writer.add(name, data)
        self.digests += encoded.digests
        self.inside = added(self.inside, encoded.inside)
        self.outside = added(self.outside, encoded.outside)


def _slabs(volume: Volume, region: ChosenRegion | None, size: int) -> Iterator[Slab]:
    """Yield the volume slab by slab: what the source has, what is to be stored, and the region."""
    sources = volume.slices()
    if region is None:
        for first in range(0, volume.info.slice_count, size):
            slices = list(islice(sources, size))
            yield Slab(first, slices, slices, None)
        return
    masks, stored = region.masks(), region.stored()
    for first in range(0, volume.info.slice_count, size):
        slices = list(islice(sources, size))
        yield Slab(first, slices, list(islice(stored, size)), list(islice(masks, size)))


def _workers(volume: Volume, config: VolumeConfig, layers: Sequence[VolumeLayer]) -> int:
    """Return how many slabs are encoded at once: as many as there are cores, unless they are too large."""
    rows, columns = volume.info.slice_shape
    slab_bytes = rows * columns * slab_of(layers) * (volume.info.dtype.itemsize + _BYTES_A_VOXEL)
    return max(1, min(config.workers or available_cores(), budget_bytes() // slab_bytes))


def _source_record(frame: VolumeFrame, source_bytes: int, writer: ContainerWriter) -> SourceRecord:
    for name, part in frame.parts.items():
        writer.add(f"source/{name}", part)
    return SourceRecord(frame.format, source_bytes, dict(frame.values), tuple(frame.parts))


def _source_bytes(volume: Volume) -> int:
    """Return the bytes of the source: of a compressed volume those of what it was made from."""
    if isinstance(volume, CompressedVolume):
        return volume.manifest.source.bytes
    return volume.info.bytes


def _check_exact(config: VolumeConfig, manifest: Manifest, target: Path) -> None:
    """Refuse a file that lost what it was to keep; its codecs were checked already, slab by slab."""
    is_lossy = not manifest.layers[0].lossless or config.window is not None
    if manifest.inside.changed and not is_lossy:
        raise VerificationError(f"{manifest.inside.changed} voxels of what is kept exact are not", target)


def _readable_text(manifest: Manifest, target: Path) -> bytes:
    """Return the manifest as the file holds it: one that cannot be read again is never written."""
    text = manifest.encoded()
    try:
        parsed_manifest(text, target)
    except VolumeReadError as exc:
        raise VerificationError(f"{exc.place}: {exc.message}", target) from exc
    return text


@dataclass(frozen=True)
class _Outcome:
    """What a report says of a target."""

    codec: str
    bytes: int
    inside: Deviation
    outside: Deviation


def _report(
    info: VolumeInfo, target: Path, made: _Outcome, stages: Stages, notes: Sequence[str]
) -> VolumeReport:
    return VolumeReport(
        source=str(info.path),
        target=str(target),
        source_bytes=info.bytes,
        voxel_bytes=info.voxel_bytes,
        bytes=made.bytes,
        ratio=info.voxel_bytes / made.bytes,
        codec=made.codec,
        lossless=not made.inside.changed and not made.outside.changed,
        inside=made.inside,
        outside=made.outside,
        elapsed_s=dict(stages.elapsed_s),
        notes=(*info.remarks, *notes),
    )
