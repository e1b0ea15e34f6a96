"""The table of classes, and what is wrong with one."""

import pytest

from tests.regions.slides import table
from wsicomp.errors import ConfigError
from wsicomp.regions import class_table


def test_the_example_of_the_module_is_read(tmp_path):
    text = class_table.__doc__.split("    [classes]")[1].split("Without")[0]
    found = table(tmp_path / "t.toml", "[classes]" + text)
    assert found.order == ["Tumor", "Tumor: Positive", "Stroma", "other"]
    assert [found.codec(name) for name in found.order] == ["copy", "jpegxl-lossless", "jpeg:80", None]
    assert found.values == {1: "Tumor", 2: "Tumor", 3: "Stroma"}
    assert found.thresholds == {"Tumor": 0.8, "Stroma": 0.5}
    assert (found.class_of("Tumor"), found.class_of("Fat")) == ("Tumor", "other")


def test_the_ramp_of_the_module_is_read(tmp_path):
    text = class_table.__doc__.split("    [ramp]")[1].split("This module")[0]
    found = table(tmp_path / "t.toml", "[ramp]" + text)
    assert list(found.classes.items()) == [
        ("probability 0.9", "jpeg:90"),
        ("probability 0.7", "jpeg:73"),
        ("probability 0.5", "jpeg:57"),
        ("probability 0.3", "jpeg:40"),
    ]
    distances = table(
        tmp_path / "t.toml",
        '[ramp]\ncodec = "jpegxl:{}"\nquality = [0.5, 2]\nprobability = [0.8, 0.4]\nsteps = 3\n',
    )
    assert list(distances.classes.values()) == ["jpegxl:0.5", "jpegxl:1.25", "jpegxl:2"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty, 0 bytes"),
        ("[classes]\n", "no class; expected"),
        ("[classes", "not a TOML file"),
        ("[classes]\nTumor = 5\n", "Expected `str`, got `int`"),
        ("[klasses]\n", "unknown field `klasses`"),
        ('[classes]\na = "copy"\n[values]\nb = 1\n', r"'b' has a value or threshold, but no line"),
        ('[classes]\na = "copy"\n[values]\na = 0\n', "0 and below are no region"),
        ('[classes]\na = "copy"\nb = "copy"\n[values]\na = 1\nb = [1]\n', "'a' has it too"),
        ('[classes]\na = "copy"\n[thresholds]\na = 1.5\n', "expected over 0 and at most 1"),
        ('[classes]\na = "copy"\n[thresholds]\na = nan\n', "expected over 0 and at most 1"),
        ('[ramp]\ncodec = "jpeg"\nquality = [90, 40]\nprobability = [0.9, 0.3]\n', "{} in the codec"),
        ('[ramp]\ncodec = "jpeg:{}"\nquality = [90, 40]\nprobability = [0.3, 0.9]\n', "to fall"),
        ('[ramp]\ncodec = "jpeg:{}"\nquality = [90, 40]\nprobability = [0.9, 0]\n', "expected over 0"),
        (
            '[classes]\na = ""\n[ramp]\ncodec = "jpeg:{}"\nquality = [9, 4]\nprobability = [0.9, 0.3]\n',
            "beside other",
        ),
    ],
)
def test_a_table_that_says_nothing_sound_is_refused(tmp_path, text, told):
    with pytest.raises(ConfigError, match=told) as caught:
        table(tmp_path / "t.toml", text)
    assert str(caught.value).startswith(str(tmp_path / "t.toml"))
