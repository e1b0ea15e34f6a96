"""Foretell a packed slide without writing it, from some of the pieces that it would have."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from itertools import chain, islice
from pathlib import Path

import numpy as np

from wsicomp.comparison.forecast import Foretold
from wsicomp.comparison.stratified import Draw, Estimate, Floats, Numbers, draw_strata, total
from wsicomp.concurrency.threads import ordered_map
from wsicomp.conversion.outcome import Outcome, Tissue
from wsicomp.conversion.report import PACKED_OPENS_IN
from wsicomp.formats.packed.pieces import slide_pieces
from wsicomp.formats.packed.slide_bytes import OpenPart, opened_parts
from wsicomp.formats.packed.units import SharedRebuilding, packed_units
from wsicomp.formats.slide_files import OF_SEVERAL_FILES, slide_parts

_DRAWN, _LEAST, _SEED = 64, 10, 0
_FRAME_BYTES, _FILE_BYTES, _PIECE_BYTES = 1600, 300, 20
"""About what a packed slide takes for itself, for a file's entry, and for a piece's."""
_FURTHER_PASSES = 3
"""How often packing goes over all bytes: to identify, to pack, to rebuild."""


def forecast_pack(source: Path, workers: int) -> Foretold:
    """Return what packing a slide will be, by about 64 of its pieces; nothing is written.

    Of a DICOM series it is the part of this file alone, for a tree has its other files, too.

    Raises:
        SlideReadError: a file of the slide cannot be read.
    """
    paths = slide_parts(source) if source.suffix.lower() in OF_SEVERAL_FILES else (source,)
    start = time.perf_counter()
    with opened_parts(paths) as parts:
        draw = _draw(parts)
        found = time.perf_counter()
        packed = _packed_bytes(parts, draw, workers)
    spent = (time.perf_counter() - found) * _scale(draw, packed)
    size = total(draw, packed) if len(packed) else Estimate(0, 0, 0)
    size = size.plus(_FRAME_BYTES + _FILE_BYTES * len(paths) + _PIECE_BYTES * len(packed))
    return Foretold(
        outcome=Outcome(Tissue.BYTES, "", None, 0, PACKED_OPENS_IN, reversible=True),
        source_bytes=sum(part.total_bytes for part in parts),
        target_bytes=round(size.value),
        target_bytes_low=int(size.low),
        target_bytes_high=round(size.high + 0.5),
        takes_source=False,
        seconds=(found - start) * _FURTHER_PASSES + spent,
        made_tiles=int(np.isfinite(packed).sum()),
    )


def _draw(parts: Sequence[OpenPart]) -> Draw:
    """Draw pieces by kind and size."""
    kinds, sizes = defaultdict[str, list[int]](list), list[int]()
    for piece in slide_pieces(parts):
        kinds[type(piece).__name__].append(len(sizes))
        sizes.append(len(piece.data))
    cells: list[Numbers] = [np.array(numbers, np.intp) for numbers in kinds.values()]
    if not cells:
        return Draw((), np.zeros(0))
    known: Floats = np.array(sizes, np.float64)
    return draw_strata(cells, known, _DRAWN, np.random.default_rng(_SEED), least=_LEAST)


def _packed_bytes(parts: Sequence[OpenPart], draw: Draw, workers: int) -> Floats:
    """Return (pieces,): the bytes of each drawn piece when it is packed, NaN for the others."""
    packed = np.full(len(draw.known), np.nan)
    if not draw.strata:
        return packed
    wanted = draw.drawn.tolist()
    chosen = set(wanted)
    pieces = islice(slide_pieces(parts), wanted[-1] + 1)
    drawn = (piece for number, piece in enumerate(pieces) if number in chosen)
    with closing(ordered_map(packed_units, drawn, workers)) as results:
        found = [units for _, units in results]
    rebuilding = SharedRebuilding()
    for unit in chain.from_iterable(found):  # so that even the first has seen what others have in common
        rebuilding.shared(unit)
    for number, units in zip(wanted, found, strict=True):
        packed[number] = sum(len(rebuilding.shared(unit).stored) for unit in units)
    return packed


def _scale(draw: Draw, packed: Floats) -> float:
    """Return how many times the bytes of the drawn pieces all of them have."""
    made = draw.known[np.isfinite(packed)].sum()
    return float(draw.known.sum() / made) if made else 1.0
