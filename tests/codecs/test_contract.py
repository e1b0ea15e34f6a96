"""What every codec promises, held to every one that the registry has; a new one joins by its line there."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.codecs.neural.models import SETTINGS, model
from wsicomp.codecs.neural import store
from wsicomp.codecs.pixels import eighth
from wsicomp.codecs.registry import codec_names, create_codec, decode_tile, decode_tile_eighth, tile_format
from wsicomp.geometry import Size
from wsicomp.slide import EncodedTile

OPTIONS = [
    *((name, {}) for name in codec_names()),
    ("jpeg", {"quality": 60}),
    ("jpegxl", {"distance": 2.0, "effort": 3}),
    ("jpegxl", {"quality": 80, "effort": 3}),
    ("jpegxl", {"lossless": True, "effort": 3}),
    ("jpeg2000", {"psnr": 42.5}),
    ("jpeg2000", {"rate": 12.0}),
    ("webp", {"quality": 70}),
    ("webp", {"lossless": True}),
]
SIZES = [Size(256, 256), Size(240, 240), Size(48, 32), Size(16, 16)]


@pytest.fixture(scope="module", params=OPTIONS, ids=lambda param: f"{param[0]}-{param[1]}")
def codec(request):
    return created(*request.param)


def created(name, options):
    """The codec; where no model ships for it with an untrained one, which makes the guard do its work."""
    if name in SETTINGS:
        pytest.importorskip("compressai", reason="the extra neural is not installed")
        options = {"model": store.remember(model(name)).digest}
    return create_codec(name, options)


def drawn(size, seed=0):
    """Something like tissue: smooth colours, edges and some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size.height, 0 : size.width]
    base = np.stack([200 + 20 * np.sin(x / 9), 140 + 30 * np.cos(y / 7), 190 + 0 * x], axis=-1)
    base[(x // 12 + y // 10) % 3 == 0] -= 45
    return np.clip(base + rng.normal(0, 3, base.shape), 0, 255).astype(np.uint8)


def psnr(first, second):
    return 10 * np.log10(255**2 / max(1e-9, np.mean((first.astype(float) - second) ** 2)))


def stored(codec, pixels):
    size = Size(pixels.shape[1], pixels.shape[0])
    return EncodedTile(codec.encode(pixels), codec.encoding, size)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_tile_comes_back_in_its_size_and_nearly_or_wholly_in_its_pixels(codec, size):
    pixels = drawn(size)
    back = decode_tile(stored(codec, pixels))
    assert back.shape == pixels.shape
    assert back.dtype == np.uint8
    if codec.lossless:
        assert (back == pixels).all()
    elif size.width >= 240:  # of a few pixels, a rate leaves nothing but the header
        assert psnr(back, pixels) > 24


def test_it_promises_loss_exactly_where_there_is_some(codec):
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    assert (decode_tile(stored(codec, pixels)) == pixels).all() == codec.lossless


def test_its_config_makes_it_again(codec, request):
    name = request.node.callspec.params["codec"][0]
    again = create_codec(name, codec.config())
    assert again.config() == codec.config()
    assert again.encoding == codec.encoding
    assert again.encode(drawn(Size(64, 64))) == codec.encode(drawn(Size(64, 64)))


@pytest.mark.gate
def test_the_same_tile_gives_the_same_bytes_in_any_thread(codec):
    pixels = drawn(Size(128, 128))
    with ThreadPoolExecutor(4) as executor:
        assert len(set(executor.map(lambda _: codec.encode(pixels), range(8)))) == 1


def test_it_does_not_change_its_pixels_and_takes_them_in_any_layout(codec):
    wide = drawn(Size(160, 96))
    view = wide[16:80, 32:96]
    before = view.copy()
    assert codec.encode(view) == codec.encode(before)
    assert (view == before).all()


def test_an_eighth_is_the_means_of_blocks(codec):
    tile = stored(codec, drawn(Size(256, 256)))
    small = decode_tile_eighth(tile)
    assert small.shape == (32, 32, 3)
    assert np.abs(small.astype(int) - eighth(decode_tile(tile))).mean() < 2


@pytest.mark.parametrize("color", [(255, 255, 255), (241, 238, 242)])
def test_a_uniform_tile_stands_beside_its_others(codec, color):
    form = tile_format(codec.encoding.compression)
    data = form.encode_uniform(codec.encoding, Size(256, 256), color)
    pixels = decode_tile(EncodedTile(data, codec.encoding, Size(256, 256)))
    assert (pixels == pixels[0, 0]).all()
    assert np.abs(pixels[0, 0].astype(int) - color).max() <= (0 if color == (255, 255, 255) else 2)


def test_a_tile_of_another_size_is_refused(codec):
    data = codec.encode(drawn(Size(64, 64)))
    with pytest.raises((ValueError, RuntimeError)):
        decode_tile(EncodedTile(data, codec.encoding, Size(128, 128)))


@pytest.mark.parametrize("cut", [0, 1, 10, 0.5])
def test_damaged_bytes_are_refused_or_fill_up_and_never_crash(codec, cut):
    data = codec.encode(drawn(Size(64, 64)))
    data = data[: int(len(data) * cut) if isinstance(cut, float) else cut]
    try:
        pixels = decode_tile(EncodedTile(data, codec.encoding, Size(64, 64)))
    except (ValueError, RuntimeError):
        return
    assert pixels.shape == (64, 64, 3)
    assert cut == 0.5


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 4), (64, 64, 1)])
def test_what_is_not_rgb_is_refused(codec, shape):
    with pytest.raises(ValueError, match="expected"):
        codec.encode(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="expected"):
        codec.encode(np.zeros((64, 64, 3), np.uint16))
