"""A target is held against its source: whatever is forged is found, and what is honest passes."""

from contextlib import closing

import pytest

from tests.drawn import forged
from wsicomp.preparation import file_sha256
from wsicomp.pyramid import verify
from wsicomp.pyramid.problems import CODES
from wsicomp.readers import open_source
from wsicomp.stages import untold


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """A slide, and another of the same form."""
    folder = tmp_path_factory.mktemp("forged")
    for number, name in enumerate(("slide.svs", "other.svs")):
        forged.draw_tissue(folder / name, number)
    return folder / "slide.svs", folder / "other.svs"


def check(target, source):
    with closing(open_source(source, target)) as slide:
        return verify.verify_slide(target, slide, file_sha256(source), 1, untold)


@pytest.mark.parametrize("name", forged.FORGERIES)
def test_a_forged_target_is_found_out(slides, tmp_path, name, monkeypatch):
    source, other = slides
    forgery, target = forged.FORGERIES[name], tmp_path / "target.tiff"
    forged.forge(source, target, forgery, other)
    monkeypatch.setattr(verify, "check_pixels", lambda *_: [])  # which look at a few tiles of a large slide
    found = check(target, source)
    codes = {problem.code for problem in found.problems}
    assert codes & set(forgery.codes), found.problems
    assert codes <= set(CODES)
