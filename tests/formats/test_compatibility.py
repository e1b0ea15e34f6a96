"""What `wsicomp verify` says of other programs, held against those programs by every kind of file.

`scripts/readers` installs them; those that are missing are skipped.
"""

from contextlib import closing

import numpy as np
import pytest
import tifffile
from PIL import Image

import wsicomp
from tests.programs import ask, programs
from wsicomp import ConversionConfig
from wsicomp.conversion.convert import plan_slide
from wsicomp.formats.compatibility import ReaderVerdict, opens_in, planned_verdicts, verdicts
from wsicomp.formats.opening import open_tiff
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

pytestmark = pytest.mark.gate

WHITE = {"glass": "white", "segmenter": "threshold", "margin_um": 0}
EMPTY = WHITE | {"glass": "empty"}
NEURAL = "bmshj2018-factorized"
DRAWN = "drawn.png"
REGIONS = {"roi": DRAWN, "glass": "keep"}
KINDS = {
    "copy.svs": WHITE,
    "lossless.svs": {"codec": "jpeg", "lossless": True} | WHITE,
    "jpeg.tiff": {"codec": "jpeg", "format": "tiff"} | WHITE,
    "lossless.tiff": {"codec": "jpeg", "lossless": True, "format": "tiff"} | WHITE,
    "jpegxl.tiff": {"codec": "jpegxl"} | WHITE,
    "repacked.tiff": {"codec": "jpegxl", "lossless": True, "glass": "keep"},
    "repacked-empty.tiff": {"codec": "jpegxl", "lossless": True} | EMPTY,
    "overview.tiff": {"codec": "jpegxl", "lossless": True, "glass": "keep", "overview": "jpeg"},
    "jpeg2000.svs": {"codec": "jpeg2000", "glass": "keep"},
    "webp.tiff": {"codec": "webp", "glass": "keep"},
    "none.svs": {"codec": "none", "format": "svs", "glass": "keep"},
    "none.tiff": {"codec": "none", "format": "tiff", "glass": "keep"},
    "none-empty.tiff": {"codec": "none"} | EMPTY,
    "neural.tiff": {"codec": NEURAL, "glass": "keep"},
    "neural-overview.tiff": {"codec": NEURAL, "glass": "keep", "overview": "jpeg"},
    "empty.tiff": EMPTY,
    "big.tiff": {"format": "tiff", "glass": "keep"},
    "zstd.tiff": {"codec": "copy", "glass": "keep"},
    "deflate.tiff": {"codec": "copy", "glass": "keep"},
    "regions.svs": REGIONS | {"tissue_codec": "jpeg:10"},
    "regions.tiff": REGIONS | {"tissue_codec": "jpeg:10", "format": "tiff"},
    "regions-jpeg2000.svs": REGIONS | {"tissue_codec": "jpeg2000:25dB"},
    "regions-jpegxl.tiff": REGIONS | {"roi_codec": "jpegxl-lossless", "tissue_codec": "jpegxl:3"},
}
SOURCES = {
    "big.tiff": "big.svs",
    "zstd.tiff": "zstd.tif",
    "deflate.tiff": "deflate.tif",
    "regions-jpeg2000.svs": "jpeg2000.svs",
}
PROGRAMS = {each.reader: each for each in programs()}


def write_plain(path, compression):
    """A generic TIFF of two levels in squares of even colour."""
    squares = np.random.default_rng(1).integers(60, 250, (20, 25, 3), np.uint8)
    pixels = squares.repeat(32, axis=0).repeat(32, axis=1)
    with tifffile.TiffWriter(path) as tiff:
        for step in (1, 4):
            tiff.write(
                np.ascontiguousarray(pixels[::step, ::step]),
                tile=(256, 256),
                photometric="rgb",
                compression=compression,
                subfiletype=int(step > 1),
                resolution=(20000 / step, 20000 / step),
                resolutionunit="CENTIMETER",
            )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verdicts")
    slide = SyntheticSlide(Size(800, 640), seed=6, sections=1, tissue_fraction=0.2, fragments=0, pen=False)
    for name, big in (("source.svs", False), ("big.svs", True)):
        form = SyntheticFormat(tile_px=256, quality=90, downsamples=(1, 4), bigtiff=big)
        write_slide(folder / name, slide, form)
    for compression in ("zstd", "deflate"):
        write_plain(folder / f"{compression}.tif", compression)
    drawn = np.zeros((64, 80), np.uint8)
    drawn[10:30, 20:45] = 1
    Image.fromarray(drawn).save(folder / DRAWN)
    for name, options in KINDS.items():
        source = folder / SOURCES.get(name, "source.svs")
        drawing = {"roi": folder / DRAWN} if "roi" in options else {}
        wsicomp.convert_slide(source, folder / name, ConversionConfig.of(**(options | drawing)))
    return folder


@pytest.fixture(scope="module")
def said(folder):
    """Our verdicts, by file and program."""
    found = {}
    for name in KINDS:
        with closing(open_tiff(folder / name)) as slide:
            found[name] = {verdict.reader: verdict for verdict in verdicts(slide)}
    return found


@pytest.fixture(scope="module", params=PROGRAMS)
def seen(request, folder):
    """A program's name, and what it makes of each file."""
    program = PROGRAMS[request.param]
    if program.python is None:
        pytest.skip(f"{program.reader} is not installed: scripts/readers, or scripts/readers all")
    sights = ask(program, [folder / name for name in KINDS])
    return program.reader, dict(zip(KINDS, sights, strict=True))


@pytest.mark.parametrize("name", [name for name in KINDS if name.startswith("regions")])
def test_the_files_of_regions_have_tiles_of_two_kinds(folder, name):
    with closing(open_tiff(folder / name)) as slide:
        level = slide.provenance.plan.levels[0]
        assert {level.recipes[number].is_exact for number in np.unique(level.chosen)} == {True, False}


@pytest.mark.parametrize("name", ["jpegxl.tiff", "repacked.tiff", "overview.tiff"])
def test_the_files_of_jpeg_xl_hold_jpeg_xl(folder, name):
    with closing(open_tiff(folder / name)) as slide:
        assert slide.provenance.plan.levels[0].encoding.compression == 50002


def test_a_program_opens_a_file_as_its_rule_says(seen, said):
    program, sights = seen
    shown = {name: "no" if isinstance(sight, str) else sight.opens for name, sight in sights.items()}
    assert shown == {name: said[name][program].opens for name in KINDS}


def test_no_program_takes_another_image_of_a_generic_tiff_for_a_level(seen):
    _, sights = seen
    opened = {name: sight for name, sight in sights.items() if not isinstance(sight, str)}
    assert {name: sight.more for name, sight in opened.items() if name.endswith("tiff") and sight.more} == {}


def test_fast_and_large_image_show_tiles_of_jpeg_exactly_blank_ones_too(seen):
    program, sights = seen
    names = ["copy.svs", "lossless.svs", "jpeg.tiff", "lossless.tiff", "big.tiff", "none.tiff"]
    names += ["regions.svs", "regions.tiff"]
    exact = {"FAST": [*names, "jpegxl.tiff"], "large_image": names}.get(program, [])
    assert {name: sights[name].most for name in exact} == dict.fromkeys(exact, 0)


def test_the_line_of_verdicts_names_the_worst_in_capitals():
    found = [ReaderVerdict("a", "yes"), ReaderVerdict("b", "shows black"), ReaderVerdict("c", "no")]
    assert opens_in(found) == "a; NOT in c; SHOWS BLACK in b"
    assert opens_in([found[0], ReaderVerdict("d", "partly")]) == "a; partly in d"
    assert opens_in(found[:1]) == "every viewer tried"
    most = [found[0], found[0], found[2]]
    assert opens_in(most) == "every other viewer tried; NOT in c"


def test_the_line_of_verdicts_says_where_the_source_is_no_better():
    found = [ReaderVerdict("a", "yes"), ReaderVerdict("b", "yes"), ReaderVerdict("c", "partly")]
    worse = [*found[:2], ReaderVerdict("c", "no")]
    assert opens_in(found, worse) == "every viewer tried; partly in c, as the source"
    assert opens_in(found, found) == "every viewer tried; partly in c, as the source"
    assert opens_in(worse, found) == "every other viewer tried; NOT in c"


def test_the_line_of_verdicts_names_openslide_once_where_its_versions_agree(said):
    line = opens_in(list(said["jpegxl.tiff"].values()))
    assert "NOT in OpenSlide, QuPath 0.7" in line
    assert "4.0.0" not in line


def test_a_conversion_reports_what_opens_its_target(folder, said):
    config = ConversionConfig.of(codec="jpegxl", glass="keep", overwrite=True)
    report = wsicomp.convert_slide(folder / "source.svs", folder / "again.tiff", config)
    assert report.opens_in == opens_in(list(said["jpegxl.tiff"].values()))
    assert "SHOWS BLACK in libvips, tiatoolbox" in report.opens_in
    planned = planned_verdicts(plan_slide(folder / "source.svs", config))
    assert opens_in(planned) == report.opens_in
