"""One slab of slices: encoded by every layer, decoded again, and measured against the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wsicomp.errors import VerificationError
from wsicomp.volumes.codecs.prediction import predicted_places
from wsicomp.volumes.compressed_volume import mask_name, slice_digest
from wsicomp.volumes.holes import smoothly_filled
from wsicomp.volumes.layers import VolumeLayer
from wsicomp.volumes.manifest import Deviation
from wsicomp.volumes.mask_planes import decoded_mask, encoded_mask
from wsicomp.volumes.volume import VoxelMask, VoxelSlice

NOTHING = Deviation(0, 0, 0.0, 0.0)


@dataclass(frozen=True)
class Slab:
    """Some slices that are encoded together."""

    first: int
    """The number of the first."""
    slices: Sequence[VoxelSlice]
    """As the source has them."""
    stored: Sequence[VoxelSlice]
    """As they are to be stored: the source's, or diffused outside the region."""
    masks: Sequence[VoxelMask] | None
    """The region in each; None if there is none."""


@dataclass(frozen=True)
class EncodedSlab:
    """A slab as it goes into the file."""

    entries: dict[str, bytes]
    """By their names."""
    digests: tuple[str, ...]
    """Of the slices that the file gives back."""
    inside: Deviation
    """Of the region, or of all voxels where there is none."""
    outside: Deviation
    """Of the rest."""


def encode_slab(slab: Slab, layers: Sequence[VolumeLayer]) -> EncodedSlab:
    """Encode a slab, and decode it again to see what the file will give back.

    Raises:
        VerificationError: a codec without loss did not give back what it was given.
    """
    entries: dict[str, bytes] = {}
    given = _given(slab, len(layers))
    found = [_encoded(layer, slab.first, each, entries) for layer, each in zip(layers, given, strict=True)]
    back: list[VoxelSlice] = found[0]
    if slab.masks is not None and len(layers) > 1:
        back = [np.where(mask, fine, coarse) for mask, fine, coarse in zip(slab.masks, *found, strict=True)]
    for number, mask in enumerate(slab.masks or ()):
        entries[mask_name(slab.first + number)] = _encoded_mask(mask, slab.first + number)
    inside, outside = NOTHING, NOTHING
    masks: Sequence[VoxelMask | None] = slab.masks or [None] * len(back)
    for source, one, region in zip(slab.slices, back, masks, strict=True):
        inside = added(inside, deviation(source, one, region))
        if region is not None:
            outside = added(outside, deviation(source, one, ~region))
    return EncodedSlab(entries, tuple(map(slice_digest, back)), inside, outside)


def _given(slab: Slab, count: int) -> list[list[VoxelSlice]]:
    """Return what each layer is given: the region's layer has the rest filled, the rest's the region."""
    if slab.masks is None or count == 1:
        return [list(slab.stored)]
    pairs = list(zip(slab.stored, slab.masks, strict=True))
    return [[filled(one, mask) for one, mask in pairs], [smoothly_filled(one, ~mask) for one, mask in pairs]]


def filled(voxels: VoxelSlice, mask: VoxelMask) -> VoxelSlice:
    """Return a slice with one value where the mask is False: the least in the mask, else of the slice.

    It is a number, and one that the slice has, as maps of values need it, unless the slice has no number.
    """
    for part in (voxels[mask], voxels):
        finite = part[np.isfinite(part)]
        if finite.size:
            return np.where(mask, voxels, finite.min())
    return np.where(mask, voxels, voxels.dtype.type(0))


def _encoded(
    layer: VolumeLayer, first: int, slices: list[VoxelSlice], entries: dict[str, bytes]
) -> list[VoxelSlice]:
    """Encode slices into entries, and return what these give back."""
    back: list[VoxelSlice] = []
    predicted = _predicted(layer, slices) if layer.record.predicts else range(0)
    for start in range(0, len(slices), layer.record.slab):
        if start in predicted:
            beside = slices[start - 1], slices[start + 1]
            data = layer.encode_between(slices[start], beside)
            entries |= dict(zip(layer.names(first + start, is_between=True), data, strict=True))
            back.append(layer.decode_between(data, beside))
            continue
        part = slices[start : start + layer.record.slab]
        data = layer.encode(part)
        entries |= dict(zip(layer.names(first + start), data, strict=True))
        back += layer.decode(data, len(part))
    values = layer.record.values
    given = [values.to_slice(values.to_planes(one)) for one in slices] if values.is_window else slices
    if layer.record.lossless and not all(map(_is_same, given, back)):
        raise VerificationError(
            f"{layer.record.codec} did not give back what it was given; take another `codec`",
            place=f"slice {first}",
        )
    return back


def _encoded_mask(mask: VoxelMask, number: int) -> bytes:
    """Return a mask as its entry, read back and compared."""
    data = encoded_mask(mask)
    if not np.array_equal(decoded_mask(data, (mask.shape[0], mask.shape[1])), mask):
        raise VerificationError("its mask does not come back as it was", place=f"slice {number}")
    return data


def _predicted(layer: VolumeLayer, slices: list[VoxelSlice]) -> range:
    """Return the places of slices that are to be stored as what they differ by from their neighbours."""
    return predicted_places(
        len(slices),
        lambda place: sum(map(len, layer.encode(slices[place : place + 1]))),
        lambda place: sum(
            map(len, layer.encode_between(slices[place], (slices[place - 1], slices[place + 1])))
        ),
    )


def _is_same(one: VoxelSlice, other: VoxelSlice) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and not changed(one, other).any()


def changed(one: VoxelSlice, other: VoxelSlice) -> VoxelMask:
    """Return where two slices of one dtype differ in any bit, NaN's too."""
    kind = np.dtype(f"u{one.dtype.itemsize}")
    differs: VoxelMask = np.ascontiguousarray(one).view(kind) != np.ascontiguousarray(other).view(kind)
    return differs


def deviation(source: VoxelSlice, found: VoxelSlice, mask: VoxelMask | None) -> Deviation:
    """Return how far a slice is from the source's, where the mask is True; everywhere for None."""
    if mask is not None:
        source, found = source[mask], found[mask]
    differs = changed(source, found)
    count = int(differs.sum())
    if not count:
        return Deviation(source.size, 0, 0.0, 0.0)
    apart = source[differs].astype(np.float64) - found[differs].astype(np.float64)
    return Deviation(source.size, count, float(np.abs(apart).max()), float(np.square(apart).sum()))


def added(one: Deviation, other: Deviation) -> Deviation:
    """Return the deviation over two parts together."""
    return Deviation(
        one.voxels + other.voxels,
        one.changed + other.changed,
        max(one.most, other.most),
        one.squares + other.squares,
    )
