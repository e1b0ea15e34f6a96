"""One damaged byte anywhere in a converted file: an error, or all that was there before."""

import numpy as np
import openslide
import pytest

import wsicomp
from tests.conftest import trial_size
from wsicomp import ConversionConfig, WsicompError
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

pytestmark = pytest.mark.gate

TRIALS = trial_size(100, 400)
WAYS = {
    "packed": ("a.tiff", {"codec": "jpegxl", "lossless": True, "glass": "keep", "restorable": True}),
    "overview": ("a.tiff", {"codec": "jpegxl", "lossless": True, "glass": "keep", "overview": "jpeg"}),
    "lossy": ("a.tiff", {"codec": "jpegxl", "effort": 3, "glass": "white"}),
    "copied": ("a.svs", {"codec": "copy", "glass": "white"}),
    "empty": ("a.tiff", {"codec": "copy", "glass": "empty"}),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Small, so that damage often hits what matters, and with one associated image."""
    path = tmp_path_factory.mktemp("damage") / "source.svs"
    form = SyntheticFormat(tile_px=128, downsamples=(1, 4), label=False, thumbnail=False, macro=True)
    write_slide(path, SyntheticSlide(Size(600, 400), seed=3, sections=1, tissue_fraction=0.3), form)
    return path


def all_of(path):
    """Everything that a reader can ask of a slide."""
    with wsicomp.open_slide(path) as slide:
        # OpenSlide's hash is over bytes of the file as they are: another one tells of damage.
        yield {name: text for name, text in slide.properties.items() if "quickhash" not in name}
        yield slide.level_dimensions
        yield slide.color_profile and slide.color_profile.tobytes()
        for name, image in sorted(slide.associated_images.items()):
            yield name
            yield np.asarray(image)
        for level, size in enumerate(slide.level_dimensions):
            yield np.asarray(slide.read_region((0, 0), level, size))


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_byte_is_an_error_or_changes_nothing(source, way, tmp_path):
    name, options = WAYS[way]
    config = ConversionConfig.of(segmenter="threshold", margin_um=0, **options)
    wsicomp.convert_slide(source, tmp_path / name, config)
    good = (tmp_path / name).read_bytes()
    expected = list(all_of(tmp_path / name))
    rng = np.random.default_rng(7)
    errors = 0
    for place in rng.integers(0, len(good), TRIALS).tolist():
        data = bytearray(good)
        data[place] ^= int(rng.integers(1, 256))
        (tmp_path / name).write_bytes(data)
        try:
            found = list(all_of(tmp_path / name))
        except (WsicompError, openslide.OpenSlideError):
            errors += 1
            continue
        assert len(found) == len(expected), place
        assert all(map(np.array_equal, found, expected)), place
    assert errors > TRIALS // 2
