"""JPEG tiles of Leica's, Philips's and Ventana's slides are encoded tiles where they stand on a plain grid.

OpenSlide's picture of the source is the judge.
"""

from __future__ import annotations

from contextlib import closing

import openslide
import pytest

import wsicomp
from tests.drawn import vendor_tiffs
from tests.drawn.dicom_slide import stored_levels
from tests.drawn.shown_levels import same_levels, whole_levels
from wsicomp.config import ConversionConfig
from wsicomp.errors import ConfigError
from wsicomp.formats.opening import open_reader
from wsicomp.formats.vendor_tiffs.xml_tree import xml_tree
from wsicomp.geometry import Size, TileIndex
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

PLAIN = {
    "philips": ("philips", lambda path, odd, _: vendor_tiffs.philips(path, odd)),
    "philips, sparse": ("philips", lambda path, odd, _: vendor_tiffs.philips(path, odd, left_out=(0, 3))),
    "philips, rgb": (
        "philips",
        lambda path, odd, _: vendor_tiffs.philips(path, odd.with_name("rgb.svs"), photometric=2),
    ),
    "huron": ("huron", lambda path, odd, _: vendor_tiffs.huron(path, odd)),
    "argos": ("argos", lambda path, odd, _: vendor_tiffs.argos(path, odd)),
    "leica": ("leica", lambda path, odd, _: vendor_tiffs.leica(path, odd, (512, 512))),
    "leica, two areas": (
        "leica",
        lambda path, _, even: vendor_tiffs.leica(path, even, (0, 0), (1024, 256), behind=256),
    ),
    "ventana": ("ventana", lambda path, odd, _: vendor_tiffs.ventana(path, odd)),
    "bif": ("ventana", lambda path, _, even: vendor_tiffs.ventana(path, even, [(0, 0, 6, 4)])),
    "bif, narrower": ("ventana", lambda path, _, even: vendor_tiffs.ventana(path, even, [(0, 0, 3, 4)])),
    "bif, two areas": (
        "ventana",
        lambda path, _, even: vendor_tiffs.ventana(path, even, [(0, 0, 2, 4), (4, 0, 2, 2)]),
    ),
}
BARE = {
    "philips": lambda path, svs: vendor_tiffs.philips(path, svs, left_out=(1,)),
    "leica": lambda path, svs: vendor_tiffs.leica(path, svs, (256, 256)),
    "bif": lambda path, svs: vendor_tiffs.ventana(path, svs, [(0, 0, 6, 4)]),
}
OFF_GRID, OVERLAP = "JPEG tiles that stand off a plain grid", "JPEG tiles that overlap"
NOT_PLAIN = {
    "argos, focal planes": (
        "tiles of several focal planes",
        lambda path, odd, _: vendor_tiffs.argos(path, odd, planes=3),
    ),
    "leica, off the grid": (OFF_GRID, lambda path, odd, _: vendor_tiffs.leica(path, odd, (100, 512))),
    "leica, cut tiles": (
        OFF_GRID,
        lambda path, odd, _: vendor_tiffs.leica(path, odd, (512, 512), behind=100),
    ),
    "leica, overlap": (
        OVERLAP,
        lambda path, _, even: vendor_tiffs.leica(path, even, (0, 0), (256, 256), behind=256),
    ),
    "bif, overlap": (
        OVERLAP,
        lambda path, _, even: vendor_tiffs.ventana(path, even, [(0, 0, 6, 4)], overlap=8),
    ),
    "bif, parts of tiles": (
        "JPEG tiles of which scanned areas show parts",
        lambda path, _, even: vendor_tiffs.ventana(path, even, [(0, 0, 3, 4), (4, 0, 2, 2)]),
    ),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Slides as SVS: of odd size, the same in RGB, of whole tiles on both levels, and one with much glass."""
    folder = tmp_path_factory.mktemp("drawn")
    odd = SyntheticSlide(Size(700, 500), seed=3)
    write_slide(folder / "odd.svs", odd, SyntheticFormat(tile_px=128, downsamples=(1, 4)))
    form = SyntheticFormat(tile_px=128, downsamples=(1, 4), photometric="rgb")
    write_slide(folder / "rgb.svs", odd, form)
    form = SyntheticFormat(tile_px=128, downsamples=(1, 2), quality=95)
    write_slide(folder / "even.svs", SyntheticSlide(Size(768, 512), seed=4), form)
    bare = SyntheticSlide(Size(768, 512), seed=4, sections=1, tissue_fraction=0.1, fragments=0, pen=False)
    write_slide(folder / "bare.svs", bare, form)
    return folder


def made(drawn, path, draw):
    return draw(path, drawn / "odd.svs", drawn / "even.svs")


@pytest.mark.parametrize(("vendor", "draw"), PLAIN.values(), ids=PLAIN)
def test_copied_tiles_show_what_openslide_shows_of_the_source(vendor, draw, drawn, tmp_path):
    path = made(drawn, tmp_path / "slide.tif", draw)
    assert openslide.OpenSlide.detect_format(path) == vendor
    config = ConversionConfig.of(codec="copy", glass="keep")
    report = wsicomp.convert_slide(path, tmp_path / "target.tiff", config)
    assert all(level.copied and not level.encoded for level in report.levels)
    assert same_levels(path, openslide.OpenSlide(tmp_path / "target.tiff"))
    sources = {
        tile
        for name in ("odd", "rgb", "even")
        for *_, tiles in stored_levels(drawn / f"{name}.svs")
        for tile in tiles
    }
    kept = sum(tile in sources for *_, tiles in stored_levels(tmp_path / "target.tiff") for tile in tiles)
    assert kept == sum(level.copied for level in report.levels)


@pytest.mark.parametrize("draw", BARE.values(), ids=BARE)
def test_repacked_tiles_show_what_openslide_shows_of_the_source(draw, drawn, tmp_path):
    path = draw(tmp_path / "slide.tif", drawn / "even.svs")
    config = ConversionConfig.of(codec="jpegxl", lossless=True, glass="keep")
    report = wsicomp.convert_slide(path, tmp_path / "target.tiff", config)
    assert report.levels[0].transcoded > 0 == sum(level.encoded for level in report.levels)
    assert same_levels(path, wsicomp.open_slide(tmp_path / "target.tiff"))


@pytest.mark.parametrize("draw", BARE.values(), ids=BARE)
def test_glass_goes_and_tissue_stays_verbatim(draw, drawn, tmp_path):
    path = draw(tmp_path / "slide.tif", drawn / "bare.svs")
    config = ConversionConfig.of(codec="copy", glass="white", segmenter="threshold", margin_um=0)
    report = wsicomp.convert_slide(path, tmp_path / "target.tiff", config)
    sources = {tile for *_, tiles in stored_levels(drawn / "bare.svs") for tile in tiles}
    kept = sum(tile in sources for *_, tiles in stored_levels(tmp_path / "target.tiff") for tile in tiles)
    assert 5 < kept == sum(level.copied for level in report.levels) < len(sources)
    with openslide.OpenSlide(path) as before, openslide.OpenSlide(tmp_path / "target.tiff") as after:
        for shown, stored in zip(whole_levels(before), whole_levels(after), strict=True):
            assert (stored[(shown != stored).any(axis=2)] == 255).all()


@pytest.mark.parametrize(("words", "draw"), NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_other_tiles_are_pixels_and_the_reason_is_told(words, draw, drawn, tmp_path):
    path = made(drawn, tmp_path / "slide.tif", draw)
    with closing(open_reader(path)) as slide:
        assert {level.form for level in slide.info.levels} == {words}
        assert slide.read_tile(TileIndex(0, 0, 0)).shape == (*slide.info.levels[0].tile.shape, 3)
    with pytest.raises(ConfigError, match=f"they are {words}"):
        wsicomp.convert_slide(path, tmp_path / "target.tiff", ConversionConfig.of(codec="copy"))


def test_a_file_whose_xml_is_refused_is_read_by_its_pixels(drawn, tmp_path):
    path = vendor_tiffs.leica(tmp_path / "slide.scn", drawn / "odd.svs", (512, 512))
    head, odd = b'<?xml version="1.0"?>', b"<!DOCTYPE scn>       "
    path.write_bytes(path.read_bytes().replace(head, odd))
    with closing(open_reader(path)) as slide:
        assert {level.form for level in slide.info.levels} == {
            "tiles that are not found (XML with a document type)"
        }


@pytest.mark.parametrize(
    "text",
    [b"<a>", b"", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"<a/><b/>", b"\xff\xfe<", b"<a>" * 100_000],
)
def test_unsound_xml_is_an_error_in_one_line(text):
    with pytest.raises(ValueError, match=r"^[^\n]*XML[^\n]*$"):
        xml_tree(text)
