"""The index by which any byte of an original is found in the file that was made from it.

A *unit* is a range of stored bytes that unpacks by itself. An *extent* says which bytes of which unit come
next in the original. A restorable TIFF has a unit for each of its tiles, and a packed slide one for each JPEG
that it found; what lies between them is in blocks of their own. The index must not know what a unit holds.

It is stored as the bytes of its header, packed and unpacked (8 bytes each, little endian), the header as JSON
in Zstandard, the columns of both tables, and the units' digests. A column's numbers are laid out byte by
byte, all lowest bytes first, so that Zstandard finds the higher ones all equal.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Annotated, TypeAlias

import imagecodecs
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from wsicomp.concurrency.forks import fork_safe_property
from wsicomp.files.json_values import Offset, parsed_bytes, plain_bytes
from wsicomp.files.limits import budget_bytes
from wsicomp.formats.originals.forms import STORED, UnitForm
from wsicomp.plan.provenance import DIGEST_BYTES

_VERSION = 1
_LEVEL, _HEADER_LEVEL = 9, 19
_LENGTHS = struct.Struct("<QQ")
_MOST_HEADER_BYTES = 1 << 26
_MOST_FORMS = 10_000
_UNIT_COLUMNS = 4
MOST_BYTES = 1 << 52
"""More bytes than any original has; floating-point numbers count so many exactly."""
_MOST_BESIDE_BYTES, _MOST_RATIO = 1 << 30, 1000
"""The bytes that packed units may always unpack to, and the most for each packed byte."""
_BYTES_A_ROW = 128
"""The memory that a unit or an extent takes while the index is read."""

Whole: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class UnitTable:
    """The units, by columns of one length."""

    offsets: Whole
    """The offset of each one's first stored byte in our file."""
    counts: Whole
    """Its stored bytes."""
    lengths: Whole
    """The bytes that it unpacks to."""
    forms: Whole
    """The number of its form in `RebuildIndex.forms`."""
    digests: bytes = field(repr=False)
    """Eight bytes of BLAKE2b for each, over what it unpacks to."""

    def digest(self, number: int) -> bytes:
        """Return the digest of a unit."""
        return self.digests[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]


@dataclass(frozen=True)
class ExtentTable:
    """The extents in the original's order, by columns of one length; together they are all of its bytes."""

    units: Whole
    """The number of the unit that has the bytes."""
    offsets: Whole
    """The first of them in what the unit unpacks to."""
    lengths: Whole
    """Their count."""


@dataclass(frozen=True)
class RebuildIndex:
    """The places of an original's bytes, or of several files' bytes laid end to end."""

    forms: tuple[UnitForm, ...]
    """How units are stored."""
    units: UnitTable
    """Where they are stored."""
    extents: ExtentTable
    """What is made of them."""

    @fork_safe_property
    def ends(self) -> Whole:
        """The offset in the original behind each extent."""
        return np.cumsum(self.extents.lengths)

    @property
    def is_plausible(self) -> bool:
        """Whether it makes no more of its stored bytes than real files come to: zeros pack 20,000 times."""
        is_packed = np.array([form != STORED for form in self.forms], np.bool_)[self.units.forms]
        packed, made = int(self.units.counts[is_packed].sum()), int(self.units.lengths[is_packed].sum())
        return made <= max(_MOST_BESIDE_BYTES, packed * _MOST_RATIO)

    @property
    def total_bytes(self) -> int:
        """The bytes of the original."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def form(self, unit: int) -> UnitForm:
        """Return the form of a unit."""
        return self.forms[int(self.units.forms[unit])]

    def to_bytes(self) -> bytes:
        """Return the index as it is stored."""
        units, extents = self.units, self.extents
        behind = np.concatenate([[0], (units.offsets + units.counts)[:-1]])[: len(units.offsets)]
        is_whole = (extents.offsets == 0) & (extents.lengths == units.lengths[extents.units])
        columns = [
            _packed(column)
            for column in (
                units.offsets - behind,
                units.counts,
                units.lengths,
                units.forms,
                np.diff(extents.units, prepend=0),
                extents.offsets,
                np.where(is_whole, 0, extents.lengths),  # 0: all of its unit
            )
        ]
        counts = len(units.offsets), len(extents.units)
        stated = plain_bytes(_Header(_VERSION, *counts, self.forms, tuple(map(len, columns))))
        header = bytes(imagecodecs.zstd_encode(stated, level=_HEADER_LEVEL))
        lengths = _LENGTHS.pack(len(header), len(stated))
        return b"".join([lengths, header, *columns, units.digests])

    @classmethod
    def from_bytes(cls, data: bytes, file_bytes: int) -> RebuildIndex:
        """Return the index that `to_bytes` stored in a file of `file_bytes`.

        Memory: 128 bytes for each unit and extent; more than the machine has to spare is refused.

        Raises:
            ValueError: it is damaged, or leads out of the file or of a unit.
        """
        header, start = _unpacked_header(data)
        if header.version != _VERSION:
            raise ValueError(f"an index of version {header.version}, expected {_VERSION}; update wsicomp")
        if (rows := header.units + header.extents) * _BYTES_A_ROW > budget_bytes():
            raise ValueError(f"an index of {rows} rows, for which this machine has too little memory")
        if len(header.forms) > _MOST_FORMS:
            raise ValueError(f"an index of {len(header.forms)} forms, expected at most {_MOST_FORMS}")
        for form in header.forms:
            form.check()
        ends = list(accumulate(header.columns, initial=start))
        columns = [
            _unpacked(data[at:end], header.units if number < _UNIT_COLUMNS else header.extents)
            for number, (at, end) in enumerate(pairwise(ends))
        ]
        gaps, counts, lengths, forms, steps, offsets, extent_lengths = columns
        _check_numbers(forms, 0, len(header.forms), "form")
        numbers = np.cumsum(steps)
        _check_numbers(numbers, 0, header.units, "unit")
        units = UnitTable(np.cumsum(gaps + _before(counts)), counts, lengths, forms, data[ends[-1] :])
        whole = np.where(extent_lengths == 0, lengths[numbers], extent_lengths)
        index = cls(header.forms, units, ExtentTable(numbers, offsets, whole))
        index._check(file_bytes)
        return index

    def _check(self, file_bytes: int) -> None:
        """Check that all extents lie in their units, and these in the file; each byte of a unit comes once.

        Raises:
            ValueError: they do not.
        """
        units, extents = self.units, self.extents
        if len(units.digests) != DIGEST_BYTES * len(units.offsets):
            raise ValueError(f"{len(units.digests)} bytes of digests for {len(units.offsets)} units")
        _check_numbers(units.offsets, 0, file_bytes + 1, "offset")
        _check_numbers(units.counts, 1, file_bytes + 1, "count of bytes")
        _check_numbers(units.offsets + units.counts, 0, file_bytes + 1, "end")
        most = np.array([form.most_bytes or 0 for form in self.forms], np.int64)[units.forms]
        _check_numbers(units.lengths - np.where(most, most, units.counts), -MOST_BYTES, 1, "excess")
        _check_numbers(units.lengths, 1, MOST_BYTES, "length")
        _check_numbers(extents.offsets, 0, MOST_BYTES, "offset")
        _check_numbers(extents.lengths, 1, MOST_BYTES, "length")
        room = units.lengths[extents.units] - extents.offsets
        _check_numbers(extents.lengths - room, -MOST_BYTES, 1, "excess")
        _check_apart(units)
        _check_all_used(units, extents)


def _check_apart(units: UnitTable) -> None:
    """Check that no two units share a stored byte.

    Raises:
        ValueError: two do.
    """
    order = np.argsort(units.offsets, kind="stable")
    starts, ends = units.offsets[order], (units.offsets + units.counts)[order]
    if (starts[1:] < ends[:-1]).any():
        raise ValueError("units that share stored bytes")


def _check_all_used(units: UnitTable, extents: ExtentTable) -> None:
    """Check that each byte of each unit comes once, in the unit's order.

    Raises:
        ValueError: a byte comes twice, never, or before one that stands before it.
    """
    is_whole = extents.lengths == units.lengths[extents.units]
    uses = np.bincount(extents.units[is_whole], minlength=len(units.lengths))
    if not is_whole.all():
        parts = _whole_from_parts(units, extents, np.flatnonzero(~is_whole))
        uses += np.bincount(parts, minlength=len(units.lengths))
    if (uses != 1).any() or extents.offsets[is_whole].any():
        raise ValueError("bytes of a unit that come twice, or never")


def _whole_from_parts(units: UnitTable, extents: ExtentTable, places: Whole) -> Whole:
    """Return the units that the extents at these places make, each from its first byte to its last.

    Raises:
        ValueError: a unit's parts do not follow each other.
    """
    places = places[np.argsort(extents.units[places], kind="stable")]
    numbers, starts = extents.units[places], extents.offsets[places]
    ends = starts + extents.lengths[places]
    is_first = np.append(True, numbers[1:] != numbers[:-1])
    is_last = np.append(is_first[1:], True)
    follows = (starts[1:] == ends[:-1]) | is_first[1:]
    if (
        not follows.all()
        or starts[is_first].any()
        or (ends[is_last] != units.lengths[numbers[is_last]]).any()
    ):
        raise ValueError("parts of a unit that do not follow each other")
    made: Whole = numbers[is_first]
    return made


@dataclass(frozen=True)
class _Header:
    version: int
    units: Annotated[int, Meta(ge=0, lt=1 << 40)]
    extents: Annotated[int, Meta(ge=0, lt=1 << 40)]
    forms: tuple[UnitForm, ...]
    columns: Annotated[tuple[Offset, ...], Meta(min_length=7, max_length=7)]


def _unpacked_header(data: bytes) -> tuple[_Header, int]:
    """Return the header, and the offset of the first byte behind it.

    Raises:
        ValueError: it is damaged, or larger than any that wsicomp writes.
    """
    try:
        packed, length = _LENGTHS.unpack_from(data)
        if length > _MOST_HEADER_BYTES:
            raise ValueError(f"a header of {length} bytes, expected at most {_MOST_HEADER_BYTES}")
        end = _LENGTHS.size + packed
        text = bytes(imagecodecs.zstd_decode(data[_LENGTHS.size : end], out=length))
    except (RuntimeError, struct.error) as exc:
        raise ValueError(f"a header that is damaged ({exc})") from exc
    return parsed_bytes(text, _Header), end


def _before(counts: Whole) -> Whole:
    """Return for each unit the bytes of the one before it."""
    return np.concatenate([[0], counts[:-1]])[: len(counts)]


def _packed(column: Whole) -> bytes:
    planes = np.ascontiguousarray(column.astype("<i8").view(np.uint8).reshape(-1, 8).T)
    return bytes(imagecodecs.zstd_encode(planes.tobytes(), level=_LEVEL))


def _unpacked(data: bytes, count: int) -> Whole:
    """Return the numbers of a column.

    Raises:
        ValueError: it is damaged, or has another count of numbers.
    """
    try:
        found = bytes(imagecodecs.zstd_decode(data, out=8 * count)) if count else b""
    except RuntimeError as exc:
        raise ValueError(f"a column that is damaged ({exc})") from exc
    if len(found) != 8 * count:
        raise ValueError(f"a column of {len(found)} bytes, expected {8 * count}")
    planes = np.frombuffer(found, np.uint8).reshape(8, count)
    numbers: Whole = planes[0].astype(np.int64)
    for place in range(1, 8):
        if planes[place].any():
            numbers |= planes[place].astype(np.int64) << 8 * place
    return numbers


def _check_numbers(column: Whole, least: int, end: int, name: str) -> None:
    """Check that all numbers lie in [least, end).

    Raises:
        ValueError: one does not.
    """
    if len(column) and (int(column.min()) < least or int(column.max()) >= end):
        raise ValueError(f"a {name} of {column.min()} or {column.max()}, expected {least} to {end - 1}")
