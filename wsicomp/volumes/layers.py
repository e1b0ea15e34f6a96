"""A layer of a compressed volume: slices to entries and back, by planes or by video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from wsicomp.errors import VolumeReadError
from wsicomp.volumes.codecs.base import PlaneCodec, SamplePlane
from wsicomp.volumes.codecs.prediction import PREDICTED_SLAB, residual, unpredicted
from wsicomp.volumes.codecs.registry import plane_codec
from wsicomp.volumes.codecs.video import VIDEO_CODECS, VideoCodec
from wsicomp.volumes.manifest import LayerRecord
from wsicomp.volumes.volume import VoxelSlice

Neighbours = tuple[VoxelSlice, VoxelSlice]
"""The slices before and after one."""


@dataclass(frozen=True)
class VolumeLayer:
    """Encodes and decodes slabs of slices, as its record says; safe to use from several threads."""

    record: LayerRecord
    """How."""
    shape: tuple[int, int]
    """(rows, columns) of every slice."""

    def names(self, first: int, is_between: bool = False) -> tuple[str, ...]:
        """Return the names of the entries of the slab that begins with slice `first`: one for each plane.

        With `is_between` they are those of a slice that is stored as what it differs by from its neighbours.
        """
        count = len(self.record.values.plane_bits)
        place = f"{self.record.folder}/{first:06}{'.between' if is_between else ''}"
        planes = [""] if count == 1 else [f".{number}" for number in range(count)]
        return tuple(f"{place}{plane}.{self.record.suffix}" for plane in planes)

    def encode(self, slices: Sequence[VoxelSlice]) -> tuple[bytes, ...]:
        """Return the entries of a slab, in the order of their names."""
        planes = zip(*(self.record.values.to_planes(one) for one in slices), strict=True)
        return tuple(
            self._encoded(plane, bits)
            for plane, bits in zip(planes, self.record.values.plane_bits, strict=True)
        )

    def decode(self, entries: Sequence[bytes], count: int) -> list[VoxelSlice]:
        """Return the `count` slices of a slab.

        Raises:
            VolumeReadError: the bytes are damaged, or hold something else.
        """
        bits = self.record.values.plane_bits
        series = [self._decoded(data, each, count) for data, each in zip(entries, bits, strict=True)]
        return [self.record.values.to_slice(planes) for planes in zip(*series, strict=True)]

    def encode_between(self, one: VoxelSlice, beside: Neighbours) -> tuple[bytes, ...]:
        """Return the entries of a slice that is predicted from its neighbours."""
        bits = self.record.values.plane_bits
        planes = zip(*map(self.record.values.to_planes, (one, *beside)), bits, strict=True)
        return tuple(self._encoded((residual(*each),), each[-1]) for each in planes)

    def decode_between(self, entries: Sequence[bytes], beside: Neighbours) -> VoxelSlice:
        """Return a slice that was predicted from these neighbours.

        Raises:
            VolumeReadError: the bytes are damaged, or hold something else.
        """
        bits = self.record.values.plane_bits
        around = zip(entries, *map(self.record.values.to_planes, beside), bits, strict=True)
        planes = [
            unpredicted(self._decoded(data, each, 1)[0], before, after, each)
            for data, before, after, each in around
        ]
        return self.record.values.to_slice(planes)

    @cached_property
    def _codec(self) -> PlaneCodec | VideoCodec:
        record = self.record
        if record.codec in VIDEO_CODECS:
            return VideoCodec(record.codec, record.quality)
        return plane_codec(record.codec, record.quality, record.effort, record.rate)

    def _encoded(self, planes: Sequence[SamplePlane], bits: int) -> bytes:
        if isinstance(self._codec, VideoCodec):
            return self._codec.encode(planes, self.shape, bits)
        (plane,) = planes
        return self._codec.encode(plane, bits)

    def _decoded(self, data: bytes, bits: int, count: int) -> list[SamplePlane]:
        if isinstance(self._codec, VideoCodec):
            return list(self._codec.decode(data, self.shape, count, bits))
        if count != 1:
            raise VolumeReadError(f"one plane for {count} slices")
        return [self._codec.decode(data, self.shape, bits)]


def slab_of(layers: Sequence[VolumeLayer]) -> int:
    """Return how many slices are encoded at a time: what the layer with the longest slab takes."""
    return max(PREDICTED_SLAB if layer.record.predicts else layer.record.slab for layer in layers)


Reader = Callable[[str], bytes]


def read_slab(
    layer: VolumeLayer, read: Reader, first: int, count: int, beside: Neighbours | None = None
) -> list[VoxelSlice]:
    """Return the slices of the slab that begins with slice `first`, read by the names of entries.

    A slice that was predicted needs the slices `beside` it.

    Raises:
        VolumeReadError: an entry is missing or damaged; the message names the slice.
    """
    names = layer.names(first, is_between=beside is not None)
    try:
        entries = [read(name) for name in names]
        return layer.decode(entries, count) if beside is None else [layer.decode_between(entries, beside)]
    except VolumeReadError as exc:
        if exc.path is not None:
            raise
        raise VolumeReadError(exc.message, place=f"entry {names[0]}") from exc
