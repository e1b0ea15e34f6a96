"""Compare the grids of two volumes, and bring labels from one grid to another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import ConfigError
from wsicomp.tissue.bits import BitMask
from wsicomp.volumes.volume import VolumeInfo, VoxelMask

TOLERANCE_VOXELS = 0.01
"""Grids are alike if no corner lies farther apart: room for headers of float32 and of decimal digits."""


def check_grid(info: VolumeInfo, volume: VolumeInfo, advice: str) -> None:
    """Check that the voxels of `info` lie where those of `volume` lie.

    Shapes must be equal, and every corner in place to a hundredth of a voxel. ITK allows a millionth, which
    headers of float32 cannot hold. Where a file does not say where its voxels lie, their distances must agree
    as far as known. A grid of three dimensions fits every time of four.

    Raises:
        ConfigError: they do not; the message names both grids and ends with `advice`.
    """
    if same_grid(info, volume):
        return
    raise ConfigError(f"its grid is {_words(info)}, the volume's is {_words(volume)}; {advice}", info.path)


def same_grid(info: VolumeInfo, volume: VolumeInfo) -> bool:
    """Return whether the voxels of two volumes lie at the same places, as `check_grid` has it."""
    if info.shape[:3] != volume.shape[:3] or info.slice_count not in (volume.shape[2], volume.slice_count):
        return False
    ours, theirs = info.geometry.affine, volume.geometry.affine
    if ours is not None and theirs is not None:
        corners = np.array([(x, y, z, 1) for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
        corners[:, :3] *= volume.shape[:3]
        apart = np.linalg.norm((corners @ (ours - theirs).T)[:, :3], axis=1)
        return bool(apart.max() <= TOLERANCE_VOXELS * _least_step(theirs))
    if info.geometry.spacing is None or volume.geometry.spacing is None:
        return True
    return bool(np.allclose(info.geometry.spacing, volume.geometry.spacing, rtol=1e-4, atol=0))


def resampled(masks: Sequence[BitMask], info: VolumeInfo, volume: VolumeInfo) -> Iterator[VoxelMask]:
    """Yield masks of the volume's slices, (rows, columns): each voxel as the nearest of the masks' grid.

    `info` is of the volume that the masks belong to, three dimensions. What lies outside its grid is False.

    Memory: the masks' bits once more, and a slice.

    Raises:
        ConfigError: one of the two does not say where its voxels lie, or `info` has several times.
    """
    ours, theirs = _affine(info), _affine(volume)
    if info.slice_count != info.shape[2]:
        raise ConfigError(f"has {info.slice_count // info.shape[2]} times; resample it before", info.path)
    try:
        to_ours = np.linalg.inv(ours) @ theirs
    except np.linalg.LinAlgError as exc:
        raise ConfigError("its voxels lie in one plane by its affine", info.path) from exc
    octets = np.stack([mask.words.view(np.uint8) for mask in masks])
    columns, rows, depth = volume.shape[:3]
    x, y = np.arange(columns)[None, :], np.arange(rows)[:, None]
    for number in range(depth):
        places = [row[0] * x + row[1] * y + (row[2] * number + row[3]) for row in to_ours[:3]]
        yield _nearest(octets, places, info)


def _affine(info: VolumeInfo) -> NDArray[np.float64]:
    if info.geometry.affine is None:
        raise ConfigError("does not say where its voxels lie, so nothing can be resampled", info.path)
    return info.geometry.affine


def _nearest(octets: NDArray[np.uint8], places: list[NDArray[np.float64]], info: VolumeInfo) -> VoxelMask:
    """Return the bits at places (x, y, z) in voxels of their grid, (rows, columns)."""
    limits = info.shape[:3]
    inside = np.ones(places[0].shape, np.bool_)
    for place, limit in zip(places, limits, strict=True):
        inside &= (place >= -0.5) & (place < limit - 0.5)
    x, y, z = (np.floor(place[inside] + 0.5).astype(np.intp) for place in places)
    found = np.zeros(inside.shape, np.bool_)
    found[inside] = (octets[z, y, x >> 3] >> (x & 7).astype(np.uint8)) & 1
    return found


def _least_step(affine: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(affine[:3, :3], axis=0).min())


def _words(info: VolumeInfo) -> str:
    words = " x ".join(str(side) for side in info.shape) + " voxels"
    if info.geometry.spacing is not None:
        words += " of " + " x ".join(f"{each:.5g}" for each in info.geometry.spacing) + " mm"
    affine = info.geometry.affine
    if affine is None:
        return words + " at no stated place"
    origin = ", ".join(f"{each:.5g}" for each in affine[:3, 3])
    return f"{words} from ({origin}) along {_axes(affine)}"


def _axes(affine: NDArray[np.float64]) -> str:
    """Return where x, y and z run, such as `LPS`: left, posterior, superior."""
    names = ("LR", "PA", "IS")
    letters = ""
    for column in affine[:3, :3].T:
        axis = int(np.abs(column).argmax())
        letters += names[axis][int(column[axis] > 0)]
    return letters
