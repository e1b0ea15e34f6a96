"""Bounds that are found by `like` make a neural codec as true to the tiles as the codec that it names."""

import numpy as np
import pytest

from tests.codecs.test_contract import drawn
from wsicomp import ConfigError, ConversionConfig
from wsicomp.codecs.likeness import SampleTile, find_likeness, reference_codec, reference_ssim
from wsicomp.codecs.quality import ssim
from wsicomp.codecs.registry import create_codec, decode_tile, encode_tiles
from wsicomp.geometry import Size
from wsicomp.slide import EncodedTile

SIZE = Size(128, 128)
CODEC = "bmshj2018-factorized"
LAX = {"min_psnr": 0.0, "max_color_shift": 255.0}


@pytest.fixture(scope="module")
def sample():
    """Tiles of drawn tissue, some smoother than others."""
    return [SampleTile(drawn(SIZE, seed), SIZE) for seed in range(6)]


@pytest.mark.parametrize("like", ["jpeg:30", "jpeg:90", "webp:70"])
def test_mean_and_least_ssim_are_no_lower_than_those_of_the_codec_that_is_named(like, sample):
    codec = reference_codec(like)
    encoding = codec.encoding
    backs = [decode_tile(EncodedTile(codec.encode(tile.pixels), encoding, SIZE)) for tile in sample]
    theirs = [ssim(tile.pixels, back) for tile, back in zip(sample, backs, strict=True)]
    found = find_likeness(CODEC, LAX, like, sample, len(sample), 2)
    assert (found.mean_ssim, found.least_ssim) == (np.mean(theirs), min(theirs))
    ours = create_codec(CODEC, {**LAX, **found.options})
    made = encode_tiles(ours, [tile.pixels for tile in sample])
    own = [tile.fidelity.ssim for tile in made]
    assert found.reached_ssim == pytest.approx(np.mean(own), abs=1e-5)
    assert np.mean(own) >= np.mean(theirs) - 1e-5
    assert min(own) >= min(theirs)
    coarser = {"quality": max(1, found.quality - 1), "min_ssim": found.min_ssim - 0.01}
    smaller = encode_tiles(create_codec(CODEC, {**LAX, **coarser}), [tile.pixels for tile in sample])
    assert np.mean([tile.fidelity.ssim for tile in smaller]) < np.mean(theirs) or found.quality == 1


def test_bounds_are_the_same_by_any_number_of_workers(sample):
    assert find_likeness(CODEC, LAX, "jpeg:80", sample, 6, 1) == find_likeness(
        CODEC, LAX, "jpeg:80", sample, 6, 3
    )


def test_a_sample_of_many_tiles_has_to_be_better_by_its_error(sample):
    whole, part = (find_likeness(CODEC, LAX, "jpeg:85", sample, count, 2) for count in (6, 10_000))
    assert part.reached_ssim >= whole.reached_ssim
    better = part.reached_ssim - part.mean_ssim
    assert better > 0
    assert (whole.of, part.of) == (6, 10_000)
    assert "on 6 of 10000 tissue tiles that has a mean SSIM of" in part.text


def test_what_lies_beyond_the_level_does_not_count():
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[:, :64] = drawn(Size(64, 128))
    pixels[:, 64:] = np.random.default_rng(0).integers(0, 256, (128, 64, 3))
    whole, part = (SampleTile(pixels, size) for size in (SIZE, Size(64, 128)))
    assert reference_ssim("jpeg:50", [part], 1) != reference_ssim("jpeg:50", [whole], 1)


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ("jpeg", "`like` is 'jpeg', expected a codec with its quality, as jpeg:90 or webp:90"),
        ("jpeg:", "expected a codec with its quality"),
        ("jpeg:9.5", "expected a codec with its quality"),
        ("jpegxl:1", "expected a codec with its quality"),
        ("jpeg:101", "the quality of `like` is 101, expected 1 to 100"),
        ("jpeg:0", "is 0, expected 1 to 100"),
    ],
)
def test_what_names_no_codec_is_refused_before_a_slide_is_opened(like, message):
    with pytest.raises(ConfigError, match=message):
        ConversionConfig.of(codec="he-compact", like=like)


@pytest.mark.parametrize("other", [{"min_ssim": 0.9}, {"quality": 3}])
def test_what_like_finds_cannot_be_given_as_well(other):
    with pytest.raises(ConfigError, match=f"`like` finds `{next(iter(other))}` for each slide"):
        ConversionConfig.of(codec="he-compact", like="jpeg:90", **other)


def test_codecs_without_a_model_take_no_like():
    with pytest.raises(ConfigError, match="codec jpegxl takes no `like`"):
        ConversionConfig.of(codec="jpegxl", like="jpeg:90")
    with pytest.raises(ConfigError, match="name the codec that takes `like`"):
        ConversionConfig.of(like="jpeg:90")
