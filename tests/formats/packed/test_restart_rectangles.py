"""Restart intervals of a large JPEG are JPEGs of their own, which others decode to the same pixels."""

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tests.drawn.jpegs import jpeg
from wsicomp.formats.originals.restart_intervals import rectangle_bytes, rectangle_stream
from wsicomp.formats.packed import restart_rectangles
from wsicomp.formats.packed.byte_window import ByteWindow
from wsicomp.formats.packed.jpeg_search import jpeg_streams
from wsicomp.formats.packed.restart_rectangles import interval_rectangles
from wsicomp.geometry import Size

WIDTH, HEIGHT = 640, 400


def cut(data, stated=None):
    window = ByteWindow(lambda start, count: data[start : start + count], len(data))
    (stream,) = jpeg_streams(window)
    return stream, list(interval_rectangles(window, stream, stated))


@pytest.fixture(autouse=True)
def small_rectangles(monkeypatch):
    monkeypatch.setattr(restart_rectangles, "_WANTED_WIDTH_PX", 256)
    monkeypatch.setattr(restart_rectangles, "_WANTED_PX", 1 << 15)


LAYOUTS = {
    "a part of a row": {"restart_marker_blocks": 8},
    "a row": {"restart_marker_rows": 1},
    "three rows": {"restart_marker_rows": 3},
    "neither": {"restart_marker_blocks": 7},
}


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_bytes_of_the_scan_come_back_from_jpeg_xl(layout, subsampling):
    data = jpeg(WIDTH, HEIGHT, subsampling=subsampling, **LAYOUTS[layout])
    stream, bands = cut(data)
    covered = []
    assert sum(map(len, bands)) > 3
    for rectangle in (each for band in bands for each in band):
        part = b"".join(data[start : start + count] for start, count in rectangle.runs)
        packed = imagecodecs.jpegxl_encode_jpeg(
            rectangle_stream(rectangle.header, rectangle.rows, part), usecontainer=True
        )
        assert rectangle_bytes(bytes(imagecodecs.jpegxl_decode_jpeg(packed)), rectangle.rows) == part
        covered += rectangle.runs
    ends = [start + count for start, count in sorted(covered)]
    assert [stream.scan_start, *ends] == [*(start for start, _ in sorted(covered)), stream.end - 2]


@pytest.mark.parametrize("stated", [None, Size(WIDTH, HEIGHT)])
def test_a_rectangle_shows_its_part_of_the_picture_in_pillow(stated):
    data = jpeg(WIDTH, HEIGHT, subsampling=0, restart_marker_blocks=8)
    _, bands = cut(data, stated)
    whole, top = np.asarray(Image.open(io.BytesIO(data))), 0
    for band in bands:
        left = 0
        for rectangle in band:
            part = b"".join(data[start : start + count] for start, count in rectangle.runs)
            stream = rectangle_stream(rectangle.header, rectangle.rows, part)
            shown = np.asarray(Image.open(io.BytesIO(stream)))
            there = whole[top : top + shown.shape[0], left : left + shown.shape[1]]
            assert np.array_equal(shown[: there.shape[0], : there.shape[1]], there)
            left += shown.shape[1]
        top += shown.shape[0]
    assert (left, top) == (WIDTH, HEIGHT)


def test_a_size_that_the_stream_does_not_state_comes_from_its_container():
    data = jpeg(WIDTH, HEIGHT, subsampling=0, restart_marker_blocks=8)
    frame = data.index(b"\xff\xc0")
    without = data[: frame + 5] + bytes(4) + data[frame + 9 :]
    _, stated = cut(without, Size(WIDTH, HEIGHT))
    _, expected = cut(data)
    assert stated == expected
    _, unknown = cut(without)
    assert all(rectangle.rows.columns == 1 for band in unknown for rectangle in band)


def test_markers_that_are_not_numbered_in_order_are_refused():
    data = jpeg(WIDTH, HEIGHT, subsampling=0, restart_marker_blocks=8)
    _, bands = cut(data)
    rectangle = bands[0][0]
    part = b"".join(data[start : start + count] for start, count in rectangle.runs)
    place = part.index(b"\xff\xd0")
    with pytest.raises(ValueError, match="not numbered in order"):
        rectangle_stream(rectangle.header, rectangle.rows, part[:place] + b"\xff\xd5" + part[place + 2 :])


def test_a_progressive_jpeg_and_one_without_intervals_are_not_cut():
    for options in ({}, {"progressive": True, "restart_marker_blocks": 8}):
        assert cut(jpeg(WIDTH, HEIGHT, **options))[1] == []
