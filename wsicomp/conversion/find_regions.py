"""Finds the regions that keep a quality of their own: in a file, or by what finds tissue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wsicomp.config import ConversionConfig
from wsicomp.formats.base import Slide
from wsicomp.progress import StageProgress, Stages
from wsicomp.regions.class_table import read_class_table
from wsicomp.regions.reader import read_regions
from wsicomp.regions.reading import RegionReading
from wsicomp.regions.regions import RegionClass, Regions
from wsicomp.slide import Level, SlideInfo
from wsicomp.tissue.findings import Findings, inspect_overview
from wsicomp.tissue.mask import TissueMask
from wsicomp.tissue.prompts import read_prompt
from wsicomp.tissue.scale import margin_in_px
from wsicomp.tissue.segmenters.sam.segmenter import SamSegmenter, outline

_HARDLY_ANY = 0.1


def find_regions(
    slide: Slide, config: ConversionConfig, findings: Findings | None, stages: Stages
) -> Regions | None:
    """Return the regions that the config names; None where it names none.

    `findings` are the slide's tissue and glass, if they were looked for.

    Raises:
        MaskError: the file cannot be read or does not fit the slide.
        ConfigError: the table of classes cannot be read, or a prompt does not lie on the slide.
        MissingExtraError: the extra sam is not installed.
        WeightsError: a network is missing, damaged, or cannot run.
        SlideReadError: the slide cannot be read.
    """
    if config.regions.roi is None:
        return None
    if config.regions.word == "tissue":
        tissue = findings.tissue if findings else inspect_overview(slide, config, stages)[0]
        return Regions.of_mask(_with_margin(tissue, slide.info, config))
    with stages.stage("regions") as progress:
        if config.regions.word == "sam":
            return _outlined(slide, config, progress)
        return _read(slide.info, config)


def check_prompt(slide: Slide, config: ConversionConfig) -> None:
    """Refuse what Segment Anything cannot outline on a slide, before a pixel of it is read.

    Raises:
        ConfigError: the prompt does not lie on the slide, or its file of points cannot be read.
        MissingExtraError: the extra sam is not installed.
        WeightsError: the weights are missing.
    """
    if config.regions.word == "sam":
        SamSegmenter(read_prompt(config.prompts), config.prompts.sam_weights).check(slide)


def _outlined(slide: Slide, config: ConversionConfig, progress: StageProgress) -> Regions:
    prompt, weights = read_prompt(config.prompts), config.prompts.sam_weights
    mask = outline(slide, prompt, weights, config.run.workers, progress)
    return Regions.of_mask(_with_margin(mask, slide.info, config), "region")


def _with_margin(mask: TissueMask, info: SlideInfo, config: ConversionConfig) -> TissueMask:
    margin_px = margin_in_px(info, config.regions.roi_margin_um)
    return mask.dilated(margin_px) if margin_px else mask


def stated_regions(slide: Slide, config: ConversionConfig) -> Regions | None:
    """Return the regions that the config names as far as files tell; found ones are nowhere.

    Raises:
        MaskError: the file cannot be read or does not fit the slide.
        ConfigError: the table of classes cannot be read.
    """
    if config.regions.roi is None:
        return None
    if not config.regions.word:
        return _read(slide.info, config)
    size = slide.info.size
    nowhere = TissueMask(np.zeros((1, 1), np.bool_), size, size.width, size.height, config.regions.word)
    return Regions((RegionClass(config.regions.word, nowhere),), config.regions.word)


def _read(info: SlideInfo, config: ConversionConfig) -> Regions:
    own = config.regions
    assert own.roi is not None, "regions are named"
    table = None if own.roi_classes is None else read_class_table(own.roi_classes)
    options = RegionReading(own.roi_margin_um, table, own.offset, own.roi_mpp, own.roi_threshold)
    found = read_regions(own.roi, info, options)
    return _numbered(found) if config.output.deidentify else found


def _numbered(regions: Regions) -> Regions:
    """Return the regions with numbers in the place of names that people gave them: the file carries them."""
    classes = [replace(each, name=f"region {number}") for number, each in enumerate(regions.classes, 1)]
    return Regions(tuple(classes), regions.source, ("classes of regions are numbered: names can tell who",))


def with_notes_on_glass(regions: Regions, tissue: TissueMask, level: Level) -> Regions:
    """Return the regions with a note for each class of whose tiles hardly any have tissue.

    `level` is the slide's largest.
    """
    has_tissue = tissue.coverage(level) > 0
    found = regions.of_tiles(level)
    notes = []
    for number, each in enumerate(regions.classes, 1):
        own = found == number
        part = float(has_tissue[own].mean()) if own.any() else 0.0
        if part < _HARDLY_ANY:
            notes.append(
                f"of the tiles of region {each.name} {part:.0%} have tissue: is it drawn on this slide?"
            )
    return replace(regions, notes=(*regions.notes, *notes))
