"""A plane predicted from its neighbours comes back as it was, and one trial decides for a slab."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.volumes.codecs.test_planes import drawn
from wsicomp.volumes.codecs.base import plane_dtype
from wsicomp.volumes.codecs.prediction import predicted_places, residual, unpredicted


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


def test_every_second_slice_is_predicted_where_the_middle_one_gains() -> None:
    for count in range(20):
        asked: list[int] = []

        def between(place: int, asked: list[int] = asked) -> int:
            asked.append(place)
            return 90

        places = predicted_places(count, lambda _: 100, between)
        assert list(places) == list(range(1, count - 1, 2))
        assert len(asked) == bool(places)
        assert not predicted_places(count, lambda _: 90, between)
