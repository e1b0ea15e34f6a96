"""Outline the body in every slice of a volume by Segment Anything, pointed at by a box."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsicomp.progress import StageProgress, no_progress
from wsicomp.tissue.bits import BitMask
from wsicomp.tissue.segmenters.sam.base import LABELS_OF_BOX, SamNetwork, open_network
from wsicomp.tissue.segmenters.sam.segmenter import outlined_pixels
from wsicomp.volumes.components import without_holes
from wsicomp.volumes.volume import Volume, VoxelMask, VoxelSlice

_WINDOW = (0.5, 99.5)
"""Percentiles of a slice that become black and white: as LiteMedSAM learnt MR."""


def sam_outlines(
    volume: Volume,
    masks: Sequence[BitMask],
    weights: Path | None = None,
    threads: int = 1,
    progress: StageProgress = no_progress,
) -> tuple[list[BitMask], str]:
    """Return (a mask a slice, the network's name): what is outlined in the box around each slice's mask.

    A slice whose mask is empty stays empty. Two CPU seconds a slice by LiteMedSAM.

    Raises:
        MissingExtraError: the extra `sam` is not installed.
        WeightsError: the weights cannot be used.
        VolumeReadError: the volume cannot be read.
    """
    network = open_network(weights, threads)
    found = []
    for number, (voxels, mask) in enumerate(zip(volume.slices(), masks, strict=True)):
        found.append(BitMask.of(_outlined(network, voxels, mask.pixels())) if mask.words.any() else mask)
        progress(number + 1, len(masks))
    return found, network.name


def _outlined(network: SamNetwork, voxels: VoxelSlice, mask: VoxelMask) -> VoxelMask:
    grey = _grey(voxels)
    return without_holes(outlined_pixels(network, np.dstack([grey] * 3), _prompt(mask), no_progress))


def _grey(voxels: VoxelSlice) -> NDArray[np.uint8]:
    """Return a slice as grey levels, (rows, columns); what is not finite is black."""
    values = voxels.astype(np.float32)
    values[~np.isfinite(values)] = np.nan
    low, high = np.nanpercentile(values, _WINDOW) if np.isfinite(values).any() else (0.0, 0.0)
    shares = (values - np.float32(low)) / np.float32(max(high - low, 1e-30))
    return np.asarray(np.nan_to_num(shares, nan=0.0).clip(0, 1) * 255, np.uint8)


def _prompt(mask: VoxelMask) -> NDArray[np.float32]:
    """Return the box around a mask as the prompt of a network: (2, 3) x, y, label."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    corners = ((columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1))
    return np.array(
        [(*corner, label) for corner, label in zip(corners, LABELS_OF_BOX, strict=True)], np.float32
    )
