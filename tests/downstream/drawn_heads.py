"""Small volumes with two blobs each, drawn by a seed, as a folder of images and labels that a study takes."""

from pathlib import Path

import nibabel
import numpy as np


def drawn_head(seed: int, shape: tuple[int, int, int] = (20, 24, 9)) -> tuple[np.ndarray, np.ndarray]:
    """Return (voxels, labels) of `shape` (x, y, z): noise, and two ellipsoids that are brighter."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*map(np.arange, shape), indexing="ij")
    labels = np.zeros(shape, np.uint8)
    for number, centre in ((1, (7, 9, 4)), (2, (13, 15, 5))):
        at = np.array(centre) + rng.normal(0, 0.7, 3)
        far = ((x - at[0]) / 4) ** 2 + ((y - at[1]) / 4) ** 2 + ((z - at[2]) / 3) ** 2
        labels[far < 1] = number
    voxels = rng.normal(300, 30, shape) + 250 * (labels == 1) + 500 * (labels == 2)
    return np.rint(voxels.clip(0)).astype(np.int16), labels


def write_heads(folder: Path, count: int) -> Path:
    """Write `count` volumes and their labels as NIfTI."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(1, count + 1):
        voxels, labels = drawn_head(number)
        for name, values in (("images", voxels), ("labels", labels)):
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / name / f"head_{number:03}.nii")
    return folder
