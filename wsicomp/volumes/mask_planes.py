"""The region of a slice as a TIFF of one bit a voxel in ITU-T T.6, as fax machines send: small and quick.

Any program that shows TIFF shows it: white is the region.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from wsicomp.errors import VolumeReadError
from wsicomp.volumes.volume import VoxelMask

MASK_SUFFIX = "tif"
"""Of entries that hold masks."""


class _LargeTiff(TiffImageFile):
    """A TIFF without Pillow's limit of pixels: whoever loads one has checked its size."""

    def load_prepare(self) -> None:
        """Make room for the pixels, which Pillow refuses to do beyond its limit."""
        self.im = Image.new(self.mode, self.size).im
        super().load_prepare()


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
        with _LargeTiff(BytesIO(data)) as image:
            if image.size != shape[::-1] or image.mode != "1":
                raise VolumeReadError(f"a mask of {image.size}, expected {shape[::-1]}")
            return np.asarray(image, np.bool_)
    except VolumeReadError:
        raise
    except Exception as exc:
        raise VolumeReadError(f"its mask cannot be decoded ({exc})") from exc
