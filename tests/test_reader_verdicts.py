"""What `wsicomp verify` says of other programs, held against those programs by every kind of file."""

import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image

import wsicomp
from wsicomp import ConversionConfig
from wsicomp.geometry import Size
from wsicomp.pyramid.compatibility import verdicts
from wsicomp.readers import open_tiff
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

INSTALLED = Path(__file__).parent.parent / ".venv/readers"
SIZE = (1100, 900)
WHITE = {"glass": "white", "segmenter": "threshold", "margin_um": 0}
KINDS = {
    "copy.svs": WHITE,
    "lossless.svs": {"codec": "jpeg", "lossless": True} | WHITE,
    "lossless.tiff": {"codec": "jpeg", "lossless": True, "format": "tiff", "glass": "keep"},
    "jpegxl.tiff": {"codec": "jpegxl", "lossless": True, "glass": "keep"},
    "overview.tiff": {"codec": "jpegxl", "lossless": True, "glass": "keep", "overview": "jpeg"},
    "jpeg2000.svs": {"codec": "jpeg2000", "glass": "keep"},
    "webp.tiff": {"codec": "webp", "glass": "keep"},
    "none.tiff": {"codec": "none", "glass": "keep"},
    "neural.tiff": {"codec": "bmshj2018-factorized", "glass": "keep"},
    "neural-overview.tiff": {"codec": "bmshj2018-factorized", "glass": "keep", "overview": "jpeg"},
    "empty.tiff": {"glass": "empty", "segmenter": "threshold", "margin_um": 0},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verdicts")
    slide = SyntheticSlide(Size(*SIZE), seed=6, sections=1, tissue_fraction=0.2, fragments=0, pen=False)
    write_slide(
        folder / "source.svs",
        slide,
        SyntheticFormat(tile_px=256, quality=90, downsamples=(1, 4), label=False),
    )
    for name, options in KINDS.items():
        wsicomp.convert_slide(folder / "source.svs", folder / name, ConversionConfig(**options))
    return folder


def by_openslide(path, folder):
    with openslide.OpenSlide(path) as slide:
        return np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))


def by_openslide_400(path, folder):
    if not (INSTALLED / "openslide400").is_dir():
        pytest.skip("OpenSlide 4.0.0 is not installed: scripts/readers")
    program = (
        "import sys, openslide; s = openslide.OpenSlide(sys.argv[1]);"
        "s.read_region((0, 0), 0, s.dimensions).convert('RGB').save(sys.argv[2])"
    )
    environment = os.environ | {"PYTHONPATH": str(INSTALLED / "openslide400")}
    return by_command([sys.executable, "-c", program, path, folder / "a.png"], folder, environment)


def by_openslide_34(path, folder):
    if not shutil.which("openslide-write-png"):
        pytest.skip("OpenSlide 3.4.1 is not installed: scripts/readers")
    with closing(open_tiff(path)) as slide:
        plan = slide.provenance.plan
        size = plan.navigable[0].size
    command = ["openslide-write-png", path, 0, 0, 0, size.width, size.height, folder / "a.png"]
    return by_command(command, folder)


def by_libvips(path, folder):
    pyvips = pytest.importorskip("pyvips", reason="libvips is not installed: pip install pyvips[binary]")
    return pyvips.Image.tiffload(str(path))[:3].numpy()


def by_bioformats(path, folder):
    if not (INSTALLED / "bioformats.jar").exists() or not shutil.which("java"):
        pytest.skip("Bio-Formats or java is not installed: scripts/readers")
    tool = ["java", "-cp", INSTALLED / "bioformats.jar", "loci.formats.tools.ImageConverter", "-no-upgrade"]
    return by_command([*tool, "-series", 0, path, folder / "a.png"], folder)


def by_tifffile(path, folder):
    with tifffile.TiffFile(path) as tiff:
        return tiff.pages[0].asarray()


def by_command(command, folder, environment=None):
    (folder / "a.png").unlink(missing_ok=True)
    command = [str(part) for part in command]
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=120)
    with Image.open(folder / "a.png") as image:
        return np.asarray(image.convert("RGB"))


PROGRAMS = {
    "OpenSlide 4.0.1 and later": by_openslide,
    "OpenSlide 4.0.0": by_openslide_400,
    "OpenSlide 3.4": by_openslide_34,
    "libvips": by_libvips,
    "Bio-Formats": by_bioformats,
    "tifffile": by_tifffile,
}


def shown(program, path, folder):
    """The picture, or None where the program fails."""
    try:
        return PROGRAMS[program](path, folder)
    except Exception as exc:
        if isinstance(exc, pytest.skip.Exception):
            raise
        return None


@pytest.mark.parametrize("name", ["jpegxl.tiff", "overview.tiff"])
def test_the_files_of_jpeg_xl_hold_jpeg_xl(folder, name):
    with closing(open_tiff(folder / name)) as slide:
        assert slide.provenance.plan.levels[0].encoding.compression == 50002


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", KINDS)
def test_a_program_opens_a_file_as_its_rule_says(folder, tmp_path, name, program):
    with closing(open_tiff(folder / name)) as slide:
        verdict = next(verdict for verdict in verdicts(slide) if verdict.reader == program)
        navigable = slide.provenance.plan.navigable[0]
    found = shown(program, folder / name, tmp_path)
    with wsicomp.open_slide(folder / name) as slide:
        region = slide.read_region((0, 0), navigable.number, slide.level_dimensions[navigable.number])
        opaque = np.asarray(region)[..., 3] == 255
        expected = np.asarray(region.convert("RGB")).astype(int)
    same = found is not None and found.shape == expected.shape
    same = same and np.abs(found - expected)[opaque].mean() < 3
    if verdict.opens == "yes":
        assert same
    elif verdict.opens == "no":
        assert not same
    elif verdict.opens == "shows black":
        assert found is not None
        assert not found.any()
    elif "overview" in verdict.reason:
        assert same
        assert navigable.number > 0
    elif "libtiff reads" not in verdict.reason:
        assert name == "empty.tiff"
        assert found is None or (found[~opaque] == 0).all()
