"""Slides that OpenSlide itself reads, with what `WsicompSlide.read_region` has beside it."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsicomp.formats.safe_openslide import ForkSafeOpenSlide
from wsicomp.openslide_api.arrays import RGB, array_of, check_channels


class UnconvertedSlide(ForkSafeOpenSlide):
    """An `openslide.OpenSlide` that a forked process can read on, and whose regions may be arrays."""

    @overload
    def read_region(
        self,
        location: tuple[int, int],
        level: int,
        size: tuple[int, int],
        *,
        as_array: Literal[False] = False,
        channels: int = RGB,
    ) -> Image.Image: ...

    @overload
    def read_region(
        self,
        location: tuple[int, int],
        level: int,
        size: tuple[int, int],
        *,
        as_array: Literal[True],
        channels: int = RGB,
    ) -> NDArray[np.uint8]: ...

    def read_region(
        self,
        location: tuple[int, int],
        level: int,
        size: tuple[int, int],
        *,
        as_array: bool = False,
        channels: int = RGB,
    ) -> Image.Image | NDArray[np.uint8]:
        """Return a region as OpenSlide does, or as an array as `WsicompSlide.read_region` does.

        Raises:
            OpenSlideError: OpenSlide cannot read the region.
            SlideArgumentError: `channels` is not 3 or 4.
        """
        check_channels(channels)
        picture = super().read_region(location, level, size)
        return array_of(picture, channels) if as_array else picture
