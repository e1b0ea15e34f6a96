"""Candidates: how a text names a codec with its settings."""

from pathlib import Path

import pytest

from wsicomp.errors import ConfigError
from wsicomp.volumes.comparison.candidates import default_candidates, parse_candidate
from wsicomp.volumes.comparison.options import VolumeComparisonOptions
from wsicomp.volumes.config import VolumeConfig


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("jpegxl", {"codec": "jpegxl"}),
        ("jpegxl:90+effort=7", {"codec": "jpegxl", "quality": 90.0, "effort": 7}),
        ("jpeg2000:20x", {"codec": "jpeg2000", "rate": 20.0}),
        ("jpeg2000:60dB", {"codec": "jpeg2000", "quality": 60.0}),
        ("jpegxl+roi", {"codec": "jpegxl", "roi": None}),
        ("jpegxl+roi=auto+rest_quality=1", {"codec": "jpegxl", "roi": "auto", "rest_quality": 1.0}),
        ("zstd+diffuse", {"codec": "zstd", "diffuse": None}),
        ("hevc+roi_labels=1,2", {"codec": "hevc", "roi_labels": [1, 2], "roi": None}),
    ],
)
def test_a_text_is_a_codec_with_its_options(text, values):
    assert dict(parse_candidate(text).values) == values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("jpgxl", "did you mean jpegxl"),
        ("jpegxl:", "'' is not a number"),
        ("jpegxl:best", "'best' is not a number"),
        ("jpegxl+efort=3", "did you mean effort"),
        ("jpegxl+effort=30", "expected 1 to 9"),
        ("jpegxl+workers=2", "no option of a candidate"),
        ("jpegxl+effort", "no switch"),
        ("zstd:3", "takes no `quality`"),
        ("jpegxl:5+roi", "leave `quality` out"),
    ],
)
def test_another_text_is_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        parse_candidate(text)


def test_a_shared_region_and_map_come_from_the_source():
    candidate = parse_candidate("hevc+roi_quality=20+rest_quality=40")
    values = candidate.config_values("labels.nrrd", None, 2)
    assert VolumeConfig(**values).roi == "labels.nrrd"
    with pytest.raises(ConfigError, match="needs `roi`"):
        candidate.config_values(None, None, None)
    diffused = parse_candidate("bz2+diffuse").config_values(None, Path("liver.nii"), None)
    assert VolumeConfig(**diffused).diffuse == Path("liver.nii")


def test_what_is_tried_by_default_is_possible():
    for candidate in default_candidates(True, True):
        VolumeConfig(**candidate.config_values("auto", Path("liver.nii"), 1))
    assert not any(each.needs("roi") or each.needs("diffuse") for each in default_candidates(False, False))


def test_options_go_with_the_volumes():
    options = VolumeComparisonOptions(codec=("jpegxl", "jpegxl", "jpegxl+roi"), roi=("a.nii", "b.nii"))
    assert [each.label for each in options.candidates] == ["jpegxl", "jpegxl+roi"]
    options.check_for(2)
    assert [options.roi_of(number) for number in (0, 1)] == ["a.nii", "b.nii"]
    with pytest.raises(ConfigError, match="given 2 times for 3 volumes"):
        options.check_for(3)
    with pytest.raises(ConfigError, match=r"jpegxl\+diffuse needs `diffuse`"):
        VolumeComparisonOptions(codec=("jpegxl+diffuse",)).check_for(1)
