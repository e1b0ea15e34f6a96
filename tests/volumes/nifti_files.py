"""Volumes written by nibabel, as other programs have them."""

import nibabel
import numpy as np


def nifti_file(path, voxels, spacing=(0.7, 0.7, 2.5)):
    """Write (slices, rows, columns) or (times, slices, rows, columns) as NIfTI, and return the path."""
    image = nibabel.Nifti1Image(voxels.T, np.diag([*spacing, 1.0]), dtype=voxels.dtype)
    nibabel.save(image, path)
    return path
