"""The layers of a factorised prior's transforms, as the model's tensors say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsicomp.codecs.neural.model import Model

ANALYSIS, SYNTHESIS = "g_a.", "g_s."
"""How the names of a transform's tensors begin."""
KERNEL_PX = 5
"""The side of all convolutions, whose stride is 2."""
MOST_CHANNELS = 512
"""The widest layer. With the largest side of a tile it bounds the memory that a model can ask for."""
SAMPLES = 3
"""The channels of pictures."""

Weights = NDArray[np.float32]

_KINDS = ("gdn", "gdn1", "relu")
_CONVOLUTIONS = range(0, 7, 2)
"""The numbers of convolutions; those between are the numbers of what normalises."""
_PEDESTAL = np.float32(2.0**-36)
_LEAST_BETA = np.float32((1e-6 + 2.0**-36) ** 0.5)


@dataclass(frozen=True)
class Normalisation:
    """Generalised divisive normalisation (gdn), or the cheaper one of Johnston et al. 2019 (gdn1).

    A place's values are divided by its norms, or multiplied in a synthesis. Its norms are `gamma` times its
    magnitudes plus `beta`; of gdn they are the root of `gamma` times its squares plus `beta`.

    Source: Balle et al. 2016; CompressAI's `GDN` and `GDN1`, in whose form models store the parameters.
    """

    gamma: Weights
    """(channels, channels)."""
    beta: Weights
    """(channels,)."""


@dataclass(frozen=True)
class Layer:
    """A convolution with stride 2, transposed in a synthesis, and what follows it."""

    weight: Weights
    """(outputs, inputs, 5, 5)."""
    bias: Weights
    """(outputs,)."""
    kind: str
    """gdn, gdn1 or relu; "" for the last layer."""
    norm: Normalisation | None
    """The parameters of gdn and gdn1."""


def read_layers(model: Model, prefix: str) -> tuple[Layer, ...]:
    """Return the layers of `ANALYSIS` or `SYNTHESIS`.

    The card's `settings` has the kind of `nonlinearity`: gdn, gdn1 or relu.

    Raises:
        ValueError: the tensors do not fit each other or the card.
        LookupError: a tensor or a setting is missing.
    """
    kind = model.card.settings["nonlinearity"]
    if kind not in _KINDS:
        raise ValueError(f"nonlinearity {kind!r}, expected one of {', '.join(_KINDS)}")
    layers = tuple(_layer(model, prefix, number, kind) for number in _CONVOLUTIONS)
    inputs = [layer.weight.shape[1] for layer in layers]
    outputs = [len(layer.weight) for layer in layers]
    ends = (inputs[0], outputs[-1])[:: 1 if prefix == ANALYSIS else -1]
    if ends[0] != SAMPLES or inputs[1:] != outputs[:-1]:
        raise ValueError(f"{prefix} from {inputs} to {outputs} channels, expected {SAMPLES} of pictures")
    return layers


def _layer(model: Model, prefix: str, number: int, kind: str) -> Layer:
    weight, bias = (_floats(model, f"{prefix}{number}.{name}") for name in ("weight", "bias"))
    if weight.ndim != 4 or weight.shape[2:] != (KERNEL_PX, KERNEL_PX):
        raise ValueError(f"{prefix}{number}.weight of {weight.shape}")
    weight = weight if prefix == ANALYSIS else weight.swapaxes(0, 1)
    channels = weight.shape[:2]
    if not 0 < min(channels) <= max(channels) <= MOST_CHANNELS or bias.shape != channels[:1]:
        raise ValueError(f"{prefix}{number} of {channels} channels, expected 1 to {MOST_CHANNELS}")
    is_last = number == _CONVOLUTIONS[-1]
    norm = None if is_last or kind == "relu" else _norm(model, f"{prefix}{number + 1}.", len(weight))
    return Layer(weight, bias, "" if is_last else kind, norm)


def _norm(model: Model, prefix: str, channels: int) -> Normalisation:
    beta, gamma = (_floats(model, f"{prefix}{name}") for name in ("beta", "gamma"))
    if beta.shape != (channels,) or gamma.shape != (channels, channels):
        raise ValueError(f"{prefix}gamma of {gamma.shape}, expected {channels} channels")
    gamma = np.maximum(gamma, np.sqrt(_PEDESTAL)) ** 2 - _PEDESTAL
    return Normalisation(gamma, np.maximum(beta, _LEAST_BETA) ** 2 - _PEDESTAL)


def _floats(model: Model, name: str) -> Weights:
    return model.tensors[name].astype(np.float32)
