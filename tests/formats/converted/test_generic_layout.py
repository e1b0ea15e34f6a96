"""The layout of generic TIFFs: levels alone in the chain of levels, and what programs need to open it."""

import pytest
import tifffile

import wsicomp
from wsicomp import ConversionConfig
from wsicomp.formats.tiff import xmp
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide

pytestmark = pytest.mark.gate


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "big"])
def files(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("layout")
    slide = SyntheticSlide(Size(768, 576), seed=6, sections=1, tissue_fraction=0.2, fragments=0, pen=False)
    form = SyntheticFormat(downsamples=(1, 2), bigtiff=request.param)
    write_slide(folder / "source.svs", slide, form)
    config = ConversionConfig.of(codec="jpegxl", lossless=True, glass="keep")
    wsicomp.convert_slide(folder / "source.svs", folder / "made.tiff", config)
    return folder / "source.svs", folder / "made.tiff", request.param


def test_the_chain_of_levels_holds_levels_alone_and_tifffile_lists_them_in_one_series(files):
    with tifffile.TiffFile(files[1]) as tiff:
        assert [(page.imagewidth, page.is_tiled) for page in tiff.pages] == [(768, True), (384, True)]
        assert [level.shape[1] for level in tiff.series[0].levels] == [768, 384]
        assert len(tiff.pages[0].subifds) == 1
        assert not tiff.pages[1].subifds


def test_every_level_states_its_sample_format(files):
    with tifffile.TiffFile(files[1]) as tiff:
        assert [page.tags[339].value for page in tiff.pages] == [(1, 1, 1)] * 2
        assert [sorted(page.tags.keys()) == list(page.tags.keys()) for page in tiff.pages] == [True] * 2


@pytest.mark.parametrize(
    "options",
    [{"codec": "webp"}, {"codec": "bmshj2018-factorized"}, {"codec": "jpegxl", "overview": "jpeg"}],
    ids=["webp", "neural", "overview"],
)
def test_no_level_states_it_where_fast_would_show_black_or_die(tmp_path, options):
    slide = SyntheticSlide(Size(512, 512), seed=6, sections=1, tissue_fraction=0.2, fragments=0, pen=False)
    write_slide(tmp_path / "source.svs", slide, SyntheticFormat(downsamples=(1, 4)))
    config = ConversionConfig.of(**options, glass="keep")
    wsicomp.convert_slide(tmp_path / "source.svs", tmp_path / "made.tiff", config)
    with tifffile.TiffFile(tmp_path / "made.tiff") as tiff:
        assert [page.tags.get(339) for page in tiff.pages] == [None] * len(tiff.pages)


def test_no_level_states_it_where_jpeg_holds_rgb_which_fast_takes_for_ycbcr(tmp_path):
    slide = SyntheticSlide(Size(512, 512), seed=6, sections=1, tissue_fraction=0.2, fragments=0, pen=False)
    write_slide(tmp_path / "source.svs", slide, SyntheticFormat(photometric="rgb", downsamples=(1, 4)))
    config = ConversionConfig.of(format="tiff", glass="keep")
    wsicomp.convert_slide(tmp_path / "source.svs", tmp_path / "made.tiff", config)
    with tifffile.TiffFile(tmp_path / "made.tiff") as tiff:
        assert [page.tags.get(339) for page in tiff.pages] == [None] * len(tiff.pages)


def test_a_target_is_a_bigtiff_where_its_source_was(files):
    with tifffile.TiffFile(files[1]) as tiff:
        assert tiff.is_bigtiff == files[2]


def test_associated_images_are_those_of_the_source(files):
    with wsicomp.open_slide(files[0]) as source, wsicomp.open_slide(files[1]) as made:
        assert sorted(made.associated_images) == ["label", "macro", "thumbnail"]
        for name, picture in source.associated_images.items():
            assert made.associated_images[name].tobytes() == picture.tobytes()


def test_a_packet_without_the_wrapper_is_read_as_before():
    packet = xmp.wrap('{"a": 1}')
    assert packet.startswith(b"<?xpacket begin=")
    assert packet.endswith(b'<?xpacket end="w"?>')
    bare = packet[packet.index(b"<x:xmpmeta") : packet.rindex(b"<?xpacket")]
    assert xmp.unwrap(bare) == xmp.unwrap(packet) == '{"a": 1}'
