"""All that rebuilds a source beside the tiles and strips that its conversion holds already.

Tiles and strips are the target's own. All other bytes of the source, its directories, gaps and whatever else
is in it, are appended to the target in blocks, and behind them the index of all pieces.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from wsicomp.formats.converted.reader import written_directories
from wsicomp.formats.originals.forms import STORED, UnitForm
from wsicomp.formats.originals.writing import BlockPacker, IndexBuilder
from wsicomp.formats.tiff.directories import TiffFile, read_directories
from wsicomp.formats.tiff.reader import TiffSlide
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.plan.provenance import Restoration

_STEP_BYTES, _NO_FORM = 1 << 20, -1


class Remainder(Protocol):
    """All that rebuilds a source beside what its conversion holds: blocks, and behind them their index."""

    def blocks(self, offset: int) -> Iterator[bytes]:
        """Yield the blocks; the first one is to be written at `offset`."""
        ...

    def index(self) -> bytes:
        """Return the index, once all blocks are written."""
        ...


def write_remainder(
    file: BinaryIO, remainder: Remainder, check_room: Callable[[int], None] = lambda _: None
) -> Restoration:
    """Write a remainder at the end of a file, where the file stands; return its place.

    `check_room` is called with the bytes that come next.

    Raises:
        SlideReadError: what is to be written cannot be read.
        OSError: the file system refuses.
    """
    offset = file.tell()
    for block in remainder.blocks(offset):
        check_room(len(block))
        file.write(block)
    index = remainder.index()
    check_room(len(index))
    file.write(index)
    return Restoration(offset, file.tell() - offset, hashlib.sha256(index).hexdigest(), len(index))


class SourceRemainder:
    """All that rebuilds a source beside the tiles and strips that its conversion holds already.

    `blocks` are to be written behind the images of the file at `partial`; then `index`. In an outline, whose
    size is to be told, a byte stands for each tile.

    Memory: eight numbers for each tile, and two blocks.
    """

    def __init__(
        self, source: TiffSlide, plan: ConversionPlan, partial: Path, is_outline: bool = False
    ) -> None:
        self._source, self._plan, self._partial, self._is_outline = source, plan, partial, is_outline
        self._builder = IndexBuilder()

    def blocks(self, offset: int) -> Iterator[bytes]:
        """Yield the bytes of the source that no tile or strip of the target holds, in packed blocks.

        The first one is to be written at `offset`.

        Raises:
            SlideReadError: the source cannot be read.
        """
        packer, at = BlockPacker(self._builder, offset), 0
        with closing(TiffFile(self._partial)) as target:
            for piece in _pieces(self._source, self._plan, self._partial):
                data = self._source.file.read(piece.offset, piece.count, f"byte {piece.offset}")
                stored = target.read(piece.stored_offset, piece.stored_count, "a tile")
                is_outlined = self._is_outline and piece.form is None and len(stored) == 1
                form = STORED if stored == data or is_outlined else piece.form
                if form is None:
                    continue
                yield from self._between(packer, at, piece.offset)
                unit = self._builder.add_unit(form, piece.stored_offset, len(stored), data)
                self._builder.add_extent(unit, 0, len(data))
                at = piece.offset + piece.count
            yield from self._between(packer, at, self._plan.source.bytes)
            yield from packer.end()

    def _between(self, packer: BlockPacker, start: int, end: int) -> Iterator[bytes]:
        for at in range(start, end, _STEP_BYTES):
            count = min(_STEP_BYTES, end - at)
            yield from packer.add(self._source.file.read(at, count, f"byte {at}"))

    def index(self) -> bytes:
        """Return the index, once all blocks are written."""
        return self._builder.index().to_bytes()


@dataclass(frozen=True)
class _Piece:
    """A range of the source that a tile or strip of the target may rebuild."""

    offset: int
    count: int
    stored_offset: int
    stored_count: int
    form: UnitForm | None
    """How the target stores it where it has not the very bytes; None where it cannot be rebuilt then."""


def _pieces(source: TiffSlide, plan: ConversionPlan, partial: Path) -> Iterator[_Piece]:
    """Yield what the target's tiles and strips hold, in the source's order, no two of the same bytes."""
    written = written_directories(read_directories(partial))
    rows, forms = [], _Forms()
    for directory, part in zip(written, plan.directories, strict=True):
        if isinstance(part, LevelPlan):
            if part.reduction > 1:
                continue
            ranges, numbers = source.tile_ranges(part.source_level), forms.of_level(part)
        else:
            ranges = source.strip_ranges(part)
            numbers = np.full(len(ranges), _NO_FORM)
        if len(ranges) == len(directory.ranges):
            rows.append(np.column_stack([ranges, directory.ranges, numbers]))
    table = np.concatenate(rows) if rows else np.empty((0, 5), np.int64)
    table = table[(table[:, 1] > 0) & (table[:, 3] > 0)]
    end = 0
    for offset, count, stored_offset, stored_count, number in table[
        np.argsort(table[:, 0], kind="stable")
    ].tolist():
        if offset >= end:  # tiles that share bytes, wholly or in part, come from the first of them
            end = offset + count
            yield _Piece(offset, count, stored_offset, stored_count, forms.form(number))


class _Forms:
    """The forms of transcoded tiles, by numbers."""

    def __init__(self) -> None:
        self._forms: list[UnitForm] = []

    def of_level(self, plan: LevelPlan) -> NDArray[np.int64]:
        """Return the number of each tile's form, in raster order; `_NO_FORM` if it is not transcoded."""
        numbers = np.full(plan.grid.count, _NO_FORM)
        for recipe, one in enumerate(plan.recipes):
            is_packed = plan.takes(recipe) & (plan.actions == TileAction.TRANSCODE.value)
            numbers[is_packed.reshape(-1)] = len(self._forms)
            self._forms.append(UnitForm("tile", one.shown, plan.tile, jbrd=one.shared))
        return numbers

    def form(self, number: int) -> UnitForm | None:
        """Return the form of a number."""
        return None if number == _NO_FORM else self._forms[number]
