"""Values of any dtype come back to the very bits, whichever way they are mapped."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsicomp.errors import VolumeReadError
from wsicomp.volumes.codecs.patterns import ordered_patterns
from wsicomp.volumes.codecs.values import ValueMap, exact_map, survey_values, window_map
from wsicomp.volumes.volume import VoxelSlice

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


def same_bits(found: VoxelSlice, expected: VoxelSlice) -> bool:
    return (
        found.dtype == expected.dtype
        and found.shape == expected.shape
        and found.tobytes() == expected.tobytes()
    )


def there_and_back(voxels: VoxelSlice, may_rank: bool = True) -> ValueMap:
    """Map two slices by their survey, check every bit, and return the map."""
    mapped = exact_map(survey_values([voxels, voxels[::-1]]), may_rank)
    for one in (voxels, voxels[::-1]):
        planes = mapped.to_planes(one)
        assert len(planes) == len(mapped.plane_bits)
        for plane, bits in zip(planes, mapped.plane_bits, strict=True):
            assert plane.dtype == (np.uint8 if bits <= 8 else np.uint16)
            assert plane.flags.c_contiguous
            assert plane.size == 0 or int(plane.max()) < 1 << bits
        assert same_bits(mapped.to_slice(planes), np.ascontiguousarray(one))
    return mapped


@settings(max_examples=25)
@given(st.sampled_from(DTYPES), st.booleans(), st.data())
def test_any_bits_of_any_dtype_come_back(name: str, may_rank: bool, data: st.DataObject) -> None:
    dtype = np.dtype(name)
    raw = data.draw(st.binary(min_size=15 * dtype.itemsize, max_size=15 * dtype.itemsize))
    voxels = np.frombuffer(raw, dtype).reshape(3, 5)
    there_and_back(voxels, may_rank)


@settings(max_examples=25)
@given(
    st.sampled_from(DTYPES),
    st.integers(-(1 << 18), 1 << 18),
    st.sampled_from([0, 1, 2, 200, 255, 256, 4095, 65535, 65536]),
    st.integers(1, 40),
)
def test_whole_numbers_come_back(name: str, low: int, span: int, gap: int) -> None:
    dtype = np.dtype(name)
    values = np.arange(0, span + 1, gap)[:40] + low
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        values = values[(values >= limits.min) & (values <= limits.max)]
    with np.errstate(over="ignore"):
        voxels = np.resize(values if values.size else [0], (4, 10)).astype(dtype)
    there_and_back(voxels)


@pytest.mark.parametrize("name", DTYPES)
def test_both_ends_of_a_dtype_come_back(name: str) -> None:
    dtype = np.dtype(name)
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    there_and_back(np.array([[limits.min, limits.max, 0, 1]], dtype))
    for end in (limits.min, limits.max):
        there_and_back(np.full((2, 3), end, dtype))


@pytest.mark.parametrize("name", ["f2", "f4", "f8"])
@pytest.mark.parametrize("odd", [np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.5, 5e-324])
def test_an_odd_float_among_whole_numbers_comes_back(name: str, odd: float) -> None:
    voxels = np.arange(12, dtype=name).reshape(3, 4)
    voxels[1, 2] = odd
    there_and_back(voxels)


def test_the_payload_of_nan_comes_back() -> None:
    bits = np.array([[0x7FC00001, 0xFFC12345, 0x7F800001, 0x3F800000]], np.uint32)
    there_and_back(bits.view(np.float32))


def test_ct_in_whole_floats_is_one_plane_of_twelve_bits() -> None:
    voxels = np.array([[-1024, 0], [1500, 3071]], np.float32).repeat(3000, 1)
    voxels[0, :4096] = np.arange(-1024, 3072)
    assert there_and_back(voxels).plane_bits == (12,)
    assert there_and_back(voxels.astype(np.int64)).plane_bits == (12,)


@pytest.mark.parametrize("name", ["f2", "f4", "f8", "i8", "u8"])
def test_a_few_values_of_any_kind_are_one_plane_in_their_order(name: str) -> None:
    dtype = np.dtype(name)
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    few = np.array([limits.min, 1, 2, 77, limits.max], dtype)
    assert (np.diff(ordered_patterns(few).astype(object)) > 0).all()
    if dtype.kind == "f":
        few = np.append(few, [np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0, 0.1, -0.1]).astype(dtype)
    voxels = np.random.default_rng(1).choice(few, (20, 30))
    mapped = there_and_back(voxels)
    assert (mapped.kind, mapped.plane_bits) == ("patterns", ((len(few) - 1).bit_length(),))
    with pytest.raises(VolumeReadError):
        mapped.to_planes(np.full((1, 1), 3, dtype))


def test_whole_numbers_before_others_are_not_forgotten() -> None:
    first = np.arange(-8, 8, dtype=np.float32).reshape(4, 4).repeat(2, 1)
    second = first / 2 + np.float32(0.25)
    assert exact_map(survey_values([first, second])).kind == "bits"  # too many for so few voxels
    mapped = exact_map(survey_values([first, second] * 8))
    assert mapped.kind == "patterns"
    for one in (first, second):
        assert same_bits(mapped.to_slice(mapped.to_planes(one)), one)


@pytest.mark.parametrize("value", [10.5, np.nan, np.inf])
def test_a_float_between_the_surveyed_ones_is_refused(value: float) -> None:
    for used in ([10, 11, 12], [10, 11, 900]):
        mapped = exact_map(survey_values([np.array([used], np.float32)]))
        with pytest.raises(VolumeReadError):
            mapped.to_planes(np.array([[value]], np.float32))


@pytest.mark.parametrize("values", [{"offset": 1e300}, {"kind": "ranks", "table": (0, 1 << 70)}])
def test_numbers_that_no_survey_gives_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="beyond 131072"):
        ValueMap(**{"kind": "offset", "dtype": "int16", "plane_bits": (12,), **values})


def test_a_table_beyond_its_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="beyond 32 bits"):
        ValueMap("patterns", "float32", (1,), table=(0, 1 << 32))


def test_padding_far_below_costs_no_bits() -> None:
    ct = np.arange(-1024, 3071, dtype=np.int16).reshape(1, -1)
    padded = np.append(ct, np.int16(-32768)).reshape(1, -1)
    assert there_and_back(padded).plane_bits == (12,)
    assert there_and_back(padded, may_rank=False).plane_bits == (16,)


def test_multiples_lose_their_gaps() -> None:
    assert there_and_back(np.arange(0, 40960, 10, dtype=np.uint16).reshape(64, 64)).plane_bits == (12,)


def test_an_empty_volume_is_refused_and_an_empty_slice_comes_back() -> None:
    with pytest.raises(VolumeReadError):
        survey_values([])
    there_and_back(np.zeros((0, 4), np.int16))


def test_a_sample_that_stands_for_nothing_is_refused() -> None:
    mapped = exact_map(survey_values([np.array([[0, 100, 900]], np.uint16)]))
    with pytest.raises(VolumeReadError):
        mapped.to_slice([np.array([[3]], np.uint8)])


def test_a_slice_with_values_that_were_not_surveyed_is_refused() -> None:
    mapped = exact_map(survey_values([np.array([[0, 100, 900]], np.uint16)]))
    with pytest.raises(VolumeReadError):
        mapped.to_planes(np.array([[50]], np.uint16))
    mapped = exact_map(survey_values([np.array([[10, 11, 12]], np.int16)]))
    for beyond in (9, 13, -30000):
        with pytest.raises(VolumeReadError):
            mapped.to_planes(np.array([[beyond]], np.int16))


@given(st.integers(-2000, 2000), st.integers(1, 5000), st.sampled_from([8, 10, 12]))
def test_a_window_errs_by_half_a_step_and_is_exact_where_its_bits_suffice(
    low: int, width: int, bits: int
) -> None:
    voxels = np.linspace(low, low + width, 300).astype(np.int16).reshape(10, 30)
    mapped = window_map(low, low + width, bits, voxels.dtype)
    (plane,) = mapped.to_planes(voxels)
    assert int(plane.max()) < 1 << bits
    error = np.abs(mapped.to_slice([plane]).astype(int) - voxels).max()
    most = (1 << bits) - 1
    assert error == 0 if width <= most else error <= width / most / 2 + 0.5


def test_a_window_cuts_off_what_lies_outside() -> None:
    voxels = np.array([[-1000, -160, 240, 3000]], np.int16)
    mapped = window_map(-160, 240, 12, voxels.dtype)
    assert mapped.to_slice(mapped.to_planes(voxels)).tolist() == [[-160, -160, 240, 240]]


def test_a_lossy_codec_that_overshoots_stays_in_the_dtype() -> None:
    voxels = np.array([[32000, 32767]], np.int16)
    mapped = exact_map(survey_values([voxels]), may_rank=False)
    assert mapped.to_slice([np.array([[1023]], np.uint16)]).tolist() == [[32767]]
