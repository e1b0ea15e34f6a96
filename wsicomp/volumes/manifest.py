"""What a compressed volume says of itself: every decision, every digest, and what was lost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsicomp.errors import VolumeReadError
from wsicomp.files.json_values import Amount, Finite, Natural, Offset, Positive, Sha256, parsed_bytes, plain
from wsicomp.volumes.codecs.values import STORED_DTYPES, ValueMap
from wsicomp.volumes.volume import Geometry, Scaling, VolumeInfo

VERSION = 1
_MOST_VOXELS = 1 << 40


@dataclass(frozen=True)
class VolumeRecord:
    """What the volume is."""

    shape: tuple[Natural, ...]
    """(columns, rows, slices) or (columns, rows, slices, times)."""
    dtype: str
    """NumPy's name of it, such as `int16`."""
    spacing: tuple[Positive, Positive, Positive] | None
    """In mm along x, y and z."""
    affine: tuple[tuple[Finite, ...], ...] | None
    """(4, 4): from voxel (x, y, z) to mm (right, anterior, superior)."""
    slope: Finite
    """Of what stored values stand for."""
    intercept: Finite
    """Of what stored values stand for."""
    modality: str
    """As DICOM spells it; "" if the source does not say."""
    remarks: tuple[str, ...]
    """What a reader should know."""


@dataclass(frozen=True)
class LayerRecord:
    """How one part of every slice is stored: all of it, the region, or the coarse rest."""

    folder: str
    """Where its entries are: `slices` or `rest`."""
    codec: str
    """As the command line spells it."""
    suffix: str
    """Of its entries."""
    lossless: bool
    """Whether the codec gives back what it was given."""
    quality: Finite | None
    """As the codec counts it; None for its default or none."""
    rate: Finite | None
    """How many times smaller the codec was to make it; None if that was not asked."""
    effort: int | None
    """As the codec counts it; None for its default."""
    slab: Natural
    """Slices in an entry: 1, or more for video."""
    predicts: bool
    """Whether some slices are stored as what they differ by from the mean of the two beside them."""
    values: ValueMap
    """How voxels become samples."""


@dataclass(frozen=True)
class RegionRecord:
    """What matters in the volume."""

    source: str
    """`labels`, `auto` or `sam`."""
    form: str
    """`true`, or `box` around it."""
    voxels: Offset
    """How many voxels it has."""


@dataclass(frozen=True)
class Deviation:
    """How far the stored voxels are from the source's, over a part of the volume."""

    voxels: Offset
    """Of that part."""
    changed: Offset
    """How many of them differ."""
    most: Amount
    """The greatest difference of stored values."""
    squares: Amount
    """The sum of the squared differences."""

    @property
    def rmse(self) -> float:
        """The root of the mean squared difference."""
        return float(np.sqrt(self.squares / self.voxels)) if self.voxels else 0.0


@dataclass(frozen=True)
class SourceRecord:
    """What it takes to write the source again."""

    format: str
    """`NIfTI`, `NRRD` or `DICOM`."""
    bytes: Offset
    """Of its files."""
    values: dict[str, Any]
    """What the format's module keeps."""
    parts: tuple[str, ...]
    """Names of entries in `source/`."""


@dataclass(frozen=True)
class Manifest:
    """All that a compressed volume says of itself."""

    version: int
    """Of this description."""
    software: str
    """What wrote the file."""
    volume: VolumeRecord
    """What the volume is."""
    layers: tuple[LayerRecord, ...]
    """One, or two where a region is kept exact and the rest is coarse."""
    region: RegionRecord | None
    """None if the whole volume is kept alike."""
    diffused: dict[str, Finite | bool] | None
    """The settings of the diffusion outside the region; None if there was none."""
    inside: Deviation
    """Of the region, or of the whole volume where there is none."""
    outside: Deviation
    """Of the rest."""
    value_range: tuple[Finite, Finite]
    """Least and greatest finite stored value of the source."""
    source: SourceRecord
    """What it takes to write the source again."""
    voxels: tuple[Sha256, ...]
    """SHA-256 of every slice that this file gives back: its values in C order, little-endian."""
    entries: dict[str, Sha256]
    """SHA-256 of every entry."""

    @property
    def lossless(self) -> bool:
        """Whether every voxel is the source's."""
        return not self.inside.changed and not self.outside.changed

    def encoded(self) -> bytes:
        """Return the manifest as JSON."""
        return json.dumps(plain(self), separators=(",", ":")).encode()

    def info(self, path: Path, bytes_: int) -> VolumeInfo:
        """Return what the volume is, as every reader does."""
        of = self.volume
        affine = None if of.affine is None else np.array(of.affine, np.float64)
        return VolumeInfo(
            path,
            "wsiv",
            of.shape,
            np.dtype(of.dtype),
            bytes_,
            Geometry(of.spacing, affine),
            Scaling(of.slope, of.intercept),
            of.modality,
            of.remarks,
        )


def record_of(info: VolumeInfo) -> VolumeRecord:
    """Return what a volume is, as the manifest keeps it."""
    affine = info.geometry.affine
    return VolumeRecord(
        info.shape,
        info.dtype.name,
        info.geometry.spacing,
        None if affine is None else tuple(tuple(map(float, row)) for row in affine),
        info.scaling.slope,
        info.scaling.intercept,
        info.modality,
        info.remarks,
    )


def parsed_manifest(text: bytes, path: Path) -> Manifest:
    """Return a manifest from its JSON.

    Raises:
        VolumeReadError: it is no manifest that this version understands, or contradicts itself.
    """
    try:
        manifest = parsed_bytes(text, Manifest)
        _check(manifest)
    except ValueError as exc:
        raise VolumeReadError(f"{exc}; is it a compressed volume?", path, "manifest") from exc
    return manifest


def _check(manifest: Manifest) -> None:
    shape, dtype = manifest.volume.shape, np.dtype(_numeric(manifest.volume.dtype))
    if manifest.version != VERSION:
        raise ValueError(f"version {manifest.version}, expected {VERSION}; take a newer wsicomp")
    if len(shape) not in (3, 4) or not 0 < int(np.prod(shape, dtype=object)) * dtype.itemsize < _MOST_VOXELS:
        raise ValueError(f"shape {shape}, expected 3 or 4 axes of at least one voxel")
    if len(manifest.voxels) != int(np.prod(shape[2:], dtype=object)):
        raise ValueError(f"{len(manifest.voxels)} digests of slices, expected {shape[2:]}")
    if manifest.volume.affine is not None and np.shape(manifest.volume.affine) != (4, 4):
        raise ValueError("an affine that is not 4 by 4")
    if any(layer.values.dtype != dtype.name for layer in manifest.layers):
        raise ValueError(f"layers of another dtype than {dtype.name}, the volume's")
    folders = [layer.folder for layer in manifest.layers]
    if folders != (["slices"] if len(folders) == 1 else ["slices", "rest"]):
        raise ValueError(f"layers {folders}")
    if any(layer.predicts and (layer.slab > 1 or not layer.lossless) for layer in manifest.layers):
        raise ValueError("slices predicted from others that are not exact")
    if any(layer.slab < 1 for layer in manifest.layers) or (len(folders) == 2 and manifest.region is None):
        raise ValueError("layers that contradict the region")


def _numeric(name: str) -> str:
    """Return the name of a dtype of numbers.

    Raises:
        ValueError: it is none.
    """
    if name not in STORED_DTYPES:
        raise ValueError(f"dtype {name!r:.40}, expected integers or floats")
    return name
