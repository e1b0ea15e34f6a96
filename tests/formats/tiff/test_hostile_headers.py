"""Headers that lead in circles, end early or state too much: an error or an answer, and soon."""

import random
import struct
from contextlib import closing

import pytest
import tifffile

from tests import layouts, tiffs
from tests.drawn import colour, levels
from wsicomp import ConversionConfig, SlideReadError, convert_slide
from wsicomp.codecs.jpeg2000_stream import read_form
from wsicomp.formats.opening import open_reader
from wsicomp.formats.stated_scale import positive_number
from wsicomp.formats.tiff.ome import parse_ome


def stream():
    return colour.jpeg2000_stream(colour.picture(64, 64), True, "444", False)


def test_a_tile_part_whose_length_leads_back_is_read_once():
    head = stream()[: stream().index(b"\xff\x90")]
    part = b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 16, 0, 1)
    comment = b"\xff\x64" + struct.pack(">H", 4) + b"\xff\x93"
    assert read_form(head + part + comment + b"\xff\x93" + bytes(8)).size.width == 64


@pytest.mark.parametrize("length", range(60))
def test_a_codestream_cut_in_its_header_is_a_value_error_or_a_form(length):
    try:
        assert read_form(stream()[:length]).size.width == 64
    except ValueError:
        assert length < 60


def test_parts_beyond_what_a_file_can_hold_take_no_memory():
    part = '<TiffData IFD="{}" PlaneCount="1000"/>'
    parts = "".join(part.format(number * 1000) for number in range(3000))
    pixels = f'<Pixels SizeX="9" SizeY="9" SizeZ="1000" SizeC="1" SizeT="1">{parts}</Pixels>'
    document = parse_ome(f'<OME><Image ID="Image:0">{pixels}</Image></OME>')
    assert document.of_page(0).pages == tuple(range(1000))


def test_an_identity_where_none_belongs_is_no_traceback():
    document = parse_ome("<OME><Image><TiffData><UUID>x</UUID></TiffData></Image></OME>")
    assert document.of_page(0).size is None


@pytest.mark.parametrize("text", ["0x" + "f" * 300, "9" * 400, "1e999", "0x"])
def test_a_number_beyond_all_numbers_is_none(text):
    assert positive_number(text) is None


def test_a_label_by_its_own_word_goes_with_no_label_whatever_ome_xml_calls_it(tmp_path):
    pixels, bars = levels.scene(512, 384, 0), levels.label()
    images = levels.ome_image(1, "macro", bars.shape[1::-1], 1)
    text = levels.ome_xml((512, 384), images=images)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
        options = {"photometric": "rgb", "metadata": None}
        tiff.write(pixels, tile=(64, 64), description=text.encode(), **options)
        tiff.write(bars, description="Aperio Image Library\nlabel 160x144", **options)
    config = ConversionConfig.of(glass="keep", label=False)
    convert_slide(tmp_path / "a.ome.tif", tmp_path / "b.tif", config)
    with closing(open_reader(tmp_path / "b.tif")) as slide:
        assert not slide.info.associated_images


def test_a_list_of_sub_images_without_end_is_refused(tmp_path):
    tile = tiffs.jpeg(tiffs.picture(64, 64))
    for name, offsets in {"zeros": [0] * 200_000, "many": range(8, 5008)}.items():
        image = layouts.Image(64, 64, [tile], tags={330: ("I", offsets)})
        (tmp_path / f"{name}.tif").write_bytes(layouts.lay_out([image], random.Random(0)))
    with closing(open_reader(tmp_path / "zeros.tif")) as slide:
        assert len(slide.info.levels) == 1
    with pytest.raises(SlideReadError, match="5000 SubIFDs"):
        open_reader(tmp_path / "many.tif")
