"""Files with bytes changed at random: each converts, or fails with our error, and leaves no half file."""

import contextlib
import random

import pytest
import tifffile

import wsicomp
from tests import tiffs
from tests.conftest import slow_unless, trial_size
from wsicomp import ConversionConfig, WsicompError

SEEDS = slow_unless(lambda seed: seed < 4, range(8))
MUTANTS = trial_size(12, 40)
KINDS = (
    {"compression": "jpeg", "svs": True},
    {"compression": "lzw", "predictor": True, "bigtiff": True},
    {"compression": "deflate"},
    {"compression": "jpeg", "byteorder": ">"},
)


def write(path, compression, svs=False, bigtiff=False, byteorder="<", **options):
    """A slide of two levels with a thumbnail and a label."""
    pixels = tiffs.picture(200, 150)
    text = tiffs.DESCRIPTION.format(200, 150) if svs else None
    with tifffile.TiffWriter(path, bigtiff=bigtiff, byteorder=byteorder) as tiff:
        common = {"photometric": "rgb", "metadata": None}
        tiled = {**common, "tile": (64, 64), "compression": compression, **options}
        tiff.write(pixels, description=text, **tiled)
        tiff.write(
            pixels[:60, :80], rowsperstrip=16, compression="jpeg", description="x\nthumbnail 80x60", **common
        )
        tiff.write(pixels[::2, ::2].copy(), subfiletype=1, description=text, **tiled)
        tiff.write(
            pixels[:60, :80], compression="lzw", predictor=True, description="x\nlabel 80x60", **common
        )


def tag_positions(path):
    with tifffile.TiffFile(path) as tiff:
        return [tag.offset + byte for page in tiff.pages for tag in page.tags.values() for byte in range(12)]


ROADS = (
    {"codec": "auto"},
    {"codec": "jpeg"},
    {"codec": "jpeg", "lossless": True},
    {"codec": "jpegxl", "lossless": True},
    {"codec": "jpegxl", "effort": 1, "strict": True},
)


@pytest.mark.gate
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_mutated_slide_converts_or_fails_with_an_error_of_ours(seed, tmp_path):
    chance = random.Random(seed)
    whole, mutant, target = tmp_path / "whole.tif", tmp_path / "mutant.tif", tmp_path / "target.tif"
    write(whole, **KINDS[seed % len(KINDS)])
    sound, tags = whole.read_bytes(), tag_positions(whole)
    for _ in range(MUTANTS):
        data = bytearray(sound)
        for _ in range(chance.choice([1, 1, 2, 4])):
            place = chance.choice(tags) if chance.random() < 0.6 else chance.randrange(len(data))
            data[place] = chance.choice([0, 1, 2, 255, 128, chance.randrange(256)])
        mutant.write_bytes(data)
        config = ConversionConfig.of(
            **chance.choice(ROADS),
            glass=chance.choice(["keep", "white"]),
            deidentify=chance.random() < 0.3,
            workers=1,
        )
        with contextlib.suppress(WsicompError):
            wsicomp.convert_slide(mutant, target, config)
            target.unlink()
        assert {path.name for path in tmp_path.iterdir()} == {"whole.tif", "mutant.tif"}
