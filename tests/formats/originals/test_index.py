"""The index of an original: what it stores it gives back, and what is not sound it refuses."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from wsicomp.formats.originals import index as index_module
from wsicomp.formats.originals.forms import STORED, ZSTD, UnitForm
from wsicomp.formats.originals.index import RebuildIndex
from wsicomp.formats.originals.writing import IndexBuilder
from wsicomp.geometry import Size
from wsicomp.slide import JPEG, YCBCR, TileEncoding

FILE_BYTES = 1 << 40
LARGE = UnitForm("tile", TileEncoding(JPEG, YCBCR), Size(1 << 40, 1 << 40))
STRANGE = UnitForm("tile", TileEncoding(99, YCBCR), Size(8, 8))
TILE = UnitForm("tile", TileEncoding(JPEG, YCBCR, (2, 2), jpeg_tables=b"\xff\xd8\xff\xd9"), Size(256, 240))


@st.composite
def built(draw):
    """Units in a file, each cut into extents; extents of several units stand in any order in the original."""
    builder, rows = IndexBuilder(), []
    for place, length in enumerate(draw(st.lists(st.integers(1, 9), max_size=6))):
        offset = place * 100 + draw(st.integers(0, 50))
        form = draw(st.sampled_from([STORED, ZSTD, TILE]))
        unit = builder.add_unit(form, offset, length if form == STORED else 7, bytes(length))
        cut = draw(st.integers(1, length))
        rows += [(unit, 0, cut), (unit, cut, length - cut)]
    rows = [row for row in rows if row[2]]
    for unit in draw(st.permutations([row[0] for row in rows])):  # what comes of a unit comes in its order
        row = next(row for row in rows if row[0] == unit)
        rows.remove(row)
        builder.add_extent(*row)
    return builder.index()


@settings(max_examples=60, deadline=None)
@given(built())
def test_it_comes_back_as_it_was(index):
    again = RebuildIndex.from_bytes(index.to_bytes(), FILE_BYTES)
    assert again.forms == index.forms
    assert again.units.digests == index.units.digests
    for table in ("units", "extents"):
        for name in ("offsets", "lengths"):
            assert np.array_equal(getattr(getattr(again, table), name), getattr(getattr(index, table), name))
    assert np.array_equal(again.units.counts, index.units.counts)
    assert np.array_equal(again.extents.units, index.extents.units)
    assert again.total_bytes == sum(index.extents.lengths.tolist())


def shared():
    builder = IndexBuilder()
    for _ in range(2):
        builder.add_extent(builder.add_unit(STORED, 10, 6, b"abcdef"), 0, 6)
    return builder.index().to_bytes()


def flawed(unit=(ZSTD, 10, 5, b"abcdef"), extents=((0, 0, 6),)):
    builder = IndexBuilder()
    builder.add_unit(*unit)
    for extent in extents:
        builder.add_extent(*extent)
    return builder.index().to_bytes()


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (flawed((ZSTD, 96, 5, b"abcdef")), "an? end of"),
        (flawed((ZSTD, -1, 5, b"abcdef")), "an? offset of -1"),
        (flawed((ZSTD, 10, 0, b"abcdef")), "count of bytes"),
        (flawed((ZSTD, 10, 5, b"")), "length"),
        (flawed((STORED, 10, 5, b"abcdef")), "excess"),
        (flawed(extents=((0, 7, 1),)), "excess"),
        (flawed(extents=((0, 1, 6),)), "excess"),
        (flawed(extents=((0, -1, 6),)), "offset"),
        (flawed(extents=((0, 0, 3),)), "follow"),
        (flawed(extents=((0, 0, 6), (0, 0, 6))), "twice"),
        (flawed(extents=((0, 0, 3), (0, 0, 3))), "follow"),
        (flawed(extents=((0, 3, 3), (0, 0, 3))), "follow"),
        (shared(), "share stored bytes"),
        (flawed((LARGE, 10, 5, b"abcdef")), "too little memory"),
        (flawed((STRANGE, 10, 5, b"abcdef")), "not repacked"),
        (flawed((UnitForm("tile"), 10, 5, b"abcdef")), "not repacked"),
        (flawed((UnitForm("intervals"), 10, 5, b"abcdef")), "without their numbers"),
        (flawed()[:-1], "digests"),
        (flawed()[:20], "."),
        (b"", "."),
    ],
)
def test_one_that_is_not_sound_is_refused(data, found):
    with pytest.raises(ValueError, match=found):
        RebuildIndex.from_bytes(data, 100)


def test_one_for_which_there_is_no_memory_is_refused(monkeypatch):
    monkeypatch.setattr(index_module, "budget_bytes", lambda: 200)
    with pytest.raises(ValueError, match="too little memory"):
        RebuildIndex.from_bytes(flawed(), 100)


def test_no_damage_of_a_byte_makes_it_take_memory_or_raise_anything_else():
    sound = flawed()
    for place in range(len(sound)):
        for bit in range(8):
            broken = bytearray(sound)
            broken[place] ^= 1 << bit
            try:
                RebuildIndex.from_bytes(bytes(broken), 100)
            except ValueError:
                continue
