"""Finds the regions that keep a quality of their own: in a file, or by what finds tissue."""

from __future__ import annotations

import numpy as np

from wsicomp.config import ConversionConfig, RegionConfig
from wsicomp.formats.base import Slide
from wsicomp.progress import Stages
from wsicomp.regions.class_table import read_class_table
from wsicomp.regions.reader import read_regions
from wsicomp.regions.reading import RegionReading
from wsicomp.regions.regions import RegionClass, Regions
from wsicomp.slide import SlideInfo
from wsicomp.tissue.findings import Findings, inspect_overview
from wsicomp.tissue.mask import TissueMask


def find_regions(
    slide: Slide, config: ConversionConfig, findings: Findings | None, stages: Stages
) -> Regions | None:
    """Return the regions that the config names; None where it names none.

    `findings` are the slide's tissue and glass, if they were looked for.

    Raises:
        MaskError: the file cannot be read or does not fit the slide.
        ConfigError: the table of classes cannot be read.
        WeightsError: a network is missing, damaged, or cannot run.
        SlideReadError: the slide cannot be read.
    """
    if config.regions.roi is None:
        return None
    if config.regions.word == "tissue":
        tissue = findings.tissue if findings else inspect_overview(slide, config, stages)[0]
        return Regions.of_mask(tissue)
    with stages.stage("regions"):
        return _read(slide.info, config.regions)


def stated_regions(slide: Slide, config: ConversionConfig) -> Regions | None:
    """Return the regions that the config names as far as files tell; found ones are nowhere.

    Raises:
        MaskError: the file cannot be read or does not fit the slide.
        ConfigError: the table of classes cannot be read.
    """
    if config.regions.roi is None:
        return None
    if not config.regions.word:
        return _read(slide.info, config.regions)
    size = slide.info.size
    nowhere = TissueMask(np.zeros((1, 1), np.bool_), size, size.width, size.height, config.regions.word)
    return Regions((RegionClass(config.regions.word, nowhere),), config.regions.word)


def _read(info: SlideInfo, config: RegionConfig) -> Regions:
    assert config.roi is not None, "regions are named"
    table = None if config.roi_classes is None else read_class_table(config.roi_classes)
    options = RegionReading(config.roi_margin_um, table, config.offset, config.roi_mpp, config.roi_threshold)
    return read_regions(config.roi, info, options)
