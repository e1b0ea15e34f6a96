"""Exact prediction of a slice from the two beside it, for slices that lie close.

A slice is predicted as the mean of the slices before and after it, and the difference is coded in its place.
Only every second slice of a slab is predicted, so that three decoded planes give back any slice. Where slices
lie far apart differences are larger than slices: the slab's middle one is tried both ways, and decides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wsicomp.volumes.codecs.base import SamplePlane, plane_dtype

PREDICTED_SLAB = 17
"""Slices that one trial decides for: an odd number, so that all but the last are predicted or predict."""


def predicted_places(count: int, alone: Callable[[int], int], between: Callable[[int], int]) -> range:
    """Return the places in a slab of `count` slices that are to be predicted: every second one, or none.

    `alone` and `between` return the bytes of the slice at a place: by itself, and as its `residual`.

    >>> predicted_places(6, lambda place: 100, lambda place: 90)
    range(1, 5, 2)
    """
    places = range(1, count - 1, 2)
    if not places:
        return places
    middle = places[len(places) // 2]
    return places if between(middle) < alone(middle) else range(0)


def residual(plane: SamplePlane, before: SamplePlane, after: SamplePlane, bits: int) -> SamplePlane:
    """Return what a plane differs by from the mean of its neighbours, modulo 2**bits.

    No difference is 2**(bits - 1), so that small differences of both signs are neighbouring samples.
    """
    difference = plane.astype(np.int32) - _mean(before, after) + (1 << bits - 1)
    return _samples(difference, bits)


def unpredicted(coded: SamplePlane, before: SamplePlane, after: SamplePlane, bits: int) -> SamplePlane:
    """Return the plane whose `residual` is `coded`."""
    return _samples(coded.astype(np.int32) + _mean(before, after) - (1 << bits - 1), bits)


def _mean(before: SamplePlane, after: SamplePlane) -> SamplePlane:
    mean: SamplePlane = before.astype(np.int32) + after >> 1
    return mean


def _samples(values: SamplePlane, bits: int) -> SamplePlane:
    return (values & ((1 << bits) - 1)).astype(plane_dtype(bits))
