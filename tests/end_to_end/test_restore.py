"""The way back: the source's file byte for byte, whatever its layout."""

import hashlib
import random
import shutil

import imagecodecs
import numpy as np
import openslide
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import wsicomp
from tests import layouts, tiffs
from tests.codecs.test_contract import drawn
from tests.command_line import run_command
from tests.conftest import REAL_SLIDES, is_small, slow_unless, trial_size
from wsicomp import ConfigError, ConversionConfig, SlideReadError, TargetExistsError, VerificationError
from wsicomp.formats.converted.source_remainder import SourceRemainder
from wsicomp.geometry import Size
from wsicomp.synthetic import SyntheticFormat, SyntheticSlide, write_slide
from wsicomp.synthetic.form import srgb_profile

PACKED = {"codec": "jpegxl", "lossless": True, "glass": "keep", "restorable": True}
COPIED = {"codec": "copy", "glass": "keep", "restorable": True}


def there_and_back(source, folder, **options):
    """Convert and restore; the report of the conversion."""
    target, again = folder / "target.tiff", folder / "again.svs"
    report = wsicomp.convert_slide(source, target, ConversionConfig.of(**(options or PACKED), overwrite=True))
    assert report.restorable
    restored = wsicomp.restore_slide(target, again, overwrite=True)
    assert again.read_bytes() == source.read_bytes()
    assert restored.sha256 == report.source_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert restored.bytes == source.stat().st_size
    return report


@pytest.mark.gate
@pytest.mark.slides
@pytest.mark.parametrize("options", [PACKED, COPIED], ids=["packed", "copied"])
@pytest.mark.parametrize(
    "source",
    slow_unless(is_small, [path for path in REAL_SLIDES if path.suffix != ".dcm"]),
    ids=lambda path: path.name,
)
def test_every_real_tiff_slide_comes_back(source, options, tmp_path):
    there_and_back(source, tmp_path, **options)


FORMS = {
    "svs": SyntheticFormat(tile_px=256, downsamples=(1, 4)),
    "big": SyntheticFormat(tile_px=256, downsamples=(1, 4), bigtiff=True, icc_profile=srgb_profile()),
    "tiff": SyntheticFormat("tiff", tile_px=256, downsamples=(1, 2), subsampling="420"),
    "rgb": SyntheticFormat(tile_px=256, photometric="rgb", shared_tables=False, downsamples=(1,)),
    "no mpp": SyntheticFormat("tiff", tile_px=256, states_mpp=False, downsamples=(1,)),
    "jpeg2000": SyntheticFormat(tile_px=256, compression="jpeg2000-rgb", downsamples=(1, 4)),
    "lzw": SyntheticFormat("tiff", tile_px=256, compression="lzw", downsamples=(1,)),
    "deflate": SyntheticFormat("tiff", tile_px=256, compression="deflate", downsamples=(1,)),
    "none": SyntheticFormat("tiff", tile_px=256, compression="none", downsamples=(1, 4)),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_kind_of_drawn_slide_comes_back(name, tmp_path):
    write_slide(tmp_path / "source.svs", SyntheticSlide(Size(600, 400), seed=4), FORMS[name])
    report = there_and_back(tmp_path / "source.svs", tmp_path)
    assert name == "jpeg2000" or report.codec == "jpegxl"


def encoded(number, trailing=b""):
    return (
        bytes(imagecodecs.jpeg8_encode(drawn(Size(128, 128), number), level=95, subsampling="420")) + trailing
    )


@st.composite
def slides(draw):
    """The bytes of a slide in a layout that no scanner would dream of."""
    rng = random.Random(draw(st.integers(0, 1 << 30)))
    is_svs = draw(st.booleans())
    largest = draw(st.integers(60, 500)), draw(st.integers(60, 500))
    images = []
    for number in range(draw(st.integers(1, 3))):
        width, height = largest[0] >> number, largest[1] >> number
        columns, rows = -(-width // 128), -(-height // 128)
        pieces = [
            encoded(rng.randint(0, 9), rng.randbytes(rng.choice([0, 0, 3]))) for _ in range(columns * rows)
        ]
        for piece in range(1, len(pieces)):
            if rng.random() < 0.2:
                pieces[piece] = None  # the same bytes as the tile before
        text = tiffs.DESCRIPTION.format(width, height).encode() if is_svs else b""
        images.append(
            layouts.Image(width, height, pieces, (128, 128), subfile=int(number > 0), description=text)
        )
    if draw(st.booleans()):
        strip = bytes(imagecodecs.lzw_encode(drawn(Size(30, 20)).tobytes()))
        text = b"Aperio\nlabel 30x20" if is_svs else b"a photograph"
        images.append(layouts.Image(30, 20, [strip], None, 5, 2, subfile=1, description=text))
    if draw(st.booleans()):
        images.append(
            layouts.Image(40, 10, [rng.randbytes(400)], None, 1, 1, description=b"of another program")
        )
        images[-1].tags = {258: ("H", [8]), 277: ("H", [1])}
    return layouts.lay_out(
        images,
        rng,
        big=draw(st.booleans()),
        byte_order=draw(st.sampled_from("<>")),
        gap=draw(st.sampled_from([0, 40, 3000])),
        tail=rng.randbytes(draw(st.sampled_from([0, 1, 5000]))),
    )


@pytest.mark.gate
@given(slides(), st.sampled_from([PACKED, COPIED]))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_every_layout_that_tiff_allows_comes_back(tmp_path_factory, data, options):
    folder = tmp_path_factory.mktemp("layout")
    (folder / "source.svs").write_bytes(data)
    report = there_and_back(folder / "source.svs", folder, **options)
    assert report.codec == ("copy" if options is COPIED else "jpegxl")
    shutil.rmtree(folder)


def test_tiles_that_overlap_come_back(tmp_path):
    inner = encoded(1)
    outer = inner + encoded(2)
    image = layouts.Image(256, 128, [outer, None], (128, 128))
    rng = random.Random(1)
    data = bytearray(layouts.lay_out([image], rng, gap=0))
    where = data.index(outer)
    # The second tile becomes the latter half of the first one's bytes.
    offsets = data.index((where).to_bytes(4, "little") * 2)
    data[offsets + 4 : offsets + 8] = (where + len(inner)).to_bytes(4, "little")
    counts = data.index(len(outer).to_bytes(4, "little") * 2)
    data[counts + 4 : counts + 8] = (len(outer) - len(inner)).to_bytes(4, "little")
    (tmp_path / "source.tiff").write_bytes(data)
    there_and_back(tmp_path / "source.tiff", tmp_path)


def test_damaged_tiles_of_the_source_come_back_as_they_were(tmp_path):
    source = tiffs.write_tiff(tmp_path / "source.svs", 400, 300)
    tiffs.damage_tile(source, 7)
    tiffs.flip_bit(source, 12)
    report = there_and_back(source, tmp_path)
    assert report.levels[0].kept >= 1
    assert report.flawed_tiles >= 1


@pytest.fixture
def archived(tmp_path):
    write_slide(tmp_path / "source.svs", SyntheticSlide(Size(300, 200), seed=4), FORMS["svs"])
    wsicomp.convert_slide(tmp_path / "source.svs", tmp_path / "target.tiff", ConversionConfig.of(**PACKED))
    return tmp_path


def test_an_existing_file_is_replaced_only_when_told(archived):
    with pytest.raises(TargetExistsError):
        wsicomp.restore_slide(archived / "target.tiff", archived / "source.svs")
    with pytest.raises(wsicomp.SlideWriteError, match="an input"):
        wsicomp.restore_slide(archived / "target.tiff", archived / "target.tiff", overwrite=True)


@pytest.mark.gate
def test_a_damaged_file_restores_nothing(archived):
    data = bytearray((archived / "target.tiff").read_bytes())
    rng = random.Random(0)
    for _ in range(trial_size(12, 40)):
        place = rng.randrange(len(data))
        broken = bytearray(data)
        broken[place] ^= 1 << rng.randrange(8)
        (archived / "bad.tiff").write_bytes(broken)
        try:
            wsicomp.restore_slide(archived / "bad.tiff", archived / "again.svs", overwrite=True)
        except SlideReadError:
            assert not (archived / "again.svs").exists()
        else:
            assert (archived / "again.svs").read_bytes() == (archived / "source.svs").read_bytes()
            (archived / "again.svs").unlink()
    assert sorted(path.name for path in archived.iterdir()) == ["bad.tiff", "source.svs", "target.tiff"]


def test_a_file_that_holds_no_source_says_so(tmp_path):
    source = tiffs.write_tiff(tmp_path / "source.svs")
    with pytest.raises(SlideReadError, match="holds no source to restore"):
        wsicomp.restore_slide(source, tmp_path / "again.svs")


def test_a_conversion_is_not_restorable_itself(archived):
    with pytest.raises(ConfigError, match="take its source"):
        wsicomp.convert_slide(archived / "target.tiff", archived / "b.tiff", ConversionConfig.of(**PACKED))


def test_what_would_not_restore_is_not_kept(tmp_path, monkeypatch):
    source = tiffs.write_tiff(tmp_path / "source.svs")
    zeros = lambda self, packer, start, end: packer.add(bytes(end - start))  # noqa: E731
    monkeypatch.setattr(SourceRemainder, "_between", zeros)
    with pytest.raises(VerificationError, match="not-restorable"):
        wsicomp.convert_slide(source, tmp_path / "target.tiff", ConversionConfig.of(**PACKED))
    assert [path.name for path in tmp_path.iterdir()] == ["source.svs"]


def test_the_command_gives_the_file_back(archived):
    command = ("restore", archived / "target.tiff", archived / "again.svs")
    code, out, _ = run_command(*command)
    assert code == 0
    assert hashlib.sha256((archived / "source.svs").read_bytes()).hexdigest() in out
    assert (archived / "again.svs").read_bytes() == (archived / "source.svs").read_bytes()
    code, _, err = run_command(*command)
    assert code == 1
    assert "exists already" in err


def test_a_restored_slide_opens_as_the_source(archived):
    wsicomp.restore_slide(archived / "target.tiff", archived / "again.svs")
    with (
        openslide.OpenSlide(archived / "source.svs") as before,
        openslide.OpenSlide(archived / "again.svs") as after,
    ):
        assert dict(before.properties) == dict(after.properties)
        assert (np.asarray(before.get_thumbnail((99, 99))) == np.asarray(after.get_thumbnail((99, 99)))).all()
