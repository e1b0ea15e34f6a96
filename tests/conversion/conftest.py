"""A drawn slide for all tests of decisions."""

from contextlib import closing

import pytest

from tests.drawn import forged
from wsicomp.formats.opening import open_reader


@pytest.fixture(scope="session")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("decided") / "slide.svs"
    forged.draw_tissue(path)
    with closing(open_reader(path)) as opened:
        yield opened
