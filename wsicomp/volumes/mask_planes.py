"""The region of a slice as a TIFF of one bit a voxel in ITU-T T.6, as fax machines send: small and quick.

Any program that shows TIFF shows it: white is the region.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from wsicomp.errors import VolumeReadError
from wsicomp.volumes.volume import VoxelMask

MASK_SUFFIX = "tif"
"""Of entries that hold masks."""


def encoded_mask(mask: VoxelMask) -> bytes:
    """Return a mask of (rows, columns) as a TIFF."""
    file = BytesIO()
    Image.fromarray(mask).save(file, "TIFF", compression="group4")
    return file.getvalue()


def decoded_mask(data: bytes, shape: tuple[int, int]) -> VoxelMask:
    """Return the mask of (rows, columns) that a TIFF holds.

    Raises:
        VolumeReadError: it is damaged, or of another size.
    """
    try:
        with Image.open(BytesIO(data), formats=("TIFF",)) as image:
            if image.size != shape[::-1] or image.mode != "1":
                raise VolumeReadError(f"a mask of {image.size}, expected {shape[::-1]}")
            return np.asarray(image, np.bool_)
    except VolumeReadError:
        raise
    except Exception as exc:
        raise VolumeReadError(f"its mask cannot be decoded ({exc})") from exc
