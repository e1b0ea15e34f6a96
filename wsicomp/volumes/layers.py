"""A layer of a compressed volume: slices to entries and back, by planes or by video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from wsicomp.errors import VolumeReadError
from wsicomp.volumes.codecs.base import PlaneCodec, SamplePlane
from wsicomp.volumes.codecs.registry import plane_codec
from wsicomp.volumes.codecs.video import VIDEO_CODECS, VideoCodec
from wsicomp.volumes.manifest import LayerRecord
from wsicomp.volumes.volume import VoxelSlice


@dataclass(frozen=True)
class VolumeLayer:
    """Encodes and decodes slabs of slices, as its record says; safe to use from several threads."""

    record: LayerRecord
    """How."""
    shape: tuple[int, int]
    """(rows, columns) of every slice."""

    def names(self, first: int) -> tuple[str, ...]:
        """Return the names of the entries of the slab that begins with slice `first`: one for each plane."""
        count = len(self.record.values.plane_bits)
        place = f"{self.record.folder}/{first:06}"
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
    return max(layer.record.slab for layer in layers)


Reader = Callable[[str], bytes]


def read_slab(layer: VolumeLayer, read: Reader, first: int, count: int) -> list[VoxelSlice]:
    """Return the slices of the slab that begins with slice `first`, read by the names of entries.

    Raises:
        VolumeReadError: an entry is missing or damaged; the message names the slice.
    """
    names = layer.names(first)
    try:
        return layer.decode([read(name) for name in names], count)
    except VolumeReadError as exc:
        if exc.path is not None:
            raise
        raise VolumeReadError(exc.message, place=f"entry {names[0]}") from exc
