"""Exact prediction of a slice from the two beside it, for slices that lie close.

A slice is predicted as the mean of the slices before and after it, and the difference is coded in its place.
Only every second slice is predicted, so that three decoded planes give back any slice. Where slices lie far
apart the difference is larger than the slice: both are encoded, and the smaller one is kept.
"""

from __future__ import annotations

import numpy as np

from wsicomp.volumes.codecs.base import PlaneCodec, SamplePlane, plane_dtype


def may_be_predicted(number: int, count: int) -> bool:
    """Return whether a slice lies between two that are never predicted: every second one, but the last.

    >>> [may_be_predicted(number, 4) for number in range(4)]
    [False, True, False, False]
    """
    return number % 2 == 1 and number + 1 < count


def residual(plane: SamplePlane, before: SamplePlane, after: SamplePlane, bits: int) -> SamplePlane:
    """Return what a plane differs by from the mean of its neighbours, modulo 2**bits.

    No difference is 2**(bits - 1), so that small differences of both signs are neighbouring samples.
    """
    difference = plane.astype(np.int32) - _mean(before, after) + (1 << bits - 1)
    return _samples(difference, bits)


def unpredicted(coded: SamplePlane, before: SamplePlane, after: SamplePlane, bits: int) -> SamplePlane:
    """Return the plane whose `residual` is `coded`."""
    return _samples(coded.astype(np.int32) + _mean(before, after) - (1 << bits - 1), bits)


def encode_between(
    codec: PlaneCodec, plane: SamplePlane, before: SamplePlane, after: SamplePlane, bits: int
) -> tuple[bytes, bool]:
    """Return the smaller of a plane's encoding and its residual's, and whether it is the residual's.

    The codec must be lossless, and so must be what encodes the neighbours.
    """
    itself = codec.encode(plane, bits)
    difference = codec.encode(residual(plane, before, after, bits), bits)
    return (difference, True) if len(difference) < len(itself) else (itself, False)


def decode_between(
    codec: PlaneCodec, data: bytes, before: SamplePlane, after: SamplePlane, bits: int
) -> SamplePlane:
    """Return the plane whose residual was encoded.

    Raises:
        VolumeReadError: the bytes are damaged.
    """
    rows, columns = before.shape
    return unpredicted(codec.decode(data, (rows, columns), bits), before, after, bits)


def _mean(before: SamplePlane, after: SamplePlane) -> SamplePlane:
    mean: SamplePlane = before.astype(np.int32) + after >> 1
    return mean


def _samples(values: SamplePlane, bits: int) -> SamplePlane:
    return (values & ((1 << bits) - 1)).astype(plane_dtype(bits))
