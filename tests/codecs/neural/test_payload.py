"""A neural tile's bytes: whole, or an error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsicomp.codecs.neural.payload import Payload, is_payload, unpack
from wsicomp.geometry import Size

TILE = Payload(b"modelkey", Size(256, 240), 3, (b"classes", b"", b"latents" * 40))


@given(
    st.binary(min_size=8, max_size=8),
    st.integers(1, 2048),
    st.integers(1, 2048),
    st.integers(0, 255),
    st.lists(st.binary(max_size=200), max_size=20),
)
def test_a_payload_comes_back(key, width, height, step, strings):
    tile = Payload(key, Size(width, height), step, tuple(strings))
    assert is_payload(tile.pack())
    assert unpack(tile.pack()) == tile


def test_its_bytes_are_those_of_the_documented_layout():
    data = TILE.pack()
    assert data[:4] == b"WSN1"
    assert data[8:16] == b"modelkey"
    assert int.from_bytes(data[16:18], "little") == 256
    assert int.from_bytes(data[18:20], "little") == 240
    assert (data[20], data[21]) == (3, 3)
    assert int.from_bytes(data[22:26], "little") == len(b"classes")
    assert data[34:41] == b"classes"


@pytest.mark.parametrize("at", range(len(TILE.pack())))
def test_no_changed_byte_goes_unnoticed(at):
    data = bytearray(TILE.pack())
    data[at] ^= 1 << (at % 8)
    with pytest.raises(ValueError, match="neural tile"):
        unpack(bytes(data))


def test_cut_and_lengthened_payloads_are_refused():
    data = TILE.pack()
    for end in range(len(data)):
        with pytest.raises(ValueError, match="neural tile"):
            unpack(data[:end])
    with pytest.raises(ValueError, match="CRC"):
        unpack(data + b"\0")


@pytest.mark.parametrize(
    "changed",
    [
        {"size": Size(5000, 256)},
        {"size": Size(0, 256)},
        {"strings": (b"",) * 65},
    ],
)
def test_values_out_of_range_are_refused_though_the_checksum_is_right(changed):
    values = {"model": TILE.model, "size": TILE.size, "step": 0, "strings": TILE.strings} | changed
    with pytest.raises(ValueError, match="neural tile of"):
        unpack(Payload(**values).pack())


def test_lengths_that_do_not_add_up_are_refused_though_the_checksum_is_right():
    import zlib

    data = bytearray(TILE.pack())
    data[22:26] = (1 << 31).to_bytes(4, "little")
    data[4:8] = zlib.crc32(data[8:]).to_bytes(4, "little")
    with pytest.raises(ValueError, match="expected"):
        unpack(bytes(data))


def test_other_streams_are_no_payloads():
    for data in (b"", b"WSN", b"\xff\xd8\xff\xe0", b"\xff\x0a", np.arange(99, dtype=np.uint8).tobytes()):
        assert not is_payload(data)
