"""JPEG tiles of another quality among a source's own: no table of theirs takes a place that is taken."""

import cv2
import imagecodecs
import numpy as np
import pytest

from wsicomp.codecs import jpeg, jpeg_beside
from wsicomp.codecs.jpeg_beside import CodecBeside
from wsicomp.codecs.jpeg_slots import _numbered, in_free_slots
from wsicomp.codecs.jpeg_stream import DHT, DQT, only_segments
from wsicomp.geometry import Size
from wsicomp.slide import JPEG, RGB, YCBCR, EncodedTile, TileEncoding


def picture(seed=1, side=128):
    rng = np.random.default_rng(seed)
    smooth = cv2.resize(rng.integers(60, 220, (side // 16, side // 16, 3)).astype(np.float32), (side, side))
    return np.clip(smooth + rng.normal(0, 25, (side, side, 1)), 0, 255).astype(np.uint8)


def shared_tables(kinds):
    """JPEGTables that a level shares: slots 0 and 1 of these kinds."""
    stream = bytes(imagecodecs.jpeg8_encode(picture(), level=90))
    return b"\xff\xd8" + only_segments(stream, kinds) + b"\xff\xd9" if kinds else None


KINDS = [(), (DQT,), (DQT, DHT)]


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("is_progressive", [False, True])
def test_no_table_is_in_a_shared_slot_and_the_picture_is_the_same(kinds, is_progressive):
    stream = bytes(imagecodecs.jpeg8_encode(picture(), level=20, subsampling="420", optimize=True))
    if is_progressive:
        stream = jpeg_beside.optimize(stream)
    tables = shared_tables(kinds)
    moved = in_free_slots(stream, tables)
    taken = {(marker, slot) for marker, slot, _ in _numbered(tables)} if tables else set()
    own = [(marker, slot) for marker, slot, _ in _numbered(moved)]
    assert taken.isdisjoint(own)
    assert len(own) == len(list(_numbered(stream))) >= 6
    assert np.array_equal(imagecodecs.jpeg8_decode(moved), imagecodecs.jpeg8_decode(stream))


def test_a_scan_names_no_table_that_it_does_not_use():
    tables = shared_tables((DQT, DHT))
    stream = jpeg_beside.optimize(bytes(imagecodecs.jpeg8_encode(picture(), level=20, optimize=True)))
    moved = in_free_slots(stream, tables)
    at = moved.index(b"\xff\xda")
    names = moved[at + 6 : at + 5 + 2 * moved[at + 4] : 2]
    assert {name & 15 for name in names} == {0}
    assert {name >> 4 for name in names} <= {2, 3}


def test_five_tables_have_no_room():
    stream = bytes(imagecodecs.jpeg8_encode(picture(), level=20))
    full = b"\xff\xd8" + b"".join(b"\xff\xdb\x00\x43" + bytes([slot]) + bytes([1]) * 64 for slot in range(3))
    with pytest.raises(ValueError, match="no room"):
        in_free_slots(stream, full + b"\xff\xd9")


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize(("photometric", "subsampling"), [(RGB, (1, 1)), (YCBCR, (2, 1)), (YCBCR, (2, 2))])
def test_the_smaller_of_baseline_and_progressive_is_taken(kinds, photometric, subsampling, monkeypatch):
    encoding = TileEncoding(JPEG, photometric, subsampling, jpeg_tables=shared_tables(kinds))
    codec = CodecBeside(40, encoding)
    shades = set()
    for pixels in (picture(side=256), np.full((16, 16, 3), 200, np.uint8)):
        found = codec.encode(pixels)
        with monkeypatch.context() as patch:
            patch.setattr(jpeg_beside, "optimize", lambda stream: stream)
            baseline = codec.encode(pixels)
        is_progressive = b"\xff\xc2" in found
        assert is_progressive == (len(found) < len(baseline))
        shades.add(is_progressive)
        size = Size(*pixels.shape[:2])
        shown = [jpeg.decode(EncodedTile(each, encoding, size)) for each in (found, baseline)]
        assert np.array_equal(*shown)
    assert shades == {True, False}


def test_a_stream_that_cannot_be_optimised_stays_baseline(monkeypatch):
    def refuse(stream):
        raise RuntimeError("the JPEG cannot be optimised")

    codec = CodecBeside(15, TileEncoding(JPEG, YCBCR, (2, 2), jpeg_tables=None))
    monkeypatch.setattr(jpeg_beside, "optimize", refuse)
    assert b"\xff\xc0" in codec.encode(picture())
