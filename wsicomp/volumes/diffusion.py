"""Smooth what is outside a region, and keep edges: Perona and Malik's diffusion in three dimensions.

Noise costs a lossless codec most of its bytes. Outside the region it may go; inside not one voxel changes.
Every iteration is a stream of slices that reads the iteration before: any volume takes the memory of a few
slices, and the result is that of the whole volume at once.

This module must not know where the region comes from or what becomes of the slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wsicomp.errors import ConfigError
from wsicomp.volumes.volume import Volume, VoxelSlice

_Floats: TypeAlias = NDArray[Any]

_STEP = 1 / 7
"""Of time; six neighbours are stable below 1/6."""
_MOST_ITERATIONS = 100


@dataclass(frozen=True)
class DiffusionConfig:
    """Settings of the smoothing outside a region; by default those of a study of liver CT.

    K counts in the volume's own root mean square difference between neighbouring voxels, in the manner of
    ITK: so the same K does for every dtype and modality.

    Source: "Efficiently compressing 3D medical images for teleinterventions via CNNs and anisotropic
    diffusion", Medical Physics, 2021 (iterations, K and probability); ITK, `GradientAnisotropicDiffusion`.
    """

    iterations: int = 15
    """How often every voxel gives to its six neighbours; 1 to 100."""
    conductance: float = 0.4
    """K: differences well above it are edges, and stay."""
    certain: float = 0.75
    """The probability above which a voxel belongs to the region and does not change."""
    by_spacing: bool = False
    """Whether neighbours that lie farther apart in mm give each other less."""


@dataclass(frozen=True)
class _Layer:
    """A slice on its way through the iterations."""

    original: VoxelSlice
    openness: _Floats
    """(rows, columns): 0 where a voxel gives and takes nothing, 1 where it does so freely."""
    values: _Floats


@dataclass(frozen=True)
class _Law:
    """The law by which values flow between neighbours."""

    edge: float
    """K in the volume's own values."""
    along: tuple[float, float, float]
    """Weights of x, y and z."""


def diffused(
    volume: Volume,
    probabilities: Iterable[NDArray[Any]],
    config: DiffusionConfig | None = None,
) -> Iterator[VoxelSlice]:
    """Yield the slices of a volume, smooth where the probability of the region is low, and of its dtype.

    `probabilities` are (rows, columns) a slice: numbers in [0, 1], or bools where True is the region. The
    conductance between two voxels is exp(-(difference / K)^2), times 1 - p of the voxel that is more probably
    in the region, and 0 if p is over `certain`. Voxels that are not finite are left alone too. Integers are
    rounded once, at the end. The volume is read twice.

    Memory: about two slices of floats an iteration, and those of the source.

    Raises:
        ConfigError: the options cannot be followed, or probabilities are missing or not in [0, 1].
        VolumeReadError: the volume cannot be read.
    """
    config = config or DiffusionConfig()
    _check(config, volume)
    law = _Law(config.conductance * typical_difference(volume), _weights(volume, config))
    layers = _layers(volume, probabilities, config.certain)
    depth = volume.info.shape[2]
    for _ in range(volume.info.slice_count // depth):
        stream: Iterator[_Layer] = islice(layers, depth)
        for _ in range(config.iterations):
            stream = _iteration(stream, law)
        for layer in stream:
            yield _result(layer)


def typical_difference(volume: Volume) -> float:
    """Return the root mean square of the differences between neighbouring voxels along x, y and z.

    Raises:
        VolumeReadError: the volume cannot be read.
    """
    total, pairs, before = 0.0, 0, None
    for number, voxels in enumerate(volume.slices()):
        values = voxels.astype(np.float64)
        values[~np.isfinite(values)] = np.nan
        differences = [np.diff(values, axis=0), np.diff(values, axis=1)]
        if before is not None and number % volume.info.shape[2]:
            differences.append(values - before)
        before = values
        for difference in differences:
            squares = difference[np.isfinite(difference)] ** 2
            total, pairs = total + float(squares.sum()), pairs + squares.size
    return float(np.sqrt(total / pairs)) if pairs else 0.0


def _check(config: DiffusionConfig, volume: Volume) -> None:
    if not 1 <= config.iterations <= _MOST_ITERATIONS:
        raise ConfigError(f"{config.iterations} iterations of diffusion, expected 1 to {_MOST_ITERATIONS}")
    if not 0 < config.conductance < np.inf:
        raise ConfigError(f"diffusion with a conductance of {config.conductance}, expected a number above 0")
    if not 0 <= config.certain <= 1:
        raise ConfigError(f"a probability of {config.certain} for what is certain, expected one in [0, 1]")
    if config.by_spacing and volume.info.geometry.spacing is None:
        raise ConfigError(
            "diffusion by spacing needs the distance of voxels, which the file does not say", volume.info.path
        )


def _weights(volume: Volume, config: DiffusionConfig) -> tuple[float, float, float]:
    spacing = volume.info.geometry.spacing
    if not config.by_spacing or spacing is None:
        return 1.0, 1.0, 1.0
    x, y, z = ((min(spacing) / distance) ** 2 for distance in spacing)
    return x, y, z


def _layers(volume: Volume, probabilities: Iterable[NDArray[Any]], certain: float) -> Iterator[_Layer]:
    dtype = np.float32 if _fits_float32(volume.info.dtype) else np.float64
    given = iter(probabilities)
    for number, voxels in enumerate(volume.slices()):
        probability = next(given, None)
        if probability is None or probability.shape != voxels.shape:
            found = "none" if probability is None else f"{probability.shape[1]} x {probability.shape[0]}"
            expected = f"{voxels.shape[1]} x {voxels.shape[0]}"
            raise ConfigError(f"probabilities of slice {number}: {found}, expected {expected} voxels")
        openness: _Floats = np.subtract(1.0, probability, dtype=dtype)
        if not ((openness >= 0) & (openness <= 1)).all():
            raise ConfigError(f"probabilities of slice {number}: not all are in [0, 1]")
        values = voxels.astype(dtype)
        is_finite = np.isfinite(values)
        openness[(probability > certain) | ~is_finite] = 0
        values[~is_finite] = 0
        yield _Layer(voxels, openness, values)


def _fits_float32(dtype: np.dtype[Any]) -> bool:
    return dtype.itemsize <= 2 or dtype == np.float32


def _iteration(layers: Iterator[_Layer], law: _Law) -> Iterator[_Layer]:
    """Yield every layer after one more exchange of each voxel with its six neighbours."""
    before: _Layer | None = None
    gained: _Floats = np.empty(0)
    for layer in layers:
        gains = _gains_within(layer, law)
        done = None if before is None else _finished(before, gained, layer, gains, law)
        before, gained = layer, gains
        if done is not None:
            yield done
    if before is not None:
        yield _moved(before, gained)


def _finished(before: _Layer, gained: _Floats, layer: _Layer, gains: _Floats, law: _Law) -> _Layer:
    """Return a layer after its exchange with the next, whose gains change in place.

    Nothing of this stays while an iteration waits for the one behind it: there are up to a hundred of them.
    """
    openness = np.minimum(before.openness, layer.openness)
    flow = _flow(layer.values - before.values, openness, law.edge, law.along[2])
    gains -= flow
    gained += flow
    return _moved(before, gained)


def _gains_within(layer: _Layer, law: _Law) -> _Floats:
    """Return what each voxel gains from its neighbours in its own slice, (rows, columns)."""
    values, openness = layer.values, layer.openness
    gains = np.zeros_like(values)
    across = _flow(
        np.diff(values, axis=1), np.minimum(openness[:, 1:], openness[:, :-1]), law.edge, law.along[0]
    )
    gains[:, :-1] += across
    gains[:, 1:] -= across
    down = _flow(np.diff(values, axis=0), np.minimum(openness[1:], openness[:-1]), law.edge, law.along[1])
    gains[:-1] += down
    gains[1:] -= down
    return gains


def _flow(difference: _Floats, openness: _Floats, edge: float, weight: float) -> _Floats:
    """Return what flows over a step of `difference`, of its shape; nothing where all voxels are alike."""
    if edge == 0:
        return np.zeros_like(difference)
    flow = np.square(difference)
    flow *= -1 / edge**2
    np.exp(flow, out=flow)
    flow *= difference
    flow *= openness
    if weight != 1:
        flow *= weight
    return flow


def _moved(layer: _Layer, gains: _Floats) -> _Layer:
    gains *= _STEP
    gains += layer.values
    return _Layer(layer.original, layer.openness, gains)


def _result(layer: _Layer) -> VoxelSlice:
    original = layer.original
    values = layer.values
    if original.dtype.kind in "iu":
        limits = np.iinfo(original.dtype)
        most = values.dtype.type(limits.max)
        # 2^63 - 1 is no float64: the next one would overflow.
        values = np.rint(values).clip(limits.min, most if int(most) <= limits.max else np.nextafter(most, 0))
    return np.where(layer.openness > 0, values.astype(original.dtype), original)
