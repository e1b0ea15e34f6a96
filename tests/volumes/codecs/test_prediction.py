"""A slice predicted from its neighbours comes back as it was, and is smaller where they are close."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.volumes.codecs.test_planes import LOSSLESS, drawn
from wsicomp.volumes.codecs.base import plane_dtype
from wsicomp.volumes.codecs.prediction import (
    decode_between,
    encode_between,
    may_be_predicted,
    residual,
    unpredicted,
)
from wsicomp.volumes.codecs.registry import plane_codec


@given(st.integers(1, 16), st.integers(0, 1 << 30))
def test_any_three_planes_give_back_the_middle_one(bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    most = (1 << bits) - 1
    before, plane, after = (
        rng.choice([0, most, *rng.integers(0, most + 1, 4)], (5, 6)).astype(plane_dtype(bits))
        for _ in range(3)
    )
    coded = residual(plane, before, after, bits)
    assert coded.dtype == plane.dtype
    assert int(coded.max()) <= most
    assert np.array_equal(unpredicted(coded, before, after, bits), plane)


def test_no_difference_is_the_middle_of_the_samples() -> None:
    plane = drawn((8, 9), 12)
    assert (residual(plane, plane, plane, 12) == 2048).all()


@pytest.mark.parametrize("name", LOSSLESS)
def test_the_smaller_encoding_is_kept_and_read_back(name: str) -> None:
    codec = plane_codec(name)
    planes = [drawn((64, 64), 12, seed) for seed in range(3)]
    close = [planes[0], planes[0] // 2 + planes[1] // 2, planes[1]]
    data, is_predicted = encode_between(codec, close[1], close[0], close[2], 12)
    assert is_predicted
    assert len(data) < len(codec.encode(close[1], 12)) / 2
    assert np.array_equal(decode_between(codec, data, close[0], close[2], 12), close[1])
    far = np.random.default_rng(0).integers(0, 4096, (2, 64, 64)).astype(np.uint16)
    data, is_predicted = encode_between(codec, planes[1], far[0], far[1], 12)
    assert not is_predicted
    assert np.array_equal(codec.decode(data, (64, 64), 12), planes[1])


@given(st.integers(0, 30))
def test_a_predicted_slice_lies_between_two_that_are_not(count: int) -> None:
    for number in range(count):
        if may_be_predicted(number, count):
            assert 0 < number < count - 1
            assert not may_be_predicted(number - 1, count)
            assert not may_be_predicted(number + 1, count)
    assert sum(may_be_predicted(number, count) for number in range(count)) == max(0, (count - 1) // 2)
