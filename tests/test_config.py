from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.comparison.drawn import drawn_bytes
from tests.paths import ROOT
from wsicomp import ConfigError
from wsicomp.config import CodecConfig, ConversionConfig, about_preset, load_preset
from wsicomp.conversion.convert import plan_slide
from wsicomp.conversion.outcome import planned_outcome
from wsicomp.formats.opening import open_reader

PRESETS = sorted((ROOT / "configs/presets").glob("*.toml"))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"glass": "clear"}, "keep, blank, white, empty"),
        ({"quality": "90"}, "expected int"),
        ({"quality": True}, "expected int"),
        ({"margin_um": -1}, "0 to 10000"),
        ({"margin_um": float("nan")}, "0 to 10000"),
        ({"workers": 0}, "1 to 1024"),
        ({"background": "pink"}, "#RRGGBB"),
        ({"background": "#12345"}, "#RRGGBB"),
        ({"glass": "white", "background": "#00ff00"}, "take glass blank"),
        ({"format": "png"}, "auto, svs, tiff"),
        ({"levels": 3}, "expected str"),
        ({"colour": "white"}, "unknown option 'colour'"),
        ({"segmenter": "none"}, "expected one of unet, threshold"),
        ({"segmenter": "threshold", "weights": "w.json"}, "`weights` are for segmenter unet"),
        ({"glass": "empty", "format": "svs"}, "take glass blank"),
        ({"glass": "keep", "mask": "m.png"}, "a mask has nothing to do"),
        ({"overview": "png"}, "expected one of none, jpeg"),
        ({"distance": "near"}, "expected float"),
        ({"lossless": True}, "take codec jpegxl or jpeg"),
        ({"lossless": True, "codec": "jpegxl", "distance": 1.0}, "`lossless` does not go with `distance`"),
        (
            {"restorable": True, "codec": "jpeg", "lossless": True},
            'or `codec="jpegxl"` with `lossless=True`, or `codec="copy"`',
        ),
        (
            {"restorable": True, "codec": "copy"},
            'glass is .blank.: take `preset="archive-lossless"`, or `glass="keep"`',
        ),
        (
            {"restorable": True, "codec": "copy", "glass": "keep", "label": False},
            "`restorable` keeps label, macro and names",
        ),
        (
            {"restorable": True, "codec": "copy", "glass": "keep", "deidentify": True},
            "`restorable` keeps label, macro and names",
        ),
        ({"restorable": True, "codec": "copy", "glass": "keep", "verify": False}, "has to be verified"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(values, told):
    with pytest.raises(ConfigError, match=told):
        ConversionConfig.of(**values)


@pytest.mark.parametrize(
    ("part", "value"),
    [("codec", "jpeg"), ("codec", {"name": "jpeg"}), ("glass", None), ("run", CodecConfig())],
)
def test_a_part_of_another_type_is_refused_with_what_takes_options_by_name(part, value):
    told = rf"{part} is .*, expected a {part.capitalize()}Config; ConversionConfig\.of"
    with pytest.raises(ConfigError, match=told):
        ConversionConfig(**{part: value})
    with pytest.raises(ConfigError, match=told):
        replace(ConversionConfig(), **{part: value})


def test_a_whole_number_is_a_length_too():
    assert ConversionConfig.of(margin_um=20).tissue.margin_um == 20.0


def test_a_mask_takes_the_place_of_a_segmenter():
    assert ConversionConfig.of(mask="tissue.png").tissue.mask == Path("tissue.png")


def test_what_does_not_shape_the_bytes_is_not_part_of_the_identity():
    assert ConversionConfig.of(workers=1, verify=False).lasting() == ConversionConfig.of(workers=2).lasting()
    assert ConversionConfig.of(quality=80).lasting() != ConversionConfig().lasting()


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_shipped_preset_is_a_config(path):
    values = load_preset(path)
    assert values
    config = ConversionConfig.of(**values)
    assert {name: config.flat()[name] for name in values} == values


@pytest.mark.parametrize("name", [path.stem for path in PRESETS])
def test_what_a_preset_says_of_itself_is_what_is_planned_by_it(name, tmp_path):
    path, about = tmp_path / "slide.svs", about_preset(name)
    path.write_bytes(drawn_bytes())
    config = ConversionConfig.preset(name, segmenter="threshold")
    with closing(open_reader(path)) as slide:
        outcome = planned_outcome(plan_slide(path, config), slide)
        assert (about.tissue, about.reversible) == (outcome.tissue, outcome.reversible)
        assert about.opens_in == outcome.opens_in
    assert about.purpose


def test_there_are_presets():
    assert PRESETS


def test_a_preset_that_cannot_be_read_says_why(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.toml.*no such file"):
        load_preset(tmp_path / "gone.toml")
    with pytest.raises(
        ConfigError, match=r"nope: no such file; nor is it a preset; `wsicomp presets` lists all"
    ):
        load_preset("nope")
    (tmp_path / "bad.toml").write_text("quality = = 3")
    with pytest.raises(ConfigError, match="not a TOML file"):
        load_preset(tmp_path / "bad.toml")


def test_a_preset_of_megabytes_is_refused(tmp_path):
    (tmp_path / "bad.toml").write_text("[" + "a." * (1 << 20) + "a]")
    with pytest.raises(ConfigError, match="over 65536 bytes"):
        load_preset(tmp_path / "bad.toml")
