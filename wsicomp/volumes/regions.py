"""Regions of a volume: the voxels that labels name, its body, or what Segment Anything outlines.

A region is held in one bit a voxel. This module must not know codecs or what becomes of the region.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import ConfigError
from wsicomp.text.figures import as_percent
from wsicomp.tissue.bits import BitMask
from wsicomp.volumes.foreground import body_of
from wsicomp.volumes.formats.opening import open_volume_source
from wsicomp.volumes.grids import check_grid, resampled, same_grid
from wsicomp.volumes.margins import with_margin
from wsicomp.volumes.sam_outlines import sam_outlines
from wsicomp.volumes.volume import Scaling, Volume, VoxelMask, VoxelSlice

RegionForm: TypeAlias = Literal["true", "box", "slice-box"]
"""The region itself, the box around all of it, or in each slice the box around its part there."""

_RESAMPLE = "give labels of the same grid, or `roi_resample=True` to resample these"
_MOST_NAMED = 20


@dataclass(frozen=True)
class RegionOptions:
    """Settings by which a region is made of what is found."""

    labels: tuple[int, ...] = ()
    """The labels that count; empty for all but 0."""
    margin_mm: float = 0.0
    """By how much it is widened, in three dimensions."""
    form: RegionForm = "true"
    """Its form after that."""
    resample: bool = False
    """Whether labels of another grid are brought to the volume's; else they are refused."""
    sam_weights: Path | None = None
    """Of Segment Anything; None for those of the extra."""
    workers: int = 1
    """Threads of Segment Anything."""


@dataclass(frozen=True)
class VolumeRegion:
    """The voxels of a volume that matter."""

    packed: tuple[BitMask, ...]
    """One a slice, over all times."""
    source: str
    """What it is made of, without the name of any file."""
    form: RegionForm
    """Its form."""
    remarks: tuple[str, ...] = ()
    """What a user should know, a sentence each."""

    def masks(self) -> Iterator[VoxelMask]:
        """Yield the mask of every slice, (rows, columns) bool; may be called again."""
        return (mask.pixels() for mask in self.packed)

    def mask(self, number: int) -> VoxelMask:
        """Return the mask of a slice, (rows, columns) bool."""
        return self.packed[number].pixels()

    @property
    def voxels(self) -> int:
        """The number of voxels in the region."""
        return sum(int(np.count_nonzero(mask)) for mask in self.masks())

    @property
    def share(self) -> float:
        """The part of all voxels that is in the region, in [0, 1]."""
        rows, columns = self.packed[0].shape
        return self.voxels / (rows * columns * len(self.packed))


def region_of(volume: Volume, how: str | Path, options: RegionOptions | None = None) -> VolumeRegion:
    """Return the region of a volume.

    `how` is `auto` for its body, `sam` for what Segment Anything outlines in the body's box of each slice, or
    a volume of labels. Labels must lie on the volume's grid; those of three dimensions count for every time.

    Memory: some bits a voxel and some slices; for `sam` 1.1 GB.

    Raises:
        ConfigError: the options cannot be followed on this volume, the labels lie on another grid or are no
            labels, or nothing is in the region.
        VolumeReadError: the volume or the labels cannot be read.
        MissingExtraError: Segment Anything is not installed.
        WeightsError: its weights cannot be used.
    """
    options = options or RegionOptions()
    _check(volume, how, options)
    packed, source, remarks = _found(volume, how, options)
    if not any(mask.words.any() for mask in packed):
        raise ConfigError(
            f"nothing is in the region ({source}); give labels of what is to stay exact",
            _named_file(volume, how),
        )
    if options.margin_mm > 0:
        packed = _widened(packed, volume, options.margin_mm)
    region = VolumeRegion(tuple(_formed(packed, options.form)), source, options.form, tuple(remarks))
    if region.share == 1:
        all_inside = "every voxel is in the region, so nothing can be coarser"
        return VolumeRegion(region.packed, source, options.form, (*remarks, all_inside))
    return region


def probability_slices(volume: Volume, path: Path) -> Iterator[NDArray[Any]]:
    """Yield the probability of an organ for every slice of a volume, (rows, columns) in [0, 1].

    The file at `path` lies on the volume's grid and holds probabilities, or labels, of which all but 0 are
    the organ: then bools. One of three dimensions counts for every time.

    Raises:
        ConfigError: it lies on another grid, or holds something else.
        VolumeReadError: it cannot be read.
    """
    with closing(open_volume_source(path)) as source:
        check_grid(source.info, volume.info, "resample it to the volume's grid")
        for _ in range(volume.info.slice_count // source.info.slice_count):
            for voxels in source.slices():
                yield _probability(voxels, source.info.scaling, path)


def _probability(voxels: VoxelSlice, scaling: Scaling, path: Path) -> NDArray[Any]:
    if voxels.dtype.kind in "iu" and scaling == Scaling():
        return np.asarray(voxels != 0)
    values = _scaled(voxels, scaling)
    if not ((values >= 0) & (values <= 1)).all():
        raise ConfigError("holds values outside [0, 1]; expected probabilities, or labels as integers", path)
    return values


def _named_file(volume: Volume, how: str | Path) -> Path:
    """Return the file to name where a region cannot be made: the labels', or the volume's."""
    return volume.info.path if how in ("auto", "sam") else Path(how)


def _check(volume: Volume, how: str | Path, options: RegionOptions) -> None:
    if options.labels and how in ("auto", "sam"):
        raise ConfigError(
            f"`roi_labels` chooses among labels, and the region {how} has none; leave one of them out"
        )
    if not 0 <= options.margin_mm < np.inf:
        raise ConfigError(f"`roi_margin_mm` is {options.margin_mm}, expected mm of 0 or more")
    if options.margin_mm > 0 and volume.info.geometry.spacing is None:
        raise ConfigError(
            "`roi_margin_mm` needs the distance of voxels, which the file does not say", volume.info.path
        )


def _found(
    volume: Volume, how: str | Path, options: RegionOptions
) -> tuple[Sequence[BitMask], str, list[str]]:
    """Return (the masks, what they are, remarks)."""
    if how not in ("auto", "sam"):
        return _labelled(volume, Path(how), options)
    body = body_of(volume)
    if how == "auto":
        return body.masks, body.rule, []
    masks, name = sam_outlines(volume, body.masks, options.sam_weights, options.workers)
    return masks, f"outlines by {name} in the box of each slice's body", [_left_out(body.masks, masks)]


def _left_out(body: Sequence[BitMask], masks: Sequence[BitMask]) -> str:
    """Return how much of the body is in no outline: networks of the family outline parts of bodies too."""
    voxels = outside = 0
    for one, other in zip(body, masks, strict=True):
        voxels += np.count_nonzero(one.pixels())
        outside += np.count_nonzero(one.pixels() & ~other.pixels())
    return f"{as_percent(outside / max(1, voxels))} of the body found by values lies outside these outlines"


def _labelled(volume: Volume, path: Path, options: RegionOptions) -> tuple[Sequence[BitMask], str, list[str]]:
    source = "all labels but 0" if not options.labels else f"labels {_listed(options.labels)}"
    with closing(open_volume_source(path)) as labels:
        if not options.resample:
            check_grid(labels.info, volume.info, _RESAMPLE)
        found: set[int] = set()
        masks = []
        for voxels in labels.slices():
            values = _label_values(voxels, labels.info.scaling, path)
            found.update(np.unique(values).tolist())
            masks.append(BitMask.of(np.isin(values, options.labels) if options.labels else values != 0))
        _check_labels(found, options.labels, path)
        if not same_grid(labels.info, volume.info):
            masks = [BitMask.of(mask) for mask in resampled(masks, labels.info, volume.info)]
            source += ", resampled to the nearest voxel"
    missing = sorted(set(options.labels) - found)
    remarks = [f"no voxel has label {_listed(missing)}"] if missing else []
    return masks * (volume.info.slice_count // len(masks)), source, remarks


def _label_values(voxels: VoxelSlice, scaling: Scaling, path: Path) -> NDArray[Any]:
    """Return the labels of a slice as integers."""
    if voxels.dtype.kind in "iu" and scaling == Scaling():
        return voxels
    values = _scaled(voxels, scaling)
    whole = np.rint(values)
    is_label = np.isclose(values, whole, rtol=0, atol=1e-4) & (np.abs(values) < 1 << 53)
    if not is_label.all():
        other = float(values[~is_label][0])
        advice = "put 0 there" if np.isnan(other) else "`diffuse` takes probabilities"
        raise ConfigError(f"holds {other:g}, which is no label; {advice}", path)
    return whole.astype(np.int64)


def _scaled(voxels: VoxelSlice, scaling: Scaling) -> NDArray[np.float64]:
    return np.asarray(voxels * np.float64(scaling.slope) + scaling.intercept, np.float64)


def _check_labels(found: set[int], wanted: tuple[int, ...], path: Path) -> None:
    if found & set(wanted) if wanted else found - {0}:
        return
    there = _listed(sorted(found)[:_MOST_NAMED]) + (" and more" if len(found) > _MOST_NAMED else "")
    if wanted:
        raise ConfigError(f"no voxel has label {_listed(wanted)}; its labels are {there}", path)
    raise ConfigError(f"no voxel has a label; all are {there}", path)


def _listed(labels: Sequence[int]) -> str:
    return ", ".join(str(label) for label in labels)


def _widened(packed: Sequence[BitMask], volume: Volume, margin_mm: float) -> list[BitMask]:
    depth, spacing = volume.info.shape[2], volume.info.geometry.spacing
    assert spacing is not None
    times = iter(packed)
    return [
        mask
        for _ in range(len(packed) // depth)
        for mask in with_margin(list(islice(times, depth)), spacing, margin_mm)
    ]


def _formed(packed: Sequence[BitMask], form: RegionForm) -> Iterator[BitMask]:
    """Yield the masks, or the boxes around them."""
    if form == "true":
        yield from packed
        return
    filled = [number for number, mask in enumerate(packed) if mask.words.any()]
    union = BitMask(reduce(np.bitwise_or, (mask.words for mask in packed)), packed[0].columns)
    for number, mask in enumerate(packed):
        within = form == "slice-box" or filled[0] <= number <= filled[-1]
        yield _boxed(mask if form == "slice-box" else union) if within else mask


def _boxed(mask: BitMask) -> BitMask:
    """Return the box around a slice's mask, filled."""
    pixels = mask.pixels()
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if rows.size:
        pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return BitMask.of(pixels)
