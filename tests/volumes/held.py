"""A volume that is held in memory, for tests of what needs no file."""

from pathlib import Path

import numpy as np

from wsicomp.volumes.volume import Geometry, Scaling, VolumeInfo


class HeldVolume:
    """Slices of an array, (slices, rows, columns) or (times, slices, rows, columns)."""

    def __init__(
        self, voxels, spacing=(1.0, 1.0, 1.0), affine="spacing", modality="", scaling=None, name="held.nii"
    ):
        if isinstance(affine, str):
            affine = None if spacing is None else np.diag([*spacing, 1.0])
        self.voxels = np.asarray(voxels)
        self.reads = 0
        self.info = VolumeInfo(
            Path(name),
            "NIfTI",
            self.voxels.shape[::-1],
            self.voxels.dtype,
            self.voxels.nbytes,
            Geometry(spacing, affine),
            scaling or Scaling(),
            modality,
        )

    def slices(self):
        self.reads += 1
        return iter(self.voxels.reshape(-1, *self.voxels.shape[-2:]))

    def read_slice(self, number):
        return self.voxels.reshape(-1, *self.voxels.shape[-2:])[number]

    def close(self):
        pass
