"""The protocol of a codec: planes of 8 or 16 bits to bytes, and back."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

SamplePlane: TypeAlias = NDArray[Any]
"""(rows, columns) uint8 or uint16, C-contiguous."""


class PlaneCodec(Protocol):
    """Encodes single planes; safe to call from several threads."""

    @property
    def name(self) -> str:
        """As the command line spells it."""

    @property
    def suffix(self) -> str:
        """Of a file that holds one encoded plane, such as `jxl`: other programs know the format by it."""

    @property
    def lossless(self) -> bool:
        """True if every plane comes back as it was."""

    def encode(self, plane: SamplePlane, bits: int) -> bytes:
        """Return a plane as bytes; `bits` is how many of a sample are used, 1 to 16.

        Raises:
            CodecUnavailableError: the library lacks this codec.
        """

    def decode(self, data: bytes, shape: tuple[int, int], bits: int) -> SamplePlane:
        """Return the plane of `shape` (rows, columns), uint8 up to 8 bits and uint16 above.

        Raises:
            VolumeReadError: the bytes are damaged, or hold something else. Memory is bounded by `shape`,
                whatever the bytes claim.
        """


def plane_dtype(bits: int) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
    """Return the dtype of planes whose samples use `bits`: uint8 up to 8, uint16 up to 16."""
    return np.dtype(np.uint8) if bits <= 8 else np.dtype(np.uint16)
