"""A compressed volume, read slice by slice as the source was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import numpy as np
from cachetools import LRUCache

from wsicomp.errors import VolumeReadError
from wsicomp.files.limits import memory_bytes
from wsicomp.volumes.container import ContainerReader
from wsicomp.volumes.layers import Neighbours, VolumeLayer, read_slab
from wsicomp.volumes.manifest import Manifest, parsed_manifest
from wsicomp.volumes.mask_planes import MASK_SUFFIX, decoded_mask
from wsicomp.volumes.volume import VolumeFrame, VolumeInfo, VoxelMask, VoxelSlice

_KEPT_BYTES = 64 << 20
"""Of decoded slices that are kept for the next question; more where the slabs in use are larger."""
_BYTES_A_VOXEL = 26
"""Of memory that decoding takes beside the voxels."""
_SHARE = 4
"""A slab may take the machine's memory divided by this."""


class CompressedVolume:
    """Reads a compressed volume; safe to use from several threads.

    Raises:
        VolumeReadError: the file cannot be read, is no compressed volume, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._container = ContainerReader(path)
        try:
            self.manifest: Manifest = parsed_manifest(self._container.manifest(), path)
            self._container.digests = self.manifest.entries
            self._info = self.manifest.info(path, path.stat().st_size)
            self._check_size()
        except BaseException:
            self._container.close()
            raise
        self._layers = tuple(VolumeLayer(record, self._info.slice_shape) for record in self.manifest.layers)
        self._kept: LRUCache[tuple[int, int], list[VoxelSlice]] = LRUCache(
            max(_KEPT_BYTES, self._bytes_in_use()), getsizeof=_size_of
        )
        self._lock = Lock()

    @property
    def info(self) -> VolumeInfo:
        """What it is."""
        return self._info

    def slices(self) -> Iterator[VoxelSlice]:
        """Yield every slice in order, each checked against its digest.

        Raises:
            VolumeReadError: a slice is damaged.
        """
        for number in range(self._info.slice_count):
            yield self.read_slice(number)

    def read_slice(self, number: int) -> VoxelSlice:
        """Return one slice, checked against its digest.

        Raises:
            VolumeReadError: it is damaged.
            IndexError: there is no such slice.
        """
        if not 0 <= number < self._info.slice_count:
            raise IndexError(f"slice {number}, expected 0 to {self._info.slice_count - 1}")
        found = self._combined(number)
        if slice_digest(found) != self.manifest.voxels[number]:
            raise VolumeReadError(
                "its voxels are not those that were written", self._info.path, f"slice {number}"
            )
        return found

    def mask_slice(self, number: int) -> VoxelMask | None:
        """Return the region in one slice; None where the volume has none.

        Raises:
            VolumeReadError: it is damaged.
        """
        if self.manifest.region is None:
            return None
        try:
            return decoded_mask(self._container.read(mask_name(number)), self._info.slice_shape)
        except VolumeReadError as exc:
            raise VolumeReadError(exc.message, self._info.path, f"mask of slice {number}") from exc

    def frame(self) -> VolumeFrame:
        """Return all of the source but its voxels.

        Raises:
            VolumeReadError: it is damaged.
        """
        source = self.manifest.source
        parts = {name: self._container.read(f"source/{name}") for name in source.parts}
        return VolumeFrame(source.format, source.values, parts)

    def unread_problems(self) -> list[str]:
        """Check all entries that were not read so far; return what is wrong with them, a line each."""
        problems = []
        for name in sorted(self.manifest.entries.keys() - self._container.names_read):
            try:
                self._container.read(name)
            except VolumeReadError as exc:
                problems.append(f"entry {name}: {exc.message}")
        strangers = self._container.strangers()
        return problems + [f"entry {name!r:.90}: the manifest does not state it" for name in strangers]

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _combined(self, number: int) -> VoxelSlice:
        found = self._layer_slice(0, number)
        mask = self.mask_slice(number) if len(self._layers) > 1 else None
        return found if mask is None else np.where(mask, found, self._layer_slice(1, number))

    def _layer_slice(self, which: int, number: int) -> VoxelSlice:
        layer = self._layers[which]
        first = number - number % layer.record.slab
        with self._lock:
            kept = self._kept.get((which, first))
        if kept is None:
            kept = self._read_slab(layer, first, self._beside(which, first))
            with self._lock:
                self._kept[which, first] = kept
        return kept[number - first]

    def _beside(self, which: int, number: int) -> Neighbours | None:
        """Return the slices that a slice was predicted from; None if it is stored by itself."""
        if not self._is_predicted(which, number):
            return None
        around = (number - 1, number + 1)
        if (
            number == 0
            or around[1] >= self._info.slice_count
            or any(self._is_predicted(which, each) for each in around)
        ):
            raise VolumeReadError(
                "is predicted from a slice that is not stored by itself", self._info.path, f"slice {number}"
            )
        return self._layer_slice(which, around[0]), self._layer_slice(which, around[1])

    def _is_predicted(self, which: int, number: int) -> bool:
        layer = self._layers[which]
        return layer.record.predicts and layer.names(number, is_between=True)[0] in self.manifest.entries

    def _read_slab(self, layer: VolumeLayer, first: int, beside: Neighbours | None) -> list[VoxelSlice]:
        count = min(layer.record.slab, self._info.slice_count - first)
        try:
            found = read_slab(layer, self._container.read, first, count, beside)
        except VolumeReadError as exc:
            raise VolumeReadError(exc.message, self._info.path, exc.place) from exc
        for one in found:
            if one.shape != self._info.slice_shape or one.dtype != self._info.dtype:
                raise VolumeReadError("a slice of another form", self._info.path, f"slice {first}")
            one.flags.writeable = False
        return found

    def _bytes_in_use(self) -> int:
        """Return the size of what one slice is decoded from: a slab of each layer, or three slices."""
        slabs = (3 if record.predicts else record.slab for record in self.manifest.layers)
        slices = sum(min(slab, self._info.slice_count) for slab in slabs)
        return slices * self._info.voxel_bytes // self._info.slice_count

    def _check_size(self) -> None:
        """Refuse slabs that this machine's memory cannot hold, whatever the file states."""
        slab = max(record.slab for record in self.manifest.layers)
        rows, columns = self._info.slice_shape
        voxels = min(slab, self._info.slice_count) * rows * columns
        if voxels * (self._info.dtype.itemsize + _BYTES_A_VOXEL) > memory_bytes() // _SHARE:
            raise VolumeReadError(
                f"states slices of {columns} x {rows} voxels, more than this machine's memory holds",
                self._info.path,
            )


def mask_name(number: int) -> str:
    """Return the name of the entry that holds the region in a slice."""
    return f"mask/{number:06}.{MASK_SUFFIX}"


def slice_digest(voxels: VoxelSlice) -> str:
    """Return the SHA-256 of a slice: its values in C order, little-endian."""
    ordered = np.ascontiguousarray(voxels).astype(voxels.dtype.newbyteorder("<"), copy=False)
    return hashlib.sha256(ordered.data if ordered.size else b"").hexdigest()


def _size_of(slices: list[VoxelSlice]) -> int:
    return sum(one.nbytes for one in slices)
