"""Other programs read what we write: tissue as in the source, glass as background, in each of them.

`scripts/readers` installs those that are not Python packages of the `dev` extra.
"""

import json
import os
import shutil
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import tifffile
from PIL import Image

import wsicomp
from tests import programs
from tests.conftest import REAL_SLIDES, slow_unless
from tests.programs import INSTALLED
from wsicomp import ConversionConfig
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

pytestmark = pytest.mark.gate

BACKGROUND = (250, 30, 250)
SIZE = (1500, 1200)
FORMS = {
    "ycbcr, shared tables": SyntheticFormat(downsamples=(1, 4)),
    "rgb, whole streams": SyntheticFormat(
        photometric="rgb", tile_px=240, shared_tables=False, downsamples=(1, 4)
    ),
}


WAYS = ("copy-svs", "copy-tiff", "jpeg-svs", "jpeg-tiff")
ALIKE = [("ycbcr, shared tables", "jpeg-tiff"), ("rgb, whole streams", "jpeg-svs")]
"""What is encoded anew is so in each container, and from each form; that is said once for each."""


@pytest.fixture(scope="module", params=slow_unless(lambda pair: pair not in ALIKE, [*product(FORMS, WAYS)]))
def target(request, slides):
    form, way = request.param
    codec, container = way.split("-")
    path = slides[form].with_name(f"{way}.{container}")
    config = ConversionConfig.of(codec=codec, format=container, background="#fa1efa", margin_um=20)
    report = wsicomp.convert_slide(slides[form], path, config)
    assert report.levels[0].blank > 4
    return path


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """The source in each form."""
    paths = {form: tmp_path_factory.mktemp("readers") / "source.svs" for form in FORMS}
    drawn = SyntheticSlide(
        Size(*SIZE),
        seed=6,
        sections=1,
        tissue_fraction=0.1,
        fragments=0,
        pen=False,
        dust=False,
        coverslip=False,
    )
    for form, path in paths.items():
        write_slide(path, drawn, FORMS[form])
    return paths


def expected(path):
    """(picture as OpenSlide 4.0.1 shows it, where it is background)."""
    import openslide

    with openslide.OpenSlide(path) as seen:
        pixels = np.asarray(seen.read_region((0, 0), 0, SIZE).convert("RGB"))
    glass = np.abs(pixels.astype(int) - BACKGROUND).max(axis=2) <= 8
    assert glass.mean() > 0.3
    return pixels, glass


def assert_same(pixels, path, tolerance=0):
    shown, glass = expected(path)
    assert pixels.shape == shown.shape
    assert np.abs(pixels.astype(int) - shown).max() <= tolerance
    assert np.abs(pixels.astype(int) - BACKGROUND)[glass].max() <= 8 + tolerance


def read_png(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def run(*command, **options):
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=True, **options
    )
    assert "warning" not in result.stderr.lower(), result.stderr
    assert "error" not in result.stderr.lower(), result.stderr
    return result.stdout


def test_tifffile_shows_the_same_pixels(target):
    assert_same(tifffile.imread(target, key=0), target)


def test_pillow_shows_the_same_pixels(target):
    with Image.open(target) as image:
        assert_same(np.asarray(image.convert("RGB")), target, tolerance=3)


def test_libvips_shows_the_same_pixels(target):
    pyvips = pytest.importorskip("pyvips", reason="libvips is not installed: pip install pyvips[binary]")
    assert_same(pyvips.Image.new_from_file(str(target))[:3].numpy(), target, tolerance=3)


@pytest.fixture(scope="module")
def fastslide():
    program = programs.fastslide()
    if program.python is None:
        pytest.skip("fastslide is not installed: scripts/readers")
    return program


def test_fastslide_shows_the_same_pixels(fastslide, target):
    (sight,) = programs.ask(fastslide, [target])
    assert not isinstance(sight, str), sight
    # Its inverse DCT is a faster one, and it repeats the samples of subsampled colours.
    assert (sight.alike, sight.more) == (40, ()), sight
    with tifffile.TiffFile(target) as tiff:
        is_full = tiff.pages[0].photometric == tifffile.PHOTOMETRIC.RGB
    assert sight.most <= (4 if is_full else 64)


@pytest.mark.slides
@pytest.mark.parametrize(
    "path", [path for path in REAL_SLIDES if path.suffix == ".svs"], ids=lambda path: path.stem
)
def test_fastslide_shows_of_a_copy_what_it_shows_of_its_source(fastslide, path, tmp_path):
    options = {"codec": "copy", "glass": "keep"}
    wsicomp.convert_slide(path, tmp_path / path.name, ConversionConfig.of(**options))
    regions, _ = programs.regions_of(tmp_path / path.name, 40)
    before, after = programs.answers(fastslide, [[str(path), regions], [str(tmp_path / path.name), regions]])
    assert "levels" in before, before
    assert after["levels"] == before["levels"]
    assert after["regions"] == before["regions"]
    assert all("pixels" in region for region in after["regions"])


@pytest.mark.skipif(not shutil.which("tiffcp"), reason="libtiff's tiffcp is not installed: scripts/readers")
def test_libtiff_shows_the_same_pixels_without_a_warning(target, tmp_path):
    run("tiffcp", "-m", "0", "-c", "none", "-s", f"{target},0", tmp_path / "plain.tif")
    run("tiff2rgba", "-c", "none", tmp_path / "plain.tif", tmp_path / "rgba.tif")
    assert_same(tifffile.imread(tmp_path / "rgba.tif")[..., :3], target, tolerance=60)


@pytest.mark.skipif(
    not shutil.which("openslide-write-png"), reason="OpenSlide 3.4.1 is not installed: scripts/readers"
)
def test_openslide_3_4_1_shows_the_same_pixels(target, tmp_path):
    run("openslide-write-png", target, 0, 0, 0, *SIZE, tmp_path / "a.png")
    assert_same(read_png(tmp_path / "a.png"), target, tolerance=3)
    scale = "openslide.mpp-x: '0.5" if target.suffix == ".svs" else "tiff.XResolution: '20000'"
    assert scale in run("openslide-show-properties", target)


@pytest.mark.skipif(
    not (INSTALLED / "openslide400").is_dir(), reason="OpenSlide 4.0.0 is not installed: scripts/readers"
)
def test_openslide_4_0_0_shows_the_same_pixels(target, tmp_path):
    program = (
        "import json, sys, openslide; s = openslide.OpenSlide(sys.argv[1]);"
        f"s.read_region((0, 0), 0, {SIZE}).convert('RGB').save(sys.argv[2]);"
        "print(json.dumps([openslide.__library_version__, sorted(s.associated_images)]))"
    )
    environment = os.environ | {"PYTHONPATH": str(INSTALLED / "openslide400")}
    version, images = json.loads(
        run(sys.executable, "-c", program, target, tmp_path / "a.png", env=environment)
    )
    assert version == "4.0.0"
    assert images == (["label", "macro", "thumbnail"] if target.suffix == ".svs" else [])
    assert_same(read_png(tmp_path / "a.png"), target)


@pytest.mark.skipif(
    not (INSTALLED / "bioformats.jar").exists() or not shutil.which("java"),
    reason="Bio-Formats or java is not installed: scripts/readers",
)
def test_bio_formats_shows_the_same_pixels(target, tmp_path):
    soon = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # it runs for a second
    converter = (INSTALLED / "bioformats.jar", "loci.formats.tools.ImageConverter")
    tool = ["java", *soon, "-cp", *converter, "-no-upgrade"]
    subprocess.run(
        [str(part) for part in [*tool, "-series", 0, target, tmp_path / "a.png"]],
        check=True,
        capture_output=True,
    )
    assert_same(read_png(tmp_path / "a.png"), target, tolerance=3)
