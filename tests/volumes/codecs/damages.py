"""Damages to encoded bytes, as disks, networks and editors make them."""

from collections.abc import Callable

import numpy as np

_LARGE = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")
_HEAD = 64
"""Headers are damaged more often than their share of the bytes."""


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the bytes damaged in one way or two; now and then they are what they were."""
    for _ in range(rng.integers(1, 3)):
        kind = _KINDS[rng.integers(0, len(_KINDS))]
        data = bytes(kind(bytearray(data), rng)) if data else data
    return data


def _place(data: bytearray, rng: np.random.Generator) -> int:
    return int(rng.integers(0, len(data) if rng.random() < 0.75 else min(len(data), _HEAD)))


def _cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: rng.integers(0, len(data))]


def _other_bytes(data: bytearray, rng: np.random.Generator) -> bytearray:
    for _ in range(rng.integers(1, 4)):
        data[_place(data, rng)] = rng.integers(0, 256)
    return data


def _flipped_bits(data: bytearray, rng: np.random.Generator) -> bytearray:
    for _ in range(rng.integers(1, 9)):
        data[_place(data, rng)] ^= 1 << int(rng.integers(0, 8))
    return data


def _run_of_one_value(data: bytearray, rng: np.random.Generator) -> bytearray:
    at = _place(data, rng)
    run = data[at : at + int(rng.integers(1, 1 + len(data) // 2))]
    data[at : at + len(run)] = bytes([(0, 0xFF)[rng.integers(0, 2)]]) * len(run)
    return data


def _swapped_numbers(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Exchange two numbers, such as lengths, or the two bytes of one."""
    size = int(rng.integers(1, 5))
    here, there = (min(_place(data, rng), max(0, len(data) - size)) for _ in range(2))
    one, other = bytes(data[here : here + size]), bytes(data[there : there + size])
    if abs(here - there) < size:
        data[here : here + size] = one[::-1]
    else:
        data[here : here + size], data[there : there + size] = other, one
    return data


def _large_number(data: bytearray, rng: np.random.Generator) -> bytearray:
    size = int(rng.integers(1, 5))
    at = min(_place(data, rng), max(0, len(data) - size))
    data[at : at + size] = _LARGE[rng.integers(0, len(_LARGE))][:size]
    return data


def _without_a_piece(data: bytearray, rng: np.random.Generator) -> bytearray:
    at = _place(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 40)) :]


def _twice_a_piece(data: bytearray, rng: np.random.Generator) -> bytearray:
    at = _place(data, rng)
    return data[: at + int(rng.integers(1, 40))] + data[at:]


_KINDS: tuple[Callable[[bytearray, np.random.Generator], bytearray], ...] = (
    _cut,
    _other_bytes,
    _flipped_bits,
    _run_of_one_value,
    _swapped_numbers,
    _large_number,
    _without_a_piece,
    _twice_a_piece,
)
