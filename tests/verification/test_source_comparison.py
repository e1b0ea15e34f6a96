"""A target is held against its source: whatever is forged is found, and what is honest passes."""

from contextlib import closing
from itertools import product

import numpy as np
import pytest
from PIL import Image

from tests.conftest import slow_unless
from tests.drawn import forged
from tests.drawn.pale import write_far_slide
from wsicomp import convert_slide
from wsicomp.cli import main
from wsicomp.errors import UnknownModelError
from wsicomp.formats.identity import file_sha256
from wsicomp.formats.opening import open_source
from wsicomp.geometry import Region, TileIndex
from wsicomp.progress import no_progress
from wsicomp.verification import level_bounds, verify
from wsicomp.verification.painted_cells import painted_cells
from wsicomp.verification.problems import CODES
from wsicomp.verification.source_comparison import SourceComparison


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """A slide, and another of the same form."""
    return forged.draw_two(tmp_path_factory.mktemp("forged"))


def check(target, source):
    with closing(open_source(source, target)) as slide:
        return verify.verify_slide(target, slide, file_sha256(source), 1, no_progress)


@pytest.mark.parametrize("name", forged.FORGERIES)
def test_a_forged_target_is_found_out(slides, tmp_path, name, monkeypatch):
    source, other = slides
    forgery, target = forged.FORGERIES[name], tmp_path / "target.tiff"
    forged.forge(source, target, forgery, other)
    monkeypatch.setattr(
        verify.PixelCheck, "pieces", lambda *_: []
    )  # which look at a few tiles of a large slide
    found = check(target, source)
    codes = {problem.code for problem in found.problems}
    assert codes & set(forgery.codes), found.problems
    assert codes <= set(CODES)


HONEST = {
    "copied": forged.COPIED,
    "encoded": forged.ENCODED,
    "emptied": forged.EMPTIED,
    "kept": forged.KEPT,
    "packed": forged.PACKED,
    "restorable": forged.RESTORABLE,
    "guarded": forged.GUARDED,
    "exact": forged.EXACT,
    "poor": forged.POOR,
    "in its own glass, with all levels": forged.ENCODED.changed(background="auto", levels="full"),
    "without names": forged.ENCODED.changed(deidentify=True),
    "from a lower level on": forged.LOWER.changed(glass="keep"),
    "from a lower level on, encoded": forged.ENCODED.changed(from_level=1, levels="full", background="white"),
    "without a label": forged.COPIED.changed(label=False),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_conversion_passes(slides, tmp_path, name):
    config = HONEST[name]
    target = tmp_path / f"target.{'svs' if config.output.format == 'svs' else 'tiff'}"
    convert_slide(slides[0], target, config)
    found = check(target, slides[0])
    assert found.problems == ()
    assert found.removed_area == 0 if config.glass.is_kept else found.removed_area > 0.2


def test_an_honest_conversion_passes_whatever_its_mask_was(slides, tmp_path):
    mask = tmp_path / "nothing.png"
    Image.new("L", (forged.SIDE // 8, forged.SIDE // 8)).save(mask)
    for number, codec in enumerate(("copy", "jpeg")):
        target = tmp_path / f"{number}.tiff"
        convert_slide(slides[0], target, forged.COPIED.changed(codec=codec, mask=mask))
        assert check(target, slides[0]).problems == (), "the guard alone kept what is on the glass"


def test_what_a_file_says_is_not_believed_but_its_source_has_to_be_given(slides, tmp_path):
    source, other = slides
    target = tmp_path / "target.tiff"
    forged.forge(source, target, forged.FORGERIES["every tile blank"], other)
    assert main(["verify", str(target)]) == 0, "nothing changed since it was written"
    assert main(["verify", str(target), "--against", str(source)]) == 1


def test_of_a_file_that_is_another_s_a_few_tiles_are_told(slides, tmp_path):
    source, other = slides
    target = tmp_path / "target.tiff"
    forged.forge(source, target, forged.FORGERIES["every tile of tissue blank"], other)
    found = [problem for problem in check(target, source).problems if problem.code == "tile-blanked"]
    assert len(found) == 4
    assert "more tiles like it" in found[-1].message


def test_every_kind_of_forgery_is_among_those_that_are_drawn():
    kinds = {code for one in forged.FORGERIES.values() for code in one.codes}
    assert kinds >= {"plan-differs", "associated-missing", "tile-blanked", "tile-unlike", "tile-not-lost"}


@pytest.mark.parametrize("is_painted", [True, False])
def test_a_seam_whose_mean_is_the_paint_s_is_told_by_its_pixels(is_painted):
    """The mean of 12 rows of white filler and 4 of glass is the paint's own, to a grey level."""
    paint = (251, 250, 251)
    there = np.full((16, 16, 3), 255, np.uint8)
    there[:4] = 239, 235, 239
    noise = np.random.default_rng(5).integers(0, 2, there.shape, np.uint8)
    here = (np.array(paint, np.uint8) if is_painted else there) - noise
    assert painted_cells(here, there, paint).tolist() == [[is_painted]]


FAR = {
    "he-compact": forged.COPIED.changed(codec="he-compact"),
    "he-fine": forged.COPIED.changed(codec="he-fine"),
    "jpeg": forged.COPIED.changed(codec="jpeg", quality=50),
    "jpeg2000": forged.COPIED.changed(codec="jpeg2000", psnr=45.0),
    "webp": forged.COPIED.changed(codec="webp", quality=60),
}
POOR = {
    "jpeg of quality 10": forged.COPIED.changed(codec="jpeg", quality=10),
    "jpeg2000 of 38 dB": forged.COPIED.changed(codec="jpeg2000"),
    "webp of quality 20": forged.COPIED.changed(codec="webp", quality=20),
}


@pytest.fixture(scope="module")
def far_slide(tmp_path_factory):
    """A slide at 29 um per px, where a block of the guard is a pixel, and every speck a thing."""
    path = tmp_path_factory.mktemp("far") / "slide.svs"
    write_far_slide(path)
    return path


@pytest.mark.parametrize("config", {**FAR, **POOR}.values(), ids={**FAR, **POOR})
def test_a_speck_that_the_codec_loses_is_not_painted_over(far_slide, tmp_path, config):
    target = tmp_path / f"target.{'svs' if config.codec.name == 'jpeg2000' else 'tiff'}"
    convert_slide(far_slide, target, config)
    assert check(target, far_slide).problems == ()


PAINTED = {
    "all tissue": Region(0, 0, 512, 512),
    "a place in tissue": Region(48, 48, 16, 16),
    "an edge of tissue": Region(256, 96, 16, 64),
    "a few specks": Region(304, 144, 32, 32),
    "a faint spot on glass": Region(480, 416, 32, 32),
}


def painted():
    """All of both; at the gate, each codec with two regions, and each region with two codecs."""
    codecs, regions = [*FAR], [*PAINTED]
    gate = {(codecs[n], regions[(n + more) % len(regions)]) for n in range(len(codecs)) for more in (0, 1)}
    return slow_unless(gate.__contains__, [*product(codecs, regions)])


@pytest.mark.parametrize("case", painted(), ids=", ".join)
def test_what_a_codec_would_keep_is_found_where_it_is_painted_over(far_slide, tmp_path, case):
    codec, region = case
    forgery = forged.painted_over(PAINTED[region], FAR[codec])
    forged.forge(far_slide, tmp_path / "target.tiff", forgery)
    found = {problem.code for problem in check(tmp_path / "target.tiff", far_slide).problems}
    assert "tile-blanked" in found


@pytest.mark.parametrize(
    "region", [Region(304, 144, 32, 32), Region(480, 416, 32, 32)], ids=["specks", "spot"]
)
def test_a_neural_tile_that_fits_its_source_all_over_is_looked_at_for_paint(
    far_slide, tmp_path, region, monkeypatch
):
    """A file itself states how near its neural tiles come, and so which of the two they are unlike."""
    forged.forge(far_slide, tmp_path / "target.tiff", forged.painted_over(region, FAR["he-fine"]))
    sound = SourceComparison._codec_excess

    def excess(self, bounds, region, here, expected, shape):
        cells = expected[: 16 * (shape[0] // 16), : 16 * (shape[1] // 16)].reshape(
            -1, 16, shape[1] // 16, 16, 3
        )
        is_painted = (cells == self._paint(TileIndex(0, 0, 0))).all((1, 3, 4)).any()
        return "unlike its paint" if is_painted else sound(self, bounds, region, here, expected, shape)

    monkeypatch.setattr(SourceComparison, "_codec_excess", excess)
    found = {problem.code for problem in check(tmp_path / "target.tiff", far_slide).problems}
    assert found == {"tile-blanked"}


def test_without_the_model_s_encoder_every_speck_that_is_gone_counts(far_slide, tmp_path, monkeypatch):
    """A model that only the file brings could paint, and say that it always does."""
    convert_slide(far_slide, tmp_path / "target.tiff", FAR["he-fine"])
    monkeypatch.setattr(level_bounds, "create_codec", unknown_model)
    found = {problem.code for problem in check(tmp_path / "target.tiff", far_slide).problems}
    assert found == {"tile-blanked"}


def unknown_model(codec, options):
    raise UnknownModelError("it is not here")
