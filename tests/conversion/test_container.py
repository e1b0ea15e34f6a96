"""Svs or tiff: one rule, by which a plan decides and a target's name is foretold."""

import pytest

from tests.drawn import forged
from wsicomp.batch.target_names import assign_targets
from wsicomp.codecs.registry import compression_info
from wsicomp.config import ConversionConfig
from wsicomp.conversion.container import container_by, could_be_svs
from wsicomp.conversion.prepare import prepare
from wsicomp.progress import Stages
from wsicomp.slide import APERIO_JPEG2000_RGB, JPEG, JPEGXL, WEBP

CHOICES = [
    {},
    {"codec": "copy"},
    {"codec": "jpeg"},
    {"codec": "jpeg", "lossless": True},
    {"codec": "jpeg2000"},
    {"codec": "jpegxl"},
    {"codec": "jpegxl", "lossless": True},
    {"codec": "webp"},
    {"codec": "none"},
    {"glass": "empty"},
    {"format": "tiff"},
    {"format": "svs"},
    {"codec": "jpegxl", "overview": "jpeg"},
]


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_the_name_that_is_foretold_fits_the_container_that_is_planned(slide, choices):
    config = forged.COPIED.changed(**choices)
    container = prepare(slide, config, Stages()).plan.container
    assert could_be_svs(config) == (container == "svs")
    target = assign_targets(["slide.svs"], config, {})["slide.svs"]
    assert target.endswith({"svs": "slide.svs", "tiff": ".svs.tiff"}[container])


@pytest.mark.parametrize(
    ("choices", "is_aperio", "compressions", "expected"),
    [
        ({}, True, [JPEG], "svs"),
        ({}, False, [JPEG], "tiff"),
        ({}, False, [APERIO_JPEG2000_RGB], "svs"),
        ({}, True, [APERIO_JPEG2000_RGB, JPEG], "svs"),
        ({}, False, [APERIO_JPEG2000_RGB, JPEG], "tiff"),
        ({}, True, [JPEG, JPEGXL], "tiff"),
        ({}, True, [WEBP], "tiff"),
        ({"glass": "empty"}, True, [JPEG], "tiff"),
        ({"format": "svs"}, False, [WEBP], "svs"),
        ({"format": "tiff"}, True, [APERIO_JPEG2000_RGB], "tiff"),
    ],
)
def test_the_config_comes_first_then_what_only_an_svs_holds_then_the_source(
    choices, is_aperio, compressions, expected
):
    stored = [compression_info(number) for number in compressions]
    assert container_by(ConversionConfig.of(**choices), is_aperio, stored) == expected


def test_pixels_alone_belong_in_a_tiff():
    assert container_by(ConversionConfig(), True, [None]) == "tiff"
