"""Transforms in LiteRT give what torch's give, with each of the ways to normalise."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.codecs.neural.models import model, picture
from wsicomp.codecs.neural.layers import read_layers
from wsicomp.codecs.neural.litert import litert_transforms
from wsicomp.codecs.neural.model import create_model
from wsicomp.codecs.neural.torch_transforms import torch_transforms


def small(kind, **changes):
    """A small factorised prior that normalises like this."""
    found = model("bmshj2018-factorized")
    card = replace(found.card, settings={"nonlinearity": kind})
    return create_model(card, {**found.tensors, **changes})


@pytest.mark.parametrize("kind", ["gdn", "gdn1", "relu"])
def test_it_gives_what_torch_gives(kind):
    found = small(kind)
    ours, theirs = litert_transforms(found), torch_transforms(found, torch.device("cpu"))
    pictures = np.stack([picture((64, 96), seed) for seed in range(2)])
    latents = theirs.analyse(pictures)
    off = np.abs(ours.analyse(pictures) - latents).max()
    assert off < 0.02 * np.abs(latents).max()  # theirs works in half precision
    back, expected = ours.synthesise(latents), theirs.synthesise(latents)
    assert np.abs(back.astype(int) - expected).max() <= 1
    assert expected.std() > 5


def test_a_decoder_alone_has_no_analysis():
    found = small("gdn1").decoder()
    assert litert_transforms(found).analyse is None


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("g_s.0.weight", (12, 9, 5, 5)),
        ("g_s.0.weight", (12, 8, 3, 3)),
        ("g_s.0.bias", (9,)),
        ("g_s.1.gamma", (8, 9)),
        ("g_s.1.beta", (9,)),
        ("g_s.6.weight", (8, 4, 5, 5)),
        ("g_a.0.weight", (8, 1, 5, 5)),
    ],
)
def test_tensors_that_do_not_fit_are_refused(name, shape):
    with pytest.raises(ValueError, match=r"channels|weight of"):
        read_layers(small("gdn", **{name: np.zeros(shape, np.float32)}), name[:4])


def test_a_layer_without_channels_is_refused():
    shapes = {
        "0.weight": (12, 0, 5, 5),
        "0.bias": 0,
        "1.gamma": (0, 0),
        "1.beta": 0,
        "2.weight": (0, 8, 5, 5),
    }
    none = {f"g_s.{name}": np.zeros(shape, np.float32) for name, shape in shapes.items()}
    with pytest.raises(ValueError, match=r"g_s.0 of \(0, 12\) channels, expected 1 to 512"):
        read_layers(small("gdn", **none), "g_s.")


def test_a_way_to_normalise_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="nonlinearity 'tanh', expected one of gdn, gdn1, relu"):
        read_layers(small("tanh"), "g_s.")
