"""The worst tiles of a lossy conversion: each is compared with its source, one after the other.

It is done in the background while people look. Tiles come in a random order, so that what is known after a
while holds for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from heapq import heappush, heappushpop
from pathlib import Path
from typing import Any

import numpy as np

from wsicomp.codecs.quality import psnr, ssim_inside
from wsicomp.conversion.tissue_loss import source_tile_pixels
from wsicomp.errors import SlideReadError, TileReadError, WsicompError
from wsicomp.formats.base import Slide
from wsicomp.formats.converted.reader import ConvertedSlide
from wsicomp.formats.identity import slide_identity
from wsicomp.formats.opening import open_source
from wsicomp.geometry import TileIndex
from wsicomp.plan.conversion_plan import ConversionPlan
from wsicomp.plan.level_plan import TileAction
from wsicomp.slide import Pixels, SlideInfo
from wsicomp.text.figures import counted
from wsicomp.verification.painted_cells import CELL_PX, painted_cells
from wsicomp.viewer.layers.background import BackgroundWork
from wsicomp.viewer.layers.lossy_tiles import CodecNames, sample_lossy_tiles

MOST_LISTED = 50
"""The most tiles of a codec that are listed."""


@dataclass(frozen=True, order=True)
class MeasuredTile:
    """A tile that was compared with its source; the worse comes first in order."""

    ssim: float
    """Its SSIM, at most 1."""
    psnr: float
    """Its PSNR in dB; infinite where every pixel is the source's."""
    index: TileIndex
    """Its place."""


class _Codec:
    """What was measured of the tiles of one codec; a heap whose first tile is the best of the worst."""

    def __init__(self) -> None:
        self.tiles = 0
        self.ssim_sum = 0.0
        self._heap: list[tuple[float, float, TileIndex]] = []

    def add(self, tile: MeasuredTile) -> None:
        self.tiles += 1
        self.ssim_sum += tile.ssim
        entry = (-tile.ssim, -tile.psnr, tile.index)
        if len(self._heap) < MOST_LISTED:
            heappush(self._heap, entry)
        else:
            heappushpop(self._heap, entry)

    @property
    def worst(self) -> list[MeasuredTile]:
        """The worst tiles, the worst first."""
        return sorted(MeasuredTile(-ssim, -psnr, index) for ssim, psnr, index in self._heap)


class WorstTiles(BackgroundWork):
    """The worst tiles of each codec of a conversion, as far as they are known.

    Any thread may ask; one thread measures once `start` was called, until all tiles are measured or `stop` is
    called. `on_damaged` is told of each tile of the conversion that turns out to be damaged.

    The glass that was painted in a tile counts as equal: cells of 16 px that are nearer to the paint than to
    the source, as `verify` finds them. Blank and empty tiles are not compared.

    Memory: a tile of either file, and 50 entries for each codec and setting.
    """

    def __init__(
        self,
        converted: ConvertedSlide,
        source: Path,
        on_damaged: Callable[[TileIndex], None] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(self._measure_all)
        self._converted = converted
        self._source = source
        self._on_damaged = on_damaged
        self._seed = seed
        self._state, self._notes = "measuring", ["reading the source, to be sure that it is the one"]
        self._looked_at, self._of, self._not_compared = 0, 0, 0
        self._codecs: dict[str, _Codec] = {}

    def worst(self) -> dict[str, list[MeasuredTile]]:
        """Return the worst tiles known of each codec, the worst first."""
        with self._lock:
            return {name: codec.worst for name, codec in self._codecs.items()}

    def to_json(self) -> dict[str, Any]:
        """Return state, progress, figures of each codec, and the worst tiles of all, as JSON values.

        Regions are in level-0 pixels of the conversion. PSNR is None where every pixel is the source's.
        """
        with self._lock:
            codecs = {
                name: (codec.tiles, codec.ssim_sum, codec.worst) for name, codec in self._codecs.items()
            }
            notes = list(self._notes)
            if self._not_compared:
                notes.append(f"{counted(self._not_compared, 'tile')} could not be compared: damaged")
            found = {
                "state": self._state,
                "reason": "; ".join(notes),
                "measured": self._looked_at,
                "of": self._of,
            }
        tiles = [(tile, name) for name, (_, _, worst) in codecs.items() for tile in worst]
        return found | {
            "codecs": [
                {"codec": name, "tiles": tiles, "mean_ssim": total / tiles, "least_ssim": worst[0].ssim}
                for name, (tiles, total, worst) in codecs.items()
            ],
            "tiles": [self._tile_json(tile, name) for tile, name in sorted(tiles)],
        }

    def _tile_json(self, tile: MeasuredTile, name: str) -> dict[str, Any]:
        levels, index = self._converted.info.levels, tile.index
        level, whole = levels[index.level], levels[0].size
        region = level.grid.region(index.column, index.row)
        wide, high = whole.width / level.size.width, whole.height / level.size.height
        return {
            "level": index.level,
            "column": index.column,
            "row": index.row,
            "x": round(region.x * wide),
            "y": round(region.y * high),
            "width": round(region.width * wide),
            "height": round(region.height * high),
            "codec": name,
            "ssim": tile.ssim,
            "psnr": tile.psnr if math.isfinite(tile.psnr) else None,
        }

    def _measure_all(self, work: BackgroundWork) -> None:
        """Measure all tiles; called on the background thread."""
        try:
            self._measured(work)
        except WsicompError as exc:
            self._end("unavailable", exc.message)
        finally:
            with self._lock:
                if self._state == "measuring":
                    self._state = "unavailable"
                    self._notes = ["it was stopped before all tiles were measured"]

    def _measured(self, work: BackgroundWork) -> None:
        provenance = self._converted.provenance
        is_direct = _is_direct(self._source, provenance.plan, work)
        with closing(open_source(self._source, self._converted.info.path)) as source:
            _check_levels(provenance.plan, source.info)
            sample = sample_lossy_tiles(provenance, is_direct, self._seed)
            notes = [] if is_direct else ["it was converted from a conversion of this source"]
            if sample.count < sample.of:
                notes.append(f"a random sample of {counted(sample.of, 'tile')}")
            with self._lock:
                self._notes, self._of = notes, sample.count
            names = CodecNames(provenance)
            for index in sample.indices(provenance):
                work.check()
                self._add(names.of(index), self._compared(source, index))
        self._end("done", *([] if sample.count else ["every tile is exact"]), *notes)

    def _compared(self, source: Slide, index: TileIndex) -> MeasuredTile | None:
        """Return what a tile is beside its source; None if either is damaged."""
        plan = self._converted.provenance.plan
        level = plan.levels[index.level]
        try:
            decoded = self._converted.read_tile(index)
        except TileReadError:
            if self._on_damaged is not None:
                self._on_damaged(index)
            return None
        try:
            truth = source_tile_pixels(source, level, index)
        except TileReadError:
            return None
        visible = level.grid.region(index.column, index.row).size
        here, there = (
            np.ascontiguousarray(pixels[: visible.height, : visible.width]) for pixels in (decoded, truth)
        )
        if level.action(index) is TileAction.MASK_AND_ENCODE:
            there = _with_equal_paint(here, there, plan, index)
        return MeasuredTile(ssim_inside(there, here, visible), psnr(there, here), index)

    def _add(self, name: str, tile: MeasuredTile | None) -> None:
        with self._lock:
            self._looked_at += 1
            if tile is None:
                self._not_compared += 1
            else:
                self._codecs.setdefault(name, _Codec()).add(tile)

    def _end(self, state: str, *notes: str) -> None:
        with self._lock:
            self._state, self._notes = state, list(notes)


def _is_direct(source: Path, plan: ConversionPlan, work: BackgroundWork) -> bool:
    """Return whether a file is what was converted; False for the file behind it, of which it was made.

    Raises:
        SlideReadError: it is neither, or cannot be read.
        WorkStoppedError: the work was told to stop.
    """
    size, sha256 = slide_identity(source, lambda _done, _of: work.check())
    if sha256 == plan.source.sha256:
        return True
    if sha256 != plan.source.origin_sha256:
        found = f"this file of {size} bytes is not the one of {plan.source.bytes} bytes that was converted"
        raise SlideReadError(found, source)
    return False


def _check_levels(plan: ConversionPlan, source: SlideInfo) -> None:
    """Check that the source has the levels of which a conversion was made.

    Raises:
        SlideReadError: it has not.
    """
    for level in plan.levels:
        is_there = level.source_level < len(source.levels) and level.reduction > 0
        if not is_there or source.levels[level.source_level].size.reduced(level.reduction) != level.size:
            message = f"it has no level of which level {level.number} of the conversion can be made"
            raise SlideReadError(message, source.path)


def _with_equal_paint(here: Pixels, there: Pixels, plan: ConversionPlan, index: TileIndex) -> Pixels:
    """Return the source's pixels of a tile, and the tile's own where its glass was painted."""
    cells = painted_cells(here, there, plan.color(index))
    rows, columns = here.shape[:2]
    painted = cells.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)[:rows, :columns]
    return np.where(painted[..., None], here, there)
