"""Parse the headers of a JPEG XL codestream by hand: one plain picture, and nothing besides.

Its headers have room for words that no decoder needs: names of frames and channels, ICC profiles, previews,
hidden frames, extensions, and arbitrary numbers. A stream with any of them is refused.

Source: ISO/IEC 18181-1 (headers, table of contents); libjxl 0.11 `headers.cc`, `image_metadata.cc`,
`color_encoding_internal.cc`, `frame_header.cc`, `loop_filter.cc`, `toc.cc`, `fields.h`.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsicomp.codecs.jpegxl_stream import Bits, read_size
from wsicomp.geometry import Size

_FEW_OR_MORE = ((0, 1), (0, 2), (0, 3), (3, 4))
_BIT_DEPTHS = ((0, 8), (0, 10), (0, 12), (6, 1))
_EXTRA_CHANNELS = ((0, 0), (0, 1), (4, 2), (12, 1))
_NAMED = ((0, 0), (0, 1), (4, 2), (6, 18))
_FACTORS = ((0, 1), (0, 2), (0, 4), (0, 8))
_KINDS = ((0, 0), (0, 1), (0, 2), (0, 3))
_DOWNSAMPLINGS = ((0, 0), (0, 1), (0, 2), (1, 3))
_LAST_PASSES = ((0, 0), (0, 1), (0, 2), (3, 0))
_BLENDINGS = ((0, 0), (0, 1), (0, 2), (2, 3))
_NAME_LENGTHS = ((0, 0), (4, 0), (5, 16), (10, 48))
_ENTRIES = ((10, 0), (14, 1024), (22, 17408), (30, 4211712))
"""For each value of a number's first two bits: (bits that follow, what they are added to)."""
_RGB, _GREY = 0, 1
_WHITE_POINTS = frozenset({1, 10, 11})
_PRIMARIES = frozenset({1, 9, 11})
_TRANSFERS = frozenset({1, 8, 13, 16, 17, 18})
_INTENTS = frozenset({0, 1, 2, 3})
_SKIPS_SMOOTHING = 128
_GROUP_PX, _GROUPS_ACROSS, _MOST_GROUPS = 256, 8, 1 << 16


@dataclass(frozen=True)
class Picture:
    """The places of the sections of a stream's only frame."""

    table: int
    """The byte at which the table of sections begins."""
    sections: int
    """The byte at which the first section begins."""
    lengths: tuple[int, ...]
    """Bytes of each section."""

    @property
    def end(self) -> int:
        """The end of the last section, as a byte offset in the stream."""
        return self.sections + sum(self.lengths)


class _HeaderBits(Bits):
    """Reads the forms of numbers that headers have."""

    def flag(self) -> bool:
        """Return the next bit as a boolean."""
        return self.take(1) == 1

    def choice(self, forms: tuple[tuple[int, int], ...]) -> int:
        """Return a number stored in one of four forms, each (count of bits, number to add to them)."""
        count, least = forms[self.take(2)]
        return least + self.take(count)

    def long(self) -> int:
        """Return a number of up to 64 bits, stored in fewer if it is small (`U64`)."""
        kind = self.take(2)
        if kind < 3:
            return (0, 1, 17)[kind] + self.take((0, 4, 8)[kind])
        value, shift = self.take(12), 12
        while shift <= 60 and self.flag():
            value |= self.take(8 if shift < 60 else 4) << shift
            shift += 8
        return value

    def align(self) -> None:
        """Skip to the next byte, and refuse bits that are not 0 on the way."""
        if self.take(-self.at % 8):
            raise ValueError("JPEG XL with bits between its headers")


def read_picture(stream: bytes, is_grey: bool = False) -> Picture:
    """Return the places of the sections of a codestream's only picture.

    The picture has three samples a pixel, or one if `is_grey`.

    Raises:
        ValueError: the stream is damaged, has more than one frame, or its headers hold more than a decoder
            needs.
    """
    bits = _HeaderBits(stream)
    size = read_size(bits)
    is_xyb = _is_xyb(bits, is_grey)
    _expect(bits.flag(), "a transform of its own")
    bits.align()
    count = _frame_sections(bits, size, is_xyb)
    _expect(not bits.flag(), "sections out of order")
    bits.align()
    table = bits.at // 8
    lengths = tuple(bits.choice(_ENTRIES) for _ in range(count))
    bits.align()
    picture = Picture(table, bits.at // 8, lengths)
    _expect(picture.end <= len(stream), "a section that ends past it")
    return picture


def with_shorter_section(stream: bytes, picture: Picture, section: int, count: int) -> bytes:
    """Return the picture with one of its sections `count` bytes shorter at its end.

    `section` is its index in the picture's sections, from 0. The result ends with the last section.
    """
    lengths = [*picture.lengths]
    lengths[section] -= count
    end = picture.sections + sum(picture.lengths[: section + 1])
    coded = stream[picture.sections : end - count] + stream[end : picture.end]
    return stream[: picture.table] + _table(lengths) + coded


def _table(lengths: list[int]) -> bytes:
    value = at = 0
    for length in lengths:
        form = max(form for form, (_, least) in enumerate(_ENTRIES) if length >= least)
        count, least = _ENTRIES[form]
        value |= (form | length - least << 2) << at
        at += 2 + count
    return value.to_bytes(-(-at // 8), "little")


def _expect(is_plain: bool, found: str) -> None:
    if not is_plain:
        raise ValueError(f"JPEG XL with {found}")


def _is_xyb(bits: _HeaderBits, is_grey: bool) -> bool:
    """Read the image's metadata; return whether its colours are stored as XYB."""
    if bits.flag():
        return True
    has_extra_fields = bits.flag()
    if has_extra_fields:
        bits.take(3)  # orientation
        _expect(not bits.take(3), "a size of its own, a preview or an animation")
    _expect(not bits.flag(), "samples that are no integers")
    bits.choice(_BIT_DEPTHS)
    bits.take(1)  # whether 16 bits suffice
    _expect(not bits.choice(_EXTRA_CHANNELS), "extra channels")
    is_xyb = bits.flag()
    _check_color(bits, is_grey)
    if has_extra_fields:
        _expect(bits.flag(), "a tone mapping of its own")
    _expect(not bits.long(), "extensions")
    return is_xyb


def _check_color(bits: _HeaderBits, is_grey: bool) -> None:
    """Refuse a colour space given by a profile or by numbers."""
    if bits.flag():
        _expect(not is_grey, "colours")
        return
    _expect(not bits.flag(), "an ICC profile")
    space = bits.choice(_NAMED)
    _expect(
        space == (_GREY if is_grey else _RGB), f"a colour space that is not {'grey' if is_grey else 'RGB'}"
    )
    for known in (_WHITE_POINTS,) if is_grey else (_WHITE_POINTS, _PRIMARIES):
        _expect(bits.choice(_NAMED) in known, "colours of its own")
    _expect(not bits.flag() and bits.choice(_NAMED) in _TRANSFERS, "a tone curve of its own")
    _expect(bits.choice(_NAMED) in _INTENTS, "an unknown intent")


def _frame_sections(bits: _HeaderBits, size: Size, is_xyb: bool) -> int:
    """Read the header of the only frame; return its number of sections."""
    if bits.flag():
        return _sections(size, _GROUP_PX, 1)
    _expect(not bits.choice(_KINDS), "a hidden frame")
    is_modular = bits.flag()
    _expect(not bits.long() & ~_SKIPS_SMOOTHING, "noise, patches, splines or another frame's means")
    if not is_xyb and bits.flag():
        bits.take(6)  # subsampling of YCbCr
    factor = bits.choice(_FACTORS)
    group_px = _GROUP_PX
    if is_modular:
        group_px = _GROUP_PX // 2 << bits.take(2)
    elif is_xyb:
        bits.take(6)  # scales of X and B
    passes = _passes(bits)
    _expect(not bits.flag(), "a frame of another size")
    _expect(not bits.choice(_BLENDINGS), "a frame that is blended")
    _expect(bits.flag(), "more than one frame")
    _expect(not bits.choice(_NAME_LENGTHS), "a named frame")
    _check_filter(bits, is_modular)
    _expect(not bits.long(), "extensions")
    inner = Size(-(-size.width // factor), -(-size.height // factor))
    return _sections(inner, group_px, passes)


def _passes(bits: _HeaderBits) -> int:
    passes = bits.choice(_FEW_OR_MORE)
    if passes > 1:
        downsamplings = bits.choice(_DOWNSAMPLINGS)
        bits.take(2 * (passes - 1))
        for forms in (_FACTORS, _LAST_PASSES):
            for _ in range(downsamplings):
                bits.choice(forms)
    return passes


def _check_filter(bits: _HeaderBits, is_modular: bool) -> None:
    """Refuse filters with weights of their own.

    A modular frame's filter has a strength of two bytes, which is allowed.
    """
    if bits.flag():
        return
    if bits.flag():
        _expect(not bits.flag(), "a smoothing of its own")
    if bits.take(2):
        own = [bits.flag() for _ in range(2 if is_modular else 3)]
        _expect(not any(own), "an edge filter of its own")
        if is_modular:
            bits.take(16)
    _expect(not bits.long(), "extensions")


def _sections(size: Size, group_px: int, passes: int) -> int:
    """Return the number of sections of a frame.

    One if there is one group and one pass. Otherwise two for the whole frame, one for each large group, and
    one for each group and pass.
    """
    groups, large = (
        -(-size.width // side) * -(-size.height // side) for side in (group_px, group_px * _GROUPS_ACROSS)
    )
    count = 2 + large + groups * passes
    _expect(count <= _MOST_GROUPS, "more sections than a decoder takes")
    return 1 if groups == passes == 1 else count
