"""Evaluation of segmenters against labels: pixels, tiles that a conversion would blank, added brightness."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsicomp.concurrency.threads import available_cores
from wsicomp.formats.base import Slide
from wsicomp.formats.stated_scale import MPP_AT_1X
from wsicomp.geometry import Region
from wsicomp.progress import StageProgress, no_progress
from wsicomp.slide import Pixels
from wsicomp.tissue.glass_color import fit_glass_color
from wsicomp.tissue.glass_guard import GlassGuard
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.overlay import outlined, shaded, tiles_to_pixels
from wsicomp.tissue.overview import Overview, read_overview
from wsicomp.tissue.padding import find_padding
from wsicomp.tissue.scale import (
    ReadingScale,
    check_mask_size,
    choose_scale,
    margin_in_px,
    stated_mpp,
)
from wsicomp.tissue.segmenters.base import Segmenter
from wsicomp.tissue.tile_classes import TileKind, classify_tiles
from wsicomp.training.data.labels import GLASS, TISSUE, Labels, Truth, open_truth
from wsicomp.training.data.slide_table import LabelledSlide
from wsicomp.training.tissue.brightness import BrightenedSlide
from wsicomp.training.tissue.scores import BORDER_UM, Agreement, agreement, inner_tissue

TILE_UM = 128.0
"""The side of a picture's tiles, as of 256 px at 20x; a slide has its own tiles."""

_MARGIN_UM = 50.0
"""The margin that a conversion leaves around tissue."""
_PICTURE_PX = 900
_TRUE, _FOUND, _REMOVED = (0, 150, 60), (220, 0, 160), (90, 140, 255)

Segmenters = Callable[[LabelledSlide, float], Mapping[str, Segmenter]]
"""Make the segmenters for a slide and a magnification, by their names in the tables."""


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one method on one slide at one magnification, against labels at that scale."""

    name: str
    """The slide's name."""
    method: str
    """What found the tissue."""
    magnification: float
    """The magnification."""
    mpp: float
    """um per px of the picture that was segmented."""
    agreement: Agreement
    """How far found and labelled tissue agree."""


@dataclass(frozen=True, slots=True)
class TileCost:
    """The cost of a conversion of one slide with one method, in tiles of level 0."""

    name: str
    """The slide's name."""
    method: str
    """What found the tissue."""
    remarks: str
    """What is hard about the slide."""
    inner_px: int
    """True tissue pixels farther than 20 um from the border, at the slide's own scale."""
    lost_by_mask_px: int
    """Those of `inner_px` that the mask alone, without the guard, would blank."""
    lost_px: int
    """Those of `inner_px` on tiles that would be blanked."""
    glass_tiles: int
    """Tiles whose labelled pixels are all glass."""
    kept_by_mask_tiles: int
    """Those of `glass_tiles` that the mask keeps."""
    kept_tiles: int
    """Those of `glass_tiles` that stay."""


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """Dice of one method on one slide with grey levels added to every pixel."""

    name: str
    """The slide's name."""
    method: str
    """What found the tissue."""
    added: int
    """The grey levels added."""
    dice: float
    """Dice, in [0, 1]."""


@dataclass(frozen=True)
class Evaluation:
    """The measurements, in the order of the table."""

    scores: tuple[Score, ...]
    """Agreement by slide, method and magnification."""
    costs: tuple[TileCost, ...]
    """Tiles lost and kept by slide and method."""
    sweep: tuple[SweepPoint, ...]
    """Dice over added grey levels; empty if it was not measured."""


@dataclass(frozen=True)
class EvaluationSettings:
    """The settings of an evaluation."""

    magnifications: tuple[float, ...] = (2.5,)
    """Tile costs and brightness are measured at the first one."""
    brightness: tuple[int, ...] = ()
    """Grey levels to add; empty for no such measurement."""


def evaluate(
    rows: Sequence[LabelledSlide],
    segmenters: Segmenters,
    settings: EvaluationSettings,
    pictures: Path | None,
    progress: StageProgress,
) -> Evaluation:
    """Measure every segmenter on every labelled slide.

    Where `pictures` is a folder, an overlay of each slide and method is written into it.

    Raises:
        SlideReadError: a slide cannot be read.
        MaskError: a slide's labels cannot be read or do not fit it.
        ConfigError: a mask would have more than 2^27 pixels at a magnification.
    """
    scores: list[Score] = []
    costs: list[TileCost] = []
    sweep: list[SweepPoint] = []
    for number, row in enumerate(rows):
        truth = open_truth(row, TILE_UM)
        with closing(truth.slide):
            tiles = _tile_truth(truth)
            overview = read_overview(truth.slide, available_cores(), no_progress)
            for place, (magnification, scale) in enumerate(_scales(truth, settings)):
                check_mask_size(scale)
                labels = _labels(truth, scale)
                for method, segmenter in segmenters(row, magnification).items():
                    mask = segmenter.segment(truth.slide, overview, available_cores(), no_progress)
                    found = _agreement(truth, scale, labels, mask)
                    scores.append(Score(row.name, method, magnification, scale.mpp, found))
                    if place > 0:
                        continue
                    cost, removed = _tile_cost(row, method, truth.slide, tiles, overview, mask)
                    costs.append(cost)
                    if pictures is not None:
                        _draw(pictures / f"{row.name}-{method}.jpg", truth, overview, mask, removed)
            sweep += _sweep(row, truth, segmenters, settings)
        progress(number + 1, len(rows))
    return Evaluation(tuple(scores), tuple(costs), tuple(sweep))


def _scales(truth: Truth, settings: EvaluationSettings) -> Iterator[tuple[float, ReadingScale]]:
    """Yield the first magnification and its scale, and those of the others that the slide reaches."""
    for place, magnification in enumerate(settings.magnifications):
        scale = choose_scale(truth.slide.info, MPP_AT_1X / magnification)
        if place == 0 or scale.reaches(magnification):
            yield magnification, scale


def _labels(truth: Truth, scale: ReadingScale) -> Labels:
    return truth.at(scale, Region(0, 0, scale.size.width, scale.size.height))


def _agreement(truth: Truth, scale: ReadingScale, labels: Labels, mask: TissueMask) -> Agreement:
    """Compare a mask with the labels of the whole slide at `scale`."""
    level, whole = truth.slide.info.levels[scale.level].size, truth.slide.info.size
    x = (np.arange(scale.size.width) + 0.5) * scale.factor * whole.width / level.width
    y = (np.arange(scale.size.height) + 0.5) * scale.factor * whole.height / level.height
    return agreement(mask.at(x, y), labels)


@dataclass(frozen=True)
class _TileTruth:
    """The inner tissue pixels of each tile of level 0, (rows, columns), and whether it is all glass."""

    inner_px: NDArray[np.int64]
    is_glass: NDArray[np.bool_]


def _tile_truth(truth: Truth) -> _TileTruth:
    """Count inner tissue and glass of each tile of level 0.

    Memory: the labels of one row of tiles and of their surroundings.
    """
    info = truth.slide.info
    level, mpp = info.levels[0], stated_mpp(info)[0]
    scale, grid = ReadingScale(0, 1, level.size, mpp), level.grid
    inner = np.zeros((grid.rows, grid.columns), np.int64)
    is_glass = np.zeros((grid.rows, grid.columns), np.bool_)
    reach = math.ceil(BORDER_UM / mpp) + 1
    starts = np.arange(0, level.size.width, level.tile.width)
    for row in range(grid.rows):
        y, height = (
            row * level.tile.height,
            min(level.tile.height, level.size.height - row * level.tile.height),
        )
        top, bottom = max(0, y - reach), min(level.size.height, y + height + reach)
        labels = truth.at(scale, Region(0, top, level.size.width, bottom - top))
        own = slice(y - top, y - top + height)
        inner[row] = np.add.reduceat(inner_tissue(labels, mpp)[own].sum(axis=0), starts)
        is_glass[row] = np.logical_and.reduceat((labels[own] == GLASS).all(axis=0), starts)
    return _TileTruth(inner, is_glass)


def _tile_cost(
    row: LabelledSlide,
    method: str,
    slide: Slide,
    tiles: _TileTruth,
    overview: Overview,
    mask: TissueMask,
) -> tuple[TileCost, NDArray[np.bool_]]:
    """Return the cost, and which tiles of level 0 would be blanked, (rows, columns)."""
    margin_px = margin_in_px(slide.info, _MARGIN_UM)
    wide = mask.dilated(margin_px)
    padding = find_padding(overview)
    guard = GlassGuard(slide.info, fit_glass_color(overview, mask, padding), margin_px, padding.black)
    blank = classify_tiles(slide, wide, guard, available_cores(), no_progress).kinds[0] == TileKind.GLASS
    blank_by_mask = wide.coverage(slide.info.levels[0]) == 0
    cost = TileCost(
        row.name,
        method,
        row.remarks,
        inner_px=int(tiles.inner_px.sum()),
        lost_by_mask_px=int(tiles.inner_px[blank_by_mask].sum()),
        lost_px=int(tiles.inner_px[blank].sum()),
        glass_tiles=int(tiles.is_glass.sum()),
        kept_by_mask_tiles=int((tiles.is_glass & ~blank_by_mask).sum()),
        kept_tiles=int((tiles.is_glass & ~blank).sum()),
    )
    return cost, blank


def _sweep(
    row: LabelledSlide, truth: Truth, segmenters: Segmenters, settings: EvaluationSettings
) -> Iterator[SweepPoint]:
    if not settings.brightness:
        return
    magnification = settings.magnifications[0]
    scale = choose_scale(truth.slide.info, MPP_AT_1X / magnification)
    labels = _labels(truth, scale)
    for added in settings.brightness:
        slide: Slide = BrightenedSlide(truth.slide, added)
        overview = read_overview(slide, available_cores(), no_progress)
        for method, segmenter in segmenters(row, magnification).items():
            mask = segmenter.segment(slide, overview, available_cores(), no_progress)
            yield SweepPoint(row.name, method, added, _agreement(truth, scale, labels, mask).dice)


def _draw(path: Path, truth: Truth, overview: Overview, mask: TissueMask, removed: NDArray[np.bool_]) -> None:
    """Write an overlay: true outline green, found outline magenta, removed tiles blue."""
    from PIL import Image

    level = truth.slide.info.levels[0]
    reduction = max(1, -(-max(overview.pixels.shape[:2]) // _PICTURE_PX))
    pixels: Pixels = overview.pixels[::reduction, ::reduction]
    rows, columns = pixels.shape[:2]
    picture = shaded(pixels, tiles_to_pixels(removed, level, (rows, columns)), _REMOVED, 0.35)
    picture = outlined(picture, truth.labels == TISSUE, _TRUE, 1)
    picture = outlined(picture, mask.pixels, _FOUND, 1)
    Image.fromarray(picture).save(path, "JPEG", quality=88)
