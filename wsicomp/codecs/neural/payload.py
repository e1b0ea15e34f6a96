"""The bytes of one neural tile, which can be read without the file around it.

    bytes   0-3    "WSN1"
            4-7    CRC-32 (zlib's) of all bytes after it
            8-15   the first 8 bytes of the model's SHA-256
           16-17   width, 18-19 height of the tile in px
           20      step: the index of the quantisation step in the model's list
           21      number of strings, then 4 bytes of length for each, then the strings

Numbers are little endian. What a string means is up to the model's architecture. A tile that fell back is not
a payload but a JPEG XL or JPEG stream; the first bytes tell them apart.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from wsicomp.geometry import Size

MAGIC = b"WSN1"
_HEADER = struct.Struct("<4sI8sHHBB")
_CHECKED_FROM = 8
_LENGTH = struct.Struct("<I")
_MOST_STRINGS = 64
LARGEST_SIDE_PX = 2048
"""The largest side of a neural tile.

Networks need memory in proportion to its area. Larger ones are JPEG XL.
"""


@dataclass(frozen=True)
class Payload:
    """The content of a neural tile."""

    model: bytes
    """The first 8 bytes of the digest of the model that made it."""
    size: Size
    """Width and height in pixels."""
    step: int
    """The index of the quantisation step in the model's list."""
    strings: tuple[bytes, ...]
    """The entropy-coded strings; their number and meaning depend on the architecture."""

    def pack(self) -> bytes:
        """Return the tile's bytes.

        >>> unpack(Payload(bytes(8), Size(16, 16), 0, (b"abc",)).pack()).strings
        (b'abc',)
        """
        lengths = b"".join(_LENGTH.pack(len(string)) for string in self.strings)
        rest = b"".join((lengths, *self.strings))
        header = _HEADER.pack(
            MAGIC, 0, self.model, self.size.width, self.size.height, self.step, len(self.strings)
        )
        checked = header[_CHECKED_FROM:] + rest
        return header[:4] + _LENGTH.pack(zlib.crc32(checked)) + checked


def is_payload(data: bytes) -> bool:
    """Return whether these are a neural tile's bytes, and not those of a tile that fell back."""
    return data[:4] == MAGIC


def unpack(data: bytes) -> Payload:
    """Return the content of a tile that `Payload.pack` wrote.

    Raises:
        ValueError: the bytes are no such tile, are damaged, or not complete.
    """
    if len(data) < _HEADER.size or not is_payload(data):
        raise ValueError("not a neural tile")
    _, crc, model, width, height, step, count = _HEADER.unpack_from(data)
    if zlib.crc32(memoryview(data)[_CHECKED_FROM:]) != crc:
        raise ValueError("a neural tile whose CRC-32 does not match: damaged")
    if not 0 < width <= LARGEST_SIDE_PX or not 0 < height <= LARGEST_SIDE_PX or count > _MOST_STRINGS:
        raise ValueError(f"a neural tile of {width} x {height} px in {count} strings")
    at = _HEADER.size + count * _LENGTH.size
    if at > len(data):
        raise ValueError(f"a neural tile of {len(data)} bytes, expected {count} lengths")
    lengths = [_LENGTH.unpack_from(data, _HEADER.size + number * _LENGTH.size)[0] for number in range(count)]
    if at + sum(lengths) != len(data):
        raise ValueError(f"a neural tile of {len(data)} bytes, expected {at + sum(lengths)}")
    strings = []
    for length in lengths:
        strings.append(data[at : at + length])
        at += length
    return Payload(model, Size(width, height), step, tuple(strings))
