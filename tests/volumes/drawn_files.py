"""Volumes drawn by seed, and their files as nibabel, pynrrd and SimpleITK write them."""

from pathlib import Path

import nibabel
import numpy as np
from nibabel.affines import from_matvec
from scipy.spatial.transform import Rotation

from tests.paths import SHARED

REAL = SHARED / "data/volumes"
DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "f2"]
SHAPES = [(5, 7, 4), (1, 1, 1), (6, 5), (4, 3, 5, 3), (9, 2, 1), (3, 4, 2, 1)]


def drawn_array(rng, dtype, shape):
    """Voxels of every bit pattern in the first rows, smooth ones after them, in Fortran's order."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape))
    smooth = (np.cumsum(rng.normal(0, 3, count)) % 100).astype(dtype)
    smooth[: count // 3] = np.frombuffer(rng.bytes(count // 3 * dtype.itemsize), dtype)
    return smooth.reshape(shape, order="F")


def drawn_affine(rng):
    """A rotation with spacings and an origin."""
    turned = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix()
    return from_matvec(turned * rng.uniform(0.3, 6, 3), rng.uniform(-200, 200, 3))


def drawn_nifti(rng, path, dtype, shape, order="<", two=False, affine=None):
    """Write a file with nibabel and return its voxels in Fortran's order."""
    kind, header = (
        (nibabel.Nifti2Image, nibabel.Nifti2Header) if two else (nibabel.Nifti1Image, nibabel.Nifti1Header)
    )
    voxels = drawn_array(rng, dtype, shape)
    image = kind(voxels, drawn_affine(rng) if affine is None else affine, header(endianness=order))
    image.header.set_data_dtype(voxels.dtype)
    nibabel.save(image, path)
    return voxels


def as_slices(voxels):
    """(slices, rows, columns) of voxels in Fortran's order."""
    columns, rows = voxels.shape[:2]
    return voxels.reshape(columns, rows, -1, order="F").transpose(2, 1, 0)


def same_bits(one, other):
    """Whether two arrays are equal, NaN and the sign of zero included."""
    return (
        one.shape == other.shape
        and one.dtype == other.dtype.newbyteorder("=")
        and one.tobytes() == other.astype(one.dtype).tobytes()
    )


def real_files():
    """NIfTI and NRRD files at hand: all the large ones, and a few of the many alike."""
    if not REAL.is_dir():
        return []
    alike = [
        path
        for folder in ("images", "labels")
        for path in sorted((REAL / "hippocampus" / folder).glob("*.gz"))[::40]
    ]
    return [*sorted(REAL.glob("*.gz")), *sorted(REAL.glob("*.nrrd")), *alike]


def written_again(volume, target: Path, write):
    """Write a volume again from its frame and its slices."""
    info = volume.info
    return write(volume.frame(), volume.slices(), info.shape, info.dtype, target)
