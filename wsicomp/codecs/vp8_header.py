"""The header of a lossy WebP picture by hand: how long its first partition is, and how many follow.

Source: RFC 6386 sections 7 (arithmetic coding), 9.1 (frame tag), 9.3 to 9.6 and 19.2 (frame header).
"""

from __future__ import annotations

_TAG_BYTES, _START_BYTES = 3, 10
_START_CODE = b"\x9d\x01\x2a"
_TAG_BITS = 5
_SEGMENTS, _SEGMENT_PROBABILITIES = 4, 3


class _Booleans:
    """Reads bits that are 0 or 1 with equal probability from arithmetic code, the highest bit first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 2
        self._value = int.from_bytes(data[:2].ljust(2, b"\0"), "big")
        self._range = 255
        self._shifted = 0

    def flag(self) -> bool:
        """Return the next bit as a boolean."""
        split = 1 + (self._range - 1 >> 1)
        is_set = self._value >= split << 8
        if is_set:
            self._range -= split
            self._value -= split << 8
        else:
            self._range = split
        while self._range < 128:
            self._shift()
        return is_set

    def _shift(self) -> None:
        self._value <<= 1
        self._range <<= 1
        self._shifted += 1
        if self._shifted == 8:
            self._value |= self._data[self._at] if self._at < len(self._data) else 0
            self._at += 1
            self._shifted = 0

    def take(self, count: int) -> int:
        """Return the next number of `count` bits."""
        value = 0
        for _ in range(count):
            value = value << 1 | self.flag()
        return value

    def pass_optional(self, numbers: int, bits: int) -> None:
        """Skip numbers that each follow a flag which says whether the number is there."""
        for _ in range(numbers):
            if self.flag():
                self.take(bits)


def first_partition(picture: bytes) -> bytes:
    """Return the first partition of a picture that has two.

    Raises:
        ValueError: the picture is damaged, or has more than two partitions.
    """
    if picture[_TAG_BYTES : _TAG_BYTES + 3] != _START_CODE:
        raise ValueError("WebP picture without a start code")
    length = int.from_bytes(picture[:_TAG_BYTES], "little") >> _TAG_BITS
    partition = picture[_START_BYTES : _START_BYTES + length]
    if len(partition) < length:
        raise ValueError("WebP whose first partition ends past the picture")
    if _further_partitions(_Booleans(partition)):
        raise ValueError("WebP in more than two partitions")
    return partition


def with_shorter_first(picture: bytes, count: int) -> bytes:
    """Return the picture with its first partition `count` bytes shorter at the end."""
    tag = int.from_bytes(picture[:_TAG_BYTES], "little")
    end = _START_BYTES + (tag >> _TAG_BITS)
    shorter = (tag - (count << _TAG_BITS)).to_bytes(_TAG_BYTES, "little")
    return shorter + picture[_TAG_BYTES : end - count] + picture[end:]


def _further_partitions(bits: _Booleans) -> int:
    """Return the binary logarithm of the number of partitions behind the first."""
    bits.take(2)  # colour space, clamping
    if bits.flag():
        _pass_segments(bits)
    bits.take(1 + 6 + 3)  # the filter's kind, level, sharpness
    if bits.flag() and bits.flag():
        bits.pass_optional(8, 7)
    return bits.take(2)


def _pass_segments(bits: _Booleans) -> None:
    has_map, has_data = bits.flag(), bits.flag()
    if has_data:
        bits.flag()
        bits.pass_optional(_SEGMENTS, 8)
        bits.pass_optional(_SEGMENTS, 7)
    if has_map:
        bits.pass_optional(_SEGMENT_PROBABILITIES, 8)
