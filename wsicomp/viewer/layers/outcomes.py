"""What became of each tile of a conversion: a code for each tile, and a legend of the codes.

It knows the file's own record alone. Which tiles are damaged since, whoever reads them tells.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsicomp.geometry import TileIndex
from wsicomp.plan.level_plan import LevelPlan, TileAction
from wsicomp.plan.provenance import LevelRecord, Provenance


class TileCode(enum.IntEnum):
    """The code of what became of a tile; 0 is left for "nothing is said"."""

    COPIED = 1
    TRANSCODED = 2
    KEPT = 3
    LOSSLESS = 4
    ENCODED = 5
    REGION_ENCODED = 6
    PAINTED = 7
    FELL_BACK = 8
    REGION_EXACT = 9
    BLANK = 10
    EMPTY = 11
    LOST = 12
    FLAWED = 13
    DAMAGED = 14


@dataclass(frozen=True)
class LegendEntry:
    """An entry of the legend."""

    code: TileCode
    """The code of its tiles."""
    name: str
    """What became of them, in a word or few."""
    meaning: str
    """The same in a sentence."""
    color: str
    """Their colour, as CSS writes it: "#rrggbb"."""
    is_gone: bool = False
    """Whether nothing is kept of such tiles."""


LEGEND = (
    LegendEntry(TileCode.COPIED, "copied", "The source's bytes, untouched.", "#0000ff"),
    LegendEntry(
        TileCode.TRANSCODED,
        "transcoded",
        "Repacked without loss: the source's bytes or pixels come back exactly.",
        "#50ffff",
    ),
    LegendEntry(
        TileCode.KEPT,
        "kept",
        "It could not be repacked, and stays as the source encoded it.",
        "#a050ff",
    ),
    LegendEntry(
        TileCode.LOSSLESS,
        "encoded without loss",
        "Encoded anew by a lossless codec: every pixel is the source's.",
        "#50c850",
    ),
    LegendEntry(TileCode.ENCODED, "encoded", "Encoded anew by a lossy codec.", "#ff5000"),
    LegendEntry(
        TileCode.REGION_ENCODED,
        "encoded for a region",
        "Encoded anew by the lossy codec that was chosen for a region.",
        "#a02800",
    ),
    LegendEntry(
        TileCode.PAINTED,
        "painted",
        "Its glass was painted in one colour, then it was encoded.",
        "#ffe600",
    ),
    LegendEntry(
        TileCode.FELL_BACK,
        "fell back",
        "The codec was not true enough to it at any quality, so another codec encoded it.",
        "#ff28c8",
    ),
    LegendEntry(
        TileCode.REGION_EXACT,
        "exact for a region",
        "A region keeps every pixel of it.",
        "#c8ffa0",
    ),
    LegendEntry(
        TileCode.BLANK,
        "blank glass",
        "Glass: it shows one colour, and takes no bytes of its own.",
        "#78a078",
        is_gone=True,
    ),
    LegendEntry(
        TileCode.EMPTY,
        "empty",
        "No bytes: glass that was taken out, or a tile that the source lacks too.",
        "#505050",
        is_gone=True,
    ),
    LegendEntry(
        TileCode.LOST,
        "lost",
        "The source's tile could not be decoded, so it shows background.",
        "#500000",
    ),
    LegendEntry(
        TileCode.FLAWED,
        "flawed",
        "The source's tile decodes only in part, and is stored as far as it does.",
        "#7800a0",
    ),
    LegendEntry(
        TileCode.DAMAGED,
        "damaged",
        "Its bytes are not those that were written; take the file from a copy.",
        "#000028",
    ),
)
"""All codes.

Any two colours are told apart by people who see no red, no green or no blue, on white and on stained tissue.
"""

_BY_ACTION = {
    TileAction.COPY: TileCode.COPIED,
    TileAction.TRANSCODE: TileCode.TRANSCODED,
    TileAction.ENCODE: TileCode.ENCODED,
    TileAction.MASK_AND_ENCODE: TileCode.PAINTED,
    TileAction.BLANK: TileCode.BLANK,
    TileAction.EMPTY: TileCode.EMPTY,
}
_REPORTED = {
    "copied": TileCode.COPIED,
    "transcoded": TileCode.TRANSCODED,
    "kept": TileCode.KEPT,
    "lost": TileCode.LOST,
    "encoded": TileCode.ENCODED,
    "whitened": TileCode.PAINTED,
    "blank": TileCode.BLANK,
    "empty": TileCode.EMPTY,
}
_WITHOUT_OWN_BYTES = (TileCode.BLANK, TileCode.EMPTY, TileCode.LOST)

Codes = NDArray[np.uint8]
"""(rows, columns) of a level's tile grid: a `TileCode` for each tile."""


@dataclass(frozen=True)
class LevelOutcomes:
    """What became of the tiles of one level, as the file records it."""

    codes: Codes
    """The code of each tile."""
    reported: Mapping[str, int]
    """The counts of the conversion's report, by its names.

    The report tells less apart: what is "encoded" there has several codes here.
    """

    @classmethod
    def of(cls, plan: LevelPlan, record: LevelRecord) -> LevelOutcomes:
        """Return the outcomes of a level, from its plan and the record of its tiles."""
        codes = _reported_codes(plan, record)
        found = np.bincount(codes.reshape(-1), minlength=len(TileCode) + 1)
        reported = {name: int(found[code]) for name, code in _REPORTED.items()}
        reported["fell back"] = 0 if record.guarded is None else len(record.guarded.fell_back)
        return cls(_in_detail(codes, plan, record), reported)


def _reported_codes(plan: LevelPlan, record: LevelRecord) -> Codes:
    """Return the codes that the report tells apart."""
    codes = np.zeros(plan.actions.shape, np.uint8)
    for action, code in _BY_ACTION.items():
        codes[plan.actions == action.value] = code
    flat = codes.reshape(-1)
    flat[list(record.kept)] = TileCode.KEPT
    flat[list(record.renewed)] = TileCode.ENCODED
    flat[list(record.lost)] = TileCode.LOST
    return codes


def _in_detail(reported: Codes, plan: LevelPlan, record: LevelRecord) -> Codes:
    """Return all codes: how exact encoded tiles are, whose region they are in, and what went otherwise."""
    codes = reported.copy()
    renewed = np.zeros(codes.shape, np.bool_)
    renewed.reshape(-1)[list(record.renewed)] = True
    for number, recipe in enumerate(plan.recipes):
        encoded = (reported == TileCode.ENCODED) & plan.takes(number) & ~renewed
        if recipe.is_exact and plan.reduction == 1:
            codes[encoded] = TileCode.LOSSLESS
        elif recipe.region:
            codes[encoded] = TileCode.REGION_ENCODED
    exact = np.isin(codes, (TileCode.COPIED, TileCode.TRANSCODED, TileCode.KEPT, TileCode.LOSSLESS))
    codes[exact & plan.kept_exact] = TileCode.REGION_EXACT
    flat = codes.reshape(-1)
    for guarded in (record.guarded, *record.guarded_by_recipe):
        flat[list(() if guarded is None else guarded.fell_back)] = TileCode.FELL_BACK
    flat[list(record.flawed)] = TileCode.FLAWED
    flat[list(record.lost)] = TileCode.LOST
    return codes


class SlideOutcomes:
    """What became of the tiles of a conversion, and which of them are known to be damaged since.

    May be called from several threads at once. Memory: a byte for each tile of the levels asked for.
    """

    def __init__(self, provenance: Provenance) -> None:
        self._provenance = provenance
        self._lock = Lock()
        self._levels: dict[int, LevelOutcomes] = {}

    def codes(self, level: int) -> bytes:
        """Return the codes of a level's tiles in raster order, damaged ones too: a byte for each tile.

        Raises:
            IndexError: the conversion has no such level.
        """
        with self._lock:
            return self._level(level).codes.tobytes()

    def counts(self, level: int) -> dict[str, int]:
        """Return the count of tiles by the legend's names, without those that no tile has.

        Raises:
            IndexError: the conversion has no such level.
        """
        with self._lock:
            found = np.bincount(self._level(level).codes.reshape(-1), minlength=len(TileCode) + 1)
        return {entry.name: int(found[entry.code]) for entry in LEGEND if found[entry.code]}

    def note_damaged(self, index: TileIndex) -> None:
        """Note that a tile's bytes are not those that were written; a tile without bytes stays as it is."""
        with self._lock:
            codes = self._level(index.level).codes
            if codes[index.row, index.column] not in _WITHOUT_OWN_BYTES:
                codes[index.row, index.column] = TileCode.DAMAGED

    def to_json(self) -> dict[str, Any]:
        """Return the legend of all codes, and each level's grid and counts, as JSON values."""
        plans = self._provenance.plan.levels
        return {
            "legend": [vars(entry) for entry in LEGEND],
            "levels": [self._level_json(plan) for plan in plans],
        }

    def _level_json(self, plan: LevelPlan) -> dict[str, Any]:
        with self._lock:
            reported = self._level(plan.number).reported
        return {
            "level": plan.number,
            "columns": plan.grid.columns,
            "rows": plan.grid.rows,
            "tile_width": plan.tile.width,
            "tile_height": plan.tile.height,
            "width": plan.size.width,
            "height": plan.size.height,
            "downsample": plan.as_level(self._provenance.plan.levels[0].size).downsample,
            "counts": self.counts(plan.number),
            "reported": dict(reported),
        }

    def _level(self, number: int) -> LevelOutcomes:
        """Return a level's outcomes; the lock is held."""
        plans = self._provenance.plan.levels
        if not 0 <= number < len(plans):
            raise IndexError(f"level {number}, expected one of 0 to {len(plans) - 1}")
        if number not in self._levels:
            self._levels[number] = LevelOutcomes.of(plans[number], self._provenance.levels[number])
        return self._levels[number]
