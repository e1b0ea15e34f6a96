import sys

import pytest

from wsicomp import CodecUnavailableError, UnknownCodecError, UnsupportedSlideError, codecs


def test_an_unknown_codec_lists_the_known_ones():
    with pytest.raises(UnknownCodecError, match="jpeg"):
        codecs.create_codec("mp3", 90)


def test_an_unknown_compression_lists_the_known_ones():
    with pytest.raises(UnsupportedSlideError, match=r"34712.*33005"):
        codecs.tile_format(34712)
    assert not codecs.can_decode(34712)


def test_a_codec_whose_library_is_missing_prints_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "wsicomp.codecs.jpeg", None)
    with pytest.raises(CodecUnavailableError, match="pip install"):
        codecs.create_codec("jpeg", 90)
