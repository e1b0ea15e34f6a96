"""The models that ship need no torch, and read what torch wrote: tiles of 0.8.0 are in `shipped.npz`."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.codecs.neural.models import DATA, picture
from tests.paths import ROOT
from wsicomp.codecs.neural import runtime, store
from wsicomp.codecs.neural.litert import litert_transforms
from wsicomp.codecs.neural.payload import unpack
from wsicomp.codecs.quality import psnr
from wsicomp.codecs.registry import create_codec, decode_tiles
from wsicomp.geometry import Size
from wsicomp.slide import EncodedTile

MODELS = ("he-compact", "he-fine")
STEPS = range(11)


@pytest.fixture(scope="module")
def golden():
    with np.load(DATA.with_name("shipped.npz")) as stored:
        return {name: stored[name] for name in stored.files}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("step", STEPS)
def test_latents_of_tiles_of_0_8_0_are_read_bit_for_bit(golden, model, step):
    tile = unpack(golden[f"{model}/{step}/payload"].tobytes())
    net = runtime.network(store.model_of(tile.model), "cpu")
    (latents,) = net.read([tile.strings], runtime.padded(tile.size.shape, net.multiple_px), tile.step)
    found = np.ascontiguousarray(latents.astype("<f4"))
    digest = hashlib.sha256(f"{found.shape}".encode() + found.tobytes()).hexdigest()
    assert (tile.step, digest) == (step, str(golden[f"{model}/{step}/latents"]))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("step", [0, 5, 10])
def test_pixels_of_tiles_of_0_8_0_are_torch_s_within_a_grey_level(golden, model, step):
    tile = unpack(golden[f"{model}/{step}/payload"].tobytes())
    [found] = runtime.decode_payloads([tile], "cpu")
    assert np.abs(found.astype(int) - golden[f"{model}/{step}/pixels"]).max() <= 1


@pytest.mark.parametrize("shape", [(16, 16), (48, 160), (272, 16)])
def test_pictures_of_any_shape_pass_through(shape):
    transforms = litert_transforms(store.find_model("bmshj2018-factorized", None))
    pixels = picture(shape)[None]
    latents = transforms.analyse(pixels)
    assert latents.shape == (1, 208, shape[0] // 16, shape[1] // 16)
    back = transforms.synthesise(latents)
    assert (back.shape, back.dtype) == (pixels.shape, np.uint8)
    assert psnr(back[0], pixels[0]) > 25


def test_many_threads_get_what_one_gets():
    codec = create_codec("bmshj2018-factorized")
    tiles = [picture((96, 64 + 16 * (seed % 2)), seed) for seed in range(12)]
    stored = [
        EncodedTile(codec.payloads([tile])[0], codec.encoding, Size(*tile.shape[1::-1])) for tile in tiles
    ]
    alone = [decode_tiles([tile])[0] for tile in stored]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda tile: decode_tiles([tile])[0], stored * 3))
    for found, expected in zip(together, alone * 3, strict=True):
        assert (found == expected).all()


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["compressai"] = None
import numpy as np
from wsicomp.codecs.registry import create_codec, decode_tile
from wsicomp.geometry import Size
from wsicomp.slide import EncodedTile
for name in ("he-compact", "he-fine"):
    codec = create_codec("bmshj2018-factorized", {"model": name})
    pixels = np.load(sys.argv[1])
    data = codec.encode(pixels)
    assert data[:4] == b"WSN1"
    back = decode_tile(EncodedTile(data, codec.encoding, Size(128, 128)))
    print(int(np.abs(back.astype(int) - pixels).mean()))
"""


def test_tiles_are_written_and_read_without_torch(tmp_path):
    np.save(tmp_path / "pixels.npy", picture((128, 128)))
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, tmp_path / "pixels.npy"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert all(int(line) < 8 for line in run.stdout.split())
