"""Integers through tables of integers: lossless, tight, and safe on whatever bytes come."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import trial_size
from wsicomp.codecs.neural.entropy import PRECISION, ClassedTables, SymbolTables

TOTAL = 1 << PRECISION


def laplacian(spread, reach=12):
    likely = np.append(np.exp(-np.abs(np.arange(-reach, reach + 1)) / spread), 1e-4)
    table = np.maximum(1, np.floor(likely / likely.sum() * (TOTAL - len(likely)))).astype(np.int32)
    table[reach] += TOTAL - table.sum()
    return table


def tables(spreads=(0.3, 1.0, 4.0, 9.0)):
    return SymbolTables(tuple(laplacian(spread) for spread in spreads), np.full(len(spreads), -12, np.int32))


def classed():
    own = tables()
    kinds = np.array([[0, 0, 1, 1, 2], [1, 2, 2, 3, 3], [0, 0, 0, 0, 0]], np.int32)
    frequencies = np.array([30_000, 20_000, TOTAL - 50_001, 1], np.int32)
    return ClassedTables(own, kinds, SymbolTables((frequencies,), np.zeros(1, np.int32)))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-40_000, 40_000), st.integers(0, 3)), max_size=300))
def test_any_values_come_back_cut_to_16_bits(pairs):
    values = np.array([value for value, _ in pairs], np.int32)
    indexes = np.array([index for _, index in pairs], np.int32)
    back = tables().decode(tables().encode(values, indexes), indexes)
    assert (back == np.clip(values, -(1 << 15), (1 << 15) - 1)).all()


def test_the_string_is_as_long_as_the_tables_say():
    rng = np.random.default_rng(0)
    own = tables()
    indexes = rng.integers(0, 4, 20_000).astype(np.int32)
    values = np.array(
        [rng.choice(25, p=own.frequencies[i][:-1] / own.frequencies[i][:-1].sum()) for i in indexes]
    )
    values = (values - 12).astype(np.int32)
    likely = [own.frequencies[i][v + 12] / TOTAL for i, v in zip(indexes, values, strict=True)]
    assert len(own.encode(values, indexes)) == pytest.approx(-np.log2(likely).sum() / 8, rel=0.002)


def test_a_string_of_today_is_read_for_ever():
    indexes = (np.arange(24, dtype=np.int32) * 7) % 4
    values = ((np.arange(24, dtype=np.int32) * 5) % 9) - 4
    values[5] = 1000
    string = bytes.fromhex(GOLDEN)
    assert tables().encode(values, indexes) == string
    assert (tables().decode(string, indexes) == values).all()


GOLDEN = "01000000e8030852288de373041bba0a008e76470046780800ef640c0000"


@pytest.mark.parametrize("seed", range(4))
def test_damaged_strings_give_an_error_or_values_but_never_more(seed):
    rng = np.random.default_rng(seed)
    indexes = rng.integers(0, 4, 500).astype(np.int32)
    string = tables().encode(rng.integers(-14, 15, 500).astype(np.int32), indexes)
    for _ in range(trial_size(50, 200)):
        data = bytearray(string[: rng.integers(0, len(string) + 1)])
        for _ in range(rng.integers(0, 4)):
            if data:
                data[rng.integers(len(data))] = rng.integers(256)
        try:
            assert tables().decode(bytes(data), indexes).shape == indexes.shape
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("frequencies", "offsets"),
    [
        ((), np.zeros(0, np.int32)),
        ((np.array([TOTAL], np.int32),), np.zeros(1, np.int32)),
        ((np.array([TOTAL - 1, 0, 1], np.int32),), np.zeros(1, np.int32)),
        ((np.array([TOTAL, 1], np.int32),), np.zeros(1, np.int32)),
        ((np.array([TOTAL - 1, 1], np.int32),), np.zeros(2, np.int32)),
        ((np.array([TOTAL - 1, 1], np.int32),), np.full(1, 1 << 20, np.int32)),
    ],
)
def test_tables_that_are_none_are_refused(frequencies, offsets):
    with pytest.raises(ValueError, match="table"):
        SymbolTables(frequencies, offsets)


def test_flat_tables_must_be_as_long_as_they_say():
    flat, offsets = np.array([TOTAL - 1, 1], np.uint16), np.zeros(1, np.int32)
    assert len(SymbolTables.from_flat(flat, np.array([2]), offsets)) == 1
    with pytest.raises(ValueError, match="do not add up"):
        SymbolTables.from_flat(flat, np.array([3]), offsets)


def test_latents_come_back_by_class_and_cost_less_than_by_one():
    rng = np.random.default_rng(0)
    spread = np.where(np.arange(16)[:, None] < 8, 0.3, 4.0)  # glass above, tissue below
    values = np.rint(rng.laplace(0, 1, (5, 16, 16)) * spread).astype(np.int32)
    strings = classed().encode(values)
    assert len(strings) == 2
    assert (classed().decode(strings, (16, 16)) == values).all()
    alone = ClassedTables(tables(), np.array([[1, 2, 2, 3, 3]], np.int32), None)
    (string,) = alone.encode(values)
    assert (alone.decode((string,), (16, 16)) == values).all()
    assert sum(map(len, strings)) < 0.9 * len(string)


def test_costs_of_classes_are_exact_sums_so_that_no_count_of_threads_changes_them():
    values = np.random.default_rng(1).integers(-40, 40, (5, 9, 9)).astype(np.int32)
    own = classed()
    base, weights = (np.rint(part.astype(np.float64) * 65536).astype(np.int64) for part in own._costs)
    magnitudes = np.abs(values).reshape(5, -1)
    features = np.concatenate([magnitudes > 0, np.minimum(magnitudes, 32)]).astype(np.int64)
    assert (own._class_costs(values) * 65536 == base[:, None] + weights @ features).all()


def test_a_class_that_does_not_exist_is_refused():
    values = np.zeros((5, 4, 4), np.int32)
    strings = classed().encode(values)
    kinds = np.full((4, 4), 3, np.int32)  # the symbol for values beyond the table
    forged = classed().classes.encode(kinds, np.zeros_like(kinds))
    with pytest.raises(ValueError, match="class that the model does not have"):
        classed().decode((forged, strings[1]), (4, 4))
    with pytest.raises(ValueError, match="1 strings, expected 2"):
        classed().decode(strings[:1], (4, 4))


def test_classes_must_name_tables_that_are_there():
    with pytest.raises(ValueError, match="do not exist"):
        ClassedTables(tables(), np.array([[0, 4]], np.int32), None)
    with pytest.raises(ValueError, match="classes, expected"):
        ClassedTables(tables(), np.array([[0, 1], [1, 1]], np.int32), None)
