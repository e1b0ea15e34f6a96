"""Small networks of every architecture, the same on every machine: weights from numpy, tables from a file.

`python -m tests.codecs.neural.models` writes that file anew, and golden payloads of these networks with it.
They change only with the format: a payload of today must be read for ever.
"""

import hashlib
import sys
import zlib
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "golden.npz"
SETTINGS = {
    "bmshj2018-hyperprior": {"N": 8, "M": 12},
    "mbt2018-mean": {"N": 8, "M": 12},
    "elic2022-chandelier": {"N": 8, "M": 12, "groups": [2, 4, 6]},
}
ARCHITECTURES = ("bmshj2018-factorized", *SETTINGS)
SHAPE = (128, 192)
BUFFERS = ("_quantized_cdf", "_cdf_length", "_offset", "scale_table")
_SPREAD = 4.0


def picture(shape=SHAPE, seed=0):
    """Something like tissue, without a random generator that could change."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    waves = [np.sin((rows * (3 + channel) + columns * (seed + 2)) / 17) for channel in range(3)]
    spots = ((rows // 9 + columns // 7 + seed) % 5 == 0)[..., None] * 60
    pixels = 180 + 40 * np.stack(waves, axis=-1) - spots
    return np.clip(pixels, 0, 255).astype(np.uint8)


def network(architecture):
    """CompressAI's own, untrained, with weights that make its latents and scales spread."""
    import torch
    from compressai import models

    sizes = SETTINGS.get(architecture, {"N": 8, "M": 12})
    kinds = {
        "bmshj2018-factorized": models.FactorizedPrior,
        "bmshj2018-hyperprior": models.ScaleHyperprior,
        "mbt2018-mean": models.MeanScaleHyperprior,
        "elic2022-chandelier": models.Elic2022Chandelier,
    }
    net = kinds[architecture](**sizes).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if parameter.ndim != 4 and "bias" in name:
                parameter.fill_(0.01)
            if parameter.ndim != 4:
                continue
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            fan_in = parameter[0].numel() if "g_s" not in name else parameter[:, 0].numel()
            drawn = rng.normal(
                0, (1.1 if "elic" in architecture else 1.6) / fan_in**0.5, tuple(parameter.shape)
            )
            parameter.copy_(torch.from_numpy(drawn).float())
        last = [layer for layer in net.g_a if isinstance(layer, torch.nn.Conv2d)][-1]
        last.weight.mul_(_SPREAD)
    return net


def model(architecture, tables=None):
    """The network as a model; `tables` are its buffers, those of the golden file unless told otherwise."""
    import torch

    from wsicomp.codecs.neural.model import ModelCard, create_model
    from wsicomp.codecs.neural.zoo import _factorized_tensors

    net = network(architecture)
    if tables is None:
        with np.load(DATA) as stored:
            tables = {
                name.removeprefix(f"{architecture}/"): stored[name]
                for name in stored.files
                if name.startswith(f"{architecture}/") and name.endswith(BUFFERS)
            }
    state = {name: tensor.numpy() for name, tensor in net.state_dict().items()} | tables
    state = {name: np.ascontiguousarray(tensor) for name, tensor in state.items()}
    settings = SETTINGS.get(architecture) or {"nonlinearity": "gdn"}
    if architecture == "bmshj2018-factorized":
        state = _factorized_tensors(state)
    assert isinstance(net, torch.nn.Module)
    card = ModelCard(
        f"seeded-{architecture}", architecture, settings, (1.0,), 0, "untrained", "nothing", "none", "tests"
    )
    return create_model(card, state)


def fresh_tables(architecture):
    """The buffers that CompressAI computes on this machine."""
    net = network(architecture)
    net.update(force=True)
    return {name: tensor.numpy() for name, tensor in net.state_dict().items() if name.endswith(BUFFERS)}


def digest(latents):
    """SHA-256 of latents, shape and all."""
    array = np.ascontiguousarray(latents.astype("<f4"))
    return hashlib.sha256(f"{array.shape}".encode() + array.tobytes()).hexdigest()


def payload_of(found, pixels):
    """A payload of the network's own making, whatever its picture looks like, and its latents unquantised."""
    from wsicomp.codecs.neural import runtime
    from wsicomp.codecs.neural.build import build_network
    from wsicomp.codecs.neural.payload import Payload
    from wsicomp.geometry import Size

    net = build_network(found, "cpu")
    latents = net.analyse(runtime.pictures([pixels], net.multiple_px))
    (strings,) = net.write(latents, 0)
    size = Size(pixels.shape[1], pixels.shape[0])
    return Payload(found.key, size, 0, strings), latents[0]


def read_latents(payload):
    """Return a tile's latents, (channels, rows, columns) float32, the same on every machine."""
    from wsicomp.codecs.neural import runtime, store

    net = runtime.network(store.model_of(payload.model), "cpu")
    size = runtime.padded(payload.size.shape, net.multiple_px)
    return net.read([payload.strings], size, payload.step)[0]


def main():
    from wsicomp.codecs.neural import store

    values = {}
    for architecture in ARCHITECTURES:
        tables = fresh_tables(architecture)
        values |= {f"{architecture}/{name}": array for name, array in tables.items()}
        payload, _ = payload_of(store.remember(model(architecture, tables)), picture())
        latents = read_latents(payload)
        values[f"{architecture}/payload"] = np.frombuffer(payload.pack(), np.uint8)
        values[f"{architecture}/latents"] = np.array(digest(latents))
        lengths = [len(string) for string in payload.strings]
        sys.stdout.write(f"{architecture}: strings of {lengths} bytes, latents of {latents.std():.2f}\n")
    np.savez_compressed(DATA, **values)


if __name__ == "__main__":
    main()
