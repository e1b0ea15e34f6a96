"""Makes the index of an original while its pieces are stored, and packs what lies between pictures."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import imagecodecs
import numpy as np

from wsicomp.formats.converted.tile_digests import tile_digest
from wsicomp.formats.originals.forms import BLOCK_BYTES, STORED, ZSTD, UnitForm
from wsicomp.formats.originals.index import ExtentTable, RebuildIndex, UnitTable, Whole
from wsicomp.plan.provenance import DIGEST_BYTES

_LEVEL = 19


class IndexBuilder:
    """Collects extents in the original's order, and units in any order; `index` is what they make.

    >>> from wsicomp.formats.originals.forms import STORED
    >>> builder = IndexBuilder()
    >>> builder.add_extent(builder.add_unit(STORED, 8, 3, b"abc"), 0, 3)
    >>> builder.index().total_bytes
    3
    """

    def __init__(self) -> None:
        self._forms: dict[UnitForm, int] = {}
        self._units, self._extents, self._digests = array("q"), array("q"), bytearray()

    def begin_unit(self) -> int:
        """Return the number of a unit that is stored later, by `end_unit`."""
        self._units.extend((0, 0, 0, 0))
        self._digests += bytes(DIGEST_BYTES)
        return len(self._digests) // DIGEST_BYTES - 1

    def end_unit(self, number: int, form: UnitForm, offset: int, count: int, unpacked: bytes) -> None:
        """State where a unit is: `count` stored bytes at `offset`."""
        row = (offset, count, len(unpacked), self._forms.setdefault(form, len(self._forms)))
        self._units[4 * number : 4 * number + 4] = array("q", row)
        self._digests[DIGEST_BYTES * number : DIGEST_BYTES * (number + 1)] = tile_digest(unpacked)

    def add_unit(self, form: UnitForm, offset: int, count: int, unpacked: bytes) -> int:
        """Add a unit of `count` stored bytes at `offset`; return its number."""
        number = self.begin_unit()
        self.end_unit(number, form, offset, count, unpacked)
        return number

    def add_extent(self, unit: int, offset: int, length: int) -> None:
        """Add the next bytes of the original: `length` of what a unit unpacks to, from `offset` on."""
        self._extents.extend((unit, offset, length))

    def index(self) -> RebuildIndex:
        """Return the index of all that was added."""
        offsets, counts, lengths, forms = _columns(self._units, 4)
        units = UnitTable(offsets, counts, lengths, forms, bytes(self._digests))
        return RebuildIndex(tuple(self._forms), units, ExtentTable(*_columns(self._extents, 3)))


class BlockPacker:
    """Packs bytes that are no picture into blocks, each a unit, and adds them to the index as they come.

    `offset` is where the next stored byte comes in our file. Who writes other units in between moves it on.
    """

    def __init__(self, builder: IndexBuilder, offset: int) -> None:
        self.offset = offset
        self._builder, self._held, self._unit = builder, bytearray(), -1

    def add(self, data: bytes) -> Iterator[bytes]:
        """Add the original's next bytes; yield the blocks that are full, packed."""
        view = memoryview(data)
        while view:
            if not self._held:
                self._unit = self._builder.begin_unit()
            taken = view[: BLOCK_BYTES - len(self._held)]
            self._builder.add_extent(self._unit, len(self._held), len(taken))
            self._held += taken
            view = view[len(taken) :]
            if len(self._held) == BLOCK_BYTES:
                yield self._packed()

    def end(self) -> Iterator[bytes]:
        """Yield the last block, which is not full."""
        if self._held:
            yield self._packed()

    def _packed(self) -> bytes:
        data = bytes(self._held)
        self._held.clear()
        packed, form = bytes(imagecodecs.zstd_encode(data, level=_LEVEL)), ZSTD
        if len(packed) >= len(data):
            packed, form = data, STORED
        self._builder.end_unit(self._unit, form, self.offset, len(packed), data)
        self.offset += len(packed)
        return packed


def _columns(rows: array[int], count: int) -> Whole:
    return np.ascontiguousarray(np.array(rows, np.int64).reshape(-1, count).T)
