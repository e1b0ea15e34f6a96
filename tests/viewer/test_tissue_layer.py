"""The tissue layer is the mask that the conversion had, covers the slide, and is found once."""

import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

import wsicomp
from tests.drawn import forged
from wsicomp.conversion.prepare import prepare
from wsicomp.errors import ConfigError, MaskError
from wsicomp.formats.opening import open_converted, open_source
from wsicomp.geometry import Size
from wsicomp.progress import Stages
from wsicomp.tissue.mask import TissueMask
from wsicomp.viewer.layers.tissue_layer import (
    GLASS,
    MARGIN,
    MOST_SIDE_PX,
    TISSUE,
    LazyTissueLayer,
    TissueLayer,
    find_tissue_layer,
)

WITH_MARGIN = forged.WHITE.changed(margin_um=16.0)
LOWER = forged.WHITE.changed(from_level=1, margin_um=16.0)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("tissue") / "slide.svs"
    forged.draw_tissue(path)
    return path


def converted(source, name, config):
    target = source.parent / f"{name}.svs"
    if not target.exists():
        wsicomp.convert(source, target, config)
    return target


def layer_of(source, target, mask=None, of_source=True):
    with closing(open_source(source, target)) as slide, closing(open_converted(target)) as made:
        return find_tissue_layer(slide if of_source else made, made.provenance, mask)


@pytest.mark.parametrize(("name", "config"), [("margin", WITH_MARGIN), ("lower", LOWER)])
def test_the_layer_of_a_source_is_the_mask_by_which_it_was_converted(source, name, config):
    target = converted(source, name, config)
    found = layer_of(source, target)
    with closing(open_source(source, target)) as slide:
        findings = prepare(slide, config.changed(from_level=0), Stages()).findings
    assert np.array_equal(found.pixels == TISSUE, findings.tissue.pixels)
    assert np.array_equal(found.pixels != GLASS, findings.mask.pixels)
    assert (found.pixels == MARGIN).any()
    assert found.source == "threshold, as the conversion had it"
    assert (found.margin_um, found.tissue_fraction) == (16.0, findings.tissue.tissue_fraction)


def test_a_mask_that_is_not_the_conversions_says_so(source):
    target = converted(source, "margin", WITH_MARGIN)
    drawn = source.parent / "mask.png"
    Image.fromarray(np.eye(64, dtype=np.uint8)).save(drawn)
    found = layer_of(source, target, drawn)
    assert found.source.startswith("a mask file; not quite the conversion's own: ")
    assert np.array_equal(found.pixels == TISSUE, np.eye(64, dtype=np.bool_))


def test_without_its_source_tissue_is_found_in_the_conversion_itself(source):
    found = layer_of(source, converted(source, "margin", WITH_MARGIN), of_source=False)
    assert found.source.startswith("threshold, ")
    assert 0.4 < found.tissue_fraction < 0.8


def test_where_glass_was_kept_tissue_is_found_by_the_conversions_options_all_the_same(source):
    found = layer_of(source, converted(source, "kept", forged.KEPT))
    assert found.source == "threshold; the conversion kept all glass"
    assert found.margin_um == 0


def test_a_slide_without_a_conversion_is_looked_at_by_the_default_options(source):
    with closing(open_source(source, source)) as slide:
        found = find_tissue_layer(slide)
    assert found.source.startswith("U-Net ")
    assert found.source.endswith(", by the default options")
    assert found.margin_um == 50


def test_a_mask_file_that_the_conversion_had_is_asked_for_and_then_taken_as_its_own(source):
    drawn = source.parent / "half.png"
    half = np.zeros((64, 64), np.uint8)
    half[:, :32] = 255
    Image.fromarray(half).save(drawn)
    target = converted(source, "drawn", WITH_MARGIN.changed(mask=drawn, segmenter="unet"))
    with pytest.raises(ConfigError, match="name that file by `mask`"):
        layer_of(source, target)
    assert layer_of(source, target, drawn).source == "a mask file, as the conversion had it"


def test_a_mask_of_another_slide_is_refused(source):
    other = source.parent / "other.png"
    Image.fromarray(np.ones((64, 20), np.uint8)).save(other)
    with pytest.raises(MaskError, match="proportions"):
        layer_of(source, converted(source, "margin", WITH_MARGIN), other)


def test_a_large_mask_is_reduced_and_a_speck_of_it_stays():
    rows, columns = 300, 2 * MOST_SIDE_PX + 37
    pixels = np.zeros((rows, columns), np.bool_)
    pixels[[0, 150, 299], [0, 4001, columns - 1]] = True
    mask = TissueMask(pixels, Size(columns * 4, rows * 4), 4.0, 4.0, "drawn")
    found = TissueLayer.of(mask, 0.0, 0.0, "drawn").pixels
    assert max(found.shape) <= MOST_SIDE_PX
    factor = columns / found.shape[1]
    assert (found == TISSUE).sum() <= 3 * 4
    for row, column in np.argwhere(pixels):
        assert found[int(row / factor), int(column / factor)] == TISSUE


def test_the_picture_covers_the_slide_where_the_mask_reaches_past_it():
    pixels = np.zeros((1, 10), np.bool_)
    pixels[:, 5:] = True
    mask = TissueMask(pixels, Size(90, 10), 10.0, 10.0, "drawn")
    found = TissueLayer.of(mask, 0.0, 0.0, "drawn").pixels
    x = (np.arange(10) + 0.5) * 9
    assert np.array_equal(found[0] == TISSUE, x >= 50)


def test_the_png_holds_the_pixels():
    pixels = np.array([[GLASS, MARGIN, TISSUE]], np.uint8)
    layer = TissueLayer(pixels, 1 / 3, 50.0, "drawn")
    image = Image.open(io.BytesIO(layer.png))
    assert (image.format, image.mode) == ("PNG", "L")
    assert np.array_equal(np.asarray(image), pixels)
    assert layer.to_json() | {"source": ""} == {
        "width": 3,
        "height": 1,
        "tissue_fraction": 1 / 3,
        "source": "",
        "margin_um": 50.0,
    }


def test_many_threads_that_ask_find_the_layer_once():
    calls = []

    def find():
        calls.append(1)
        return TissueLayer(np.zeros((1, 1), np.uint8), 0.0, 0.0, "drawn")

    lazy = LazyTissueLayer(find)
    assert not calls
    with ThreadPoolExecutor(8) as threads:
        found = [*threads.map(lambda _: lazy.get(), range(32))]
    assert len(calls) == 1
    assert all(layer is found[0] for layer in found)


def test_an_error_is_raised_to_all_who_ask_and_not_looked_for_again():
    calls = []

    def find():
        calls.append(1)
        raise MaskError("not a mask")

    lazy = LazyTissueLayer(find)
    for _ in range(3):
        with pytest.raises(MaskError, match="not a mask"):
            lazy.get()
    assert len(calls) == 1
