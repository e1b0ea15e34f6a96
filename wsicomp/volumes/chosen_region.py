"""The region that a user chose: what is kept exact, and how the rest is smoothed where that was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from wsicomp.volumes.config import VolumeConfig
from wsicomp.volumes.diffusion import DiffusionConfig, diffused
from wsicomp.volumes.regions import RegionForm, RegionOptions, probability_slices, region_of
from wsicomp.volumes.volume import Volume, VoxelMask, VoxelSlice


@dataclass(frozen=True)
class ChosenRegion:
    """A region, and what is stored of the volume around it."""

    source: str
    """What it is made of."""
    form: str
    """`true`, `box` or `slice-box`."""
    masks: Callable[[], Iterator[VoxelMask]]
    """Yields the region slice by slice."""
    stored: Callable[[], Iterator[VoxelSlice]]
    """Yields what is to be stored: the source's slices, or smoothed ones outside the region."""
    remarks: tuple[str, ...] = ()
    """What a user should know."""


def chosen_region(volume: Volume, config: VolumeConfig) -> ChosenRegion | None:
    """Return the region that a config asks for; None if it asks for none.

    Raises:
        ConfigError: there is none, or its options do not fit.
        VolumeReadError: the labels or probabilities cannot be read, or are of another grid.
    """
    if config.diffuse is not None:
        path, settings = config.diffuse, DiffusionConfig()
        return ChosenRegion(
            f"probability above {settings.certain}",
            "true",
            lambda: (one > settings.certain for one in probability_slices(volume, path)),
            lambda: diffused(volume, probability_slices(volume, path), settings),
        )
    if config.roi is None:
        return None
    form: RegionForm = config.roi_form  # type: ignore[assignment]
    options = RegionOptions(config.roi_labels, config.roi_margin_mm, form, config.roi_resample)
    region = region_of(volume, config.roi, options)
    chosen = ChosenRegion(region.source, region.form, region.masks, volume.slices, region.remarks)
    return _with_odd_values(chosen, volume)


def _with_odd_values(region: ChosenRegion, volume: Volume) -> ChosenRegion:
    """Return a region with all voxels that are NaN or infinite: no coarse codec stores them."""
    if volume.info.dtype.kind != "f" or all(np.isfinite(one).all() for one in volume.slices()):
        return region

    def masks() -> Iterator[VoxelMask]:
        return (mask | ~np.isfinite(one) for mask, one in zip(region.masks(), volume.slices(), strict=True))

    return replace(region, source=f"{region.source}, and what is NaN or infinite", masks=masks)
