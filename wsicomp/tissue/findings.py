"""Find tissue and glass on a slide: overview, segmenter, guard."""

from __future__ import annotations

from dataclasses import dataclass

from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError
from wsicomp.formats.base import Slide
from wsicomp.progress import StageProgress, Stages
from wsicomp.tissue.bare_glass import BareGlass
from wsicomp.tissue.glass_color import GlassColor, fit_glass_color
from wsicomp.tissue.glass_guard import GlassGuard
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.mask_reader import read_mask
from wsicomp.tissue.overview import Overview, read_overview
from wsicomp.tissue.padding import find_padding, without_padding
from wsicomp.tissue.prompts import read_prompt
from wsicomp.tissue.scale import margin_in_px
from wsicomp.tissue.segmenters.base import Segmenter
from wsicomp.tissue.segmenters.sam.segmenter import SamSegmenter
from wsicomp.tissue.segmenters.threshold import ThresholdSegmenter
from wsicomp.tissue.segmenters.unet import UnetSegmenter
from wsicomp.tissue.segmenters.weights import SHIPPED
from wsicomp.tissue.tile_classes import TileClasses, TileKind, classify_tiles


@dataclass(frozen=True)
class Findings:
    """The tissue and the glass of a slide, whatever is written of it."""

    tissue: TissueMask
    """The mask without margin."""
    mask: TissueMask
    """The mask with its margin."""
    color: GlassColor
    """How bare glass looks, smoothed over the slide."""
    bare: BareGlass
    """How bare glass looks from place to place."""
    guard: GlassGuard
    """The guard that checked the tiles that the mask calls glass."""
    classes: TileClasses
    """The class of each tile."""

    @property
    def rescued_tiles(self) -> int:
        """The number of tiles, on all levels, that the mask called glass and the guard kept."""
        return sum(int((kinds == TileKind.RESCUED).sum()) for kinds in self.classes.kinds)


def find_glass(
    slide: Slide, config: ConversionConfig, stages: Stages, drawn: TissueMask | None = None
) -> Findings:
    """Find tissue, then check with the guard every tile that the mask calls glass.

    `drawn` is the tissue without margin, if it need not be found.

    Raises:
        MaskError: the mask file cannot be read or does not fit the slide.
        ConfigError: the mask would have more than 2^27 pixels, or Segment Anything is to find the tissue.
        WeightsError: the segmenter's network is missing, damaged, or cannot run.
        SlideReadError: the slide cannot be read.
    """
    if config.tissue.segmenter == "sam":
        raise ConfigError(
            "segmenter sam outlines what is pointed at, and all other tissue would be taken for glass; take "
            '`roi="sam"`, or `wsicomp.segment` without `audit`'
        )
    tissue, color, black, overview = inspect_overview(slide, config, stages, drawn)
    margin_px = margin_in_px(slide.info, config.tissue.margin_um)
    mask = tissue.dilated(margin_px)
    guard = GlassGuard(slide.info, color, margin_px, black)
    with stages.stage("survey") as progress:
        classes = classify_tiles(slide, mask, guard, config.run.workers, progress)
    fringed = black.dilated(2 * max(black.scale_x, black.scale_y))  # JPEG mixes it with glass
    bare = BareGlass(overview, (mask, classes.found, fringed))
    return Findings(tissue, mask, color, bare, guard, classes)


def inspect_overview(
    slide: Slide, config: ConversionConfig, stages: Stages, drawn: TissueMask | None = None
) -> tuple[TissueMask, GlassColor, TissueMask, Overview]:
    """Return the tissue without margin, the colour of bare glass, the padding with black, and the overview.

    `drawn` is the tissue without margin, if it need not be found.

    Raises:
        MaskError: the mask file cannot be read or does not fit the slide.
        ConfigError: the mask would have more than 2^27 pixels.
        WeightsError: the segmenter's network is missing, damaged, or cannot run.
        SlideReadError: the slide cannot be read.
    """
    is_found = config.tissue.mask is None and drawn is None
    if is_found:
        _segmenter(config).check(slide)
    with stages.stage("overview") as progress:
        overview = read_overview(slide, config.run.workers, progress)
        padding = find_padding(overview)
    with stages.stage("segment") as progress:
        tissue = find_tissue(slide, overview, config, progress) if drawn is None else drawn
        if is_found:
            tissue = without_padding(tissue, padding.black)
    return tissue, fit_glass_color(overview, tissue, padding), padding.black, overview


def find_tissue(
    slide: Slide, overview: Overview, config: ConversionConfig, progress: StageProgress
) -> TissueMask:
    """Return the tissue without margin: from the mask file if the config names one, else by the segmenter.

    Raises:
        MaskError: the mask file cannot be read or does not fit the slide.
        ConfigError: the mask would have more than 2^27 pixels.
        WeightsError: the segmenter's network is missing, damaged, or cannot run.
        SlideReadError: a part of the slide that the segmenter needs cannot be read.
    """
    if config.tissue.mask is not None:
        return read_mask(config.tissue.mask, slide.info.size, slide.info.file_size)
    return _segmenter(config).segment(slide, overview, config.run.workers, progress)


def _segmenter(config: ConversionConfig) -> Segmenter:
    if config.tissue.segmenter == "threshold":
        return ThresholdSegmenter()
    if config.tissue.segmenter == "sam":
        return SamSegmenter(read_prompt(config.prompts), config.prompts.sam_weights)
    return UnetSegmenter(
        config.tissue.weights or SHIPPED,
        config.tissue.magnification,
        config.tissue.hole_um,
        config.tissue.speck_um,
    )
