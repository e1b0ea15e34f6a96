"""Finds the regions that keep a quality of their own: in a file, or by what finds tissue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wsicomp.config import ConversionConfig
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
        return _read(slide.info, config)


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
