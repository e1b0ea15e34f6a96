"""The road of a DICOM series that stays DICOM: every file again, in another transfer syntax."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import ConfigError
from wsicomp.progress import Stages
from wsicomp.tissue.bits import BitMask
from wsicomp.volumes.chosen_region import ChosenRegion, chosen_region
from wsicomp.volumes.codecs.values import survey_values
from wsicomp.volumes.codecs.video import VIDEO_CODECS
from wsicomp.volumes.config import CODECS, DEFAULT_DICOM_CODEC, VolumeConfig
from wsicomp.volumes.formats.dicom_codecs import DICOM_CODECS, DicomLoss
from wsicomp.volumes.formats.dicom_series import DicomVolume, open_dicom
from wsicomp.volumes.formats.dicom_target import DicomSeriesReport, write_dicom_series
from wsicomp.volumes.holes import smoothly_filled
from wsicomp.volumes.layers import VolumeLayer
from wsicomp.volumes.manifest import Deviation
from wsicomp.volumes.planning import planned_layers
from wsicomp.volumes.slabs import NOTHING, added, deviation
from wsicomp.volumes.volume import Volume, VoxelMask, VoxelSlice

_LEAST_DB, _MOST_DB = 10, 200


@dataclass(frozen=True)
class WrittenSeries:
    """A DICOM series that was written, and how far its voxels are from the source's."""

    report: DicomSeriesReport
    """What was written."""
    inside: Deviation
    """Of the region, or of all voxels where there is none."""
    outside: Deviation
    """Of the rest."""
    notes: tuple[str, ...]
    """Lines for the user."""


def compress_series(volume: Volume, folder: Path, config: VolumeConfig, stages: Stages) -> WrittenSeries:
    """Write a DICOM series into a folder, with its voxels in another transfer syntax.

    With a region, one lossless stream holds the region exactly and what a coarse codec left of the rest.

    Raises:
        ConfigError: the source is no DICOM series, or DICOM has no form for what was chosen.
        VolumeReadError: the source is damaged.
        VerificationError: a codec did not give back what it was given.
        TargetExistsError: the folder is not empty.
        SlideWriteError: the folder cannot be written.
    """
    config = replace(config, codec=config.codec or DEFAULT_DICOM_CODEC)
    codec = _checked_codec(volume, config)
    with stages.stage("region"):
        region = chosen_region(volume, config)
        transform = None if region is None else _replaced(volume, region, config)
    with stages.stage("slices"):
        report = write_dicom_series(
            volume, folder, codec, _loss(config), config.deidentify, config.overwrite, transform
        )
    with stages.stage("verify"), closing(open_dicom(folder)) as written:
        inside, outside = _deviations(volume, written, region)
    readers = f"opened by {DICOM_CODECS[codec].read_by}"
    remarks = () if region is None else region.remarks
    return WrittenSeries(report, inside, outside, (readers, *report.notes, *remarks))


def _checked_codec(volume: Volume, config: VolumeConfig) -> str:
    """Return the codec's name, if DICOM has a form for it and for what else was chosen."""
    if not isinstance(volume, DicomVolume):
        found = f"is a {volume.info.format} volume, and only a DICOM series is written as DICOM"
        raise ConfigError(f"{found}; name a target that ends in .wsiv", volume.info.path)
    for name in ("predict", "window", "effort"):
        if getattr(config, name):
            found = f"`{name}` is not for DICOM that is written as DICOM"
            raise ConfigError(f"{found}; leave it out, or name a target that ends in .wsiv", volume.info.path)
    codec = str(config.codec)
    if codec in DICOM_CODECS:
        return codec
    found = f"DICOM has no transfer syntax for {codec}"
    taken = ", ".join(name for name in DICOM_CODECS if name in CODECS)
    advice = f"take one of {taken}, or name a target that ends in .wsiv"
    raise ConfigError(f"{found}; {advice}", volume.info.path)


def _loss(config: VolumeConfig) -> DicomLoss | None:
    codec = str(config.codec)
    for name in ("quality", "rate", "roi_quality"):
        is_possible = DICOM_CODECS[codec].lossy and (name != "rate" or codec != "jpegls")
        if getattr(config, name) is not None and not is_possible:
            raise ConfigError(f"{codec} has no `{name}`; leave it out, or name jpeg2000 as `codec`")
    if config.rate is not None:
        return DicomLoss(ratio=config.rate)
    quality = config.quality if config.roi is None else config.roi_quality
    if quality is None:
        return None
    if codec == "jpegls":
        return DicomLoss(near=int(quality))
    if not _LEAST_DB <= quality <= _MOST_DB:
        found = f"`quality` is a PSNR of {quality:g} dB where DICOM is written"
        raise ConfigError(f"{found}, expected {_LEAST_DB} to {_MOST_DB}")
    return DicomLoss(psnr_db=quality)


def _replaced(
    volume: Volume, region: ChosenRegion, config: VolumeConfig
) -> Callable[[int, VoxelSlice], VoxelSlice]:
    """Return what is to be encoded in place of each slice: the rest diffused, or coarse."""
    if config.diffuse is not None:
        smooth = _spooled(volume, region.stored())
        return lambda number, _: smooth[number]
    config = replace(config, codec=None, roi_quality=None, rest_codec=config.rest_codec or "jpegxl")
    if config.rest_codec in VIDEO_CODECS:
        raise ConfigError(
            "a rest of video needs a target that ends in .wsiv; name jpegxl as `rest_codec`",
            volume.info.path,
        )
    rest = VolumeLayer(planned_layers(survey_values(volume.slices()), config)[1], volume.info.slice_shape)
    masks = [BitMask.of(mask) for mask in region.masks()]

    def transform(number: int, voxels: VoxelSlice) -> VoxelSlice:
        mask = masks[number].pixels()
        (coarse,) = rest.decode(rest.encode([smoothly_filled(voxels, ~mask)]), 1)
        return np.where(mask, voxels, coarse)

    return transform


def _spooled(volume: Volume, slices: Iterator[VoxelSlice]) -> NDArray[Any]:
    """Return slices as an array in a temporary file: the series asks for them in its files' order."""
    info = volume.info
    with TemporaryFile() as file:
        array = np.memmap(file, info.dtype, "w+", shape=(info.slice_count, *info.slice_shape))
    for number, one in enumerate(slices):
        array[number] = one
    return array


def _deviations(source: Volume, written: Volume, region: ChosenRegion | None) -> tuple[Deviation, Deviation]:
    inside, outside = NOTHING, NOTHING
    masks: Iterator[VoxelMask | None] = (
        iter([None] * source.info.slice_count) if region is None else region.masks()
    )
    for one, other, mask in zip(source.slices(), written.slices(), masks, strict=True):
        inside = added(inside, deviation(one, other, mask))
        if mask is not None:
            outside = added(outside, deviation(one, other, ~mask))
    return inside, outside
