"""Which foreign blocks of a tile make a thing, beside a search from block to block."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import trial_size
from wsicomp.tissue.things import ThingSize, things_among


def pieces(flags, apart):
    """Return the sets of flagged places that are at most `apart` from each other, along both axes."""
    left = {(int(row), int(column)) for row, column in np.argwhere(flags)}
    while left:
        piece = [left.pop()]
        for row, column in piece:
            near = {one for one in left if max(abs(one[0] - row), abs(one[1] - column)) <= apart}
            left -= near
            piece.extend(near)
        yield piece


def expected(foreign, size, reach):
    found = np.zeros_like(foreign)
    for thing in pieces(foreign, 2 * reach + 1):
        own = np.zeros_like(foreign)
        own[tuple(zip(*thing, strict=True))] = True
        solid = [
            piece
            for piece in pieces(own, 1)
            if len(piece) >= size.solid and 1 + max(np.ptp(piece, axis=0)) >= size.across
        ]
        if solid or len(thing) >= size.scattered:
            found |= own
    return found if foreign.sum() >= size.solid and found.any() else None


@settings(deadline=None, max_examples=trial_size(70, 200))
@given(
    st.integers(0, 9999),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.lists(st.sampled_from([0.0, 0.01, 0.04, 0.2, 0.9]), min_size=1, max_size=4),
    st.integers(1, 9),
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(0, 9)),
)
def test_things_are_what_a_search_from_block_to_block_finds(seed, shape, shares, reach, sizes):
    rng = np.random.default_rng(seed)
    size = ThingSize(sizes[0], sizes[1], sizes[0] + sizes[2])
    foreign = np.stack([rng.random(shape) < share for share in shares])
    for found, tile in zip(things_among(foreign, size, reach), foreign, strict=True):
        truth = expected(tile, size, reach)
        assert (found is None) == (truth is None)
        assert truth is None or (found == truth).all()
