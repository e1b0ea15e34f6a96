"""What is tissue and what is glass on a slide: overview, segmenter, guard."""

from __future__ import annotations

from dataclasses import dataclass

from wsicomp.config import ConversionConfig
from wsicomp.progress import StageProgress, Stages
from wsicomp.slide import Slide
from wsicomp.tissue.glass import (
    GlassColor,
    GlassGuard,
    TileClasses,
    TileKind,
    classify_tiles,
    fit_glass_color,
)
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.mask_reader import read_mask
from wsicomp.tissue.overview import Overview, read_overview
from wsicomp.tissue.padding import find_padding, without_padding
from wsicomp.tissue.scale import margin_in_px
from wsicomp.tissue.segmenters.base import Segmenter
from wsicomp.tissue.segmenters.threshold import ThresholdSegmenter
from wsicomp.tissue.segmenters.unet import UnetSegmenter
from wsicomp.tissue.segmenters.weights import SHIPPED


@dataclass(frozen=True)
class Findings:
    """What is tissue and what is glass on a slide, whatever is then made of it.

    `tissue` is the mask without its margin, `mask` with it; `color` is how bare glass looks.
    """

    tissue: TissueMask
    mask: TissueMask
    color: GlassColor
    guard: GlassGuard
    classes: TileClasses

    @property
    def rescued_tiles(self) -> int:
        """Tiles of all levels that the mask called glass and the guard kept."""
        return sum(int((kinds == TileKind.RESCUED).sum()) for kinds in self.classes.kinds)


def find_glass(slide: Slide, config: ConversionConfig, stages: Stages) -> Findings:
    """Look for tissue, and then at every tile that the mask calls glass.

    Raises:
        MaskError, SlideReadError, WeightsError: as `prepare`.
    """
    tissue, color, black = inspect_overview(slide, config, stages)
    margin_px = margin_in_px(slide.info, config.tissue.margin_um)
    mask = tissue.dilated(margin_px)
    guard = GlassGuard(slide.info, color, margin_px, black)
    with stages.stage("survey") as progress:
        classes = classify_tiles(slide, mask, guard, config.run.workers, progress)
    return Findings(tissue, mask, color, guard, classes)


def inspect_overview(
    slide: Slide, config: ConversionConfig, stages: Stages
) -> tuple[TissueMask, GlassColor, TissueMask]:
    """The tissue without margin, how bare glass looks, and where the slide is filled with black.

    The overview for all of them ends with this call.
    """
    if config.tissue.mask is None:
        _segmenter(config).check(slide)
    with stages.stage("overview") as progress:
        overview = read_overview(slide, config.run.workers, progress)
        padding = find_padding(overview)
    with stages.stage("segment") as progress:
        tissue = find_tissue(slide, overview, config, progress)
        if config.tissue.mask is None:
            tissue = without_padding(tissue, padding.black)
    return tissue, fit_glass_color(overview, tissue, padding), padding.black


def find_tissue(
    slide: Slide, overview: Overview, config: ConversionConfig, progress: StageProgress
) -> TissueMask:
    """The tissue, without margin: from the mask file if there is one, else by the segmenter."""
    if config.tissue.mask is not None:
        return read_mask(config.tissue.mask, slide.info.size)
    return _segmenter(config).segment(slide, overview, config.run.workers, progress)


def _segmenter(config: ConversionConfig) -> Segmenter:
    if config.tissue.segmenter == "threshold":
        return ThresholdSegmenter()
    return UnetSegmenter(
        config.tissue.weights or SHIPPED,
        config.tissue.magnification,
        config.tissue.hole_um,
        config.tissue.speck_um,
    )
