"""JPEG streams are found in any bytes, by their markers alone."""

import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.drawn.jpegs import abbreviated, jpeg, with_thumbnail
from wsicomp.formats.packed.byte_window import ByteWindow
from wsicomp.formats.packed.jpeg_search import StreamKind, jpeg_streams, table_streams

PLAIN, PROGRESSIVE = jpeg(), jpeg(seed=1, progressive=True)
RESTARTING, GREY = jpeg(seed=2, restart_marker_blocks=4), jpeg(seed=3, subsampling=0, optimize=True)
WITHIN = with_thumbnail(jpeg(seed=4), jpeg(16, 16))
STREAMS = [PLAIN, PROGRESSIVE, RESTARTING, GREY, WITHIN]


def window(data):
    return ByteWindow(lambda start, count: data[start : start + count], len(data))


def found(data):
    return [(stream.start, stream.end) for stream in jpeg_streams(window(data))]


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_is_found_from_its_soi_to_its_eoi_wherever_it_stands(stream):
    for before in (b"", b"\0", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", bytes(1 << 20)):
        data = before + stream + b"\xff\xd9 behind"
        assert found(data) == [(len(before), len(before) + len(stream))]


def test_headers_are_read_as_pillow_wrote_them():
    (stream,) = jpeg_streams(window(RESTARTING))
    assert (stream.size.width, stream.size.height, stream.restart_mcus, stream.scans) == (96, 64, 4, 1)
    assert stream.kind is StreamKind.WHOLE
    (stream,) = jpeg_streams(window(PROGRESSIVE))
    assert stream.scans > 3


def test_a_thumbnail_counts_only_where_the_picture_around_it_is_cut():
    assert found(WITHIN) == [(0, len(WITHIN))]
    thumbnail = jpeg(16, 16)
    start = WITHIN.index(thumbnail)
    assert found(WITHIN[:-2]) == [(start, start + len(thumbnail))]


def test_a_cut_stream_is_none_and_hides_none_behind_it():
    for length in (3, 20, 200, len(PLAIN) - 1):
        assert found(PLAIN[:length] + GREY) == [(length, length + len(GREY))]


def test_tiles_without_tables_and_tables_without_tiles_are_told_apart():
    tables, tile = abbreviated(PLAIN)
    kinds = [stream.kind for stream in jpeg_streams(window(tile + tables + PLAIN))]
    assert kinds == [StreamKind.ABBREVIATED, StreamKind.TABLES, StreamKind.WHOLE]
    assert table_streams(window(bytes(5) + tables + tile + tables)) == [tables]


def test_streams_across_the_borders_of_what_is_read_at_once_are_found():
    for shift in (-700, -3, -2, -1, 0, 1):
        data = bytes((1 << 20) + shift) + PLAIN + GREY
        start = (1 << 20) + shift
        assert found(data) == [(start, start + len(PLAIN)), (start + len(PLAIN), len(data))]


FALSE = [b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x06", b"\xff\xd8\xff\xff", b"\xff", PLAIN[:300], PLAIN[20:]]
PARTS = st.one_of(
    st.sampled_from([*STREAMS, *FALSE, *abbreviated(GREY)]),
    st.binary(max_size=60),
    st.builds(lambda stream, end: stream[:end], st.sampled_from(STREAMS), st.integers(0, 1500)),
)


@given(st.lists(PARTS, max_size=8))
def test_what_is_found_begins_and_ends_as_jpeg_does_and_does_not_overlap(parts):
    data, end = b"".join(parts), 0
    for stream in jpeg_streams(window(data)):
        assert stream.start >= end
        end = stream.end
        assert data[stream.start : stream.start + 2] == b"\xff\xd8"
        assert data[end - 2 : end] == b"\xff\xd9"


@given(st.lists(st.one_of(st.sampled_from(STREAMS), st.integers(0, 40)), min_size=1, max_size=6))
def test_every_whole_stream_among_bytes_that_are_none_is_found(parts):
    data, expected = b"", []
    for part in parts:
        if isinstance(part, bytes):
            expected.append((len(data), len(data) + len(part)))
            data += part
        else:
            data += bytes([7]) * part
    assert found(data) == expected


class CountingWindow(ByteWindow):
    """Counts how often a walk looks at the file."""

    looks = 0

    def at(self, start, count):
        self.looks += 1
        return super().at(start, count)


NESTED = b"\xff\xd8\xff\xe0\x00\x06"
DEEP = [bytes([0xFF, 0xD8, 0xFF, 0xE0, *(2 + 8 * steps).to_bytes(2, "big"), 0, 0]) for steps in (1, 99, 5000)]


@pytest.mark.parametrize("false", [*FALSE, NESTED, *DEEP])
def test_a_file_of_false_beginnings_takes_a_few_looks_for_each_of_them(false):
    data = (false * (20_000 // len(false)))[:-1]
    counting = CountingWindow(lambda start, count: data[start : start + count], len(data))
    list(jpeg_streams(counting))
    assert counting.looks <= 3 * len(data)


@pytest.mark.slow
def test_streams_beyond_4_gib_are_found_in_a_sparse_file(tmp_path):
    path, places = tmp_path / "sparse", [(1 << 32) - 700, (1 << 32) + (1 << 20)]
    with path.open("wb") as file:
        for place in places:
            file.seek(place)
            file.write(PLAIN)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        sparse = ByteWindow(lambda start, count: os.pread(file.fileno(), count, start), size)
        streams = list(jpeg_streams(sparse))
        data = [os.pread(file.fileno(), stream.bytes, stream.start) for stream in streams]
    assert [stream.start for stream in streams] == places
    assert {hashlib.sha256(each).digest() for each in data} == {hashlib.sha256(PLAIN).digest()}
