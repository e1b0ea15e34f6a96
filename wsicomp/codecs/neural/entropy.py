"""Entropy coding of integers by tables of integers: the same bytes on every machine.

Decoding uses no floating-point result that could differ between machines: tables are stored with the model as
frequencies that add up to 2^16, and the table of each symbol is given by an integer, too. The coder is
constriction's asymmetric numeral system: 32-bit words, 64 bits of state, memory-safe on any bytes.

Source: CompressAI's `EntropyModel`, whose kind of tables these are; Duda 2009 and Bamler 2022 (the coder).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency.forks import fork_safe_property

PRECISION = 16
"""The binary logarithm of the sum of a table's frequencies."""

Integers = NDArray[np.int32]

_COUNT = struct.Struct("<I")
_LEAST, _MOST = -(1 << 15), (1 << 15) - 1
_TOTAL = 1 << PRECISION


@dataclass(frozen=True)
class SymbolTables:
    """The probabilities of symbols, in several tables.

    Raises:
        ValueError: there are no tables, their numbers differ, or frequencies are below 1 or do not add up.
    """

    frequencies: tuple[Integers, ...] = field(repr=False)
    """An array for each table. Its last frequency stands for all values that have none of their own."""
    offsets: Integers = field(repr=False)
    """The value of each table's first frequency."""

    def __post_init__(self) -> None:
        if not self.frequencies or self.offsets.shape != (len(self.frequencies),):
            raise ValueError("tables and offsets of different numbers")
        if np.abs(self.offsets.astype(np.int64)).max() > _MOST:
            raise ValueError("a table of values over 16 bits")
        for table in self.frequencies:
            if table.ndim != 1 or len(table) < 2 or table.min() < 1 or int(table.sum()) != _TOTAL:
                raise ValueError("a table whose frequencies do not add up")

    @classmethod
    def from_flat(cls, flat: NDArray[Any], lengths: NDArray[Any], offsets: NDArray[Any]) -> SymbolTables:
        """Return tables given as one array of frequencies and the length of each table.

        Raises:
            ValueError: the lengths do not add up, or the tables are not sound.
        """
        if lengths.ndim != 1 or int(lengths.astype(np.int64).sum()) != len(flat):
            raise ValueError("tables whose lengths do not add up")
        parts = np.split(flat.astype(np.int32), np.cumsum(lengths.astype(np.int64))[:-1])
        return cls(tuple(parts), offsets.astype(np.int32))

    @classmethod
    def from_cdf(cls, cdf: NDArray[Any], lengths: NDArray[Any], offsets: NDArray[Any]) -> SymbolTables:
        """Return tables from CompressAI's buffers: a row of cumulative frequencies for each, with its length.

        Raises:
            ValueError: the shapes do not fit, or the tables are not sound.
        """
        if cdf.ndim != 2 or lengths.shape != (len(cdf),) or (lengths > cdf.shape[1]).any():
            raise ValueError("tables and offsets of different numbers")
        rows = tuple(np.diff(row[:length]).astype(np.int32) for row, length in zip(cdf, lengths, strict=True))
        return cls(rows, offsets.astype(np.int32))

    def __len__(self) -> int:
        return len(self.frequencies)

    @fork_safe_property
    def _last(self) -> Integers:
        """The symbol of each table that stands for all other values."""
        return np.array([len(table) - 1 for table in self.frequencies], np.int32)

    @fork_safe_property
    def _models(self) -> list[Any]:
        categorical = _stream().model.Categorical
        return [categorical(table / float(_TOTAL), perfect=False) for table in self.frequencies]

    def encode(self, values: Integers, indexes: Integers) -> bytes:
        """Return values, clipped to 16 bits, as a string; `indexes` has the number of each value's table.

        The string has 4 bytes with the number of values that their table lacks, 2 bytes for each of them,
        then the coder's words, all little endian. Values that share a table are coded together, in the order
        of the tables.
        """
        order, groups = _grouped(indexes.reshape(-1))
        values = np.clip(values.reshape(-1)[order], _LEAST, _MOST)
        tables = indexes.reshape(-1)[order]
        last = self._last[tables]
        symbols = values - self.offsets[tables]
        beyond = (symbols < 0) | (symbols >= last)
        symbols = np.where(beyond, last, symbols).astype(np.int32)
        coder = _stream().stack.AnsCoder()
        for table, start, end in reversed(groups):
            coder.encode_reverse(symbols[start:end], self._models[table])
        words: NDArray[np.uint32] = coder.get_compressed()
        escaped = values[beyond].astype("<i2").tobytes()
        return b"".join((_COUNT.pack(len(escaped) // 2), escaped, words.astype("<u4").tobytes()))

    def decode(self, string: bytes, indexes: Integers) -> Integers:
        """Return the values that were encoded, in the shape of `indexes`.

        Raises:
            ValueError: the string is damaged, or was encoded with other tables or another number of values.
        """
        count = _COUNT.unpack_from(string)[0] if len(string) >= _COUNT.size else len(string)
        start = _COUNT.size + 2 * count
        if start > len(string) or (len(string) - start) % 4:
            raise ValueError(f"a string of {len(string)} bytes: damaged")
        escaped, coded = np.frombuffer(string[_COUNT.size : start], "<i2"), string[start:]
        order, groups = _grouped(indexes.reshape(-1))
        coder = _stream().stack.AnsCoder(np.frombuffer(coded, "<u4").astype(np.uint32))
        symbols = np.empty(indexes.size, np.int32)
        for table, first, end in groups:
            symbols[first:end] = coder.decode(self._models[table], end - first)
        if not coder.is_empty():
            raise ValueError("coded bytes are left over: damaged, or of another model")
        tables = indexes.reshape(-1)[order]
        beyond = symbols == self._last[tables]
        if int(beyond.sum()) != count:
            raise ValueError(f"{int(beyond.sum())} values beyond the tables, {count} stored: damaged")
        symbols += self.offsets[tables]
        symbols[beyond] = escaped
        values = np.empty_like(symbols)
        values[order] = symbols
        return values.reshape(indexes.shape)

    def estimates(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return about how many bits a value costs with each table, as three arrays of (tables,).

        A 0 costs the first; other values cost the second more, and the third more for each unit of magnitude.
        """
        found = []
        for table, offset in zip(self.frequencies, self.offsets, strict=True):
            likely = table / _TOTAL
            values = np.abs(np.arange(len(table)) + offset).astype(np.float64)
            features = np.stack([np.ones_like(values), values > 0, values], axis=1)
            weight = np.sqrt(likely)[:, None]
            bits = -np.log2(likely)[:, None]
            found.append(np.linalg.lstsq(features * weight, bits * weight, rcond=None)[0][:, 0])
        base, other, each = np.array(found, np.float32).T
        return base, other, each


@dataclass(frozen=True)
class ClassedTables:
    """Tables for the latents of a factorised prior, by channel and by the class of their place.

    A class is a kind of content of a place of 16 x 16 px, such as glass or dense nuclei. The encoder sends
    the class with which the latents there take the fewest bits.

    Raises:
        ValueError: the parts do not fit each other.
    """

    tables: SymbolTables
    """The tables of values."""
    of: Integers
    """(classes, channels): the number of the table for each."""
    classes: SymbolTables | None
    """The table of the classes themselves; None if there is only one class."""

    def __post_init__(self) -> None:
        if (
            self.of.ndim != 2
            or not self.of.size
            or not 0 <= self.of.min() <= self.of.max() < len(self.tables)
        ):
            raise ValueError("classes of tables that do not exist")
        known = 1 if self.classes is None else len(self.classes.frequencies[0]) - 1
        if known != len(self.of) or (self.classes is not None and len(self.classes) != 1):
            raise ValueError(f"{known} classes, expected {len(self.of)}")

    @property
    def channels(self) -> int:
        """The number of channels of the latents."""
        return int(self.of.shape[1])

    def encode(self, values: Integers) -> tuple[bytes, ...]:
        """Return latents, (channels, rows, columns), as one or two strings.

        A string of classes comes first, if there are several; then one of values.
        """
        if self.classes is None:
            return (self.tables.encode(values, self._indexes(np.zeros(values.shape[1:], np.int32))),)
        kinds = self._chosen(values)
        string = self.classes.encode(kinds, np.zeros_like(kinds))
        return (string, self.tables.encode(values, self._indexes(kinds)))

    def decode(self, strings: Sequence[bytes], shape: tuple[int, int]) -> Integers:
        """Return the latents of `shape`, (rows, columns).

        Raises:
            ValueError: the strings are not those of such latents.
        """
        expected = 1 if self.classes is None else 2
        if len(strings) != expected:
            raise ValueError(f"{len(strings)} strings, expected {expected}")
        kinds = np.zeros(shape, np.int32)
        if self.classes is not None:
            kinds = self.classes.decode(strings[0], kinds)
            if kinds.min() < 0 or kinds.max() >= len(self.of):
                raise ValueError("a class that the model does not have")
        return self.tables.decode(strings[-1], self._indexes(kinds))

    def _indexes(self, kinds: Integers) -> Integers:
        return np.moveaxis(self.of[kinds], -1, 0)

    def estimated_bytes(self, values: Integers) -> float:
        """Return about how many bytes `encode` makes of latents, within some per cent."""
        if self.classes is None:
            base, other, each = (part[self.of[0]] for part in self.tables.estimates())
            magnitudes = np.minimum(np.abs(values).reshape(len(values), -1), _FAR)
            counts = (magnitudes > 0).sum(1), magnitudes.sum(1)
            return float(base.sum() * magnitudes.shape[1] + other @ counts[0] + each @ counts[1]) / 8
        return float(self._class_costs(values).min(0).sum()) / 8

    def _chosen(self, values: Integers) -> Integers:
        """Return the class of each place, by the estimated cost of its latents."""
        return np.asarray(self._class_costs(values).argmin(0), np.int32).reshape(values.shape[1:])

    def _class_costs(self, values: Integers) -> NDArray[np.float64]:
        """Return about how many bits each place takes in each class, (classes, places).

        They are exact sums of `_costs`: the count of threads among which a library divides them changes no
        bit, and so no byte of a tile.
        """
        base, weights = self._costs
        magnitudes = np.abs(values).reshape(len(values), -1).astype(np.float64)
        features = np.concatenate([magnitudes > 0, np.minimum(magnitudes, _FAR)])
        return np.asarray(base[:, None] + weights @ features, np.float64)

    @fork_safe_property
    def _costs(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Bits that a place costs in each class, as multiples of `_COST_UNIT`.

        (classes,): of the class and of zeros only. (classes, 2 * channels): more, for each channel that is
        not zero and for each unit of its magnitude.
        """
        assert self.classes is not None, "there are classes to choose from"
        base, other, each = self.tables.estimates()
        own = -np.log2(self.classes.frequencies[0][:-1] / _TOTAL).astype(np.float32)
        costs = own + base[self.of].sum(1), np.concatenate([other[self.of], each[self.of]], axis=1)
        whole, more = (np.rint(part.astype(np.float64) / _COST_UNIT) * _COST_UNIT for part in costs)
        return whole, more


_FAR = 32.0
"""The cost of larger values does not grow further when a class is chosen."""
_COST_UNIT = 2.0**-16
"""Bits: so coarse that sums of costs are exact in float64, and so fine that hardly a class is another."""


def _stream() -> Any:
    """Return the coder's library. Some machines lack it, and read tiles that fell back all the same."""
    import constriction  # noqa: PLC0415

    return constriction.stream


def _grouped(indexes: Integers) -> tuple[NDArray[np.intp], list[tuple[int, int, int]]]:
    """Return an order that puts equal indexes together, and (index, start, end) of each group."""
    if not indexes.size:
        return np.empty(0, np.intp), []
    order = np.argsort(indexes.astype(np.int16), kind="stable")
    ordered = indexes[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    ends = np.append(starts[1:], len(ordered))
    return order, [
        (int(ordered[start]), int(start), int(end)) for start, end in zip(starts, ends, strict=True)
    ]
