import sys

import pytest

from wsicomp import CodecUnavailableError, ConfigError, UnknownCodecError, UnsupportedSlideError
from wsicomp.codecs import registry


def test_an_unknown_codec_says_what_lists_the_known_ones_and_which_was_meant():
    with pytest.raises(UnknownCodecError, match="`wsicomp codecs` lists all; did you mean jpeg"):
        registry.create_codec("jpegg")


def test_an_unknown_compression_lists_the_known_ones():
    with pytest.raises(UnsupportedSlideError, match=r"34712.*33005"):
        registry.tile_format(34712)
    assert not registry.can_decode(34712)


def test_a_codec_whose_library_is_missing_prints_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "wsicomp.codecs.jpeg", None)
    with pytest.raises(CodecUnavailableError, match="pip install"):
        registry.create_codec("jpeg")


def test_a_library_that_is_there_and_does_not_load_is_not_called_missing(monkeypatch):
    def fail(_):
        raise ImportError("libtorch_cpu.so: failed to map segment", name="_C")

    monkeypatch.setattr(registry, "import_module", fail)
    with pytest.raises(CodecUnavailableError, match=r"cannot be loaded \(libtorch_cpu") as error:
        registry.create_codec("mbt2018-mean")
    assert "missing" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("jpeg", {"quality": 0}, "1 to 100"),
        ("jpeg", {"quality": 101}, "1 to 100"),
        ("jpeg", {"distance": 1.0}, "takes no `distance`; it takes `quality`"),
        ("none", {"quality": 90}, "takes no `quality`; it takes no options"),
        ("jpegxl", {"effort": 0}, "1 to 10"),
        ("jpegxl", {"distance": 26.0}, "0.05 to 25"),
        ("jpegxl", {"distance": 1.0, "quality": 90}, "give one of them"),
        ("jpegxl", {"quality": 101}, "1 to 100"),
        ("jpeg2000", {"psnr": 40.0, "rate": 10.0}, "give one of them"),
        ("jpeg2000", {"psnr": 5.0}, "20 to 80"),
        ("jpeg2000", {"rate": 0.5}, "1 to 1000"),
        ("webp", {"quality": -1}, "0 to 100"),
    ],
)
def test_a_codec_refuses_what_it_does_not_take(name, options, told):
    with pytest.raises(ConfigError, match=told):
        registry.create_codec(name, options)


def test_a_codec_without_a_lossless_recipe_says_who_has_one():
    with pytest.raises(ConfigError, match="take jpegxl or jpeg"):
        registry.create_transcoder("webp")
