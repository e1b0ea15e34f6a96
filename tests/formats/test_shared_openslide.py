"""A file that several threads read by one handle of OpenSlide, which is dead after its first error."""

from contextlib import closing

import numpy as np
import openslide
import pytest

from tests import tiffs
from wsicomp.errors import TileReadError
from wsicomp.formats.openslide import OpenSlideFile
from wsicomp.geometry import Size

AREA = 0, (0, 0), Size(64, 64)


@pytest.fixture
def file(tmp_path):
    with closing(OpenSlideFile(tiffs.write_tiff(tmp_path / "slide.svs", 400, 300))) as found:
        yield found


def test_a_sound_region_is_read_however_often_another_thread_s_ends_the_shared_handle(file, monkeypatch):
    expected = file.read(*AREA)
    sound = openslide.OpenSlide.read_region

    def dead_if_shared(self, *region):
        if self is file.slide:
            raise openslide.OpenSlideError("the error of another region")
        return sound(self, *region)

    monkeypatch.setattr(openslide.OpenSlide, "read_region", dead_if_shared)
    assert np.array_equal(file.read(*AREA), expected)


def test_a_region_that_cannot_be_read_says_why_and_leaves_a_handle_that_reads(file, monkeypatch):
    expected = file.read(*AREA)
    with monkeypatch.context() as patch:
        patch.setattr(openslide.OpenSlide, "read_region", refuse)
        with pytest.raises(TileReadError, match="OpenSlide cannot read it \\(a damaged tile\\)"):
            file.read(*AREA)
    assert np.array_equal(file.read(*AREA), expected)


def refuse(*_):
    raise openslide.OpenSlideError("a damaged tile")
