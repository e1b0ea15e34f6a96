"""What is unpacked ahead of a reader: nothing for who jumps, more and more for who goes on in order."""

import numpy as np
import pytest

from wsicomp.formats.originals.forms import STORED, ZSTD
from wsicomp.formats.originals.read_ahead import RegionReads
from wsicomp.formats.originals.reading import OriginalBytes, OriginalIdentity
from wsicomp.formats.originals.unit_cache import UnitCache
from wsicomp.formats.originals.writing import BlockPacker, IndexBuilder

SIZE = 32 << 20


class Stored:
    """A file in memory that counts which of its units are read."""

    def __init__(self, data):
        self.path, self.data, self.offsets = "memory", data, []

    def read(self, offset, count, place):
        self.offsets.append(offset)
        return self.data[offset : offset + count]

    def close(self):
        pass


@pytest.fixture(scope="module")
def packed():
    """Noise in 32 blocks, each a unit; packed as well as may be it would take a minute."""
    data = np.random.default_rng(1).integers(0, 4, SIZE, np.uint8).tobytes()
    builder = IndexBuilder()
    packer = BlockPacker(builder, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsicomp.formats.originals.writing._LEVEL", 1)
        stored = b"".join([*packer.add(data), *packer.end()])
    index = builder.index()
    assert {form.kind for form in index.forms} <= {STORED.kind, ZSTD.kind}
    return data, stored, index


def opened(packed, capacity=64 << 20):
    data, stored, index = packed
    file = Stored(stored)
    return file, OriginalBytes(file, index, OriginalIdentity("x", len(data), "", None), UnitCache(capacity))


def wait(original):
    """Wait until what was begun is done."""
    executor = original._cache._executor
    if executor is not None:
        executor.shutdown()
        original._cache._executor = None


def test_who_jumps_has_nothing_unpacked_ahead(packed):
    file, original = opened(packed)
    for start in range(0, SIZE, 8 << 20):
        for row in range(3):
            assert original.read(start + row * 400_000, 20_000) == packed[0][start + row * 400_000 :][:20_000]
    wait(original)
    assert len(file.offsets) <= 2 * SIZE // (8 << 20)


def test_who_goes_on_in_order_has_more_and_more_unpacked_ahead(packed):
    file, original = opened(packed)
    ahead = []
    for start in range(0, 8 << 20, 1 << 17):
        assert original.read(start, 1 << 17) == packed[0][start : start + (1 << 17)]
        wait(original)
        ahead.append(len(file.offsets) - (start >> 20) - 1)
    assert ahead[:3] == [0, 0, 0]
    assert ahead[8] >= 1
    assert 4 <= ahead[-1] <= 5
    assert len({*file.offsets}) == len(file.offsets)


def test_a_small_cache_is_not_filled_ahead(packed):
    file, original = opened(packed, capacity=2 << 20)
    for start in range(0, 8 << 20, 1 << 17):
        original.read(start, 1 << 17)
        wait(original)
    assert len(file.offsets) <= 12


def rows_of(region, columns, down=True):
    """The extents of a region's rows, a read each, that begin up to a tile early as pages do."""
    column, row, width, height = region
    rows = range(row, row + height) if down else range(row + height - 1, row - 1, -1)
    return [(y * columns + column - y % 2, y * columns + column + width) for y in rows]


@pytest.mark.parametrize("down", [True, False])
def test_who_looks_at_regions_has_the_next_row_foreseen_from_the_third_row_on(down):
    reads, generator = RegionReads(), np.random.default_rng(1)
    found = []
    for _ in range(50):
        column, row = generator.integers(0, 90, 2).tolist()
        rows = rows_of((column, row, 4, 5), 100, down)
        foreseen = [reads.after(*each) for each in rows]
        found += [a <= b and c >= d for (a, c), (b, d) in zip(foreseen, rows[1:], strict=False)]
        assert all(last - first <= 8 for first, last in foreseen)
    assert sum(found) >= 4 * 50 - 4


def test_who_jumps_about_has_no_row_foreseen():
    reads, generator = RegionReads(), np.random.default_rng(2)
    foreseen = [reads.after(first, first + 3) for first in generator.integers(0, 10**7, 500).tolist()]
    assert all(first == last for first, last in foreseen)


def test_an_unwanted_row_behind_the_end_is_not_foreseen(packed):
    _, original = opened(packed)
    for start in range(SIZE - (30 << 20), SIZE, 10 << 20):
        assert original.read(start, 100) == packed[0][start : start + 100]
    wait(original)
