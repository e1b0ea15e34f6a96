import pytest

from wsicomp import ConfigError, ConversionConfig, UnknownModelError
from wsicomp.comparison.codec_specs import DEFAULT_CODECS, parse_codec_spec, parse_codecs


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("copy", {"codec": "copy"}),
        ("jpeg:90", {"codec": "jpeg", "quality": 90}),
        ("jpeg-lossless", {"codec": "jpeg", "lossless": True}),
        ("jpegxl-lossless", {"codec": "jpegxl", "lossless": True}),
        ("jpegxl:1.5", {"codec": "jpegxl", "distance": 1.5}),
        ("jpegxl:1.0+effort=9", {"codec": "jpegxl", "distance": 1.0, "effort": 9}),
        ("jpeg2000:37dB", {"codec": "jpeg2000", "psnr": 37.0}),
        ("jpeg2000:12x", {"codec": "jpeg2000", "rate": 12.0}),
        ("he-fine:6", {"codec": "bmshj2018-factorized", "model": "he-fine", "quality": 6}),
        ("mbt2018-mean:7", {"codec": "mbt2018-mean", "model": "mbt2018-mean-mse-7"}),
        ("mbt2018-mean-ms-ssim-3", {"codec": "mbt2018-mean", "model": "mbt2018-mean-ms-ssim-3"}),
        (
            "elic2022-chandelier@mine.safetensors:3",
            {"codec": "elic2022-chandelier", "model": "mine.safetensors", "quality": 3},
        ),
    ],
)
def test_short_names_stand_for_choices_of_a_conversion(text, choices):
    found = parse_codec_spec(text)
    assert (found.label, dict(found.config_values)) == (text, choices)
    assert found.config(ConversionConfig(), "keep").codec.name == choices["codec"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jpg", "unknown codec 'jpg'"),
        ("jpeg:fine", "'fine' is not a number"),
        ("copy:3", "codec copy has no setting; leave '3' out"),
        ("jpeg:", "no setting behind the colon"),
        ("jpegxl:+effort=3", "no setting behind the colon"),
        ("copy:", "no setting behind the colon"),
        ("mbt2018-mean", "no model ships"),
        ("mbt2018-mean:9", "no model ships"),
        ("jpegxl:1.0+speed=3", "is not OPTION=NUMBER"),
        ("jpegxl:1.0+effort", "is not OPTION=NUMBER"),
        ("webp-lossless:3+model=x", "is not OPTION=NUMBER"),
        ("", "unknown codec ''"),
    ],
)
def test_what_is_no_codec_is_told(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_codec_spec(text)


def test_a_setting_out_of_range_is_told_when_the_codec_is_checked():
    with pytest.raises(ConfigError, match="quality is 200"):
        parse_codec_spec("jpeg:200").check()


def test_a_list_has_each_codec_once():
    assert [found.label for found in parse_codecs("copy,jpeg:90, copy")] == ["copy", "jpeg:90"]
    assert len(parse_codecs(",".join(DEFAULT_CODECS))) == len(DEFAULT_CODECS)


def test_a_model_that_is_not_here_is_an_error_when_it_is_checked(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    def refused(*_args, **_options):
        raise OSError("no network")

    import torch.hub

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    with pytest.raises(UnknownModelError, match="cannot be fetched"):
        parse_codec_spec("mbt2018-mean:7").check()


def test_turning_a_dial_keeps_what_else_was_chosen():
    candidate = parse_codec_spec("jpegxl:1.0+effort=3")
    turned = candidate.with_setting(candidate.dial(), 2.34567)
    assert dict(turned.config_values) == {"codec": "jpegxl", "effort": 3, "distance": 2.346}
    assert turned.label == "jpegxl:2.346+effort=3"
    assert turned.family == candidate.family == "jpegxl+effort=3"
    assert parse_codec_spec("copy").dial() is None
    assert parse_codec_spec("jpeg-lossless").dial() is None


def test_a_model_turns_its_quality_without_its_guard_of_ssim():
    candidate = parse_codec_spec("he-compact:4")
    dial = candidate.dial()
    assert (dial.coarse, dial.fine) == (1, 11)
    turned = candidate.with_setting(dial, 3, min_ssim=0.9)
    assert dict(turned.config_values) == {
        "codec": "bmshj2018-factorized",
        "model": "he-compact",
        "quality": 3,
        "min_ssim": 0.9,
    }
