"""Measuring segmenters against labels: pixels, tiles that a conversion would blank, and added brightness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency import available_cores
from wsicomp.geometry import Region, Size
from wsicomp.slide import Pixels, Slide
from wsicomp.stages import StageProgress, untold
from wsicomp.tissue.glass import GlassGuard, TileKind, fit_glass_color, survey_glass
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.outline import outlined, shaded
from wsicomp.tissue.scale import MPP_AT_1X, ReadingScale, choose_scale, stated_mpp
from wsicomp.tissue.segment import Overview, Segmenter, read_overview
from wsicomp.training.brightness import BrightenedSlide
from wsicomp.training.labels import GLASS, TISSUE, Truth, open_truth
from wsicomp.training.scores import Agreement, agreement, inner_tissue
from wsicomp.training.table import LabelledSlide

TILE_UM = 128.0
"""The side of a tile of 256 px at 20x: what a conversion removes at once."""

_COARSER = 1.15
_PICTURE_PX = 900
_TRUE, _FOUND, _REMOVED = (0, 150, 60), (220, 0, 160), (90, 140, 255)

Segmenters = Callable[[LabelledSlide, float], Mapping[str, Segmenter]]
"""What makes the segmenters for a slide and a magnification, by their names in the tables."""


@dataclass(frozen=True, slots=True)
class Score:
    """One method on one slide at one magnification, against labels at that scale."""

    name: str
    method: str
    magnification: float
    mpp: float
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class TileCost:
    """What a conversion with one method would do to one slide, in tiles of 128 x 128 um.

    `inner_px` are true tissue pixels farther than 20 um from the border, at the slide's own scale; `lost_px`
    those on tiles that would be blanked, `lost_by_mask_px` those that would be without the guard.
    `glass_tiles` are tiles whose every labelled pixel is glass; `kept_tiles` of them stay,
    `kept_by_mask_tiles` for the mask's sake.
    """

    name: str
    method: str
    remarks: str
    inner_px: int
    lost_by_mask_px: int
    lost_px: int
    glass_tiles: int
    kept_by_mask_tiles: int
    kept_tiles: int


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """Dice of one method on one slide with grey levels added to every pixel."""

    name: str
    method: str
    added: int
    dice: float


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured, in the order of the table."""

    scores: tuple[Score, ...]
    costs: tuple[TileCost, ...]
    sweep: tuple[SweepPoint, ...]


@dataclass(frozen=True)
class EvaluationSettings:
    """What to measure: tile costs and brightness are measured at the first magnification."""

    magnifications: tuple[float, ...] = (2.5,)
    brightness: tuple[int, ...] = ()
    margin_um: float = 50.0


def evaluate(
    rows: Sequence[LabelledSlide],
    segmenters: Segmenters,
    settings: EvaluationSettings,
    pictures: Path | None,
    progress: StageProgress,
) -> Evaluation:
    """Measure every segmenter on every labelled slide; with `pictures`, an overlay a slide goes there.

    Raises:
        SlideReadError: a slide cannot be read.
        MaskError: its labels cannot be read or do not fit.
    """
    scores: list[Score] = []
    costs: list[TileCost] = []
    sweep: list[SweepPoint] = []
    for number, row in enumerate(rows):
        truth = open_truth(row, TILE_UM)
        with closing(truth.slide):
            overview = read_overview(truth.slide, available_cores(), untold)
            for place, magnification in enumerate(_magnifications(truth, settings)):
                for method, segmenter in segmenters(row, magnification).items():
                    mask = segmenter.segment(truth.slide, overview, available_cores(), untold)
                    scores.append(_score(row, method, truth, mask, magnification))
                    if place > 0:
                        continue
                    cost, removed = _tile_cost(row, truth, overview, method, mask, settings)
                    costs.append(cost)
                    if pictures is not None:
                        _draw(pictures / f"{row.name}-{method}.jpg", truth, overview, mask, removed)
            sweep += _sweep(row, truth, segmenters, settings)
        progress(number + 1, len(rows))
    return Evaluation(tuple(scores), tuple(costs), tuple(sweep))


def _magnifications(truth: Truth, settings: EvaluationSettings) -> Iterator[float]:
    """The first always, at the slide's own scale if that is coarser; others where the slide has them."""
    for place, magnification in enumerate(settings.magnifications):
        scale = choose_scale(truth.slide.info, MPP_AT_1X / magnification)
        if place == 0 or scale.mpp * magnification <= MPP_AT_1X * _COARSER:
            yield magnification


def _score(row: LabelledSlide, method: str, truth: Truth, mask: TissueMask, magnification: float) -> Score:
    scale = choose_scale(truth.slide.info, MPP_AT_1X / magnification)
    return Score(row.name, method, magnification, scale.mpp, _agreement(truth, scale, mask))


def _agreement(truth: Truth, scale: ReadingScale, mask: TissueMask) -> Agreement:
    level, whole = truth.slide.info.levels[scale.level].size, truth.slide.info.size
    x = (np.arange(scale.size.width) + 0.5) * scale.factor * whole.width / level.width
    y = (np.arange(scale.size.height) + 0.5) * scale.factor * whole.height / level.height
    labels = truth.at(scale, Region(0, 0, scale.size.width, scale.size.height))
    return agreement(mask.at(x, y), labels)


def _tile_cost(
    row: LabelledSlide,
    truth: Truth,
    overview: Overview,
    method: str,
    mask: TissueMask,
    settings: EvaluationSettings,
) -> tuple[TileCost, NDArray[np.bool_]]:
    """The cost, and which tiles of level 0 would be blanked, (rows, columns) of its grid."""
    info = truth.slide.info
    level, mpp = info.levels[0], stated_mpp(info)[0]
    margin_px = settings.margin_um / mpp
    wide = mask.dilated(margin_px)
    guard = GlassGuard(info, fit_glass_color(overview, mask), margin_px)
    kinds = survey_glass(truth.slide, wide, guard, available_cores(), untold).kinds[0]
    blank, blank_by_mask = kinds == TileKind.GLASS, wide.coverage(level) == 0
    labels = truth.at(ReadingScale(0, 1, level.size, mpp), Region(0, 0, level.size.width, level.size.height))
    inner = inner_tissue(labels, mpp)
    is_glass = _all_in_tile(labels == GLASS, level.tile, blank.shape)
    cost = TileCost(
        row.name,
        method,
        row.remarks,
        inner_px=int(inner.sum()),
        lost_by_mask_px=int((inner & _over_pixels(blank_by_mask, level.tile, labels.shape)).sum()),
        lost_px=int((inner & _over_pixels(blank, level.tile, labels.shape)).sum()),
        glass_tiles=int(is_glass.sum()),
        kept_by_mask_tiles=int((is_glass & ~blank_by_mask).sum()),
        kept_tiles=int((is_glass & ~blank).sum()),
    )
    return cost, blank


def _over_pixels(tiles: NDArray[np.bool_], tile: Size, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A flag for each pixel from one for each tile."""
    rows, columns = np.arange(shape[0]) // tile.height, np.arange(shape[1]) // tile.width
    return np.asarray(tiles[rows[:, None], columns])


def _all_in_tile(flags: NDArray[np.bool_], tile: Size, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Whether all pixels of a tile are flagged."""
    down, across = shape[0] * tile.height - flags.shape[0], shape[1] * tile.width - flags.shape[1]
    padded = np.pad(flags, ((0, down), (0, across)), constant_values=True)
    return np.asarray(padded.reshape(shape[0], tile.height, shape[1], tile.width).all(axis=(1, 3)))


def _sweep(
    row: LabelledSlide, truth: Truth, segmenters: Segmenters, settings: EvaluationSettings
) -> Iterator[SweepPoint]:
    magnification = settings.magnifications[0]
    scale = choose_scale(truth.slide.info, MPP_AT_1X / magnification)
    for added in settings.brightness:
        slide: Slide = BrightenedSlide(truth.slide, added)
        overview = read_overview(slide, available_cores(), untold)
        for method, segmenter in segmenters(row, magnification).items():
            mask = segmenter.segment(slide, overview, available_cores(), untold)
            yield SweepPoint(row.name, method, added, _agreement(truth, scale, mask).dice)


def _draw(path: Path, truth: Truth, overview: Overview, mask: TissueMask, removed: NDArray[np.bool_]) -> None:
    """True outline green, found outline magenta, removed tiles blue."""
    from PIL import Image

    level = truth.slide.info.levels[0]
    reduction = max(1, -(-max(overview.pixels.shape[:2]) // _PICTURE_PX))
    pixels: Pixels = overview.pixels[::reduction, ::reduction]
    rows, columns = pixels.shape[:2]
    y = (np.arange(rows) + 0.5) * level.size.height / rows // level.tile.height
    x = (np.arange(columns) + 0.5) * level.size.width / columns // level.tile.width
    picture = shaded(pixels, removed[y.astype(np.intp)[:, None], x.astype(np.intp)], _REMOVED, 0.35)
    picture = outlined(picture, truth.labels == TISSUE, _TRUE, 1)
    picture = outlined(picture, mask.pixels, _FOUND, 1)
    Image.fromarray(picture).save(path, "JPEG", quality=88)
