"""WebP's first partition: where it ends, and whether more than one follows it."""

import base64
import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tests.codecs.test_contract import drawn
from tests.conftest import pairs_of
from tests.drawn import names
from wsicomp.codecs.registry import without_text
from wsicomp.codecs.vp8_header import first_partition, with_shorter_first
from wsicomp.geometry import Size
from wsicomp.slide import RGB, WEBP, EncodedTile, TileEncoding

SIZES = [Size(*sides) for sides in ((1, 1), (7, 5), (64, 64), (100, 75), (256, 256))]
TWO_MORE = base64.b64decode(
    "UklGRjQAAABXRUJQVlA4ICgAAAByAQCdASogACAAHNnOJZQABf3HoAALAAD+UxEs/tk7zPgAAOgIAgAA"
)
"""32 x 32 px by libwebp 1.2 with `partitions = 1` and `method = 1`."""


def picture(stream):
    return stream[20 : 20 + int.from_bytes(stream[16:20], "little")]


def as_tile(stream, size):
    return EncodedTile(stream, TileEncoding(WEBP, RGB), size)


@pytest.mark.parametrize(("quality", "method", "size"), pairs_of([1, 50, 80, 100], [0, 3, 6], SIZES))
def test_what_libwebp_encodes_keeps_its_very_bytes(quality, method, size):
    for pixels in (drawn(size), np.full((*size.shape, 3), 238, np.uint8)):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "WEBP", quality=quality, method=method)
        assert without_text(as_tile(file.getvalue(), size), None).data == file.getvalue()


def test_words_behind_the_first_partition_are_refused():
    size = Size(64, 64)
    stream = bytes(imagecodecs.webp_encode(drawn(size), level=80, lossless=False))
    longer = names.in_first_partition(stream)
    assert np.array_equal(imagecodecs.webp_decode(longer), imagecodecs.webp_decode(stream))
    assert first_partition(picture(longer)) == first_partition(picture(stream)) + names.WORD
    assert with_shorter_first(picture(longer), len(names.WORD)) == picture(stream)
    with pytest.raises(ValueError, match="behind the coded bytes"):
        without_text(as_tile(longer, size), None)


def test_a_picture_in_several_partitions_is_refused():
    assert imagecodecs.webp_decode(TWO_MORE).shape == (32, 32, 3)
    with pytest.raises(ValueError, match="more than two partitions"):
        without_text(as_tile(TWO_MORE, Size(32, 32)), None)


def test_damaged_pictures_are_told_as_such():
    whole = picture(bytes(imagecodecs.webp_encode(drawn(Size(32, 32)), level=80, lossless=False)))
    assert whole[10:].startswith(first_partition(whole))
    for damaged in (b"", whole[:5], whole[:40], b"\xff\xff\xff" + whole[3:]):
        with pytest.raises(ValueError, match="WebP"):
            first_partition(damaged)
